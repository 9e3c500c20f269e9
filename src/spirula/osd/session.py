"""What an OSD remembers of each peer: who it is, what it may, which map it was given.

Kept as `Connection.priv`; made when a peer's session opens, once per session, so that a request
costs no more than looking at it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.auth.caps import osd as osd_caps
from spirula.auth.caps.grammar import InvalidCaps
from spirula.messages.base import Message
from spirula.msgr.connection import Connection
from spirula.types.entity import EntityAddr, EntityName

if TYPE_CHECKING:
    from spirula.auth.caps.osd import OsdCaps
    from spirula.osd.ops.watch import Watch
    from spirula.osd.pg.backoff import Backoff
    from spirula.types.pg import SPGId

NO_CAPS = osd_caps.OsdCaps(())


@dataclass(slots=True, eq=False)
class Session:
    """A peer's session. `entity` is who it authenticated as, `name` its number on the wire.

    `sent_epoch` is the newest map that the peer is known to have.
    """

    connection: Connection
    name: EntityName
    addr: EntityAddr
    entity: str
    features: int
    caps: OsdCaps
    watches: set[Watch] = field(default_factory=set)
    backoffs: dict[SPGId, list[Backoff]] = field(default_factory=dict)
    backoff_seq: int = 0
    sent_epoch: int = 0
    is_osd: bool = field(init=False)
    """Whether the peer has shown that it is an OSD."""

    def __post_init__(self) -> None:
        self.is_osd = self.entity.startswith("osd.") or not self.entity

    def send(self, message: Message) -> None:
        """Send to the peer; nothing happens when the session is over."""
        self.connection.send_message(message)

    @property
    def is_mon(self) -> bool:
        """Whether the peer has shown that it is a monitor."""
        return self.entity.startswith("mon.")


def open_session(connection: Connection) -> Session:
    """Makes the session of a connection that has just opened.

    Caps that cannot be read grant nothing.
    """
    auth = connection.auth
    if auth.allow_all:
        caps = osd_caps.ALLOW_ALL
    else:
        try:
            caps = osd_caps.parse(auth.caps.get("osd", ""))
        except InvalidCaps:
            caps = NO_CAPS
    known: Session | None = connection.priv
    if known is not None:
        known.caps = caps
        return known
    addrs = connection.peer_addrs.addrs
    session = Session(
        connection,
        connection.peer_name,
        addrs[0] if addrs else EntityAddr(),
        auth.entity,
        connection.features,
        caps,
    )
    connection.priv = session
    return session


def session_of(connection: Connection) -> Session:
    """The session of a connection."""
    found: Session | None = connection.priv
    return found if found is not None else open_session(connection)
