"""The OSD's maps: stored, kept in memory, caught up, trimmed, given to others.

A map is stored with the change that led to it before it counts: `take` queues what a message
brought, and calls back when it is durable; `advance` then puts it in force, epoch by epoch. Objects
`osdmap.N` and `inc_osdmap.N` of the meta collection hold them. Called by `osd.osd`. Behaviour:
upstream `src/osd/OSD.cc` (handle_osd_map, trim_maps, build_incremental_map_msg).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from spirula.conf.config import Config
from spirula.errors import CephError, NotFound, WireError
from spirula.maps.apply import CrcMismatch, apply_checked
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.messages.osd_map import MOSDMap
from spirula.osd import purged_snaps
from spirula.osd.superblock import open_superblock, put_superblock
from spirula.store.objectstore import ObjectStore
from spirula.store.osd_meta import (
    META,
    PG_NUM_HISTORY,
    final_pool_object,
    inc_osdmap_object,
    osdmap_object,
    read_pg_num_history,
)
from spirula.types.hobject import GHObject
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_superblock import OSDSuperblock, PoolPGNumHistory
from spirula.types.pool import PGPool, PoolType
from spirula.types.transaction import Transaction

_EMPTY = OSDMap()
Committed = Callable[[int, int, CephError | None], None]
"""Gets the first and the last epoch that were stored, or the error for which they never will be."""


@dataclass(slots=True)
class Taken:
    """What became of a message with maps.

    `first` to `last` are on their way to the disk (0: none). `ask_from` is the epoch from which
    maps are to be asked for (0: none), `force` even if that was done already. `ask_full` are the
    epochs of which full maps are to be asked for, for a change did not lead where it should.
    """

    first: int = 0
    last: int = 0
    ask_from: int = 0
    force: bool = False
    ask_full: tuple[int, int] | None = None


@dataclass(slots=True)
class _Received:
    """Maps of one message, in order, before they are stored."""

    maps: dict[int, OSDMap] = field(default_factory=dict)
    full: dict[int, bytes] = field(default_factory=dict)
    changes: dict[int, bytes] = field(default_factory=dict)
    bad: int = 0


@dataclass(slots=True, eq=False)
class Maps:
    """All maps of an OSD from `superblock.oldest_map` to `newest_map`; `current` is in force.

    `upstream_oldest` is the oldest that those who sent maps have: older ones are not needed.
    `mappings` are the places of all PGs by `current`.
    """

    store: ObjectStore
    config: Config
    superblock: OSDSuperblock
    current: OSDMap = field(default_factory=OSDMap)
    mappings: PGMappings = field(default_factory=lambda: PGMappings(_EMPTY))
    upstream_oldest: int = 0
    history: PoolPGNumHistory = field(default_factory=PoolPGNumHistory)
    _decoded: OrderedDict[int, OSDMap] = field(default_factory=OrderedDict)
    _encoded: OrderedDict[GHObject, bytes] = field(default_factory=OrderedDict)
    _asked_full: tuple[int, int] | None = None

    @classmethod
    def load(cls, store: ObjectStore, whoami: int, config: Config) -> Maps:
        """The maps that a mounted store has. Raises as `open_superblock`."""
        made = cls(store, config, open_superblock(store, whoami))
        if made.superblock.current_epoch:
            made.current = made.get(made.superblock.current_epoch)
            made.mappings = PGMappings(made.current)
        made.upstream_oldest = made.superblock.cluster_osdmap_trim_lower_bound
        made.history = read_pg_num_history(store)
        return made

    # ------------------------------------------------------------------------------------- looking

    @property
    def epoch(self) -> int:
        """The epoch of the map in force."""
        return self.current.epoch

    @property
    def oldest(self) -> int:
        """The oldest epoch that is stored; 0 while there is none."""
        return self.superblock.oldest_map

    @property
    def newest(self) -> int:
        """The newest epoch that is stored or on its way to the disk."""
        return self.superblock.newest_map

    def get(self, epoch: int) -> OSDMap:
        """The map of an epoch. NotFound where it was trimmed or has not come yet."""
        found = self._decoded.get(epoch)
        if found is None:
            found = OSDMap() if not epoch else OSDMap.decode(self.full(epoch))
            self._keep(epoch, found)
        return found

    def _keep(self, epoch: int, osdmap: OSDMap) -> None:
        self._decoded[epoch] = osdmap
        while len(self._decoded) > self.config.get_int("osd_map_cache_size"):
            del self._decoded[min(self._decoded)]

    def full(self, epoch: int) -> bytes:
        """The bytes of the full map of an epoch. NotFound."""
        return self._read(osdmap_object(epoch), f"there is no OSD map of epoch {epoch}")

    def change(self, epoch: int) -> bytes:
        """The bytes of the change that led to an epoch. NotFound where it came as a full map."""
        return self._read(inc_osdmap_object(epoch), f"there is no change to epoch {epoch}")

    def _read(self, oid: GHObject, complaint: str) -> bytes:
        found = self._encoded.get(oid)
        if found is None:
            try:
                found = self.store.read(META, oid)
            except NotFound:
                raise NotFound(complaint) from None
            self._keep_bytes(oid, found)
        return found

    def _keep_bytes(self, oid: GHObject, data: bytes) -> None:
        self._encoded[oid] = data
        while len(self._encoded) > self.config.get_int("osd_map_cache_size"):
            self._encoded.popitem(last=False)

    # -------------------------------------------------------------------------------------- taking

    def take(self, message: MOSDMap, boot_epoch: int, committed: Committed) -> Taken:
        """Store what is new in a message; `committed` is called when it is durable.

        `boot_epoch` is since when this process serves, 0 while it does not. WireError for maps
        that cannot be read, NotFound for a change to a map that is not here; what came before
        them is not stored then, either.
        """
        superblock = self.superblock
        epochs = message.maps.keys() | message.incremental_maps.keys()
        self.upstream_oldest = max(self.upstream_oldest, message.oldest_map)
        superblock.cluster_osdmap_trim_lower_bound = self.upstream_oldest
        if not epochs or max(epochs) <= superblock.newest_map:
            return Taken()
        first, last = min(epochs), max(epochs)
        skips = first > superblock.newest_map + 1
        if skips:
            if message.oldest_map <= superblock.newest_map + 1:
                return Taken(ask_from=superblock.newest_map + 1)
            # Ask for as many as there are: that makes the first one a full map, too.
            if message.oldest_map < first:
                return Taken(ask_from=max(message.oldest_map - 1, 1), force=True)
        start = max(superblock.newest_map + 1, first)
        received = self._receive(message, start, last)
        asked = self._ask_full(received.bad, last) if received.bad else None
        if not received.maps:
            return Taken(ask_full=asked)
        last = max(received.maps)
        self._store(received, message, first, boot_epoch, committed, skips=skips)
        return Taken(start, last, ask_full=asked)

    def _receive(self, message: MOSDMap, start: int, last: int) -> _Received:
        received = _Received()
        for epoch in range(start, last + 1):
            if epoch in message.maps:
                received.full[epoch] = message.maps[epoch]
                received.maps[epoch] = OSDMap.decode(message.maps[epoch])
            elif epoch in message.incremental_maps:
                before = received.maps.get(epoch - 1) or self.get(epoch - 1)
                inc = Incremental.decode(message.incremental_maps[epoch])
                try:
                    made, full = apply_checked(before, inc)
                except CrcMismatch:
                    received.bad = epoch
                    break
                received.maps[epoch], received.full[epoch] = made, full
                received.changes[epoch] = message.incremental_maps[epoch]
            else:
                raise WireError(f"a message of maps {start} to {last} is without {epoch}")
            self._got_full(epoch)
        return received

    def _ask_full(self, first: int, last: int) -> tuple[int, int] | None:
        if self._asked_full is not None:
            asked_first, asked_last = self._asked_full
            if last <= asked_last:
                return None
            self._asked_full = asked_first, last
            return asked_last + 1, last
        self._asked_full = first, last
        return first, last

    def _got_full(self, epoch: int) -> None:
        if self._asked_full is None or epoch < self._asked_full[0]:
            return
        last = self._asked_full[1]
        self._asked_full = None if epoch >= last else (epoch + 1, last)

    def still_asked(self) -> tuple[int, int] | None:
        """Full maps that were asked for and have not come: to ask the next monitor."""
        return self._asked_full

    def _store(
        self,
        received: _Received,
        message: MOSDMap,
        first: int,
        boot_epoch: int,
        committed: Committed,
        *,
        skips: bool,
    ) -> None:
        superblock, transaction = self.superblock, Transaction()
        start, last = min(received.maps), max(received.maps)
        for epoch, full in received.full.items():
            self._put(transaction, osdmap_object(epoch), full)
            if epoch in received.changes:
                self._put(transaction, inc_osdmap_object(epoch), received.changes[epoch])
        if superblock.oldest_map:
            self._trim(transaction, message.oldest_map, len(received.maps), everything=skips)
            self.history.prune(superblock.oldest_map)
        if not superblock.oldest_map or skips:
            superblock.oldest_map = first
        superblock.newest_map = superblock.current_epoch = last
        if boot_epoch and boot_epoch >= superblock.mounted:
            # Clean through the epoch before this one.
            superblock.mounted = boot_epoch
            superblock.clean_thru = last
        self._note_pools(transaction, received.maps)
        if superblock.purged_snaps_last == start - 1:
            purged = [osdmap.new_purged_snaps for osdmap in received.maps.values()]
            purged_snaps.record(self.store, transaction, purged)
            superblock.purged_snaps_last = last
        put_superblock(transaction, superblock)
        for epoch, osdmap in received.maps.items():
            self._keep(epoch, osdmap)

        def on_commit(error: CephError | None) -> None:
            committed(start, last, error)

        self.store.queue_transactions(META, [transaction], on_commit=on_commit)

    def _put(self, transaction: Transaction, oid: GHObject, data: bytes) -> None:
        transaction.write(META, oid, 0, data)
        self._keep_bytes(oid, data)

    def _trim(
        self, transaction: Transaction, oldest: int, received: int, *, everything: bool
    ) -> None:
        """Remove maps that nobody needs any more: at least as many as come."""
        superblock = self.superblock
        if everything:
            for epoch in [epoch for epoch in self._decoded if epoch < oldest]:
                del self._decoded[epoch]
        oldest = min(oldest, min(self._decoded, default=oldest))
        most = max(received, self.config.get_int("osd_target_transaction_size"))
        count = 0
        while superblock.oldest_map < oldest and (everything or count < most):
            for oid in (
                osdmap_object(superblock.oldest_map),
                inc_osdmap_object(superblock.oldest_map),
            ):
                self._encoded.pop(oid, None)
                if self.store.exists(META, oid):
                    transaction.remove(META, oid)
            superblock.oldest_map += 1
            count += 1

    def _note_pools(self, transaction: Transaction, maps: dict[int, OSDMap]) -> None:
        """Write down how pools' numbers of PGs change, and the last state of deleted pools."""
        history = self.history
        before = self._decoded.get(min(maps) - 1)
        for epoch, osdmap in maps.items():
            if before is not None and before.pools is not osdmap.pools:
                for number, pool in before.pools.items():
                    if number not in osdmap.pools:
                        history.deleted_pools.add((epoch, number))
                        self._put_final(transaction, before, number, pool)
                for number, pool in osdmap.pools.items():
                    was = before.pools.get(number)
                    if was is None or was.pg_num != pool.pg_num:
                        history.pg_nums.setdefault(number, {})[epoch] = pool.pg_num
            before = osdmap
        history.epoch = max(maps)
        data = history.encode()
        transaction.write(META, PG_NUM_HISTORY, 0, data)
        transaction.truncate(META, PG_NUM_HISTORY, len(data))

    def _put_final(
        self, transaction: Transaction, osdmap: OSDMap, number: int, pool: PGPool
    ) -> None:
        name = osdmap.pool_name.get(number, "")
        profile: dict[str, str] = {}
        if pool.type == PoolType.ERASURE:
            profile = osdmap.erasure_code_profiles.get(pool.erasure_code_profile, {})
        data = pool.encode() + _text(name) + len(profile).to_bytes(4, "little")
        for key, value in sorted(profile.items()):
            data += _text(key) + _text(value)
        transaction.write(META, final_pool_object(number), 0, data)

    # --------------------------------------------------------------------------------- in force

    def advance(self, epoch: int) -> OSDMap:
        """Put the next stored map in force; returns it."""
        self.current = self.get(epoch)
        return self.current

    def place(self, osdmap: OSDMap) -> None:
        """Find the places of PGs by a map, which is mostly those by the one before."""
        if self.mappings.osdmap is not osdmap:
            self.mappings = self.mappings.advance(osdmap)

    def take_purged(self, last: int, by_epoch: dict[int, dict[int, IntervalSet]]) -> None:
        """Remember what the monitor told of snapshots that were purged up to epoch `last`."""
        transaction = Transaction()
        purged_snaps.record(self.store, transaction, by_epoch.values())
        self.superblock.purged_snaps_last = last
        put_superblock(transaction, self.superblock)
        self.store.queue_transactions(META, [transaction])

    # -------------------------------------------------------------------------------------- giving

    def message(self, since: int) -> MOSDMap:
        """Maps for somebody who has those up to `since`: as many as may go at once."""
        current, superblock, config = self.current, self.superblock, self.config
        made = MOSDMap(
            fsid=current.fsid, oldest_map=self.upstream_oldest, newest_map=superblock.newest_map
        )
        to = current.epoch
        if since < superblock.oldest_map:
            made.maps[to] = self.full(to)
            return made
        since = max(since, to - config.get_int("osd_map_share_max_epochs"))
        count = config.get_int("osd_map_message_max")
        size = config.get_int("osd_map_message_max_bytes")
        epoch = since + 1
        while epoch <= to and count > 0 and size > 0:
            try:
                data = made.incremental_maps[epoch] = self.change(epoch)
            except NotFound:
                data = made.maps[epoch] = self.full(epoch)
            count -= 1
            size -= len(data)
            epoch += 1
        return made


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(4, "little") + data
