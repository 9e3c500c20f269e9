"""Clones of snapshots that are purged: looks for them in the index of clones, has them trimmed.

There should be none, but a client that was slow to hear of a purge may have made some. An OSD looks
once in `osd_scrub_min_interval` (`tick`) and at the command `scrub_purged_snaps` (`start`), a part
of its index at a time beside clients. Upstream: `src/osd/OSD.cc` (scrub_purged_snaps),
`SnapMapper.cc` (Scrubber).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from spirula.osd import purged_snaps, reports
from spirula.osd.pg import snap_trim
from spirula.osd.scheduler import Kind
from spirula.osd.superblock import put_superblock
from spirula.store import snap_mapper
from spirula.store.osd_meta import META
from spirula.types.base import UTime
from spirula.types.log import LogLevel
from spirula.types.pg import PGId, SPGId, stable_mod
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from asyncio import Future

    from spirula.osd.scheduler import Turn
    from spirula.osd.state import OSD
    from spirula.types.interval_set import IntervalSet

_AT_ONCE = 512
_LOOK_BYTES = 256
"""About what is read of the index for each clone."""


@dataclass(slots=True, eq=False)
class PurgedScrub:
    """A look through the index: `after` is the last key seen, `purged` what is known by pool."""

    after: str = ""
    purged: dict[int, IntervalSet] = field(default_factory=dict)
    found: int = 0
    """How many clones of purged snapshots there are."""
    stray: set[tuple[SPGId, int]] = field(default_factory=set)
    """The PGs and snapshots that those are of."""
    turn: Turn | None = None
    waiting: list[Future[None]] = field(default_factory=list)
    """Of those who asked for it by command."""


def tick(osd: OSD) -> None:
    """Once a second while the OSD serves: begins if the last time is long ago."""
    interval = osd.config.get_float("osd_scrub_min_interval")
    if float(osd.superblock.last_purged_snaps_scrub) + interval < osd.ports.wall():
        start(osd)


def start(osd: OSD) -> None:
    """Begins, unless it is under way."""
    if osd.purged_scrub is None:
        osd.clog(LogLevel.DEBUG, "purged_snaps scrub starts")
        osd.purged_scrub = PurgedScrub()
        _go_on(osd, osd.purged_scrub)


async def whole(osd: OSD) -> None:
    """Looks from the first to the last key; begins anew when the look that is under way has ended.

    Snapshots may have been purged after that one passed their clones.
    """
    if osd.purged_scrub is not None:
        await _end_of(osd, osd.purged_scrub)
    start(osd)
    if osd.purged_scrub is not None:
        await _end_of(osd, osd.purged_scrub)


def _end_of(osd: OSD, run: PurgedScrub) -> Future[None]:
    ended: Future[None] = osd.ports.loop.create_future()
    run.waiting.append(ended)
    return ended


def _go_on(osd: OSD, run: PurgedScrub) -> None:
    scheduler = osd.pgs.shared.scheduler
    run.turn = scheduler.ask(Kind.SCRUB, _AT_ONCE * _LOOK_BYTES, lambda: _look(osd, run))


def _look(osd: OSD, run: PurgedScrub) -> None:
    """Looks at some more of the index."""
    seen = 0
    for mapping in islice(snap_mapper.mappings(osd.store, run.after), _AT_ONCE):
        seen += 1
        run.after, hoid = mapping.key, mapping.hoid
        purged = run.purged.get(hoid.pool)
        if purged is None:
            purged = run.purged[hoid.pool] = purged_snaps.ranges_of(osd.store, hoid.pool)
        if mapping.snap in purged:
            run.found += 1
            pool = osd.maps.current.pools.get(hoid.pool)
            if pool is not None:
                pgid = PGId(hoid.pool, stable_mod(hoid.hash, pool.pg_num))
                run.stray.add((SPGId(pgid, mapping.shard), mapping.snap))
    if seen == _AT_ONCE:
        _go_on(osd, run)
    else:
        _finish(osd, run)


def _finish(osd: OSD, run: PurgedScrub) -> None:
    """All is seen: PGs that this OSD leads trim again, and the monitors are told."""
    told = f"found {run.found} strays" if run.found else "ok"
    osd.clog(LogLevel.DEBUG, f"purged_snaps scrub {told}")
    for spgid, snap in sorted(run.stray):
        pg = osd.pgs.by_id.get(spgid)
        if pg is not None:
            snap_trim.trim_again(pg, snap)
    osd.superblock.last_purged_snaps_scrub = UTime.at(osd.ports.wall())
    transaction = Transaction()
    put_superblock(transaction, osd.superblock)
    osd.store.queue_transactions(META, [transaction])
    osd.purged_scrub = None
    for ended in run.waiting:
        if not ended.done():
            ended.set_result(None)
    if osd.is_active:
        reports.send_beacon(osd)
