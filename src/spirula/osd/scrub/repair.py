"""Makes bad copies good: after a scrub with repair, and when a read meets data that is rotten.

A bad copy counts as missing from then on, and recovery brings a good one. Whose copy is right must
be known for that: copies that merely differ are reported and left alone. Called by `finish`,
`pipeline` and `peering`. Upstream: `PG.cc` (repair_object), `PrimaryLogPG.cc`
(rep_repair_primary_object, primary_error), `PeeringState.cc` (force_object_missing).
"""

from __future__ import annotations

from collections import deque
from errno import EAGAIN, EIO
from typing import TYPE_CHECKING

from spirula.errors import CephError, WireError
from spirula.kernels.crc32c import crc32c
from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR
from spirula.osd.pg import pipeline, recovery, unfound
from spirula.osd.pg.peering.merge import update_last_complete
from spirula.types.base import EVersion
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.log import LogLevel
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.pg import PGState
from spirula.types.pg_log import ObjectCleanRegions, PGMissing, PGMissingItem
from spirula.types.snap import SnapSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.pg.state import PG
    from spirula.osd.scrub.state import Run
    from spirula.types.pg import PGShard

_SEED = 0xFFFF_FFFF
_STRIDE = 512 << 10
_DATA_DIGEST = int(ObjectFlag.DATA_DIGEST)


def repair_found(pg: PG, run: Run) -> bool:
    """Says how much is wrong and, in a repair, has bad copies replaced. True if any will be."""
    found = run.compared
    if not found.authoritative:
        return False
    pg.services.clog(
        LogLevel.ERROR,
        f"{pg.pgid} {run.mode} {len(found.missing)} missing, "
        f"{len(found.inconsistent)} inconsistent objects",
    )
    if not run.repair:
        return False
    for hoid, authority in found.authoritative.items():
        bad = found.missing.get(hoid, set()) | found.inconsistent.get(hoid, set())
        if authority.known:
            pg.recovery.unfound.discard(hoid)
            pg.recovery.bad.pop(hoid, None)
            force_missing(pg, bad, hoid, authority.version)
            run.fixed += len(found.missing.get(hoid, ()))
            run.fixed += len(found.inconsistent.get(hoid, ()))
            run.repairing = True
        else:
            pg.services.clog(
                LogLevel.ERROR,
                f"{pg.pgid} {run.mode} {hoid} : copies differ, and none is known to be right: "
                "not repaired",
            )
    return run.repairing


def force_missing(pg: PG, shards: Iterable[PGShard], hoid: HObject, version: EVersion) -> None:
    """These OSDs count as lacking the object, of which others have this version."""
    for shard in shards:
        item = PGMissingItem(version, EVersion(), clean_regions=ObjectCleanRegions.all_dirty())
        if shard == pg.whoami:
            pg.missing.missing[hoid] = item
            pg.meta.missing.add(hoid)
            pg.meta.dirty_info = True
            pg.objects.forget(hoid)
            pg.recovery.needs.clear()
            update_last_complete(pg)
        else:
            theirs = pg.peering.peer_missing.setdefault(shard, PGMissing())
            theirs.missing[hoid] = item
    for replica in pg.replicas:
        theirs_info = pg.peering.peer_info[replica]
        if not theirs_info.is_incomplete:
            # they have taken part in all writes since: they may be asked for the newest
            theirs_info.last_update = pg.info.last_update
            pg.peering.peer_missing.setdefault(replica, PGMissing())
    pg.stats_changed = True


def begin_recovery(pg: PG) -> None:
    """Has recovery bring what counts as missing now."""
    pg.set_state(on=PGState.REPAIR, off=PGState.CLEAN)
    pg.post("do_recovery")


def on_clean(pg: PG) -> None:
    """Recovery is done: was that a repair, it is looked whether it has helped."""
    scrubber = pg.scrubber
    pg.set_state(off=PGState.REPAIR)
    scrubber.rotten.clear()
    if scrubber.scrub_after_recovery:
        scrubber.scrub_after_recovery = False
        planned = scrubber.planned
        planned.must_deep_scrub = planned.check_repair = planned.must_scrub = True
        scrubber.job = None


# ------------------------------------------------------------------------------------ rotten reads


def on_read_error(pg: PG, hoid: HObject, request: MOSDOp) -> bool:
    """A request got an I/O error: if the object is rotten here, another copy takes its place.

    The request waits for that and goes through everything again. False if the error is to be told
    to the client: the object is sound, or nobody has it.
    """
    if pg.pool.is_erasure or hoid in pg.missing.missing or not is_rotten(pg, hoid):
        return False
    if not pg.is_primary:
        # a read that may go anywhere: the client asks the primary
        pg.services.clog(LogLevel.ERROR, f"{pg.pgid} osd.{pg.whoami.osd} cannot read {hoid}")
        pipeline.reply_error(pg, request, -EAGAIN)
        return True
    pg.recovery.bad[hoid] = {pg.whoami}
    force_missing(pg, [pg.whoami], hoid, _version_of(pg, hoid))
    sources = unfound.sources(pg, hoid)
    text = f"{pg.pgid} missing primary copy of {hoid}, "
    if sources:
        where = ",".join(str(each) for each in sources)
        pg.services.clog(LogLevel.ERROR, f"{text}will try copies on {where}")
    else:
        pg.services.clog(LogLevel.ERROR, f"{text}unfound")
    pg.waiting.for_object.setdefault(hoid, deque()).append(request)
    if pg.state & PGState.CLEAN:
        begin_recovery(pg)
    recovery.kick(pg, hoid)
    if not sources:
        on_unfound(pg, hoid)
    return True


def note_bad(pg: PG, hoid: HObject, shard: PGShard) -> None:
    """An OSD cannot give an object that it should have: it lacks it, and gets it from another."""
    item = pg.missing.missing.get(hoid)
    if shard == pg.whoami and item is not None:
        return
    force_missing(pg, [shard], hoid, _version_of(pg, hoid) if item is None else item.need)


def on_unfound(pg: PG, hoid: HObject) -> None:
    """Nobody can give an object: if nobody else can have it, clients need not wait any longer.

    It stays as it is, for an administrator to look at: nothing is made up in its place. (Upstream
    has clients wait for ever.)
    """
    others = pg.recovery.might_have - set(pg.replicas) - {pg.whoami}
    everybody = {pg.whoami, *pg.replicas}
    if others or len(everybody) < pg.pool.size or not everybody <= pg.recovery.bad.get(hoid, set()):
        return
    pg.scrubber.rotten.add(hoid)
    waiting = pg.waiting.for_object.pop(hoid, None)
    for request in waiting or ():
        pipeline.reply_error(pg, request, -EIO)  # type: ignore[arg-type]  # only requests wait


def is_rotten(pg: PG, hoid: HObject) -> bool:
    """Whether what is stored of an object cannot be read, or is not what was written."""
    gh, store = GHObject(hoid, NO_GEN, pg.pgid.shard), pg.store
    if not store.exists(pg.coll, gh):
        return False
    try:
        attrs = store.getattrs(pg.coll, gh)
        info = ObjectInfo.decode(attrs[INFO_ATTR])
        if hoid.is_head:
            SnapSet.decode(attrs[SNAPSET_ATTR])
        digest, at = _SEED, 0
        while data := store.read(pg.coll, gh, at, _STRIDE):
            digest, at = crc32c(digest, data), at + len(data)
        store.omap_get(pg.coll, gh)
    except (CephError, WireError, KeyError):
        return True
    if at != info.size:
        return True
    return bool(info.flags & _DATA_DIGEST) and digest != info.data_digest


def _version_of(pg: PG, hoid: HObject) -> EVersion:
    """The newest version of an object that cannot be read: by the log, its info, or unknown."""
    entry = pg.log.objects.get(hoid)
    if entry is not None and not entry.is_delete:
        return entry.version
    try:
        gh = GHObject(hoid, NO_GEN, pg.pgid.shard)
        return ObjectInfo.decode(pg.store.getattr(pg.coll, gh, INFO_ATTR)).version
    except (CephError, WireError):
        return EVersion()
