"""Small values that every other type is made of: times, versions, wrappers of plain numbers.

Formats: upstream `src/include/utime.h`, `src/include/types.h`, `src/osd/osd_types.h` (eversion_t).
"""

from __future__ import annotations

from typing import Self

from spirula.denc import Struct, struct, u32, u64


@struct(name="utime_t", frozen=True)
class UTime(Struct):
    """A point in time (seconds and nanoseconds since 1970) or a span."""

    sec: u32
    nsec: u32

    @classmethod
    def at(cls, seconds: float) -> Self:
        """The time `seconds` after 1970, to the nanosecond that a float can hold."""
        whole = int(seconds)
        return cls(whole & 0xFFFFFFFF, int((seconds - whole) * 1e9))

    def __float__(self) -> float:
        return self.sec + self.nsec / 1e9

    def __bool__(self) -> bool:
        return bool(self.sec or self.nsec)


@struct(name="eversion_t", frozen=True)
class EVersion(Struct):
    """A position in a PG's history, ordered by epoch, then version."""

    version: u64
    epoch: u32

    def __lt__(self, other: EVersion) -> bool:
        return (self.epoch, self.version) < (other.epoch, other.version)

    def __le__(self, other: EVersion) -> bool:
        return (self.epoch, self.version) <= (other.epoch, other.version)

    def __gt__(self, other: EVersion) -> bool:
        return (self.epoch, self.version) > (other.epoch, other.version)

    def __ge__(self, other: EVersion) -> bool:
        return (self.epoch, self.version) >= (other.epoch, other.version)

    def __str__(self) -> str:
        return f"{self.epoch}'{self.version}"

    def __bool__(self) -> bool:
        return bool(self.version or self.epoch)
