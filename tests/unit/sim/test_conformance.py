"""One body of tests over two networks: asyncio's own TCP on loopback, and the simulated one.

What holds for the real transport must hold for the simulated one, or histories prove nothing.
"""

from __future__ import annotations

import asyncio

import pytest

from spirula.sim import Network, SimLoop

LOOPBACK = "127.0.0.1"


def run_real(body):
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(asyncio.wait_for(body(LOOPBACK), 20))


def run_simulated(body):
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        Network(runner.get_loop())
        runner.run(body(LOOPBACK))


@pytest.fixture(params=[run_real, run_simulated], ids=["tcp", "simulated"])
def run(request):
    return request.param


class Recorder(asyncio.Protocol):
    """Remembers what it is told."""

    def __init__(self):
        self.events = []
        self.received = bytearray()
        self.transport = None
        self.made = asyncio.Event()
        self.changed = asyncio.Event()
        self.lost = asyncio.get_running_loop().create_future()
        self.keep_open = False

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")
        self.made.set()

    def data_received(self, data):
        assert isinstance(data, bytes)
        self.received += data
        if self.events[-1] != "data":
            self.events.append("data")
        self.changed.set()

    def eof_received(self):
        self.events.append("eof")
        self.changed.set()
        return self.keep_open

    def pause_writing(self):
        self.events.append("pause")
        self.changed.set()

    def resume_writing(self):
        self.events.append("resume")
        self.changed.set()

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost.set_result(exc)

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class BufferedRecorder(Recorder, asyncio.BufferedProtocol):
    """The same through `get_buffer`; seven bytes at a time."""

    data_received = None

    def get_buffer(self, sizehint):
        assert sizehint == -1
        self.buffer = bytearray(7)
        return self.buffer

    def buffer_updated(self, nbytes):
        assert 0 < nbytes <= 7
        Recorder.data_received(self, bytes(self.buffer[:nbytes]))


# A class that is both would be taken for a streaming protocol.
BufferedRecorder = type(
    "BufferedRecorder",
    (asyncio.BufferedProtocol,),
    {
        name: value
        for source in (Recorder, BufferedRecorder)
        for name, value in vars(source).items()
        if name not in ("__dict__", "__weakref__", "data_received")
    },
)


async def pair(address, client_factory=Recorder, server_factory=Recorder):
    """A server, and the protocols at both ends of one connection to it."""
    loop = asyncio.get_running_loop()
    accepted = loop.create_future()

    def accept():
        protocol = server_factory()
        accepted.set_result(protocol)
        return protocol

    server = await loop.create_server(accept, address, 0)
    port = server.sockets[0].getsockname()[1]
    _, client = await loop.create_connection(client_factory, address, port)
    other = await accepted
    await other.made.wait()
    return server, client, other


@pytest.mark.parametrize("protocol", [Recorder, BufferedRecorder])
def test_bytes_arrive_in_order_and_the_end_is_heard(run, protocol):
    async def body(address):
        server, client, other = await pair(address, server_factory=protocol)
        client.transport.write(b"one ")
        client.transport.writelines([b"two ", bytearray(b"three "), memoryview(b"four"), b""])
        await other.until(lambda: other.received == b"one two three four")
        other.transport.write(b"answer")
        await client.until(lambda: client.received == b"answer")
        client.transport.close()
        assert client.transport.is_closing()
        assert await client.lost is None
        assert await other.lost is None
        assert client.events == ["made", "data", "lost"]
        assert other.events == ["made", "data", "eof", "lost"]
        server.close()
        await server.wait_closed()

    run(body)


def test_names_of_both_ends_agree(run):
    async def body(address):
        server, client, other = await pair(address)
        sockname = server.sockets[0].getsockname()
        assert client.transport.get_extra_info("peername") == sockname
        assert other.transport.get_extra_info("sockname") == sockname
        ends = client.transport.get_extra_info("sockname")
        assert other.transport.get_extra_info("peername") == ends
        assert ends[1] != sockname[1]
        assert client.transport.get_extra_info("socket").getpeername() == sockname
        assert client.transport.get_extra_info("nonsense", 5) == 5
        client.transport.close()
        server.close()
        await other.lost

    run(body)


def test_a_local_address_can_be_chosen(run):
    async def body(address):
        loop = asyncio.get_running_loop()
        accepted = asyncio.Queue()

        def accept():
            accepted.put_nowait(Recorder())
            return accepted._queue[-1]

        server = await loop.create_server(accept, address, 0)
        transport, client = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()[:2], local_addr=(address, 0)
        )
        other = await accepted.get()
        await other.made.wait()
        assert transport.get_extra_info("sockname")[0] == address
        assert other.transport.get_extra_info("peername")[0] == address
        transport.close()
        await client.lost
        await other.lost
        server.close()

    run(body)


def test_nobody_listening_is_refused(run):
    async def body(address):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, address, 0)
        name = server.sockets[0].getsockname()
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, *name[:2])

    run(body)


def test_a_taken_address_is_refused(run):
    async def body(address):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, address, 0)
        with pytest.raises(OSError, match="in use"):
            await loop.create_server(Recorder, address, server.sockets[0].getsockname()[1])
        server.close()

    run(body)


def test_writing_pauses_and_resumes(run):
    async def body(address):
        server, client, other = await pair(address)
        transport = client.transport
        transport.set_write_buffer_limits(high=10_000, low=1_000)
        assert transport.get_write_buffer_limits() == (1_000, 10_000)
        other.transport.pause_reading()
        assert not other.transport.is_reading()
        sent = 0
        while "pause" not in client.events:
            transport.write(bytes(50_000))
            sent += 50_000
            await asyncio.sleep(0)
            assert sent < 50_000_000
        assert transport.get_write_buffer_size() > 10_000
        assert "resume" not in client.events
        other.transport.resume_reading()
        assert other.transport.is_reading()
        await client.until(lambda: client.events[-1] == "resume")
        assert transport.get_write_buffer_size() <= 1_000
        await other.until(lambda: len(other.received) == sent)
        assert client.events == ["made", "pause", "resume"]
        transport.close()
        await other.lost
        server.close()

    run(body)


def test_close_sends_what_was_written_and_abort_does_not(run):
    async def body(address):
        size = 20_000_000
        server, client, other = await pair(address)
        client.transport.write(bytes(size))
        assert client.transport.get_write_buffer_size() > 0
        client.transport.close()
        client.transport.close()
        assert await other.lost is None
        assert len(other.received) == size
        server.close()

        server, client, other = await pair(address)
        other.transport.pause_reading()
        client.transport.write(bytes(size))
        client.transport.abort()
        assert client.transport.get_write_buffer_size() == 0
        assert await client.lost is None
        other.transport.resume_reading()
        await other.lost
        assert len(other.received) < size
        server.close()

    run(body)


def test_what_was_changed_after_the_write_is_sent_as_it_was(run):
    async def body(address):
        server, client, other = await pair(address)
        data = bytearray(b"x" * 3_000_000)
        client.transport.write(data)
        data[:] = b"y" * len(data)
        client.transport.close()
        await other.lost
        assert set(other.received) == {ord("x")}
        assert len(other.received) == len(data)
        server.close()

    run(body)


def test_half_closed_connections_still_carry_answers(run):
    async def body(address):
        server, client, other = await pair(address)
        other.keep_open = True
        assert client.transport.can_write_eof()
        client.transport.write(b"question")
        client.transport.write_eof()
        with pytest.raises(RuntimeError):
            client.transport.write(b"more")
        await other.until(lambda: "eof" in other.events)
        assert not other.transport.is_closing()
        other.transport.write(b"answer")
        other.transport.close()
        await client.lost
        assert bytes(client.received) == b"answer"
        assert client.events == ["made", "data", "eof", "lost"]
        server.close()

    run(body)


def test_a_peer_that_reads_no_more_resets(run):
    async def body(address):
        server, client, other = await pair(address)
        other.transport.pause_reading()
        client.transport.write(b"never read")
        await asyncio.sleep(0.05)  # so that the bytes are there when the reader goes
        other.transport.abort()
        assert isinstance(await client.lost, ConnectionResetError)
        server.close()

    run(body)


def test_writing_into_a_lost_connection_is_silent(run):
    async def body(address):
        server, client, other = await pair(address)
        other.transport.close()
        await other.lost
        await client.lost
        client.transport.write(b"into the void")
        assert client.transport.get_write_buffer_size() == 0
        assert client.events == ["made", "eof", "lost"]
        server.close()

    run(body)


def test_nothing_is_delivered_after_close(run):
    async def body(address):
        server, client, other = await pair(address)
        for _ in range(10):
            other.transport.write(b"z" * 1000)
        client.transport.close()
        received = len(client.received)
        await other.lost
        assert len(client.received) == received
        assert client.events[-1] == "lost"
        server.close()

    run(body)


def test_the_protocol_can_be_exchanged(run):
    async def body(address):
        server, client, other = await pair(address)
        new = BufferedRecorder()
        new.connection_made(other.transport)
        other.transport.set_protocol(new)
        assert other.transport.get_protocol() is new
        client.transport.write(b"for the new one")
        await new.until(lambda: new.received == b"for the new one")
        assert other.received == b""
        client.transport.close()
        await new.lost
        server.close()

    run(body)


def test_a_failing_protocol_is_reported_and_its_connection_ends(run):
    class Failing(Recorder):
        def data_received(self, data):
            raise ZeroDivisionError

    async def body(address):
        contexts = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: contexts.append(context))
        server, client, other = await pair(address, server_factory=Failing)
        client.transport.write(b"boom")
        assert isinstance(await other.lost, ZeroDivisionError)
        await client.lost
        assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]
        server.close()

    run(body)


def test_streams_work(run):
    async def body(address):
        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, address, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"abc\ndef\n" * 20_000)
        await writer.drain()
        writer.write_eof()
        assert await reader.read() == b"ABC\nDEF\n" * 20_000
        writer.close()
        await writer.wait_closed()
        server.close()

    run(body)


def test_bad_arguments_are_refused(run):
    async def body(address):
        server, client, other = await pair(address)
        with pytest.raises(TypeError):
            client.transport.write("text")
        with pytest.raises(ValueError, match="must be >="):
            client.transport.set_write_buffer_limits(high=1, low=2)
        client.transport.abort()
        await other.lost
        server.close()

    run(body)
