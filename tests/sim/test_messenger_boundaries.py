"""A reset behind every frame.

Each seed is run undisturbed first, to learn where frames end, and then again with a connection cut
behind one of those that either end wrote: seed `s` is scenario `s % SCENARIOS`, cut behind frame
`s // SCENARIOS`. Every second seed cuts the next connection as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self
from unittest import mock

from spirula.auth.handshake import ConnectionMode
from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.channel import Channel
from spirula.msgr.wire import Wire
from spirula.sim import Cut, Faults, Simulation, run_history
from spirula.sim.histories import histories
from spirula.sim.pipe import Pipe
from spirula.types.entity import EntityType
from tests.sim.ledger import Ledger
from tests.sim.nodes import Flavour, World

FLAVOURS = (
    Flavour(ConnectionMode.CRC),
    Flavour(ConnectionMode.SECURE),
    Flavour(ConnectionMode.CRC, revision0=True),
    Flavour(ConnectionMode.SECURE, revision0=True),
    Flavour(ConnectionMode.CRC, compressed=True),
)
HISTORIES = 1000
RACES = (False, True)
SCENARIOS = len(FLAVOURS) * len(RACES)
FAULTS = Faults(split=0.3, coalesce=0.3)
SIZES = (0, 40, 300, 5000, 100_000, 7)


def peers():
    return PolicySet(Policy.lossless_peer_reuse())


async def scenario(sim: Simulation, number: int) -> None:
    """Two peers send each other messages of all sizes; one connects first, or both at once."""
    world = World(sim, Ledger(lossless=True), FLAVOURS[number // len(RACES)])
    one, other = (world.entity(EntityType.MON, peers) for _ in range(2))
    await one.start()
    await other.start()
    race = RACES[number % len(RACES)]
    for size in SIZES:
        one.send(other, bytes(size))
        if race:
            other.send(one, bytes(size))
        await sim.sleep(0.004 if race else 0.1)
        other.send(one, b"answer")
    await world.delivered()
    assert world.ledger.resets == 0
    await world.close()


class FrameEnds:
    """While it is on, notes the stream offsets at which frames end, by connection and direction."""

    def __init__(self) -> None:
        self.written: dict[Channel, list[int]] = {}
        self.places: dict[Channel, tuple[int, str]] = {}
        self.pipes: dict[Channel, Pipe] = {}
        self._on = [
            mock.patch.object(Channel, name, self._noting(getattr(Channel, name)))
            for name in ("send_banner", "send", "send_message")
        ]
        self._on.append(
            mock.patch.object(Wire, "connection_made", self._placing(Wire.connection_made))
        )

    def _noting(self, write: Callable[..., None]) -> Callable[..., None]:
        def noting(channel: Channel, *args: object) -> None:
            before = channel.queued
            write(channel, *args)
            ends = self.written.setdefault(channel, [0])
            ends.append(ends[-1] + channel.queued - before)

        return noting

    def _placing(self, made: Callable[..., None]) -> Callable[..., None]:
        def placing(wire: Wire, transport: object) -> None:
            toward = "server" if wire.link.client else "client"
            self.places[wire.link.channel] = (transport.connection.number, toward)
            self.pipes[wire.link.channel] = transport.out
            made(wire, transport)

        return placing

    def cuts(self) -> list[Cut]:
        found = [
            Cut(*self.places[channel], after_bytes=offset)
            for channel, offsets in self.written.items()
            for offset in offsets
            if offset <= self.pipes[channel].sent_bytes
        ]
        return sorted(found, key=lambda cut: (cut.connection, cut.toward, cut.after_bytes))

    def __enter__(self) -> Self:
        for patch in self._on:
            patch.start()
        return self

    def __exit__(self, *error: object) -> None:
        for patch in self._on:
            patch.stop()


def frame_ends(seed: int) -> list[Cut]:
    """Where frames end when nothing is cut."""
    with FrameEnds() as ends:
        run_history(lambda sim: scenario(sim, seed % SCENARIOS), seed, faults=FAULTS)
    return ends.cuts()


def cuts_of(seed: int) -> tuple[Cut, ...]:
    ends = frame_ends(seed)
    index = seed // SCENARIOS
    first = ends[index % len(ends)]
    if seed % 4 < 2:
        return (first,)
    again = ends[(index * 7 + seed) % len(ends)]
    return (first, Cut(first.connection + 1, again.toward, after_bytes=again.after_bytes))


def test_frame_ends_are_found():
    for number in range(SCENARIOS):
        ends = frame_ends(number)
        assert 30 < len(ends) < HISTORIES // SCENARIOS
        assert {cut.toward for cut in ends} == {"client", "server"}
        assert {cut.connection for cut in ends} == ({0, 1} if RACES[number % 2] else {0})


@histories(seeds=HISTORIES, faults=FAULTS, cuts=cuts_of)
async def test_a_reset_behind_every_frame_loses_and_repeats_nothing(sim):
    await scenario(sim, sim.seed % SCENARIOS)
    assert sim.network.resets > 0
