"""The placement groups of an OSD: which it has, and which of them a message is for.

Routes requests and peering messages by PG and map epoch, makes PGs that monitors or peers ask for,
and takes all of them through each new map. What a PG does then is in `pg`. Called by `osd` and
`advance`. Behaviour: upstream `src/osd/OSD.cc` (ms_fast_dispatch, handle_fast_pg_create,
handle_pg_create_info, load_pgs, consume_map).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from spirula.errors import CephError, InvalidArgument, NotFound, WireError
from spirula.maps.placement import PGMapping, Placement
from spirula.messages.base import Message
from spirula.messages.osd_client import MOSDBackoff
from spirula.messages.osd_mon import MOSDPGCreate2
from spirula.messages.osd_op import MOSDOp
from spirula.messages.osd_peering import (
    MOSDPGLog,
    MOSDPGNotify2,
    MOSDPGQuery2,
    MOSDPGRemove,
)
from spirula.messages.osd_replication import MOSDRepOp, MOSDRepOpReply
from spirula.osd import pg_epochs
from spirula.osd.ops import watch
from spirula.osd.peers import share_map
from spirula.osd.pg import backoff, create, lease, stats
from spirula.osd.pg.dispatch import one_by_one, pgid_of
from spirula.osd.pg.peering import intervals
from spirula.osd.pg.shared import Shared
from spirula.osd.pg.state import PG
from spirula.osd.pg_limit import Withheld
from spirula.osd.pg_removal import Removal, hurry, remove_pg
from spirula.osd.reports import FullState
from spirula.osd.session import Session
from spirula.osd.state import OSD, subscribe_maps
from spirula.store import pg_meta
from spirula.types.log import LogLevel
from spirula.types.osd_op import RequestFlag
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import Coll, CollType, PGId, SPGId
from spirula.types.pg_info import PGHistory
from spirula.types.pg_stats import PGStat

_DOUBT_S = 10.0
"""How long a request waits for a map before the monitors are asked whether there is one."""
_REMOVAL_S = 0.1
"""How often it is looked whether an old PG is gone."""
_OF_WRITES = (MOSDRepOp, MOSDRepOpReply)
_WRITE, _FULL_TRY = int(RequestFlag.WRITE), int(RequestFlag.FULL_TRY)


@dataclass(slots=True, eq=False)
class PlacementGroups:
    """The PGs of one OSD by id. `shared` is what they have in common."""

    osd: OSD
    shared: Shared
    by_id: dict[SPGId, PG] = field(default_factory=dict)
    waiting_for_pg: dict[SPGId, list[Message]] = field(default_factory=dict)
    """Requests for PGs that should be here by the map, and will be when a peer or monitor asks."""
    removing: dict[SPGId, Removal] = field(default_factory=dict)
    """What is left of PGs in the store and is on its way out."""
    withheld: Withheld = field(init=False)
    _pool_opts: dict[int, dict[int, str | int | float]] = field(default_factory=dict)
    """Of each pool, the options that the store was told."""
    _placements: dict[int, Placement] = field(default_factory=dict)
    _doubting: bool = False

    def __post_init__(self) -> None:
        self.withheld = Withheld(self.osd)

    # -------------------------------------------------------------------------------- the hot path

    def on_op(self, request: MOSDOp, session: Session) -> None:
        """A client's request: to its PG, or to wait for the map that its client has."""
        osd = self.osd
        epoch = osd.maps.current.epoch
        if request.epoch != epoch:
            if request.epoch > epoch:
                self._hold(request, "waiting for map")
                self._wait_for_map(request.epoch, request)
                return
            if session.sent_epoch < epoch:
                share_map(osd, session, request.epoch)
        if (
            osd.reports.failsafe
            and request.flags & _WRITE
            and not request.flags & _FULL_TRY
            and osd.reports.check_full(FullState.FAILSAFE)
        ):
            # The last resort: a store without any room could not even be started again.
            return
        pg = self.by_id.get(request.pgid)
        if pg is None:
            self._on_op_without_pg(request)
            return
        tracker = osd.tracker
        tracker.begin(request)
        pg.dispatch(request)
        tracker.keep(request)

    def _on_op_without_pg(self, request: MOSDOp) -> None:
        """A PG that should be here will come; for any other the client is to look at its map."""
        if self.is_ours(request.pgid.pgid):
            self._hold(request, "waiting for the PG to be made")
            self.waiting_for_pg.setdefault(request.pgid, []).append(request)

    def is_ours(self, pgid: PGId) -> bool:
        """Whether a PG should be here by the newest map."""
        maps = self.osd.maps
        pool = maps.current.pools.get(pgid.pool)
        if pool is None or pgid.seed >= pool.pg_num:
            return False
        mapping = maps.mappings.get(pgid)
        return self.osd.whoami in (*mapping.acting, *mapping.up)

    def _hold(self, request: MOSDOp, why: str) -> None:
        """What waits keeps its share of the throttles: nobody is to fill our memory that way."""
        tracker = self.osd.tracker
        tracker.begin(request)
        tracker.mark(request, why)
        tracker.keep(request)

    def share_map(self, message: Message) -> None:
        """Tell a client of today's map before its request, which waited, is answered by that map.

        An answer like "register your watch again" would otherwise be the first that it hears.
        """
        session = getattr(message.connection, "priv", None)
        if isinstance(message, MOSDOp) and isinstance(session, Session):
            share_map(self.osd, session, message.epoch)

    def finished(self, request: Message, written: int, read: int) -> None:
        """A request was answered: count it."""
        osd = self.osd
        took, counters = osd.tracker.end(request), osd.counters
        if not isinstance(request, MOSDOp):
            return
        counters.count_op(request.flags, written, read, took)

    def finished_queried(self, request: Message, written: int, read: int) -> None:
        """The same while a manager wants to know by client, object ..."""
        osd = self.osd
        took = osd.tracker.end(request)
        if isinstance(request, MOSDOp):
            osd.counters.count_op(request.flags, written, read, took)
            osd.queries.add(request, written, read, took)

    def count_for_queries(self, *, wanted: bool) -> None:
        """Whether there are queries: while there are none they cost nothing."""
        self.shared.op_finished = self.finished_queried if wanted else self.finished

    # ------------------------------------------------------------------------------- waiting, maps

    def _wait_for_map(self, epoch: int, message: Message) -> None:
        self.osd.counters.messages_delayed_for_map.value += 1
        self.osd.waiting_for_map.append((epoch, message, self.osd.now()))
        subscribe_maps(self.osd, self.osd.maps.newest + 1)

    def release_waiting(self) -> None:
        """A map has come: messages that waited for it go on, in their order."""
        osd = self.osd
        if not osd.waiting_for_map:
            return
        epoch, waiting = osd.maps.epoch, osd.waiting_for_map
        osd.waiting_for_map = [entry for entry in waiting if entry[0] > epoch]
        for wanted, message, _ in waiting:
            if wanted <= epoch:
                self._again(message)
        if osd.waiting_for_map:
            subscribe_maps(osd, osd.maps.newest + 1)

    def _again(self, message: Message) -> None:
        connection = message.connection
        if connection.is_down:
            return
        if isinstance(message, MOSDOp):
            if connection.priv is not None:
                self.on_op(message, connection.priv)
        elif isinstance(message, MOSDPGCreate2):
            self.on_create(message)
        else:
            self.on_pg_message(message)

    def _doubt_waiting(self) -> None:
        """Where a request waits for a map for long, see whether there is one like that."""
        osd = self.osd
        oldest = min((since for _, _, since in osd.waiting_for_map), default=osd.now())
        if osd.now() - oldest > _DOUBT_S and not self._doubting:
            self._doubting = True
            osd.spawn(self._drop_liars())

    async def _drop_liars(self) -> None:
        """End sessions with requests by maps that the monitors do not know: they hold memory."""
        osd = self.osd
        try:
            newest, _ = await osd.monitors.get_version("osdmap")
        except CephError:
            return
        finally:
            self._doubting = False
        for epoch, message, _ in list(osd.waiting_for_map):
            connection = message.connection
            if epoch > newest and not connection.is_down:
                osd.log(0, f"{connection.peer_name} speaks of map {epoch}, and {newest} is newest")
                connection.mark_down()
                if connection.priv is not None:
                    self.on_session_reset(connection.priv)
        osd.waiting_for_map = [
            entry for entry in osd.waiting_for_map if not entry[1].connection.is_down
        ]

    def advance(self, first: int, last: int) -> None:
        """Take all PGs through new maps."""
        maps = self.osd.maps
        self._placements.clear()
        gone = {pool for pool in self.pools() if pool not in maps.current.pools}
        for epoch in range(first if self.by_id else last, last + 1):
            osdmap = maps.get(epoch)
            maps.place(osdmap)
            staying = [pg for pg in self.by_id.values() if pg.pgid.pgid.pool not in gone]
            pg_epochs.take(self, staying, osdmap, maps.mappings.get)
        for pg in list(self.by_id.values()):
            if pg.pgid.pgid.pool in gone:
                self.remove(pg)
            else:
                intervals.activate_map(pg)
        self.shared.pg_count = len(self.by_id)
        self.shared.ready_to_merge.on_map(maps.current)
        self.withheld.on_map()
        self._tell_store(self.by_id.values())
        self._forget_waiting()

    def _tell_store(self, pgs: Iterable[PG]) -> None:
        """How data of pools is to be kept, where that has changed."""
        for pg in pgs:
            pool, opts = pg.pgid.pgid.pool, pg.pool.opts.opts
            if self._pool_opts.get(pool) != opts:
                try:
                    self.osd.store.set_collection_opts(pg.coll, opts)
                except InvalidArgument as error:
                    self.osd.clog(LogLevel.WARN, f"pool {pool}: {error.message}")
                self._pool_opts[pool] = opts.copy()

    def _forget_waiting(self) -> None:
        """Requests for PGs that are not ours any more are sent elsewhere by their clients."""
        for pgid in list(self.waiting_for_pg):
            if not self.is_ours(pgid.pgid):
                del self.waiting_for_pg[pgid]

    # ------------------------------------------------------------------------------------- peering

    def on_pg_message(self, message: Message) -> None:
        """A message between PGs of two OSDs, of one or (as upstream's still send) of many."""
        if isinstance(message, _OF_WRITES):  # nearly all
            pg = self.by_id.get(message.pgid)
            if pg is not None:
                pg.dispatch(message)
            return
        if isinstance(message, MOSDPGRemove):
            self._on_remove(message)
            return
        for one in one_by_one(message):
            self._on_message_of_pg(one)

    def _on_remove(self, message: MOSDPGRemove) -> None:
        """PGs that others have in full, and that are not to be here any more."""
        for pgid in message.pg_list:
            pg = self.by_id.get(pgid)
            if pg is None or message.epoch < pg.last_peering_reset:
                continue
            if self.osd.whoami not in (*pg.up, *pg.acting):
                self.remove(pg)

    def _on_message_of_pg(self, message: Message) -> None:
        found = pgid_of(message)
        if found is None:
            return
        pg = self.by_id.get(found)
        if pg is not None:
            pg.dispatch(message)
            return
        if isinstance(message, MOSDPGQuery2):
            epoch = message.query.epoch_sent
            if self._has_map(epoch, message):
                create.answer_for_absent(self.shared, message, self.osd.maps.epoch)
        elif isinstance(message, MOSDPGNotify2):
            notify = message.notify
            if self._has_map(notify.epoch_sent, message) and self._may_make(found, message):
                made = self._make(
                    found, notify.epoch_sent, notify.info.history, notify.past_intervals
                )
                self._hand_on(made, message)
        elif isinstance(message, MOSDPGLog) and self._has_map(message.epoch, message):
            epoch = message.query_epoch
            if self._may_make(found, message):
                made = self._make(found, epoch, message.info.history, message.past_intervals)
                self._hand_on(made, message)

    def _may_make(self, pgid: SPGId, message: Message) -> bool:
        """Whether a PG may be made here now; what asks for it waits while an old one is removed."""
        osd = self.osd
        if osd.is_stopping or not self.is_ours(pgid.pgid):
            return False
        if not osd.store.collection_exists(Coll.of(pgid)):
            return not self.withheld.holds(pgid, from_monitors=False)
        hurry(osd, pgid)
        osd.ports.loop.call_later(_REMOVAL_S, self._on_message_of_pg, message)
        return False

    def _hand_on(self, pg: PG | None, message: Message) -> None:
        if pg is not None:
            pg.dispatch(message)

    def _has_map(self, epoch: int, message: Message) -> bool:
        if epoch <= self.osd.maps.epoch:
            return True
        self._wait_for_map(epoch, message)
        return False

    def on_create(self, message: MOSDPGCreate2) -> None:
        """Monitors ask for new PGs."""
        if not self._has_map(message.epoch, message):
            return
        for pgid, (created, stamp) in message.pgs.items():
            if pgid in self.by_id or self.withheld.holds(pgid, from_monitors=True):
                continue
            extra = message.pg_extra.get(pgid)
            if extra is None:
                history = PGHistory.created(created, stamp)
                self._make(pgid, created, history, PastIntervals())
            else:
                self._make(pgid, message.epoch, *extra)

    def _make(self, pgid: SPGId, epoch: int, history: PGHistory, past: PastIntervals) -> PG | None:
        """A PG that is not here: from the map of that epoch to the newest. None if it cannot be."""
        osd = self.osd
        pool = pgid.pgid.pool
        if pool not in osd.maps.current.pools:
            return None
        try:
            osdmap = osd.maps.get(epoch)
        except NotFound:
            osd.log(0, f"pg {pgid} cannot be made: the map of epoch {epoch} is not here")
            return None
        if pool not in osdmap.pools or self._was_merged(pgid.pgid, epoch):
            return None
        mapping = self._mapping(pgid.pgid, epoch)
        pg = create.create(self.shared, pgid, osdmap, mapping, history, past)
        self._add([pg])
        return self.by_id.get(pgid)

    def _was_merged(self, pgid: PGId, since: int) -> bool:
        """Whether a PG took part in a merge since a map: what was said before does not count."""
        maps = self.osd.maps
        before = maps.get(since).pools[pgid.pool].pg_num
        if all(
            pg_num >= before
            for epoch, pg_num in maps.history.pg_nums.get(pgid.pool, {}).items()
            if epoch > since
        ):
            return False
        for epoch in range(since + 1, maps.epoch + 1):
            now = maps.get(epoch).pools[pgid.pool].pg_num
            if now < before and (pgid.seed >= now or pgid.children(now, before)):
                return True
            before = now
        return False

    def _add(self, pgs: Iterable[PG]) -> None:
        """Take PGs from their maps to the newest one, and let them begin."""
        osd = self.osd
        family = list(pgs)
        self.by_id.update((pg.pgid, pg) for pg in family)
        family = pg_epochs.catch_up(
            self, family, osd.maps.epoch, lambda epoch: partial(self._mapping, epoch=epoch)
        )
        self.shared.pg_count = len(self.by_id)
        osd.heartbeats.stale = True
        self._tell_store(family)
        for pg in family:
            intervals.activate_map(pg)
            for message in self.waiting_for_pg.pop(pg.pgid, ()):
                self._again(message)

    def _mapping(self, pgid: PGId, epoch: int) -> PGMapping:
        """Where a PG is by the map of an epoch."""
        maps = self.osd.maps
        if epoch == maps.epoch and maps.mappings.osdmap is maps.current:
            return maps.mappings.get(pgid)
        found = self._placements.get(epoch)
        if found is None:
            found = self._placements[epoch] = Placement(maps.get(epoch))
        return found.pg_to_up_acting_osds(pgid)

    def end(self, pg: PG) -> None:
        """Nothing of a PG goes on, and it is not here any more; what it holds stays in the store.

        The clients that wait for it ask again, where the newest map says.
        """
        del self.by_id[pg.pgid]
        self.shared.pg_count = len(self.by_id)
        _end(pg)

    def remove(self, pg: PG) -> None:
        """A PG is not to be here any more, nor what it holds."""
        self.end(pg)
        remove_pg(self.osd, pg.pgid)
        self.withheld.resume()

    def on_public_message(self, message: Message) -> None:
        """What came from clients, monitors or the manager and is nothing of the above."""
        self.osd.log(1, f"{type(message).__name__} is not expected here")

    def on_backoff(self, message: MOSDBackoff) -> None:
        """A client has heard that it is to wait."""
        pg = self.by_id.get(message.pgid)
        if pg is not None:
            pg.dispatch(message)

    # ------------------------------------------------------------------------------------ its life

    def load(self) -> None:
        """Take up the PGs that are in the store."""
        osd = self.osd
        found = []
        for coll in osd.store.list_collections():
            if coll.type != CollType.PG:
                continue
            pgid = coll.pgid
            if pg_meta.has_removal_flag(osd.store, pgid) or not self._pool_is_there(pgid):
                remove_pg(osd, pgid)
                continue
            try:
                stored = pg_meta.read_info(osd.store, pgid)
                osdmap = osd.maps.get(stored.epoch)
                mapping = self._mapping(pgid.pgid, stored.epoch)
                pg = create.load(self.shared, pgid, stored, osdmap, mapping)
            except (CephError, WireError) as error:
                osd.clog(LogLevel.ERROR, f"pg {pgid} cannot be read and is left out: {error}")
                continue
            found.append(pg)
        self._add(found)

    def _pool_is_there(self, pgid: SPGId) -> bool:
        return pgid.pgid.pool in self.osd.maps.current.pools

    def tick(self) -> None:
        """Once a second: numbers of PGs."""
        self._doubt_waiting()
        counters, pgs = self.osd.counters, self.by_id.values()
        counters.numpg.value = len(pgs)
        counters.numpg_primary.value = sum(pg.is_primary for pg in pgs)
        counters.numpg_replica.value = sum(pg.is_nonprimary for pg in pgs)
        counters.numpg_stray.value = sum(pg.role < 0 for pg in pgs)

    def stop(self) -> None:
        """No timer of a PG is left."""
        for pg in self.by_id.values():
            _end(pg)
        self.shared.scheduler.stop()
        self.shared.recoveries.stop()

    def on_session_reset(self, session: Session) -> None:
        """A client is gone: its watches end after a while, its requests are dropped."""
        backoff.on_reset(session)
        watch.on_reset(session)
        osd, gone = self.osd, session.connection
        if osd.waiting_for_map:
            osd.waiting_for_map = [
                entry for entry in osd.waiting_for_map if entry[1].connection is not gone
            ]
        for pgid, waiting in list(self.waiting_for_pg.items()):
            left = [message for message in waiting if message.connection is not gone]
            if left:
                self.waiting_for_pg[pgid] = left
            else:
                del self.waiting_for_pg[pgid]

    # ---------------------------------------------------------------------------------- statistics

    def count(self) -> int:
        """How many PGs are here."""
        return len(self.by_id)

    def pools(self) -> list[int]:
        """Pools that have PGs here."""
        return sorted({pgid.pgid.pool for pgid in self.by_id})

    def heartbeat_peers(self) -> set[int]:
        """OSDs that share a PG with us that we lead."""
        found: set[int] = set()
        for pg in self.by_id.values():
            if pg.is_primary:
                found.update(osd for osd in (*pg.acting, *pg.up) if osd >= 0)
        return found

    def statistics(self) -> Iterator[tuple[PGId, PGStat]]:
        """Those of all PGs that we lead."""
        for pg in self.by_id.values():
            if pg.is_primary:
                found = stats.publish(pg) or pg.published
                if found is not None:
                    yield pg.pgid.pgid, found

    def stored_bytes(self) -> int:
        """What all PGs hold."""
        return sum(pg.info.stats.stats.sum.num_bytes for pg in self.by_id.values())

    def pending_creates(self) -> int:
        """How many PGs were asked for that are not made yet."""
        return len(self.waiting_for_pg) + self.withheld.count


def _end(pg: PG) -> None:
    """Nothing of the PG goes on: no timer, no write, no watch; who waits for it asks again."""
    pg.deleted = True
    pg.shared.ready_to_merge.clear(pg.pgid.pgid)
    intervals.reset(pg)
    lease.stop(pg)
    pg.waiting.for_peered.clear()
    pg.waiting.for_map.clear()
