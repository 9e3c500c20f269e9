"""All sessions of one entity, and what happens to them when transports come and go.

This is the messenger without its driver: it says when to dial, what a new transport means, and what
becomes of a session whose transport is lost. It is given the time, random bytes and both sides of
authentication, and keeps no other state than what is here. Upstream: `AsyncMessenger`, and
`ProtocolV2::_fault`, which is `lost` here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spirula.msgr.protocol.events import Ended, Event
from spirula.msgr.protocol.handshake import HandshakeConfig, NoServerAuth
from spirula.msgr.protocol.link import Link
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.session import Session, SessionState
from spirula.msgr.protocol.throttle import Gate, Throttle
from spirula.records import dataclass
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec, EntityName

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.auth.handshake import ClientHandshake, ServerHandshake
    from spirula.errors import SpirulaError
    from spirula.msgr.policies import PolicySet

    AuthClientFactory = Callable[[int, EntityAddrVec], ClientHandshake]
    AuthServerFactory = Callable[[], ServerHandshake]
    Encode = Callable[[Any, int], RawMessage]

STEADY_S = 1.0
"""A session that was open for so long reconnects at once."""

_DISPATCH_THROTTLE_BYTES = 100 * 1024 * 1024


@dataclass(slots=True, frozen=True)
class Timings:
    """How long things may take, in seconds (upstream `ms_connection_ready_timeout` ...).

    `stall_timeout_s` is for messages of which only a part has come, while others wait for their
    share of the throttles (upstream lets everybody wait for `ms_connection_idle_timeout`).
    `ack_delay_s` is how long a peer of a lossless session may have to wait until it is told that
    its messages came, unless something is sent to it anyway (upstream tells at once).
    """

    ready_timeout_s: float = 10.0
    idle_timeout_s: float = 900.0
    stall_timeout_s: float = 30.0
    ack_delay_s: float = 0.1
    initial_backoff_s: float = 0.2
    max_backoff_s: float = 15.0


def _not_encodable(message: Any, features: int) -> RawMessage:
    raise TypeError(f"{type(message).__name__} is no RawMessage, and no encoder was given")


class Endpoint:
    """One entity's side of all its sessions.

    `auth_client` makes the connecting side of an authentication for a peer type and its addresses,
    `auth_server` the accepting side. `encode` turns what users send into a `RawMessage` for a
    peer's features. `random_bytes` must be unpredictable: cookies name sessions.
    """

    def __init__(
        self,
        name: EntityName,
        policies: PolicySet,
        *,
        random_bytes: Callable[[int], bytes],
        auth_client: AuthClientFactory,
        auth_server: AuthServerFactory = NoServerAuth,
        config: HandshakeConfig | None = None,
        timings: Timings | None = None,
        encode: Encode = _not_encodable,
        nonce: int = 0,
        dispatch_throttle: Throttle | None = None,
    ) -> None:
        self.name = name
        self.policies = policies
        self.random_bytes = random_bytes
        self.auth_client = auth_client
        self.auth_server = auth_server
        self.config = config or HandshakeConfig(name.type)
        self.timings = timings or Timings()
        self.encode = encode
        self.nonce = nonce
        self.addrs = EntityAddrVec()
        self.bound = False
        self.dispatch_throttle = dispatch_throttle or Throttle(_DISPATCH_THROTTLE_BYTES)
        self.sessions: dict[tuple[EntityAddr, ...], Session] = {}
        self._global_seq = 0

    # ------------------------------------------------------------------------- numbers and names

    def new_cookie(self) -> int:
        """A name for a session; never 0, which means none."""
        cookie = 0
        while not cookie:
            cookie = int.from_bytes(self.random_bytes(8), "little")
        return cookie

    def next_global_seq(self, over: int = 0) -> int:
        """The number of the next attempt to connect, higher than `over`."""
        self._global_seq = max(self._global_seq, over) + 1
        return self._global_seq

    def learned_addr(self, seen_as: EntityAddr) -> bool:
        """A peer said how it sees us; fills in what we do not know yet. True if that was news."""
        if not self.addrs.addrs:
            addr = seen_as.with_type(AddrType.ANY).with_nonce(self.nonce)
            self.addrs = EntityAddrVec([addr.with_port(0)])
            return True
        changed = False
        addrs: list[EntityAddr] = []
        for known in self.addrs.addrs:
            if known.is_blank_ip and known.family == seen_as.family:
                kind, port = (known.type, known.port) if self.bound else (AddrType.ANY, 0)
                addrs.append(seen_as.with_type(kind).with_port(port).with_nonce(known.nonce))
                changed = True
            else:
                addrs.append(known)
        if changed:
            self.addrs = EntityAddrVec(addrs)
        return changed

    @staticmethod
    def reachable(addrs: EntityAddrVec, like: EntityAddr) -> EntityAddr | None:
        """Where to connect to somebody with these addresses: msgr2, in the family of `like`."""
        for addr in addrs.addrs:
            if addr.type != AddrType.LEGACY and addr.family == like.family:
                return addr
        return None

    def gate_of(self, session: Session) -> Gate:
        """The throttles that messages of a session pass."""
        policy = session.policy
        sizes = [self.dispatch_throttle]
        if policy.throttle_bytes is not None:
            sizes.append(policy.throttle_bytes)
        return Gate(sizes, policy.throttle_messages)

    # ------------------------------------------------------------------------------ the sessions

    def lookup(self, addrs: EntityAddrVec) -> Session | None:
        """The session with exactly these addresses."""
        return self.sessions.get(tuple(addrs.addrs))

    def register(self, session: Session) -> None:
        """Makes a session findable, unless it is an anonymous one."""
        session.key = tuple(session.peer_addrs.addrs)
        if not session.anonymous:
            self.sessions[session.key] = session

    def connect(
        self, peer_type: int, addrs: EntityAddrVec, now: float, *, anonymous: bool = False
    ) -> Session:
        """The session with a peer, made and due for dialing where there is none.

        An anonymous one is always new and not found again. ValueError where none of the addresses
        speaks msgr2.
        """
        existing = None if anonymous else self.lookup(addrs)
        if existing is not None:
            return existing
        target = next((addr for addr in addrs.addrs if addr.type != AddrType.LEGACY), None)
        if target is None:
            raise ValueError(f"no msgr2 address among {addrs}")
        policy = self.policies.of(peer_type)
        session = Session(policy, peer_type, addrs, target, anonymous=anonymous)
        session.retry_at = now
        self.register(session)
        return session

    def send(self, session: Session, priority: int, message: Any, now: float) -> None:
        """Queues a message; on a closed session it is dropped, one in standby becomes due."""
        if session.state is SessionState.CLOSED:
            return
        session.queue.push(priority, message)
        if session.state is SessionState.STANDBY and not session.policy.server:
            if session.server_cookie:
                session.connect_seq += 1
            session.state = SessionState.CONNECTING
            session.retry_at = now

    def close(self, session: Session) -> Link | None:
        """Ends a session without telling the peer (upstream `mark_down`); its link, if any."""
        link = self.detach(session)
        session.state = SessionState.CLOSED
        session.queue.discard()
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
        return link

    def detach(self, session: Session) -> Link | None:
        """Takes a session off its link, which is closed; its messages will be sent again."""
        link = session.link
        session.link = None
        session.retry_at = None
        session.queue.requeue()
        if link is not None:
            link.session = None
            link.close()
        return link

    # ----------------------------------------------------------------------------- the transports

    def dial(self, session: Session, now: float) -> Link | None:
        """A link for a session that is due (`retry_at`); connect it to the session's target."""
        if session.target_addr is None or session.state is not SessionState.CONNECTING:
            session.retry_at = None
            return None
        session.retry_at = None
        session.global_seq = self.next_global_seq()
        link = Link(self, session.target_addr, session, now)
        session.link = link
        return link

    def accept(self, peer_addr: EntityAddr, now: float) -> Link:
        """A link for a transport that came in from `peer_addr`."""
        return Link(self, peer_addr, None, now)

    def lost(self, link: Link, now: float) -> Event | None:
        """The transport of a link is gone. Says so if the session ended with it.

        Otherwise the session stands by, or `retry_at` says when to dial again.
        """
        session = link.session
        link.close()
        link.session = None
        if session is None or session.link is not link:
            return None
        session.link = None
        was_open = session.state is SessionState.OPEN
        if session.lossy and was_open:
            self.close(session)
            return Ended(session)
        session.queue.requeue()
        nothing_to_do = not session.queue.pending and not session.keepalive
        if session.policy.server or (
            session.policy.standby and nothing_to_do and not session.waiting
        ):
            session.state = SessionState.STANDBY
            return None
        session.state = SessionState.CONNECTING
        if session.server_cookie:
            session.connect_seq += 1
        open_s = now - session.opened_at if was_open else None
        session.retry_at = now + self._backoff(session, open_s)
        return None

    def _backoff(self, session: Session, open_s: float | None) -> float:
        """How long to wait before dialing; `open_s` is how long the session was open, if it was.

        Not at all the first time, nor after a session that held; one that opens only to break at
        once (upstream would spin there) waits as long as one that does not open.
        """
        timings = self.timings
        if session.waiting:
            session.waiting = False
            session.backoff_s = timings.max_backoff_s
        elif open_s is not None and (open_s >= STEADY_S or not session.flaps):
            session.flaps = open_s < STEADY_S
            session.backoff_s = 0.0
        elif not session.backoff_s:
            session.backoff_s = timings.initial_backoff_s
        else:
            session.backoff_s = min(2 * session.backoff_s, timings.max_backoff_s)
        return session.backoff_s


def describe(error: SpirulaError, link: Link) -> str:
    """One line for the log on a link that failed: who, how far it came, and why."""
    who = f"{link.session.peer_name} " if link.session is not None else ""
    direction = "to" if link.client else "from"
    return f"connection {direction} {who}{link.peer_addr} failed: {error}"
