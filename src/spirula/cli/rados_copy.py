"""The sub-commands of `spirula rados` about all objects of a pool: `cppool`, `purge`, `export`,
`import`.

What each prints is upstream's; the file of `export` is too, so that either may read the other's.
Formats: upstream `src/tools/rados/PoolDump.cc`, `RadosImport.cc`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from errno import EOPNOTSUPP
from typing import BinaryIO

from spirula.cli.rados_context import Context, Failed, Usage
from spirula.cli.rados_parallel import Progress, for_each
from spirula.errors import Truncated, WireError
from spirula.maps.snaps import is_unmanaged_snaps_mode
from spirula.rados.aio import Ioctx, ListedObject, ReadOp, WriteOp, pools
from spirula.rados.constants import LIBRADOS_ALL_NSPACES, LIBRADOS_CREATE_EXCLUSIVE
from spirula.rados.errors import Error, ObjectExists, ObjectNotFound
from spirula.store.tools.dump_format import (
    AttrSection,
    DataSection,
    DumpReader,
    DumpWriter,
    ObjectBegin,
    OmapHeaderSection,
    OmapSection,
    PGBegin,
    SectionType,
)
from spirula.types.hobject import NO_GEN, NO_SHARD, NOSNAP, HObject
from spirula.types.object_info import ObjectInfo
from spirula.types.osd_op import OpFlag

SURE = "--yes-i-really-mean-it"
VERY_SURE = "--yes-i-really-really-mean-it"
_DATA_AT_ONCE = 4 << 20
_OMAP_AT_ONCE = 512
_INTERNAL = ".ceph-internal"
_KNOWN = frozenset(int(kind) for kind in SectionType)
_ONCE = int(OpFlag.FADVISE_SEQUENTIAL | OpFlag.FADVISE_DONTNEED)


# ----------------------------------------------------------------------------------- cppool, purge


async def cppool(context: Context) -> None:
    """Copy the objects of a pool to another."""
    source_name, target_name = context.take("pool name", "target pool")
    more = context.words[2:]
    if more not in ([], [SURE]):
        raise Usage(f"what is {' '.join(more)}?")
    if source_name == target_name:
        raise Failed("cannot copy pool into itself")
    context.complain(
        "WARNING: pool copy does not preserve user_version, which some     apps may rely on."
    )
    what = f"error copying pool {source_name} => {target_name}"
    unknown = f"failed to query pool {source_name} for selfmanaged snaps"
    source = await _open(context, source_name, unknown)
    if await _has_own_snapshots(context, source):
        context.complain(
            f"WARNING: pool {source_name} has selfmanaged snaps, which are not preserved\n"
            "    by the cppool operation.  This will break any snapshot user."
        )
        if not more:
            raise Failed(
                "    If you insist on making a broken copy, you can pass\n"
                "    --yes-i-really-mean-it to proceed anyway."
            )
    target = await _open(context, target_name, f"cannot open target pool: {target_name}\n{what}")
    source.set_namespace(LIBRADOS_ALL_NSPACES)
    progress = Progress("objects copied")

    async def copy(listed: ListedObject) -> None:
        place = f"{listed.nspace}/{listed.oid}" if listed.nspace else listed.oid
        key = f"(@{listed.locator})" if listed.locator else ""
        context.say(f"{source_name}:{place}{key} => {target_name}:{place}")
        to, come_from = target.dup(), source.dup()
        to.set_namespace(listed.nspace)
        come_from.set_namespace(listed.nspace)
        come_from.set_locator_key(listed.locator)
        op = WriteOp()
        op.copy_from(listed.oid, come_from.locator, NOSNAP)
        op.set_flags(_ONCE)
        with context.failing(what):
            await to.operate_write(listed.oid, op)
        progress.step()

    with context.failing(what):
        await for_each(source.list_objects(), copy, context.args.concurrent_ios)
    progress.clear()
    context.say(f"successfully copied pool {source_name}")


async def _open(context: Context, name: str, what: str) -> Ioctx:
    with context.failing(what):
        return await context.connected.open_ioctx(name)


async def _has_own_snapshots(context: Context, ioctx: Ioctx) -> bool:
    """Whether clients of the pool keep snapshots by themselves, as block devices do."""
    return is_unmanaged_snaps_mode(pools.pool_of(context.connected, ioctx.pool_id))


async def purge(context: Context) -> None:
    """Remove all objects of a pool."""
    (name,) = context.take("pool name")
    if context.words[1:2] != [VERY_SURE]:
        raise Failed(
            "WARNING:\n"
            "  This will PERMANENTLY DESTROY all objects from a pool with no way back.\n"
            f"  To confirm, follow pool with {VERY_SURE}"
        )
    ioctx = await _open(context, name, f"error pool {name}")
    ioctx.set_osdmap_full_try()
    ioctx.set_namespace(LIBRADOS_ALL_NSPACES)
    context.say("Warning: using slow linear search")
    try:
        count = await remove_all(ioctx, context.args.concurrent_ios)
    except Error as error:
        raise Failed(
            f"remove got {-(error.errno or 0)}\npool {name} could not be purged\n"
            f"{context.reason(error)}: check that the cluster is healthy and this name has caps\n"
            f"error 5: (5) Input/output error"
        ) from error
    context.say(f"Removed {count} object{'' if count == 1 else 's'}")
    context.say(f"successfully purged pool {name}")


async def remove_all(ioctx: Ioctx, at_once: int, prefix: str = "") -> int:
    """Remove the objects whose names begin so; how many there were."""
    progress = Progress("objects removed")

    async def remove(listed: ListedObject) -> None:
        place = ioctx.dup()
        place.set_namespace(listed.nspace)
        place.set_locator_key(listed.locator)
        with suppress(ObjectNotFound):  # somebody else was faster
            await place.remove(listed.oid)
        progress.step()

    async def fitting() -> AsyncIterator[ListedObject]:
        async for listed in ioctx.list_objects():
            if listed.oid.startswith(prefix):
                yield listed

    count = await for_each(fitting(), remove, at_once)
    progress.clear()
    return count


# ------------------------------------------------------------------------------------------ export


async def export(context: Context) -> None:
    """Write all objects of the pool to a file."""
    if len(context.words) > 1:
        raise Usage("one file, or - for the standard output")
    path = context.words[0] if context.words else "-"
    stream = context.write_output(path, f"Error opening '{path}'")
    progress = Progress("objects exported", await _object_count(context.ioctx))
    writer = DumpWriter(stream)
    try:
        writer.start()
        writer.mark(SectionType.POOL_BEGIN)
        async for listed in context.everything():
            with context.failing("error from export"):
                await _export_object(context, context.place(listed), listed, writer)
            progress.step()
        writer.mark(SectionType.POOL_END)
    finally:
        progress.clear()
        if path != "-":
            stream.close()


async def _object_count(ioctx: Ioctx) -> int | None:
    """About how many objects there are, for those who watch."""
    if not sys.stderr.isatty():
        return None
    return (await ioctx.get_stats())["num_objects"]


async def _export_object(
    context: Context, ioctx: Ioctx, listed: ListedObject, writer: DumpWriter
) -> None:
    oid = listed.oid
    hobj = HObject(listed.locator, oid, NOSNAP, 0, False, listed.nspace)
    begin = ObjectBegin(hobj, NO_GEN, NO_SHARD, ObjectInfo())
    writer.section(SectionType.OBJECT_BEGIN, begin.encode())
    offset = 0
    while data := await ioctx.read(oid, _DATA_AT_ONCE, offset):
        writer.data(offset, len(data), data)
        offset += len(data)
        if len(data) < _DATA_AT_ONCE:
            break
    op = ReadOp()
    attrs, header = op.get_xattrs(), op.omap_get_header()
    await ioctx.operate_read(oid, op)
    named = {f"_{name}": value for name, value in attrs.value.items()}
    writer.section(SectionType.ATTRS, AttrSection(named).encode())
    writer.section(SectionType.OMAP_HDR, OmapHeaderSection(header.value).encode())
    after, more = "", True
    while more:
        page, more = await ioctx.omap_page(oid, after, "", _OMAP_AT_ONCE)
        if page:
            writer.section(SectionType.OMAP, OmapSection(dict(page)).encode())
        after = max(page, key=str.encode, default=after)
    writer.mark(SectionType.OBJECT_END)


# ------------------------------------------------------------------------------------------ import


async def import_(context: Context) -> None:
    """Read objects from a file of `export`, or of a PG's export, into the pool."""
    context.take("file")
    *flags, path = context.words
    args = context.args
    for flag in flags:
        if flag not in {"--no-overwrite", "--dry-run"}:
            raise Failed(f"Invalid argument '{flag}'")
    job = _Import(
        context,
        args.dry_run or "--dry-run" in flags,
        args.no_overwrite or "--no-overwrite" in flags,
    )
    stream = context.read_input(path, f"Error opening '{path}'")
    try:
        await job.run(stream)
    except Truncated as error:
        raise Failed(
            f"error from import: (14) Bad address: the file is cut off: {error}"
        ) from error
    except WireError as error:
        raise Failed(f"error from import: (14) Bad address: {error}") from error
    finally:
        job.progress.clear()
        if path != "-":
            stream.close()


class _Import:
    """One import: sections are read in order, writes to one object go on side by side."""

    def __init__(self, context: Context, dry_run: bool, no_overwrite: bool) -> None:
        self.context = context
        self.dry_run = dry_run
        self.no_overwrite = no_overwrite
        self.progress = Progress("objects imported")
        self.alignment = context.ioctx.alignment()

    async def run(self, stream: BinaryIO) -> None:
        reader = DumpReader(stream)
        reader.start()
        kind, body = reader.section()
        if kind == SectionType.POOL_BEGIN:
            self.context.say("Importing pool")
        elif kind == SectionType.PG_BEGIN:
            pgid = PGBegin.decode(body).spgid
            if pgid.shard != NO_SHARD:
                raise Failed(
                    "Importing Erasure Coded shard is not supported\n"
                    "error from import: (95) Operation not supported"
                )
            self.context.say(f"Importing from pgid {pgid}")
        else:
            raise WireError(f"the first section is of type {kind}, not the beginning of a pool")
        while True:
            kind, body = reader.section()
            if kind in {SectionType.PG_END, SectionType.POOL_END}:
                return
            if kind == SectionType.OBJECT_BEGIN:
                with self.context.failing("error from import"):
                    await self._object(reader, ObjectBegin.decode(body).hobj)
                self.progress.step()
            elif kind not in _KNOWN:
                self.context.say("Skipping unknown section type")
            elif kind != SectionType.PG_METADATA:
                raise WireError(f"a section of type {kind} stands between objects")

    async def _object(self, reader: DumpReader, hobj: HObject) -> None:
        wanted = hobj.nspace != _INTERNAL and hobj.snap == NOSNAP
        ioctx = self.context.ioctx.dup()
        ioctx.set_namespace(hobj.nspace)
        ioctx.set_locator_key(hobj.key)
        if not wanted:
            what = "internal object" if hobj.nspace == _INTERNAL else "non-head for"
            self.context.say(f"Skipping {what} {_shown(hobj)}")
        else:
            told, wanted = await self._make(ioctx, hobj.oid)
            self.context.say(f"{told} {_shown(hobj)}")
        writes = wanted and not self.dry_run
        gathered = _Aligned(self.alignment)
        for kind, body in reader.sections(SectionType.OBJECT_END):
            if kind == SectionType.DATA:
                section = DataSection.decode(body)
                for offset, data in gathered.add(section.offset, bytes(section.data)):
                    if writes:
                        await ioctx.write(hobj.oid, data, offset)
            elif kind in {SectionType.ATTRS, SectionType.OMAP_HDR, SectionType.OMAP}:
                if writes:
                    await self._set(ioctx, hobj.oid, kind, body)
            elif kind not in _KNOWN:
                self.context.say("Skipping unknown object section type")
            else:
                raise WireError(f"a section of type {kind} stands inside an object")
        for offset, data in gathered.rest():
            if writes:
                await ioctx.write(hobj.oid, data, offset)

    async def _make(self, ioctx: Ioctx, oid: str) -> tuple[str, bool]:
        """Make the object; what to tell of that, and whether its content is wanted."""
        if self.dry_run:
            try:
                await ioctx.stat(oid)
            except ObjectNotFound:
                return "Write", True
            return ("Skipping existing" if self.no_overwrite else "***Overwrite***"), True
        try:
            await _create(ioctx, oid)
        except ObjectExists:
            if self.no_overwrite:
                return "Skipping existing", False
        else:
            return "Write", True
        try:
            await ioctx.remove(oid)
            await _create(ioctx, oid)
        except ObjectExists:
            return "Skipping in-use object", False
        return "***Overwrite***", True

    async def _set(self, ioctx: Ioctx, oid: str, kind: int, body: bytes) -> None:
        op = WriteOp()
        if kind == SectionType.ATTRS:
            for name, value in AttrSection.decode(body).attrs.items():
                # Users' attributes are those with something behind the underscore.
                if name.startswith("_") and name != "_":
                    op.set_xattr(name[1:], bytes(value))
            what = "setxattr"
        elif kind == SectionType.OMAP_HDR:
            op.omap_set_header(bytes(OmapHeaderSection.decode(body).header))
            what = "omap_set_header"
        else:
            entries = OmapSection.decode(body).entries
            op.omap_set({key: bytes(value) for key, value in entries.items()})
            what = "omap_set"
        try:
            await ioctx.operate_write(oid, op)
        except Error as error:
            self.context.complain(f"{what} failed: {self.context.reason(error)}")
            if error.errno != EOPNOTSUPP:  # erasure-coded pools have no omap
                raise


async def _create(ioctx: Ioctx, oid: str) -> None:
    op = WriteOp()
    op.new(LIBRADOS_CREATE_EXCLUSIVE)
    await ioctx.operate_write(oid, op)


def _shown(hobj: HObject) -> str:
    """An object as upstream prints one that is in no PG."""
    return f"#{hobj}#"


class _Aligned:
    """Data in pieces that an erasure-coded pool takes: multiples of its stripe, but the last."""

    def __init__(self, alignment: int | None) -> None:
        self.alignment = alignment
        self._kept = b""
        self._offset = 0

    def add(self, offset: int, data: bytes) -> list[tuple[int, bytes]]:
        """What can be written now, with its offsets."""
        if not self.alignment:
            return [(offset, data)]
        if offset != self._offset + len(self._kept):
            raise WireError("the data of an object has gaps, which this pool does not take")
        self._kept += data
        size = len(self._kept) // self.alignment * self.alignment
        out = [(self._offset, self._kept[:size])] if size else []
        self._kept, self._offset = self._kept[size:], self._offset + size
        return out

    def rest(self) -> list[tuple[int, bytes]]:
        """What is left at the end."""
        return [(self._offset, self._kept)] if self._kept else []
