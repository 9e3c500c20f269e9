"""What one step of peering has to do at its end: one transaction, then messages.

Handlers add to it; whoever began the step calls `finish` once. So what a step says to others is
never ahead of what its own store was asked to keep. Upstream: PeeringCtx.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from spirula.osd.pg import meta
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import GHObject


@dataclass(slots=True, eq=False)
class Work:
    """The transaction of a step, what is sent after it, and what follows when it is on disk."""

    pg: PG
    transaction: Transaction = field(default_factory=Transaction)
    messages: list[tuple[int, Message]] = field(default_factory=list)
    committed: list[Callable[[], None]] = field(default_factory=list)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """What follows once the transaction is queued and the messages are sent."""
    removed: set[GHObject] = field(default_factory=set)
    """Objects that the transaction removes."""

    def send(self, osd: int, message: Message) -> None:
        """Sends to another OSD at the end of the step."""
        self.messages.append((osd, message))

    def finish(self) -> None:
        """Writes what changed and sends what was to be sent."""
        pg = self.pg
        meta.write(pg, self.transaction)
        if self.transaction or self.committed:
            pg.queue((self.transaction,), self._on_commit)
        if pg.held_back is not None:
            pg.held_back += self.messages
        else:
            send(pg, self.messages)
        self.messages = []
        for then in self.afterwards:
            then()

    def _on_commit(self, error: Exception | None) -> None:
        if error is not None:
            self.pg.shared.store_failed(error)
            return
        for then in self.committed:
            then()


def send(pg: PG, messages: list[tuple[int, Message]]) -> None:
    """Sends messages to other OSDs."""
    epoch = pg.osdmap.epoch
    for osd, message in messages:
        pg.services.send_osd(osd, message, epoch)


def hold_back(pg: PG) -> None:
    """Has messages wait until all that was written to the PG before is on disk.

    A new interval begins: others will build on what is told of the log. If that were lost by a
    crash, they would look for objects that nobody has. Upstream: begin_block_outgoing.
    """
    pg.held_back = None
    if not pg.store.flush_commit(pg.coll, partial(_on_flushed, pg, pg.last_peering_reset)):
        pg.held_back = []


def _on_flushed(pg: PG, since: int, error: Exception | None) -> None:
    if error is not None:
        pg.shared.store_failed(error)
    elif pg.last_peering_reset == since and not pg.deleted:
        let_go(pg)


def let_go(pg: PG) -> None:
    """Sends what was held back."""
    messages, pg.held_back = pg.held_back, None
    send(pg, messages or [])
