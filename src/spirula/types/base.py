"""Small values that every other type is made of: times, versions, wrappers of plain numbers.

Formats: upstream `src/include/utime.h`, `src/include/types.h`, `src/osd/osd_types.h` (eversion_t).
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final, Self

from spirula.denc import Struct, struct, u32, u64

_SPAN_ENDS: Final = 10 * 365 * 86_400
"""Less seconds than these are taken for a span, not for a moment in the seventies."""
_DAY: Final = 86_400
_SPANS: Final = (
    ("s", 1, 120),
    ("m", 60, 120 * 60),
    ("h", 3600, 2 * _DAY),
    ("d", _DAY, 14 * _DAY),
    ("w", 7 * _DAY, 84 * _DAY),
    ("M", 30 * _DAY, 720 * _DAY),
)
"""Unit, its seconds, and from where on the next one is used (upstream `timespan_str`)."""


@lru_cache(maxsize=16)
def local_time(seconds: int) -> tuple[str, str]:
    """A time since 1970 as `2021-04-01T12:00:00`, and the zone as `+0000`.

    By hand and kept, because log lines need it thousands of times a second.
    """
    at = time.localtime(seconds)
    offset = at.tm_gmtoff // 60
    hours, minutes = divmod(abs(offset), 60)
    day = f"{at.tm_year}-{at.tm_mon:02}-{at.tm_mday:02}"
    moment = f"{day}T{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return moment, f"{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"


def calendar_text(seconds: int) -> str:
    """A time since 1970 as ctime(3) has it: `Thu Apr  1 12:00:00 2021`, local time."""
    return time.ctime(seconds)


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

    def __lt__(self, other: UTime) -> bool:
        return (self.sec, self.nsec) < (other.sec, other.nsec)

    def __le__(self, other: UTime) -> bool:
        return (self.sec, self.nsec) <= (other.sec, other.nsec)

    def __gt__(self, other: UTime) -> bool:
        return (self.sec, self.nsec) > (other.sec, other.nsec)

    def __ge__(self, other: UTime) -> bool:
        return (self.sec, self.nsec) >= (other.sec, other.nsec)

    def __bool__(self) -> bool:
        return bool(self.sec or self.nsec)

    def __str__(self) -> str:
        """As upstream prints it: local time with its zone, a span in seconds."""
        if self.sec < _SPAN_ENDS:
            return f"{self.sec}.{self.nsec // 1000:06}"
        moment, zone = local_time(self.sec)
        return f"{moment}.{self.nsec // 1000:06}{zone}"

    def span_text(self) -> str:
        """A span as people are told it: `3m`, `2h`, `5w`."""
        if self.sec < 2:
            return f"{float(self):g}s"
        for unit, seconds, most in _SPANS:
            if self.sec < most:
                return f"{self.sec // seconds}{unit}"
        return f"{self.sec // (365 * _DAY)}y"


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
