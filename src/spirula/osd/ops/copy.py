"""Copying objects: `copy-from` fetches another object's parts from its OSD, `copy-get` gives them.

A copy takes the source as it is at one version and replaces the object with all it has. Its parts
are gathered in memory (objects are bounded by osd_max_object_size) and written in one transaction,
when the request is run again. Called by `execute`. Behaviour: upstream `src/osd/PrimaryLogPG.cc`
(start_copy, process_copy_chunk, finish_copyfrom, do_copy_get).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from spirula.errors import CephError, NotFound, WireError
from spirula.kernels.crc32c import crc32c
from spirula.maps.placement import hash_key
from spirula.osd.ops.context import USER_ATTR_PREFIX
from spirula.osd.ops.execute import handles, kilobytes
from spirula.osd.ops.omap import supports_omap
from spirula.osd.ops.writes import drop_changes
from spirula.osd.ops.xattrs import user_attrs
from spirula.types.base import UTime
from spirula.types.hobject import NOSNAP, HObject
from spirula.types.log import LogLevel
from spirula.types.object_info import NO_DIGEST, ObjectFlag, ObjectLocator, OSDReqId
from spirula.types.osd_op import (
    AssertVerArgs,
    CopyFromFlag,
    CopyGetArgs,
    OpCode,
    OSDOp,
    RequestFlag,
)
from spirula.types.osd_op_payload import CopyFrom2Input, CopyFromInput, CopyGetInput, OmapEntries
from spirula.types.pg_log import LogOp
from spirula.types.recovery import ObjectCopyCursor, ObjectCopyData

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext, OpsPG

_DATA_DIGEST, _OMAP_DIGEST = 1, 2
"""Which checksums of the source are known (object_copy_data_t)."""
_ALL_FLAGS: Final = sum(CopyFromFlag)
_REQIDS: Final = 10
_INDEXED: Final = (LogOp.MODIFY, LogOp.DELETE, LogOp.ERROR)

_READ_FLAGS: Final = {
    CopyFromFlag.FLUSH: RequestFlag.FLUSH,
    CopyFromFlag.IGNORE_CACHE: RequestFlag.IGNORE_CACHE,
    CopyFromFlag.IGNORE_OVERLAY: RequestFlag.IGNORE_OVERLAY,
    CopyFromFlag.MAP_SNAP_CLONE: RequestFlag.MAP_SNAP_CLONE,
    CopyFromFlag.RWORDERED: RequestFlag.RWORDERED,
}
"""How the source is read, by the operation's flags."""


# --- giving ---


@handles(OpCode.COPY_GET)
def copy_get(ctx: OpContext, op: OSDOp) -> int:
    """The next part of the object: attributes, then data, then the omap, as far as asked for."""
    ctx.num_read += 1
    asked = CopyGetInput.decode(bytes(op.indata))
    cursor, left = asked.cursor, asked.max
    info, ssc = ctx.obc.info, ctx.obc.ssc
    part = ObjectCopyData(info.size, info.mtime)
    if ssc is not None and ctx.soid.snap < NOSNAP:
        part.snaps = ssc.snapset.clone_snaps[ctx.soid.snap]
    elif ssc is not None:
        part.snap_seq = ssc.snapset.seq
    if info.flags & ObjectFlag.DATA_DIGEST:
        part.flags |= _DATA_DIGEST
        part.data_digest = info.data_digest
    if info.flags & ObjectFlag.OMAP_DIGEST:
        part.flags |= _OMAP_DIGEST
        part.omap_digest = info.omap_digest
    part.truncate_seq, part.truncate_size = info.truncate_seq, info.truncate_size
    if not cursor.attr_complete:
        part.attrs = user_attrs(ctx)
        cursor.attr_complete = True
    if left > 0 and not cursor.data_complete:
        if cursor.data_offset < info.size:
            length = min(info.size - cursor.data_offset, left)
            part.data = ctx.store.read(ctx.coll, ctx.gh, cursor.data_offset, length, op.flags)
            left -= length
            cursor.data_offset += length
        cursor.data_complete = cursor.data_offset >= info.size
    if not supports_omap(ctx.pg.pool) or not info.flags & ObjectFlag.OMAP:
        cursor.omap_complete = True
    elif left > 0 and not cursor.omap_complete:
        _add_omap(ctx, part, cursor, left)
    if cursor.attr_complete and cursor.data_complete and cursor.omap_complete:
        part.reqids, part.reqid_return_codes = _object_reqids(ctx.pg, ctx.soid)
    part.cursor = cursor
    features = 0 if ctx.request is None else ctx.request.features
    op.outdata = part.encode(features)
    return 0


def _add_omap(ctx: OpContext, part: ObjectCopyData, cursor: ObjectCopyCursor, left: int) -> None:
    """Entries behind the cursor until `left` bytes are used up; at first the header as well."""
    if not cursor.omap_offset:
        part.omap_header = ctx.store.omap_get_header(ctx.coll, ctx.gh)
    entries = ctx.store.omap_iterate(ctx.coll, ctx.gh, after=cursor.omap_offset)
    found: dict[str, bytes] = {}
    last = ""
    for key, value in entries:
        found[key] = value
        last = key
        left -= len(key.encode("utf-8", "surrogateescape")) + 4 + len(value) + 4
        if left <= 0:
            break
    if found:
        part.omap_data = OmapEntries(found).encode()
    if found and left <= 0:
        # (also where this was the last entry, as upstream: the next part is an empty one)
        cursor.omap_offset = last
    else:
        cursor.omap_complete = True


def absent(pg: OpsPG, hoid: HObject, op: OSDOp, features: int) -> None:
    """What `copy-get` answers beside ENOENT: the requests that removed the object."""
    reqids, codes = _object_reqids(pg, hoid)
    op.outdata = ObjectCopyData(reqids=reqids, reqid_return_codes=codes).encode(features)
    op.rval = -errno.ENOENT


def _object_reqids(pg: OpsPG, hoid: HObject) -> tuple[list[tuple[OSDReqId, int]], dict[int, int]]:
    """The newest requests on an object with their user versions; and what failed ones returned."""
    found: list[tuple[OSDReqId, int]] = []
    codes: dict[int, int] = {}
    for entry in islice(pg.log_entries_of(hoid), _REQIDS):
        if entry.reqid.tid and entry.op in _INDEXED:
            if entry.op == LogOp.ERROR:
                codes[len(found)] = entry.return_code
            found.append((entry.reqid, entry.user_version))
        found += entry.extra_reqids
        if len(found) >= _REQIDS:
            break
    return found[:_REQIDS], codes


# --- taking ---


@dataclass(slots=True, eq=False)
class CopyOp:
    """A copy under way: what of the source is here, and where to go on."""

    ctx: OpContext
    src: HObject
    version: int
    flags: int
    src_fadvise_flags: int
    truncate: tuple[int, int] | None
    cursor: ObjectCopyCursor = field(default_factory=ObjectCopyCursor)
    size: int = 0
    mtime: UTime = field(default_factory=UTime)
    attrs: dict[str, bytes] = field(default_factory=dict)
    data: list[bytes] = field(default_factory=list)
    omap_header: bytes = b""
    omap: dict[str, bytes] = field(default_factory=dict)
    data_digest: int = NO_DIGEST
    omap_digest: int = NO_DIGEST
    last: ObjectCopyData | None = None
    """The newest part, with what all parts tell: times, checksums, truncation, requests."""
    cancel: Callable[[], None] | None = None

    def fetch(self) -> None:
        """Asks for the next part."""
        pg = self.ctx.pg
        most = pg.settings.copyfrom_max_chunk
        ops = []
        if self.version:
            ops.append(OSDOp.make(OpCode.ASSERT_VER, AssertVerArgs(0, self.version)))
        indata = CopyGetInput(self.cursor, most).encode()
        ops.append(OSDOp.make(OpCode.COPY_GET, CopyGetArgs(most), indata, self.src_fadvise_flags))
        flags = 0
        for mine, theirs in _READ_FLAGS.items():
            if self.flags & mine:
                flags |= theirs
        self.cancel = pg.remote_op(self.src, ops, flags, self._on_part)

    def _on_part(self, result: int, ops: list[OSDOp], version: int) -> None:
        """A part came: takes it in, and asks for the next or has the request run again."""
        self.cancel = None
        if result >= 0:
            try:
                part = ObjectCopyData.decode(bytes(ops[-1].outdata))
                result = self._take(part)
            except WireError:
                result = -errno.EIO
            if result >= 0 and not self.version:
                self.version = version
            cursor = self.cursor
            if result >= 0 and not (
                cursor.attr_complete and cursor.data_complete and cursor.omap_complete
            ):
                self.fetch()
                return
            if result >= 0:
                result = self._verify()
        if result < 0:
            self.ctx.failed = result
        if self.ctx.resume is not None:
            self.ctx.resume()

    def _take(self, part: ObjectCopyData) -> int:
        cursor = self.cursor
        if (part.omap_data or part.omap_header) and not supports_omap(self.ctx.pg.pool):
            return -errno.EOPNOTSUPP
        if not cursor.attr_complete:
            self.attrs = part.attrs
        if not cursor.data_complete and part.data:
            self.data.append(part.data)
            self.data_digest = crc32c(self.data_digest, part.data)
        if not cursor.omap_complete:
            if part.omap_header:
                self.omap_header = part.omap_header
                self.omap_digest = crc32c(self.omap_digest, part.omap_header)
            if part.omap_data:
                self.omap |= OmapEntries.decode(part.omap_data).entries
                self.omap_digest = crc32c(self.omap_digest, part.omap_data[4:])
        self.size, self.mtime = part.size, part.mtime
        self.cursor, self.last = part.cursor, part
        return 0

    def _verify(self) -> int:
        """Compares what came with the source's checksums; EIO if it is not the same."""
        last = self.last
        if last is None:
            return -errno.EIO
        for bit, what, mine, theirs in (
            (_DATA_DIGEST, "data", self.data_digest, last.data_digest),
            (_OMAP_DIGEST, "omap", self.omap_digest, last.omap_digest),
        ):
            if last.flags & bit and mine != theirs:
                self.ctx.pg.services.clog(
                    LogLevel.ERROR,
                    f"{self.ctx.pg.pgid} copy from {self.src} to {self.ctx.soid} {what} digest "
                    f"0x{mine:x} != source 0x{theirs:x}",
                )
                return -errno.EIO
        return 0

    def execute(self, ctx: OpContext, op: OSDOp) -> int:
        """Everything is here: the object becomes the copy."""
        del op
        last = self.last
        if last is None:
            raise CephError("the copy has nothing to write", errno=errno.EIO)
        info, delta, transaction = ctx.info, ctx.delta, ctx.transaction
        if not ctx.exists:
            delta.num_objects += 1
        drop_changes(ctx)
        ctx.exists = True
        coll, gh = ctx.coll, ctx.gh
        transaction.create(coll, gh)
        if self.data:
            transaction.write(coll, gh, 0, b"".join(self.data), ctx.ops[ctx.op_index].flags)
        if self.omap_header:
            transaction.omap_setheader(coll, gh, self.omap_header)
        if self.omap:
            transaction.omap_setkeys(coll, gh, self.omap)
        if self.attrs:
            named = {USER_ATTR_PREFIX + name: value for name, value in self.attrs.items()}
            transaction.setattrs(coll, gh, named)
        ctx.user_at_version = info.user_version = self.version
        info.clear_digests()
        if last.flags & _DATA_DIGEST:
            info.set_data_digest(self.data_digest)
        if last.flags & _OMAP_DIGEST:
            info.set_omap_digest(self.omap_digest)
        info.truncate_seq, info.truncate_size = self.truncate or (
            last.truncate_seq,
            last.truncate_size,
        )
        info.mtime = self.mtime
        ctx.mtime = UTime(0, 0)
        ctx.extra_reqids, ctx.extra_reqid_codes = last.reqids, last.reqid_return_codes
        if info.flags & ObjectFlag.WHITEOUT:
            info.flags &= ~int(ObjectFlag.WHITEOUT)
            delta.num_whiteouts -= 1
        # Also if an omap goes and none comes: a copy that is behind has to drop its own, too.
        ctx.omap_dirty |= bool(info.flags & ObjectFlag.OMAP)
        info.flags &= ~int(ObjectFlag.OMAP)
        if self.omap or self.omap_header:
            info.flags |= int(ObjectFlag.OMAP)
            ctx.omap_dirty = True
        if info.size:
            ctx.modified.append((0, info.size))
        ctx.dirty.append((0, max(info.size, self.size)))
        delta.num_bytes += self.size - info.size
        info.size = self.size
        delta.num_wr += 1
        delta.num_wr_kb += kilobytes(self.size)
        return 0


@handles(OpCode.COPY_FROM, OpCode.COPY_FROM2)
def copy_from(ctx: OpContext, op: OSDOp) -> int:
    """Begins to fetch the source, and makes the object of it when that is done.

    The whole request fails as fetching did: ENOENT without a source, ERANGE or EOVERFLOW if it is
    not at the version asked for, EIO if it does not match its checksums.
    """
    ctx.num_write += 1
    snapid, version, flags, src_fadvise_flags = op.args
    truncate = None
    data = bytes(op.indata)
    if op.op == OpCode.COPY_FROM2 and flags & ~_ALL_FLAGS:
        return -errno.EINVAL
    if op.op == OpCode.COPY_FROM2 and flags & CopyFromFlag.TRUNCATE_SEQ:
        full = CopyFrom2Input.decode(data)
        name, locator = full.src_name, full.src_oloc
        truncate = full.truncate_seq, full.truncate_size
    else:
        asked = CopyFromInput.decode(data)
        name, locator = asked.src_name, asked.src_oloc
    finishers = ctx.finishers
    if finishers is not None and ctx.op_index in finishers:
        return finishers[ctx.op_index].execute(ctx, op)
    src = named_object(ctx.pg, name, locator, snapid)
    if src == ctx.soid:
        return -errno.EINVAL
    if finishers is None:
        finishers = ctx.finishers = {}
    made = CopyOp(ctx, src, version, flags, src_fadvise_flags, truncate)
    finishers[ctx.op_index] = made
    made.fetch()
    return -errno.EINPROGRESS


def named_object(pg: OpsPG, name: str, locator: ObjectLocator, snapid: int) -> HObject:
    """The full name of an object, as clients name it; NotFound if its pool is not there."""
    pool = pg.osdmap.pools.get(locator.pool)
    if pool is None:
        raise NotFound(f"there is no pool {locator.pool}")
    seed = locator.hash
    if seed < 0:
        seed = hash_key(pool, locator.key or name, locator.nspace)
    return HObject.of(locator.pool, name, seed, snap=snapid, nspace=locator.nspace, key=locator.key)
