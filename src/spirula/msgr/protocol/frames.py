"""Frames as they are written: preamble, segments, checksums or encryption.

Both revisions of the frame format (msgr2.0 and msgr2.1) in CRC and in secure mode. A writer turns
segments into a list of buffers for the transport: small pieces are joined, a segment of
`LARGE_SEGMENT` bytes or more goes out from where it lies. The other direction is in `reader`.
Formats: upstream `doc/dev/msgr2.rst`, `src/msg/async/frames_v2.h` and `.cc`.

    revision 1, CRC     preamble | segment 0, crc | segments 1.. | status, crc of 1, 2, 3
    revision 1, secure  [preamble, first 48 of segment 0]+tag [rest of segment 0]+tag
                        [segments 1.., each padded to 16; status, 15 zeros]+tag
    revision 0, CRC     preamble | segments | flags, crc of 0, 1, 2, 3
    revision 0, secure  [preamble | segments, each padded to 16 | flags, 15 zeros]+tag

In revision 1 a frame of one segment ends with it. Trailing empty segments are left out.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final, Protocol

from spirula.kernels.crc32c import crc32c
from spirula.kernels.frames import join_message
from spirula.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spirula.msgr.protocol.message import Bytes
    from spirula.msgr.protocol.secure import Sealer

PREAMBLE_SIZE: Final = 32
PREAMBLE_COVERED: Final = 28
"""How much of the preamble its own checksum covers."""
INLINE_SIZE: Final = 48
"""How much of segment 0 travels with the preamble in secure mode of revision 1."""
BLOCK: Final = 16
TAG_SIZE: Final = 16
"""What authenticates an encrypted part, behind it."""
MAX_SEGMENTS: Final = 4
MESSAGE_HEADER_SIZE: Final = 41
LARGE_SEGMENT: Final = 64 * 1024
"""From here on a segment has its own buffer, on the way out and on the way in."""

PREAMBLE: Final = struct.Struct("<BBIHIHIHIHBBI")
"""tag, number of segments, four times length and alignment, flags, reserved, crc."""
PREAMBLE_START: Final = struct.Struct("<BBIHIHIHIHBB")
EPILOGUE_CRC_1: Final = struct.Struct("<BIII")
EPILOGUE_CRC_0: Final = struct.Struct("<BIIII")
CRC: Final = struct.Struct("<I")

CRC_SEED: Final = 0xFFFFFFFF
"""Segments are summed from here, the preamble from zero."""

_ALIGNMENT: Final = 8
_ALIGNMENT_DATA: Final = 4096

LATE_ABORTED_0: Final = 1
"""Flag in the epilogue of revision 0: the sender gave the frame up."""
LATE_MASK: Final = 0x0F
LATE_ABORTED: Final = 0x01
LATE_COMPLETE: Final = 0x0E


class Tag(IntEnum):
    """What a frame is (upstream `ceph::msgr::v2::Tag`)."""

    HELLO = 1
    AUTH_REQUEST = 2
    AUTH_BAD_METHOD = 3
    AUTH_REPLY_MORE = 4
    AUTH_REQUEST_MORE = 5
    AUTH_DONE = 6
    AUTH_SIGNATURE = 7
    CLIENT_IDENT = 8
    SERVER_IDENT = 9
    IDENT_MISSING_FEATURES = 10
    SESSION_RECONNECT = 11
    SESSION_RESET = 12
    SESSION_RETRY = 13
    SESSION_RETRY_GLOBAL = 14
    SESSION_RECONNECT_OK = 15
    WAIT = 16
    MESSAGE = 17
    KEEPALIVE2 = 18
    KEEPALIVE2_ACK = 19
    ACK = 20
    COMPRESSION_REQUEST = 21
    COMPRESSION_DONE = 22


class FrameFlag(IntFlag):
    """Flags in the preamble."""

    COMPRESSED = 1


@dataclass(slots=True, frozen=True)
class FrameLimits:
    """The longest segments that are accepted, in bytes; a longer one ends the connection unread.

    `control` bounds the payload of every frame that is not a message. Before authentication no
    other frame passes, so it also bounds what a stranger can make us hold.
    """

    control: int = 64 * 1024
    front: int = 256 * 1024 * 1024
    middle: int = 256 * 1024 * 1024
    data: int = 512 * 1024 * 1024

    def of_message(self) -> tuple[int, int, int, int]:
        """The bounds of a message's four segments; compression may make a header longer."""
        return 4 * MESSAGE_HEADER_SIZE, self.front, self.middle, self.data


def padded(size: int) -> int:
    """`size` rounded up to the block of secure mode."""
    return size + 15 & ~15


_TAG_MESSAGE = int(Tag.MESSAGE)
_ABSENT = (0, 0)
_LAYOUTS = {
    count: [_ALIGNMENT] * min(count, 3) + [_ALIGNMENT_DATA] * (count == MAX_SEGMENTS)
    for count in range(1, MAX_SEGMENTS + 1)
}


def preamble(tag: int, segments: Sequence[Bytes], flags: int) -> bytes:
    """The 32 bytes in front of a frame of `segments` (one to four of them)."""
    fields: list[int] = []
    for segment, alignment in zip(segments, _LAYOUTS[len(segments)], strict=True):
        fields += (len(segment), alignment)
    fields += _ABSENT * (MAX_SEGMENTS - len(segments))
    start = PREAMBLE_START.pack(tag, len(segments), *fields, flags, 0)
    return start + CRC.pack(crc32c(0, start))


class FrameWriter(Protocol):
    """Appends a frame's buffers to `out` and returns their length in bytes."""

    def frame(self, tag: int, segments: Sequence[Bytes], flags: int, out: list[Bytes]) -> int:
        """Writes a frame. The last of several segments is not empty."""
        ...

    def message(
        self, header: bytes, front: Bytes, middle: Bytes, data: Bytes, out: list[Bytes]
    ) -> int:
        """Writes a message frame, leaving out empty segments at its end."""
        ...


def message_segments(header: bytes, front: Bytes, middle: Bytes, data: Bytes) -> list[Bytes]:
    """The segments of a message frame without the empty ones at its end."""
    if data:
        return [header, front, middle, data]
    if middle:
        return [header, front, middle]
    return [header, front] if front else [header]


def _message_start(front: int) -> bytes:
    """The preamble, but for its checksum, of a message of a front alone."""
    return PREAMBLE_START.pack(
        *(_TAG_MESSAGE, 2, MESSAGE_HEADER_SIZE, _ALIGNMENT, front, _ALIGNMENT),
        *(0, 0, 0, 0, 0, 0),
    )


AROUND_MESSAGE = PREAMBLE_SIZE + MESSAGE_HEADER_SIZE + CRC.size + EPILOGUE_CRC_1.size
"""What a message takes in revision 1 with checksums beside its front and data."""


class _Pieces:
    """Collects a frame: joins what is small, keeps what is large as it is."""

    __slots__ = ("_out", "_run", "size")

    def __init__(self, out: list[Bytes]) -> None:
        self._out = out
        self._run: list[Bytes] = []
        self.size = 0

    def add(self, piece: Bytes) -> None:
        size = len(piece)
        self.size += size
        if size < LARGE_SEGMENT:
            self._run.append(piece)
        else:
            self.close()
            self._out.append(piece)

    def close(self) -> int:
        if self._run:
            self._out.append(b"".join(self._run))
            self._run = []
        return self.size


class CrcWriter1:
    """Revision 1 with checksums: what two current peers speak when they do not encrypt."""

    __slots__ = ()

    def frame(self, tag: int, segments: Sequence[Bytes], flags: int, out: list[Bytes]) -> int:
        """See `FrameWriter`."""
        pieces = _Pieces(out)
        pieces.add(preamble(tag, segments, flags))
        if segments[0]:
            pieces.add(segments[0])
            pieces.add(CRC.pack(crc32c(CRC_SEED, segments[0])))
        if len(segments) > 1:
            sums = [0, 0, 0]
            for index, segment in enumerate(segments[1:]):
                sums[index] = crc32c(CRC_SEED, segment)
                pieces.add(segment)
            pieces.add(EPILOGUE_CRC_1.pack(LATE_COMPLETE, *sums))
        return pieces.close()

    def message(
        self, header: bytes, front: Bytes, middle: Bytes, data: Bytes, out: list[Bytes]
    ) -> int:
        """See `FrameWriter`. The common message, a small front and maybe data, takes one pass."""
        size, data_size = len(front), len(data)
        if middle or not 0 < size < LARGE_SEGMENT:
            segments = message_segments(header, front, middle, data)
            return self.frame(_TAG_MESSAGE, segments, 0, out)
        joined = join_message(header, front, data, LARGE_SEGMENT)
        if isinstance(joined, bytes):
            out.append(joined)
        else:
            out += (joined[0], data, joined[1])
        return size + data_size + AROUND_MESSAGE


class CrcWriter0:
    """Revision 0 with checksums (14.2 and 15.2 before msgr2.1, and everybody's first frames)."""

    __slots__ = ()

    def frame(self, tag: int, segments: Sequence[Bytes], flags: int, out: list[Bytes]) -> int:
        """See `FrameWriter`."""
        pieces = _Pieces(out)
        pieces.add(preamble(tag, segments, flags))
        sums = [0, 0, 0, 0]
        for index, segment in enumerate(segments):
            sums[index] = crc32c(CRC_SEED, segment)
            pieces.add(segment)
        pieces.add(EPILOGUE_CRC_0.pack(0, *sums))
        return pieces.close()

    def message(
        self, header: bytes, front: Bytes, middle: Bytes, data: Bytes, out: list[Bytes]
    ) -> int:
        """See `FrameWriter`."""
        return self.frame(_TAG_MESSAGE, message_segments(header, front, middle, data), 0, out)


def _with_padding(segments: Sequence[Bytes]) -> list[Bytes]:
    pieces: list[Bytes] = []
    for segment in segments:
        pieces.append(segment)
        pieces.append(bytes(-len(segment) % BLOCK))
    return pieces


def _seal(sealer: Sealer, pieces: list[Bytes], out: list[Bytes]) -> int:
    """Seals pieces as one part; joins them first only where that is cheaper than a cipher."""
    if sum(len(piece) for piece in pieces) < LARGE_SEGMENT:
        sealed: Bytes = sealer.seal(b"".join(pieces))
    else:
        sealed = sealer.seal_pieces(pieces)
    out.append(sealed)
    return len(sealed)


_STATUS_COMPLETE = bytes([LATE_COMPLETE]) + bytes(BLOCK - 1)
_FLAGS_NONE = bytes(BLOCK)
_HEADER_PADDING = bytes(INLINE_SIZE - MESSAGE_HEADER_SIZE)


class SecureWriter1:
    """Revision 1, encrypted."""

    __slots__ = ("_sealer",)

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def frame(self, tag: int, segments: Sequence[Bytes], flags: int, out: list[Bytes]) -> int:
        """See `FrameWriter`."""
        first = segments[0]
        start = preamble(tag, segments, flags) + first[:INLINE_SIZE]
        sealer = self._sealer
        head = sealer.seal(start + bytes(PREAMBLE_SIZE + INLINE_SIZE - len(start)))
        out.append(head)
        size = len(head)
        if len(first) > INLINE_SIZE:
            size += _seal(sealer, _with_padding([memoryview(first)[INLINE_SIZE:]]), out)
        if len(segments) > 1:
            size += _seal(sealer, [*_with_padding(segments[1:]), _STATUS_COMPLETE], out)
        return size

    def message(
        self, header: bytes, front: Bytes, middle: Bytes, data: Bytes, out: list[Bytes]
    ) -> int:
        """See `FrameWriter`. A small front alone makes two sealed parts in one buffer."""
        size = len(front)
        if data or middle or not 0 < size < LARGE_SEGMENT:
            segments = message_segments(header, front, middle, data)
            return self.frame(_TAG_MESSAGE, segments, 0, out)
        start = _message_start(size)
        sealer = self._sealer
        frame = sealer.seal(start + CRC.pack(crc32c(0, start)) + header + _HEADER_PADDING)
        frame += sealer.seal(b"".join((front, bytes(-size % BLOCK), _STATUS_COMPLETE)))
        out.append(frame)
        return len(frame)


class SecureWriter0:
    """Revision 0, encrypted."""

    __slots__ = ("_sealer",)

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def frame(self, tag: int, segments: Sequence[Bytes], flags: int, out: list[Bytes]) -> int:
        """See `FrameWriter`."""
        pieces = [preamble(tag, segments, flags), *_with_padding(segments), _FLAGS_NONE]
        return _seal(self._sealer, pieces, out)

    def message(
        self, header: bytes, front: Bytes, middle: Bytes, data: Bytes, out: list[Bytes]
    ) -> int:
        """See `FrameWriter`."""
        return self.frame(_TAG_MESSAGE, message_segments(header, front, middle, data), 0, out)


def make_writer(sealer: Sealer | None, *, revision1: bool) -> FrameWriter:
    """The writer for what two peers agreed on; `sealer` None means CRC mode."""
    if sealer is None:
        return CrcWriter1() if revision1 else CrcWriter0()
    return SecureWriter1(sealer) if revision1 else SecureWriter0(sealer)
