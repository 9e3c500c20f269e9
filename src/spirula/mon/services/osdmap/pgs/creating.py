"""PGs that are to be made: the monitors tell the OSDs that lead them, until these say it is done.

The PGs of a new pool wait in a queue; at most `mon_osd_max_creating_pgs` are made at a time. Called
when a change is encoded, when maps are published, and for the subscription `osd_pg_creates`.
Upstream: `src/mon/OSDMonitor.cc` (update_pending_pgs, update_creating_pgs, send_pg_creates).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from spirula.crush.map import CrushMap
from spirula.maps.intervals import is_new_interval, past_interval
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import PGMapping, Placement
from spirula.messages.osd_mon import MOSDPGCreate2
from spirula.mon.services.osdmap.arrays import map_pgs
from spirula.types.creating_pgs import CreatingPGs, PGCreateInfo, PoolCreateInfo
from spirula.types.hobject import NO_SHARD
from spirula.types.pg import PGId, SPGId
from spirula.types.pg_info import PGHistory
from spirula.types.pool import PGPool

if TYPE_CHECKING:
    from spirula.maps.mapping import PGMappings

PREFIX, KEY = "osd_pg_creating", "creating"
"""Where the state stands in the store."""

_FEW = 16

ByOSD = dict[int, dict[int, set[SPGId]]]
"""PGs to create, by the OSD that leads them and the epoch since which that one does."""


class Places:
    """Where the PGs are that are being created, from epoch to epoch.

    Many are found with arrays, and what does not move is not looked for again.
    """

    def __init__(self) -> None:
        self._mappings: PGMappings | None = None

    def of(self, osdmap: OSDMap, pgs: Collection[PGId]) -> Callable[[PGId], PGMapping]:
        """What finds the places of these PGs by a map."""
        if len(pgs) < _FEW and self._mappings is None:
            return Placement(osdmap).pg_to_up_acting_osds
        wanted = {pg.pool for pg in pgs}
        only = copy.copy(osdmap)
        only.pools = {number: pool for number, pool in osdmap.pools.items() if number in wanted}
        self._mappings = map_pgs(only, self._mappings)
        return self._mappings.get

    def forget(self) -> None:
        """Nothing is being created."""
        self._mappings = None


def next_creating(
    creating: CreatingPGs,
    created: Iterable[PGId],
    osdmap: OSDMap,
    inc: Incremental,
    after: OSDMap,
    limit: int,
    places: Places,
) -> CreatingPGs:
    """What is to be created once `inc` has led from `osdmap` to `after`.

    `created` are PGs that exist by now; at most `limit` are made at a time. `places` remembers
    where they are.
    """
    made = CreatingPGs(
        last_scan_epoch=creating.last_scan_epoch,
        pgs=dict(creating.pgs),
        created_pools=set(creating.created_pools),
        queue={number: copy.copy(entry) for number, entry in creating.queue.items()},
    )
    if made.last_scan_epoch < inc.epoch:
        _queue_pools(made, osdmap.pools, osdmap, inc)
        _queue_pools(made, inc.new_pools, osdmap, inc)
        for number in inc.old_pools:
            _remove_pool(made, number)
        for pg in created:
            made.created_pools.add(pg.pool)
            made.pgs.pop(pg, None)
        made.last_scan_epoch = osdmap.epoch
    for pg in [pg for pg in made.pgs if not pg_exists(after, pg)]:
        del made.pgs[pg]
    _take_from_queue(made, inc.epoch, max(1, limit))
    if made.pgs:
        _follow_intervals(made, osdmap, inc.epoch, after, places)
    else:
        places.forget()
    return made


def pg_exists(osdmap: OSDMap, pg: PGId) -> bool:
    """Whether the map has that PG."""
    pool = osdmap.pools.get(pg.pool)
    return pool is not None and pg.seed < pool.pg_num


def is_creating_pool(creating: CreatingPGs, number: int) -> bool:
    """Whether PGs of that pool are still to be created."""
    return number in creating.queue or any(pg.pool == number for pg in creating.pgs)


def _has_rule(crush: CrushMap, pool: PGPool) -> bool:
    """Whether the pool's CRUSH rule is there and fits it."""
    return any(
        rule is not None
        and (rule.ruleset, rule.type) == (pool.crush_rule, pool.type)
        and rule.min_size <= pool.size <= rule.max_size
        for rule in crush.rules
    )


def _queue_pools(
    made: CreatingPGs, pools: Mapping[int, PGPool], osdmap: OSDMap, inc: Incremental
) -> None:
    for number, pool in sorted(pools.items()):
        if number in made.created_pools or number in inc.old_pools:
            continue
        # A pool that the incremental brings gets its epoch only when that is applied.
        changed = pool.last_change if number in osdmap.pools else inc.epoch
        if made.last_scan_epoch and changed <= made.last_scan_epoch:
            continue
        if _has_rule(osdmap.crush, pool):
            made.queue[number] = PoolCreateInfo(changed, inc.modified, 0, pool.pg_num)
            made.created_pools.add(number)


def _remove_pool(made: CreatingPGs, number: int) -> None:
    for pg in [pg for pg in made.pgs if pg.pool == number]:
        del made.pgs[pg]
    made.created_pools.discard(number)
    made.queue.pop(number, None)


def _take_from_queue(made: CreatingPGs, epoch: int, limit: int) -> None:
    for number in sorted(made.queue):
        entry = made.queue[number]
        room = limit - len(made.pgs)
        if room <= 0:
            break
        end = min(entry.start + room, entry.end)
        for seed in range(entry.start, end):
            # The epoch of now, so that OSDs need not make up a long history.
            made.pgs.setdefault(PGId(number, seed), PGCreateInfo(epoch, entry.modified))
        entry.start = end
        if entry.start >= entry.end:
            del made.queue[number]


def _follow_intervals(
    made: CreatingPGs, before: OSDMap, epoch: int, after: OSDMap, places: Places
) -> None:
    """Keeps for each PG who should have made it, so that its history is right from the start."""
    find = places.of(after, made.pgs)
    for pg, entry in made.pgs.items():
        now = find(pg)
        if not entry.history.epoch_created:
            made.pgs[pg] = _placed(
                entry, now, history=PGHistory.created(entry.create_epoch, entry.create_stamp)
            )
            continue
        was = PGMapping(entry.up, entry.up_primary, entry.acting, entry.acting_primary)
        if not is_new_interval(pg, was, now, before, after):
            continue
        min_size = after.pools[pg.pool].min_size
        interval = past_interval(
            pg,
            was,
            entry.history.same_interval_since,
            entry.history.last_epoch_clean,
            before,
            after,
            # A default binds the value of this turn of the loop.
            lambda osds, least=min_size: len(osds) >= least,  # type: ignore[misc]
        )
        intervals = copy.deepcopy(entry.past_intervals)
        intervals.add_interval(interval, erasure=before.pools[pg.pool].is_erasure)
        history = copy.copy(entry.history)
        history.same_interval_since = epoch
        if entry.up != now.up:
            history.same_up_since = epoch
        if entry.acting_primary != now.acting_primary:
            history.same_primary_since = epoch
        if pg.children(before.pools[pg.pool].pg_num, after.pools[pg.pool].pg_num):
            history.last_epoch_split = epoch
        made.pgs[pg] = _placed(entry, now, history=history, past_intervals=intervals)


def _placed(entry: PGCreateInfo, now: PGMapping, **changes: object) -> PGCreateInfo:
    made = copy.copy(entry)
    made.up, made.up_primary = list(now.up), now.up_primary
    made.acting, made.acting_primary = list(now.acting), now.acting_primary
    for name, value in changes.items():
        setattr(made, name, value)
    return made


# ----------------------------------------------------------------------------------- telling OSDs


def sort_by_osd(creating: CreatingPGs, osdmap: OSDMap, known: ByOSD) -> ByOSD:
    """Who is to create what, by the map; `known` is the same as it was before.

    A PG keeps the epoch under which its OSD was told, until another OSD leads it.
    """
    told = {
        pg.pgid: (osd, epoch)
        for osd, by_epoch in known.items()
        for epoch, pgs in by_epoch.items()
        for pg in pgs
    }
    found: ByOSD = {}
    for pg, entry in creating.pgs.items():
        if not pg_exists(osdmap, pg):
            continue
        primary = entry.acting_primary
        shard = NO_SHARD
        if osdmap.pools[pg.pool].is_erasure and primary in entry.acting:
            shard = entry.acting.index(primary)
        last = told.get(pg)
        epoch = last[1] if last is not None and last[0] == primary else osdmap.epoch
        found.setdefault(primary, {}).setdefault(epoch, set()).add(SPGId(pg, shard))
    return found


def create_message(
    creating: CreatingPGs, epoch: int, by_epoch: Mapping[int, set[SPGId]], start: int
) -> tuple[MOSDPGCreate2 | None, int]:
    """What an OSD that was told of epochs before `start` is to be told, and where to start next."""
    message: MOSDPGCreate2 | None = None
    last = 0
    for at in sorted(by_epoch):
        if at < start:
            continue
        last = at
        for pg in sorted(by_epoch[at], key=lambda pg: (pg.pool, pg.seed)):
            entry = creating.pgs.get(pg.pgid)
            if entry is None:
                continue
            message = message or MOSDPGCreate2(epoch=epoch)
            message.pgs[pg] = (entry.create_epoch, entry.create_stamp)
            if entry.history.epoch_created:
                message.pg_extra[pg] = (entry.history, entry.past_intervals)
    return message, (last + 1 if message else start)
