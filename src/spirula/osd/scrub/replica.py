"""A scrub at a replica: a slot for its primary, and a map of each chunk that it asks about.

Called by `machine.on_reserve` and `dispatch`. Upstream: `src/osd/pg_scrubber.cc`
(handle_scrub_reserve_request, replica_scrub_op, send_replica_map).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spirula.messages.osd_scrub import MOSDRepScrubMap, MOSDScrubReserve, ScrubReserveType
from spirula.osd.scrub import build, schedule, snap_index
from spirula.osd.scrub.state import ReplicaChunk
from spirula.types.pg import SPGId
from spirula.types.scrub import ScrubMap

if TYPE_CHECKING:
    from spirula.messages.osd_scrub import MOSDRepScrub
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject


def on_request(pg: PG, message: MOSDScrubReserve) -> None:
    """A primary asks for one of our slots: it is told at once whether it has one."""
    scrubber, slots, interval = pg.scrubber, pg.shared.scrubs, pg.info.history.same_interval_since
    if scrubber.reserved_at and scrubber.reserved_at < interval:
        release(pg)
    if message.map_epoch < interval:
        return
    granted = bool(scrubber.reserved_at)
    options = pg.options
    if not granted and (options.osd_scrub_during_recovery or not schedule.is_recovering(pg)):
        granted = slots.is_free(options.osd_max_scrubs)
        if granted:
            slots.remote += 1
            scrubber.reserved_at = message.map_epoch
    answer = MOSDScrubReserve(
        pgid=SPGId(pg.pgid.pgid, message.from_.shard),
        map_epoch=message.map_epoch,
        type=ScrubReserveType.GRANT if granted else ScrubReserveType.REJECT,
        from_=pg.whoami,
    )
    pg.services.send_osd(message.from_.osd, answer, pg.osdmap.epoch)


def release(pg: PG) -> None:
    """The slot that the primary had is free."""
    if pg.scrubber.reserved_at:
        pg.scrubber.reserved_at = 0
        pg.shared.scrubs.remote -= 1


def on_scrub(pg: PG, message: MOSDRepScrub) -> None:
    """The primary asks what is here of a chunk."""
    if message.map_epoch < pg.info.history.same_interval_since or pg.is_primary:
        return
    _end(pg)
    start, end = message.start, message.end
    builder = build.MapBuilder(pg, start, end, deep=message.deep)
    chunk = ReplicaChunk(builder, start, end, message.allow_preemption, message.min_epoch)
    pg.scrubber.replica = chunk
    pg.scrubber.range = (start, end)
    builder.run(partial(_on_built, pg, chunk), lambda: not chunk.preempted)


def preempt(pg: PG, hoid: HObject) -> None:
    """A write to the chunk came: the map would not be what the primary has."""
    chunk = pg.scrubber.replica
    if chunk is not None and chunk.preemptable and chunk.start <= hoid.head() < chunk.end:
        chunk.preempted = True


def _on_built(pg: PG, chunk: ReplicaChunk) -> None:
    if pg.scrubber.replica is not chunk:
        return
    _end(pg)
    found = ScrubMap() if chunk.preempted else chunk.builder.map
    if not chunk.preempted:
        snap_index.check(pg, found.objects)
    answer = MOSDRepScrubMap(
        pgid=SPGId(pg.pgid.pgid, pg.primary.shard),
        map_epoch=chunk.min_epoch,
        from_=pg.whoami,
        preempted=chunk.preempted,
    )
    answer.data = found.encode()
    pg.services.send_osd(pg.primary.osd, answer, chunk.min_epoch)


def _end(pg: PG) -> None:
    chunk = pg.scrubber.replica
    if chunk is not None:
        chunk.builder.cancel()
        pg.scrubber.replica = None
        pg.scrubber.range = None


def reset(pg: PG) -> None:
    """The interval is over."""
    _end(pg)
    release(pg)
