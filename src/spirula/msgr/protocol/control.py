"""What control frames hold: one declaration for each tag.

Messages are not among them, see `message`. Formats: upstream `src/msg/async/frames_v2.h` (and the
compression frames of 17.2). Fields that a later release appends are ignored.
"""

from __future__ import annotations

from typing import Annotated, Final

from spirula.denc import Raw, Struct, Vec, blob, boolean, s32, s64, struct, u8, u32, u64
from spirula.msgr.protocol.frames import Tag
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec

SIGNATURE_SIZE: Final = 32

FLAG_LOSSY: Final = 1
"""In the idents: messages may be lost when the transport is (upstream CEPH_MSG_CONNECT_LOSSY)."""


@struct
class Hello(Struct):
    """Both ends: what kind of entity I am, and the address at which I see you."""

    entity_type: u8
    peer_addr: EntityAddr


@struct
class AuthRequestFrame(Struct):
    """Client: the method, the connection modes it would take (best first), the first payload."""

    method: u32
    preferred_modes: Vec[u32]
    payload: blob


@struct
class AuthBadMethodFrame(Struct):
    """Server: refused with a negative errno; what would be accepted instead."""

    method: u32
    result: s32
    allowed_methods: Vec[u32]
    allowed_modes: Vec[u32]


@struct
class AuthMoreFrame(Struct):
    """Either way, AUTH_REPLY_MORE and AUTH_REQUEST_MORE: another payload of the method."""

    payload: blob


@struct
class AuthDoneFrame(Struct):
    """Server: authenticated; the client's number, the connection mode, the last payload."""

    global_id: u64
    mode: u32
    payload: blob


@struct
class AuthSignature(Struct):
    """Both ends: HMAC-SHA256 with the session key over all that was received before it."""

    signature: Annotated[bytes, Raw(SIGNATURE_SIZE)]


@struct
class CompressionRequest(Struct):
    """Client: whether frames may be compressed, and with what (best first)."""

    compress: boolean
    preferred_methods: Vec[u32]


@struct
class CompressionDone(Struct):
    """Server: what both ends do from here on."""

    compress: boolean
    method: u32


@struct
class ClientIdent(Struct):
    """Client: opens a session."""

    addrs: EntityAddrVec
    target_addr: EntityAddr
    gid: s64
    global_seq: u64
    supported_features: u64
    required_features: u64
    flags: u64
    cookie: u64


@struct
class ServerIdent(Struct):
    """Server: the session is open."""

    addrs: EntityAddrVec
    gid: s64
    global_seq: u64
    supported_features: u64
    required_features: u64
    flags: u64
    cookie: u64


@struct
class IdentMissingFeatures(Struct):
    """Server: the client lacks these feature bits."""

    features: u64


@struct
class SessionReconnect(Struct):
    """Client: goes on with a session whose transport broke; `msg_seq` is the last one received."""

    addrs: EntityAddrVec
    client_cookie: u64
    server_cookie: u64
    global_seq: u64
    connect_seq: u64
    msg_seq: u64


@struct
class SessionReset(Struct):
    """Server: there is no such session; `full` means that the client forgets what it queued."""

    full: boolean


@struct
class SessionRetry(Struct):
    """Server: your connect_seq is old, this is mine."""

    connect_seq: u64


@struct
class SessionRetryGlobal(Struct):
    """Server: your global_seq is old, this is the newest of yours that I know."""

    global_seq: u64


@struct
class SessionReconnectOk(Struct):
    """Server: goes on; `msg_seq` is the last message it received."""

    msg_seq: u64


@struct
class Wait(Struct):
    """Server: my own connection to you wins, wait for it."""


@struct
class Keepalive(Struct):
    """KEEPALIVE2 and its answer: the time at which the asker asked, by its own clock."""

    stamp: UTime


@struct
class Ack(Struct):
    """All messages up to `seq` have arrived."""

    seq: u64


CONTROL_FRAMES: Final[dict[int, type[Struct]]] = {
    Tag.HELLO: Hello,
    Tag.AUTH_REQUEST: AuthRequestFrame,
    Tag.AUTH_BAD_METHOD: AuthBadMethodFrame,
    Tag.AUTH_REPLY_MORE: AuthMoreFrame,
    Tag.AUTH_REQUEST_MORE: AuthMoreFrame,
    Tag.AUTH_DONE: AuthDoneFrame,
    Tag.AUTH_SIGNATURE: AuthSignature,
    Tag.CLIENT_IDENT: ClientIdent,
    Tag.SERVER_IDENT: ServerIdent,
    Tag.IDENT_MISSING_FEATURES: IdentMissingFeatures,
    Tag.SESSION_RECONNECT: SessionReconnect,
    Tag.SESSION_RESET: SessionReset,
    Tag.SESSION_RETRY: SessionRetry,
    Tag.SESSION_RETRY_GLOBAL: SessionRetryGlobal,
    Tag.SESSION_RECONNECT_OK: SessionReconnectOk,
    Tag.WAIT: Wait,
    Tag.KEEPALIVE2: Keepalive,
    Tag.KEEPALIVE2_ACK: Keepalive,
    Tag.ACK: Ack,
    Tag.COMPRESSION_REQUEST: CompressionRequest,
    Tag.COMPRESSION_DONE: CompressionDone,
}
"""The payload of every tag but MESSAGE."""
