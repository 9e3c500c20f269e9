"""Answers that are kept must never be older than the map."""

from __future__ import annotations

from tests.unit.mon.harness import HarnessMonitor


def test_an_answer_is_as_new_as_the_last_commit():
    harness = HarnessMonitor()
    harness.ok("osd pool create", pool="one", pg_num=8)
    assert harness.ok("osd pool ls", format="json") == ["one"]
    first = harness.ok("osd dump", format="json")
    assert harness.ok("osd dump", format="json") == first
    harness.ok("osd pool create", pool="two", pg_num=8)
    assert harness.ok("osd pool ls", format="json") == ["one", "two"]
    assert harness.ok("osd dump", format="json")["epoch"] > first["epoch"]


def test_formats_and_arguments_do_not_mix():
    harness = HarnessMonitor()
    harness.ok("osd pool create", pool="one", pg_num=8)
    plain = harness.ok("osd dump")
    assert harness.ok("osd dump", format="json") != plain
    assert harness.ok("osd dump") == plain
    assert harness.ok("osd dump", format="json", epoch=1)["epoch"] == 1
    newest = harness.mon.osdmap.epoch
    assert harness.ok("osd dump", format="json")["epoch"] == newest
    assert [row["pool_name"] for row in harness.ok("osd pool ls", detail="detail", format="json")]
    assert harness.ok("osd pool ls", format="json") == ["one"]


def test_another_monitor_has_its_own_answers():
    one, other = HarnessMonitor(seed=1), HarnessMonitor(seed=2)
    one.ok("osd pool create", pool="here", pg_num=8)
    other.ok("osd pool create", pool="there", pg_num=8)
    assert one.ok("osd pool ls", format="json") == ["here"]
    assert other.ok("osd pool ls", format="json") == ["there"]


def test_a_refusal_is_not_kept():
    harness = HarnessMonitor()
    epoch = harness.mon.osdmap.epoch + 1
    assert harness.refused("osd dump", epoch=epoch)[0] == 2
    harness.ok("osd pool create", pool="one", pg_num=8)
    assert harness.ok("osd dump", format="json", epoch=epoch)["epoch"] == epoch
