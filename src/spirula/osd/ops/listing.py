"""Operations on a PG rather than an object: listing its objects, hit sets, what scrubs found.

`osd.pg.pipeline` calls `do_pg_ops` for requests of which `caps.OpNeeds.is_pg_op` is true.
Behaviour: upstream `src/osd/PrimaryLogPG.cc` (do_pg_op, get_pgls_filter, pgls_filter,
do_scrub_ls).
"""

from __future__ import annotations

import errno
import struct as _struct
from collections.abc import Iterator
from heapq import merge
from typing import TYPE_CHECKING, Final, TypeVar

from spirula.classes.declare import ObjectFilter
from spirula.denc import Struct, string, struct
from spirula.errors import CephError, InvalidArgument, NotPermitted, Truncated, WireError
from spirula.maps.placement import raw_pg_to_pg
from spirula.types.hobject import HMAX, HMIN, NO_GEN, NOSNAP, GHObject, HObject
from spirula.types.inconsistency import ObjectId
from spirula.types.listing import ListedObject, PGLSResponse, PGNLSResponse
from spirula.types.osd_op import ListArgs, OpCode, OSDOp
from spirula.types.osd_op_payload import ScrubListInput, ScrubListReply

if TYPE_CHECKING:
    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.ops.context import OpsPG

_S = TypeVar("_S", bound=Struct)

ALL_NSPACES: Final = "\001"
"""The namespace that stands for all of them (librados::all_nspaces)."""
_HOBJECT_COMPAT: Final = 3
INTERNAL_NSPACE: Final = ".ceph-internal"
"""Where OSDs keep objects of their own (osd_hit_set_namespace's default)."""


@struct
class _Filtered(Struct):
    """A filtered listing's input: two names that nobody reads, the filter's type, the rest."""

    class_name: string
    method_name: string
    type: string


@struct
class _PlainParams(Struct):
    xattr: string
    value: string


def do_pg_ops(pg: OpsPG, request: MOSDOp) -> int:
    """Carries out the request's operations, filling in what they answer; the result.

    1: a listing came to the PG's end.
    """
    result = 0
    for op in request.ops:
        try:
            result = _do(pg, request, op, result)
        except CephError as error:
            result = -error.errno
        except WireError:
            result = -errno.EINVAL
        if result < 0:
            break
    return result


def _do(pg: OpsPG, request: MOSDOp, op: OSDOp, result: int) -> int:
    code = op.op
    if code in (OpCode.PGNLS, OpCode.PGNLS_FILTER, OpCode.PGLS, OpCode.PGLS_FILTER):
        data, chosen = bytes(op.indata), None
        if code in (OpCode.PGNLS_FILTER, OpCode.PGLS_FILTER):
            chosen, data = _filter(pg, data)
        if request.hobj.snap != NOSNAP:
            return -errno.EINVAL
        if raw_pg_to_pg(pg.pool, request.pgid.pgid) != pg.pgid.pgid:
            return 0
        listing = _Listing(pg, request.hobj.nspace, op.args, data, chosen)
        if code in (OpCode.PGLS, OpCode.PGLS_FILTER):
            return listing.of_one(op, result)
        listing.everything = listing.nspace == ALL_NSPACES
        return listing.with_namespaces(op, result)
    if code == OpCode.PG_HITSET_LS:
        op.outdata = bytes(4)  # the PG keeps none: an empty list
        return result
    if code == OpCode.PG_HITSET_GET:
        return -errno.ENOENT
    if code == OpCode.SCRUBLS:
        return _list_scrub(pg, request, op)
    return -errno.EINVAL


class _Listing:
    """One listing: from `begin` on, at most `limit` objects that it looks at or gives."""

    def __init__(
        self, pg: OpsPG, nspace: str, args: ListArgs, data: bytes, chosen: ObjectFilter | None
    ) -> None:
        self.pg = pg
        self.nspace = nspace
        self.everything = False
        self.filter = chosen
        self.limit = min(pg.settings.max_pgls, args.limit & 0xFFFF_FFFF_FFFF_FFFF)
        self.begin = HObject.decode(data)
        self.next = HMAX
        self.done = False

    def with_namespaces(self, op: OSDOp, result: int) -> int:
        """As `pgnls` answers; the end of the PG is where the next one begins."""
        pgid, end = self.pg.pgid.pgid, self.pg.pgid.pgid.end_object(self.pg.pool.pg_num)
        begin = self.begin
        if (not begin.max and begin >= end) or (begin != HMIN and begin < pgid.first_object()):
            return -errno.EINVAL
        entries = [ListedObject(each.nspace, each.oid, each.key) for each in self._chosen()]
        op.outdata = PGNLSResponse(end if self.done else self.next, entries).encode()
        return 1 if self.done else result

    def of_one(self, op: OSDOp, result: int) -> int:
        """As `pgls` answers, for clients of old."""
        entries = [(each.oid, each.key) for each in self._chosen()]
        op.outdata = PGLSResponse(1, self.next, entries).encode()
        return 1 if self.done else result

    def _chosen(self) -> list[HObject]:
        """The objects to be told; sets where to go on, and whether this is the end.

        Objects that are missing here are there all the same.
        """
        stored, self.next = self._stored()
        missing = self.pg.missing.missing
        candidates: Iterator[HObject] = iter(stored)
        if missing:
            later = sorted(hoid for hoid in missing if hoid >= self.begin)
            candidates = merge(stored, later)
        found: list[HObject] = []
        last = None
        for hoid in candidates:
            if hoid == last:
                continue
            last = hoid
            if hoid >= self.next:
                return found
            if len(found) == self.limit:
                self.next = hoid
                return found
            if self._wanted(hoid):
                found.append(hoid)
        self.done = self.next.max
        return found

    def _stored(self) -> tuple[list[HObject], HObject]:
        """Up to `limit` objects of the store, and the one behind them."""
        pg = self.pg
        begin, shard = self.begin, pg.pgid.shard
        place = GHObject() if begin == HMIN else GHObject(begin, 0, shard)
        found: list[HObject] = []
        while not place.max and len(found) < self.limit:
            objects, place = pg.store.collection_list(pg.coll, place, limit=self.limit - len(found))
            found += [
                each.hobj
                for each in objects
                if each.generation == NO_GEN and each.hobj.oid and not each.hobj.is_temp
            ]
        return found, HMAX if place.max else place.hobj

    def _wanted(self, hoid: HObject) -> bool:
        if hoid.snap != NOSNAP:
            return False
        if hoid.nspace != self.nspace and not self.everything:
            return False
        if hoid.nspace == INTERNAL_NSPACE and self.everything:
            return False
        item = self.pg.missing.missing.get(hoid)
        if item is not None and item.is_delete:
            return False
        return self.filter is None or _passes(self.pg, self.filter, hoid)


def _filter(pg: OpsPG, data: bytes) -> tuple[ObjectFilter, bytes]:
    """The filter that a listing names, and what of its input comes behind.

    Raises CephError: EPERM for a class that may not be loaded, else EINVAL.
    """
    head, at = _front(_Filtered, data, 0)
    if head.type == "plain":
        plain, at = _front(_PlainParams, data, at)
        wanted = plain.value.encode("utf-8", "surrogateescape")
        return ObjectFilter(plain.xattr, lambda name, value: value == wanted), data[at:]
    class_name, dot, name = head.type.partition(".")
    if not (class_name and dot and name):
        raise InvalidArgument(f"{head.type!r} is no filter: use plain or CLASS.FILTER")
    try:
        opened = pg.classes.open(class_name)
    except NotPermitted:
        raise
    except CephError as error:
        raise InvalidArgument(f"cannot filter by {head.type!r}: {error}") from error
    handle = _handle_at(data, at)
    return opened.filter(name, data[at:handle]), data[handle:]


def _front(kind: type[_S], data: bytes, at: int) -> tuple[_S, int]:
    """A value in front of others, and where these begin. Raises WireError."""
    try:
        return kind._dec(data, at, len(data), 0)
    except (_struct.error, IndexError) as error:
        raise Truncated("ends inside a filter", offset=at, limit=len(data)) from error


def _handle_at(data: bytes, start: int) -> int:
    """Where the last thing of the input begins, the name to go on from.

    A filter of a class does not tell how much it reads, but a name's length tells its end.
    """
    for at in range(start, len(data) - 5):
        size = int.from_bytes(data[at + 2 : at + 6], "little")
        if data[at] >= data[at + 1] == _HOBJECT_COMPAT and at + 6 + size == len(data):
            return at
    raise WireError("listing says not where to go on", offset=start, limit=len(data))


def _passes(pg: OpsPG, chosen: ObjectFilter, hoid: HObject) -> bool:
    value = b""
    if chosen.xattr:
        try:
            value = pg.store.getattr(pg.coll, GHObject(hoid, shard=pg.pgid.shard), chosen.xattr)
        except CephError as error:
            if error.errno != errno.ENODATA or chosen.reject_empty:
                return False
    return chosen.accepts(hoid.oid, value)


def _list_scrub(pg: OpsPG, request: MOSDOp, op: OSDOp) -> int:
    """What the last scrub found; ENOENT while there was none, EAGAIN if the interval is over."""
    if request.pgid.pgid != pg.pgid.pgid:
        return -errno.EINVAL
    asked = ScrubListInput.decode(bytes(op.indata))
    interval = pg.info.history.same_interval_since
    if asked.interval not in (0, interval):
        return -errno.EAGAIN
    found = pg.scrub_findings
    if found is None:
        return -errno.ENOENT
    after = ObjectId(asked.start_after_name, asked.start_after_nspace, "", asked.start_after_snap)
    lists = found.snapsets if asked.get_snapsets else found.objects
    op.outdata = ScrubListReply(interval, lists(after, asked.max_return)).encode()
    return 0
