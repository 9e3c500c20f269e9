"""A session: what two entities share beyond any single transport between them.

It holds cookies and sequence numbers, what is queued and what is not acknowledged, and when to
connect again. It does nothing by itself: `endpoint` moves it between its states, `link` sends and
receives for it. Upstream: the members of `ProtocolV2` that survive a fault.

                 connect                      opened
    (new, ours) ---------> CONNECTING <------------------> OPEN <--- (new, the peer's)
                             |    ^  fault, back off         |
         nothing to send,    |    |                          | fault
         or we never connect v    | send                     v
                           STANDBY <------------------------ . ------> CLOSED (lossy)
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from spirula.auth.handshake import AuthOutcome
from spirula.msgr.protocol.outqueue import OutQueue
from spirula.types.entity import EntityName

if TYPE_CHECKING:
    from spirula.msgr.policies import Policy
    from spirula.msgr.protocol.link import Link
    from spirula.types.entity import EntityAddr, EntityAddrVec


class SessionState(Enum):
    """Where a session stands."""

    CONNECTING = "connecting"
    OPEN = "open"
    STANDBY = "standby"
    CLOSED = "closed"


class Session:
    """One session.

    `target_addr` is where we connect to, None where the peer's addresses allow no connection.
    `client_cookie` and `server_cookie` name the session at whichever side connected first and at
    the other. `in_seq` is the last message received, `acked` the last one that the peer knows we
    have. `key` is where the endpoint keeps it. `retry_at` is when to dial, None while that is not
    due. `opened_at` is when it was last opened, `flaps` whether it broke soon after. `waiting`: the
    peer asked to wait for its own connection. `user` belongs to the driver.
    """

    __slots__ = (
        "acked",
        "anonymous",
        "auth",
        "backoff_s",
        "client_cookie",
        "connect_seq",
        "features",
        "flaps",
        "global_seq",
        "in_seq",
        "keepalive",
        "key",
        "link",
        "lossy",
        "opened_at",
        "peer_addrs",
        "peer_global_seq",
        "peer_name",
        "policy",
        "queue",
        "retry_at",
        "server_cookie",
        "state",
        "target_addr",
        "user",
        "waiting",
    )

    def __init__(
        self,
        policy: Policy,
        peer_type: int,
        peer_addrs: EntityAddrVec,
        target_addr: EntityAddr | None,
        *,
        anonymous: bool = False,
    ) -> None:
        self.policy = policy
        self.lossy = policy.lossy  # the accepting side's word counts, see ServerIdent
        self.peer_name = EntityName(peer_type, -1)
        self.key = tuple(peer_addrs.addrs)
        self.peer_addrs = peer_addrs
        self.target_addr = target_addr
        self.anonymous = anonymous
        self.state = SessionState.CONNECTING
        self.auth = AuthOutcome()
        self.features = 0
        self.client_cookie = 0
        self.server_cookie = 0
        self.global_seq = 0
        self.connect_seq = 0
        self.peer_global_seq = 0
        self.in_seq = 0
        self.acked = 0
        self.queue: OutQueue[Any] = OutQueue()
        self.keepalive = False
        self.waiting = False
        self.backoff_s = 0.0
        self.opened_at = 0.0
        self.flaps = False
        self.retry_at: float | None = None
        self.link: Link | None = None
        self.user: Any = None

    @property
    def peer_type(self) -> int:
        """The kind of entity at the other end (upstream `CEPH_ENTITY_TYPE_*`)."""
        return self.peer_name.type

    def reset(self) -> None:
        """Forgets the session itself and all that was queued; the next one begins at nothing."""
        self.queue.discard()
        self.in_seq = self.acked = 0
        self.client_cookie = self.server_cookie = 0
        self.connect_seq = 0
        self.peer_global_seq = 0
        self.waiting = False

    def __repr__(self) -> str:
        return f"<Session with {self.peer_name} {self.peer_addrs} {self.state.value}>"
