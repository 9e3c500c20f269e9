"""Objects in memory: those in use lately, and all that have queued changes.

For `store.disk`. A hit costs a look-up in a dictionary and a mark; room is made by a hand that goes
round and takes away what was not marked since it came by last.
"""

from __future__ import annotations

from collections import deque

from spirula.store.disk.onode import Onode
from spirula.types.hobject import GHObject

_DROPPED = 64
"""So many dropped objects, and an eighth of the kept ones, may wait for the hand."""


class OnodeCache:
    """At most `target` bytes of onodes with their shards, as `Onode.estimate` counts them."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.onodes: dict[GHObject, Onode] = {}
        # In the order in which the hand comes by; those that were dropped, too, until it does.
        self._round: deque[Onode] = deque()
        self._dropped = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.onodes)

    def add(self, onode: Onode) -> None:
        """Keep an object under the name it has."""
        self.onodes[onode.oid] = onode
        if not onode.cost:
            self._round.append(onode)
        self.count(onode)

    def count(self, onode: Onode) -> None:
        """A kept object has changed: count anew what it takes."""
        cost = onode.estimate()
        self.bytes += cost - onode.cost
        onode.cost = cost

    def grown(self, onode: Onode, by: int) -> None:
        """A kept object takes this much more."""
        if onode.cost:
            onode.cost += by
            self.bytes += by

    def drop(self, oid: GHObject) -> None:
        """Forget an object, if it is here."""
        onode = self.onodes.pop(oid, None)
        if onode is not None and onode.cost:
            self.bytes -= onode.cost
            onode.cost = 0
            self._dropped += 1
            if self._dropped > len(self.onodes) // 8 + _DROPPED:
                self._round, self._dropped = deque(self.onodes.values()), 0

    def trim(self) -> None:
        """Make room, as far as nothing that was queued needs it."""
        waiting = self._round
        rounds = 2 * len(waiting)
        while self.bytes > self.target and rounds:
            rounds -= 1
            onode = waiting.popleft()
            if not onode.cost:
                continue
            if onode.pins or onode.used:
                onode.used = False
                waiting.append(onode)
            else:
                del self.onodes[onode.oid]
                self.bytes -= onode.cost
                onode.cost = 0
