"""Every family of commands on a fresh real cluster and on a fresh one of ours: the same answers."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.interop.compared import Step, differences, run_steps
from tests.interop.realcluster import RealCluster, why_not
from tests.interop.spirulacluster import our_cluster, settings

# What the real cluster of these tests is made with beside upstream's defaults, for ours as well.
OPTIONS = {
    "mon allow pool delete": "true",
    "mon max pg per osd": "2000",
    "mon warn on pool no redundancy": "false",
    "osd crush chooseleaf type": "0",
    "osd pool default pg num": "8",
    "osd pool default pg autoscale mode": "off",
    "osd pool default size": "3",
    "osd pool default min size": "1",
    "mon data avail warn": "1",
    # A real monitor waits for a second between proposals; here each command waits for its own.
    "paxos propose interval": "0.05",
    "paxos min wait": "0.01",
    "auth allow insecure global id reclaim": "false",
}

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

FAMILIES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("commands_*.py")
    if "\nSTEPS = " in path.read_text()
)


@pytest.mark.interop
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_answers_as_a_real_cluster(family, tmp_path):
    steps = importlib.import_module(f"tests.interop.{family}").STEPS
    assert all(isinstance(step, Step) for step in steps)
    wrong = compare(steps, tmp_path / "real")
    for folder in ("again", "once-more"):
        if not wrong:
            break
        # A command that a client repeats, because a busy machine kept its answer for too long,
        # is told that the thing is there already. What differs each time is a difference.
        again = compare(steps, tmp_path / folder)
        wrong = [line for line in wrong if line in again]
    assert not wrong, f"{len(wrong)} differences in {len(steps)} steps:\n" + "\n".join(wrong)


def compare(steps, folder):
    """What fresh clusters, a real one in ``folder`` and one of ours, answer differently."""
    folder.mkdir()
    real = RealCluster(folder, mons=1, osds=0, managers=False, options=OPTIONS)
    try:
        real.start()
        expected = run_steps(real.conf, steps)
    finally:
        real.stop()
    with our_cluster(1, *settings(OPTIONS)) as ours:
        answers = run_steps(ours.conf, steps)
    return [
        f"{step}\n      {line}"
        for step, one, other in zip(steps, expected, answers, strict=True)
        for line in differences(step, one, other)
    ]
