"""Until when may be read, so that no read is older than what a newer quorum has acknowledged.

Upstream hands out leases by the leader's wall clock and hopes that no other quorum commits before
they have run out: a peon cut off together with its leader, or one whose clock is late, can serve
what is long overwritten. Here, with the same messages:

- A leader's lease ends at most a *span* after it asked, for the last time, what each member of the
  quorum has answered since (`Grants`).
- Whoever answers a leader has thereby promised: until a span after it was asked, it takes part in
  no commit of another quorum that lacks a member of the former one, unless that member is known to
  have dropped its leases since: it spoke in a later election, or its process is gone (`Promises`).
  Two quorums share a member, so leases of one end before the other commits. Who restarts has
  forgotten its promises, and acts as if it had just made one to all.
- A peon reckons the end of its lease on its own monotonic clock, from the earliest moment at which
  the leader can have written it: after the peon sent what the leader answered (`Received`). Clocks
  of different hosts are never compared, only their rates are taken to be equal to a hundredth.

`paxos` calls this. Times are seconds of this monitor's monotonic clock unless called wall.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_RATES_DIFFER = 1.01

Question = tuple[str, int, int]
"""What was asked: `collect`, `begin` or `lease`; the proposal number (or 0); the version (or 0)."""


@dataclass(slots=True)
class Grants:
    """The leader's side."""

    lease_s: float
    span_s: float
    _asked: dict[int, deque[tuple[Question, float]]] = field(default_factory=dict)
    _answered: dict[int, float] = field(default_factory=dict)

    def reset(self) -> None:
        """A quorum has formed, or is left: nobody has answered anything."""
        self._asked.clear()
        self._answered.clear()

    def ask(self, rank: int, question: Question, now: float) -> None:
        """A question goes out."""
        self._asked.setdefault(rank, deque()).append((question, now))

    def answer(self, rank: int, question: Question) -> None:
        """An answer came. Answers come in the order of questions; some have none."""
        asked = self._asked.get(rank, deque())
        for index, (candidate, when) in enumerate(asked):
            if candidate == question:
                for _ in range(index + 1):
                    asked.popleft()
                self._answered[rank] = max(when, self._answered.get(rank, when))
                return

    def end(self, peers: list[int], now: float) -> float:
        """When a lease that is granted now has to end; `now` if some peer never answered."""
        if any(rank not in self._answered for rank in peers):
            return now
        bounds = [self._answered[rank] + self.span_s for rank in peers]
        return max(now, min([now + self.lease_s, *bounds]))

    def oldest_open(self) -> float | None:
        """When the oldest question was asked that has no answer yet."""
        return min((asked[0][1] for asked in self._asked.values() if asked), default=None)


@dataclass(slots=True)
class Promises:
    """What this monitor has promised to quorums, by the names of their members."""

    span_s: float
    _made: dict[frozenset[str], tuple[float, int]] = field(default_factory=dict)
    _dropped: dict[str, int] = field(default_factory=dict)

    def make(self, members: frozenset[str], epoch: int, now: float) -> None:
        """Promise to the quorum of that epoch that it may grant leases on this monitor's word."""
        for known in [known for known, (until, _) in self._made.items() if until <= now]:
            del self._made[known]
        self._made[members] = (now + self.span_s * _RATES_DIFFER, epoch)

    def dropped(self, name: str, epoch: int) -> None:
        """That monitor holds no lease of a quorum whose epoch is lower than this one."""
        self._dropped[name] = max(epoch, self._dropped.get(name, 0))

    def kept_until(self, members: frozenset[str]) -> float:
        """From when on this monitor may take part in commits of that quorum."""
        return max(
            (
                until
                for known, (until, epoch) in self._made.items()
                if any(self._dropped.get(name, 0) <= epoch for name in known - members)
            ),
            default=0.0,
        )


@dataclass(slots=True)
class Received:
    """The peon's side: what is known of the leader's wall clock, and the lease."""

    expires: float = 0.0
    _offset: float | None = None

    def reset(self) -> None:
        """The leader may be another now."""
        self.expires = 0.0
        self._offset = None

    def answered_by(self, sent_wall: float, asked_at: float) -> None:
        """A message that the leader wrote at `sent_wall` answers what went out at `asked_at`."""
        offset = asked_at - sent_wall
        self._offset = offset if self._offset is None else max(self._offset, offset)

    def grant(self, lease_wall: float, sent_wall: float, now: float) -> None:
        """A lease arrived."""
        if self._offset is not None:
            written = min(sent_wall + self._offset, now)
            self.expires = max(self.expires, written + (lease_wall - sent_wall))

    def cancel(self) -> None:
        """A new value is under way."""
        self.expires = 0.0
