"""What happened in a simulated run: a digest always, the events themselves on request.

Two runs of one seed must have equal digests; where they have not, the first event that differs
shows what depends on something other than the seed. `sim.network` writes here; tests and
`sim.histories` read.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

_EVENT = struct.Struct("<dqqq")


class Trace:
    """The running digest of a run's events, and their text if `keep` is true.

    An event is a verb (`connect`, `deliver`, `reset` ...), the number of its connection (-1 if it
    has none), and up to two numbers whose meaning the verb gives.
    """

    __slots__ = ("_clock", "_digest", "keep", "lines")

    def __init__(self, clock: Callable[[], float], *, keep: bool = False) -> None:
        self._clock = clock
        self.keep = keep
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what happened so far."""
        self._digest = hashlib.blake2b(digest_size=16)
        self.lines: list[str] = []

    def event(self, verb: bytes, connection: int = -1, first: int = 0, second: int = 0) -> None:
        """Record one event at the present virtual time."""
        now = self._clock()
        self._digest.update(verb + _EVENT.pack(now, connection, first, second))
        if self.keep:
            self.lines.append(f"{now:.6f} {verb.decode()} {connection} {first} {second}")

    def note(self, text: str) -> None:
        """Record a line of the test's own, which takes part in the digest."""
        self._digest.update(text.encode())
        if self.keep:
            self.lines.append(f"{self._clock():.6f} {text}")

    def digest(self) -> str:
        """The digest of all events so far, in hexadecimal."""
        return self._digest.hexdigest()
