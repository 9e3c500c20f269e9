"""The config-key store: commands, and what watchers of a prefix are sent."""

from __future__ import annotations

import pytest

from spirula.messages.mon_client import MKVData
from tests.unit.mon.harness import HarnessMonitor


@pytest.fixture
def mon():
    return HarnessMonitor()


def test_values_are_bytes_and_survive_a_restart(mon):
    assert mon.command("config-key set", b"\x00\xffbin", key="a/bin").rs == "set a/bin"
    mon.ok("config-key put", key="a/text", val="x\ty")
    mon.ok("config-key set", b"not this", key="a/both", val="")
    mon = mon.restart()
    assert bytes(mon.command("config-key get", key="a/bin").data) == b"\x00\xffbin"
    assert mon.ok("config-key dump", key="a/", format="json") == {
        "a/bin": "<<< binary blob of length 5 >>>",
        "a/both": "",
        "a/text": "x\ty",
    }
    assert mon.ok("config-key ls") == '[\n    "a/bin",\n    "a/both",\n    "a/text"\n]\n'
    assert mon.command("config-key exists", key="a/text").rs == "key 'a/text' exists"
    assert mon.command("config-key rm", key="a/text").rs == "key deleted"
    assert mon.refused("config-key exists", key="a/text") == (2, "key 'a/text' doesn't exist")
    assert mon.refused("config-key get", key="a/text") == (2, "")
    assert mon.command("config-key del", key="a/text").r == 0


def test_large_values_are_refused(mon):
    text = "error: entry size limited to 65536 bytes. "
    text += "Use 'mon config key max entry size' to manually adjust"
    assert mon.refused("config-key set", b"x" * 65537, key="k") == (27, text)
    mon.ok("config set", who="mon", name="mon_config_key_max_entry_size", value="128K")
    assert mon.command("config-key set", b"x" * 65537, key="k").r == 0


def test_watchers_get_everything_first_and_then_what_changes(mon):
    mon.ok("config-key set", key="mgr/a", val="1")
    mon.ok("config-key set", key="other", val="1")
    session = mon.session("mgr.x")
    (full,) = mon.subscribe("kv:mgr/", session=session)
    assert (full.prefix, full.incremental, full.pairs) == ("mgr/", False, {"mgr/a": b"1"})
    assert full.version == mon.mon.kv.last_committed
    session.connection.sent.clear()
    mon.ok("config-key set", key="mgr/b", val="2")
    mon.ok("config-key rm", key="mgr/a")
    news = [m for m in session.connection.sent if isinstance(m, MKVData)]
    assert [(m.incremental, m.pairs) for m in news] == [
        (True, {"mgr/b": b"2"}),
        (True, {"mgr/a": None}),
    ]


def test_who_was_away_is_sent_the_changes_in_between_or_everything(mon):
    mon = HarnessMonitor({"paxos_service_trim_min": 10})
    mon.ok("config-key set", key="p/0", val="0")
    known = mon.mon.kv.last_committed
    mon.ok("config-key set", key="p/1", val="1")
    mon.ok("config-key rm", key="p/1")
    mon.ok("config-key set", key="q/1", val="1")
    (news,) = mon.subscribe("kv:p/", known + 1, onetime=True, session=mon.session("mgr.x"))
    assert (news.incremental, news.pairs) == (True, {"p/1": None})
    for number in range(100):
        mon.ok("config-key set", key="q/2", val=str(number))
    mon.advance(10.0)
    assert mon.mon.kv.first_committed > known
    session = mon.session("mgr.x")
    (news,) = mon.subscribe("kv:p/", known + 1, onetime=True, session=session)
    assert (news.incremental, news.pairs) == (False, {"p/0": b"0"})
    assert session.subscriptions == {}
