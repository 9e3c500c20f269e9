"""What a link tells its driver besides messages; a message is its own event.

Each names the session that it is about, so that the driver finds the connection its user knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.msgr.protocol.message import RawMessage
from spirula.records import dataclass

if TYPE_CHECKING:
    from spirula.errors import SpirulaError
    from spirula.msgr.protocol.link import Link
    from spirula.msgr.protocol.session import Session


@dataclass(slots=True, frozen=True)
class Opened:
    """A session can carry messages. `accepted`: the peer connected to us.

    `resumed`: it goes on where an earlier transport broke. `replaced`: the link that carried it
    until now and whose transport is to be closed.
    """

    session: Session
    accepted: bool
    resumed: bool = False
    replaced: Link | None = None


@dataclass(slots=True, frozen=True)
class PeerReset:
    """The peer lost the session: what we had queued for it is gone, and so is its state."""

    session: Session


@dataclass(slots=True, frozen=True)
class Ended:
    """The session is over, and with it what was queued."""

    session: Session


@dataclass(slots=True, frozen=True)
class Due:
    """Another session than the link's is to be dialed at its `retry_at`."""

    session: Session


@dataclass(slots=True, frozen=True)
class Failed:
    """The transport is of no more use and to be closed; then tell `Endpoint.lost`."""

    error: SpirulaError


Event = RawMessage | Opened | PeerReset | Ended | Due | Failed
