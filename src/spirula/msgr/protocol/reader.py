"""Frames as they are read: where the next bytes go, and what they were.

A driver asks `get_buffer` for memory, receives into it, tells `buffer_updated` how much came and
takes frames from `next_frame` until there is none. Small segments are copied out of one receive
buffer; a segment of `OWN_MEMORY_FROM` bytes or more gets memory of its own, and the transport fills
that directly. After a large one the buffer offers little, so that the start of the next large one
is not swallowed by it; when reads fill the buffer, it offers more.

Nothing is believed before it is checked: lengths against `FrameLimits` before memory is taken, the
preamble against its checksum, segments against theirs or the frame against its tag. WireError says
what was wrong; the connection cannot be read on after that. Formats: see `frames`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spirula.errors import InvariantBroken, LimitExceeded, ProtocolViolation, WireError
from spirula.kernels.crc32c import crc32c
from spirula.kernels.frames import split_message, unwritten
from spirula.msgr.protocol.frames import (
    AROUND_MESSAGE,
    CRC,
    CRC_SEED,
    EPILOGUE_CRC_0,
    EPILOGUE_CRC_1,
    INLINE_SIZE,
    LARGE_SEGMENT,
    LATE_ABORTED,
    LATE_ABORTED_0,
    LATE_COMPLETE,
    LATE_MASK,
    MAX_SEGMENTS,
    PREAMBLE,
    PREAMBLE_COVERED,
    PREAMBLE_SIZE,
    TAG_SIZE,
    FrameLimits,
    Tag,
    padded,
)
from spirula.msgr.protocol.throttle import Gate, Ticket

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext

    from spirula.msgr.protocol.message import Bytes
    from spirula.msgr.protocol.secure import Opener

OFFER_MIN: Final = 4 * 1024
OFFER_MAX: Final = 256 * 1024
OWN_MEMORY_FROM: Final = 128 * 1024
"""Bytes of a segment: less is copied out of the buffer, which costs less than to begin anew."""
_SPARE: Final = 4
"""So many times what is wanted the buffer may be before a smaller one takes its place."""
_SPARED: Final = 32
"""So often in a row it may be more: short messages come among longer ones, and memory for these
costs more than to receive them."""

_TAGS: Final = frozenset(int(tag) for tag in Tag)
_TAG_MESSAGE: Final = int(Tag.MESSAGE)
_SECURE_HEAD: Final = PREAMBLE_SIZE + INLINE_SIZE + TAG_SIZE


class FrameReader:
    """One direction of one transport, from bytes to frames.

    It begins in revision 0 without encryption; `use` switches at the frame boundary where the
    handshake says so. While `messages` is false none is allowed, and none is buffered. `gate`, once
    set, is asked before memory is taken for a message; while it refuses, `next_frame` gives nothing
    and `blocked` is true. `ticket` is what the gate gave, to be taken by who takes the message.
    `transcript`, while it is not None, collects every byte consumed (authentication signs them).
    """

    __slots__ = (
        "_buf",
        "_end",
        "_head_size",
        "_inline",
        "_lengths",
        "_limits",
        "_message_limits",
        "_message_size",
        "_need",
        "_offer",
        "_offered",
        "_opener",
        "_own",
        "_own_have",
        "_own_last",
        "_partly",
        "_parts",
        "_pos",
        "_quick",
        "_quick_below",
        "_revision1",
        "_sizes",
        "_spared",
        "_stream",
        "_view",
        "blocked",
        "flags",
        "gate",
        "messages",
        "tag",
        "ticket",
        "transcript",
    )

    def __init__(self, limits: FrameLimits | None = None) -> None:
        self._limits = limits or FrameLimits()
        self._message_limits = self._limits.of_message()
        # what is not within all bounds goes the general way, which says so
        self._quick_below = min(OWN_MEMORY_FROM, *[most + 1 for most in self._message_limits[1:]])
        self._buf = bytearray(OFFER_MIN)
        self._view = memoryview(self._buf)
        self._pos = 0
        self._end = 0
        self._need = 0  # contiguous bytes from _pos on without which there is nothing to do
        self._offer = OFFER_MIN
        self._offered = 0
        self._spared = 0  # how often in a row the buffer was larger than it should be
        self._own: memoryview | None = None  # the large part that is being received
        self._own_have = 0
        self._own_last = False  # no part comes behind it
        self._opener: Opener | None = None
        self._revision1 = False
        self._quick = False  # revision 1 with checksums: `split_message` does it
        self._head_size = PREAMBLE_SIZE
        self._lengths: tuple[int, ...] = ()  # of the frame under way, () between frames
        self._sizes: list[int] = []  # what its parts take on the wire
        self._parts: list[Bytes] = []  # those that are here
        self._partly = False  # a message is not all here, and nothing of it was consumed
        self._inline: bytes = b""
        self._stream: AEADDecryptionContext | None = None
        self.tag = 0
        self.flags = 0
        self._message_size = 0
        self.ticket: Ticket | None = None
        self.blocked = False
        self.gate: Gate | None = None
        self.messages = True
        self.transcript: bytearray | None = None

    # ------------------------------------------------------------------------------ bytes come in

    def get_buffer(self) -> memoryview:
        """Where the transport should put what it receives next; at least one byte long."""
        if self._own is not None:
            if self._own_have < len(self._own):
                return self._own[self._own_have :]
            self._own_done()
        end = self._end
        if self._pos == end:
            self._pos = self._end = end = 0
            wanted = max(self._offer, self._need)
            if wanted > len(self._buf):
                self._resize()
            elif _SPARE * wanted >= len(self._buf):
                self._spared = 0
            else:
                self._spared += 1
                if self._spared > _SPARED:
                    self._resize()
        elif self._pos + self._need > len(self._buf) or end == len(self._buf):
            self._resize()
            end = self._end
        room = self._view[end:]
        self._offered = len(room)
        return room

    def buffer_updated(self, count: int) -> bool:
        """`count` bytes were put into what `get_buffer` returned.

        False if they are of no use before more has come.
        """
        if self._own is not None:
            self._own_have += count
            return self._own_last and self._own_have == len(self._own)
        self._end += count
        if count == self._offered:
            self._offer = min(2 * self._offer, OFFER_MAX)
        elif 16 * count < self._offer:
            self._offer = max(self._offer // 2, OFFER_MIN)
        return self._end - self._pos >= self._need

    def feed(self, data: Bytes) -> None:
        """Takes bytes that lie elsewhere already (tests, and transports without own buffers)."""
        source = memoryview(data)
        while source:
            if self._own is None:
                self._need = max(self._need, self._end - self._pos + len(source))
            room = self.get_buffer()
            count = min(len(room), len(source))
            room[:count] = source[:count]
            self.buffer_updated(count)
            source = source[count:]

    def _resize(self) -> None:
        """Brings what is unread to the front of a buffer that fits what is needed and offered.

        That may be the one it is in.
        """
        unread = self._view[self._pos : self._end]
        size = max(self._need, len(unread) + self._offer, self._offer)
        keeps, self._spared = self._spared <= _SPARED and size <= len(self._buf), 0
        if keeps:
            self._view[: len(unread)] = unread
        else:
            fresh = bytearray(size)
            fresh[: len(unread)] = unread
            self._buf = fresh
            self._view = memoryview(fresh)
        self._end = len(unread)
        self._pos = 0

    @property
    def unread(self) -> int:
        """How many received bytes no frame has consumed yet."""
        return self._end - self._pos + self._own_have

    # ----------------------------------------------------------------------------- things come out

    def take(self, size: int) -> bytes | None:
        """The next `size` bytes outside of any frame (the banner), None when not all are here."""
        pos = self._pos
        if self._end - pos < size:
            self._need = size
            return None
        self._consume(size)
        return bytes(self._view[pos : pos + size])

    def use(self, opener: Opener | None, *, revision1: bool) -> None:
        """From the next frame on: this revision, and encryption where there is an `opener`."""
        if self._lengths or self._partly:
            raise InvariantBroken("the frame format changed inside a frame")
        self._opener = opener
        self._revision1 = revision1
        self._quick = opener is None and revision1
        self._head_size = _SECURE_HEAD if opener is not None and revision1 else PREAMBLE_SIZE

    def next_frame(self) -> list[Bytes] | None:
        """The segments of the next complete frame (its tag is in `tag`), None when there is none.

        Small segments are `bytes`; large ones are read-only views of memory that nothing else uses.
        Frames that their sender gave up are skipped. WireError or ProtocolViolation as above.
        """
        while True:
            if self._own is not None:
                if self._own_have < len(self._own):
                    return None
                self._own_done()
            if not self._lengths:
                if self._quick and self.messages:
                    found = split_message(self._buf, self._pos, self._end, self._quick_below)
                    if found is not None and self._has_room(found[0] - AROUND_MESSAGE):
                        size, whole = found
                        if not whole:
                            self._need = size
                            self._partly = True
                            return None
                        self._pos += size
                        self._need = 0
                        self._partly = False
                        self.tag = _TAG_MESSAGE
                        self.flags = 0
                        return whole
                if not self._begin():
                    return None
            if self.blocked and not self._admitted():
                return None
            if not self._collect():
                return None
            segments = self._finish()
            if segments is not None:
                return segments
            self.abandon()

    def _has_room(self, size: int) -> bool:
        """Whether the gate lets a message of this size in, or has done so already."""
        gate = self.gate
        if gate is not None and self.ticket is None:
            if not gate.admit(size):
                return False
            self.ticket = Ticket(gate, size)
        return True

    # ------------------------------------------------------------------------------ the preamble

    def _begin(self) -> bool:
        """Reads a preamble and plans the parts that follow it; False when it is not here yet."""
        pos = self._pos
        size = self._head_size
        if self._end - pos < size:
            self._need = size
            return False
        opener = self._opener
        head: Bytes
        if opener is None:
            head = self._view[pos : pos + PREAMBLE_SIZE]
        elif self._revision1:
            head = opener.open(self._view[pos : pos + size])
            self._inline = head[PREAMBLE_SIZE:]
        else:
            self._stream = opener.open_stream()
            head = self._stream.update(self._view[pos : pos + PREAMBLE_SIZE])
        tag, count, l0, _, l1, _, l2, _, l3, _, flags, _, crc = PREAMBLE.unpack_from(head)
        if crc32c(0, head[:PREAMBLE_COVERED]) != crc:
            raise WireError("preamble does not match its checksum", path="frame")
        if not 1 <= count <= MAX_SEGMENTS:
            raise WireError(f"{count} segments", path="frame", limit=MAX_SEGMENTS)
        lengths = (l0, l1, l2, l3)[:count]
        if count > 1 and not lengths[-1]:
            raise WireError("the last of several segments is empty", path="frame")
        self._check(tag, lengths)
        self._consume(size)
        self.tag = tag
        self.flags = flags
        self._lengths = lengths
        self._sizes = self._plan(lengths)
        self._partly = False
        if tag == _TAG_MESSAGE and self.gate is not None and self.ticket is None:
            self._message_size = sum(lengths) - l0
            self.blocked = True
        return True

    def _check(self, tag: int, lengths: tuple[int, ...]) -> None:
        if tag == _TAG_MESSAGE:
            if not self.messages:
                raise ProtocolViolation("frame.message-early", "a message before a session")
            for index, (length, limit) in enumerate(
                zip(lengths, self._message_limits, strict=False)
            ):
                if length > limit:
                    raise LimitExceeded(
                        f"segment {index} of {length} bytes", path="frame MESSAGE", limit=limit
                    )
            return
        if tag not in _TAGS:
            raise ProtocolViolation("frame.unknown-tag", str(tag))
        if len(lengths) != 1:
            raise WireError(f"{len(lengths)} segments in a control frame", path="frame", limit=1)
        if lengths[0] > self._limits.control:
            raise LimitExceeded(
                f"payload of {lengths[0]} bytes",
                path=f"frame {Tag(tag).name}",
                limit=self._limits.control,
            )

    def _plan(self, lengths: tuple[int, ...]) -> list[int]:
        """How long the parts are that follow the preamble."""
        if self._opener is None:
            if not self._revision1:
                return [*lengths, EPILOGUE_CRC_0.size]
            first = lengths[0] + CRC.size if lengths[0] else 0
            if len(lengths) == 1:
                return [first]
            return [first, *lengths[1:], EPILOGUE_CRC_1.size]
        rest = lengths[1:] if self._revision1 else lengths
        sealed = sum(map(padded, rest)) + 16 + TAG_SIZE
        if not self._revision1:
            return [sealed]
        first = padded(lengths[0]) - INLINE_SIZE
        first = first + TAG_SIZE if first > 0 else 0
        return [first, sealed] if rest else [first]

    def _admitted(self) -> bool:
        gate = self.gate
        if gate is not None:
            if not gate.admit(self._message_size):
                return False
            self.ticket = Ticket(gate, self._message_size)
        self.blocked = False
        return True

    def abandon(self) -> None:
        """Gives back what the message under way holds of the throttles; it will not be finished."""
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.release()

    # ---------------------------------------------------------------------------------- the parts

    def _collect(self) -> bool:
        """Gathers the parts of the frame under way; False when some are still to come."""
        sizes = self._sizes
        parts = self._parts
        while len(parts) < len(sizes):
            size = sizes[len(parts)]
            pos = self._pos
            have = self._end - pos
            if size >= OWN_MEMORY_FROM:
                own = unwritten(size)
                got = min(have, size)
                own[:got] = self._view[pos : pos + got]
                self._consume(got)
                self._own = own
                self._own_have = got
                self._own_last = len(parts) + 1 == len(sizes)
                self._offer = OFFER_MIN
                self._spared = _SPARED
                if got < size:
                    return False
                self._own_done()
            elif have < size:
                self._need = size
                return False
            else:
                parts.append(bytes(self._view[pos : pos + size]))
                self._consume(size)
        return True

    def _own_done(self) -> None:
        own, self._own = self._own, None
        self._own_have = 0
        if own is not None:
            # what is sealed will be opened in place
            self._parts.append(own.toreadonly() if self._opener is None else own)

    def _consume(self, size: int) -> None:
        if self.transcript is not None:
            self.transcript += self._view[self._pos : self._pos + size]
        self._pos += size
        self._need = 0

    def _finish(self) -> list[Bytes] | None:
        """Checks a complete frame and gives its segments; None where its sender gave it up."""
        lengths = self._lengths
        parts = self._parts
        self._lengths = ()
        self._parts = []
        if self._opener is None:
            if self._revision1:
                return _open_crc_1(lengths, parts)
            return _open_crc_0(lengths, parts)
        if self._revision1:
            return self._open_secure_1(lengths, parts)
        return self._open_secure_0(lengths, parts)

    def _open_secure_1(self, lengths: tuple[int, ...], parts: list[Bytes]) -> list[Bytes] | None:
        first = self._inline
        if parts[0]:
            first += self._open(parts[0])
        segments: list[Bytes] = [first[: lengths[0]]]
        if len(lengths) == 1:
            return segments
        plaintext = self._open(parts[1])
        segments += _split(plaintext, lengths[1:])
        return segments if _is_complete(plaintext[-16]) else None

    def _open(self, sealed: Bytes) -> Bytes:
        opener = self._opener
        if opener is None:
            raise InvariantBroken("a sealed part without a key")
        if isinstance(sealed, memoryview):
            return opener.open_in_place(sealed)
        return opener.open(sealed)

    def _open_secure_0(self, lengths: tuple[int, ...], parts: list[Bytes]) -> list[Bytes] | None:
        stream, self._stream = self._stream, None
        opener = self._opener
        if stream is None or opener is None:
            raise InvariantBroken("a sealed frame without its cipher")
        sealed = memoryview(parts[0])
        plaintext = stream.update(sealed[:-TAG_SIZE])
        opener.close_stream(stream, sealed[-TAG_SIZE:])
        return None if plaintext[-16] & LATE_ABORTED_0 else _split(plaintext, lengths)


def _is_complete(status: int) -> bool:
    """Reads the status of revision 1; its two code words differ in four bits."""
    if status & LATE_MASK == LATE_COMPLETE:
        return True
    if status & LATE_MASK == LATE_ABORTED:
        return False
    raise WireError(f"frame status {status:#x} is none", path="frame")


def _split(plaintext: Bytes, lengths: tuple[int, ...]) -> list[Bytes]:
    """Cuts segments out of one decrypted part; small ones are copied, large ones are views."""
    view = memoryview(plaintext).toreadonly()
    segments: list[Bytes] = []
    at = 0
    for length in lengths:
        piece = view[at : at + length]
        segments.append(piece if length >= LARGE_SEGMENT else bytes(piece))
        at += padded(length)
    return segments


def _sealed_by_sum(segment: Bytes, expected: int, index: int) -> Bytes:
    """A segment that matches its checksum, in the form in which it is handed out."""
    if crc32c(CRC_SEED, segment) != expected:
        raise WireError(f"segment {index} does not match its checksum", path="frame")
    return segment


def _open_crc_1(lengths: tuple[int, ...], parts: list[Bytes]) -> list[Bytes] | None:
    first = parts[0]
    segments: list[Bytes] = []
    if lengths[0]:
        length = lengths[0]
        (expected,) = CRC.unpack_from(first, length)
        segments.append(_sealed_by_sum(first[:length], expected, 0))
    else:
        segments.append(b"")
    if len(lengths) == 1:
        return segments
    status, *sums = EPILOGUE_CRC_1.unpack(parts[-1])
    complete = _is_complete(status)
    segments += [
        _sealed_by_sum(parts[index], sums[index - 1], index) for index in range(1, len(lengths))
    ]
    return segments if complete else None


def _open_crc_0(lengths: tuple[int, ...], parts: list[Bytes]) -> list[Bytes] | None:
    flags, *sums = EPILOGUE_CRC_0.unpack(parts[-1])
    segments = [_sealed_by_sum(parts[index], sums[index], index) for index in range(len(lengths))]
    return None if flags & LATE_ABORTED_0 else segments
