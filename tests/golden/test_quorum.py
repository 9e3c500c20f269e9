"""The fields that our monitors set in what they say to one another are those that real ones set.

Recorded messages of each kind are compared with those of a simulated history. A field that real
monitors never set we do not set either; one that they always set we always set.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import fields

import pytest

from spirula.messages.base import decode_message
from spirula.messages.quorum import MMonElection, MMonPaxos, MMonPing, MMonProbe, MMonSync
from spirula.mon.quorum.member import Member
from spirula.mon.store import Transaction
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonFeatures, MonMap
from tests.golden.vectors import by_type
from tests.sim.quorum_world import Trouble, World, small_settings

KINDS = (MMonElection, MMonPaxos, MMonPing, MMonProbe, MMonSync)
FREE = {
    # Depends on who is there and what is stored when they speak.
    (MMonPaxos, 2): {"first_committed", "last_committed", "uncommitted_pn", "values"},
    (MMonPaxos, 1): {"first_committed", "last_committed"},
    (MMonPaxos, 3): {"last_committed"},
    (MMonPaxos, 4): {"last_committed"},
    (MMonPaxos, 6): {"first_committed", "last_committed"},
    (MMonPaxos, 7): {"first_committed", "last_committed"},
    # A follower that catches up is told versions without a number.
    (MMonPaxos, 5): {"pn"},
    # What a monitor tells of itself is the daemon's.
    (MMonElection, 2): {"metadata"},
    (MMonElection, 1): {"sharing_bl"},
    (MMonProbe, 1): {"has_ever_joined"},
    (MMonProbe, 2): {"has_ever_joined", "quorum", "leader"},
    (MMonSync, 2): {"last_committed"},
    (MMonSync, 3): {"last_committed"},
}


def is_set(value: object) -> bool:
    if isinstance(value, MonFeatures):
        return bool(value.features)
    return bool(value) and value != -1


def shape(message):
    names = (f.name for f in fields(message) if f.name != "op")
    return frozenset(name for name in names if is_set(getattr(message, name)))


def recorded():
    found = defaultdict(set)
    for kind in KINDS:
        for v in by_type()[kind.TYPE]:
            if v.run == "main":
                message = decode_message(
                    v.type, v.version, v.compat_version, v.front, features=v.features
                )
                found[kind, int(message.op)].add(shape(message))
    return found


class Listening(World):
    """A history whose messages are noted by their shape."""

    def transmit(self, sender, to, message):
        self.shapes[type(message), int(message.op)].add(shape(message))
        super().transmit(sender, to, message)


@pytest.fixture(scope="module")
def ours():
    shapes = defaultdict(set)
    for seed in range(12):
        settings = small_settings(random.Random(seed), pings=True)
        trouble = Trouble(crash_at_commit=0.01, partition_rate=0.1, late_member=True)
        world = Listening(seed, 3, trouble, settings=settings)
        world.shapes = shapes
        world.history()
    return shapes


def test_fields_that_real_monitors_never_set_are_not_set(ours):
    compared = 0
    for kind, shapes in recorded().items():
        known = frozenset().union(*shapes) | FREE.get(kind, set())
        for shape_of_ours in ours.get(kind, ()):
            assert shape_of_ours <= known, kind
            compared += 1
    assert compared > 20


def test_fields_that_real_monitors_always_set_are_set(ours):
    compared = 0
    for kind, shapes in recorded().items():
        always = frozenset.intersection(*shapes) - FREE.get(kind, set())
        for shape_of_ours in ours.get(kind, ()):
            assert shape_of_ours >= always, kind
            compared += 1
    assert compared > 20


def members_of_recorded_elections():
    for v in by_type()[MMonElection.TYPE]:
        if v.run == "main":
            message = decode_message(
                v.type, v.version, v.compat_version, v.front, features=v.features
            )
            yield v, message


def test_recorded_proposals_get_the_answer_that_the_strategy_gives():
    """A monitor of the lowest rank calls an election of its own, one of the highest defers."""
    answered = 0
    for v, proposal in members_of_recorded_elections():
        monmap = MonMap.decode(proposal.monmap_bl)
        if proposal.op != 1 or proposal.strategy != 1 or len(monmap.ranks) < 3:
            continue
        for rank in (0, len(monmap.ranks) - 1):
            store = MemoryKeyValueStore(lambda land: land())
            store.stage(Transaction().put("monitor", "joined", 1).value)
            name = monmap.ranks[rank]
            own = MonMap.decode(proposal.monmap_bl)
            member = Member(name, EntityAddrVec(monmap.addrs(rank).addrs), own, store)
            member.start(0.0, 1e9)
            member.take()
            member.on_message(monmap.addrs(1), v.features, proposal, 1.0, 1e9 + 1)
            answers = [
                send.message for send in member.take().messages if v.type == send.message.TYPE
            ]
            assert {int(answer.op) for answer in answers} == {1 if rank == 0 else 2}
            # Whoever would win calls an election behind the one it heard of; a monitor that knows
            # of none yet is in epoch 1 already.
            behind = proposal.epoch + 2 if proposal.epoch > 1 else 1
            expected = behind if rank == 0 else proposal.epoch
            assert {answer.epoch for answer in answers} == {expected}
            answered += 1
    assert answered > 4
