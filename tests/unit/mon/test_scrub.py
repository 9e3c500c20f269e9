"""Stores that differ are found, wherever the difference is."""

from __future__ import annotations

import pytest

from spirula.errors import Busy, TryAgain
from spirula.messages.quorum import MMonScrub, ScrubOp
from spirula.mon.quorum.state import ClusterLog
from spirula.mon.store import Transaction
from tests.unit.mon.quorum_bench import Bench, quorum_of

DAY_S = 86400.0


def filled(count, keys=7, **settings):
    """A quorum that has committed some keys."""
    benches, run = quorum_of(count, **settings)
    transaction = Transaction()
    for number in range(keys):
        transaction.put("svc", f"k{number:03}", b"v" * number)
    leader = benches[0]
    leader.member.propose(transaction.value, 1, *leader.clocks())
    run(0, leader.done())
    for bench in benches:
        bench.events.clear()
    return benches, run


def scrub(bench, run):
    bench.member.scrub(*bench.clocks())
    run(0, bench.done())
    return [(event.level, event.text) for event in bench.events if isinstance(event, ClusterLog)]


def test_equal_stores_are_told_to_be():
    benches, run = filled(3)
    ((level, text),) = scrub(benches[0], run)
    assert level == "debug"
    assert text == (
        "scrub ok on 0,1,2: ScrubResult(keys {svc=7} crc {svc="
        f"{benches[0].member.scrubbing.digest(('', ''), -1)[0].prefix_crc['svc']}}})"
    )


def test_the_checksum_is_what_a_real_monitor_finds():
    # Bytes "foo", then "bar": crc32c without inversion, begun at 0 (checked with ceph's own).
    bench = Bench(0, 1)
    bench.store.stage(Transaction().put("svc", "a", b"foo").put("svc", "b", b"bar").value)
    result, last, more = bench.member.scrubbing.digest(("", ""), 100)
    assert (last, more) == (("svc", "b"), False)
    assert result.prefix_keys == {"svc": 2}
    whole = Bench(0, 1)
    whole.store.stage(Transaction().put("svc", "a", b"foobar").value)
    assert whole.member.scrubbing.digest(("", ""), 100)[0].prefix_crc == result.prefix_crc


@pytest.mark.parametrize("most", [1, 3, 7, 100])
def test_every_key_is_looked_at_in_steps(most):
    benches, run = filled(3, mon_scrub_max_keys=most)
    lines = scrub(benches[0], run)
    assert [level for level, _ in lines] == ["debug"] * -(-7 // most)
    keys = [int(text.split("svc=")[1].split("}")[0]) for _, text in lines]
    assert sum(keys) == 7
    assert max(keys) <= most


@pytest.mark.parametrize(
    "damage",
    [
        Transaction().put("svc", "k004", b"rotten"),
        Transaction().erase("svc", "k006"),
        Transaction().put("svc", "k007", b"more"),
        Transaction().put("svc", "j", b"more"),
    ],
    ids=["changed", "lost", "added at the end", "added at the start"],
)
@pytest.mark.parametrize("most", [2, 100])
def test_any_difference_is_found_and_told(damage, most):
    benches, run = filled(3, mon_scrub_max_keys=most)
    benches[2].store.stage(damage.value)
    lines = scrub(benches[0], run)
    errors = [text for level, text in lines if level == "error"]
    assert errors[0] == "scrub mismatch"
    assert errors[1].startswith(" mon.0 ScrubResult(keys {svc=")
    assert errors[2].startswith(" mon.2 ScrubResult(keys {")
    assert not any(text.startswith(" mon.1") for text in errors)


def test_a_scrub_comes_once_a_day_and_one_at_a_time():
    benches, run = filled(3)
    leader = benches[0]
    due = leader.member.state.timers["scrub"][0]
    assert due > leader.now + DAY_S - 60
    asked = [m for _, m in leader.wait(due - leader.now) if isinstance(m, MMonScrub)]
    assert len(asked) == 2
    with pytest.raises(Busy):
        leader.member.scrub(*leader.clocks())
    leader.done()
    assert [e.text for e in leader.events if isinstance(e, ClusterLog)][-1] == (
        "scrub already in progress"
    )
    with pytest.raises(TryAgain):
        benches[1].member.scrub(*benches[1].clocks())
    assert run


def test_who_does_not_answer_is_asked_again_from_the_beginning():
    benches, run = filled(3)
    leader = benches[0]
    leader.member.scrub(*leader.clocks())
    leader.done()
    for bench in benches[1:]:
        bench.now = leader.now + 301.0
    leader.member.state.timers = {
        name: timer for name, timer in leader.member.state.timers.items() if "scrub" in name
    }
    run(0, leader.wait(301.0))
    lines = [e.text for e in leader.events if isinstance(e, ClusterLog)]
    assert lines[-1].startswith("scrub ok on 0,1,2")


def test_a_peon_at_another_version_and_strangers_are_not_heard():
    benches, _ = filled(3)
    peon = benches[1]
    version = peon.member.paxos.last_committed
    ask = MMonScrub(op=ScrubOp.SCRUB, version=version + 1, num_keys=5)
    assert peon.hear(0, ask) == []
    ask.version = version
    assert peon.hear(2, ask) == [], "not its leader"
    ((_, reply),) = peon.hear(0, ask)
    assert (reply.op, reply.num_keys, reply.key) == (ScrubOp.RESULT, 5, ("svc", "k004"))
    assert benches[0].hear(1, reply) == [], "nobody asked"


def test_a_scrub_can_be_switched_off():
    benches, _ = filled(1, mon_scrub_interval=0.0)
    assert "scrub" not in benches[0].member.state.timers
    assert scrub(benches[0], lambda *_: None)[0][1].startswith("scrub ok on 0: ")
