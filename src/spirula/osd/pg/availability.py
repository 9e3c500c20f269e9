"""Which objects can be read and written now: those that are here, and everywhere.

Called by `pipeline` before a request begins. Upstream: `src/osd/PrimaryLogPG.cc`
(is_unreadable_object, is_degraded_or_backfilling_object).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject
    from spirula.types.pg import PGShard


def is_unreadable(pg: PG, hoid: HObject) -> bool:
    """The object's newest version is not on this OSD."""
    return hoid in pg.missing.missing


def is_degraded(pg: PG, hoid: HObject) -> bool:
    """Who takes part in writes does not have the object's newest version, or is getting it now.

    Those who recover in the background do not count: they only take the log of such an object.
    """
    if hoid in pg.missing.missing or is_copied(pg, hoid):
        return True
    peering = pg.peering
    peers, later = peering.peer_missing, peering.async_recovery_targets
    for each in pg.replicas:
        if each in peers and hoid in peers[each].missing and each not in later:
            return True
    return False


def is_copied(pg: PG, hoid: HObject) -> bool:
    """The object is on its way to an OSD that is filled, or next: writes wait until it is there."""
    backfill = pg.backfill
    return hoid in backfill.in_flight or hoid == backfill.blocked


def is_anywhere_degraded(pg: PG, hoid: HObject) -> bool:
    """`is_degraded`, or lacked by one that recovers in the background: nothing can be cloned."""
    peers = pg.peering.peer_missing
    return is_degraded(pg, hoid) or any(
        hoid in peers[each].missing for each in pg.peering.async_recovery_targets
    )


def takes_part(pg: PG, shard: PGShard, hoid: HObject) -> bool:
    """Whether a replica carries out writes to the object; else it only takes their log entries."""
    peering = pg.peering
    last_backfill = peering.peer_info[shard].last_backfill
    if not last_backfill.max and hoid > last_backfill and hoid > pg.backfill.last_started:
        return False
    if shard in peering.async_recovery_targets:
        return hoid not in peering.peer_missing[shard].missing
    return True
