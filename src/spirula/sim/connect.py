"""How a simulated connection comes to be: request, answer, acceptance.

`sim.network` makes one `Attempt` for each `create_connection` and waits for its outcome.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spirula.sim.hosts import ANYWHERE, Host, SimServer
from spirula.sim.loop import CURRENT_PROCESS
from spirula.sim.pipe import Connection
from spirula.sim.transport import Address, SimTransport

if TYPE_CHECKING:
    from spirula.sim.network import Network

SYN_RETRY_S = 1.0


class Attempt:
    """One connect: request, answer, acceptance, with retries while nothing answers."""

    def __init__(
        self,
        network: Network,
        source: Host,
        target: Host,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
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
