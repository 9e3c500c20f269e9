"""One transport, from its banner to its last message.

The driver's loop is always the same: give what was received, take events until there is none, write
what is to be written, and come back at the deadline. Messages are taken one at a time, so that an
event that ends the session is seen before the next message is. Nothing is sent or delivered on a
link that is closed.

    HANDSHAKE  banner, hello, authentication, compression: `handshake`
    IDENT      which session is this: `ident`
    OPEN       messages, acknowledgements, keepalives: here
    CLOSED

Upstream: `ProtocolV2::handle_message` and its neighbours.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

from spirula.errors import NotConnected, ProtocolViolation, SpirulaError, TimedOut, WireError
from spirula.msgr.protocol import control, ident
from spirula.msgr.protocol.channel import Channel
from spirula.msgr.protocol.events import Event, Failed, Opened
from spirula.msgr.protocol.frames import MESSAGE_HEADER_SIZE, Tag
from spirula.msgr.protocol.handshake import Handshake, Stage
from spirula.msgr.protocol.message import HEADER, RawMessage
from spirula.msgr.protocol.throttle import Gate
from spirula.types.base import UTime

if TYPE_CHECKING:
    from spirula.msgr.protocol.endpoint import Endpoint
    from spirula.msgr.protocol.message import Bytes
    from spirula.msgr.protocol.session import Session
    from spirula.types.entity import EntityAddr

_TAG_MESSAGE: Final = int(Tag.MESSAGE)

WRITE_BUDGET_BYTES: Final = 1024 * 1024
"""About how much one `data_to_send` hands over before the driver looks at the transport again."""

ACK_AFTER_MESSAGES: Final = 64
ACK_AFTER_BYTES: Final = 1024 * 1024
"""What may have come on a lossless session without the peer having been told at once.

It keeps that until it is told. An acknowledgement of its own costs both ends as much as a message,
and most messages are answered soon: that tells it, too.
"""

MAX_REPLIES_BYTES: Final = 1024 * 1024
"""How much in control frames may wait for a peer that asks for more and does not read."""


class Phase(Enum):
    """How far a link has come."""

    HANDSHAKE = "handshake"
    IDENT = "ident"
    OPEN = "open"
    CLOSED = "closed"


class Link:
    """One transport of an endpoint. `session` is None at the accepting side until the ident.

    `client` tells who connected. `peer_addr` is where we connected to, or whence we were connected
    to. `keepalive_acked` is the stamp of the last keepalive that came back. `more`: there was more
    to send than `data_to_send` gave at once. `user` belongs to the driver.
    """

    __slots__ = (
        "_events",
        "_gate",
        "_must_ack",
        "_started",
        "_unacked_bytes",
        "channel",
        "client",
        "endpoint",
        "handshake",
        "keepalive_acked",
        "last_active",
        "more",
        "peer_addr",
        "phase",
        "reader",
        "reconnecting",
        "session",
        "user",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        peer_addr: EntityAddr,
        session: Session | None,
        now: float,
    ) -> None:
        self.endpoint = endpoint
        self.peer_addr = peer_addr
        self.session = session
        self.client = session is not None
        self.channel = Channel(endpoint.config.limits)
        self.reader = self.channel.reader
        self.handshake: Handshake | None = None
        self.phase = Phase.HANDSHAKE
        self.reconnecting = False
        self.last_active = now
        self.keepalive_acked: UTime | None = None
        self.more = False
        self.user: Any = None
        self._started = now
        self._events: deque[Event] = deque()
        self._gate: Gate | None = None
        self._must_ack = False
        self._unacked_bytes = 0

    # -------------------------------------------------------------------------------- for drivers

    def connected(self, now: float) -> None:
        """The transport is there; the banner goes out. A failure comes as the first event."""
        if self.phase is Phase.CLOSED:
            return
        self.last_active = now
        endpoint = self.endpoint
        session = self.session
        try:
            if session is None:
                self.handshake = Handshake.as_server(
                    endpoint.config, self.channel, self.peer_addr, endpoint.auth_server()
                )
            else:
                self.handshake = Handshake.as_client(
                    endpoint.config,
                    self.channel,
                    self.peer_addr,
                    session.peer_type,
                    endpoint.auth_client(session.peer_type, session.peer_addrs),
                    previous_secret=session.auth.connection_secret,
                )
        except SpirulaError as error:
            self.fail(error)

    def next_event(self, now: float) -> Event | None:
        """The next thing that happened; None when more bytes, or room in a throttle, are needed."""
        if self._events:
            return self._events.popleft()
        if self.phase is Phase.OPEN:
            try:
                return self._next_open()
            except SpirulaError as error:
                return self._failed(error)
        if self.phase is Phase.CLOSED or self.handshake is None:
            return None
        try:
            return self._next_early(now)
        except SpirulaError as error:
            return self._failed(error)

    def data_to_send(self) -> list[Bytes]:
        """Buffers to write, in order, about `WRITE_BUDGET_BYTES` of them; ask until it is empty."""
        channel = self.channel
        session = self.session
        if self.phase is Phase.OPEN and session is not None:
            pop = session.queue.pop
            keep = not session.lossy
            encode = self.endpoint.encode
            written = False
            while channel.queued < WRITE_BUDGET_BYTES:
                message = pop(keep=keep)
                if message is None:
                    break
                if type(message) is not RawMessage:
                    message = encode(message, session.features)
                written = True
                channel.send_message(message, session.queue.seq, session.in_seq)
            if written:
                session.acked = session.in_seq
                self._must_ack = False
                self._unacked_bytes = 0
            elif self._must_ack:
                session.acked = session.in_seq
                self._must_ack = False
                self._unacked_bytes = 0
                channel.send(Tag.ACK, control.Ack(session.in_seq))
        self.more = channel.queued >= WRITE_BUDGET_BYTES
        return channel.drain()

    @property
    def owes_ack(self) -> bool:
        """Whether to call `acknowledge` after `Timings.ack_delay_s`: the peer was not told yet."""
        session = self.session
        if session is None or session.lossy or self.phase is not Phase.OPEN:
            return False
        return session.acked != session.in_seq

    def acknowledge(self) -> None:
        """Has the peer told what came, with the next `data_to_send`."""
        self._must_ack = self.owes_ack

    @property
    def wants_to_write(self) -> bool:
        """Whether `data_to_send` would give anything."""
        if self.channel.queued:
            return True
        session = self.session
        if self.phase is not Phase.OPEN or session is None:
            return False
        return session.queue.pending or self._must_ack

    @property
    def blocked_on(self) -> Gate | None:
        """The gate whose throttle must have room before anything more is read; None if open."""
        return self._gate if self.reader.blocked else None

    @property
    def deadline(self) -> float | None:
        """When to call `on_deadline` at the latest; None on a closed link."""
        timings = self.endpoint.timings
        if self.phase is Phase.OPEN:
            return self.last_active + timings.idle_timeout_s
        if self.phase is Phase.CLOSED:
            return None
        return self._started + timings.ready_timeout_s

    def on_deadline(self, now: float) -> Failed | None:
        """The failure of a link that is due; None, and a new deadline, for one that is not."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        if self.phase is Phase.OPEN:
            reason = f"nothing received for {now - self.last_active:.0f} s"
        else:
            stage = self.handshake.stage.value if self.handshake else "connecting"
            reason = f"not ready after {now - self._started:.0f} s, in {stage}"
        return self._failed(TimedOut(reason))

    def send_keepalive(self, stamp: UTime) -> None:
        """Asks the peer for a sign of life; its answer sets `keepalive_acked` to `stamp`."""
        if self.phase is Phase.OPEN:
            self.channel.send(Tag.KEEPALIVE2, control.Keepalive(stamp))

    # ----------------------------------------------------------------------------- for the core

    def fail(self, error: SpirulaError) -> None:
        """Ends the link; `Failed` is its last event."""
        if self.phase is not Phase.CLOSED:
            self._events.clear()
            self._events.append(self._failed(error))

    def close(self) -> None:
        """Ends the link without a word: another took its place, or the user wants it so."""
        self.phase = Phase.CLOSED
        self._events.clear()
        self.channel.drain()
        self.reader.abandon()

    def _failed(self, error: SpirulaError) -> Failed:
        self.phase = Phase.CLOSED
        self.channel.drain()
        self.reader.abandon()
        return Failed(error)

    def open(self, session: Session, event: Opened) -> None:
        """From here on the link carries the session's messages."""
        self.session = session
        self.phase = Phase.OPEN
        session.link = self
        self._events.append(event)
        self.reader.messages = True
        self._gate = self.reader.gate = self.endpoint.gate_of(session)

    def push(self, event: Event) -> None:
        """Adds an event of the session's that comes before those of frames yet unread."""
        self._events.append(event)

    def _next_early(self, now: float) -> Event | None:
        handshake = self.handshake
        if handshake is None:
            return None
        while self.phase is not Phase.OPEN:
            if handshake.stage in (Stage.BANNER, Stage.BANNER_FEATURES):
                if not handshake.read_banner():
                    return None
                continue
            segments = self.channel.next_frame()
            if segments is None:
                return None
            if self.phase is Phase.HANDSHAKE:
                handshake.on_frame(segments)
                if handshake.seen_as is not None and self.client:
                    self.endpoint.learned_addr(handshake.seen_as)
                if handshake.stage is Stage.DONE:
                    self.phase = Phase.IDENT
                    if self.client:
                        ident.send_ident(self)
            else:
                ident.on_frame(self, self.channel.payload(segments), now)
            self._check_replies()
            if self._events:
                return self._events.popleft()
        return None

    def _next_open(self) -> Event | None:
        session = self.session
        if session is None:
            raise NotConnected("an open link without a session")
        channel = self.channel
        reader = self.reader
        while True:
            segments = reader.next_frame()
            if segments is None:
                return None
            if reader.flags:
                channel.decompress(segments)
            if reader.tag != _TAG_MESSAGE:
                self._on_control(session, channel.payload(segments))
                continue
            header = segments[0]
            if len(header) != MESSAGE_HEADER_SIZE:
                raise WireError(
                    f"header of {len(header)} bytes",
                    path="frame MESSAGE",
                    limit=MESSAGE_HEADER_SIZE,
                )
            (
                seq,
                tid,
                kind,
                priority,
                version,
                _,
                data_off,
                ack_seq,
                flags,
                compat_version,
                reserved,
            ) = HEADER.unpack(header)
            if not session.lossy:
                session.queue.acknowledged(ack_seq)
            ticket = reader.ticket
            reader.ticket = None
            if seq <= session.in_seq:
                # the peer could not know that it had arrived, and sent it again
                if ticket is not None:
                    ticket.release()
                continue
            session.in_seq = seq
            count = len(segments)
            if not session.lossy:
                self._note_unacked(session, segments)
            return RawMessage(
                kind,
                segments[1] if count > 1 else b"",
                segments[2] if count > 2 else b"",
                segments[3] if count > 3 else b"",
                tid,
                priority,
                version,
                compat_version,
                data_off,
                flags,
                reserved,
                seq,
                ack_seq,
                ticket,
            )

    def _note_unacked(self, session: Session, segments: list[Bytes]) -> None:
        """A message came that the peer keeps until it is told."""
        unacked = self._unacked_bytes
        for segment in segments:
            unacked += len(segment)
        self._unacked_bytes = unacked
        if (
            unacked >= ACK_AFTER_BYTES
            or session.in_seq - session.acked >= ACK_AFTER_MESSAGES
            or not self.endpoint.timings.ack_delay_s
        ):
            self._must_ack = True

    def _on_control(self, session: Session, frame: object) -> None:
        tag = self.reader.tag
        if tag == Tag.ACK:
            if not session.lossy:
                session.queue.acknowledged(cast("control.Ack", frame).seq)
        elif tag == Tag.KEEPALIVE2:
            self.channel.send(Tag.KEEPALIVE2_ACK, cast("control.Keepalive", frame))
            self._check_replies()
        elif tag == Tag.KEEPALIVE2_ACK:
            self.keepalive_acked = cast("control.Keepalive", frame).stamp
        else:
            raise ProtocolViolation("session.order", f"{Tag(tag).name} in an open session")

    def _check_replies(self) -> None:
        """Nothing is written while the transport is full, and a peer can ask all the same."""
        if self.channel.queued > MAX_REPLIES_BYTES:
            raise ProtocolViolation(
                "link.replies", f"over {MAX_REPLIES_BYTES} bytes of answers: the peer does not read"
            )
