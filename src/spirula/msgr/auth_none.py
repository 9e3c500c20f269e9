"""Authentication that asks nothing, for tests, benchmarks and simulations of the messenger alone.

It speaks method `none` as real daemons do when they are configured so, and takes every client at
its word. Daemons use `spirula.auth`, which applies the configuration. Format: upstream
`src/auth/none`.
"""

from __future__ import annotations

from spirula.auth.handshake import (
    AuthBadMethod,
    AuthDone,
    AuthMethod,
    AuthMore,
    AuthOutcome,
    AuthRequest,
    ConnectionMode,
)
from spirula.denc import Struct, string, struct, u8, u32, u64
from spirula.errors import NotSupported, PermissionDenied, WireError
from spirula.types.entity import TYPE_NAMES, EntityType

AUTH_MODE_AUTHORIZER = 1
AUTH_MODE_MON = 10


@struct
class NoneRequest(Struct):
    """What a client says: to whom (monitor or service), and who it is."""

    mode: u8
    entity_type: u32
    entity_id: string
    global_id: u64


class NoneClient:
    """The connecting side. `entity` is the name in the cluster, as in `client.admin`."""

    def __init__(
        self, peer_type: int, entity_type: int, entity_id: str, global_id: int = 0
    ) -> None:
        mode = AUTH_MODE_MON if peer_type == EntityType.MON else AUTH_MODE_AUTHORIZER
        self._request = NoneRequest(mode, entity_type, entity_id, global_id)

    def request(self) -> AuthRequest:
        """The only opening there is."""
        return AuthRequest(AuthMethod.NONE, [ConnectionMode.CRC], self._request.encode())

    def on_bad_method(self, refusal: AuthBadMethod) -> AuthRequest:
        """Nothing else to offer."""
        raise PermissionDenied(f"the peer wants methods {refusal.allowed_methods}")

    def on_more(self, payload: bytes) -> bytes:
        """Nothing more to say."""
        raise PermissionDenied("the peer asks for more than method none has")

    def on_done(self, global_id: int, mode: int, payload: bytes) -> AuthOutcome:
        """Accepted."""
        return AuthOutcome(global_id, mode)


class NoneServer:
    """The accepting side. Clients without a number of their own get `global_id`."""

    def __init__(self, global_id: int = 0) -> None:
        self._global_id = global_id

    def on_request(
        self, peer_type: int, request: AuthRequest
    ) -> AuthMore | AuthDone | AuthBadMethod:
        """Accepts whoever speaks method none."""
        try:
            if request.method != AuthMethod.NONE or ConnectionMode.CRC not in (
                request.preferred_modes
            ):
                return self._refusal(request.method)
            client = NoneRequest.decode(request.payload)
        except WireError:
            return self._refusal(request.method)
        name = f"{TYPE_NAMES.get(client.entity_type, '?')}.{client.entity_id}"
        outcome = AuthOutcome(
            client.global_id or self._global_id, ConnectionMode.CRC, entity=name, allow_all=True
        )
        return AuthDone(b"", outcome)

    def on_more(self, payload: bytes) -> AuthMore | AuthDone | AuthBadMethod:
        """There is no second step."""
        return self._refusal(AuthMethod.NONE)

    def _refusal(self, method: int) -> AuthBadMethod:
        return AuthBadMethod(
            method, NotSupported.code, [AuthMethod.NONE], [ConnectionMode.CRC], "method none only"
        )
