"""Brings pools to the numbers of PGs that were asked for, in steps that the cluster can bear.

Called at each tick. Behaviour: upstream `src/mgr/DaemonServer.cc` (adjust_pgs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spirula.types.pg import PGId, PGState
from spirula.types.pool import PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.mgr.state import Manager
    from spirula.pgmap.record import PGMap

_CLEAN = PGState.ACTIVE | PGState.CLEAN
_SERVING = PGState.ACTIVE | PGState.PEERED
_LEAST_AHEAD_OF_MERGES = 8


@dataclass(slots=True, frozen=True)
class Shares:
    """What is not as it should be, as shares of 1: of copies, and of PGs."""

    misplaced: float
    degraded: float
    inactive: float
    unknown: float

    @classmethod
    def of(cls, pgmap: PGMap) -> Shares:
        """The shares as they are now."""
        total, pgs = pgmap.pg_sum.stats.sum, pgmap.num_pg
        copies = total.num_object_copies
        inactive = pgs - pgmap.num_pg_active - pgmap.num_pg_unknown
        return cls(
            total.num_objects_misplaced / copies if copies > 0 else 0.0,
            total.num_objects_degraded / copies if copies > 0 else 0.0,
            inactive / pgs if pgs else 0.0,
            pgmap.num_pg_unknown / pgs if pgs else 0.0,
        )


def adjust(manager: Manager) -> None:
    """Takes the next step of each pool that is not where it should be."""
    pgmap, osdmap, config = manager.pgmap, manager.osdmap, manager.config
    creating = sum(
        count
        for state, count in pgmap.num_pg_by_state.items()
        if not state or state & PGState.CREATING
    )
    left = max(1, config.get_int("mon_osd_max_creating_pgs")) - creating
    if left <= 0 or not manager.pgmap_ready:
        return
    shares, most = Shares.of(pgmap), config.get_float("target_max_misplaced_ratio")
    at_once = config.get_bool("mgr_debug_aggressive_pg_num_changes")
    for number, pool in sorted(osdmap.pools.items()):
        name = osdmap.pool_name[number]
        merging = False
        if pool.pg_num_target < pool.pg_num and not pool.has_flag(PoolFlag.CREATING):
            merging = _can_merge(manager, number, pool)
            if merging:
                _set(manager, name, "pg_num_actual", pool.pg_num - 1)
                continue
        elif pool.pg_num_target > pool.pg_num and not pool.has_flag(PoolFlag.CREATING):
            states = pgmap.num_pg_by_pool_state.get(number)
            if states and all(state & _SERVING for state in states):
                more = min(left, pool.pg_num_target - pool.pg_num)
                left -= more
                _set(manager, name, "pg_num_actual", pool.pg_num + more)
        target = min(pool.pg_num_pending, pool.pgp_num_target)
        if target != pool.pgp_num and _may_move(pool, target, shares, most, at_once=at_once):
            objects = pgmap.sum_of_pool(number).stats.sum.num_objects
            step = target if at_once else next_pgp_num(pool, target, objects, shares, most)
            _set(manager, name, "pgp_num_actual", step)
        if left <= 0:
            return


def _may_move(pool: PGPool, target: int, shares: Shares, most: float, *, at_once: bool) -> bool:
    """Whether more data may be set in motion now."""
    if target > pool.pgp_num == pool.pg_num:
        return False  # the PGs to be placed are not there yet
    if at_once:
        return True
    return not (shares.inactive or shares.degraded or shares.unknown or shares.misplaced > most)


def next_pgp_num(pool: PGPool, target: int, objects: int, shares: Shares, most: float) -> int:
    """The next value of pgp_num: so far that no more than `most` of the data is misplaced."""
    if pool.pgp_num_target > pool.pgp_num and objects <= pool.pgp_num_target:
        return target
    room = min(most - shares.misplaced, most / 2)
    step = max(int(pool.pg_num * room), 1)
    reached = max(pool.pgp_num - step, min(target, pool.pgp_num + step))
    if pool.pgp_num_target == pool.pg_num_target and pool.pgp_num_target < pool.pg_num:
        # PGs that wait to be merged should not pile up on few OSDs.
        ahead = max(_LEAST_AHEAD_OF_MERGES, int(pool.pg_num * most))
        reached = max(reached, pool.pg_num - ahead)
    return reached


def _can_merge(manager: Manager, number: int, pool: PGPool) -> bool:
    """Whether the last PG of a pool may be merged with the one that it was split from."""
    if pool.pg_num != pool.pg_num_pending or pool.pg_num == pool.pgp_num:
        return False
    osdmap, pgmap = manager.osdmap, manager.pgmap
    source = PGId(number, pool.pg_num - 1)
    target = PGId(number, source.seed & ((1 << (source.seed.bit_length() - 1)) - 1))
    ready, acting = True, []
    for pgid in (source, target):
        if pgid in osdmap.pg_upmap or pgid in osdmap.pg_upmap_items:
            for prefix in ("osd rm-pg-upmap", "osd rm-pg-upmap-items"):
                _command(manager, {"prefix": prefix, "pgid": str(pgid)})
            ready = False
        stat = pgmap.pg_stat.get(pgid)
        if stat is None or stat.state & _CLEAN != _CLEAN:
            ready = False
        else:
            acting.append(stat.acting)
    return ready and acting[0] == acting[1]


def _set(manager: Manager, pool: str, name: str, value: int) -> None:
    _command(manager, {"prefix": "osd pool set", "pool": pool, "var": name, "val": str(value)})


def _command(manager: Manager, command: dict[str, str]) -> None:
    async def run() -> None:
        reply = await manager.session.command(command)
        if reply.result < 0:
            manager.log(1, f"{command}: {reply.status}")

    manager.spawn(run())
