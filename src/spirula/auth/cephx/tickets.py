"""The tickets that a principal holds, and when it needs new ones.

Kept by `auth.client`, filled from the monitor's replies, used for authorizers. Times are arguments.
Follows upstream CephXTicketManager and CephXTicketHandler (`src/auth/cephx/CephxProtocol.cc`).
"""

from __future__ import annotations

from dataclasses import field

from spirula.auth.cephx.protocol import IssuedTicket
from spirula.records import dataclass
from spirula.types.auth import CephXTicketBlob, CryptoKey


@dataclass(slots=True)
class Ticket:
    """A ticket for one service. It is renewed when three quarters of its life are over."""

    service_id: int
    session_key: CryptoKey
    blob: CephXTicketBlob
    renew_after: float
    expires: float


@dataclass(slots=True)
class TicketStore:
    """Tickets by service (an entity type). `copy` is what a connection attempt works on."""

    tickets: dict[int, Ticket] = field(default_factory=dict)

    def copy(self) -> TicketStore:
        """The same tickets in a store of their own."""
        return TicketStore(dict(self.tickets))

    def session_key(self, service_id: int) -> CryptoKey | None:
        """A ticket's session key, even of one that has expired: renewals are sealed with it."""
        ticket = self.tickets.get(service_id)
        return ticket.session_key if ticket else None

    def add(self, issued: IssuedTicket, now: float) -> None:
        """Takes a ticket that was just received."""
        expires = now + issued.validity_s
        # Only whole seconds count for the quarter, as upstream computes it.
        renew_after = expires - int(issued.validity_s) / 4
        self.tickets[issued.service_id] = Ticket(
            issued.service_id, issued.session_key, issued.ticket, renew_after, expires
        )

    def drop(self, service_id: int) -> None:
        """Forgets a ticket that a service refused."""
        self.tickets.pop(service_id, None)

    def usable(self, service_id: int, now: float) -> Ticket | None:
        """The ticket for a service unless it has expired."""
        ticket = self.tickets.get(service_id)
        return ticket if ticket and now < ticket.expires else None

    def needed(self, want: int, now: float) -> int:
        """Those services of the mask `want` whose ticket is missing, expired or due."""
        need = 0
        for bit in range(want.bit_length()):
            service_id = 1 << bit
            if want & service_id:
                ticket = self.tickets.get(service_id)
                if ticket is None or now >= ticket.renew_after:
                    need |= service_id
        return need

    def next_deadline(self, want: int) -> float | None:
        """When the first of the wanted tickets is due; 0.0 for a missing one, None for no want."""
        due = []
        for bit in range(want.bit_length()):
            if want & 1 << bit:
                ticket = self.tickets.get(1 << bit)
                due.append(ticket.renew_after if ticket else 0.0)
        return min(due) if due else None
