"""A network between our clients and their cluster that can be told to swallow whatever is sent.

Every connection that a messenger of this process makes goes through a relay, to where it was going.
While the network swallows, connections are taken and nothing is passed on; what was held back goes
on afterwards, as TCP's does when a link is mended.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from spirula.msgr.tcp import Messenger


class Network:
    """The relays, in a thread of their own; `swallow` and `mend` say how the network is."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._ports: dict[int, int] = {}
        self._servers: list[asyncio.Server] = []
        self._kept: set[asyncio.Task] = set()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    def swallow(self) -> None:
        self.loop.call_soon_threadsafe(self._passes.clear)

    def mend(self) -> None:
        self.loop.call_soon_threadsafe(self._passes.set)

    def stop(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
            for task in self._kept:
                task.cancel()
            await asyncio.gather(*self._kept, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def port_of(self, target: int) -> int:
        """Where the relay to a port of this host listens."""
        if target not in self._ports:

            async def serve(reader, writer) -> None:
                await self._passes.wait()
                with contextlib.suppress(OSError):
                    theirs = await asyncio.open_connection("127.0.0.1", target)
                    await asyncio.gather(
                        self._pass_on(reader, theirs[1]), self._pass_on(theirs[0], writer)
                    )

            def accept(reader, writer) -> None:
                task = self.loop.create_task(serve(reader, writer))
                self._kept.add(task)
                task.add_done_callback(lambda done: (self._kept.discard(done), writer.close()))

            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            self._servers.append(server)
            self._ports[target] = server.sockets[0].getsockname()[1]
        return self._ports[target]

    async def _pass_on(self, reader, writer) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@contextlib.contextmanager
def swallowing_network(monkeypatch) -> Iterator[Network]:
    network = Network()
    connect = Messenger._connect

    async def through(self, wire, target) -> None:
        asked = asyncio.run_coroutine_threadsafe(network.port_of(target.port), network.loop)
        await connect(self, wire, target.with_port(await asyncio.wrap_future(asked)))

    monkeypatch.setattr(Messenger, "_connect", through)
    try:
        yield network
    finally:
        network.stop()
