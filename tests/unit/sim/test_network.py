"""What goes wrong in the simulated network goes wrong as asked, and alike for one seed."""

from __future__ import annotations

import asyncio

import pytest

from spirula.sim import (
    CallbackFailed,
    Cut,
    Faults,
    Overdue,
    SimLoop,
    Simulation,
    run_history,
)
from spirula.sim.network import Network


class Sink(asyncio.Protocol):
    def __init__(self):
        self.received = bytearray()
        self.sizes = []
        self.times = []
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        self.sizes.append(len(data))
        self.times.append(asyncio.get_running_loop().time())

    def connection_lost(self, exc):
        self.lost.set_result(exc)


class Ends:
    """A server on host b, and connections to it from host a."""

    def __init__(self, sim):
        self.sim = sim
        self.a, self.b = sim.host("a"), sim.host("b")
        self.accepted = []

    async def listen(self):
        async def serve():
            def accept():
                self.accepted.append(Sink())
                return self.accepted[-1]

            return await self.sim.loop.create_server(accept, self.b.address, 6800)

        return await self.b.start(serve())

    async def connect(self):
        async def dial():
            return await self.sim.loop.create_connection(Sink, self.b.address, 6800)

        _, client = await self.a.start(dial())
        return client

    async def pair(self):
        if not self.b.servers:
            await self.listen()
        known = len(self.accepted)
        client = await self.connect()
        await self.sim.settled(lambda: len(self.accepted) > known, every_s=0.001)
        return client, self.accepted[-1]


def run(body, seed=1, **options):
    async def with_ends(sim):
        await body(sim, Ends(sim))

    return run_history(with_ends, seed, **options)


DATA = bytes(range(256)) * 40


def test_hosts_have_addresses_and_connections_belong_to_them():
    async def body(sim, ends):
        client, other = await ends.pair()
        assert other.transport.get_extra_info("peername")[0] == ends.a.address
        assert other.transport.get_extra_info("sockname") == (ends.b.address, 6800)
        assert list(ends.a.transports) == [client.transport]
        assert list(ends.b.transports) == [other.transport]
        client.transport.close()
        await other.lost
        assert not ends.a.transports
        assert not ends.b.transports
        assert not sim.network.connections

    run(body)


def test_writes_are_cut_and_joined_at_any_byte():
    cuts, joined = set(), 0
    for seed in range(20):
        received = []

        async def body(sim, ends, received=received):
            client, other = await ends.pair()
            for n in range(0, len(DATA), 512):
                client.transport.write(DATA[n : n + 512])
            client.transport.close()
            await other.lost
            received.append(other)

        run(body, seed, faults=Faults(split=0.5, coalesce=0.5))
        assert received[0].received == DATA
        cuts |= {size % 512 for size in received[0].sizes}
        joined += any(size > 512 for size in received[0].sizes)
    assert len(cuts) > 50
    assert joined > 10


def test_loss_shows_as_delay_and_never_as_missing_bytes():
    async def body(sim, ends):
        client, other = await ends.pair()
        for n in range(0, len(DATA), 64):
            client.transport.write(DATA[n : n + 64])
        await sim.settled(lambda: len(other.received) == len(DATA))
        assert other.received == DATA
        assert other.times == sorted(other.times)
        assert max(b - a for a, b in zip(other.times, other.times[1:], strict=False)) > 0.15

    run(body, faults=Faults(loss=0.2))


def test_connections_are_reordered_against_one_another_but_not_within():
    orders = set()

    for seed in range(30):

        async def body(sim, ends):
            pairs = [await ends.pair() for _ in range(3)]
            for client, _ in pairs:
                client.transport.write(b"12345")
            await sim.settled(lambda: all(len(other.received) == 5 for _, other in pairs))
            orders.add(tuple(sorted(range(3), key=lambda n: pairs[n][1].times[-1])))

        run(body, seed)
    assert len(orders) == 6


@pytest.mark.parametrize("after", [0, 1, 100, len(DATA) - 1, len(DATA)])
def test_a_cut_lets_exactly_so_many_bytes_arrive(after):
    async def body(sim, ends):
        client, other = await ends.pair()
        client.transport.write(DATA)
        assert isinstance(await other.lost, ConnectionResetError)
        assert isinstance(await client.lost, ConnectionResetError)
        assert other.received == DATA[:after]

    run(body, cuts=(Cut(0, "server", after_bytes=after),), faults=Faults(split=0.5))


def test_a_cut_behind_a_write():
    async def body(sim, ends):
        client, other = await ends.pair()
        other.transport.write(b"first")
        other.transport.write(b"second")
        other.transport.write(b"third")
        assert isinstance(await client.lost, ConnectionResetError)
        assert client.received == b"firstsecond"
        again, other = await ends.pair()
        other.transport.write(b"whole")
        await sim.settled(lambda: again.received == b"whole")

    run(body, cuts=(Cut(0, "client", after_writes=2),))


def test_offsets_of_writes_are_recorded():
    async def body(sim, ends):
        pipes = []
        sim.network.on_connection = lambda connection: pipes.append(connection.to_server)
        client, other = await ends.pair()
        for size in (10, 20, 30):
            client.transport.write(bytes(size))
        await sim.settled(lambda: len(other.received) == 60)
        assert pipes[0].write_ends == [10, 30, 60]

    run(body, record_writes=True)


def test_random_resets_end_connections_at_random_moments():
    lengths = set()
    for seed in range(30):

        async def body(sim, ends):
            client, other = await ends.pair()
            while not client.lost.done():
                client.transport.write(b"0123456789")
                await sim.sleep(0.01)
            await other.lost
            lengths.add(len(other.received))

        run(body, seed, faults=Faults(reset=0.05))
    assert len(lengths) > 10


def test_resets_behind_writes_leave_whole_writes():
    broken = 0
    for seed in range(10):

        async def body(sim, ends):
            nonlocal broken
            client, other = await ends.pair()
            for _ in range(50):
                client.transport.write(b"0123456789")
                await sim.sleep(0.01)
            broken += client.lost.done()
            assert len(other.received) % 10 == 0

        run(body, seed, faults=Faults(reset_at_write=0.05, split=0.5))
    assert broken > 5


def test_a_partition_is_silent_and_heals():
    async def body(sim, ends):
        client, other = await ends.pair()
        sim.network.partition(ends.a, ends.b)
        client.transport.write(DATA)
        await sim.sleep(30)
        assert not other.received
        assert not client.lost.done()
        sim.network.heal()
        await sim.settled(lambda: other.received == DATA)

    run(body)


def test_one_way_partitions_let_the_other_way_through():
    async def body(sim, ends):
        client, other = await ends.pair()
        sim.network.partition(ends.a, ends.b, both_ways=False)
        client.transport.write(b"blocked")
        other.transport.write(b"open")
        await sim.settled(lambda: client.received == b"open")
        assert not other.received
        sim.network.heal_pair(ends.a, ends.b, both_ways=False)
        await sim.settled(lambda: other.received == b"blocked")

    run(body)


def test_unacknowledged_bytes_time_out_while_an_idle_connection_lives():
    async def body(sim, ends):
        busy, _ = await ends.pair()
        idle, _ = await ends.pair()
        sim.network.isolate(ends.a)
        busy.transport.write(b"?")
        await sim.sleep(59)
        assert not busy.lost.done()
        await sim.sleep(2)
        assert isinstance(busy.lost.result(), TimeoutError)
        assert not idle.lost.done()

    run(body)


def test_a_half_open_connection_answers_with_a_reset():
    async def body(sim, ends):
        client, other = await ends.pair()
        sim.network.partition(ends.a, ends.b)
        other.transport.abort()
        await other.lost
        await sim.sleep(100)
        assert not client.lost.done()
        sim.network.heal()
        client.transport.write(b"still there?")
        await client.lost

    run(body)


def test_a_writer_that_waits_for_room_learns_of_a_reset_that_it_missed():
    async def body(sim, ends):
        client, other = await ends.pair()
        other.transport.pause_reading()
        client.transport.write(bytes(1_000_000))
        await sim.sleep(1)
        assert client.transport.get_write_buffer_size() > 0
        sim.network.partition(ends.a, ends.b)
        other.transport.abort()
        await sim.sleep(20)
        assert not client.lost.done()
        sim.network.heal()
        assert isinstance(await client.lost, ConnectionResetError)
        assert not sim.network.connections

    run(body)


def test_a_writer_learns_that_the_reader_lost_power_even_behind_a_partition():
    async def body(sim, ends):
        client, _ = await ends.pair()
        ends.b.power_off()
        client.transport.write(bytes(1_000_000))
        sim.network.partition(ends.b, ends.a, both_ways=False)
        await sim.sleep(5)
        ends.b.power_on()
        await sim.sleep(5)
        assert not client.lost.done()
        sim.network.heal()
        assert isinstance(await client.lost, ConnectionResetError)

    run(body)


def test_connecting_into_a_partition_times_out_or_succeeds_after_healing():
    async def body(sim, ends):
        await ends.listen()
        sim.network.partition(ends.a, ends.b)
        began = sim.time()
        with pytest.raises(TimeoutError):
            await ends.connect()
        assert 29 < sim.time() - began < 31
        sim.loop.call_later(5, sim.network.heal)
        await ends.connect()

    run(body)


def test_connects_are_refused_at_random():
    async def body(sim, ends):
        await ends.listen()
        refused = 0
        for _ in range(100):
            try:
                await ends.connect()
            except ConnectionRefusedError:
                refused += 1
        assert 10 < refused < 50

    run(body, faults=Faults(refuse=0.3))


def test_blackholes_swallow_until_the_user_timeout():
    async def body(sim, ends):
        client, other = await ends.pair()
        client.transport.write(b"lost")
        assert isinstance(await client.lost, TimeoutError)
        assert not other.received
        assert not other.lost.done()

    run(body, faults=Faults(blackhole=1.0))


def test_a_killed_process_says_nothing_but_its_kernel_closes():
    async def body(sim, ends):
        client, other = await ends.pair()
        ends.b.kill()
        assert await client.lost is None
        assert not other.lost.done()
        with pytest.raises(ConnectionRefusedError):
            await ends.connect()
        client, other = await ends.pair()
        client.transport.write(b"to the new process")
        await sim.settled(lambda: other.received == b"to the new process")

    run(body)


def test_a_host_without_power_is_silent_and_resets_when_it_is_back():
    async def body(sim, ends):
        client, _ = await ends.pair()
        ends.b.power_off()
        client.transport.write(b"hello?")
        await sim.sleep(10)
        assert not client.lost.done()
        ends.b.power_on()
        assert isinstance(await client.lost, ConnectionResetError)

    run(body)


def test_slow_hosts_are_slow():
    async def body(sim, ends):
        ends.b.slowness = 1000.0
        client, other = await ends.pair()
        began = sim.time()
        client.transport.write(b"x")
        await sim.settled(lambda: bool(other.received))
        assert sim.time() - began > 0.09

    run(body)


def test_clocks_are_skewed_within_bounds_and_differ():
    async def body(sim, ends):
        hosts = [sim.host(f"h{n}") for n in range(20)]
        skews = [host.skew_s for host in hosts]
        assert all(-3 <= skew <= 3 for skew in skews)
        assert len(set(skews)) == 20
        before = [host.clock() for host in hosts]
        await sim.sleep(1000)
        passed = [host.clock() - was for host, was in zip(hosts, before, strict=True)]
        assert all(999.8 < each < 1000.2 for each in passed)
        assert len(set(passed)) > 10
        assert abs(hosts[0].wall_clock() - hosts[1].wall_clock()) < 7

    run(body, faults=Faults(clock_skew_s=3, clock_drift=1e-4))


def test_random_partitions_come_and_go():
    async def body(sim, ends):
        client, other = await ends.pair()
        for _ in range(600):
            client.transport.write(b".")
            await sim.sleep(0.1)
        await sim.settled(lambda: len(other.received) == 600 or client.lost.done())
        gaps = [b - a for a, b in zip(other.times, other.times[1:], strict=False)]
        assert max(gaps) > 0.5
        sim.network.calm()
        quiet = len(sim.network.trace.lines)
        await sim.sleep(1000)
        assert not [line for line in sim.network.trace.lines[quiet:] if "partition" in line]

    run(body, faults=Faults(partition=0.2, partition_s=1.0), keep_trace=True)


def test_host_randomness_depends_on_the_seed_and_the_name():
    def draw(seed, name):
        return Network(SimLoop(seed)).host(name).random_bytes(8)

    assert draw(1, "a") == draw(1, "a")
    assert len({draw(1, "a"), draw(1, "b"), draw(2, "a")}) == 3


async def chatter(sim, ends):
    clients = [await ends.pair() for _ in range(3)]
    for _ in range(200):
        client, other = sim.rng.choice(clients)
        sim.rng.choice((client, other)).transport.write(sim.rng.randbytes(sim.rng.randint(1, 999)))
        await sim.sleep(sim.rng.expovariate(100))
    sim.network.calm()
    await sim.sleep(100)


ALL_FAULTS = Faults(
    split=0.3, coalesce=0.3, loss=0.05, reset=0.001, blackhole=0.001, partition=0.5, partition_s=0.5
)


def test_one_seed_always_gives_the_same_events():
    outcomes = [run(chatter, seed, faults=ALL_FAULTS) for seed in (1, 1, 2)]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].digest != outcomes[2].digest


def test_an_endless_history_is_overdue():
    async def body(sim, ends):
        await sim.settled(lambda: False)

    with pytest.raises(Overdue):
        run(body, limit_s=100)


def test_a_task_that_fails_unattended_fails_the_history():
    async def body(sim, ends):
        async def fail():
            raise KeyError("nobody looks")

        ends.a.start(fail())
        await sim.sleep(1)

    with pytest.raises(CallbackFailed, match="nobody looks"):
        run(body)


def test_a_protocol_that_fails_fails_the_history():
    async def body(sim, ends):
        client, other = await ends.pair()
        other.data_received = lambda data: 1 / 0
        client.transport.write(b"x")
        await sim.sleep(1)

    with pytest.raises(CallbackFailed, match="ZeroDivisionError"):
        run(body)


def test_what_was_begun_goes_on_as_another_seed_says():
    outcomes = []

    def history(seed):
        sim = Simulation(0, Faults())
        one, other = sim.host("one"), sim.host("other")
        early = one.rng.random()  # its first number is the same for all
        sim.reseed(seed, Faults(clock_skew_s=5))
        outcomes.append((early, one.rng.random(), other.rng.random(), sim.rng.random(), one.skew_s))
        sim.loop.close()
        return outcomes[-1]

    assert history(1) == history(1)
    assert history(1)[0] == history(2)[0]
    assert not set(history(1)[1:]) & set(history(2)[1:])
