"""A simulated network: hosts with addresses, servers, connections, partitions.

It gives a `SimLoop` its `create_server` and `create_connection`, over in-memory streams that
misbehave as `Faults` says, drawn from the loop's seed. Tests script it further: `partition`,
`heal`, `Cut`, `Host.kill`, `Host.power_off`. What travels inside the streams is not its business.
`sim.histories` makes one network for each history.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import ipaddress
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from spirula.sim.faults import Cut, Faults
from spirula.sim.loop import CURRENT_PROCESS, Process, SimLoop, SimulationError
from spirula.sim.trace import Trace
from spirula.sim.transport import Address, Connection, Pipe, SimSocket, SimTransport

_T = TypeVar("_T")
_Factory = Callable[[], asyncio.BaseProtocol]

EPHEMERAL_PORTS = range(32768, 61000)
ANYWHERE = "0.0.0.0"  # noqa: S104  # a name to compare with: nothing real is bound to it
SYN_RETRY_S = 1.0
WALL_CLOCK_START_S = 1_700_000_000.0

QUIET = Faults()
LOOPBACK = Faults(delay_s=0.00001, jitter_s=0.00002)


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
        self, network: Network, host: Host, protocol_factory: _Factory, names: list[Address]
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


class Network:
    """All hosts of a run and the streams between them.

    `faults` holds between any two hosts unless `set_faults` says otherwise for a pair; inside a
    host nothing goes wrong. `cuts` are scripted resets. With `record_writes` each pipe remembers
    at which offsets writes ended (`Pipe.write_ends`). `trace` has the digest of all that happened.
    """

    def __init__(
        self,
        loop: SimLoop,
        faults: Faults = QUIET,
        *,
        cuts: tuple[Cut, ...] = (),
        record_writes: bool = False,
        keep_trace: bool = False,
    ) -> None:
        self.loop = loop
        self.rng = loop.rng("network")
        self.trace = Trace(loop.time, keep=keep_trace)
        self.faults = faults
        self.record_writes = record_writes
        self.context = contextvars.Context()
        self.hosts: list[Host] = []
        self.connections: dict[int, Connection] = {}
        self.on_connection: Callable[[Connection], None] | None = None
        self._by_name: dict[str, Host] = {}
        self._pairs: dict[tuple[int, int], Faults] = {}
        self._blocked: dict[tuple[int, int], int] = {}
        self._cuts: dict[int, list[Cut]] = {}
        for cut in cuts:
            self.add_cut(cut)
        self.connections_made = 0
        self.resets = 0
        self._partition_timer: asyncio.TimerHandle | None = None
        loop.network = self
        self.local = self.host("localhost", "127.0.0.1")
        if faults.partition:
            self._plan_partition()

    # --- hosts

    def host(self, name: str, address: str | None = None) -> Host:
        """The host of that name, made at the first call (with 10.0.x.y unless told)."""
        known = self._by_name.get(name)
        if known is not None:
            return known
        index = len(self.hosts)
        address = address or f"10.0.{index // 250}.{index % 250 + 1}"
        if address in self._by_name:
            raise SimulationError(f"{address} belongs to {self._by_name[address].name} already")
        host = Host(self, name, address, index)
        faults, rng = self.faults, self.rng
        if index and faults.slow_host and rng.random() < faults.slow_host:
            host.slowness = faults.slow_factor
        if faults.clock_skew_s:
            host.skew_s = rng.uniform(-faults.clock_skew_s, faults.clock_skew_s)
        if faults.clock_drift:
            host.drift = rng.uniform(-faults.clock_drift, faults.clock_drift)
        self.hosts.append(host)
        self._by_name[name] = self._by_name[address] = host
        return host

    def current_host(self) -> Host:
        """The host whose process is running; code outside any process is on `localhost`."""
        process = CURRENT_PROCESS.get()
        owner = process.host if process is not None else None
        return owner if isinstance(owner, Host) else self.local

    def _resolve(self, name: str) -> Host:
        if name in ("localhost", "::1") or name.startswith("127."):
            return self.current_host()
        host = self._by_name.get(name)
        if host is None:
            raise OSError(errno.EHOSTUNREACH, f"no simulated host is called {name!r}")
        return host

    # --- faults

    def add_cut(self, cut: Cut) -> None:
        """Script one more reset, of a connection that is yet to come."""
        self._cuts.setdefault(cut.connection, []).append(cut)

    def set_faults(self, one: Host, other: Host, faults: Faults) -> None:
        """Let `faults` hold between two hosts, both ways, from now on."""
        for pair in ((one.index, other.index), (other.index, one.index)):
            self._pairs[pair] = faults
        self._renew_faults()

    def faults_between(self, source: Host, sink: Host) -> Faults:
        if source is sink:
            return LOOPBACK
        return self._pairs.get((source.index, sink.index), self.faults)

    def _renew_faults(self) -> None:
        for connection in list(self.connections.values()):
            for pipe in (connection.to_server, connection.to_client):
                pipe.faults = self.faults_between(pipe.source_host, pipe.sink_host)

    def calm(self, faults: Faults = QUIET) -> None:
        """End all faults: the liveness phase of a history begins. Dead connections stay dead."""
        self.trace.event(b"calm")
        self.faults = faults
        self._pairs.clear()
        self._cuts.clear()
        if self._partition_timer is not None:
            self._partition_timer.cancel()
        for host in self.hosts:
            host.slowness = 1.0
        self._renew_faults()
        for connection in list(self.connections.values()):
            for pipe in (connection.to_server, connection.to_client):
                pipe.cut_after_writes = None
        self.heal()

    def partition(self, one: Host, other: Host, *, both_ways: bool = True) -> None:
        """Silently drop what `one` sends to `other` (and back) until healed.

        Partitions nest: a pair is open again after as many `heal_pair` as there were partitions.
        """
        self.trace.event(b"partition", -1, one.index, other.index)
        pairs = [(one.index, other.index)] + [(other.index, one.index)] * both_ways
        for pair in pairs:
            self._blocked[pair] = self._blocked.get(pair, 0) + 1

    def heal_pair(self, one: Host, other: Host, *, both_ways: bool = True) -> None:
        """Undo one `partition` of the same arguments; nothing happens if all is healed."""
        self.trace.event(b"heal", -1, one.index, other.index)
        pairs = [(one.index, other.index)] + [(other.index, one.index)] * both_ways
        for pair in pairs:
            count = self._blocked.pop(pair, 0)
            if count > 1:
                self._blocked[pair] = count - 1
        self.release()

    def isolate(self, host: Host) -> None:
        """Partition `host` from every other one."""
        for other in self.hosts:
            if other is not host:
                self.partition(host, other)

    def heal(self) -> None:
        """Undo all partitions."""
        self.trace.event(b"heal")
        self._blocked.clear()
        self.release()

    def is_blocked(self, source: Host, sink: Host) -> bool:
        if (source.index, sink.index) in self._blocked:
            return True
        return not (source.powered and sink.powered)

    def release(self) -> None:
        """Retransmit what partitions held back, where the way is open again."""
        for connection in list(self.connections.values()):
            for pipe in (connection.to_server, connection.to_client):
                if pipe.held:
                    pipe.release()
                if not self.is_blocked(pipe.sink_host, pipe.source_host):
                    pipe.release_acks()

    def _plan_partition(self) -> None:
        wait = self.rng.expovariate(self.faults.partition)
        self._partition_timer = self.loop.call_later(
            wait, self._random_partition, context=self.context
        )

    def _random_partition(self) -> None:
        rng = self.rng
        if len(self.hosts) > 2:
            one, other = rng.sample(self.hosts[1:], 2)
            both_ways = rng.random() < 0.7
            self.partition(one, other, both_ways=both_ways)
            length = rng.expovariate(1.0 / self.faults.partition_s)
            self.loop.call_later(
                length, self._end_partition, one, other, both_ways, context=self.context
            )
        self._plan_partition()

    def _end_partition(self, one: Host, other: Host, both_ways: bool) -> None:
        self.heal_pair(one, other, both_ways=both_ways)

    # --- servers and connections (called by the loop)

    def listen(self, protocol_factory: _Factory, hosts: list[str], port: int) -> SimServer:
        """A server of the running process; each of `hosts` is its address or a wildcard."""
        host = self.current_host()
        names: list[Address] = []
        for name in hosts:
            wildcard = name in ("", ANYWHERE, "::")
            if not wildcard and self._resolve(name) is not host:
                raise OSError(errno.EADDRNOTAVAIL, f"{name} is not an address of {host.name}")
            port = port or host.free_port()
            address = ANYWHERE if wildcard else _numeric(name, host)
            if any(
                taken == port and (bound == address or ANYWHERE in (bound, address))
                for bound, taken in host.servers
            ):
                raise OSError(errno.EADDRINUSE, f"{host.name}: port {port} is in use")
            names.append(_sockname(address, port))
        server = SimServer(self, host, protocol_factory, names)
        for bound in names:
            host.servers[bound[0], bound[1]] = server
        return server

    async def connect(
        self,
        protocol_factory: _Factory,
        host: str,
        port: int,
        local_addr: tuple[str, int] | None,
    ) -> tuple[SimTransport, asyncio.BaseProtocol]:
        """Set up a connection; raises `OSError` as a socket's connect does."""
        source = self.current_host()
        if local_addr is not None and local_addr[0] not in ("", ANYWHERE):
            bound = self._resolve(local_addr[0])
            if bound is not source and CURRENT_PROCESS.get() is not None:
                raise OSError(
                    errno.EADDRNOTAVAIL, f"{local_addr[0]} is not an address of {source.name}"
                )
            source = bound
        target = self._resolve(host)
        loopback = target is source
        address = _numeric(host, target)
        local = "127.0.0.1" if loopback and address.startswith("127.") else source.address
        local_port = (local_addr[1] if local_addr else 0) or source.free_port()
        attempt = _Attempt(
            self,
            source,
            target,
            protocol_factory,
            sockname=_sockname(local, local_port),
            peername=_sockname(address, port),
        )
        return await attempt.outcome()

    def new_connection(
        self, client: Host, server: Host, *, client_from: float, server_from: float
    ) -> Connection:
        """The pipes of a new connection whose ends hear nothing before the given times."""
        connection = Connection(self, self.connections_made)
        self.connections_made += 1
        self.connections[connection.number] = connection
        connection.to_server = Pipe(
            connection,
            client,
            server,
            faults=self.faults_between(client, server),
            first_arrival=server_from,
        )
        connection.to_client = Pipe(
            connection,
            server,
            client,
            faults=self.faults_between(server, client),
            first_arrival=client_from,
        )
        for cut in self._cuts.get(connection.number, ()):
            pipe = connection.to_server if cut.toward == "server" else connection.to_client
            pipe.cut_at = cut.after_bytes
            pipe.cut_after_writes = cut.after_writes
        self.trace.event(b"connect", connection.number, client.index, server.index)
        if self.on_connection is not None:
            self.on_connection(connection)
        return connection

    def forget(self, connection: Connection) -> None:
        """Both ends of `connection` are gone."""
        self.connections.pop(connection.number, None)


class _Attempt:
    """One connect: request, answer, acceptance, with retries while nothing answers."""

    def __init__(
        self,
        network: Network,
        source: Host,
        target: Host,
        protocol_factory: _Factory,
        *,
        sockname: Address,
        peername: Address,
    ) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.protocol_factory = protocol_factory
        self.sockname = sockname
        self.peername = peername
        self.faults = network.faults_between(source, target)
        self.process = CURRENT_PROCESS.get()
        self.context = contextvars.copy_context()
        self.waiter: asyncio.Future[tuple[SimTransport, asyncio.BaseProtocol]] = (
            network.loop.create_future()
        )
        self._retry_s = SYN_RETRY_S
        self._give_up_at = network.loop.time() + self.faults.connect_timeout_s

    async def outcome(self) -> tuple[SimTransport, asyncio.BaseProtocol]:
        self._send()
        return await self.waiter

    def _later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        self.network.loop.call_later(delay, callback, *args, context=self.network.context)

    def _delay(self) -> float:
        delay = self.faults.sample_delay(self.network.rng)
        return delay * self.source.slowness * self.target.slowness

    def _send(self) -> None:
        if not self.waiter.done():
            lost = self.faults.loss and self.network.rng.random() < self.faults.loss
            if lost or self.network.is_blocked(self.source, self.target):
                self._retry()
            else:
                self._later(self._delay(), self._requested)

    def _retry(self) -> None:
        now = self.network.loop.time()
        if now + self._retry_s < self._give_up_at:
            self._later(self._retry_s, self._send)
            self._retry_s *= 2
        else:
            error = TimeoutError(errno.ETIMEDOUT, f"Connect call failed {self.peername}")
            self._later(self._give_up_at - now, self._fail, error)

    def _fail(self, error: OSError) -> None:
        if not self.waiter.done() and (self.process is None or self.process.alive):
            self.waiter.set_exception(error)

    def _listener(self) -> SimServer | None:
        servers = self.target.servers
        address, port = self.peername[0], self.peername[1]
        server = servers.get((address, port)) or servers.get((ANYWHERE, port))
        return server if server is not None and server.is_serving() else None

    def _requested(self) -> None:
        """The request is at the target."""
        network = self.network
        if network.is_blocked(self.target, self.source):
            self._retry()
            return
        refused = self.faults.refuse and network.rng.random() < self.faults.refuse
        delay = self._delay()
        if self._listener() is None or refused:
            network.trace.event(b"refused", -1, self.source.index, self.target.index)
            error = ConnectionRefusedError(
                errno.ECONNREFUSED, f"Connect call failed {self.peername}"
            )
            self._later(delay, self._fail, error)
        else:
            self._later(delay, self._answered)

    def _answered(self) -> None:
        """The answer is at the source: its end is open."""
        network = self.network
        if self.waiter.done() or not (self.process is None or self.process.alive):
            return
        now = network.loop.time()
        accepted_at = now + self._delay()
        connection = network.new_connection(
            self.source, self.target, client_from=accepted_at, server_from=accepted_at
        )
        transport = SimTransport(
            network.loop,
            connection,
            inp=connection.to_client,
            out=connection.to_server,
            sockname=self.sockname,
            peername=self.peername,
            process=self.process,
            context=self.context.copy(),
            on_gone=self._client_gone,
        )
        connection.client = connection.to_server.source = connection.to_client.sink = transport
        connection.server = connection.to_server.sink = connection.to_client.source = SimTransport(
            network.loop,
            connection,
            inp=connection.to_server,
            out=connection.to_client,
            sockname=self.peername,
            peername=self.sockname,
            process=None,
            context=network.context,
            on_gone=_nobody_gone,
        )
        self.source.transports[transport] = None
        network.loop.call_at(accepted_at, self._accepted, connection, context=network.context)
        protocol = self.context.copy().run(self.protocol_factory)
        transport.begin(protocol)
        self.waiter.set_result((transport, protocol))

    def _accepted(self, connection: Connection) -> None:
        """The target's side takes the connection, if it still listens."""
        placeholder = connection.server
        server = self._listener()
        if placeholder.gone:
            return
        if server is None or not self.target.powered or placeholder.failed:
            placeholder.on_process_killed()
            connection.to_client.send_reset()
            return
        transport = SimTransport(
            self.network.loop,
            connection,
            inp=connection.to_server,
            out=connection.to_client,
            sockname=self.peername,
            peername=self.sockname,
            process=server.process,
            context=server.context.copy(),
            on_gone=_server_gone(server),
        )
        connection.server = connection.to_server.sink = connection.to_client.source = transport
        self.target.transports[transport] = None
        server.attach(transport)
        transport.begin(transport.context.run(server.protocol_factory))

    def _client_gone(self, transport: SimTransport) -> None:
        self.source.transports.pop(transport, None)


def _server_gone(server: SimServer) -> Callable[[SimTransport], None]:
    def gone(transport: SimTransport) -> None:
        server.host.transports.pop(transport, None)
        server.detach(transport)

    return gone


def _nobody_gone(transport: SimTransport) -> None:
    """A connection that was never accepted belongs to no server."""


def _numeric(name: str, host: Host) -> str:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return host.address if host.index else "127.0.0.1"
    return name


def _sockname(address: str, port: int) -> Address:
    return (address, port, 0, 0) if ":" in address else (address, port)
