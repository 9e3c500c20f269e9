"""Both directions of one transport as frames: what was read, what is to be written.

It starts with revision 0 and no encryption, records what passes for the authentication signature,
and is switched by the handshake: to the revision after the banner, to encryption after
authentication, to compression last. Used by `handshake` and `link`.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from spirula.errors import ProtocolViolation
from spirula.msgr.protocol.control import CONTROL_FRAMES, SIGNATURE_SIZE
from spirula.msgr.protocol.frames import (
    LARGE_SEGMENT,
    MESSAGE_HEADER_SIZE,
    FrameFlag,
    FrameLimits,
    FrameWriter,
    Tag,
    make_writer,
    message_segments,
)
from spirula.msgr.protocol.message import HEADER
from spirula.msgr.protocol.reader import FrameReader

if TYPE_CHECKING:
    from spirula.denc import Struct
    from spirula.msgr.protocol.compression import Compressor
    from spirula.msgr.protocol.message import Bytes, RawMessage

TRANSCRIPT_LIMIT = 128 * 1024
"""The most that may pass in one direction before authentication is over, in bytes.

Real handshakes take a few thousand; strangers may fill this much, each of them.
"""


class Channel:
    """Frames over one transport.

    `out` collects buffers to write and `queued` counts their bytes; `drain` hands them over.
    """

    __slots__ = (
        "_compress_min",
        "_compressor",
        "_limits",
        "_written",
        "out",
        "queued",
        "reader",
        "revision1",
        "writer",
    )

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self.reader = FrameReader(limits)
        self.reader.transcript = bytearray()
        self.reader.messages = False
        self.writer: FrameWriter = make_writer(None, revision1=False)
        self.revision1 = False
        self.out: list[Bytes] = []
        self.queued = 0
        self._written: bytearray | None = bytearray()
        self._compressor: Compressor | None = None
        self._compress_min = 0

    def drain(self) -> list[Bytes]:
        """Everything to be written, in order; it counts as written."""
        out, self.out = self.out, []
        self.queued = 0
        return out

    # ------------------------------------------------------------------------------------ writing

    def send_banner(self, banner: bytes) -> None:
        """Queues bytes that are no frame."""
        self.out.append(banner)
        self.queued += len(banner)
        if self._written is not None:
            self._written += banner

    def send(self, tag: int, payload: Struct) -> None:
        """Queues a control frame."""
        start = len(self.out)
        self.queued += self.writer.frame(tag, [payload.encode()], 0, self.out)
        if self._written is not None:
            for piece in self.out[start:]:
                self._written += piece

    def send_message(self, message: RawMessage, seq: int, ack_seq: int) -> None:
        """Queues a message frame."""
        header = HEADER.pack(
            seq,
            message.tid,
            message.type,
            message.priority,
            message.version,
            0,
            message.data_off,
            ack_seq,
            message.flags,
            message.compat_version,
            message.reserved,
        )
        if self._compressor is not None and self._send_compressed(message, header):
            return
        self.queued += self.writer.message(
            header, message.front, message.middle, message.data, self.out
        )

    def _send_compressed(self, message: RawMessage, header: bytes) -> bool:
        compressor = self._compressor
        if compressor is None or message.size_bytes + MESSAGE_HEADER_SIZE < self._compress_min:
            return False
        segments = message_segments(header, message.front, message.middle, message.data)
        packed: list[Bytes] = [
            compressor.compress(segment) if segment else b"" for segment in segments
        ]
        self.queued += self.writer.frame(Tag.MESSAGE, packed, FrameFlag.COMPRESSED, self.out)
        return True

    # ------------------------------------------------------------------------------------ reading

    def next_frame(self) -> list[Bytes] | None:
        """The segments of the next frame of a handshake; see `FrameReader.next_frame`.

        Bounds what may come before authentication is over. Frames of a session are read from
        `reader`, and need `decompress` where it says so in `flags`.
        """
        reader = self.reader
        segments = reader.next_frame()
        if reader.transcript is not None and (
            len(reader.transcript) > TRANSCRIPT_LIMIT or reader.unread > TRANSCRIPT_LIMIT
        ):
            raise ProtocolViolation("auth.transcript", f"over {TRANSCRIPT_LIMIT} bytes")
        if segments is not None and reader.flags:
            self.decompress(segments)
        return segments

    def decompress(self, segments: list[Bytes]) -> None:
        """Replaces the segments of a frame that carries flags by what they are uncompressed."""
        if not self.reader.flags & FrameFlag.COMPRESSED:
            return
        compressor = self._compressor
        if compressor is None:
            raise ProtocolViolation("compression.not-negotiated", "a compressed frame")
        if self.reader.tag == Tag.MESSAGE:
            limits = self._limits.of_message()
        else:
            limits = (self._limits.control,) * 4
        for index, segment in enumerate(segments):
            if segment:
                plain = compressor.decompress(segment, limits[index])
                view = memoryview(plain).toreadonly()
                segments[index] = view if len(plain) >= LARGE_SEGMENT else plain

    def payload(self, segments: list[Bytes]) -> Struct:
        """The control frame just read, decoded. WireError where it is none of its tag's format."""
        return CONTROL_FRAMES[self.reader.tag].decode(segments[0])

    # ---------------------------------------------------------------------------------- switching

    def use_revision(self, *, revision1: bool) -> None:
        """From the next frames on in both directions; decided by the banners."""
        self.revision1 = revision1
        self.writer = make_writer(None, revision1=revision1)
        self.reader.use(None, revision1=revision1)

    def signatures(self, session_key: bytes) -> tuple[bytes, bytes]:
        """Ends the recording. The signature that we send and the one that we expect.

        Each signs what its sender received; without a session key (`none`) both are zeros.
        """
        received, written = self.reader.transcript, self._written
        self.reader.transcript = self._written = None
        if not session_key or received is None or written is None:
            return bytes(SIGNATURE_SIZE), bytes(SIGNATURE_SIZE)
        return (
            hmac.digest(session_key, received, "sha256"),
            hmac.digest(session_key, written, "sha256"),
        )

    def encrypt(self, secret: bytes, *, client: bool) -> None:
        """From the next frames on in both directions; keyed by the connection secret."""
        # Loads OpenSSL's ciphers, which connections without encryption have no use for.
        from spirula.msgr.protocol.secure import session_keys  # noqa: PLC0415  # said above

        opener, sealer = session_keys(secret, client=client, revision1=self.revision1)
        self.writer = make_writer(sealer, revision1=self.revision1)
        self.reader.use(opener, revision1=self.revision1)

    def compress(self, compressor: Compressor, min_size: int) -> None:
        """From now on frames may come compressed; messages from `min_size` bytes on are sent so."""
        self._compressor = compressor
        self._compress_min = min_size
