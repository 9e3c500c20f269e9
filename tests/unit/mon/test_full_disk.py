"""A monitor whose store cannot commit: without room it stands aside, otherwise it ends."""

from __future__ import annotations

from spirula.errors import InputOutput, NoSpace
from spirula.messages.mon_client import MMonCommandAck
from spirula.mon.quorum.state import Phase
from tests.unit.mon.harness import HarnessMonitor

TOTAL = 1000


def disk_with(available):
    return lambda: (TOTAL, available, 10)


def write(mon, key):
    """Ask for a change; the acknowledgements that came within ten seconds."""
    mon.send_command("config-key set", key=key, val="v")
    mon.advance(10.0)
    return [m for m in mon.admin.connection.sent if isinstance(m, MMonCommandAck)]


class Asking(HarnessMonitor):
    """A monitor that is asked without waiting for its answer."""

    def send_command(self, prefix, **arguments):
        try:
            self.command(prefix, within=0.0, **arguments)
        except AssertionError as error:
            assert "no answer" in str(error)


def test_without_room_it_stands_aside_and_begins_anew_when_there_is_some():
    mon = Asking()
    begun = []
    mon.mon.ports.restart = begun.append
    mon.mon.ports.disk = disk_with(10)
    mon.store.fail(NoSpace("monitor store: full"))
    assert write(mon, "k") == [], "what is not durable is not acknowledged"
    assert mon.mon.member.state.phase is Phase.ASIDE
    assert not mon.mon.is_readable()
    assert mon.stopped is None
    assert begun == [], "one percent is less than mon_data_avail_crit"
    mon.mon.ports.disk = disk_with(100)
    mon.advance(6.0)
    assert begun == ["there is room for the store again"]
    again = mon.restart()
    assert again.command("config-key exists", key="k").r != 0
    assert again.ok("config-key set", key="k", val="w") == ""


def test_who_cannot_begin_anew_by_itself_is_ended_with_the_reason():
    mon = Asking()
    mon.mon.ports.disk = disk_with(100)
    mon.store.fail(NoSpace("monitor store: full"))
    write(mon, "k")
    assert mon.stopped == "there is room for the store again"


def test_any_other_failure_of_the_store_ends_it():
    mon = Asking()
    mon.store.fail(InputOutput("monitor store: disk I/O error"))
    write(mon, "k")
    assert "disk I/O error" in mon.stopped


def test_a_clean_stop_leaves_the_quorum_first():
    mon = HarnessMonitor()
    assert mon.mon.leave("it was stopped")
    assert mon.mon.member.state.phase is Phase.ASIDE
    assert not mon.mon.leave("it was stopped")


def test_real_peons_are_told_all_commands():
    mon = HarnessMonitor()
    told = mon.mon.commands.for_monitors()
    assert type(told).decode(mon.mon.member.state.settings.commands_bl) == told
    lines = {one.cmdstring: one for one in told.commands}
    assert lines["config-key get name=key,type=CephString"].req_perms == "r"
    assert len(lines) == len(mon.mon.commands.all())


def test_what_a_scrub_finds_is_in_the_cluster_log():
    mon = HarnessMonitor()
    mon.ok("mon scrub")
    mon.advance(2.0)
    assert "scrub ok on 0: ScrubResult(keys {auth=" in mon.ok("log last", level="debug", num=20)
