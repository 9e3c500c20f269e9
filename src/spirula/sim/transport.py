"""Simulated stream connections: asyncio transports over two pipes, one for each direction.

A `Pipe` is what kernel and wire do with the bytes of one direction: it cuts them into segments,
delays, holds back, loses the connection, and counts what the receiver has not read yet. A
`SimTransport` is what asyncio's socket transport is to a protocol, call for call. `sim.network`
makes both; protocols see only the transport.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import random
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from spirula.sim.faults import Faults
from spirula.sim.loop import Process, SimLoop

if TYPE_CHECKING:
    from spirula.sim.network import Host, Network

Address = tuple[str, int] | tuple[str, int, int, int]

MAX_SEGMENT_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
HIGH_WATER_BYTES = 64 * 1024
_NOBODY = asyncio.BaseProtocol()


def reset_error() -> ConnectionResetError:
    """What a peer's reset looks like to the reader."""
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


class SimSocket:
    """The little of a socket that servers and transports are asked for."""

    def __init__(self, sockname: Address, peername: Address | None = None) -> None:
        self._sockname = sockname
        self._peername = peername
        self.options: dict[tuple[int, int], object] = {}

    def getsockname(self) -> Address:
        return self._sockname

    def getpeername(self) -> Address:
        if self._peername is None:
            raise OSError(errno.ENOTCONN, "not connected")
        return self._peername

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """Remembered, without effect."""
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int) -> object:
        return self.options.get((level, option), 0)

    def fileno(self) -> int:
        return -1


class Pipe:
    """One direction of a connection, from `source` to `sink`.

    `sent_bytes` have left the sender, `arrived_bytes` have reached the receiver's host;
    `write_ends` are the stream offsets at which calls of `write` ended, kept if the network
    records writes.
    """

    __slots__ = (
        "_acks_held",
        "_last_arrival",
        "_timeout",
        "arrived_bytes",
        "broken",
        "connection",
        "cut_after_writes",
        "cut_at",
        "faults",
        "flying_bytes",
        "held",
        "inbox",
        "inbox_bytes",
        "network",
        "outbox",
        "outbox_bytes",
        "rng",
        "sent_bytes",
        "sink",
        "sink_host",
        "source",
        "source_host",
        "write_ends",
        "writes",
        "written_bytes",
    )

    source: SimTransport
    sink: SimTransport

    def __init__(
        self,
        connection: Connection,
        source_host: Host,
        sink_host: Host,
        *,
        faults: Faults,
        first_arrival: float,
    ) -> None:
        self.connection = connection
        self.network = connection.network
        self.rng: random.Random = connection.network.rng
        self.source_host = source_host
        self.sink_host = sink_host
        self.faults = faults
        self.outbox: deque[memoryview] = deque()
        self.outbox_bytes = 0
        self.written_bytes = 0
        self.writes = 0
        self.write_ends: list[int] = []
        self.sent_bytes = 0
        self.flying_bytes = 0
        self.arrived_bytes = 0
        self.inbox: deque[memoryview] = deque()
        self.inbox_bytes = 0
        self.held: deque[memoryview | None] = deque()
        self.cut_at: int | None = None
        self.cut_after_writes: int | None = None
        self.broken = False
        self._acks_held = 0
        self._last_arrival = first_arrival
        self._timeout: asyncio.TimerHandle | None = None

    # --- the sender's side

    def put(self, pieces: Iterable[memoryview]) -> None:
        """Take over the bytes of one `write` (the caller must not change them afterwards)."""
        for piece in pieces:
            self.outbox.append(piece)
            self.outbox_bytes += len(piece)
            self.written_bytes += len(piece)
        self.writes += 1
        if self.network.record_writes:
            self.write_ends.append(self.written_bytes)
        if self.cut_at is None and (
            self.writes == self.cut_after_writes
            or (self.faults.reset_at_write and self.rng.random() < self.faults.reset_at_write)
        ):
            self.cut_at = self.written_bytes
        if self.cut_at == 0 and self.writes == 1:
            self.network.loop.call_soon(self._cut, context=self.network.context)
        self.pump()

    def pump(self) -> None:
        """Send what the window allows."""
        faults, rng = self.faults, self.rng
        while self.outbox:
            room = min(faults.window_bytes - self.flying_bytes, MAX_SEGMENT_BYTES)
            if self.cut_at is not None:
                room = min(room, self.cut_at - self.sent_bytes)
            if room <= 0:
                return
            size = min(room, self.outbox_bytes)
            if faults.split and size > 1 and rng.random() < faults.split:
                size = rng.randint(1, size if rng.random() < 0.5 else min(size, 40))
            segment = self._take(size)
            self.flying_bytes += size
            self.sent_bytes += size
            self.transmit(segment)

    def _take(self, size: int) -> memoryview:
        head = self.outbox[0]
        self.outbox_bytes -= size
        if len(head) == size:
            return self.outbox.popleft()
        if len(head) > size:
            self.outbox[0] = head[size:]
            return head[:size]
        parts = []
        while size:
            head = self.outbox.popleft()
            if len(head) > size:
                self.outbox.appendleft(head[size:])
                head = head[:size]
            parts.append(head)
            size -= len(head)
        return memoryview(b"".join(parts))

    def transmit(self, segment: memoryview | None) -> None:
        """Put a segment on the wire; None is the end of the stream."""
        network, faults, rng = self.network, self.faults, self.rng
        if self.broken:
            return
        if self.held or self.connection.blackholed or self._blocked():
            self._hold(segment)
            return
        if faults.blackhole and rng.random() < faults.blackhole:
            network.trace.event(b"blackhole", self.connection.number)
            self.connection.blackholed = True
            self._hold(segment)
            return
        delay = faults.sample_delay(rng) * self.source_host.slowness * self.sink_host.slowness
        if faults.loss:
            delay += faults.sample_retransmission(rng)
        loop = network.loop
        arrival = max(loop.time() + delay, self._last_arrival)
        self._last_arrival = arrival
        loop.call_at(arrival, self._arrive, segment, context=network.context)
        if self.sent_bytes == self.cut_at:
            loop.call_at(arrival, self._cut, context=network.context)
        elif faults.reset and rng.random() < faults.reset:
            self.connection.reset()

    def _cut(self) -> None:
        """As many bytes have arrived as were to arrive."""
        self.cut_at = None
        self.connection.reset(exact=self)
        self.pump()

    def _blocked(self) -> bool:
        return self.network.is_blocked(self.source_host, self.sink_host)

    def send_reset(self) -> None:
        """The source's host answers with a reset, behind everything it sent before."""
        if self.broken or self.connection.blackholed or self._blocked():
            return
        delay = self.faults.sample_delay(self.rng)
        arrival = max(self.network.loop.time() + delay, self._last_arrival)
        self.network.loop.call_at(arrival, self.reset_sink, context=self.network.context)

    def reset_sink(self) -> None:
        """A reset arrives (at the end that is there by then: acceptance replaces it)."""
        self.sink.fail(reset_error())

    def give_up_outbox(self) -> None:
        """Forget what was written but not sent."""
        self.outbox.clear()
        self.outbox_bytes = 0

    # --- partitions: held back, retransmitted after healing, given up after the user timeout

    def _hold(self, segment: memoryview | None) -> None:
        self.held.append(segment)
        self._watch()

    def _watch(self) -> None:
        if self._timeout is None and not self.source.gone:
            self._timeout = self.network.loop.call_later(
                self.faults.user_timeout_s, self._timed_out, context=self.network.context
            )

    def _timed_out(self) -> None:
        self._timeout = None
        self.source.fail(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))

    def release(self) -> None:
        """The path is open again: retransmit what was held, in order."""
        if self._blocked() or self.connection.blackholed:
            return
        held, self.held = self.held, deque()
        if held:
            wait = self.network.loop.time() + self.rng.random() * self.faults.retransmit_s
            self._last_arrival = max(self._last_arrival, wait)
        for segment in held:
            self.transmit(segment)
        if not self._acks_held and not self.held:
            self._stop_watching()

    def release_acks(self) -> None:
        """The way back is open again: the sender learns what was read meanwhile."""
        acked, self._acks_held = self._acks_held, 0
        if acked:
            self._acked(acked)
        if not self.held:
            self._stop_watching()

    def _stop_watching(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def dismantle(self) -> None:
        """Both ends are gone: nothing of this pipe matters any more."""
        self.broken = True
        self.held.clear()
        self._stop_watching()

    # --- the receiver's side

    def _arrive(self, segment: memoryview | None) -> None:
        if self.broken:
            return
        if not self.sink_host.powered:
            self._hold(segment)
            return
        sink = self.sink
        if segment is None:
            if not sink.gone:
                sink.on_eof()
            return
        self.arrived_bytes += len(segment)
        self.network.trace.event(
            b"deliver", self.connection.number, len(segment), zlib.crc32(segment)
        )
        if sink.gone or sink.failed:
            sink.refuse()
            return
        self.inbox.append(segment)
        self.inbox_bytes += len(segment)
        sink.on_segment()

    def read(self, size: int) -> bytes | memoryview:
        """Remove up to `size` bytes from the inbox."""
        head = self.inbox[0]
        if len(self.inbox) == 1 and len(head) <= size:
            self.inbox.clear()
            data: bytes | memoryview = head
        else:
            parts, left = [], size
            while left and self.inbox:
                head = self.inbox.popleft()
                if len(head) > left:
                    self.inbox.appendleft(head[left:])
                    head = head[:left]
                parts.append(head)
                left -= len(head)
            data = b"".join(parts)
        self.inbox_bytes -= len(data)
        self._consumed(len(data))
        return data

    def read_into(self, buffer: memoryview) -> int:
        """Move bytes from the inbox into `buffer`; how many."""
        filled, room = 0, len(buffer)
        while filled < room and self.inbox:
            head = self.inbox.popleft()
            if len(head) > room - filled:
                self.inbox.appendleft(head[room - filled :])
                head = head[: room - filled]
            buffer[filled : filled + len(head)] = head
            filled += len(head)
        self.inbox_bytes -= filled
        self._consumed(filled)
        return filled

    def _consumed(self, size: int) -> None:
        if self.network.is_blocked(self.sink_host, self.source_host) or self.connection.blackholed:
            self._acks_held += size
            self._watch()
        elif self.outbox:
            delay = self.faults.sample_delay(self.rng)
            self.network.loop.call_later(delay, self._acked, size, context=self.network.context)
        else:
            self.flying_bytes -= size

    def _acked(self, size: int) -> None:
        self.flying_bytes -= size
        if self.source.gone:
            return
        self.pump()
        self.source.on_sent()


class Connection:
    """Two ends and the two pipes between them. `number` counts connections from 0."""

    __slots__ = ("blackholed", "client", "network", "number", "server", "to_client", "to_server")

    client: SimTransport
    server: SimTransport
    to_client: Pipe
    to_server: Pipe

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        self.number = number
        self.blackholed = False

    def reset(self, exact: Pipe | None = None) -> None:
        """Break the connection; each end learns it by itself, and not while it is cut off.

        An end that learns it later still gets what is under way to it. Towards the sink of `exact`
        nothing passes any more.
        """
        network = self.network
        network.trace.event(b"reset", self.number)
        network.resets += 1
        rng, loop = network.rng, network.loop
        for pipe in (self.to_client, self.to_server):
            now = rng.random() < 0.5
            delay = pipe.faults.sample_delay(rng)
            if network.is_blocked(pipe.source_host, pipe.sink_host):
                continue
            if now or pipe is exact:
                pipe.reset_sink()
            else:
                loop.call_later(delay, pipe.reset_sink, context=network.context)

    def on_end_gone(self) -> None:
        """One end has had its last callback."""
        if self.client.gone and self.server.gone:
            self.to_client.dismantle()
            self.to_server.dismantle()
            self.network.forget(self)


class SimTransport(asyncio.Transport):
    """One end of a simulated connection, as asyncio's socket transport behaves.

    `gone` is true once nothing can reach the protocol any more (after `connection_lost`, or when
    the process or host has died).
    """

    def __init__(
        self,
        loop: SimLoop,
        connection: Connection,
        *,
        inp: Pipe,
        out: Pipe,
        sockname: Address,
        peername: Address,
        process: Process | None,
        context: contextvars.Context,
        on_gone: Callable[[SimTransport], None],
    ) -> None:
        super().__init__(
            {
                "sockname": sockname,
                "peername": peername,
                "socket": SimSocket(sockname, peername),
            }
        )
        self._loop = loop
        self.connection = connection
        self.inp = inp
        self.out = out
        self.process = process
        self.gone = False
        self.context = context
        self._on_gone = on_gone
        self._protocol: asyncio.BaseProtocol = _NOBODY
        self._stream: asyncio.Protocol | None = None
        self._buffered: asyncio.BufferedProtocol | None = None
        self._closing = False
        self._lost_scheduled = False
        self._reading_paused = False
        self._read_scheduled = False
        self._eof_arrived = False
        self._eof_delivered = False
        self._eof_written = False
        self._fin_sent = False
        self._error: OSError | None = None
        self._writing_paused = False
        self._probe_expected = False
        self._high = HIGH_WATER_BYTES
        self._low = HIGH_WATER_BYTES // 4

    def __repr__(self) -> str:
        peer = self.get_extra_info("peername")
        return f"<SimTransport {self.connection.number} to {peer}{' closing' * self._closing}>"

    @property
    def failed(self) -> bool:
        """Whether the kernel knows that the connection is broken."""
        return self._error is not None

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Attach the protocol and tell it (runs in this end's context)."""
        self.set_protocol(protocol)
        self.context.run(protocol.connection_made, self)

    # --- reading

    def is_reading(self) -> bool:
        return not self._closing and not self._reading_paused

    def pause_reading(self) -> None:
        if not self._closing:
            self._reading_paused = True

    def resume_reading(self) -> None:
        if self._closing or not self._reading_paused:
            return
        self._reading_paused = False
        if self.inp.inbox or self._eof_arrived or self._error is not None:
            self._schedule_read(0.0)

    def on_segment(self) -> None:
        """Bytes are in the inbox (called by the pipe)."""
        if self._closing or self._reading_paused or self._read_scheduled:
            return
        pipe = self.inp
        if pipe.faults.coalesce and pipe.rng.random() < pipe.faults.coalesce:
            self._schedule_read(pipe.rng.random() * 2 * pipe.faults.jitter_s)
        else:
            self.context.run(self._read_ready)

    def on_eof(self) -> None:
        """The peer's end of stream is in the inbox, behind its bytes (called by the pipe)."""
        self._eof_arrived = True
        if not self._closing and not self._reading_paused and not self._read_scheduled:
            self.context.run(self._read_ready)

    def _schedule_read(self, delay: float) -> None:
        if not self._read_scheduled:
            self._read_scheduled = True
            self._loop.call_later(delay, self._scheduled_read, context=self.context)

    def _scheduled_read(self) -> None:
        self._read_scheduled = False
        self._read_ready()

    def _read_ready(self) -> None:
        if self._closing or self._reading_paused:
            return
        if self.inp.inbox:
            try:
                self._deliver()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001  # a protocol's failure ends its connection
                self._fatal(error, "protocol failed to take received bytes")
                return
            if self.inp.inbox or self._eof_arrived or self._error is not None:
                self._schedule_read(0.0)
        elif self._eof_arrived and not self._eof_delivered:
            self._eof_delivered = True
            self._deliver_eof()
        elif self._error is not None:
            self._force_close(self._error)

    def _deliver(self) -> None:
        if self._buffered is not None:
            buffer = memoryview(self._buffered.get_buffer(-1)).cast("B")
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            self._buffered.buffer_updated(self.inp.read_into(buffer))
        elif self._stream is not None:
            self._stream.data_received(bytes(self.inp.read(READ_BYTES)))
        else:
            raise RuntimeError("data for a protocol that is neither streaming nor buffered")

    def _deliver_eof(self) -> None:
        protocol = self._buffered or self._stream
        try:
            keep_open = protocol is not None and protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  # a protocol's failure ends its connection
            self._fatal(error, "protocol.eof_received() failed")
            return
        if not keep_open:
            self.close()

    # --- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        self._write([data])

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._write(list_of_data)

    def _write(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        # Bytes that their owner could still change are copied, as the kernel would.
        views = [
            memoryview(piece if isinstance(piece, bytes) else bytes(piece))
            for piece in pieces
            if len(piece)
        ]
        if not views or self._closing or self.gone:
            return
        if self._error is not None:
            self._force_close(self._error)
            return
        self.out.put(views)
        if self.out.outbox_bytes > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def on_sent(self) -> None:
        """The pipe has taken bytes from the outbox (called by the pipe)."""
        if self.gone:
            return
        if self._writing_paused and self.out.outbox_bytes <= self._low:
            self._writing_paused = False
            self.context.run(self._protocol.resume_writing)
        if not self.out.outbox:
            if self._closing:
                self._schedule_lost(None)
            elif self._eof_written:
                self._send_fin()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._closing or self._eof_written:
            return
        self._eof_written = True
        if not self.out.outbox:
            self._send_fin()

    def _send_fin(self) -> None:
        if not self._fin_sent:
            self._fin_sent = True
            self.out.transmit(None)

    def get_write_buffer_size(self) -> int:
        return self.out.outbox_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        if self.out.outbox_bytes > high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    # --- the protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._stream = protocol if isinstance(protocol, asyncio.Protocol) else None
        self._buffered = protocol if isinstance(protocol, asyncio.BufferedProtocol) else None

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    # --- endings

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self.out.outbox:
            self._schedule_lost(None)

    def abort(self) -> None:
        self._force_close(None)

    def fail(self, error: OSError) -> None:
        """The kernel found the connection broken (called by pipe and connection).

        As with a socket, the protocol learns it when it reads or writes: at once, unless it has
        paused reading and has nothing to write.
        """
        if self.gone or self._lost_scheduled or self._error is not None:
            return
        self._error = error
        self.out.held.clear()
        if self._closing or self.out.outbox:
            self._force_close(error)
        elif not self._reading_paused:
            self._schedule_read(0.0)

    def _fatal(self, error: BaseException, message: str) -> None:
        self._loop.call_exception_handler(
            {
                "message": message,
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )
        self._force_close(error if isinstance(error, Exception) else None)

    def _force_close(self, error: Exception | None) -> None:
        self._closing = True
        self.out.give_up_outbox()
        self._schedule_lost(error)

    def _schedule_lost(self, error: Exception | None) -> None:
        if not self._lost_scheduled:
            self._lost_scheduled = True
            self._loop.call_soon(self._call_connection_lost, error, context=self.context)

    def _call_connection_lost(self, error: Exception | None) -> None:
        if self.gone:
            return
        protocol = self._protocol
        self._leave()
        protocol.connection_lost(error)

    def _leave(self) -> None:
        """Give the end back to the kernel: a reset if something was left unread, else the end."""
        self.gone = True
        self.connection.network.trace.event(b"closed", self.connection.number)
        if self._error is None:
            if self.inp.inbox:
                self.out.send_reset()
            else:
                self._send_fin()
        self.inp.inbox.clear()
        self.inp.inbox_bytes = 0
        if self.inp.outbox or self.inp.flying_bytes:
            self._expect_probe()
        self.set_protocol(_NOBODY)
        self._on_gone(self)
        self.connection.on_end_gone()

    def refuse(self) -> None:
        """Bytes came although nobody is here: a reset goes back, as soon as the way is open."""
        network, out = self.connection.network, self.out
        if network.is_blocked(out.source_host, out.sink_host) or network.is_blocked(
            out.sink_host, out.source_host
        ):
            self._expect_probe()
        else:
            out.send_reset()

    def _expect_probe(self) -> None:
        """The peer still has bytes for us: its retransmissions find out that nobody is here."""
        if not self._probe_expected:
            self._probe_expected = True
            network = self.connection.network
            delay = self.inp.faults.retransmit_s
            network.loop.call_later(delay, self._on_probe, context=network.context)

    def _on_probe(self) -> None:
        self._probe_expected = False
        if not self.inp.source.gone and not self.connection.blackholed:
            self.refuse()

    def on_process_killed(self) -> None:
        """The process died: the kernel closes for it, the protocol hears nothing."""
        if not self.gone:
            self._closing = True
            self.out.give_up_outbox()
            self._leave()

    def on_power_lost(self) -> None:
        """The host died: nobody says anything to the peer."""
        if not self.gone:
            self._closing = True
            self._error = reset_error()
            self.out.give_up_outbox()
            self.out.held.clear()
            self._leave()
