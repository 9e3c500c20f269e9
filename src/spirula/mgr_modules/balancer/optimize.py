"""Makes plans: what mode none, upmap, crush-compat or read would do to even a cluster out.

`optimize` fills a plan in, or raises why there is none: the cluster has other work, nothing is to
be gained, the mode cannot. Decisions and numbers: upstream `src/pybind/mgr/balancer`.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spirula.errors import AlreadyDone, CephError, InvalidArgument, NotFound, TryAgain
from spirula.maps.balance.upmaps import calc_pg_upmaps
from spirula.mgr_modules.balancer import compat
from spirula.mgr_modules.balancer.plan import Plan, imported

MODES = ("none", "crush-compat", "upmap", "read")
NOTHING_FOUND = (
    "Unable to find further optimization, or pool(s) pg_num is decreasing, or distribution is "
    "already perfect"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The module's options that plans depend on, and `target_max_misplaced_ratio`."""

    max_misplaced: float = 0.05
    upmap_max_optimizations: int = 10
    upmap_max_deviation: int = 5
    crush: compat.CompatSettings = field(default_factory=compat.CompatSettings)


def optimize(plan: Plan, status: Mapping[str, Any], settings: Settings, rng: random.Random) -> None:
    """Fills a plan in.

    `status` is the manager's document `pg_status`. Raises TryAgain while the cluster has other
    work, AlreadyDone where nothing is to be gained, other CephErrors where the mode cannot.
    """
    _refuse_busy(status, settings.max_misplaced)
    if plan.mode == "upmap":
        optimize_upmap(plan, status, settings, rng)
    elif plan.mode == "crush-compat":
        compat.optimize_compat(plan, settings.crush, settings.max_misplaced, rng)
    elif plan.mode == "read":
        plan.affinities = imported("mgr_modules.balancer.reads").optimize_reads(plan.osdmap)
    elif plan.mode == "none":
        text = 'Please do "ceph balancer mode" to choose a valid mode first'
        raise CephError.from_errno(errno.ENOEXEC, text)
    else:
        raise InvalidArgument(f"Unrecognized mode {plan.mode}")


def _refuse_busy(status: Mapping[str, Any], max_misplaced: float) -> None:
    """Data that is being made good or is on its way already comes first."""
    for key, text in (
        ("unknown_pgs_ratio", "Some PGs ({:f}) are unknown; try again later"),
        ("degraded_ratio", "Some objects ({:f}) are degraded; try again later"),
        ("inactive_pgs_ratio", "Some PGs ({:f}) are inactive; try again later"),
    ):
        share = float(status.get(key, 0.0))
        if share > 0:
            raise TryAgain(text.format(share))
    misplaced = float(status.get("misplaced_ratio", 0.0))
    if misplaced >= max_misplaced:
        shares = f"{misplaced:f} > {max_misplaced:f}"
        raise TryAgain(f"Too many objects ({shares}) are misplaced; try again later")


def optimize_upmap(
    plan: Plan, status: Mapping[str, Any], settings: Settings, rng: random.Random
) -> None:
    """Exceptions for single PGs, pool by pool in random order, that no pool is always last."""
    osdmap = plan.osdmap
    numbers = [
        number
        for number, name in sorted(osdmap.pool_name.items())
        if not plan.pools or name in plan.pools
    ]
    if not numbers:
        raise NotFound("No pools available")
    rng.shuffle(numbers)
    clean = _clean_pgs(status)
    left = settings.upmap_max_optimizations
    for number in numbers:
        pool = osdmap.pools[number]
        if pool.pg_num > pool.pg_num_target:
            continue  # its PGs are about to be merged
        # A PG that is being scrubbed is not moved either: that is work enough.
        left -= calc_pg_upmaps(
            osdmap,
            plan.inc,
            max_deviation=settings.upmap_max_deviation,
            max_changes=min(left, clean.get(number, 0)),
            pools={number},
            rng=rng,
        )
        if left <= 0:
            break
    if left == settings.upmap_max_optimizations:
        raise AlreadyDone(NOTHING_FOUND)


def _clean_pgs(status: Mapping[str, Any]) -> dict[int, int]:
    """How many PGs of each pool are active and clean, and nothing else."""
    return {
        int(pool["pool_id"]): sum(
            state["count"]
            for state in pool["pg_state_counts"]
            if state["state_name"] == "active+clean"
        )
        for pool in status.get("pgs_by_pool_state", ())
    }
