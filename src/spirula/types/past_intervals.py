"""Who may have served a PG since it was last clean: what peering must ask before it may go on.

Formats: upstream `src/osd/osd_types.h`, `osd_types.cc` (PastIntervals, pi_compact_rep).
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.denc import Set, Struct, Vec, boolean, default, s32, since, struct, u8, u32, when
from spirula.errors import WireError
from spirula.types.pg import NO_OSD, PGShard

_NONE, _COMPACT = 0, 2


@struct(name="PastIntervals::pg_interval_t", version=4, compat=2, legacy=(2, 2))
class PGInterval(Struct):
    """Epochs `first` to `last` through which a PG's up and acting sets stayed the same."""

    first: u32
    last: u32
    up: Vec[s32]
    acting: Vec[s32]
    maybe_went_rw: boolean
    primary: s32 = since(3, default=-1)
    up_primary: s32 = since(4, default=-1)


@struct(name="compact_interval_t", version=1, compat=1)
class CompactInterval(Struct):
    """An interval in which writes may have happened, and who held the PG."""

    first: u32
    last: u32
    acting: Set[PGShard]


@struct(version=1, compat=1)
class _CompactRep(Struct):
    first: u32
    last: u32
    all_participants: Set[PGShard]
    intervals: Vec[CompactInterval]


@struct(name="PastIntervals", version=1, compat=1)
class PastIntervals(Struct):
    """All intervals since the PG was last clean.

    Those that a later one makes needless are dropped.
    """

    type: u8 = default(_COMPACT)
    rep: _CompactRep = when(f"type == {_COMPACT}")

    def __post_init__(self) -> None:
        if self.type not in (_NONE, _COMPACT):
            raise WireError(f"past intervals of type {self.type}")

    def __len__(self) -> int:
        return len(self.rep.intervals)

    @property
    def is_empty(self) -> bool:
        """True when no interval was ever added."""
        rep = self.rep
        return rep.first > rep.last or rep.first == rep.last == 0

    @property
    def bounds(self) -> tuple[int, int]:
        """The first epoch, and the one after the last."""
        return self.rep.first, self.rep.last + 1

    @property
    def all_participants(self) -> set[PGShard]:
        """All that held the PG in any of the intervals."""
        return self.rep.all_participants

    @property
    def intervals(self) -> list[CompactInterval]:
        """The intervals that may have had writes, oldest first."""
        return self.rep.intervals

    def adjust_start_backwards(self, last_epoch_clean: int) -> None:
        """Has the intervals begin where the PG was last clean."""
        self.rep.first = last_epoch_clean

    def add_interval(self, interval: PGInterval, *, erasure: bool) -> None:
        """Adds the next interval; ValueError when it does not come after those that are there."""
        rep = self.rep
        if interval.last <= rep.last:
            raise ValueError(f"interval ends at {interval.last}, not after {rep.last}")
        rep.first = rep.first or interval.first
        rep.last = interval.last
        acting = {
            PGShard(osd, shard if erasure else -1)
            for shard, osd in enumerate(interval.acting)
            if osd != NO_OSD
        }
        rep.all_participants |= acting
        if interval.maybe_went_rw:
            rep.intervals = [kept for kept in rep.intervals if not acting <= kept.acting]
            rep.intervals.append(CompactInterval(interval.first, interval.last, acting))

    def may_have_writes_since(self, epoch: int) -> Iterator[CompactInterval]:
        """The intervals that end at or after `epoch` and may have had writes, newest first."""
        for interval in reversed(self.rep.intervals):
            if interval.last < epoch:
                break
            yield interval
