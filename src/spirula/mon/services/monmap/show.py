"""A monitor map in print: plain text, and documents with upstream's fields in their order.

Called by commands and the log. Shapes: upstream `src/mon/MonMap.cc`, `MonmapMonitor.cc`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from spirula.maps.state import Release
from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MON_FEATURE_NAMES, MonFeature, MonMap


def gmtime(stamp: UTime) -> str:
    """A moment in universal time, `Z` behind it; a span in seconds."""
    if stamp.sec < 10 * 365 * 86_400:
        return str(stamp)
    moment = datetime.fromtimestamp(stamp.sec, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp.nsec // 1000:06}Z"


def addrs_document(addrs: EntityAddrVec) -> dict[str, object]:
    """All addresses of somebody."""
    return {"addrvec": Items("addr", [addr.plain() for addr in addrs.addrs])}


def location_text(location: Mapping[str, str]) -> str:
    """`{datacenter=a,rack=b}`."""
    return "{" + ",".join(f"{key}={value}" for key, value in sorted(location.items())) + "}"


def joined(values: Iterable[object]) -> str:
    """A set in print: `a,b`."""
    return ",".join(map(str, values))


def summary(monmap: MonMap) -> str:
    """`e1: 1 mons at {a=...} removed_ranks: {}`, as logged for every epoch."""
    mons = joined(
        f"{name}={monmap.mon_info[name].public_addrs}" for name in sorted(monmap.mon_info)
    )
    removed = joined(sorted(monmap.removed_ranks))
    return (
        f"e{monmap.epoch}: {len(monmap.mon_info)} mons at {{{mons}}} removed_ranks: {{{removed}}}"
    )


def summary_document(monmap: MonMap) -> dict[str, object]:
    """What `ceph status` says of it."""
    return {
        "epoch": monmap.epoch,
        "min_mon_release_name": Release.name_of(monmap.min_mon_release),
        "num_mons": len(monmap.ranks),
    }


def plain(monmap: MonMap) -> str:
    """`ceph mon dump`."""
    lines = [
        f"epoch {monmap.epoch}",
        f"fsid {uuid.UUID(bytes=bytes(monmap.fsid))}",
        f"last_changed {monmap.last_changed}",
        f"created {monmap.created}",
        f"min_mon_release {monmap.min_mon_release} ({Release.name_of(monmap.min_mon_release)})",
        f"election_strategy: {monmap.strategy}",
    ]
    if monmap.stretch_mode_enabled:
        lines.append(f"stretch_mode_enabled {int(monmap.stretch_mode_enabled)}")
        lines.append(f"tiebreaker_mon {monmap.tiebreaker_mon}")
    if monmap.disallowed_leaders:
        lines.append(f"disallowed_leaders {joined(sorted(monmap.disallowed_leaders))}")
    for rank, name in enumerate(monmap.ranks):
        info = monmap.mon_info[name]
        where = f"; crush_location {location_text(info.crush_loc)}" if info.crush_loc else ""
        lines.append(f"{rank}: {info.public_addrs} mon.{name}{where}")
    return "\n".join(lines) + "\n"


def document(monmap: MonMap) -> dict[str, object]:
    """`ceph mon dump -f json`, but for the quorum."""
    return {
        "epoch": monmap.epoch,
        "fsid": str(uuid.UUID(bytes=bytes(monmap.fsid))),
        "modified": gmtime(monmap.last_changed),
        "created": gmtime(monmap.created),
        "min_mon_release": monmap.min_mon_release,
        "min_mon_release_name": Release.name_of(monmap.min_mon_release),
        "election_strategy": monmap.strategy,
        "disallowed_leaders: ": joined(sorted(monmap.disallowed_leaders)),
        "stretch_mode": monmap.stretch_mode_enabled,
        "tiebreaker_mon": monmap.tiebreaker_mon,
        "removed_ranks: ": joined(sorted(monmap.removed_ranks)),
        "features": {
            "persistent": Items("bit_flag", monmap.persistent_features.names()),
            "optional": Items("bit_flag", monmap.optional_features.names()),
        },
        "mons": Items("mon", [_mon(monmap, rank) for rank in range(len(monmap.ranks))]),
    }


def _mon(monmap: MonMap, rank: int) -> dict[str, object]:
    info = monmap.mon_info[monmap.ranks[rank]]
    legacy = info.public_addrs.legacy_or_front.without_type()
    return {
        "rank": rank,
        "name": monmap.ranks[rank],
        "public_addrs": addrs_document(info.public_addrs),
        "addr": legacy,
        "public_addr": legacy,
        "priority": info.priority,
        "weight": info.weight,
        "crush_location": location_text(info.crush_loc),
    }


def feature_list(features: int, *, with_value: bool = False) -> Items:
    """Names of features, each with its number in brackets if that is wanted."""
    bits = [1 << n for n in range(64) if features >> n & 1]
    names = [(MON_FEATURE_NAMES.get(MonFeature(bit), "unknown"), bit) for bit in bits]
    return Items("bit_flag", [f"{name}({bit})" if with_value else name for name, bit in names])


def features_text(features: int, *, with_value: bool = False) -> str:
    """`[kraken,luminous]`."""
    return f"[{joined(feature_list(features, with_value=with_value))}]"
