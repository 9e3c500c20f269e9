"""Makes placement groups: new ones, and those that are in the store when the OSD starts.

A new PG is asked for by the monitors (a new pool), or by a primary that has chosen this OSD. It
begins at the map of its making and is taken through all maps since by the OSD. Also here: what is
answered for a PG that this OSD does not have. Upstream: `src/osd/OSD.cc` (handle_pg_create_info,
handle_pg_query_nopg), `PeeringState.cc` (init).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spirula.messages.osd_peering import MOSDPGLog, MOSDPGNotify2, MOSDPGQuery2
from spirula.osd.pg import lease, meta, transfer
from spirula.osd.pg.dispatch import dispatch
from spirula.osd.pg.log import Log
from spirula.osd.pg.meta import Meta
from spirula.osd.pg.objects import ObjectContexts
from spirula.osd.pg.peering import machine
from spirula.osd.pg.peering.intervals import place, take_pool
from spirula.osd.pg.peering.missing import deletes_are_recovered
from spirula.osd.pg.peering.state import Peering
from spirula.osd.pg.peering.table import RULES
from spirula.osd.pg.recovery import Recovery
from spirula.osd.pg.replicated import ReplicatedBackend
from spirula.osd.pg.state import PG
from spirula.osd.pg.waiting import Waiting
from spirula.store import pg_meta
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import Coll, PGShard, PGState, SPGId
from spirula.types.pg_info import PGInfo, PGNotify, QueryType
from spirula.types.pool import PGPool
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.maps.placement import PGMapping
    from spirula.messages.base import Message
    from spirula.osd.pg.shared import Shared
    from spirula.types.pg_info import PGHistory


def make_record(shared: Shared, pgid: SPGId, info: PGInfo, osdmap: OSDMap, pool: PGPool) -> PG:
    """The record, not placed yet."""
    services = shared.services
    pg = PG(
        shared=shared,
        services=services,
        options=shared.options,
        settings=shared.op_settings,
        classes=shared.classes,
        store=services.store,
        pgid=pgid,
        coll=Coll.of(pgid),
        pgmeta=pgid.pgmeta(),
        whoami=PGShard(services.whoami, pgid.shard),
        osdmap=osdmap,
        pool=pool,
        info=info,
        log=Log(),
        meta=Meta(PGInfo.decode(info.encode())),
        objects=ObjectContexts(shared.options.osd_pg_object_context_cache_count),
        waiting=Waiting(),
        peering=Peering(RULES),
        recovery=Recovery(),
    )
    pg.objects.pg = pg
    pg.backend = ReplicatedBackend(pg)
    pg.dispatch = partial(dispatch, pg)
    pg.post = partial(machine.post, pg)
    take_pool(pg, pool)
    return pg


def create(
    shared: Shared,
    pgid: SPGId,
    osdmap: OSDMap,
    mapping: PGMapping,
    history: PGHistory,
    past_intervals: PastIntervals,
) -> PG:
    """Makes a PG that this OSD does not have, at the map of its making; its pool must be in that.

    `activate_map` is to be called once it has been taken through the maps since.
    """
    pool = osdmap.pools[pgid.pgid.pool]
    info = PGInfo(pgid=pgid.pgid, history=history)
    info.shard = pgid.shard
    info.stats.created = history.epoch_created
    pg = make_record(shared, pgid, info, osdmap, pool)
    pg.past_intervals = past_intervals
    pg.missing.may_include_deletes = deletes_are_recovered(osdmap)
    place(pg, mapping)
    info.stats.mapping_epoch = history.same_interval_since
    begin(pg)
    transaction = Transaction()
    pg_meta.create_collection(transaction, pgid, pool.pg_num)
    pg_meta.init_on_disk(transaction, pgid, pool)
    pg.meta.dirty_info = pg.meta.dirty_big_info = pg.meta.dirty_epoch = True
    pg.meta.rewrite_log = True
    meta.write(pg, transaction)
    pg.queue((transaction,), pg.on_store_result)
    if pg.is_primary:
        pg.set_state(on=PGState.CREATING)
    return pg


def load(
    shared: Shared, pgid: SPGId, stored: pg_meta.StoredInfo, osdmap: OSDMap, mapping: PGMapping
) -> PG:
    """Makes the record of a PG that is in the store, at the map `stored.epoch` that it had last.

    `pg_meta.read_info` gives `stored`. A pool that is gone by that map must have been looked at
    before. Raises InputOutput where the log is damaged.
    """
    info = stored.info
    pool = osdmap.pools[pgid.pgid.pool]
    found = pg_meta.read_log(shared.services.store, pgid, info)
    pg = make_record(shared, pgid, info, osdmap, pool)
    pg.past_intervals = stored.past_intervals
    pg.log = Log.of(found.log)
    pg.log.can_rollback_to = max(found.log.can_rollback_to, pg.log.tail)
    pg.missing = found.missing
    place(pg, mapping)
    begin(pg)
    transfer.clear_temporary(pg, transfer.find_temporary(pg))
    pg.meta.dirty_info = False
    return pg


def begin(pg: PG) -> None:
    """Both kinds start here: what was promised before is remembered, nothing is agreed upon."""
    lease.reset(pg)
    pg.last_peering_reset = pg.osdmap.epoch
    pg.last_update_ondisk = pg.last_complete_ondisk = pg.info.last_update
    pg.projected_last_update = pg.info.last_update
    pg.peering.send_notify = not pg.is_primary
    machine.reset(pg)


def answer_for_absent(shared: Shared, message: MOSDPGQuery2, epoch: int) -> None:
    """A primary asks for a PG that this OSD does not have: it has nothing of it."""
    query, pgid = message.query, message.spgid
    info = PGInfo(pgid=pgid.pgid)
    info.shard = pgid.shard
    osd = message.connection.peer_name.num
    answer: Message
    if query.type == QueryType.INFO:
        notify = PGNotify(query.epoch_sent, epoch, info, query.from_, query.to, PastIntervals())
        answer = MOSDPGNotify2(SPGId(pgid.pgid, query.from_), notify)
    else:
        answer = MOSDPGLog(
            epoch=epoch,
            info=info,
            query_epoch=query.epoch_sent,
            to=query.from_,
            from_=query.to,
        )
    shared.services.send_osd(osd, answer, epoch)
