"""Objects in memory: those in use lately, and all that have queued changes.

For `store.disk`. A hit costs a look-up in a dictionary and a mark; room is made by a hand that goes
round and takes away what was not marked since it came by last.
"""

from __future__ import annotations

from collections import OrderedDict

from spirula.store.disk.onode import Onode
from spirula.types.hobject import GHObject


class OnodeCache:
    """At most `target` bytes of onodes with their shards, as `Onode.estimate` counts them."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.onodes: OrderedDict[GHObject, Onode] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.onodes)

    def add(self, onode: Onode) -> None:
        """Keep an object under the name it has."""
        self.onodes[onode.oid] = onode
        self.count(onode)

    def count(self, onode: Onode) -> None:
        """A kept object has changed: count anew what it takes."""
        cost = onode.estimate()
        self.bytes += cost - onode.cost
        onode.cost = cost

    def grown(self, onode: Onode, by: int) -> None:
        """A kept object takes this much more."""
        onode.cost += by
        self.bytes += by

    def drop(self, oid: GHObject) -> None:
        """Forget an object, if it is here."""
        onode = self.onodes.pop(oid, None)
        if onode is not None:
            self.bytes -= onode.cost
            onode.cost = 0

    def trim(self) -> None:
        """Make room, as far as nothing that was queued needs it."""
        rounds = 2 * len(self.onodes)
        onodes = self.onodes
        while self.bytes > self.target and rounds:
            rounds -= 1
            oid = next(iter(onodes))
            onode = onodes[oid]
            if onode.pins or onode.used:
                onode.used = False
                onodes.move_to_end(oid)
            else:
                self.drop(oid)
