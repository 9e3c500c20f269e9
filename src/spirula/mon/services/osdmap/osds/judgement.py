"""What the monitors may do to an OSD by themselves: mark it up, down, in or out.

Flags for the cluster, a bucket, a device class or the OSD forbid it, and so do the ratios that keep
a network failure from taking a whole cluster down. Upstream: `OSDMonitor::can_mark_down` and the
functions after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.query import has_wish, net_marked_down, net_marked_out
from spirula.maps.state import OSDState, count_osds

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService


def can_mark_down(service: OSDMapService, osd: int) -> bool:
    """Whether the OSD may be marked down."""
    osdmap = service.osdmap
    if has_wish(osdmap, osd, "nodown"):
        return False
    counts = count_osds(osdmap)
    if not counts.all:
        return False
    up = counts.up - net_marked_down(service.pending, osdmap)
    return up / counts.all >= service.monitor.config.get_float("mon_osd_min_up_ratio")


def can_mark_up(service: OSDMapService, osd: int) -> bool:
    """Whether the OSD may be marked up."""
    return not has_wish(service.osdmap, osd, "noup")


def can_mark_out(service: OSDMapService, osd: int = -1) -> bool:
    """Whether the OSD (without one: any) may be marked out."""
    osdmap = service.osdmap
    if has_wish(osdmap, osd, "noout"):
        return False
    counts = count_osds(osdmap)
    if not counts.all:
        return False
    in_ = counts.in_ - net_marked_out(service.pending, osdmap)
    return in_ / counts.all >= service.monitor.config.get_float("mon_osd_min_in_ratio")


def can_mark_in(service: OSDMapService, osd: int) -> bool:
    """Whether the OSD may be marked in."""
    return not has_wish(service.osdmap, osd, "noin")


def is_pending_down(service: OSDMapService, osd: int) -> bool:
    """Whether the pending change flips the OSD's `up` already."""
    return bool(service.pending.new_state.get(osd, 0) & OSDState.UP)


def mark_down(service: OSDMapService, osd: int) -> None:
    """Mark an OSD that is up down."""
    state = service.pending.new_state
    state[osd] = int(state.get(osd, 0) | OSDState.UP)
