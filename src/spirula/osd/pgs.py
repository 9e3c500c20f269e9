"""The placement groups of an OSD: which it has, and which of them a message is for.

Routes requests and peering messages by PG and map epoch, makes PGs that monitors or peers ask for,
and takes all of them through each new map. What a PG does then is in `pg`. Called by `osd` and
`advance`. Behaviour: upstream `src/osd/OSD.cc` (ms_fast_dispatch, handle_fast_pg_create,
dispatch_session_waiting, consume_map).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.messages.base import Message
from spirula.messages.osd_client import MOSDBackoff
from spirula.messages.osd_mon import MOSDPGCreate2
from spirula.messages.osd_op import MOSDOp
from spirula.osd.peers import share_map
from spirula.osd.session import Session
from spirula.osd.state import OSD, subscribe_maps
from spirula.types.pg import PGId, SPGId
from spirula.types.pg_stats import PGStat

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG


@dataclass(slots=True, eq=False)
class PlacementGroups:
    """The PGs of one OSD by id."""

    osd: OSD
    by_id: dict[SPGId, PG] = field(default_factory=dict)

    # --------------------------------------------------------------------------------- the hot path

    def on_op(self, request: MOSDOp, session: Session) -> None:
        """A client's request: to its PG, or to wait for the map that its client has."""
        osd = self.osd
        epoch = osd.maps.current.epoch
        if request.epoch != epoch:
            if request.epoch > epoch:
                self._wait_for_map(request.epoch, request)
                return
            if session.sent_epoch < epoch:
                share_map(osd, session, request.epoch)

    # ------------------------------------------------------------------------------- waiting, maps

    def _wait_for_map(self, epoch: int, message: Message) -> None:
        self.osd.counters.messages_delayed_for_map.value += 1
        self.osd.waiting_for_map.append((epoch, message))
        subscribe_maps(self.osd, self.osd.maps.newest + 1)

    def release_waiting(self) -> None:
        """A map has come: messages that waited for it go on, in their order."""

    def advance(self, first: int, last: int) -> None:
        """Take all PGs through new maps."""

    # ------------------------------------------------------------------------------------- peering

    def on_pg_message(self, message: Message) -> None:
        """A message between PGs of two OSDs."""

    def on_create(self, message: MOSDPGCreate2) -> None:
        """Monitors ask for new PGs."""

    def on_public_message(self, message: Message) -> None:
        """What came from clients, monitors or the manager and is nothing of the above."""

    def on_backoff(self, message: MOSDBackoff) -> None:
        """A client has heard that it is to wait."""

    # ------------------------------------------------------------------------------------ its life

    def load(self) -> None:
        """Take up the PGs that are in the store."""

    def tick(self) -> None:
        """Once a second."""

    def stop(self) -> None:
        """No timer of a PG is left."""

    def on_session_reset(self, session: Session) -> None:
        """A client is gone: its watches end after a while, its requests are dropped."""

    # ---------------------------------------------------------------------------------- statistics

    def count(self) -> int:
        """How many PGs are here."""
        return len(self.by_id)

    def pools(self) -> list[int]:
        """Pools that have PGs here."""
        return sorted({pgid.pgid.pool for pgid in self.by_id})

    def heartbeat_peers(self) -> set[int]:
        """OSDs that share a PG with us."""
        return set()

    def statistics(self) -> Iterator[tuple[PGId, PGStat]]:
        """Those of all PGs that we lead."""
        yield from ()

    def stored_bytes(self) -> int:
        """What all PGs hold."""
        return 0

    def pending_creates(self) -> int:
        """How many PGs were asked for that are not made yet."""
        return 0
