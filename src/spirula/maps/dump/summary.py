"""An OSD map in a line or two: `ceph osd stat`, and the OSD part of `ceph status`.

Called by the monitor's commands and its log. Upstream: `src/osd/OSDMap.cc`, print_summary.
"""

from __future__ import annotations

from spirula.maps.osdmap import OSDMap
from spirula.maps.state import SEMIHIDDEN_FLAGS, count_osds, flag_string
from spirula.types.base import UTime


def summary_document(osdmap: OSDMap) -> dict[str, object]:
    """Counts of OSDs, and since when they are what they are (seconds since 1970)."""
    counts = count_osds(osdmap)
    return {
        "epoch": osdmap.epoch,
        "num_osds": counts.all,
        "num_up_osds": counts.up,
        "osd_up_since": osdmap.last_up_change.sec,
        "num_in_osds": counts.in_,
        "osd_in_since": osdmap.last_in_change.sec,
        "num_remapped_pgs": len(osdmap.pg_temp),
    }


def print_summary(osdmap: OSDMap, now: UTime, prefix: str = "", *, epoch: bool = True) -> str:
    """`4 osds: 4 up (since 2m), 4 in (since 3m); epoch: e117`, then the flags behind `prefix`."""
    counts = count_osds(osdmap)
    text = (
        f"{counts.all} osds: {counts.up} up{_since(now, osdmap.last_up_change)},"
        f" {counts.in_} in{_since(now, osdmap.last_in_change)}"
    )
    if epoch:
        text += f"; epoch: e{osdmap.epoch}"
    if osdmap.pg_temp:
        text += f"; {len(osdmap.pg_temp)} remapped pgs"
    text += "\n"
    shown = osdmap.flags & ~SEMIHIDDEN_FLAGS
    if shown:
        text += f"{prefix}flags {flag_string(shown)}\n"
    return text


def _since(now: UTime, then: UTime) -> str:
    if not then:
        return ""
    return f" (since {UTime.at(max(float(now) - float(then), 0.0)).span_text()})"


def print_oneline_summary(osdmap: OSDMap) -> str:
    """`e117: 4 total, 4 up, 4 in`, as the cluster log has it for each epoch."""
    counts = count_osds(osdmap)
    return f"e{osdmap.epoch}: {counts.all} total, {counts.up} up, {counts.in_} in"
