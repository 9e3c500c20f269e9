"""msgr2.1 in CRC mode, as a listener between two peers sees it: bytes of both sides in, messages
out.

Format: upstream doc/dev/msgr2.rst and src/msg/async/frames_v2.h. Written apart from
`spirula.msgr` on purpose, so that the vectors do not depend on the code they test; checks every
checksum it passes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import crc32c as _library

BANNER = b"ceph v2\n"

TAG_HELLO = 1
TAG_AUTH_DONE = 6
TAG_CLIENT_IDENT = 8
TAG_SERVER_IDENT = 9
TAG_SESSION_RECONNECT = 11
TAG_SESSION_RECONNECT_OK = 15
TAG_MESSAGE = 17

CON_MODE_CRC = 1

_PREAMBLE = struct.Struct("<BB" + "IH" * 4 + "BBI")
_HEADER2 = struct.Struct("<QQHHHIHQBHH")
_CRC_SEED = 0xFFFFFFFF
_MAX_SEGMENT = 512 << 20


def crc32c(seed: int, data: bytes) -> int:
    """CRC32-C as Ceph keeps it: started from `seed` and not inverted at the end."""
    return _library.crc32c(data, seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


class FrameError(Exception):
    """The stream is not msgr2.1 in CRC mode, or the capture is damaged."""


@dataclass(slots=True)
class Header:
    """ceph_msg_header2 (upstream src/include/msgr.h)."""

    seq: int
    tid: int
    type: int
    priority: int
    version: int
    data_pre_padding_len: int
    data_off: int
    ack_seq: int
    flags: int
    compat_version: int
    reserved: int


@dataclass(slots=True)
class Message:
    """One message as it went over the wire, and who was at both ends of its connection."""

    header: Header
    front: bytes
    middle: bytes
    data: bytes
    source: Peer
    target: Peer


@dataclass(slots=True)
class Peer:
    """One side of a connection: what its hello and ident frames said."""

    entity_type: int = 0
    gid: int = 0
    features: int = 0
    cookie: int = 0


@dataclass(slots=True)
class _Side:
    peer: Peer = field(default_factory=Peer)
    buffer: bytearray = field(default_factory=bytearray)
    started: bool = False


class Sessions:
    """Idents by the pair of session cookies: a reconnecting pair of peers does not repeat them."""

    def __init__(self) -> None:
        self._idents: dict[tuple[int, int], tuple[Peer, Peer]] = {}

    def remember(self, client: Peer, server: Peer) -> None:
        if client.cookie and server.cookie:
            self._idents[client.cookie, server.cookie] = (client, server)

    def recall(self, client_cookie: int, server_cookie: int) -> tuple[Peer, Peer] | None:
        """The idents of that session, from the side now connecting; None when never seen."""
        found = self._idents.get((client_cookie, server_cookie))
        if found is not None:
            return found
        # Either end of a lossless session may be the one that connects again.
        found = self._idents.get((server_cookie, client_cookie))
        return None if found is None else (found[1], found[0])


class Conversation:
    """Both directions of one TCP connection."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._client = _Side()
        self._server = _Side()
        self._reconnecting: tuple[int, int] | None = None

    def feed(self, data: bytes, *, from_client: bool) -> list[Message]:
        """Take the next bytes of one side and return the messages they complete."""
        side = self._client if from_client else self._server
        other = self._server if from_client else self._client
        side.buffer += data
        out: list[Message] = []
        if not side.started:
            if len(side.buffer) < 10:
                return out
            if not side.buffer.startswith(BANNER):
                raise FrameError("no msgr2 banner")
            (length,) = struct.unpack_from("<H", side.buffer, 8)
            if len(side.buffer) < 10 + length:
                return out
            supported, _ = struct.unpack_from("<QQ", side.buffer, 10)
            if not supported & 1:
                raise FrameError("a peer without msgr2.1")
            del side.buffer[: 10 + length]
            side.started = True
        while True:
            frame = self._frame(side.buffer)
            if frame is None:
                return out
            tag, segments = frame
            if tag == TAG_MESSAGE:
                out.append(_message(segments, side.peer, other.peer))
            else:
                self._control(tag, segments[0], side, from_client=from_client)

    @staticmethod
    def _frame(buffer: bytearray) -> tuple[int, list[bytes]] | None:
        if len(buffer) < _PREAMBLE.size:
            return None
        fields = _PREAMBLE.unpack_from(buffer)
        tag, count = fields[:2]
        if crc32c(0, bytes(buffer[:28])) != fields[-1]:
            raise FrameError("preamble checksum: not a frame, or a secure connection")
        if not 1 <= count <= 4 or fields[-3] != 0:
            raise FrameError("frame with odd segment count or compressed")
        lengths = [fields[2 + 2 * i] for i in range(count)]
        if max(lengths) > _MAX_SEGMENT:
            raise FrameError("segment too long")
        size = _PREAMBLE.size + sum(lengths) + (4 if lengths[0] else 0) + (13 if count > 1 else 0)
        if len(buffer) < size:
            return None
        at = _PREAMBLE.size
        segments = []
        crcs = []
        for i, length in enumerate(lengths):
            segments.append(bytes(buffer[at : at + length]))
            at += length
            if i == 0 and length:
                crcs.append(struct.unpack_from("<I", buffer, at)[0])
                at += 4
            elif i == 0:
                crcs.append(_CRC_SEED)
        if count > 1:
            crcs += struct.unpack_from("<III", buffer, at + 1)
        for segment, crc in zip(segments, crcs, strict=False):
            if crc32c(_CRC_SEED, segment) != crc:
                raise FrameError("segment checksum")
        del buffer[:size]
        return tag, segments

    def _control(self, tag: int, payload: bytes, side: _Side, *, from_client: bool) -> None:
        if tag == TAG_HELLO:
            side.peer.entity_type = payload[0]
        elif tag == TAG_AUTH_DONE:
            _, mode = struct.unpack_from("<QI", payload)
            if mode != CON_MODE_CRC:
                raise FrameError(f"connection mode {mode}")
        elif tag == TAG_CLIENT_IDENT:
            at = _skip_address(payload, _skip_addresses(payload, 0))
            gid, _, features, _, _, cookie = struct.unpack_from("<qQQQQQ", payload, at)
            side.peer.gid, side.peer.features, side.peer.cookie = gid, features, cookie
        elif tag == TAG_SERVER_IDENT:
            at = _skip_addresses(payload, 0)
            gid, _, features, _, _, cookie = struct.unpack_from("<qQQQQQ", payload, at)
            side.peer.gid, side.peer.features, side.peer.cookie = gid, features, cookie
            self._sessions.remember(self._client.peer, self._server.peer)
        elif tag == TAG_SESSION_RECONNECT:
            at = _skip_addresses(payload, 0)
            client, server = struct.unpack_from("<QQ", payload, at)
            self._reconnecting = (client, server)
        elif tag == TAG_SESSION_RECONNECT_OK and self._reconnecting is not None:
            found = self._sessions.recall(*self._reconnecting)
            if found is not None:
                self._client.peer, self._server.peer = found


def _message(segments: list[bytes], source: Peer, target: Peer) -> Message:
    parts = segments + [b""] * (4 - len(segments))
    header = Header(*_HEADER2.unpack(parts[0]))
    return Message(header, parts[1], parts[2], parts[3], source, target)


def _skip_address(data: bytes, at: int) -> int:
    """Position after an entity_addr_t in its versioned layout (marker byte 1)."""
    if data[at] != 1:
        raise FrameError("address in a legacy layout")
    (length,) = struct.unpack_from("<I", data, at + 3)
    return at + 7 + int(length)


def _skip_addresses(data: bytes, at: int) -> int:
    """Position after an entity_addrvec_t (marker byte 2, count, addresses)."""
    if data[at] != 2:
        raise FrameError("address vector in a legacy layout")
    (count,) = struct.unpack_from("<I", data, at + 1)
    at += 5
    for _ in range(count):
        at = _skip_address(data, at)
    return at
