"""One end of a simulated connection, as asyncio's socket transport behaves, call for call.

Protocols see only this. What happens to bytes between the two ends is `sim.pipe`'s business;
`sim.connect` makes ends, and processes and hosts that die take theirs with them.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections.abc import Callable, Iterable

from spirula.sim.loop import Process, SimLoop
from spirula.sim.pipe import Connection, Pipe, reset_error

Address = tuple[str, int] | tuple[str, int, int, int]

READ_BYTES = 256 * 1024
HIGH_WATER_BYTES = 64 * 1024
_NOBODY = asyncio.BaseProtocol()


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
