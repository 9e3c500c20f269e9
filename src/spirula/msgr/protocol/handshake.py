"""From the banner to the end of authentication and compression, for both roles.

    client                              server
    BANNER  banner           <->        BANNER  banner
    HELLO   hello            <->        HELLO   hello
    AUTH    auth_request      ->        AUTH
            <- auth_bad_method, back to AUTH with another method, or
            <- auth_reply_more, auth_request_more ->, as often as the method wants
            <- auth_done
    SIGN    auth_signature   <->        SIGN    auth_signature       (encrypted from here on)
    COMPRESSION  request      ->        COMPRESSION                  (where both know it)
            <- done
    DONE                                DONE

A `Handshake` is fed the frames of one transport and queues its answers on the `Channel`. It ends in
DONE, where `link` takes over, or with an exception: WireError and ProtocolViolation for what the
peer did, CephError from the authentication method. Format: upstream `doc/dev/msgr2.rst`,
`src/msg/async/ProtocolV2.cc`.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from spirula.auth.handshake import (
    AuthBadMethod,
    AuthDone,
    AuthMore,
    AuthOutcome,
    AuthRequest,
    ClientHandshake,
    ConnectionMode,
    ServerHandshake,
)
from spirula.errors import Busy, InvariantBroken, NotSupported, ProtocolViolation
from spirula.msgr.protocol import control
from spirula.msgr.protocol.compression import CompressionConfig
from spirula.msgr.protocol.frames import FrameLimits, Tag
from spirula.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.denc import Struct
    from spirula.msgr.protocol.channel import Channel
    from spirula.msgr.protocol.message import Bytes
    from spirula.types.entity import EntityAddr

BANNER_PREFIX: Final = b"ceph v2\n"
BANNER_V1: Final = b"ceph v027"
_BANNER_LENGTH: Final = struct.Struct("<H")
_BANNER_FEATURES: Final = struct.Struct("<QQ")

REVISION_1: Final = 1 << 0
COMPRESSION: Final = 1 << 1
SUPPORTED: Final = REVISION_1 | COMPRESSION
"""Features of the protocol itself, in the banner; not those of the entities."""


class Stage(Enum):
    """How far a handshake has come."""

    BANNER = "banner"
    BANNER_FEATURES = "banner features"
    HELLO = "hello"
    AUTH = "authentication"
    AUTH_MORE = "authentication, more"
    SIGN = "signature"
    COMPRESSION = "compression"
    DONE = "done"


@dataclass(slots=True, frozen=True)
class HandshakeConfig:
    """What an entity says of itself in every handshake.

    `supported` and `required` are the protocol's own features; less than `SUPPORTED` is for tests
    and for peers with defects.
    """

    entity_type: int
    supported: int = SUPPORTED
    required: int = 0
    limits: FrameLimits = field(default_factory=FrameLimits)
    compression: CompressionConfig = field(default_factory=CompressionConfig)


class Handshake:
    """One handshake. `auth` is what authentication gave, `mode` and peer fields are set on the way.

    `seen_as` is our address as the peer sees it, from its hello; `refusal` what we refused the
    peer with, as long as nothing better came of it.
    """

    __slots__ = (
        "_banner_size",
        "_channel",
        "_client",
        "_config",
        "_expected_signature",
        "_peer_addr",
        "_previous_secret",
        "_server",
        "_steps",
        "auth",
        "compression_method",
        "peer_features",
        "peer_type",
        "refusal",
        "seen_as",
        "stage",
    )

    def __init__(self, config: HandshakeConfig, channel: Channel, peer_addr: EntityAddr) -> None:
        self._config = config
        self._channel = channel
        self._peer_addr = peer_addr
        self._client: ClientHandshake | None = None
        self._server: ServerHandshake | None = None
        self._steps: Steps = {}
        self._banner_size = 0
        self._expected_signature = b""
        self._previous_secret = b""
        self.stage = Stage.BANNER
        self.peer_type = 0
        self.peer_features = 0
        self.seen_as: EntityAddr | None = None
        self.refusal: AuthBadMethod | None = None
        self.auth = AuthOutcome()
        self.compression_method = 0

    @classmethod
    def as_client(
        cls,
        config: HandshakeConfig,
        channel: Channel,
        peer_addr: EntityAddr,
        peer_type: int,
        auth: ClientHandshake,
        *,
        previous_secret: bytes = b"",
    ) -> Handshake:
        """The side that connected, to a peer that must be of `peer_type`.

        `previous_secret` keyed the session's last transport and is not accepted again: its nonces
        are used.
        """
        handshake = cls(config, channel, peer_addr)
        handshake._previous_secret = previous_secret
        handshake.peer_type = peer_type
        handshake._client = auth
        handshake._steps = _CLIENT_STEPS
        handshake._send_banner()
        return handshake

    @classmethod
    def as_server(
        cls,
        config: HandshakeConfig,
        channel: Channel,
        peer_addr: EntityAddr,
        auth: ServerHandshake,
    ) -> Handshake:
        """The side that was connected to."""
        handshake = cls(config, channel, peer_addr)
        handshake._server = auth
        handshake._steps = _SERVER_STEPS
        handshake._send_banner()
        return handshake

    # ------------------------------------------------------------------------------------- banner

    def _send_banner(self) -> None:
        features = _BANNER_FEATURES.pack(self._config.supported, self._config.required)
        self._channel.send_banner(BANNER_PREFIX + _BANNER_LENGTH.pack(len(features)) + features)

    def read_banner(self) -> bool:
        """Reads the peer's banner; False while it is not complete."""
        reader = self._channel.reader
        if self.stage is Stage.BANNER:
            start = reader.take(len(BANNER_PREFIX) + _BANNER_LENGTH.size)
            if start is None:
                return False
            if not start.startswith(BANNER_PREFIX):
                if start.startswith(BANNER_V1):
                    raise ProtocolViolation("banner.version", "the peer speaks msgr1")
                raise ProtocolViolation("banner", f"{start!r} is none")
            (size,) = _BANNER_LENGTH.unpack_from(start, len(BANNER_PREFIX))
            if size < _BANNER_FEATURES.size:
                raise ProtocolViolation("banner", f"{size} bytes of features")
            self._banner_size = size
            self.stage = Stage.BANNER_FEATURES
        payload = reader.take(self._banner_size)
        if payload is None:
            return False
        supported, required = _BANNER_FEATURES.unpack_from(payload)
        lacks = self._config.required & ~supported
        if lacks:
            raise ProtocolViolation("banner.features", f"the peer lacks {lacks:#x}")
        wants = required & ~self._config.supported
        if wants:
            raise ProtocolViolation("banner.features", f"the peer requires {wants:#x}")
        self.peer_features = supported & self._config.supported
        self._channel.use_revision(revision1=bool(self.peer_features & REVISION_1))
        self.stage = Stage.HELLO
        self._channel.send(Tag.HELLO, control.Hello(self._config.entity_type, self._peer_addr))
        return True

    # ------------------------------------------------------------------------------------- frames

    def on_frame(self, segments: list[Bytes]) -> None:
        """Acts on the frame that the channel just read."""
        tag = self._channel.reader.tag
        step = self._steps.get((self.stage, tag))
        if step is None:
            raise ProtocolViolation("handshake.order", f"{Tag(tag).name} during {self.stage.value}")
        step(self, self._channel.payload(segments))

    def _on_hello(self, frame: Struct) -> None:
        hello = cast("control.Hello", frame)
        if self._client is None:
            self.peer_type = hello.entity_type
        elif hello.entity_type != self.peer_type:
            raise ProtocolViolation(
                "hello.entity-type", f"{hello.entity_type} instead of {self.peer_type}"
            )
        self.seen_as = hello.peer_addr
        self.stage = Stage.AUTH
        if self._client is not None:
            self._send_auth_request(self._client.request())

    # ------------------------------------------------------------------- authentication, as client

    def _send_auth_request(self, request: AuthRequest) -> None:
        self._channel.send(
            Tag.AUTH_REQUEST,
            control.AuthRequestFrame(request.method, request.preferred_modes, request.payload),
        )

    def _on_auth_bad_method(self, frame: Struct) -> None:
        refusal = cast("control.AuthBadMethodFrame", frame)
        self._send_auth_request(
            self._auth_client().on_bad_method(
                AuthBadMethod(
                    refusal.method,
                    abs(refusal.result),
                    refusal.allowed_methods,
                    refusal.allowed_modes,
                )
            )
        )

    def _on_auth_reply_more(self, frame: Struct) -> None:
        more = cast("control.AuthMoreFrame", frame)
        answer = self._auth_client().on_more(more.payload)
        self._channel.send(Tag.AUTH_REQUEST_MORE, control.AuthMoreFrame(answer))

    def _on_auth_done(self, frame: Struct) -> None:
        done = cast("control.AuthDoneFrame", frame)
        outcome = self._auth_client().on_done(done.global_id, done.mode, done.payload)
        self._sign(outcome, client=True)

    def _auth_client(self) -> ClientHandshake:
        if self._client is None:
            raise InvariantBroken("the accepting side acted as a client")
        return self._client

    # ------------------------------------------------------------------- authentication, as server

    def _on_auth_request(self, frame: Struct) -> None:
        request = cast("control.AuthRequestFrame", frame)
        self._auth_answer(
            self._auth_server().on_request(
                self.peer_type,
                AuthRequest(request.method, request.preferred_modes, request.payload),
            )
        )

    def _on_auth_request_more(self, frame: Struct) -> None:
        self._auth_answer(self._auth_server().on_more(cast("control.AuthMoreFrame", frame).payload))

    def _auth_answer(self, answer: AuthMore | AuthDone | AuthBadMethod) -> None:
        if isinstance(answer, AuthMore):
            self.stage = Stage.AUTH_MORE
            self._channel.send(Tag.AUTH_REPLY_MORE, control.AuthMoreFrame(answer.payload))
        elif isinstance(answer, AuthBadMethod):
            if answer.result == Busy.code:
                # Not a refusal: a client that finds the connection closed comes back later.
                raise Busy(answer.reason)
            # the client may begin again with another method
            self.refusal = answer
            self.stage = Stage.AUTH
            self._channel.send(
                Tag.AUTH_BAD_METHOD,
                control.AuthBadMethodFrame(
                    answer.method,
                    -answer.result,
                    answer.allowed_methods,
                    answer.allowed_modes,
                ),
            )
        else:
            outcome = answer.outcome
            self.refusal = None
            self._channel.send(
                Tag.AUTH_DONE,
                control.AuthDoneFrame(outcome.global_id, outcome.mode, answer.payload),
            )
            self._sign(outcome, client=False)

    def _auth_server(self) -> ServerHandshake:
        if self._server is None:
            raise InvariantBroken("the connecting side acted as a server")
        return self._server

    # --------------------------------------------------------------------------------- signatures

    def _sign(self, outcome: AuthOutcome, *, client: bool) -> None:
        """Both ends: proves that nobody changed what passed until here, encrypted already."""
        if outcome.mode not in (ConnectionMode.CRC, ConnectionMode.SECURE):
            raise ProtocolViolation("auth.mode", f"connection mode {outcome.mode}")
        self.auth = outcome
        ours, self._expected_signature = self._channel.signatures(outcome.session_key)
        if outcome.mode == ConnectionMode.SECURE:
            if client and outcome.connection_secret == self._previous_secret:
                raise ProtocolViolation("secure.connection-secret", "used for a transport before")
            self._channel.encrypt(outcome.connection_secret, client=client)
        self.stage = Stage.SIGN
        self._channel.send(Tag.AUTH_SIGNATURE, control.AuthSignature(ours))

    def _on_auth_signature(self, frame: Struct) -> None:
        signature = cast("control.AuthSignature", frame).signature
        if not hmac.compare_digest(signature, self._expected_signature):
            raise ProtocolViolation("auth.signature", "what was sent is not what arrived")
        if not self.peer_features & COMPRESSION:
            self.stage = Stage.DONE
            return
        self.stage = Stage.COMPRESSION
        if self._client is not None:
            methods = self._compression_wanted()
            self._channel.send(
                Tag.COMPRESSION_REQUEST, control.CompressionRequest(bool(methods), methods)
            )

    # -------------------------------------------------------------------------------- compression

    @property
    def encrypted(self) -> bool:
        """Whether frames are encrypted from the signature on."""
        return self.auth.mode == ConnectionMode.SECURE

    def _compression_wanted(self) -> list[int]:
        return self._config.compression.wanted(self.peer_type, encrypted=self.encrypted)

    def _on_compression_request(self, frame: Struct) -> None:
        request = cast("control.CompressionRequest", frame)
        asked = request.preferred_methods if request.compress else []
        method = self._config.compression.choose(self.peer_type, asked, encrypted=self.encrypted)
        self._channel.send(Tag.COMPRESSION_DONE, control.CompressionDone(bool(method), method))
        self._compress_with(method)

    def _on_compression_done(self, frame: Struct) -> None:
        done = cast("control.CompressionDone", frame)
        if done.compress and done.method not in self._compression_wanted():
            raise ProtocolViolation("compression.method", f"{done.method} was not asked for")
        self._compress_with(done.method if done.compress else 0)

    def _compress_with(self, method: int) -> None:
        self.compression_method = method
        if method:
            config = self._config.compression
            self._channel.compress(config.methods[method], config.min_size)
        self.stage = Stage.DONE


Steps = dict[tuple[Stage, int], "Callable[[Handshake, Struct], None]"]
"""What is done with a frame, by the stage in which it is allowed."""

_CLIENT_STEPS: Final[Steps] = {
    (Stage.HELLO, Tag.HELLO): Handshake._on_hello,
    (Stage.AUTH, Tag.AUTH_BAD_METHOD): Handshake._on_auth_bad_method,
    (Stage.AUTH, Tag.AUTH_REPLY_MORE): Handshake._on_auth_reply_more,
    (Stage.AUTH, Tag.AUTH_DONE): Handshake._on_auth_done,
    (Stage.SIGN, Tag.AUTH_SIGNATURE): Handshake._on_auth_signature,
    (Stage.COMPRESSION, Tag.COMPRESSION_DONE): Handshake._on_compression_done,
}
_SERVER_STEPS: Final[Steps] = {
    (Stage.HELLO, Tag.HELLO): Handshake._on_hello,
    (Stage.AUTH, Tag.AUTH_REQUEST): Handshake._on_auth_request,
    (Stage.AUTH_MORE, Tag.AUTH_REQUEST_MORE): Handshake._on_auth_request_more,
    (Stage.SIGN, Tag.AUTH_SIGNATURE): Handshake._on_auth_signature,
    (Stage.COMPRESSION, Tag.COMPRESSION_REQUEST): Handshake._on_compression_request,
}


class NoServerAuth:
    """The accepting side of an entity that accepts nobody: every method is refused."""

    def on_request(self, peer_type: int, request: AuthRequest) -> AuthBadMethod:
        """Refuses."""
        return AuthBadMethod(request.method, NotSupported.code, [], [])

    def on_more(self, payload: bytes) -> AuthBadMethod:
        """Refuses."""
        return AuthBadMethod(0, NotSupported.code, [], [])
