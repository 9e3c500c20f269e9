"""Messengers with one thing broken on purpose: histories that do not find it prove nothing."""

from __future__ import annotations

import importlib
from unittest import mock

import pytest

from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.events import PeerReset
from spirula.msgr.protocol.link import Link
from spirula.msgr.protocol.outqueue import OutQueue
from spirula.msgr.protocol.races import Verdict
from spirula.sim.histories import run_all
from spirula.types.entity import EntityType
from tests.sim import test_messenger_restarts as restarts
from tests.sim.ledger import Ledger
from tests.sim.nodes import World, any_faults

ident = importlib.import_module("spirula.msgr.protocol.ident")
SEEDS = 400
LIMIT_S = 3000.0
MAX_STEPS = 30_000


def forget_unacknowledged(queue):
    queue._sent.clear()


def replay_under_new_numbers(queue, seq):
    queue.seq = seq


def believe_too_much(queue, seq):
    while queue._sent and queue._sent[0][0] <= seq + 1:
        queue._sent.popleft()


def report_no_reset(push):
    def pushing(link, event):
        if not isinstance(event, PeerReset):
            push(link, event)

    return pushing


def verdict_instead(judge, wrong):
    def judging(*args, **kwargs):
        verdict = judge(*args, **kwargs)
        return wrong.get(verdict, verdict)

    return judging


def judging(name, wrong):
    return mock.patch.object(ident, name, verdict_instead(getattr(ident, name), wrong))


MUTANTS = {
    "what was sent is not sent again": mock.patch.object(
        OutQueue, "requeue", forget_unacknowledged
    ),
    "what had arrived is sent again under new numbers": mock.patch.object(
        OutQueue, "resume", replay_under_new_numbers
    ),
    "acknowledgements count one too many": mock.patch.object(
        OutQueue, "acknowledged", believe_too_much
    ),
    "a reset is not reported": mock.patch.object(Link, "push", report_no_reset(Link.push)),
    "both sides wait for the other in a race": judging(
        "judge_ident", {Verdict.TAKE_OVER: Verdict.WAIT}
    ),
    "a session goes on that the peer has lost": judging(
        "judge_ident", {Verdict.TAKE_OVER_RESET: Verdict.TAKE_OVER}
    ),
    "no session is ever gone on with": judging(
        "judge_reconnect", {Verdict.RESUME: Verdict.RESET_KEEP_QUEUE}
    ),
}


async def two_peers(sim):
    world = World(sim, Ledger(lossless=True))
    for _ in range(2):
        world.entity(EntityType.MON, lambda: PolicySet(Policy.lossless_peer_reuse()))
    for entity in world.entities:
        await entity.start()
    await world.chat_all()
    await world.heal()
    assert world.ledger.resets == 0
    await world.close()


async def one_of_two_dies(sim):
    world = World(sim, Ledger(lossless=True))
    _, mortal = (world.entity(EntityType.MON, restarts.noticing_peers) for _ in range(2))
    await restarts.run(sim, world, restarting=[mortal], times=2)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_histories_find_what_is_broken(mutant):
    found = []
    with MUTANTS[mutant]:
        for body in (two_peers, one_of_two_dies):
            try:
                run_all(
                    body,
                    list(range(SEEDS)),
                    name="x",
                    faults=any_faults,
                    limit_s=LIMIT_S,
                    max_steps=MAX_STEPS,
                )
            except Exception as error:  # noqa: BLE001  # whatever a broken messenger runs into
                found.append(error)
    assert found
    for error in found:
        assert "does not repeat" not in "\n".join(error.__notes__)
