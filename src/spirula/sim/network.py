"""A simulated network: hosts with addresses, servers, connections, partitions.

It gives a `SimLoop` its `create_server` and `create_connection`, over in-memory streams that
misbehave as `Faults` says, drawn from the loop's seed. Tests script it further: `partition`,
`heal`, `Cut`, `Host.kill`, `Host.power_off`. What travels inside the streams is not its business.
`sim.simulation` makes one network for each history.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import ipaddress
from collections.abc import Callable

from spirula.sim.connect import Attempt
from spirula.sim.faults import Cut, Faults
from spirula.sim.hosts import ANYWHERE, Host, SimServer
from spirula.sim.loop import CURRENT_PROCESS, SimLoop, SimulationError
from spirula.sim.pipe import Connection, Pipe
from spirula.sim.trace import Trace
from spirula.sim.transport import Address, SimTransport

_Factory = Callable[[], asyncio.BaseProtocol]

QUIET = Faults()
LOOPBACK = Faults(delay_s=0.00001, jitter_s=0.00002)


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
        self._draw_faults_of(host)
        self.hosts.append(host)
        self._by_name[name] = self._by_name[address] = host
        return host

    def _draw_faults_of(self, host: Host) -> None:
        faults, rng = self.faults, self.rng
        if host.index and faults.slow_host and rng.random() < faults.slow_host:
            host.slowness = faults.slow_factor
        if faults.clock_skew_s:
            host.skew_s = rng.uniform(-faults.clock_skew_s, faults.clock_skew_s)
        if faults.clock_drift:
            host.drift = rng.uniform(-faults.clock_drift, faults.clock_drift)

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

    def reseed(self, faults: Faults) -> None:
        """Start all random sources anew, from the loop's seed; `faults` hold from now on."""
        self.calm(faults)
        self.rng.seed(f"{self.loop.seed}/network")
        for host in self.hosts:
            host.rng.seed(f"{self.loop.seed}/host/{host.name}")
            self._draw_faults_of(host)
        if faults.partition:
            self._plan_partition()
        self.trace.begin_anew()

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
        attempt = Attempt(
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


def _numeric(name: str, host: Host) -> str:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return host.address if host.index else "127.0.0.1"
    return name


def _sockname(address: str, port: int) -> Address:
    return (address, port, 0, 0) if ":" in address else (address, port)
