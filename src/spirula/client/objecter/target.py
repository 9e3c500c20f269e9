"""Where a request goes: which PG, which OSD, and what a new map changes about that.

Pure; used by the objecter. Behaviour follows upstream `Objecter::_calc_target`
(`src/osdc/Objecter.cc`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import Enum

from spirula.client.objecter.osdmaps import OSDMaps
from spirula.maps.placement import NOWHERE, PGMapping, hash_key
from spirula.maps.state import OSDMapFlag
from spirula.records import dataclass
from spirula.types.hobject import NO_SHARD, NOSNAP, HObject
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import RequestFlag
from spirula.types.pg import PGId, SPGId, stable_mod
from spirula.types.pool import PGPool, PoolFlag, PoolType

NO_OSD_AT_ALL = -1
_SPREAD = int(RequestFlag.BALANCE_READS | RequestFlag.LOCALIZE_READS)
_INSISTS = int(RequestFlag.FULL_TRY | RequestFlag.FULL_FORCE)
# As plain numbers: asked at each request, and an IntFlag takes its time.
_BALANCE_READS = int(RequestFlag.BALANCE_READS)
_IGNORE_OVERLAY = int(RequestFlag.IGNORE_OVERLAY)
_LOCALIZE_READS = int(RequestFlag.LOCALIZE_READS)
_READ = int(RequestFlag.READ)
_WRITE = int(RequestFlag.WRITE)
_PAUSERD, _PAUSEWR = int(OSDMapFlag.PAUSERD), int(OSDMapFlag.PAUSEWR)
_MAP_FULL, _POOL_FULL = int(OSDMapFlag.FULL), int(PoolFlag.FULL)

Draw = Callable[[int], int]
"""A number below its argument, at random."""


class Change(Enum):
    """What a map says about a request that may be under way."""

    NONE = "nothing changed"
    RESEND = "it has to be sent, or sent again"
    NO_POOL = "its pool is not there"


@dataclass(slots=True, eq=False)
class Target:
    """What a request is about, and where the last map put it.

    `seed` is given for requests about a PG instead of an object. `osd` is NO_OSD_AT_ALL while
    nobody serves the PG; `paused` while the map says to wait.
    """

    oid: str
    locator: ObjectLocator
    flags: int
    snap: int = NOSNAP
    seed: int | None = None
    hobj: HObject = field(default_factory=HObject)
    raw: PGId | None = None
    spgid: SPGId = field(default_factory=lambda: SPGId(PGId()))
    mapping: PGMapping = NOWHERE
    pg_num: int = 0
    osd: int = NO_OSD_AT_ALL
    paused: bool = False
    pool_was_there: bool = False
    _size: tuple[int, int] = (0, 0)
    _resent_at: int = 0

    def calculate(self, maps: OSDMaps, draw: Draw, *, any_change: bool = False) -> Change:
        """Take a map into account. `any_change`: also replicas that changed, as watches ask."""
        osdmap = maps.osdmap
        pool_id, pool = self._pool(maps)
        if pool is None:
            self.osd = NO_OSD_AT_ALL
            return Change.NO_POOL
        self.pool_was_there = True
        locator = self.locator
        if self.seed is not None:
            hash = self.seed
        elif locator.hash >= 0:
            hash = locator.hash
        else:
            hash = hash_key(pool, locator.key or self.oid, locator.nspace)
        raw = PGId(pool_id, hash)
        pgid = PGId(pool_id, stable_mod(hash, pool.pg_num))
        mapping = maps.places(pgid)
        forced = self._must_resend(osdmap.epoch, pool.last_force_op_resend)
        size = (pool.size, pool.min_size)
        before = self.mapping
        if any_change and (before != mapping or self._size != size):
            forced = True
        paused = self._should_pause(osdmap.flags, pool)
        unpaused, self.paused = self.paused and not paused, paused
        moved = raw != self.raw or before.acting_primary != mapping.acting_primary
        if self.flags & _SPREAD and before.acting != mapping.acting:
            moved = True  # the replica that was chosen may be gone
        resized = bool(self.pg_num) and pool.pg_num != self.pg_num and self._resized(pool.pg_num)
        if moved or resized or forced:
            self._settle(raw, pgid, mapping, pool, maps, draw)
            self._size = size
        if moved or resized or forced or unpaused:
            return Change.RESEND
        return Change.NONE

    def spread_no_more(self) -> None:
        """A replica could not answer: it is for the primary."""
        self.flags &= ~_SPREAD
        self.raw = None

    # --- parts ---

    def _pool(self, maps: OSDMaps) -> tuple[int, PGPool | None]:
        pools, number = maps.osdmap.pools, self.locator.pool
        pool = pools.get(number)
        if pool is not None and not self.flags & _IGNORE_OVERLAY:
            if self.flags & _READ and pool.read_tier >= 0:
                number = pool.read_tier
            if self.flags & _WRITE and pool.write_tier >= 0:
                number = pool.write_tier
            pool = pools.get(number)
        return number, pool

    def _must_resend(self, epoch: int, asked_at: int) -> bool:
        """Whether the monitors want requests of this pool to be sent again from this map on."""
        if epoch != asked_at or self._resent_at >= asked_at:
            return False
        self._resent_at = asked_at
        return True

    def _resized(self, pg_num: int) -> bool:
        """Whether this request's PG is split or merged when its pool has `pg_num` PGs."""
        pg = self.spgid.pgid
        if pg.children(self.pg_num, pg_num) or pg.seed >= pg_num:
            return True
        return bool(pg.children(pg_num, self.pg_num))

    def _should_pause(self, flags: int, pool: PGPool) -> bool:
        mine = self.flags
        if mine & _READ and flags & _PAUSERD:
            return True
        if not mine & _WRITE:
            return False
        if flags & _PAUSEWR:
            return True
        full = flags & _MAP_FULL or pool.flags & _POOL_FULL
        return bool(full) and not mine & _INSISTS

    def _settle(
        self,
        raw: PGId,
        pgid: PGId,
        mapping: PGMapping,
        pool: PGPool,
        maps: OSDMaps,
        draw: Draw,
    ) -> None:
        acting, primary = mapping.acting, mapping.acting_primary
        shard = NO_SHARD
        if pool.type == PoolType.ERASURE and primary in acting:
            shard = acting.index(primary)
        self.raw, self.spgid, self.mapping = raw, SPGId(pgid, shard), mapping
        self.pg_num = pool.pg_num
        locator = self.locator
        key = "" if locator.key == self.oid else locator.key
        hash = pgid.seed if self.seed is not None else raw.seed
        self.hobj = HObject(key, self.oid, self.snap, hash, False, locator.nspace, raw.pool)
        self.osd = primary
        if self.flags & _WRITE or pool.type != PoolType.REPLICATED or len(acting) < 2:
            return
        if self.flags & _BALANCE_READS:
            self.osd = acting[draw(len(acting))]
        elif self.flags & _LOCALIZE_READS:
            self.osd = maps.nearest(acting)
