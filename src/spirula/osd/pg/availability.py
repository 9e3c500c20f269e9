"""Which objects can be read and written now: those that are here, and everywhere.

Called by `pipeline` before a request begins. Upstream: `src/osd/PrimaryLogPG.cc`
(is_unreadable_object, is_degraded_or_backfilling_object).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject


def is_unreadable(pg: PG, hoid: HObject) -> bool:
    """The object's newest version is not on this OSD."""
    return hoid in pg.missing.missing


def is_degraded(pg: PG, hoid: HObject) -> bool:
    """Some OSD of the acting set does not have the object's newest version."""
    if hoid in pg.missing.missing:
        return True
    peers = pg.peering.peer_missing
    return any(hoid in peers[each].missing for each in pg.replicas if each in peers)
