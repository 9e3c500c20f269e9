"""Messages about snapshots: a metadata server removes some, an OSD asks which are purged.

Upstream: `src/mon/OSDMonitor.cc` (preprocess_remove_snaps, prepare_remove_snaps,
preprocess_get_purged_snaps, _is_removed_snap).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.denc.features import SERVER_OCTOPUS, has
from spirula.maps.state import Release
from spirula.messages.mon_client import MMonGetPurgedSnaps, MMonGetPurgedSnapsReply
from spirula.messages.osd_mon import MRemoveSnaps
from spirula.mon.services.osdmap.snaps import purged as purged_snaps
from spirula.types.interval_set import IntervalSet
from spirula.types.pool import PoolFlag

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

_REPLY_BYTES = 1 << 20


def is_removed_snap(service: OSDMapService, pool: int, snap: int) -> bool:
    """Whether the snapshot is removed already, or the pool is not there."""
    osdmap = service.osdmap
    known = osdmap.pools.get(pool)
    if known is None or snap in known.removed_snaps:
        return True
    if snap in osdmap.removed_snaps_queue.get(pool, IntervalSet()):
        return True
    return purged_snaps.lookup(service.monitor.store, pool, snap) is not None


def is_pending_removed_snap(service: OSDMapService, pool: int, snap: int) -> bool:
    """Whether the pending change removes the snapshot."""
    inc = service.pending
    if pool in inc.old_pools or snap in inc.new_removed_snaps.get(pool, IntervalSet()):
        return True
    changing = inc.new_pools.get(pool)
    return changing is not None and snap in changing.removed_snaps


def _reply(request: Request, message: MRemoveSnaps) -> None:
    if has(request.session.features, SERVER_OCTOPUS):
        request.reply(MRemoveSnaps(snaps=message.snaps))
    else:
        request.no_reply()


def preprocess_remove_snaps(service: OSDMapService, request: Request) -> bool:
    """Snapshots are to be removed; nothing to do where all of them are."""
    message = request.message
    if not isinstance(message, MRemoveSnaps):
        return True
    if not request.session.may_run("osd", "osd pool rmsnap", {}, "rw"):
        request.no_reply()
        return True
    for pool, snaps in message.snaps.items():
        known = service.osdmap.pools.get(pool)
        if known is None:
            continue
        if any(s > known.snap_seq or not is_removed_snap(service, pool, s) for s in snaps):
            return False
    _reply(request, message)
    return True


def prepare_remove_snaps(service: OSDMapService, request: Request) -> None:
    """They are queued for all OSDs to purge."""
    message, inc = request.message, service.pending
    if not isinstance(message, MRemoveSnaps):
        return
    for number, snaps in message.snaps.items():
        if number not in service.osdmap.pools:
            continue
        for snap in snaps:
            if is_removed_snap(service, number, snap) or is_pending_removed_snap(
                service, number, snap
            ):
                continue
            pool = service.pending_pool(number)
            if service.osdmap.require_osd_release < Release.OCTOPUS:
                pool.removed_snaps.insert(snap)
            pool.flags = int(pool.flags | PoolFlag.SELFMANAGED_SNAPS)
            pool.snap_seq = max(pool.snap_seq, snap)
            pool.snap_epoch = inc.epoch
            inc.new_removed_snaps.setdefault(number, IntervalSet()).insert(snap)
    service.after_commit(request, lambda: _reply(request, message))
    service.propose(service.damped())


def preprocess_get_purged_snaps(service: OSDMapService, request: Request) -> bool:
    """An OSD that was away asks what was purged meanwhile."""
    message = request.message
    if isinstance(message, MMonGetPurgedSnaps):
        found, last = purged_snaps.purged_between(
            service.monitor.store, message.start, message.last, _REPLY_BYTES
        )
        request.reply(MMonGetPurgedSnapsReply(start=message.start, last=last, purged_snaps=found))
    return True
