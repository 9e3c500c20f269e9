"""The sessions of clients with a monitor, and what they subscribed to.

A `MonSession` is made when a client has logged in and ends with its connection; one for a message
that a peon forwarded lives as long as that message. Follows upstream `src/mon/Session.h`. Called by
`monitor`, read by the services.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.auth.caps import InvalidCaps
from spirula.auth.caps import mon as mon_caps
from spirula.auth.caps.mon import MonCaps
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityName, EntityType

if TYPE_CHECKING:
    from spirula.auth.cephx.service import CephxServiceSession
    from spirula.msgr.connection import Connection


@dataclass(slots=True)
class Subscription:
    """What a client wants of one kind of map: versions from `next` on, once or for good.

    `incremental_onetime`: the client is up to date, so increments will do for the one time.
    """

    what: str
    next: int
    onetime: bool
    incremental_onetime: bool = False


@dataclass(slots=True, eq=False)
class MonSession:
    """One client of this monitor, or (`proxy` set) of a peon that forwards for it.

    `name` is type and number, `entity` the principal that logged in (`client.admin`). `features`
    are those of the client's connection. `osd_epoch` is the newest OSD map known to be with it.
    `proxy` is the peon's connection and the number under which it waits for the answer.
    """

    name: EntityName
    entity: PrincipalName
    addrs: EntityAddrVec
    caps: MonCaps
    features: int
    connection: Connection | None = None
    socket_addr: EntityAddr = field(default_factory=EntityAddr)
    global_id: int = 0
    remote_host: str = ""
    auth: CephxServiceSession | None = None
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    osd_epoch: int = 0
    proxy: tuple[Connection, int] | None = None
    routed: set[int] = field(default_factory=set)
    closed: bool = False
    opened_at: float = 0.0
    config_sent: dict[str, str] | None = None
    _origin: str = ""

    @property
    def origin(self) -> str:
        """Who and where, as the audit log shows it; made once, because every command is in it."""
        if not self._origin:
            self._origin = f"from='{self.name} {self.addrs}' entity='{self.entity}'"
        return self._origin

    @property
    def is_mon(self) -> bool:
        """Whether another monitor (or this one) is at the other end."""
        return self.name.type == EntityType.MON

    @property
    def peer_addr(self) -> EntityAddr | None:
        """Where the client comes from, for caps with networks."""
        if self.socket_addr.is_ip:
            return self.socket_addr
        return self.addrs.addrs[0] if self.addrs.addrs else None

    def is_capable(
        self, service: str, *, read: bool = False, write: bool = False, execute: bool = False
    ) -> bool:
        """Whether the client's caps allow this kind of access to a service (`osd`, `mon` ...)."""
        return self.caps.is_capable(
            str(self.entity),
            service,
            "",
            {},
            read=read,
            write=write,
            execute=execute,
            address=self.peer_addr,
        )

    def may_run(self, service: str, command: str, arguments: dict[str, str], perm: str) -> bool:
        """Whether the client's caps allow a command that needs the letters of `perm`."""
        return self.caps.is_capable(
            str(self.entity),
            service,
            command,
            arguments,
            read="r" in perm,
            write="w" in perm,
            execute="x" in perm,
            address=self.peer_addr,
        )

    def is_allow_all(self) -> bool:
        """Whether the client may do everything."""
        return self.caps.is_allow_all()

    def __str__(self) -> str:
        return f"{self.entity} {self.addrs}"


def parse_mon_caps(text: str) -> MonCaps:
    """The caps of a principal; what cannot be read grants nothing."""
    try:
        return mon_caps.parse(text)
    except InvalidCaps:
        return MonCaps((), text)


class SessionMap:
    """All sessions of a monitor's own connections, and by what they subscribed to."""

    def __init__(self) -> None:
        self._sessions: dict[MonSession, None] = {}
        self._subscribed: dict[str, dict[MonSession, None]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[MonSession]:
        return iter(list(self._sessions))

    def add(self, session: MonSession) -> None:
        """A client has logged in."""
        self._sessions[session] = None

    def remove(self, session: MonSession) -> None:
        """The client has gone."""
        session.closed = True
        self._sessions.pop(session, None)
        for what in list(session.subscriptions):
            self.unsubscribe(session, what)

    def subscribe(self, session: MonSession, what: str, start: int, *, onetime: bool) -> None:
        """Sets what a client wants of one kind of map.

        Who asks again keeps its place: what it was sent meanwhile is not sent twice.
        """
        known = session.subscriptions.get(what)
        if known is not None:
            known.next, known.onetime = start, onetime
            known.incremental_onetime = onetime
            return
        session.subscriptions[what] = Subscription(
            what, start, onetime, incremental_onetime=onetime
        )
        self._subscribed.setdefault(what, {})[session] = None

    def unsubscribe(self, session: MonSession, what: str) -> None:
        """The client has got what it wanted, or wants it no more."""
        session.subscriptions.pop(what, None)
        holders = self._subscribed.get(what)
        if holders is not None:
            holders.pop(session, None)
            if not holders:
                del self._subscribed[what]

    def subscribers(self, what: str) -> list[tuple[MonSession, Subscription]]:
        """Who wants a kind of map, in the order in which they asked first."""
        return [(one, one.subscriptions[what]) for one in self._subscribed.get(what, ())]

    def kinds(self) -> list[str]:
        """Everything that somebody subscribed to."""
        return list(self._subscribed)
