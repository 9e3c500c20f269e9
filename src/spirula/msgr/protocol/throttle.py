"""Limits on what a daemon holds of messages that it received and has not finished with.

A message takes its share after its length is known and before memory is taken for it. When there is
no room, the connection stops reading, and TCP makes the sender wait. Shared by all connections of a
peer type; a plain counter, because a daemon has one thread. Upstream: `src/common/Throttle.cc`,
`Policy::throttler_bytes` and `throttler_messages`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from spirula.errors import InvariantBroken
from spirula.records import dataclass


@dataclass(slots=True)
class Throttle:
    """A counter with a limit; `limit` 0 means unlimited.

    A single request larger than the limit passes when nothing else is held, otherwise it could
    never pass at all.
    """

    limit: int
    current: int = 0
    _waiters: dict[Callable[[], None], None] = field(default_factory=dict)  # in their order

    def has_room(self, count: int) -> bool:
        """Whether `count` could be taken now."""
        if not self.limit:
            return True
        if count > self.limit:
            return self.current == 0
        return self.current + count <= self.limit

    def take(self, count: int) -> None:
        """Takes `count`; ask `has_room` first."""
        self.current += count

    def put(self, count: int) -> None:
        """Gives `count` back and wakes who waits for room, in the order in which they came."""
        self.current -= count
        if self.current < 0:
            raise InvariantBroken("more was given back to a throttle than taken")
        if self._waiters:
            waiters, self._waiters = self._waiters, {}
            for wake in waiters:
                wake()

    def when_room(self, wake: Callable[[], None]) -> None:
        """Calls `wake` once after the next `put`; the woken one asks again and may wait again."""
        self._waiters.setdefault(wake)

    def forget(self, wake: Callable[[], None]) -> None:
        """Takes back a `when_room`."""
        self._waiters.pop(wake, None)


class Ticket:
    """The share of the throttles that one message of `size` bytes holds, until `release`."""

    __slots__ = ("_gate", "size")

    def __init__(self, gate: Gate, size: int) -> None:
        self._gate: Gate | None = gate
        self.size = size

    def release(self) -> None:
        """Gives the share back; a second call does nothing."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release(self.size)


class Gate:
    """The throttles that one connection's messages pass: of its peer type and of the messenger.

    `full` is the throttle that refused last; the connection waits for it.
    """

    __slots__ = ("_bytes", "_messages", "_only", "full")

    def __init__(self, bytes_: list[Throttle], messages: Throttle | None) -> None:
        self._bytes = bytes_
        self._messages = messages
        self._only = bytes_[0] if len(bytes_) == 1 and messages is None else None
        self.full: Throttle | None = None

    def admit(self, size: int) -> bool:
        """Takes one message of `size` bytes from all throttles, or from none of them."""
        only = self._only
        if only is not None and only.current + size <= only.limit:
            only.current += size
            return True
        self.full = None
        if self._messages is not None and not self._messages.has_room(1):
            self.full = self._messages
            return False
        if size:
            for throttle in self._bytes:
                if not throttle.has_room(size):
                    self.full = throttle
                    return False
            for throttle in self._bytes:
                throttle.take(size)
        if self._messages is not None:
            self._messages.take(1)
        return True

    def release(self, size: int) -> None:
        """Gives back what `admit` took."""
        if self._only is not None:
            self._only.put(size)
            return
        if size:
            for throttle in self._bytes:
                throttle.put(size)
        if self._messages is not None:
            self._messages.put(1)
