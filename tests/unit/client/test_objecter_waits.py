"""Requests that nobody serves: the objecter goes on asking for newer maps."""

from __future__ import annotations

import asyncio

from spirula.client.mon_client import MonTimings
from spirula.client.objecter.objecter import TICK_S, Objecter
from spirula.client.objecter.target import Target
from spirula.conf.config import Config, Source
from spirula.maps.osdmap import OSDMap
from spirula.messages.osd_map import MOSDMap
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import OpCode, OSDOp, RequestFlag
from spirula.types.pool import PGPool


class Loop:
    """Keeps timers for the test to run."""

    def __init__(self):
        self.timers = []

    def time(self):
        return 100.0

    def call_later(self, delay, call, *arguments):
        self.timers.append((delay, call, arguments))
        return self

    def cancel(self):
        self.timers.clear()

    def create_future(self):
        return asyncio.get_running_loop().create_future()


class Ports:
    def __init__(self):
        self.loop = Loop()
        self.wanted = []

    def wall(self):
        return 1_700_000_000.0

    def draw(self, count):
        return 0

    def want_map(self, start):
        self.wanted.append(start)


def test_a_request_without_an_osd_keeps_asking_for_a_newer_map():
    """One question is not enough: its answer may be a map that an OSD has told of before."""
    ports = Ports()
    objecter = Objecter(ports)
    objecter.maps.use(OSDMap(epoch=7, pools={1: PGPool(pg_num=1, pgp_num=1, size=3)}))
    target = Target("it", ObjectLocator(1), RequestFlag.WRITE)
    request = objecter.submit(target, [OSDOp.make(OpCode.CREATE)], lambda outcome: None)
    assert not request.was_sent
    for _ in range(3):
        ports.wanted.clear()
        ((delay, call, arguments),) = ports.loop.timers
        assert delay == TICK_S
        ports.loop.timers.clear()
        call(*arguments)
        assert ports.wanted == [8]
    objecter.cancel(request)
    ((_, call, arguments),) = ports.loop.timers
    ports.loop.timers.clear()
    call(*arguments)
    assert not ports.loop.timers


def test_who_waits_for_a_map_asks_again_when_the_answer_is_an_older_one():
    async def wait():
        ports = Ports()
        objecter = Objecter(ports)
        objecter.maps.use(OSDMap(epoch=7))
        waiting = asyncio.ensure_future(objecter.wait_for_map(9))
        await asyncio.sleep(0)
        assert ports.wanted == [8]
        objecter.on_osdmap(MOSDMap(maps={}, incremental_maps={7: b"known"}))
        assert ports.wanted == [8, 8]
        waiting.cancel()

    asyncio.run(wait())


def test_how_long_monitors_are_waited_for_is_configured():
    config = Config()
    config.set("mon_client_ping_timeout", "4", Source.FILE)
    config.set("mon_client_hunt_interval", "2", Source.FILE)
    timings = MonTimings.of(config)
    assert timings.ping_timeout_s == 4
    assert timings.hunt_interval_s == 2
    assert timings.hunt_interval_max_s == 20
    assert MonTimings.of(Config()) == MonTimings()
