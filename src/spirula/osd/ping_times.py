"""How long pings to one OSD take: means, minima and maxima of the last 1, 5 and 15 minutes.

Kept by `heartbeat`, reported in osd_stat_t, shown by `dump_osd_network`. Behaviour: upstream
`src/osd/OSD.cc` (handle_osd_ping).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from spirula.types.osd_stats import PingTimes

PERIOD_S = 60.0
_MINUTES = (1, 5, 15)
_KEPT = 16


@dataclass(slots=True)
class _Minute:
    """What one minute's pings took, in microseconds."""

    total: int = 0
    least: int = 0
    most: int = 0
    last: int = 0


@dataclass(slots=True)
class _Channel:
    """Times on one network: of the minute that runs, and of those before it."""

    running: _Minute = field(default_factory=_Minute)
    count: int = 0
    past: deque[_Minute] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(self, microseconds: int) -> None:
        minute = self.running
        minute.total += microseconds
        minute.least = min(minute.least, microseconds) if self.count else microseconds
        minute.most = max(minute.most, microseconds)
        minute.last = microseconds
        self.count += 1

    def close(self) -> None:
        """The minute is over; the first one counts for all before it."""
        minute = self.running
        minute.total //= max(self.count, 1)
        for _ in range(1 if self.past else _KEPT):
            self.past.append(minute)
        self.running, self.count = _Minute(), 0

    def over(self, minutes: int) -> tuple[int, int, int]:
        """Mean, minimum and maximum of the last minutes."""
        seen = list(self.past)[-minutes:]
        mean = sum(one.total for one in seen) // len(seen)
        return mean, min(one.least for one in seen), max(one.most for one in seen)


@dataclass(slots=True)
class PingTimesRecord:
    """The times of pings to one OSD."""

    back: _Channel = field(default_factory=_Channel)
    front: _Channel = field(default_factory=_Channel)
    began: float = 0.0
    shown: PingTimes | None = None

    def begin(self, now: float) -> None:
        """The first minute begins."""
        self.began = now

    def add(
        self, now: float, wall: float, back_s: float, front_s: float, period_s: float = PERIOD_S
    ) -> PingTimes | None:
        """A ping was answered after that many seconds; what to report, once there is something."""
        self.back.add(_microseconds(back_s))
        self.front.add(_microseconds(front_s))
        if now - self.began >= period_s:
            self.began = now
            last = self.back.running.last, self.front.running.last
            self.back.close()
            self.front.close()
            self.shown = self._summary(int(wall), *last)
        elif self.shown is not None:
            self.shown.back_last = self.back.running.last
            self.shown.front_last = self.front.running.last
        return self.shown

    def _summary(self, now: int, back_last: int, front_last: int) -> PingTimes:
        back = [self.back.over(minutes) for minutes in _MINUTES]
        front = [self.front.over(minutes) for minutes in _MINUTES]
        return PingTimes(
            now,
            *[list(values) for values in zip(*back, strict=True)],
            back_last,
            *[list(values) for values in zip(*front, strict=True)],
            front_last,
        )


def _microseconds(seconds: float) -> int:
    return max(int(seconds * 1_000_000 + 0.5), 0)
