"""What OSDs tell about themselves and their PGs: leaving, alive, full, beacons, mappings, PGs.

Each message has a part that changes nothing (False: it takes a change) and one at the leader.
Upstream: `src/mon/OSDMonitor.cc`, the functions of like names.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from spirula.maps.placement import Placement
from spirula.maps.state import OSDState, exists, is_down, is_up
from spirula.messages.mon_client import MMonGetOSDMap
from spirula.messages.osd_mon import (
    MOSDAlive,
    MOSDBeacon,
    MOSDFull,
    MOSDMarkMeDead,
    MOSDMarkMeDown,
    MOSDPGCreated,
    MOSDPGReadyToMerge,
    MOSDPGTemp,
)
from spirula.mon.services.osdmap.osds.judgement import can_mark_down, mark_down
from spirula.mon.services.osdmap.osds.sources import is_at, is_from_up_osd, may_speak, osd_of
from spirula.types.log import LogLevel
from spirula.types.pg import PGMergeMeta
from spirula.types.pool import PGPool

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

_FULLNESS = OSDState.NEARFULL | OSDState.BACKFILLFULL | OSDState.FULL


def _ignore(request: Request) -> bool:
    request.no_reply()
    return True


def _answer_later(service: OSDMapService, request: Request, epoch: int) -> None:
    """Commit soon, and answer with maps from `epoch` on."""
    service.after_commit(request, lambda: service.publisher.reply_latest(request, epoch))
    service.propose(service.damped())


# ------------------------------------------------------------------------------- asking for maps


def preprocess_get_osdmap(service: OSDMapService, request: Request) -> bool:
    """Somebody asks for maps of certain epochs."""
    if isinstance(request.message, MMonGetOSDMap):
        features = request.session.features
        request.reply(service.publisher.requested(request.message, features))
    return True


# ---------------------------------------------------------------------------------------- leaving


def preprocess_mark_me_down(service: OSDMapService, request: Request) -> bool:
    """An OSD is about to stop."""
    message, osdmap = request.message, service.osdmap
    if not isinstance(message, MOSDMarkMeDown):
        return True
    osd = message.target_osd
    if may_speak(request, message.fsid) and osd_of(request) >= 0:
        if (
            not exists(osdmap, osd)
            or is_down(osdmap, osd)
            or osdmap.client_addrs[osd] != message.target_addrs
        ):
            if not message.request_ack:
                service.publisher.reply_from(request, message.epoch + 1)
        elif can_mark_down(service, osd):
            return False
    _acknowledge(request, message)
    return True


def _acknowledge(request: Request, message: MOSDMarkMeDown) -> None:
    if not message.request_ack:
        request.no_reply()
        return
    request.reply(
        MOSDMarkMeDown(
            fsid=message.fsid,
            target_osd=message.target_osd,
            target_addrs=message.target_addrs,
            epoch=message.epoch,
            request_ack=False,
        )
    )


def prepare_mark_me_down(service: OSDMapService, request: Request) -> None:
    """It is marked down before it stops, so that nobody waits for it."""
    message = request.message
    if not isinstance(message, MOSDMarkMeDown):
        return
    osd, inc = message.target_osd, service.pending
    dead = " and dead" if message.down_and_dead else ""
    service.monitor.clog(LogLevel.INFO, f"osd.{osd} marked itself down{dead}")
    mark_down(service, osd)
    if message.down_and_dead:
        info = copy.copy(inc.new_xinfo.get(osd, service.osdmap.osd_xinfo[osd]))
        info.dead_epoch = message.epoch
        inc.new_xinfo[osd] = info
    service.after_commit(request, lambda: _acknowledge(request, message))
    service.propose(service.damped())


def preprocess_mark_me_dead(service: OSDMapService, request: Request) -> bool:
    """An OSD that the map has as down says that it surely serves nothing."""
    message, osdmap = request.message, service.osdmap
    if not isinstance(message, MOSDMarkMeDead):
        return True
    if not may_speak(request, message.fsid) or osd_of(request) < 0:
        return _ignore(request)
    osd = message.target_osd
    if not exists(osdmap, osd) or is_up(osdmap, osd):
        service.publisher.reply_from(request, message.epoch + 1)
        return _ignore(request)
    return False


def prepare_mark_me_dead(service: OSDMapService, request: Request) -> None:
    """Peering need not wait for what it may have written later."""
    message = request.message
    if not isinstance(message, MOSDMarkMeDead):
        return
    osd, inc = message.target_osd, service.pending
    service.monitor.clog(LogLevel.INFO, f"osd.{osd} marked itself dead as of e{message.epoch}")
    info = copy.copy(inc.new_xinfo.get(osd, service.osdmap.osd_xinfo[osd]))
    info.dead_epoch = message.epoch
    inc.new_xinfo[osd] = info
    service.after_commit(request, request.no_reply)
    service.propose(service.damped())


# ------------------------------------------------------------------------------------------- full


def preprocess_full(service: OSDMapService, request: Request) -> bool:
    """An OSD wants the map to say how full it is."""
    message, osdmap, osd = request.message, service.osdmap, osd_of(request)
    if not isinstance(message, MOSDFull):
        return True
    if not may_speak(request) or not exists(osdmap, osd):
        return _ignore(request)
    if is_up(osdmap, osd) != is_at(osdmap, osd, request.session.addrs):
        return _ignore(request)
    if osdmap.osd_state[osd] & _FULLNESS == message.state:
        service.publisher.reply_latest(request, message.version)
        return True
    return False


def prepare_full(service: OSDMapService, request: Request) -> None:
    """The bits of its state that tell how full it is become what it says."""
    message, osd = request.message, osd_of(request)
    if not isinstance(message, MOSDFull):
        return
    state = service.pending.new_state
    flips = (service.osdmap.osd_state[osd] ^ message.state) & _FULLNESS
    changed = int(state.get(osd, 0) & ~_FULLNESS | flips)
    if changed or osd in state:
        state[osd] = changed
    _answer_later(service, request, message.version)


# ------------------------------------------------------------------------------------------ alive


def preprocess_alive(service: OSDMapService, request: Request) -> bool:
    """An OSD wants the map to say that it was alive through an epoch."""
    message, osdmap = request.message, service.osdmap
    if not isinstance(message, MOSDAlive):
        return True
    if not may_speak(request) or not is_from_up_osd(osdmap, request):
        return _ignore(request)
    if osdmap.osd_info[osd_of(request)].up_thru >= message.want:
        service.publisher.reply_latest(request, message.version)
        return True
    return False


def prepare_alive(service: OSDMapService, request: Request) -> None:
    """Through the newest map that it has, so that it need not ask again soon."""
    message = request.message
    if isinstance(message, MOSDAlive):
        _update_up_thru(service, osd_of(request), message.version)
        _answer_later(service, request, message.version)


def _update_up_thru(service: OSDMapService, osd: int, epoch: int) -> None:
    new = service.pending.new_up_thru
    if epoch > new.get(osd, service.osdmap.osd_info[osd].up_thru):
        new[osd] = epoch


# -------------------------------------------------------------------------------------------- PGs


def preprocess_pg_created(service: OSDMapService, request: Request) -> bool:
    """A PG has come to be."""
    allowed = may_speak(request)
    if not allowed:
        request.no_reply()
    return not allowed


def prepare_pg_created(service: OSDMapService, request: Request) -> None:
    """It need not be created any more. Only what is committed is done with: the OSD tells a peon
    once, and that tells the next leader if this one dies.
    """
    message = request.message
    if not isinstance(message, MOSDPGCreated) or not is_from_up_osd(service.osdmap, request):
        request.no_reply()
        return
    service.pending_created_pgs.append(message.pgid)
    service.after_commit(request, request.no_reply)
    service.propose(service.damped())


def preprocess_ready_to_merge(service: OSDMapService, request: Request) -> bool:
    """The last PG of a pool is ready to be merged into its parent."""
    message = request.message
    if not isinstance(message, MOSDPGReadyToMerge):
        return True
    pool = service.osdmap.pools.get(message.pgid.pool)
    seed = message.pgid.seed
    if (
        not may_speak(request)
        or pool is None
        or pool.pg_num != seed + 1
        or pool.pg_num_pending > seed
    ):
        return _ignore(request)
    return False


def prepare_ready_to_merge(service: OSDMapService, request: Request) -> None:
    """The pool loses the PG, or gives up for now if it is not ready after all."""
    message, inc = request.message, service.pending
    if not isinstance(message, MOSDPGReadyToMerge):
        return
    pgid = message.pgid
    pool = service.pending_pool(pgid.pool)
    if pool.pg_num != pgid.seed + 1 or pool.pg_num_pending > pgid.seed:
        service.after_commit(request, lambda: service.dispatch(request))
        service.propose(service.damped())
        return
    if message.ready:
        _merge(pool, message, inc.epoch)
    else:
        pool.pg_num_pending = pool.pg_num
    pool.last_force_op_resend_prenautilus = inc.epoch
    _answer_later(service, request, message.version)


def _merge(pool: PGPool, message: MOSDPGReadyToMerge, epoch: int) -> None:
    pool.pg_num -= 1
    pool.last_pg_merge_meta = PGMergeMeta(
        source_pgid=message.pgid,
        ready_epoch=epoch,
        last_epoch_started=message.last_epoch_started,
        last_epoch_clean=message.last_epoch_clean,
        source_version=message.source_version,
        target_version=message.target_version,
    )
    pool.last_change = epoch


# -------------------------------------------------------------------------- temporary mappings


def preprocess_pgtemp(service: OSDMapService, request: Request) -> bool:
    """A primary wants others to serve its PGs for now, or no longer."""
    message, osdmap, osd = request.message, service.osdmap, osd_of(request)
    if not isinstance(message, MOSDPGTemp):
        return True
    if not may_speak(request) or not is_from_up_osd(osdmap, request):
        return _ignore(request)
    if message.forced:
        return False
    places = Placement(osdmap)
    ignored = 0
    for pg, osds in message.pg_temp.items():
        # Who no longer leads the PG speaks of an interval that has ended.
        if pg.pool not in osdmap.pools or places.pg_to_up_acting_osds(pg).acting_primary != osd:
            ignored += 1
        elif osds != osdmap.pg_temp.get(pg, []) or pg in osdmap.primary_temp:
            return False
    if ignored == len(message.pg_temp):
        return _ignore(request)
    service.publisher.reply_latest(request, message.map_epoch)
    return True


def prepare_pgtemp(service: OSDMapService, request: Request) -> None:
    """The mappings become what it says; that it is alive is clear as well."""
    message, osdmap, inc = request.message, service.osdmap, service.pending
    if not isinstance(message, MOSDPGTemp):
        return
    for pg, osds in message.pg_temp.items():
        if pg.pool in inc.old_pools or pg.pool not in osdmap.pools:
            continue
        inc.new_pg_temp[pg] = list(osds)
        if pg in osdmap.primary_temp or pg in inc.new_primary_temp:
            inc.new_primary_temp[pg] = -1
    _update_up_thru(service, osd_of(request), message.map_epoch)
    _answer_later(service, request, message.map_epoch)


# ---------------------------------------------------------------------------------------- beacons


def preprocess_beacon(service: OSDMapService, request: Request) -> bool:
    """An OSD is alive: the leader must hear of it."""
    allowed = may_speak(request)
    if not allowed:
        request.no_reply()
    return not allowed


def prepare_beacon(service: OSDMapService, request: Request) -> None:
    """Remember when it was heard of, which map it has, and since when its PGs are clean."""
    message, osdmap, osd = request.message, service.osdmap, osd_of(request)
    if not isinstance(message, MOSDBeacon):
        return
    if not is_from_up_osd(osdmap, request):
        if osd >= 0 and not is_up(osdmap, osd):
            # It may not know that it is thought dead.
            service.publisher.reply_latest(request, message.version + 1)
        request.no_reply()
        return
    request.no_reply()
    now = service.monitor.now()
    service.last_osd_report[osd] = (now, message.osd_beacon_report_interval)
    service.osd_epochs[osd] = message.version
    for pg in message.pgs:
        service.last_epoch_clean.report(pg, message.min_last_epoch_clean)
    info = osdmap.osd_xinfo[osd]
    if float(info.last_purged_snaps_scrub) < float(message.last_purged_snaps_scrub):
        changed = copy.copy(service.pending.new_xinfo.get(osd, info))
        changed.last_purged_snaps_scrub = message.last_purged_snaps_scrub
        service.pending.new_xinfo[osd] = changed
        service.propose(service.damped())
