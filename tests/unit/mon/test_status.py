"""What a member tells of itself has upstream's keys (taken from a real 16.2.15) and true values."""

from __future__ import annotations

import json

import pytest

from spirula.errors import InvalidArgument
from spirula.messages.quorum import MMonProbe, MMonSync, ProbeOp, SyncOp
from spirula.mon.quorum import status
from spirula.mon.quorum.bootstrap import hint_of, hint_of_vector, with_initial_members
from spirula.mon.quorum.state import MonMapLearned, Phase
from spirula.mon.store import get_number
from spirula.types.entity import EntityAddrVec, EntityType
from spirula.types.mon import ElectionStrategy, FeatureMap, MonFeature, MonFeatures, MonMap
from tests.unit.mon.quorum_bench import FSID, Bench, addrs_of, monmap_of, pass_time, quorum_of

PACIFIC_MON = MonFeatures(sum(bit for bit in MonFeature if bit <= MonFeature.PINGING))
REQUIRED_CON = "2449958747317026820"
"""`required_con` of a real 16.2.15."""


def test_quorum_status():
    benches, run = quorum_of(3)
    pass_time(benches, run, 7.5)
    shown = status.quorum_status(benches[1].member, benches[1].now, {"epoch": 1})
    assert list(shown) == [
        "election_epoch",
        "quorum",
        "quorum_names",
        "quorum_leader_name",
        "quorum_age",
        "features",
        "monmap",
    ]
    assert shown["quorum"] == [0, 1, 2]
    assert shown["quorum_names"] == ["a", "b", "c"]
    assert (shown["quorum_leader_name"], shown["quorum_age"]) == ("a", 13)
    assert shown["features"]["quorum_con"] == "4540138314316775423"
    assert shown["features"]["quorum_mon"][-1] == "elector-pinging"


def test_quorum_status_without_one():
    shown = status.quorum_status(Bench(0, 3).member, 100.0, {})
    assert shown["quorum"] == shown["quorum_names"] == []
    assert shown["quorum_leader_name"] == ""
    assert "quorum_age" not in shown


def test_mon_status():
    benches, _ = quorum_of(3)
    bench = benches[0]
    bench.member.state.monmap.persistent_features = PACIFIC_MON
    shown = status.mon_status(bench.member, bench.now, {"epoch": 1}, {"mon": []})
    assert list(shown) == [
        "name",
        "rank",
        "state",
        "election_epoch",
        "quorum",
        "quorum_age",
        "features",
        "outside_quorum",
        "extra_probe_peers",
        "sync_provider",
        "monmap",
        "feature_map",
        "stretch_mode",
    ]
    assert (shown["name"], shown["rank"], shown["state"]) == ("a", 0, "leader")
    assert list(shown["features"]) == ["required_con", "required_mon", "quorum_con", "quorum_mon"]
    assert shown["features"]["required_con"] == REQUIRED_CON
    bench.member.step_aside("for a test", *bench.clocks())
    shown = status.mon_status(bench.member, bench.now, {}, {})
    assert shown["state"] == "electing", "as upstream calls it after `quorum exit`"


def test_mon_status_of_one_that_copies_and_one_that_is_copied():
    provider = Bench(0, 3)
    provider.start()
    provider.hear(1, MMonSync(op=SyncOp.GET_COOKIE_FULL))
    shown = status.mon_status(provider.member, provider.now, {}, {})
    names = shown["sync_provider"].names
    assert names == ["cookie", "addrs", "timeout", "last_committed", "last_key"]
    assert shown["sync_provider"][1] == addrs_of(1).plain()
    requester = Bench(1, 3)
    requester.start()
    probe = MMonProbe(fsid=FSID, op=ProbeOp.REPLY, name="a", paxos_first_version=100)
    probe.paxos_last_version = 200
    requester.hear(0, probe)
    shown = status.mon_status(requester.member, requester.now, {}, {})
    assert shown["state"] == "synchronizing"
    assert list(shown["sync"]) == ["sync_provider", "sync_cookie", "sync_start_version"]
    assert shown["outside_quorum"] == ["b"]


def test_time_sync_status():
    benches, _ = quorum_of(3)
    shown = status.time_sync_status(benches[2].member)
    assert list(shown) == ["time_skew_status", "timechecks"]
    assert shown["time_skew_status"]["b"] == {"skew": 0.0, "latency": 0.0, "health": "HEALTH_OK"}
    assert shown["timechecks"]["round_status"] == "finished"
    benches[2].member.timecheck.skews[1] = -0.25
    shown = status.time_sync_status(benches[2].member)
    assert shown["time_skew_status"]["b"]["health"] == "HEALTH_WARN"
    assert shown["time_skew_status"]["b"]["details"] == "clock skew 0.25s > max 0.05s"
    assert "time_skew_status" not in status.time_sync_status(Bench(0, 1).member)


def test_connection_scores_are_dumped_with_names_that_repeat_and_can_be_reset():
    benches, run = quorum_of(3)
    for _ in range(3):
        pass_time(benches, run, 1.0)
    text = json.dumps(benches[0].member.scores_document())
    pairs = json.loads(text, object_pairs_hook=list)
    shown = dict(pairs)
    assert list(shown) == ["rank", "epoch", "version", "half_life", "persist_interval", "reports"]
    assert [name for name, _ in shown["reports"]] == ["report"] * 3
    mine = dict(shown["reports"][0][1])
    assert list(mine) == ["rank", "epoch", "version", "peer_scores"]
    assert [name for name, _ in mine["peer_scores"]] == ["peer"] * 2
    assert dict(mine["peer_scores"][0][1]) == {
        "peer_rank": 1,
        "peer_score": pytest.approx(1.0, abs=1e-3),
        "peer_alive": True,
    }
    benches[0].member.reset_scores(*benches[0].clocks())
    assert benches[0].member.scores_document()["reports"] == {}


def test_feature_maps_of_all_members_are_added_up():
    benches, run = quorum_of(3)
    client, mon = int(EntityType.CLIENT), int(EntityType.MON)
    for bench in benches:
        own = FeatureMap({client: {0x3F01: 2}, mon: {0x3F01: 1}})
        bench.member.paxos.feature_map = own.encode()
    pass_time(benches, run, 2.0)
    total = status.combined_feature_map(benches[0].member)
    assert total.m == {client: {0x3F01: 6}, mon: {0x3F01: 3}}


def test_a_forced_synchronisation_clears_the_store_at_the_next_start():
    benches, run = quorum_of(3)
    _, messages = benches[0].propose("k", b"v", 1)
    run(0, messages)
    peon = benches[1]
    peon.member.force_sync(*peon.clocks())
    peon.done()
    assert MonMap.decode(peon.store.get("mon_sync", "latest_monmap")) == peon.member.state.monmap
    assert peon.store.get("svc", "k") == b"v"
    again = Bench(1, 3, peon.store)
    assert again.store.get("svc", "k") is None
    assert get_number(again.store, "paxos", "accepted_pn") > 0, "promises stay"


# --- whom to look for


def test_features_of_the_map_are_required_of_connections():
    bench = Bench(0, 3, monmap=monmap_of(3, persistent_features=PACIFIC_MON))
    bench.start()
    probe = MMonProbe(fsid=FSID, op=ProbeOp.PROBE, name="b", mon_release=16)
    ((_, answer),) = bench.hear(1, probe, features=1 << 39)
    assert answer.op == ProbeOp.MISSING_FEATURES
    assert str(answer.required_features) == REQUIRED_CON


def test_initial_members_are_all_of_the_map_and_others_are_probed():
    seed = monmap_of(4)
    made, others = with_initial_members(seed, ["b", "a", "x", "y"], "x", addrs_of(7))
    assert sorted(made.mon_info) == ["a", "b", "x", "y"]
    assert others == [addrs_of(2), addrs_of(3)]
    assert made.mon_info["x"].public_addrs == addrs_of(7)
    assert made.mon_info["y"].public_addrs.addrs[0].is_blank_ip
    assert set(made.ranks) == set(made.mon_info)
    assert sorted(seed.mon_info) == ["a", "b", "c", "d"], "the seed stays as it is"


def test_hints_are_probed_unless_there_is_a_quorum():
    bench = Bench(0, 3)
    bench.start()
    hint = hint_of("10.9.9.9")
    assert bench.member.add_peer_hint(hint, *bench.clocks())
    asked = [to for to, _ in bench.wait(2.0)]
    assert hint in asked
    benches, _ = quorum_of(3)
    assert not benches[0].member.add_peer_hint(hint, *benches[0].clocks())


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("1.2.3.4", "[v2:1.2.3.4:3300/0,v1:1.2.3.4:6789/0]"),
        ("1.2.3.4:6789", "v1:1.2.3.4:6789/0"),
        ("1.2.3.4:4000", "v2:1.2.3.4:4000/0"),
        ("v1:1.2.3.4:4000", "v1:1.2.3.4:4000/0"),
    ],
)
def test_hints_name_ports_or_mean_the_usual_ones(text, means):
    assert hint_of(text) == EntityAddrVec.parse(means)


def test_hints_that_cannot_be_read_are_refused():
    with pytest.raises(InvalidArgument, match="add_bootstrap_peer_hint ip"):
        hint_of("blah")
    with pytest.raises(InvalidArgument, match="add_bootstrap_peer_hintv v2"):
        hint_of_vector("v2:blah")
    assert hint_of_vector("[v2:1.2.3.4:3300/0]").addrs[0].port == 3300


def test_a_map_that_changes_the_strategy_or_who_may_lead_makes_another_leader():
    benches, run = quorum_of(3)
    changed = monmap_of(3, strategy=ElectionStrategy.DISALLOW, disallowed_leaders={"a"})
    changed.epoch = 2
    for rank, bench in enumerate(benches):
        bench.member.take_monmap(MonMap.decode(changed.encode()), *bench.clocks())
        run(rank, bench.done())
    pass_time(benches, run, 6.0)
    assert benches[1].member.state.phase is Phase.LEADER
    assert benches[0].member.state.phase is Phase.PEON
    assert any(isinstance(event, MonMapLearned) for event in benches[0].events)
