"""What a monitor knows of its requests: in flight, done, slow; and its performance counters."""

from __future__ import annotations

import json

import pytest

from spirula.messages.mon_client import MLog, MMonCommand, MMonGetVersion
from spirula.mon.op_tracker import describe
from spirula.mon.services.health import checks
from spirula.types.base import UTime
from spirula.types.log import LogEntry
from spirula.types.service import HealthCheckMap
from tests.unit.mon.harness import FSID, HarnessMonitor


@pytest.fixture
def mon():
    return HarnessMonitor({"mon_op_history_slow_op_threshold": 10})


def events(op):
    return [event["event"] for event in op["type_data"]["events"]]


def test_done_requests_are_kept_with_what_happened_to_them(mon):
    mon.ok("status")
    mon.ok("osd pool create", pool="x", pg_num=8)
    history = mon.ok("dump_historic_ops", format="json")
    assert (history["size"], history["duration"]) == (20, 600)
    by_name = {op["description"]: op for op in history["ops"]}
    read = by_name['mon_command({"prefix": "status"} v 0)']
    assert events(read) == ["initiated", "mon:_ms_dispatch", "send_reply", "done"]
    write = next(op for name, op in by_name.items() if "pool create" in name)
    assert "wait_for_finished_proposal" in events(write)
    assert write["type_data"]["info"]["src_is_mon"] is False
    assert write["type_data"]["info"]["source"].startswith("client.4100 v1:10.1.1.1")
    assert write["duration"] <= write["age"]


def test_at_most_so_many_are_kept_those_that_took_longest(mon):
    for number in range(30):
        mon.ok("config-key set", key=f"k{number}", val="v")
    history = mon.ok("dump_historic_ops", format="json")
    assert len(history["ops"]) == 20
    mon.advance(700)
    aged = mon.ok("dump_historic_ops", format="json")["ops"]
    assert not any("config-key" in op["description"] for op in aged)


def stuck(mon):
    """A command that waits: for a manager that is not there."""
    session = mon.session()
    mon.mon.proposals.is_writeable = lambda: False
    message = MMonCommand(version=0, fsid=FSID.bytes, cmd=['{"prefix": "osd set", "key": "noup"}'])
    mon.send(message, session)
    return session


def test_requests_in_flight_and_slow_ones(mon):
    stuck(mon)
    found = mon.ok("ops", format="json")
    # The question itself is one of them.
    assert found["num_ops"] == 2
    assert "osd set" in found["ops"][0]["description"]
    assert events(found["ops"][0])[-1] == "osdmap:wait_for_writeable"
    mon.advance(40)
    del mon.mon.proposals.is_writeable
    count, oldest_s, op = mon.mon.ops.slow(mon.wall())
    assert count >= 1
    assert 40 <= oldest_s < 41
    assert "osd set" in describe(op.message)
    mon.mon.proposals.resume()
    mon.advance(1)
    slow = mon.ok("dump_historic_slow_ops", format="json")
    assert (slow["num to keep"], slow["threshold to keep"]) == (20, 10)
    assert any("osd set" in op["description"] for op in slow["Ops"])
    assert mon.mon.ops.slow(mon.wall())[0] == 0


def test_slow_requests_are_a_health_check(mon):
    session = mon.session()
    request = MMonCommand(version=0, fsid=FSID.bytes, cmd=['{"prefix": "pg dump"}'])
    mon.send(request, session)  # for the manager, and there is none
    mon.advance(65)
    health = mon.ok("health", format="json")["checks"]
    assert health["SLOW_OPS"]["severity"] == "HEALTH_WARN"
    message = health["SLOW_OPS"]["summary"]["message"]
    assert message.startswith("1 slow ops, oldest one blocked for ")
    assert message.endswith(" sec, mon.a has slow ops")
    told = [line for _, line in mon.log_lines if "slow requests" in line]
    assert '1 slow requests, the oldest is mon_command({"prefix": "pg dump"} v 0)' in told


def test_what_nobody_answers_is_done_when_nobody_holds_it(mon):
    mon.subscribe("osdmap")
    mon.send(MMonGetVersion(handle=1, what="nothing"))
    assert mon.ok("ops", format="json")["num_ops"] == 1


def test_tracking_can_be_switched_off():
    mon = HarnessMonitor({"mon_enable_op_tracker": "false"})
    mon.ok("status")
    assert mon.ok("ops", format="json") == {}
    answer = mon.command("dump_historic_ops")
    assert answer.r == 0
    assert answer.rs.startswith("op_tracker tracking is not enabled now")


def test_secrets_are_not_shown():
    def shown(**given):
        return describe(MMonCommand(version=3, fsid=FSID.bytes, cmd=[json.dumps(given)]))

    secret = shown(prefix="config set", who="mgr", name="mgr/x/password", value="hunter2")
    assert secret == "mon_command([{prefix=config set, name=mgr/x/password}] v 3)"
    secret = shown(prefix="config-key set", key="dm-crypt", val="hunter2")
    assert secret == "mon_command([{prefix=config-key set, key=dm-crypt}] v 3)"
    assert "who" in shown(prefix="config get", who="mgr")
    assert describe(MMonCommand(version=0, fsid=FSID.bytes, cmd=["config {"])).endswith("v 0)")
    entry = LogEntry(seq=7, stamp=UTime(5, 0), prio=1, msg="x")
    log = describe(MLog(version=0, fsid=FSID.bytes, entries=[entry, entry]))
    assert log == f"log(2 entries from seq 7 at {UTime(5, 0)})"


def test_counters_of_the_monitor(mon):
    before = mon.mon.perf.collection.dump()
    assert before["mon"]["election_win"] == before["mon"]["num_elections"] > 0
    assert before["paxos"]["start_leader"] == before["mon"]["election_win"]
    mon.ok("osd pool create", pool="x", pg_num=8)
    mon.advance(6)
    after = mon.mon.perf.collection.dump()
    assert after["paxos"]["begin"] > before["paxos"]["begin"]
    assert after["paxos"]["commit_bytes"]["sum"] > before["paxos"]["commit_bytes"]["sum"]
    assert after["cluster"]["osd_epoch"] == mon.mon.osdmap.epoch
    assert after["cluster"]["num_mon_quorum"] == 1
    assert after["mon"]["num_sessions"] == len(mon.mon.sessions)


def test_slow_requests_of_several_monitors_are_one_check():
    monmap = HarnessMonitor().mon.monmap
    monmap.ranks = ["a", "b", "c"]
    of_each = {
        0: HealthCheckMap(checks.slow_ops("a", 2, 31.7)),
        1: HealthCheckMap(checks.slow_ops("b", 0, 0.0)),
        2: HealthCheckMap(checks.slow_ops("c", 3, 95.0)),
    }
    found = checks.combine(of_each, monmap)["SLOW_OPS"]
    assert found.count == 5
    assert found.summary == (
        "5 slow ops, oldest one blocked for 95 sec, daemons [mon.a,mon.c] have slow ops."
    )
    del of_each[2]
    [alone] = checks.combine(of_each, monmap).values()
    assert alone.summary == "2 slow ops, oldest one blocked for 31 sec, mon.a has slow ops"
