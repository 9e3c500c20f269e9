"""The port between a PG's requests and the way in which its pool keeps copies.

`replicated` is the one that is there; a backend of erasure-coded pools fits the same port, where
reads may have to ask others. Called by `pipeline`, `peering` and `dispatch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.osd.ops.context import StatDelta
    from spirula.osd.pg.repop import RepGather
    from spirula.types.pg_log import PGLogEntry
    from spirula.types.transaction import Transaction


class Backend(Protocol):
    """Has a PG's writes carried out everywhere, in order."""

    def submit(
        self,
        repop: RepGather,
        transaction: Transaction,
        entries: list[PGLogEntry],
        delta: StatDelta,
    ) -> None:
        """Has a write applied here and at the replicas, together with its log entries.

        `repop.version` is that of the last entry. When all have it on disk,
        `repop.on_all_committed` is called: never within this call, and in the order of calls.
        """
        ...

    def submit_log(self, repop: RepGather, entries: list[PGLogEntry]) -> None:
        """Has log entries without a change remembered everywhere; else as `submit`."""
        ...

    def on_message(self, message: Message) -> bool:
        """Takes a message of the other OSDs' backends; False for what is none."""
        ...

    def on_change(self) -> None:
        """A new interval begins: forgets all that is under way; nothing is called back."""
        ...
