"""Machines of a simulated network, and the servers on them.

A `Host` has an address, a clock that may be wrong, and one process at a time, which can be killed;
a `SimServer` is a listening address of one. `sim.network` makes them; tests start, kill and
power off hosts.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from spirula.sim.loop import CURRENT_PROCESS, Process
from spirula.sim.transport import Address, SimSocket, SimTransport

if TYPE_CHECKING:
    from spirula.sim.network import Network

_T = TypeVar("_T")

EPHEMERAL_PORTS = range(32768, 61000)
ANYWHERE = "0.0.0.0"  # noqa: S104  # a name to compare with: nothing real is bound to it
WALL_CLOCK_START_S = 1_700_000_000.0


class Host:
    """A machine: an address, a clock that may be wrong, and one process at a time.

    `start` runs a coroutine as (part of) the host's process; connections and servers made there
    belong to the host. `kill` ends the process as SIGKILL does, `power_off` as a pulled plug does;
    after either, `start` begins a new process.
    """

    def __init__(self, network: Network, name: str, address: str, index: int) -> None:
        self.network = network
        self.name = name
        self.address = address
        self.index = index
        self.powered = True
        self.slowness = 1.0
        self.skew_s = 0.0
        self.drift = 0.0
        self.process = Process(name, self)
        self.rng: random.Random = network.loop.rng(f"host/{name}")
        self._next_port = EPHEMERAL_PORTS.start
        self.servers: dict[tuple[str, int], SimServer] = {}
        self.transports: dict[SimTransport, None] = {}

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}>"

    def clock(self) -> float:
        """Monotonic seconds as this host counts them."""
        return self.network.loop.time() * (1.0 + self.drift)

    def wall_clock(self) -> float:
        """Seconds since 1970 as this host believes them to be."""
        return WALL_CLOCK_START_S + self.clock() + self.skew_s

    def random_bytes(self, size: int) -> bytes:
        """The host's random source, a function of the seed and the host's name."""
        return self.rng.randbytes(size)

    def context(self) -> contextvars.Context:
        """A context in which everything belongs to the host's present process."""
        context = contextvars.copy_context()
        context.run(CURRENT_PROCESS.set, self.process)
        return context

    def start(self, coro: Coroutine[Any, Any, _T], *, name: str | None = None) -> asyncio.Task[_T]:
        """Run `coro` in the host's process."""
        return self.network.loop.create_task(
            coro, name=f"{self.name}:{name or 'main'}", context=self.context()
        )

    def call(self, function: Callable[..., _T], *args: Any) -> _T:
        """Call `function` as part of the host's process, at once."""
        return self.context().run(function, *args)

    def kill(self) -> None:
        """End the process between two callbacks; its kernel closes what was open."""
        self._end_process()
        for transport in list(self.transports):
            transport.on_process_killed()

    def power_off(self) -> None:
        """End the process and the kernel; peers hear nothing, bytes to the host are lost."""
        self.powered = False
        self._end_process()
        for transport in list(self.transports):
            transport.on_power_lost()

    def power_on(self) -> None:
        """The kernel is back (and answers old connections with a reset); nothing runs yet."""
        self.powered = True
        self.network.release()

    def _end_process(self) -> None:
        self.network.trace.event(b"kill", -1, self.index)
        self.network.loop.kill(self.process)
        self.process = Process(self.name, self)
        for server in list(self.servers.values()):
            server.close()

    def free_port(self) -> int:
        """The next unused port for outgoing connections and servers on port 0."""
        used = {port for _, port in self.servers}
        while True:
            port = self._next_port
            self._next_port += 1
            if self._next_port == EPHEMERAL_PORTS.stop:
                self._next_port = EPHEMERAL_PORTS.start
            if port not in used:
                return port


class SimServer(asyncio.AbstractServer):
    """A listening address of a host; as `asyncio.Server`, with 3.12's `wait_closed`."""

    def __init__(
        self,
        network: Network,
        host: Host,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        names: list[Address],
    ) -> None:
        self.network = network
        self.host = host
        self.process = CURRENT_PROCESS.get()
        self.protocol_factory = protocol_factory
        self.context = contextvars.copy_context()
        self._names = names
        self._serving = False
        self._closed = False
        self._open: dict[SimTransport, None] = {}
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def sockets(self) -> tuple[SimSocket, ...]:
        """What is listened on, for `getsockname()`."""
        return () if self._closed else tuple(SimSocket(name) for name in self._names)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.network.loop

    def is_serving(self) -> bool:
        return self._serving

    async def start_serving(self) -> None:
        self._serving = not self._closed

    async def serve_forever(self) -> None:
        await self.start_serving()
        try:
            await self.network.loop.create_future()
        finally:
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._serving = False
        for name in self._names:
            self.host.servers.pop((name[0], name[1]), None)
        self._wake()

    def close_clients(self) -> None:
        for transport in list(self._open):
            transport.close()

    def abort_clients(self) -> None:
        for transport in list(self._open):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its connections have ended."""
        if self._closed and not self._open:
            return
        waiter = self.network.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def attach(self, transport: SimTransport) -> None:
        self._open[transport] = None

    def detach(self, transport: SimTransport) -> None:
        self._open.pop(transport, None)
        self._wake()

    def _wake(self) -> None:
        if self._closed and not self._open:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
