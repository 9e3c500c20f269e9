"""The simulator by itself: a protocol small enough to be seen through, under every fault.

The sender numbers its messages, sends one, and sends it again on a new connection until it is
acknowledged; the receiver takes a number once. Without the number the same histories must find
duplicates, and without the retry losses: a simulator that cannot break the broken variants would
prove nothing about the messenger.
"""

from __future__ import annotations

import asyncio
import struct

import pytest

from spirula.sim import Faults
from spirula.sim.histories import histories, run_all

MESSAGES = 12
PORT = 7000


def any_faults(rng):
    return Faults(
        jitter_s=rng.choice((0.0001, 0.01)),
        split=rng.random() * 0.5,
        coalesce=rng.random() * 0.5,
        loss=rng.choice((0, 0.05)),
        reset=rng.choice((0, 0.02, 0.1)),
        reset_at_write=rng.choice((0, 0.1)),
        blackhole=rng.choice((0, 0.02)),
        refuse=rng.choice((0, 0.2)),
        partition=rng.choice((0, 0.5)),
        partition_s=1.0,
        slow_host=0.1,
    )


class Exchange:
    """Both sides, and what was taken."""

    def __init__(self, sim, *, deduplicate=True, retry=True):
        self.sim = sim
        self.deduplicate = deduplicate
        self.retry = retry
        self.sender, self.receiver = sim.host("sender"), sim.host("receiver")
        self.taken = []
        self.writers = []
        self.last = -1

    async def serve(self):
        await asyncio.start_server(self.on_connection, self.receiver.address, PORT)

    async def on_connection(self, reader, writer):
        self.writers.append(writer)
        try:
            while True:
                (number,) = struct.unpack("<I", await reader.readexactly(4))
                if number > self.last or not self.deduplicate:
                    self.last = number
                    self.taken.append(number)
                writer.write(struct.pack("<I", number))
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            # cancelled at the end: streams of Python 3.11.7 cannot have that of their task
            writer.close()

    async def send_all(self):
        writer = None
        for number in range(MESSAGES):
            while True:
                try:
                    if writer is None:
                        reader, writer = await asyncio.open_connection(self.receiver.address, PORT)
                        self.writers.append(writer)
                    writer.write(struct.pack("<I", number))
                    async with asyncio.timeout(1.0):
                        (got,) = struct.unpack("<I", await reader.readexactly(4))
                    assert got == number
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    if writer is not None:
                        writer.transport.abort()
                        writer = None
                    await asyncio.sleep(0.1)
                    if not self.retry:
                        break
                else:
                    break
        if writer is not None:
            writer.close()

    async def run(self):
        await self.receiver.start(self.serve())
        task = self.sender.start(self.send_all())
        await self.sim.sleep(5)
        self.sim.network.calm()
        try:
            await task
        finally:
            # streams of Python 3.11.7 complain when they outlive their loop
            for writer in self.writers:
                writer.transport.abort()
            await self.sim.sleep(1)
        self.sim.note(str(self.taken))


@histories(seeds=400, faults=any_faults)
async def test_numbered_and_retried_messages_arrive_once_and_in_order(sim):
    exchange = Exchange(sim)
    await exchange.run()
    assert exchange.taken == list(range(MESSAGES))


def broken(**variant):
    async def body(sim):
        exchange = Exchange(sim, **variant)
        await exchange.run()
        assert exchange.taken == list(range(MESSAGES))

    return body


@pytest.mark.parametrize("variant", ["deduplicate", "retry"])
def test_histories_find_what_is_broken(variant):
    with pytest.raises(AssertionError) as failed:
        run_all(broken(**{variant: False}), list(range(100)), name="x", faults=any_faults)
    assert "does not repeat" not in "\n".join(failed.value.__notes__)
