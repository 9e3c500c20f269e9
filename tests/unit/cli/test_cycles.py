"""When an OSD's process looks at all of its objects: once it has time, or after long."""

from __future__ import annotations

import gc

import pytest

from spirula.cli import cycles
from spirula.cli.cycles import LOOK_S, PATIENCE, Cycles


class _Loop:
    """A loop with one timer, which the test lets pass."""

    def __init__(self):
        self.due = None

    def call_later(self, delay_s, call):
        assert delay_s == LOOK_S
        self.due = call
        return self

    def cancel(self):
        self.due = None

    def passes(self):
        due, self.due = self.due, None
        due()


@pytest.fixture
def process(monkeypatch):
    """A process that takes a second of CPU between two looks, with new objects each time."""
    threshold = gc.get_threshold()
    monkeypatch.setattr(cycles.gc, "freeze", lambda: None)
    monkeypatch.setattr(cycles.gc, "get_count", lambda: (5, made.new, 0))

    class Process:
        def __init__(self):
            self.loop = _Loop()
            self.new = 1
            self.cpu_s = 0.0
            self.share = 0.1
            self.collected = self.given_back = 0
            self.cycles = Cycles(self.loop, self.spend, self.collect, self.give_back)

        def spend(self):
            return self.cpu_s

        def collect(self):
            self.collected += 1
            self.new = 0

        def give_back(self):
            self.given_back += 1

        def passes(self, times=1):
            for _ in range(times):
                self.cpu_s += self.share * LOOK_S
                self.loop.passes()

    made = Process()
    made.cycles.start()
    yield made
    made.cycles.stop()
    assert made.loop.due is None
    gc.set_threshold(*threshold)


def test_all_objects_are_looked_at_once_there_is_time(process):
    process.passes(3)
    assert process.collected == 0
    process.share = 0.01
    process.passes()
    assert process.collected == 1
    process.passes(5)  # nothing is new since
    assert process.collected == 1


def test_a_process_that_is_always_busy_does_it_now_and_then(process):
    process.passes(PATIENCE - 1)
    assert process.collected == 0
    process.passes()
    assert process.collected == 1
    process.new = 1
    process.passes(PATIENCE - 1)
    assert process.collected == 1


def test_only_new_objects_are_looked_at_otherwise(process):
    assert gc.get_threshold()[0] < 100_000
    assert min(gc.get_threshold()[1:]) > 1_000_000


def test_memory_is_given_back_once_there_is_time(process):
    process.passes(PATIENCE + 1)
    assert process.given_back == 0
    process.share = 0.01
    process.passes(5)
    assert process.given_back == 1
