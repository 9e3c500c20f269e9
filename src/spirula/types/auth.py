"""What cephx sends and stores: keys, tickets, authorizers, the monitors' key database.

Layouts only; making, sealing and checking them is `spirula.auth`. Callers: `spirula.auth`, the
monitor's auth service, messages that carry tickets. Formats follow upstream `src/auth/Auth.h`,
`Crypto.h`, `cephx/CephxProtocol.h`, `cephx/CephxKeyServer.h` and `src/mon/AuthMonitor.h`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import field
from typing import Annotated, Self

from spirula.denc import (
    Blob,
    Map,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    irregular,
    s32,
    since,
    string,
    struct,
    u8,
    u16,
    u32,
    u64,
    when,
)
from spirula.denc.features import SERVER_QUINCY
from spirula.errors import Truncated
from spirula.records import dataclass
from spirula.types.base import UTime
from spirula.types.entity import TYPE_NAMES, TYPES_BY_NAME

AUID_DEFAULT = 0xFFFFFFFFFFFFFFFF
"""What stands where older releases kept a user number (upstream `CEPH_AUTH_UID_DEFAULT`)."""


@struct(name="EntityName", frozen=True)
class PrincipalName(Struct):
    """Who authenticates: `client.admin`, `osd.3`, `mon.` (upstream `EntityName`).

    Unlike `spirula.types.entity.EntityName` the part after the dot is text.
    """

    type: u32
    id: string

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `client.admin`. ValueError where there is no dot or no such kind of entity."""
        kind, dot, id_ = text.partition(".")
        if not dot or kind not in TYPES_BY_NAME:
            raise ValueError(f"{text!r} is not an entity such as client.admin")
        return cls(TYPES_BY_NAME[kind], id_)

    def __str__(self) -> str:
        return f"{TYPE_NAMES.get(self.type, 'unknown')}.{self.id}" if self.type else ""


@struct(name="CryptoKey")
class CryptoKey(Struct):
    """A secret and its key type (`spirula.auth.crypto.KeyType`); its text form is base64 of this.

    Neither `repr` nor `plain` shows the secret.
    """

    type: u16
    created: UTime
    secret: Annotated[bytes, Blob("H")]

    def __repr__(self) -> str:
        return f"CryptoKey(type={self.type}, created={self.created}, {len(self.secret)} bytes)"

    def __bool__(self) -> bool:
        return bool(self.secret)

    def plain(self) -> dict[str, object]:
        """As JSON can hold it."""
        return {
            "type": self.type,
            "created": self.created.plain(),
            "secret.length": len(self.secret),
        }


@struct(version=2, bare_version="B", by_feature=((SERVER_QUINCY, 3, 3),), name="EntityAuth")
class EntityAuth(Struct):
    """A principal's key and, by service name, its capabilities (each an encoded string).

    `pending_key` replaces `key` as soon as the principal has used it (from 17.2 on).
    """

    auid: u64 = since(2, default=AUID_DEFAULT)
    key: CryptoKey
    caps: Map[string, blob]
    pending_key: CryptoKey = since(3)


@struct(version=1, bare_version="B", name="AuthCapsInfo")
class AuthCapsInfo(Struct):
    """Capabilities inside a ticket: everything, or an encoded string (may be missing)."""

    allow_all: boolean
    caps: blob


@struct(version=2, bare_version="B", name="AuthTicket")
class AuthTicket(Struct):
    """What a service learns of a client: who, from when to when, with which capabilities."""

    name: PrincipalName
    global_id: u64
    auid: u64 = since(2, default=AUID_DEFAULT)
    created: UTime
    expires: UTime
    caps: AuthCapsInfo
    flags: u32


@struct(version=1, bare_version="B", name="ExpiringCryptoKey")
class ExpiringCryptoKey(Struct):
    """One generation of a service's rotating secret."""

    key: CryptoKey
    expiration: UTime


@struct(version=1, bare_version="B", name="RotatingSecrets")
class RotatingSecrets(Struct):
    """A service's secrets by number: previous, current and next; `max_ver` is the highest given."""

    secrets: Map[u64, ExpiringCryptoKey]
    max_ver: u64


@struct(version=1, bare_version="B", name=("KeyServerData", "KeyServer"))
class KeyServerData(Struct):
    """All keys that the monitors hold: of principals, and rotating ones by service type."""

    version: u64
    rotating_ver: u64
    secrets: Map[PrincipalName, EntityAuth]
    rotating_secrets: Map[u32, RotatingSecrets]


@struct(version=1, bare_version="B")
class RotatingUpdate(Struct):
    """The rotating half of the key database, as an incremental carries it in `rotating`."""

    rotating_ver: u64
    rotating_secrets: Map[u32, RotatingSecrets]


AUTH_INC_NOP, AUTH_INC_ADD, AUTH_INC_DEL, AUTH_INC_SET_ROTATING = range(4)


@struct(version=1, bare_version="B", name="KeyServerData::Incremental")
class KeyServerIncremental(Struct):
    """One change of the key database; `op` is one of AUTH_INC_*, `rotating` a RotatingUpdate."""

    op: u32
    rotating: blob = when("op == 3")
    name: PrincipalName = when("op != 3")
    auth: EntityAuth = when("op != 3")


AUTH_MONITOR_GLOBAL_ID, AUTH_MONITOR_AUTH_DATA = range(2)


@struct(version=2, compat=2, legacy=(2, 2), name="AuthMonitor::Incremental")
class AuthMonitorIncremental(Struct):
    """One change of the auth service's Paxos state: more global ids, or a method's own data."""

    inc_type: u32
    max_global_id: u64 = when("inc_type == 0")
    auth_type: u32 = when("inc_type != 0")
    auth_data: blob = when("inc_type != 0")


@struct
class AuthRequestHead(Struct):
    """How each AUTH_REQUEST to a monitor begins: mode (10 to 19), who, global id to keep or 0."""

    mode: u8
    name: PrincipalName
    global_id: u64


@struct(version=1, bare_version="B")
class AuthNoneAuthorizer(Struct):
    """What method `none` shows to a service; its version doubles as the mode (1 to 9)."""

    name: PrincipalName
    global_id: u64


@struct(version=1, bare_version="B", name="CephXServerChallenge")
class CephXServerChallenge(Struct):
    """The monitor's first answer."""

    server_challenge: u64


@struct(name="CephXRequestHeader")
class CephXRequestHeader(Struct):
    """Begins everything after the challenge; `request_type` is one of CEPHX_GET_*."""

    request_type: u16


@struct(name="CephXResponseHeader")
class CephXResponseHeader(Struct):
    """Begins the answer to such a request; `status` is 0 or a negative errno."""

    request_type: u16
    status: s32


@struct(version=1, bare_version="B", name="CephXTicketBlob")
class CephXTicketBlob(Struct):
    """A ticket that only the service can open, with the secret of number `secret_id`."""

    secret_id: u64
    blob: blob


@struct(name="CephXChallengeBlob")
class CephXChallengeBlob(Struct):
    """What the client's proof of its key is computed from."""

    server_challenge: u64
    client_challenge: u64


@irregular("CephXAuthenticate")
@dataclass(slots=True)
class CephXAuthenticate(Struct):
    """The client's answer to the challenge; written by hand because its version says something.

    Clients that send version 3 always show their old ticket with a global id to keep;
    `old_ticket_may_be_omitted` is true for older ones (CVE-2021-20288).
    """

    client_challenge: int = 0
    key: int = 0
    old_ticket: CephXTicketBlob = field(default_factory=CephXTicketBlob)
    other_keys: int = 0
    old_ticket_may_be_omitted: bool = False

    def _enc(self, out: bytearray, features: int) -> None:
        version = 2 if self.old_ticket_may_be_omitted else 3
        out += _struct.pack("<BQQ", version, self.client_challenge, self.key)
        self.old_ticket._enc(out, features)
        out += _struct.pack("<I", self.other_keys)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        version, client_challenge, key = _struct.unpack_from("<BQQ", buf, pos)
        old_ticket, pos = CephXTicketBlob._dec(buf, pos + 17, end, features)
        other_keys = 0
        if version >= 2:
            (other_keys,) = _struct.unpack_from("<I", buf, pos)
            pos += 4
        if pos > end:
            raise Truncated("ends inside the request", offset=pos, limit=end)
        return cls(client_challenge, key, old_ticket, other_keys, version < 3), pos

    def plain(self) -> dict[str, object]:
        """As JSON can hold it."""
        return {
            "client_challenge": self.client_challenge,
            "key": self.key,
            "old_ticket": self.old_ticket.plain(),
            "other_keys": self.other_keys,
        }


@struct(version=1, bare_version="B", name="CephXServiceTicketRequest")
class CephXServiceTicketRequest(Struct):
    """Asks for tickets: a mask of entity types."""

    keys: u32


@struct(version=1, bare_version="B", name="CephXServiceTicket")
class CephXServiceTicket(Struct):
    """The client's half of a ticket: the session key and for how long (a span) it is good."""

    session_key: CryptoKey
    validity: UTime


@struct(version=1, bare_version="B", name="CephXServiceTicketInfo")
class CephXServiceTicketInfo(Struct):
    """The service's half of a ticket."""

    ticket: AuthTicket
    session_key: CryptoKey


@struct
class CephXTicketReplyItem(Struct):
    """One ticket of a reply: the client's half sealed, and a CephXTicketBlob, plain or sealed."""

    service_id: u32
    version: u8 = default(1)
    service_ticket: blob
    ticket_is_sealed: boolean
    ticket: blob


@struct(version=1, bare_version="B")
class CephXTicketReply(Struct):
    """Tickets as the monitor hands them out."""

    items: Vec[CephXTicketReplyItem]


@struct(version=1, bare_version="B")
class CephXAuthorizerHead(Struct):
    """How an authorizer begins; a sealed CephXAuthorize follows. The version is the mode, too."""

    global_id: u64
    service_id: u32
    ticket: CephXTicketBlob


@struct(version=2, bare_version="B", name="CephXAuthorize")
class CephXAuthorize(Struct):
    """The sealed part of an authorizer; the challenge is the service's (CVE-2018-1128)."""

    nonce: u64
    have_challenge: boolean = since(2)
    server_challenge_plus_one: u64 = since(2)


@struct(version=1, bare_version="B", name="CephXAuthorizeChallenge")
class CephXAuthorizeChallenge(Struct):
    """What a service asks a client to prove that its authorizer is fresh."""

    server_challenge: u64


@irregular("CephXAuthorizeReply")
@dataclass(slots=True)
class CephXAuthorizeReply(Struct):
    """The service's proof and the connection secret; by hand because one without is version 1."""

    nonce_plus_one: int = 0
    connection_secret: bytes = b""

    def _enc(self, out: bytearray, features: int) -> None:
        if not self.connection_secret:
            out += _struct.pack("<BQ", 1, self.nonce_plus_one)
            return
        out += _struct.pack("<BQI", 2, self.nonce_plus_one, len(self.connection_secret))
        out += self.connection_secret

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        version, nonce_plus_one = _struct.unpack_from("<BQ", buf, pos)
        pos += 9
        secret = b""
        if version >= 2:
            (size,) = _struct.unpack_from("<I", buf, pos)
            pos += 4
            secret = buf[pos : pos + size]
            if pos + size > end:
                raise Truncated("connection secret runs past the end", offset=pos, limit=end)
            pos += size
        return cls(nonce_plus_one, secret), pos

    def plain(self) -> dict[str, object]:
        """As JSON can hold it; the secret is not shown."""
        return {
            "nonce_plus_one": self.nonce_plus_one,
            "connection_secret_length": len(self.connection_secret),
        }


@struct
class _EncodedString(Struct):
    text: string


def encode_string(text: str) -> bytes:
    """The bytes under which a capability stands in `EntityAuth.caps` and `AuthCapsInfo.caps`."""
    return _EncodedString(text).encode()


def decode_string(data: bytes) -> str:
    """The text of such bytes; empty where there are none.

    Raises WireError where length and bytes disagree: a length that was tampered with would
    otherwise cut a restriction off the end of a capability.
    """
    if not data:
        return ""
    value: _EncodedString = _EncodedString.decode(data, exact=True)
    return value.text
