"""Before two PGs are merged: both become quiet and clean, and the monitors are told so.

A pool that is to lose its last PG names a smaller `pg_num_pending` first. The PG that goes and the
one that takes its objects begin an interval in which they serve nobody, and once both are clean,
their primary (it is the same OSD for both) reports their versions: nothing will change until the
merge. One that lacks members says so instead, and the monitors give up for now. Called by
`peering`; the merge itself is in `join`. Upstream: `src/osd/OSD.cc` (_send_ready_to_merge),
`PeeringState.cc` (try_mark_clean).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from spirula.messages.osd_mon import MOSDPGReadyToMerge
from spirula.types.base import EVersion
from spirula.types.pg import NO_OSD, PGId, PGState

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.messages.base import Message
    from spirula.osd.pg.state import PG


class _Target(NamedTuple):
    """What a PG that is to take another's objects reports."""

    version: EVersion
    last_epoch_started: int
    last_epoch_clean: int


@dataclass(slots=True, eq=False)
class ReadyToMerge:
    """Who is ready among the PGs that this OSD leads, and what the monitors were told.

    `send` sends to the monitors, `epoch` is that of the newest map.
    """

    send: Callable[[Message], None]
    epoch: Callable[[], int]
    sources: dict[PGId, EVersion] = field(default_factory=dict)
    targets: dict[PGId, _Target] = field(default_factory=dict)
    unready: dict[PGId, PGId] = field(default_factory=dict)
    """PGs that are not ready, with the source of their merge (perhaps themselves)."""
    told: set[PGId] = field(default_factory=set)
    """Sources whose merge the monitors have heard of."""

    def clear(self, pgid: PGId) -> None:
        """A PG begins a new interval: what was said of it does not count any more."""
        self.sources.pop(pgid, None)
        self.targets.pop(pgid, None)
        self.unready.pop(pgid, None)
        self.told.discard(pgid)

    def on_map(self, osdmap: OSDMap) -> None:
        """PGs that are gone may come again one day."""
        self.told = {pgid for pgid in self.told if _exists(osdmap, pgid)}

    def tell_again(self) -> None:
        """A new session with the monitors: they may not have heard."""
        self.told.clear()
        self.tell()

    def tell(self) -> None:
        """Reports what has become known since the last time."""
        for source in sorted(set(self.unready.values()), key=_order):
            if source not in self.told:
                self._send(MOSDPGReadyToMerge(pgid=source, ready=False), source)
        for source, version in sorted(self.sources.items(), key=lambda each: _order(each[0])):
            target = self.targets.get(source.parent())
            if target is None or source in self.told or source.parent() in self.unready:
                continue
            ready = MOSDPGReadyToMerge(
                pgid=source,
                source_version=version,
                target_version=target.version,
                last_epoch_started=target.last_epoch_started,
                last_epoch_clean=target.last_epoch_clean,
                ready=True,
            )
            self._send(ready, source)

    def _send(self, message: MOSDPGReadyToMerge, source: PGId) -> None:
        message.version = self.epoch()
        self.send(message)
        self.told.add(source)


def _order(pgid: PGId) -> tuple[int, int]:
    return pgid.pool, pgid.seed


def _exists(osdmap: OSDMap, pgid: PGId) -> bool:
    pool = osdmap.pools.get(pgid.pool)
    return pool is not None and pgid.seed < pool.pg_num


def source_of_merge(pg: PG) -> PGId | None:
    """The PG that goes in the merge in which this one is to take part; None without one."""
    pool, pgid = pg.pool, pg.pgid.pgid
    pending = pool.pg_num_pending
    if not 0 < pending < pool.pg_num:
        return None
    if pgid.seed >= pending:
        return pgid
    for seed in range(pending, pool.pg_num):
        source = PGId(pgid.pool, seed)
        if source.parent() == pgid:
            return source
    return None


def on_started(pg: PG) -> bool:
    """All members have the start of the interval on disk: whether the PG is to serve nobody now."""
    source = source_of_merge(pg)
    if source is None:
        return False
    pg.set_state(on=PGState.PEERED | PGState.PREMERGE)
    if sum(osd != NO_OSD for osd in pg.acting) != pg.pool.size:
        ready = pg.shared.ready_to_merge
        ready.unready[pg.pgid.pgid] = source
        ready.tell()
    return True


def on_clean(pg: PG) -> None:
    """The PG is clean, and nothing is written to it: it may be ready."""
    source = source_of_merge(pg)
    if source is None or not pg.state & PGState.CLEAN or pg.is_active() or not pg.is_peered:
        return
    ready, info, pgid = pg.shared.ready_to_merge, pg.info, pg.pgid.pgid
    if source == pgid:
        ready.sources[pgid] = info.last_update
    else:
        history = info.history
        ready.targets[pgid] = _Target(
            info.last_update, history.last_epoch_started, history.last_epoch_clean
        )
    ready.tell()
