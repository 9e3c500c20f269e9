"""Who a message is from, as the map knows it, and whether that may say such things.

Shared by the handlers of OSDs' messages. Upstream: `OSDMonitor::check_source`,
`entity_addrvec_t::legacy_equals`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.osdmap import OSDMap
from spirula.maps.state import is_up
from spirula.types.entity import AddrType, EntityAddrVec, EntityType

if TYPE_CHECKING:
    from spirula.mon.request import Request


def osd_of(request: Request) -> int:
    """The number of the OSD that sent it, -1 for anybody else."""
    name = request.session.name
    return name.num if name.type == EntityType.OSD else -1


def may_speak(request: Request, fsid: bytes | None = None) -> bool:
    """Whether the sender may speak as an OSD does, and (with `fsid`) means this cluster."""
    monitor, kind = request.monitor, type(request.message).__name__
    if not request.session.is_capable("osd", execute=True):
        monitor.log(0, f"{kind} from {request.session} without the caps for it")
        return False
    if fsid is not None and fsid != monitor.monmap.fsid:
        monitor.log(0, f"{kind} from {request.session} of another cluster")
        return False
    return True


def same_addrs(one: EntityAddrVec, other: EntityAddrVec) -> bool:
    """Whether both mean one place; peers that know only one address count by that."""
    if one == other:
        return True
    for few, many in ((one, other), (other, one)):
        if len(few) == 1 and few.addrs[0].type == AddrType.LEGACY:
            legacy = next((a for a in many.addrs if a.type == AddrType.LEGACY), None)
            if legacy == few.addrs[0]:
                return True
    return False


def is_at(osdmap: OSDMap, osd: int, addrs: EntityAddrVec) -> bool:
    """Whether the OSD is, or was when it was last up, at these public addresses."""
    return 0 <= osd < osdmap.max_osd and same_addrs(osdmap.client_addrs[osd], addrs)


def is_from_up_osd(osdmap: OSDMap, request: Request) -> bool:
    """Whether an OSD sent it that is up by the map, and not a former run of it."""
    osd = osd_of(request)
    return osd >= 0 and is_up(osdmap, osd) and is_at(osdmap, osd, request.session.addrs)
