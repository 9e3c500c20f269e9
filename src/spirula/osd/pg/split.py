"""Splits a PG when its pool gets more PGs: each child takes the objects whose hashes are its own.

Every OSD that has the PG splits its copy by itself, with the map that says so; the children peer
like any other, by the next map (there is one soon, for the parents ask to be noted alive). Log and
what is missing are divided by objects, dups are kept by all. Called by the OSD for each map.
Upstream: `src/osd/OSD.cc` (split_pgs), `PG.cc` and `PeeringState.cc` (split_into).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from spirula.osd.pg import create, meta
from spirula.osd.pg.log import Log
from spirula.osd.pg.peering.intervals import place
from spirula.osd.pg.peering.work import hold_back
from spirula.store import pg_meta
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import PGId, SPGId
from spirula.types.pg_info import PGHistory, PGInfo
from spirula.types.pg_log import PGLogEntry, PGMissing
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.maps.placement import PGMapping
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject


def split(pg: PG, seeds: Collection[PGId], mapping_of: Callable[[PGId], PGMapping]) -> list[PG]:
    """Splits a PG that was `advance`d to the map by which its pool has more PGs: these `seeds`.

    Gives the children, at the same map; they are on their way to the disk with the parent.
    """
    pg_num = pg.pool.pg_num
    transaction = Transaction()
    children = []
    by_bits = sorted((each.split_bits(pg_num), each.seed) for each in seeds)
    for bits, seed in by_bits:  # a collection's bits only grow
        child_id = PGId(pg.pgid.pgid.pool, seed)
        pgid = SPGId(child_id, pg.pgid.shard)
        pg_meta.create_collection(transaction, pgid, pg_num)
        made = _child(pg, pgid, pg.osdmap, mapping_of(child_id))
        transaction.split_collection(pg.coll, bits, child_id.seed, made.coll)
        pg_meta.init_on_disk(transaction, pgid, pg.pool)
        _divide(pg, made, bits)
        made.info.stats.parent_split_bits = bits
        children.append(made)
    transaction.collection_set_bits(pg.coll, pg.pgid.pgid.split_bits(pg_num))
    _share_counters([pg, *children])
    for one in (pg, *children):
        one.meta.dirty_info = one.meta.dirty_big_info = one.meta.dirty_epoch = True
        one.meta.rewrite_log = True
        meta.write(one, transaction)
    pg.queue((transaction,), pg.on_store_result)
    for child in children:
        # An empty transaction comes after the parent's: when the child has flushed, now or in
        # a later interval, it is on disk, and with it all that the parent had.
        child.queue((Transaction(),), child.on_store_result)
        hold_back(child)
    return children


def _child(pg: PG, pgid: SPGId, osdmap: OSDMap, mapping: PGMapping) -> PG:
    """A PG with the parent's history; nothing is divided yet."""
    parent = pg.info
    info = PGInfo.decode(parent.encode())
    info.pgid, info.shard = pgid.pgid, pgid.shard
    info.history = PGHistory.decode(parent.history.encode())
    info.history.epoch_created = osdmap.epoch
    made = create.make_record(pg.shared, pgid, info, osdmap, pg.pool)
    made.past_intervals = PastIntervals.decode(pg.past_intervals.encode())
    place(made, mapping)
    if made.primary != pg.primary:
        info.history.same_primary_since = osdmap.epoch
    info.stats.mapping_epoch = osdmap.epoch
    create.begin(made)
    made.last_peering_reset = pg.last_peering_reset
    made.split_in = osdmap.epoch
    return made


def _divide(pg: PG, child: PG, bits: int) -> None:
    """Gives the child its part of log and missing objects."""
    seed = child.pgid.pgid.seed

    def is_childs(hobj: HObject) -> bool:
        return hobj.matches(bits, seed)

    entries = list(pg.log.entries)
    old = pg.log
    pg.log, child.log = (
        _log_of(old, [each for each in entries if is_childs(each.soid) == wanted])
        for wanted in (False, True)
    )
    kept, given = PGMissing(), PGMissing()
    kept.may_include_deletes = given.may_include_deletes = pg.missing.may_include_deletes
    for hobj, item in pg.missing.missing.items():
        (given if is_childs(hobj) else kept).missing[hobj] = item
    pg.meta.missing |= set(given.missing)
    pg.missing, child.missing = kept, given
    if pg.info.is_incomplete:
        for one in (pg, child):
            one.info.last_backfill = type(one.info.last_backfill)()
            one.missing = PGMissing(may_include_deletes=kept.may_include_deletes)


def _log_of(old: Log, entries: list[PGLogEntry]) -> Log:
    """A log of some of the entries, from the same tail to the same head."""
    wire = old.wire(old.head)
    wire.tail = old.tail
    wire.log = entries
    return Log.of(wire)


def _share_counters(pgs: list[PG]) -> None:
    """Divides the counters evenly; they are estimates until a scrub counts."""
    total = pgs[0].info.stats.stats.sum
    parts = [ObjectStatSum() for _ in pgs]
    for field in ObjectStatSum._denc_fields:
        share, rest = divmod(getattr(total, field.name), len(pgs))
        for index, part in enumerate(parts):
            setattr(part, field.name, share + (index < rest))
    for pg, part in zip(pgs, parts, strict=True):
        pg.info.stats.stats.sum = part
        pg.info.stats.stats_invalid = True
