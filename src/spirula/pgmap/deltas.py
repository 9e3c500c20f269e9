"""What has changed over the last few spans of time: the rates of `ceph -s` and `osd pool stats`.

Kept by `record.apply`. Upstream: `src/mon/PGMap.cc` (update_delta, apply_incremental).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from spirula.types.pg_stats import ObjectStatSum


@dataclass(slots=True, eq=False)
class Rate:
    """Changes of counters and the seconds that they took: `total` over `seconds`.

    `stamp` is when the last span ended, in seconds since 1970 (0: none yet).
    """

    total: ObjectStatSum = field(default_factory=ObjectStatSum)
    seconds: float = 0.0
    stamp: float = 0.0
    _spans: deque[tuple[ObjectStatSum, float]] = field(default_factory=deque)

    def note(self, before: ObjectStatSum, now: ObjectStatSum, seconds: float, smooth: int) -> None:
        """Takes a span in; of more than `smooth` spans the oldest is dropped.

        What follows on zeros is no change: it is the first that anybody has heard.
        """
        if before != _NOTHING:
            change = ObjectStatSum()
            change.add(now)
            change.sub(before)
            self._spans.append((change, seconds))
            self.total.add(change)
            self.seconds += seconds
        while len(self._spans) > smooth:
            change, span = self._spans.popleft()
            self.total.sub(change)
            self.seconds -= span


_NOTHING = ObjectStatSum()
