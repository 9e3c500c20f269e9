"""What kernel and wire do with the bytes of one direction of a simulated connection.

A `Pipe` cuts what is written into segments, delays and loses them, holds them back while hosts are
cut off from one another, and counts what the receiver has not read yet. A `Connection` is two of
them. `sim.connect` makes both, `sim.transport` is the end that a protocol sees, and `sim.network`
says what may pass.
"""

from __future__ import annotations

import asyncio
import errno
import random
import zlib
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from spirula.sim.faults import Faults

if TYPE_CHECKING:
    from spirula.sim.hosts import Host
    from spirula.sim.network import Network
    from spirula.sim.transport import SimTransport

MAX_SEGMENT_BYTES = 64 * 1024


def reset_error() -> ConnectionResetError:
    """What a peer's reset looks like to the reader."""
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


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
