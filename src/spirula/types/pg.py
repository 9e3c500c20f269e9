"""Placement groups and where they are kept: pg_t, spg_t, pg_shard_t, coll_t, and a PG's state bits.

Everything that speaks of a PG imports this: maps, the OSD, the monitor, clients. Which objects
belong to a PG is decided here too (`split_bits`, `contains`, ranges); which OSDs hold it is
decided in `maps`. Formats: upstream `src/osd/osd_types.h`, `osd_types.cc`.
"""

from __future__ import annotations

import re
import struct as _struct
from enum import IntEnum, IntFlag
from functools import lru_cache, total_ordering
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from spirula.denc import Codec, Map, Struct, Vec, default, irregular, s8, s32, struct, u32
from spirula.errors import IncompatibleVersion, WireError
from spirula.types.base import EVersion
from spirula.types.hobject import HMAX, NO_SHARD, NOSNAP, GHObject, HObject, reverse_bits

if TYPE_CHECKING:
    from spirula.denc.emitter import Emitter

NO_OSD = 0x7FFFFFFF
"""Where no OSD could be chosen (upstream CRUSH_ITEM_NONE)."""

_TEXT = re.compile(r"(\d+)\.([0-9a-fA-F]+)(?:s(\d+))?")


class _Among(Codec):
    """A number that stands among constants: `before` and `after` hold (struct code, value)."""

    def __init__(
        self,
        code: str,
        *,
        before: tuple[str, int] | None = None,
        after: tuple[str, int] | None = None,
    ) -> None:
        self._before = [str(before[1])] if before else []
        self._after = [str(after[1])] if after else []
        self.fmt = (before[0] if before else "") + code + (after[0] if after else "")
        self.arity = 1 + len(self._before) + len(self._after)
        self.min_size = _struct.calcsize("<" + self.fmt)

    def zero(self) -> int:
        return 0

    def flatten(self, expr: str, emit: Emitter) -> list[str]:
        return [*self._before, expr, *self._after]

    def unflatten(self, names: list[str], emit: Emitter) -> str:
        return names[len(self._before)]


@struct(name="pg_t", frozen=True)
class PGId(Struct):
    """A placement group: pool and seed (`1.2f`).

    The wire has a version before and a -1 after them.
    """

    pool: Annotated[int, _Among("q", before=("B", 1))]
    seed: Annotated[int, _Among("I", after=("i", -1))]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `1.2f`. ValueError otherwise."""
        match = _TEXT.fullmatch(text)
        if not match or match[3] is not None:
            raise ValueError(f"{text!r} is not a placement group like 1.2f")
        return cls(int(match[1]), int(match[2], 16))

    def __str__(self) -> str:
        return f"{self.pool}.{self.seed:x}"

    def split_bits(self, pg_num: int) -> int:
        """How many low bits of an object's hash decide that it belongs to this PG of `pg_num`."""
        if pg_num == 1:
            return 0
        bits = pg_num.bit_length()
        half = 1 << (bits - 1)
        return bits if self.seed % half < pg_num % half else bits - 1

    def contains(self, bits: int, hobj: HObject) -> bool:
        """True when the object belongs to this PG, told apart by `bits` bits (`split_bits`)."""
        return self.pool == hobj.logical_pool and hobj.matches(bits, self.seed)

    def ancestor(self, old_pg_num: int) -> PGId:
        """The PG that held this one's objects when the pool had `old_pg_num`."""
        return PGId(self.pool, stable_mod(self.seed, old_pg_num))

    def parent(self) -> PGId:
        """The PG that this one was split from last. ValueError for seed 0."""
        if not self.seed:
            raise ValueError(f"{self} was not split from another")
        return PGId(self.pool, self.seed ^ 1 << (self.seed.bit_length() - 1))

    def children(self, old_pg_num: int, new_pg_num: int) -> set[PGId]:
        """The PGs that get some of this one's objects when the pool grows.

        Empty when it does not split.
        """
        if self.seed >= old_pg_num or new_pg_num <= old_pg_num:
            return set()
        step = 1 << max(old_pg_num.bit_length() - 1, 0)
        found = set()
        for high in range(step, new_pg_num + step, step):
            seed = high | self.seed
            if seed >= new_pg_num:
                break
            if seed >= old_pg_num and stable_mod(seed, old_pg_num) == self.seed:
                found.add(PGId(self.pool, seed))
        return found

    def merge_target(self, old_pg_num: int, new_pg_num: int) -> PGId | None:
        """The PG that takes this one's objects when the pool shrinks; None when this one stays."""
        if not new_pg_num <= self.seed < old_pg_num:
            return None
        target: PGId = self
        while target.seed >= new_pg_num:
            target = target.parent()
        return target

    def first_object(self) -> HObject:
        """Where the PG's range of names begins."""
        return HObject("", "", 0, self.seed, False, "", self.pool)

    def end_object(self, pg_num: int) -> HObject:
        """Where the PG's range of names ends (that name is not in it)."""
        end = (reverse_bits(self.seed) | 0xFFFFFFFF >> self.split_bits(pg_num)) + 1
        if end > 0xFFFFFFFF:
            return HMAX
        return HObject("", "", NOSNAP, reverse_bits(end), False, "", self.pool)


def stable_mod(number: int, count: int) -> int:
    """`number` folded to less than `count` so that few results change when `count` grows."""
    mask = (1 << count.bit_length()) - 1
    folded = number & mask
    return folded if folded < count else number & mask >> 1


@struct(name="spg_t", version=1, compat=1, frozen=True)
class SPGId(Struct):
    """A PG's shard (`1.2fs0`); shard is -1 in replicated pools."""

    pgid: PGId
    shard: s8 = default(NO_SHARD)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `1.2f` or `1.2fs0`. ValueError otherwise."""
        match = _TEXT.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a placement group like 1.2f or 1.2fs0")
        shard = NO_SHARD if match[3] is None else int(match[3])
        return cls(PGId(int(match[1]), int(match[2], 16)), shard)

    @property
    def pool(self) -> int:
        """The pool's id."""
        return self.pgid.pool

    @property
    def seed(self) -> int:
        """The PG's number in its pool."""
        return self.pgid.seed

    def pgmeta(self) -> GHObject:
        """The object in which this shard keeps its info and log."""
        return GHObject.pgmeta(self.pgid.pool, self.pgid.seed, self.shard)

    def __str__(self) -> str:
        return str(self.pgid) if self.shard == NO_SHARD else f"{self.pgid}s{self.shard}"


@struct(name="shard_id_t", frozen=True)
class ShardId(Struct):
    """A shard's number alone."""

    id: s8 = default(NO_SHARD)


@struct(name="pg_shard_t", version=1, compat=1, frozen=True)
class PGShard(Struct):
    """An OSD that holds (a shard of) a PG."""

    osd: s32 = default(-1)
    shard: s8 = default(NO_SHARD)

    def __str__(self) -> str:
        osd = "NONE" if self.osd == NO_OSD else str(self.osd)
        return osd if self.shard == NO_SHARD else f"{osd}({self.shard})"


class CollType(IntEnum):
    """Kinds of collections."""

    META = 0
    LEGACY_TEMP = 1
    PG = 2
    PG_TEMP = 3


_META = int(CollType.META)
_COLL_V2 = _struct.Struct("<BBBBIBqIibQ")
KNOWN_COLLS: dict[bytes, Any] = {}
"""Collections by their encoding: each sub-operation names one of a few."""
_MAX_COLLS = 1024


@irregular("coll_t")
@total_ordering
class Coll(Struct):
    """A collection of a store: one per PG, one for its temporary objects, one for the OSD itself.

    Never changed once made; usable as a key.
    """

    __slots__ = ("_hash", "_key", "_raw", "pgid", "type")
    _denc_min_size: ClassVar[int] = 5

    def __init__(self, type: int = CollType.META, pgid: SPGId | None = None) -> None:
        self.type = type
        self.pgid = SPGId(PGId()) if pgid is None else pgid
        # The store asks for each write whether a collection is one of its.
        self._key: tuple[int, ...] = (_META,)
        if type != _META:
            pg = self.pgid.pgid
            self._key = int(type), pg.pool, pg.seed, self.pgid.shard
        self._hash = hash(self._key)
        self._raw: bytes | None = None

    @classmethod
    def of(cls, pgid: SPGId) -> Self:
        """The collection of a PG's objects."""
        return cls(CollType.PG, pgid)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `meta`, `1.2f_head` or `1.2f_TEMP`. ValueError otherwise."""
        if text == "meta":
            return cls()
        for suffix, kind in (("_head", CollType.PG), ("_TEMP", CollType.PG_TEMP)):
            if text.endswith(suffix):
                return cls(kind, SPGId.parse(text[: -len(suffix)]))
        raise ValueError(f"{text!r} is not a collection like meta or 1.2f_head")

    @property
    def is_meta(self) -> bool:
        """True for the OSD's own collection."""
        return self.type == _META

    @property
    def is_temp(self) -> bool:
        """True for a PG's temporary objects."""
        return self.type == CollType.PG_TEMP

    def temp(self) -> Coll:
        """The collection of temporary objects beside this PG's."""
        return Coll(CollType.PG_TEMP, self.pgid)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coll):
            return NotImplemented
        return self._key == other._key

    def __lt__(self, other: Coll) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Coll({self.type!r}, {self.pgid!r})"

    def __str__(self) -> str:
        if self.type == CollType.META:
            return "meta"
        return f"{self.pgid}_{'TEMP' if self.is_temp else 'head'}"

    def _enc(self, out: bytearray, features: int) -> None:
        if self.type == CollType.PG_TEMP:
            text = str(self).encode()
            out += _struct.pack("<BI", 3, len(text)) + text
            return
        raw = self._raw
        if raw is None:
            shard = self.pgid.shard
            pg = self.pgid.pgid
            raw = _COLL_V2.pack(2, self.type, 1, 1, 18, 1, pg.pool, pg.seed, -1, shard, NOSNAP)
            self._raw = raw
        out += raw

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        start, v = pos, buf[pos]
        raw = buf[start : start + _COLL_V2.size]
        known = KNOWN_COLLS.get(raw)
        if known is not None and start + len(raw) <= end:
            return known, start + len(raw)
        pos += 1
        if v == 3:
            (size,) = _struct.unpack_from("<I", buf, pos)
            pos += 4
            if size > end - pos:
                raise WireError("length runs past the end", offset=pos, limit=end)
            text = str(buf[pos : pos + size], "utf-8", "surrogateescape")
            try:
                return cls.parse(text), pos + size
            except ValueError as error:
                raise WireError(str(error), offset=pos) from None
        if v not in (1, 2):
            raise IncompatibleVersion(f"collection of version {v}", offset=pos)
        kind = buf[pos] if v == 2 else None
        pos += v - 1
        pgid, pos = SPGId._dec(buf, pos, end, features)
        (snap,) = _struct.unpack_from("<Q", buf, pos)
        if kind is None:
            nothing = pgid == SPGId(PGId()) and not snap
            kind = CollType.META if nothing else CollType.PG
        if kind not in (CollType.META, CollType.PG, CollType.PG_TEMP):
            raise WireError(f"collection of type {kind}", offset=pos)
        made = cls(kind, pgid)
        if v == 2 and pos + 8 == start + len(raw) <= end:
            if len(KNOWN_COLLS) >= _MAX_COLLS:
                KNOWN_COLLS.clear()
            KNOWN_COLLS[raw] = made
        return made, pos + 8

    def plain(self) -> dict[str, object]:
        """As upstream's JSON shows it."""
        return {"type_id": int(self.type), "pgid": str(self.pgid), "name": str(self)}


@struct(name="pg_create_t", version=1, compat=1)
class PGCreate(Struct):
    """Why a PG is made: the epoch, and what it is split from (bits 0: made anew)."""

    created: u32
    parent: PGId
    split_bits: s32


@struct(name="PGTempMap")
class PGTempMap(Struct):
    """PGs that other OSDs serve for the time being than placement says (in the OSD map)."""

    pg_temp: Map[PGId, Vec[s32]]


@struct(name="pg_merge_meta_t", version=1, compat=1)
class PGMergeMeta(Struct):
    """What a pool remembers of its last merge of two PGs."""

    source_pgid: PGId
    ready_epoch: u32
    last_epoch_started: u32
    last_epoch_clean: u32
    source_version: EVersion
    target_version: EVersion


class PGState(IntFlag):
    """What a PG is doing; `pg_state_text` prints sets of them."""

    CREATING = 1 << 0
    ACTIVE = 1 << 1
    CLEAN = 1 << 2
    DOWN = 1 << 4
    RECOVERY_UNFOUND = 1 << 5
    BACKFILL_UNFOUND = 1 << 6
    PREMERGE = 1 << 7
    SCRUBBING = 1 << 8
    DEGRADED = 1 << 10
    INCONSISTENT = 1 << 11
    PEERING = 1 << 12
    REPAIR = 1 << 13
    RECOVERING = 1 << 14
    BACKFILL_WAIT = 1 << 15
    INCOMPLETE = 1 << 16
    STALE = 1 << 17
    REMAPPED = 1 << 18
    DEEP_SCRUB = 1 << 19
    BACKFILLING = 1 << 20
    BACKFILL_TOOFULL = 1 << 21
    RECOVERY_WAIT = 1 << 22
    UNDERSIZED = 1 << 23
    ACTIVATING = 1 << 24
    PEERED = 1 << 25
    SNAPTRIM = 1 << 26
    SNAPTRIM_WAIT = 1 << 27
    RECOVERY_TOOFULL = 1 << 28
    SNAPTRIM_ERROR = 1 << 29
    FORCED_RECOVERY = 1 << 30
    FORCED_BACKFILL = 1 << 31
    FAILED_REPAIR = 1 << 32
    LAGGY = 1 << 33
    WAIT = 1 << 34


_PRINT_ORDER = [
    "stale",
    "creating",
    "active",
    "activating",
    "clean",
    "recovery_wait",
    "recovery_toofull",
    "recovering",
    "forced_recovery",
    "down",
    "recovery_unfound",
    "backfill_unfound",
    "undersized",
    "degraded",
    "remapped",
    "premerge",
    "scrubbing",
    "deep",
    "inconsistent",
    "peering",
    "repair",
    "backfill_wait",
    "backfilling",
    "forced_backfill",
    "backfill_toofull",
    "incomplete",
    "peered",
    "snaptrim",
    "snaptrim_wait",
    "snaptrim_error",
    "failed_repair",
    "laggy",
    "wait",
]
PG_STATE_BITS = {
    name: int(PGState["DEEP_SCRUB" if name == "deep" else name.upper()]) for name in _PRINT_ORDER
}
"""State bits by the names that upstream prints, in the order in which it prints them."""


@lru_cache(256)  # thousands of PGs are in a handful of states
def pg_state_text(state: int) -> str:
    """`active+clean`; `unknown` for no bit at all."""
    return "+".join(name for name, bit in PG_STATE_BITS.items() if state & bit) or "unknown"


def pg_state_of(text: str) -> int:
    """The bits of `active+clean`; KeyError for a name that is none."""
    return 0 if text == "unknown" else sum({PG_STATE_BITS[name] for name in text.split("+")})


@struct(name="osd_peer_stat_t")
class OSDPeerStat(Struct):
    """When an OSD took its last statistics; in pings of releases long gone."""

    stamp_sec: u32
    stamp_nsec: u32
