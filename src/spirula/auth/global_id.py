"""Global ids: which ones a monitor may give to new clients without asking the others.

Monitors share one range, which the leader extends through Paxos; each gives only the ids that
belong to its rank, so that no id is given twice. Called by the monitor's auth service. Follows
upstream `src/mon/AuthMonitor.cc` (_assign_global_id, _should_increase_max_global_id).
"""

from __future__ import annotations

from dataclasses import dataclass

PREALLOCATED = 10_000
"""Default of `mon_globalid_prealloc`: by how much the range is extended."""
FIRST = 0x1000
"""Where the range begins (upstream MIN_GLOBAL_ID)."""


@dataclass(slots=True)
class GlobalIds:
    """The allocator of one monitor. `maximum` is what Paxos committed; `last` the last id given."""

    maximum: int = 0
    last: int = 0
    monitors: int = 0
    rank: int = -1
    preallocated: int = PREALLOCATED

    def assign(self) -> int:
        """A fresh id; 0 where none can be given now (no quorum, or the range is used up)."""
        if self.monitors < 1 or self.rank < 0 or not self.last:
            return 0
        candidate = self.last + 1
        candidate += -candidate % self.monitors + self.rank
        if candidate >= self.maximum:
            return 0
        self.last = candidate
        return candidate

    def on_committed(self, maximum: int) -> None:
        """Takes what Paxos has committed, once all of it is known.

        A monitor that starts gives no id of the range as it finds it, for it does not remember
        which of them it has given before.
        """
        self.maximum = max(self.maximum, maximum)
        if not self.last:
            self.last = self.maximum

    def should_extend(self) -> bool:
        """Whether the leader should extend the range."""
        used_up = self.last + 1 >= self.maximum - self.preallocated // 2
        return self.maximum < self.preallocated or used_up
