"""An OSD boots: whether it may, and what the map notes of it.

Upstream: `src/mon/OSDMonitor.cc` (preprocess_boot, prepare_boot, _booted).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from spirula.denc.features import (
    OSD_PGLOG_HARDLIMIT,
    OSD_RECOVERY_DELETES,
    SERVER_JEWEL,
    SERVER_KRAKEN,
    SERVER_LUMINOUS,
    SERVER_OCTOPUS,
    SERVER_PACIFIC,
    STRETCH_MODE,
    has,
)
from spirula.maps.state import OSD_IN, OSDMapFlag, OSDState, Release, exists, is_up
from spirula.messages.osd_mon import MOSDBoot
from spirula.mon.services.osdmap.osds.judgement import (
    can_mark_in,
    can_mark_up,
    is_pending_down,
    mark_down,
)
from spirula.mon.services.osdmap.osds.sources import is_at, may_speak, osd_of, same_addrs
from spirula.types.log import LogLevel
from spirula.types.osd_info import OsdXInfo

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

_NEEDED = (
    (SERVER_LUMINOUS, "CEPH_FEATURE_SERVER_LUMINOUS"),
    (SERVER_JEWEL, "CEPH_FEATURE_SERVER_JEWEL"),
    (SERVER_KRAKEN, "CEPH_FEATURE_SERVER_KRAKEN"),
    (OSD_RECOVERY_DELETES, "CEPH_FEATURE_OSD_RECOVERY_DELETES"),
)
_NO_UUID = bytes(16)
_FULL_PROBABILITY = 0xFFFFFFFF


def _refusal(service: OSDMapService, message: MOSDBoot) -> str:
    """Why an OSD that can do no more than it says must not take part; empty if it may."""
    osdmap, features = service.osdmap, message.osd_features
    missing = [name for mask, name in _NEEDED if not has(features, mask)]
    release = osdmap.require_osd_release
    if missing:
        return f"the osd lacks {';'.join(missing)}"
    if has(features, SERVER_OCTOPUS) and release < Release.MIMIC:
        return "require_osd_release < mimic"
    if has(features, SERVER_PACIFIC) and release < Release.NAUTILUS:
        return "require_osd_release < nautilus"
    if (
        release >= Release.LUMINOUS
        and osdmap.flags & OSDMapFlag.PGLOG_HARDLIMIT
        and not has(features, OSD_PGLOG_HARDLIMIT)
    ):
        return "'pglog_hardlimit' osdmap flag is set and OSD lacks the OSD_PGLOG_HARDLIMIT feature"
    if osdmap.stretch_mode_enabled and not has(features, STRETCH_MODE):
        return "stretch mode is on and OSD lacks support"
    return ""


def preprocess(service: OSDMapService, request: Request) -> bool:
    """Refuse without an answer, or answer whom the map has as up already."""
    message, osdmap, addrs = request.message, service.osdmap, request.session.addrs
    osd = osd_of(request)
    if not isinstance(message, MOSDBoot):
        return True
    request_ok = may_speak(request, message.sb.cluster_fsid) and osd >= 0
    if not request_ok or all(addr.is_blank_ip for addr in addrs.addrs):
        return _ignore(request)
    refusal = _refusal(service, message)
    if refusal:
        service.monitor.clog(
            LogLevel.INFO,
            f"disallowing boot of OSD {request.session.name} {addrs} because {refusal}",
        )
        return _ignore(request)
    if (
        is_up(osdmap, osd)
        and is_at(osdmap, osd, addrs)
        and same_addrs(osdmap.cluster_addrs[osd], message.cluster_addrs)
    ):
        service.publisher.reply_latest(request, message.sb.current_epoch + 1)
        return True
    if exists(osdmap, osd):
        known = osdmap.osd_uuid[osd]
        if known not in (_NO_UUID, message.sb.osd_fsid):
            service.monitor.log(1, f"osd.{osd} boots with another fsid than it has in the map")
            return _ignore(request)
        if osdmap.osd_info[osd].up_from > message.version and is_at(osdmap, osd, addrs):
            service.publisher.reply_latest(request, message.sb.current_epoch + 1)
            return True
    if not can_mark_up(service, osd):
        service.publisher.reply_latest(request, message.sb.current_epoch + 1)
        return True
    return False


def _ignore(request: Request) -> bool:
    request.no_reply()
    return True


def prepare(service: OSDMapService, request: Request) -> None:
    """Mark the OSD up; one that is up elsewhere is marked down first."""
    message, osdmap, inc = request.message, service.osdmap, service.pending
    osd = osd_of(request)
    if not isinstance(message, MOSDBoot):
        return
    if osd >= osdmap.max_osd:
        service.monitor.log(1, f"osd.{osd} boots, and max_osd is {osdmap.max_osd}")
        request.no_reply()
        return
    if is_up(osdmap, osd):
        if not is_pending_down(service, osd):
            mark_down(service, osd)
        service.after_commit(request, lambda: service.dispatch(request))
    elif osd in inc.new_up_client:
        service.after_commit(request, lambda: service.dispatch(request))
    else:
        _mark_up(service, request, message, osd)
        service.after_commit(request, lambda: _booted(service, request, message))
    service.propose(service.damped())


def _booted(service: OSDMapService, request: Request, message: MOSDBoot) -> None:
    session = request.session
    service.monitor.clog(LogLevel.INFO, f"{session.name} {session.addrs} boot")
    service.publisher.reply_latest(request, message.sb.current_epoch + 1)


def _mark_up(service: OSDMapService, request: Request, message: MOSDBoot, osd: int) -> None:
    osdmap, inc = service.osdmap, service.pending
    there = exists(osdmap, osd)
    state = (osdmap.osd_state[osd] if there else OSDState.NEW) ^ inc.new_state.get(osd, 0)
    inc.new_up_client[osd] = request.session.addrs
    inc.new_up_cluster[osd] = message.cluster_addrs
    inc.new_hb_back_up[osd] = message.hb_back_addrs
    inc.new_hb_front_up[osd] = message.hb_front_addrs
    service.down_pending_out.pop(osd, None)
    if not there or osdmap.osd_uuid[osd] != message.sb.osd_fsid:
        inc.new_uuid[osd] = message.sb.osd_fsid
    info = osdmap.osd_info[osd]
    if message.sb.newest_map == 0 and there and info.up_from > info.lost_at:
        # It begins anew: whatever it had is lost.
        inc.new_lost[osd] = osdmap.epoch
    service.pending_metadata[osd] = dict(message.metadata)
    service.pending_metadata_rm.discard(osd)
    clean = (message.sb.mounted, message.sb.clean_thru)
    if clean > (info.last_clean_begin, info.last_clean_end):
        inc.new_last_clean_interval[osd] = clean
    changed = copy.copy(inc.new_xinfo.get(osd, osdmap.osd_xinfo[osd]))
    _learn_laggy(service, changed, message)
    changed.features = message.osd_features or request.session.features
    inc.new_xinfo[osd] = changed
    if _is_wanted_in(service, int(state)) and can_mark_in(service, osd):
        inc.new_weight[osd] = changed.old_weight or OSD_IN
        changed.old_weight = 0


def _learn_laggy(service: OSDMapService, info: OsdXInfo, message: MOSDBoot) -> None:
    """An OSD that was marked down and had never stopped was only slow: expect that again."""
    config = service.monitor.config
    weight = config.get_float("mon_osd_laggy_weight")
    if message.boot_epoch == 0:
        info.laggy_probability = int(info.laggy_probability * (1.0 - weight))
        info.laggy_interval = int(info.laggy_interval * (1.0 - weight))
        return
    if info.down_stamp.sec:
        interval = max(int(service.monitor.wall()) - info.down_stamp.sec, 0)
        most = config.get_int("mon_osd_laggy_max_interval")
        if most:
            interval = min(interval, most)
        info.laggy_interval = int(interval * weight + info.laggy_interval * (1.0 - weight))
    share = weight + info.laggy_probability / _FULL_PROBABILITY * (1.0 - weight)
    info.laggy_probability = int(min(share, 1.0) * _FULL_PROBABILITY)


def _is_wanted_in(service: OSDMapService, state: int) -> bool:
    config = service.monitor.config
    return (
        config.get_bool("mon_osd_auto_mark_in")
        or (config.get_bool("mon_osd_auto_mark_auto_out_in") and bool(state & OSDState.AUTOOUT))
        or (config.get_bool("mon_osd_auto_mark_new_in") and bool(state & OSDState.NEW))
    )
