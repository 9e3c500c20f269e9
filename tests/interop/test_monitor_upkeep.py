"""What our monitor tells of its work beside a real one: counters, requests, settings."""

from __future__ import annotations

import json

from spirula.conf.perf import Histogram
from tests.unit.mon.harness import HarnessMonitor

SECTIONS = ("mon", "paxos", "cluster")


def test_counters_are_those_of_a_real_monitor(real_cluster):
    theirs = json.loads(real_cluster.run("ceph", "daemon", "mon.a", "perf", "schema"))
    collection = HarnessMonitor().mon.perf.collection
    ours = collection.dump(schema=True)
    values = collection.dump()
    shown = json.loads(real_cluster.run("ceph", "daemon", "mon.a", "perf", "dump"))
    for section in SECTIONS:
        assert list(ours[section]) == list(theirs[section])
        for name, schema in theirs[section].items():
            mine = {**ours[section][name], "description": schema["description"]}
            assert mine == schema, (section, name)
            assert not isinstance(values[section][name], Histogram)
            assert isinstance(values[section][name], dict) == isinstance(shown[section][name], dict)


def test_requests_are_told_in_the_same_shape(real_cluster):
    real_cluster.ceph("osd", "pool", "ls")
    mon = HarnessMonitor()
    mon.ok("osd pool ls")
    for command, listed in (
        ("ops", "ops"),
        ("dump_historic_ops", "ops"),
        ("dump_historic_slow_ops", "Ops"),
    ):
        theirs = json.loads(real_cluster.run("ceph", "daemon", "mon.a", command))
        ours = mon.ok(command, format="json")
        assert list(ours) == list(theirs)
        assert {k: v for k, v in ours.items() if k not in (listed, "num_ops")} == {
            k: v for k, v in theirs.items() if k not in (listed, "num_ops")
        }
        if command == "dump_historic_ops":
            mine, other = ours[listed][0], theirs[listed][0]
            assert list(mine) == list(other)
            assert list(mine["type_data"]) == list(other["type_data"])
            assert list(mine["type_data"]["info"]) == list(other["type_data"]["info"])
            first = other["type_data"]["events"][0]
            assert list(mine["type_data"]["events"][0]) == list(first)
            assert mine["type_data"]["events"][0]["event"] == first["event"] == "initiated"
    assert json.loads(real_cluster.run("ceph", "daemon", "mon.a", "smart")) == mon.ok(
        "smart", format="json"
    )
