"""Slots for recovery: the more urgent come first, and take them from those who can do without."""

from __future__ import annotations

from collections import deque

import pytest

from spirula.conf.config import Config
from spirula.errors import InvariantBroken
from spirula.osd.reserver import Reserver, Reservers
from spirula.types.pg import PGId, SPGId


class World:
    """A reserver whose news come when the test lets them, and what they were."""

    def __init__(self, most=1, min_priority=0):
        self.soon = deque()
        self.news = []
        self.reserver = Reserver(self.soon.append, most, min_priority)

    def ask(self, seed, priority, *, keeps=False):
        def preempted():
            self.news.append(f"-{seed}")

        self.reserver.request(
            pg(seed),
            priority,
            lambda: self.news.append(f"+{seed}"),
            None if keeps else preempted,
        )

    def told(self):
        while self.soon:
            self.soon.popleft()()
        news, self.news = self.news, []
        return news


def pg(seed):
    return SPGId(PGId(1, seed))


def test_the_highest_comes_first_and_equals_in_their_order():
    world = World()
    world.ask(1, 255, keeps=True)
    for seed, priority in ((2, 100), (3, 180), (4, 180), (5, 140)):
        world.ask(seed, priority)
    assert world.told() == ["+1"]
    for seed in (1, 3, 4, 5):
        world.reserver.cancel(pg(seed))
    assert world.told() == ["+2"]  # the others gave up before they heard of it
    world.ask(6, 100)
    assert world.told() == []
    world.reserver.cancel(pg(2))
    assert world.told() == ["+6"]


def test_a_slot_is_taken_from_who_can_give_it_back():
    world = World(most=2)
    world.ask(1, 100)
    world.ask(2, 140, keeps=True)
    assert world.told() == ["+1", "+2"]
    world.ask(3, 100)
    assert world.told() == []  # no more urgent than the one who has it
    world.ask(4, 180)
    assert world.told() == ["-1", "+4"]
    world.ask(5, 255)
    assert world.told() == ["-4", "+5"]
    world.ask(6, 255)
    assert world.told() == []


def test_changes_of_limits_and_priorities_count_at_once():
    world = World(most=3)
    for seed, priority in ((1, 100), (2, 140), (3, 180)):
        world.ask(seed, priority)
    assert world.told() == ["+1", "+2", "+3"]
    world.reserver.set_max(1)
    assert world.told() == ["-1", "-2"]
    world.ask(4, 140)
    world.reserver.update_priority(pg(4), 254)
    assert world.told() == ["-3", "+4"]
    world.ask(5, 200)
    world.reserver.update_priority(pg(4), 150)
    assert world.told() == ["-4", "+5"]
    world.reserver.set_min_priority(201)
    assert world.told() == ["-5"]
    world.reserver.set_min_priority(0)
    world.reserver.set_max(0)
    world.ask(6, 255)
    assert world.told() == []
    assert not world.reserver.has_granted


def test_nobody_is_told_what_no_longer_holds():
    world = World()
    world.ask(1, 100)
    world.reserver.cancel(pg(1))
    assert world.told() == []
    world.ask(1, 100)
    world.told()
    world.ask(2, 200)
    world.reserver.cancel(pg(1))  # before it was told that its slot is gone
    assert world.told() == ["+2"]
    with pytest.raises(InvariantBroken):
        world.ask(2, 200)


def test_the_configuration_gives_the_limits_of_both_kinds_now_and_later():
    config, soon = Config(), deque()
    made = Reservers.watch(soon.append, config)
    made.local.request(pg(1), 180, lambda: None, lambda: None)
    made.remote.request(pg(2), 100, lambda: None)
    made.remote.request(pg(3), 190, lambda: None)
    assert made.plain()["local_reservations"] == {
        "max_allowed": 1,
        "min_priority": 0,
        "queues": [],
        "in_progress": [{"item": "1.1", "prio": 180, "can_preempt": True}],
    }
    assert made.plain()["remote_reservations"]["queues"] == [
        {"priority": 190, "items": [{"item": "1.3", "prio": 190, "can_preempt": False}]}
    ]
    config.set("osd_max_backfills", "2")
    config.set("osd_min_recovery_priority", "50")
    config.apply_changes()
    assert made.remote.has(pg(3))
    assert made.local.min_priority == 50
