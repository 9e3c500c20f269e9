"""What the messenger asks of an authentication method, and what it gets back.

The messenger carries opaque authentication payloads (upstream `doc/dev/msgr2.rst`,
"Authentication"); these two protocols are the whole contract between it and `spirula.auth`. Neither
side of a handshake does IO or waits: each call takes a payload and returns the next one. One object
serves one connection.
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum
from typing import Protocol

from spirula.records import dataclass


class AuthMethod(IntEnum):
    """Authentication methods by their number on the wire (upstream `CEPH_AUTH_*`)."""

    UNKNOWN = 0
    NONE = 1
    CEPHX = 2
    GSS = 4


class ConnectionMode(IntEnum):
    """How frames are protected after authentication (upstream `CEPH_CON_MODE_*`)."""

    UNKNOWN = 0
    CRC = 1
    SECURE = 2


@dataclass(slots=True)
class AuthRequest:
    """A client's opening: the method, modes it would take (best first) and the first payload."""

    method: int
    preferred_modes: list[int]
    payload: bytes


@dataclass(slots=True)
class AuthOutcome:
    """What both ends hold when a handshake has succeeded.

    `session_key` (16 or 32 bytes, empty for `none`) signs the handshake transcript;
    `connection_secret` (empty for `none`) keys secure mode: AES key and both nonces.
    `entity` is the authenticated peer's name (`client.admin`), known to the server only;
    `caps` maps a service name to its capability text, likewise. `session` is what a monitor
    answers the client's later authentication messages with (`auth.cephx.service`).
    """

    global_id: int = 0
    mode: int = ConnectionMode.CRC
    session_key: bytes = b""
    connection_secret: bytes = b""
    entity: str = ""
    caps: dict[str, str] = field(default_factory=dict)
    allow_all: bool = False
    session: object | None = None


@dataclass(slots=True)
class AuthMore:
    """Server: not decided yet, send this payload to the client and wait for its next."""

    payload: bytes


@dataclass(slots=True)
class AuthDone:
    """Server: the client is who it says; `payload` goes to it in AUTH_DONE."""

    payload: bytes
    outcome: AuthOutcome


@dataclass(slots=True)
class AuthBadMethod:
    """Server: refused. `result` is a positive errno; the client may try one of the methods named.

    EBUSY is not told to the client: the messenger closes, and the client comes back later.
    `reason` is for the log, never for the wire.
    """

    method: int
    result: int
    allowed_methods: list[int]
    allowed_modes: list[int]
    reason: str = ""


class ClientHandshake(Protocol):
    """The connecting side of one handshake. Errors are raised as `CephError` (EACCES, EPERM...)."""

    def request(self) -> AuthRequest:
        """The opening AUTH_REQUEST."""
        ...

    def on_bad_method(self, refusal: AuthBadMethod) -> AuthRequest:
        """Another opening for the methods that the server allows, or raises when none is left."""
        ...

    def on_more(self, payload: bytes) -> bytes:
        """The answer (AUTH_REQUEST_MORE) to an AUTH_REPLY_MORE."""
        ...

    def on_done(self, global_id: int, mode: int, payload: bytes) -> AuthOutcome:
        """Checks the server's AUTH_DONE (it must prove itself, too) and gives the keys."""
        ...


class ServerHandshake(Protocol):
    """The accepting side of one handshake. Refusals are values, not exceptions."""

    def on_request(
        self, peer_type: int, request: AuthRequest
    ) -> AuthMore | AuthDone | AuthBadMethod:
        """Judges an AUTH_REQUEST of a peer whose HELLO said `peer_type` (an entity type)."""
        ...

    def on_more(self, payload: bytes) -> AuthMore | AuthDone | AuthBadMethod:
        """Judges an AUTH_REQUEST_MORE."""
        ...
