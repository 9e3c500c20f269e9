"""Health checks of the autoscaler: pools with too few or too many PGs, and promised too much.

Codes and texts: upstream `src/pybind/mgr/pg_autoscaler`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spirula.maps.dump.pools import options_document
from spirula.maps.osdmap import OSDMap
from spirula.mgr_modules.pg_autoscaler.targets import Subtree, Target
from spirula.mgr_modules.tables import short_bytes


def health_checks(
    osdmap: OSDMap, targets: list[Target], subtrees: Mapping[int, Subtree]
) -> dict[str, Any]:
    """The checks that do not pass, as modules tell them."""
    checks: dict[str, Any] = {}
    few, many = _out_of_range(targets)
    for code, text, lines in (
        ("POOL_TOO_FEW_PGS", "pools have too few placement groups", few),
        ("POOL_TOO_MANY_PGS", "pools have too many placement groups", many),
        (
            "POOL_TARGET_SIZE_BYTES_OVERCOMMITTED",
            "subtrees have overcommitted pool target_size_bytes",
            _overcommitted(targets, subtrees),
        ),
        (
            "POOL_HAS_TARGET_SIZE_BYTES_AND_RATIO",
            "pools have both target_size_bytes and target_size_ratio set",
            _both_set(osdmap, targets),
        ),
    ):
        if lines:
            checks[code] = {
                "severity": "warning",
                "summary": f"{len(lines)} {text}",
                "count": len(lines),
                "detail": lines,
            }
    return checks


def _out_of_range(targets: list[Target]) -> tuple[list[str], list[str]]:
    """Pools of mode `warn` with another number than they should have, however little they are off.

    Upstream counts those that have just what they should among the ones with too many.
    """
    few: list[str] = []
    many: list[str] = []
    for one in targets:
        if one.pg_autoscale_mode != "warn" or one.pg_num_final == one.pg_num_target:
            continue
        line = (
            f"Pool {one.pool_name} has {one.pg_num_target} placement groups, "
            f"should have {one.pg_num_final}"
        )
        (few if one.pg_num_final > one.pg_num_target else many).append(line)
    return few, many


def _both_set(osdmap: OSDMap, targets: list[Target]) -> list[str]:
    options = {one.pool_name: options_document(osdmap.pools[one.pool_id]) for one in targets}
    return [
        f"Pool {name} has target_size_bytes and target_size_ratio set"
        for name, told in options.items()
        if told.get("target_size_ratio") and told.get("target_size_bytes")
    ]


def _overcommitted(targets: list[Target], subtrees: Mapping[int, Subtree]) -> list[str]:
    lines = []
    for root, tree in subtrees.items():
        mine = [one for one in targets if one.crush_root_id == root]
        total = sum(max(one.actual_raw_used, one.target_bytes * one.raw_used_rate) for one in mine)
        promised = int(sum(one.target_bytes * one.raw_used_rate for one in mine))
        if not promised or not tree.capacity:
            continue
        names = [one.pool_name for one in mine if one.target_bytes]
        size = short_bytes(promised)
        start = (
            f"Pools {tree.pools} overcommit available storage by "
            f"{total / tree.capacity:.03f}x due to"
        )
        if total > tree.capacity:
            lines.append(f"{start} target_size_bytes {size} on pools {names}")
        elif promised > tree.capacity:
            lines.append(f"{start} collective target_size_bytes of {size}")
    return lines
