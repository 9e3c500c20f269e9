"""One transport under the messenger: moves bytes between asyncio and a `Link`, nothing else.

It reads into the buffers that the link names, takes events until there are none, writes what the
link wants written, at most once per turn of the event loop, and stops reading while a throttle is
full or writing while the transport is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from spirula.errors import InvariantBroken, NotConnected, WireError
from spirula.msgr.protocol.events import Event, Failed
from spirula.msgr.protocol.frames import LARGE_SEGMENT
from spirula.msgr.protocol.message import RawMessage
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr

if TYPE_CHECKING:
    from spirula.errors import SpirulaError
    from spirula.msgr.connection import Connection
    from spirula.msgr.protocol.link import Link
    from spirula.msgr.protocol.throttle import Throttle, Ticket
    from spirula.msgr.tcp import Messenger

WRITE_HIGH_BYTES = 8 * 1024 * 1024
WRITE_LOW_BYTES = 2 * 1024 * 1024
"""How much encoded data may wait in a transport, and from where on more is encoded."""

SLOWEST_BYTES_S = 64 * 1024
"""How fast a message has to come, in bytes a second, while others wait for its share."""


class Wire(asyncio.BufferedProtocol):
    """The asyncio protocol of one transport. `connection` is None until the session is known.

    `dirty`: it will be flushed in this turn of the loop, or when the transport allows. `done`: what
    the transport still says is of no interest.
    """

    __slots__ = (
        "_ack_delay_s",
        "_ack_timer",
        "_busy",
        "_loop",
        "_share",
        "_share_since",
        "_timer",
        "_waits_for",
        "_writing_paused",
        "connection",
        "dirty",
        "done",
        "link",
        "messenger",
        "reader",
        "transport",
    )

    def __init__(self, messenger: Messenger, link: Link, connection: Connection | None) -> None:
        self.messenger = messenger
        self.link = link
        self.reader = link.reader
        self.connection = connection
        self.transport: asyncio.Transport | None = None
        self.dirty = False
        self.done = False
        self._loop = messenger.loop
        self._busy = False
        self._writing_paused = False
        self._waits_for: Throttle | None = None
        self._share: Ticket | None = None  # of the message of which a part is here
        self._share_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._ack_delay_s = messenger.endpoint.timings.ack_delay_s
        link.user = self
        self._arm()

    # -------------------------------------------------------------------------- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        # uvloop's transports are none of asyncio's classes, and do all that theirs do
        stream = cast("asyncio.Transport", transport)
        if self.done:  # marked down while it was connecting
            stream.abort()
            return
        self.transport = stream
        stream.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        if self.connection is None:
            peername = stream.get_extra_info("peername")
            if peername is None:  # reset by the peer before we came to accept it
                self.link.close()
                self.abort()
                return
            host, port, *_ = peername
            self.link.peer_addr = EntityAddr.of(host, port)
            self.messenger.accepted(self)
        self.link.connected(self._loop.time())
        self.process()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self.reader.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        if self.reader.buffer_updated(nbytes):
            self.process()
        else:
            self.link.last_active = self._loop.time()

    def eof_received(self) -> bool:
        """The peer will send no more; a session is both ways or not at all."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        if self.done:
            return
        self.transport = None
        self.done = True
        reason = str(exc) if exc is not None else "closed by the peer"
        self.messenger.wire_lost(self, NotConnected(reason))

    def pause_writing(self) -> None:
        """The transport holds as much as it should."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The transport wants more."""
        self._writing_paused = False
        self.flush()

    # ------------------------------------------------------------------------ the messenger's side

    def process(self) -> None:
        """Acts on everything that the link has for us, then writes."""
        if self._busy:
            return
        link = self.link
        now = link.last_active = self._loop.time()
        messenger = self.messenger
        dispatch = messenger.dispatcher.ms_dispatch
        decode = messenger.decode
        self._busy = self.dirty = True
        try:
            while (event := link.next_event(now)) is not None:
                if type(event) is not RawMessage:
                    self._on_event(event)
                    continue
                connection = self.connection
                if connection is None:
                    raise InvariantBroken("a message before its session")
                if decode is None:
                    message = event
                else:
                    try:
                        message = decode(connection, event)
                    except WireError as error:
                        if event.ticket is not None:
                            event.ticket.release()
                        link.fail(error)
                        continue
                connection.ticket = event.ticket
                dispatch(connection, message)
                ticket = connection.ticket
                if ticket is not None:
                    connection.ticket = None
                    ticket.release()
        finally:
            self._busy = self.dirty = False
        reader = self.reader
        if reader.ticket is not self._share:
            self._share = reader.ticket
            self._share_since = now
        if reader.blocked:
            self._wait_for_room()
        if self._ack_timer is None and self.transport is not None and link.owes_ack:
            self._ack_timer = self._loop.call_later(self._ack_delay_s, self._acknowledge)
        self.flush()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Failed):
            self.abort()
            self.messenger.wire_lost(self, event.error)
        else:
            self.messenger.session_event(self, event)

    def flush(self) -> None:
        """Writes what there is to write, unless the transport is full."""
        self.dirty = False
        transport = self.transport
        link = self.link
        while transport is not None and not self._writing_paused:
            buffers = link.data_to_send()
            if not buffers:
                return
            if len(buffers) == 1:
                transport.write(buffers[0])
            elif len(buffers[0]) < LARGE_SEGMENT and sum(map(len, buffers)) < LARGE_SEGMENT:
                transport.write(b"".join(buffers))
            else:
                transport.writelines(buffers)
            if not link.more:
                return

    def _acknowledge(self) -> None:
        """Tells the peer what came, unless what was sent since then has told it."""
        self._ack_timer = None
        self.link.acknowledge()
        self.flush()

    def send_keepalive(self) -> None:
        """Asks for a sign of life."""
        self.link.send_keepalive(UTime.at(self.messenger.wall_clock()))
        self.messenger.flush_soon(self)

    def abort(self) -> None:
        """Drops the transport; what it has not sent is lost."""
        self.done = True
        transport, self.transport = self.transport, None
        self.stop()
        if transport is not None:
            transport.abort()

    def close(self) -> None:
        """Closes the transport; what it holds is still sent."""
        self.done = True
        transport, self.transport = self.transport, None
        self.stop()
        if transport is not None:
            transport.close()

    def stop(self) -> None:
        """No timer and no throttle calls back any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        if self._waits_for is not None:
            self._waits_for.forget(self._room)
            self._waits_for = None

    # ----------------------------------------------------------------------- throttles and timers

    def _wait_for_room(self) -> None:
        gate = self.link.blocked_on
        throttle = gate.full if gate is not None else None
        if throttle is None or self._waits_for is not None:
            return
        self._waits_for = throttle
        throttle.when_room(self._room)
        self.messenger.starves()
        if self.transport is not None:
            self.transport.pause_reading()

    def _room(self) -> None:
        # not from here: whoever made room is in the middle of something
        self._waits_for = None
        self._loop.call_soon(self._resume_reading)

    def _resume_reading(self) -> None:
        if self._reads:
            self.process()
        if self._reads and self.transport is not None:
            self.transport.resume_reading()

    @property
    def waits_for_room(self) -> bool:
        """Whether it does not read because a throttle is full."""
        return self._waits_for is not None

    def is_stalled(self, now: float, patience_s: float) -> bool:
        """Whether it holds a share for a message that does not come, or comes too slowly."""
        share = self._share
        if share is None:
            return False
        due = self._share_since + patience_s + share.size / SLOWEST_BYTES_S
        return now >= min(due, self.link.last_active + patience_s)

    @property
    def _reads(self) -> bool:
        return self.transport is not None and self._waits_for is None

    def _arm(self) -> None:
        deadline = self.link.deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        failed = self.link.on_deadline(self._loop.time())
        if failed is not None:
            self._on_event(failed)
        else:
            self._arm()


def failure_rule(error: SpirulaError) -> str:
    """What groups failures of a kind in the log."""
    rule = getattr(error, "rule", "")
    return str(rule) if rule else type(error).__name__
