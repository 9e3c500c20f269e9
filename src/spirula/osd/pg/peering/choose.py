"""Whose history of a PG counts, who should serve it, and who is brought up to date beside that.

`choose` decides by the infos that were gathered and changes nothing; `choose_acting` also asks the
monitors for another acting set where that is needed. Called by `machine`. Upstream:
`src/osd/PeeringState.cc` (find_best_info, select_replicated_primary, calc_replicated_acting,
choose_async_recovery_replicated, choose_acting).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.maps.state import is_up
from spirula.osd.pg.peering.infos import shards_of
from spirula.types.base import EVersion
from spirula.types.pg import PGShard

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.pg_info import PGInfo


@dataclass(slots=True)
class Question:
    """What the choice depends on.

    `infos` are those of OSDs that are up, this one's (`whoami`) among them; `strays` have the PG
    and are neither up nor acting. `newest_first` is False where others can go back to the oldest
    (erasure-coded pools). The last three are the options of these names.
    """

    infos: Mapping[PGShard, PGInfo]
    whoami: PGShard
    up: list[PGShard]
    acting: list[PGShard]
    up_primary: int
    size: int
    min_size: int
    strays: set[PGShard] = field(default_factory=set)
    newest_first: bool = True
    osd_force_auth_primary_missing_objects: int = 100
    osd_async_recovery_min_cost: int = 100
    osd_allow_recovery_below_min_size: bool = True
    osd_find_best_info_ignore_history_les: bool = False


@dataclass(slots=True)
class Choice:
    """Who has the history that counts (`best`), who should serve, and who needs everything.

    `want` are OSDs in order, the primary first. `everybody` gets each write: those, the ones in
    `backfill` that are filled object by object, and the ones in `async_recovery` that lack so much
    of the log that clients should not wait for them. `by_history` says that another OSD knew of a
    later start than any complete copy.
    """

    best: PGShard
    want: list[int]
    everybody: list[PGShard] = field(default_factory=list)
    backfill: set[PGShard] = field(default_factory=set)
    async_recovery: set[PGShard] = field(default_factory=set)
    by_history: bool = False


# ---------------------------------------------------------------------------------- what to choose


def question(pg: PG) -> Question:
    """What is known now."""
    options = pg.options
    infos = {**pg.peering.peer_info, pg.whoami: pg.info}
    return Question(
        infos={shard: info for shard, info in infos.items() if _can_serve(pg, shard)},
        whoami=pg.whoami,
        up=shards_of(pg, pg.up),
        acting=shards_of(pg, pg.acting),
        up_primary=pg.up_primary,
        size=pg.pool.size,
        min_size=pg.pool.min_size,
        strays=set(pg.peering.strays),
        newest_first=not pg.pool.is_erasure,
        osd_force_auth_primary_missing_objects=options.osd_force_auth_primary_missing_objects,
        osd_async_recovery_min_cost=options.osd_async_recovery_min_cost,
        osd_allow_recovery_below_min_size=options.osd_allow_recovery_below_min_size,
        osd_find_best_info_ignore_history_les=options.osd_find_best_info_ignore_history_les,
    )


def _can_serve(pg: PG, shard: PGShard) -> bool:
    return shard == pg.whoami or is_up(pg.osdmap, shard.osd)


def newest_start(asked: Question) -> tuple[int, bool]:
    """The last epoch in which the PG is known to have served, and whether only a history says so.

    Every copy with writes of that epoch's interval was complete then.
    """
    found, by_history = 0, False
    for info in asked.infos.values():
        if not asked.osd_find_best_info_ignore_history_les:
            start = info.history.last_epoch_started
            if found < start:
                found, by_history = start, True
        if not info.is_incomplete and found < info.last_epoch_started:
            found, by_history = info.last_epoch_started, False
    return found, by_history


def find_best(asked: Question, *, restrict_to_up_acting: bool = False) -> PGShard | None:
    """Who has all writes that may have been acknowledged; None if nobody is sure to."""
    start, _ = newest_start(asked)
    infos = asked.infos
    least = min(
        (info.last_update for info in infos.values() if info.last_epoch_started >= start),
        default=None,
    )
    if least is None:
        return None
    members = {*asked.up, *asked.acting}
    found: PGShard | None = None
    for shard in _in_order(infos):
        info = infos[shard]
        if restrict_to_up_acting and shard not in members:
            continue
        if info.last_update < least or info.last_epoch_started < start or info.is_incomplete:
            continue
        if found is None or _rank(asked, shard) > _rank(asked, found):
            found = shard
    return found


def _in_order(shards: Iterable[PGShard]) -> list[PGShard]:
    return sorted(shards, key=lambda each: (each.osd, each.shard))


def _rank(asked: Question, shard: PGShard) -> tuple[int, int, int, int, bool, bool]:
    """The newest (or oldest) update first, then the longer log, then who lacks nothing."""
    info = asked.infos[shard]
    newest = (info.last_update.epoch, info.last_update.version)
    if not asked.newest_first:
        newest = (-newest[0], -newest[1])
    tail = info.log_tail
    return (
        *newest,
        *(-tail.epoch, -tail.version),
        not info.has_missing,
        shard == asked.whoami,
    )


def choose(asked: Question, *, restrict_to_up_acting: bool = False) -> Choice | None:
    """Who should serve the PG; None if no complete copy is known.

    `restrict_to_up_acting` leaves out who is neither up nor acting now.
    """
    best = find_best(asked, restrict_to_up_acting=restrict_to_up_acting)
    if best is None:
        return None
    primary = _primary(asked, best)
    made = Choice(best, [primary.osd], [primary], by_history=newest_start(asked)[1])
    # the log that counts is extended back as far as somebody has it
    oldest = min(asked.infos[primary].log_tail, asked.infos[best].log_tail)
    _take_up(asked, made, oldest)
    rest = [each for each in asked.acting if each not in asked.up]
    _take_newest(asked, made, oldest, rest)
    if not restrict_to_up_acting:
        members = {*asked.up, *asked.acting}
        strays = [each for each in _in_order(asked.infos) if each not in members]
        _take_newest(asked, made, oldest, strays)
    if len(made.want) < asked.min_size and not asked.osd_allow_recovery_below_min_size:
        return None
    _recover_asynchronously(asked, made)
    del made.want[asked.size :]
    return made


def _primary(asked: Question, best: PGShard) -> PGShard:
    """The first of the up set if its log is joined to the one that counts and it lacks little."""
    first = next((each for each in asked.up if each.osd == asked.up_primary), None)
    if first is None or first not in asked.infos:
        return best
    theirs, counts = asked.infos[first], asked.infos[best]
    if theirs.is_incomplete or theirs.last_update < counts.log_tail:
        return best
    if _cost(theirs, counts) > asked.osd_force_auth_primary_missing_objects:
        return best
    return first


def _cost(info: PGInfo, counts: PGInfo) -> int:
    """About how many objects an OSD lacks of those that the best one has."""
    apart = abs(counts.last_update.version - info.last_update.version)
    return info.stats.stats.sum.num_objects_missing + apart


def _is_joined(info: PGInfo, oldest: EVersion) -> bool:
    """The log tells all that this copy lacks."""
    return not info.is_incomplete and info.last_update >= oldest


def _take_up(asked: Question, made: Choice, oldest: EVersion) -> None:
    """Those whom the map wants serve, or are filled anew."""
    for shard in asked.up:
        info = asked.infos.get(shard)
        if shard in made.everybody or info is None:
            continue
        made.everybody.append(shard)
        if _is_joined(info, oldest):
            made.want.append(shard.osd)
        else:
            made.backfill.add(shard)


def _take_newest(asked: Question, made: Choice, oldest: EVersion, others: list[PGShard]) -> None:
    """Fills empty places with others, the newest first."""
    fit = [
        each
        for each in others
        if each not in made.everybody
        and each in asked.infos
        and _is_joined(asked.infos[each], oldest)
    ]
    fit.sort(key=lambda each: asked.infos[each].last_update, reverse=True)
    for shard in fit[: max(asked.size - len(made.want), 0)]:
        made.want.append(shard.osd)
        made.everybody.append(shard)


def _recover_asynchronously(asked: Question, made: Choice) -> None:
    """Those who lack much do not serve until they have it, as long as enough others do."""
    counts = asked.infos[made.best]
    costs = []
    for shard in made.everybody:
        if shard.osd not in made.want or shard not in asked.up or shard in asked.strays:
            continue
        cost = _cost(asked.infos[shard], counts)
        if cost > asked.osd_async_recovery_min_cost:
            costs.append((cost, shard.osd, shard))
    for _, osd, shard in sorted(costs, key=lambda each: each[:2], reverse=True):
        if len(made.want) <= asked.min_size:
            break
        made.want.remove(osd)
        made.async_recovery.add(shard)


# ------------------------------------------------------------------------------ what follows of it


def choose_acting(
    pg: PG, *, restrict_to_up_acting: bool = False, request_pg_temp_change_only: bool = False
) -> Choice | None:
    """Has the PG served by whom `choose` wants.

    None when that cannot be yet: `want_acting` is then whom the monitors were asked for, empty when
    no complete copy is known. With `request_pg_temp_change_only`, an acting set that is as it
    should be stays as it is.
    """
    peering = pg.peering
    if pg.is_peered:
        _follow_writes(pg)
    made = choose(question(pg), restrict_to_up_acting=restrict_to_up_acting)
    if made is None:
        if pg.up != pg.acting:
            _want(pg, pg.up)  # without those who serve meanwhile, and were no help
        else:
            peering.want_acting = []
        return None
    if made.want != pg.acting:
        _want(pg, made.want)
        return None
    if request_pg_temp_change_only:
        return made
    peering.want_acting = []
    pg.acting_recovery_backfill = made.everybody
    pg.replicas = [each for each in made.everybody if each != pg.whoami]
    peering.backfill_targets = made.backfill
    peering.async_recovery_targets = made.async_recovery
    return made


def _follow_writes(pg: PG) -> None:
    """Who takes part has the log as it is here: what he told was as of the interval's beginning."""
    pg.info.stats.stats.sum.num_objects_missing = len(pg.missing.missing)
    for shard in pg.replicas:
        info, lacks = pg.peering.peer_info[shard], pg.peering.peer_missing[shard].missing
        info.last_update, info.log_tail = pg.info.last_update, pg.info.log_tail
        info.stats.stats.sum.num_objects_missing = len(lacks)
        if not lacks:
            info.last_complete = info.last_update


def _want(pg: PG, osds: list[int]) -> None:
    """Asks the monitors that these serve; none are named if the map names them anyway."""
    pg.peering.want_acting = list(osds)
    pg.shared.want_pg_temp(pg.pgid.pgid, [] if osds == pg.up else list(osds))
