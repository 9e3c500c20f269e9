"""The frame of a monitor: proposals of all services, waiting, stale requests, sessions, bugs."""

from __future__ import annotations

import pytest

from spirula.commands.reply import Retry, committed, said
from spirula.commands.table import Commands
from spirula.errors import InvalidArgument
from spirula.messages.command import MPing
from spirula.messages.mon_client import (
    MMonCommand,
    MMonCommandAck,
    MMonGetMap,
    MMonGetVersion,
    MMonGetVersionReply,
    MMonMap,
)
from spirula.mon.quorum.paxos import PaxosState
from spirula.mon.request import Request
from tests.unit.mon.harness import FSID, HarnessMonitor


@pytest.fixture
def mon():
    return HarnessMonitor()


def declare(mon, handler, prefix="test it", perm="rw", owner=None):
    """A command of the test's own."""
    group = Commands("mon")
    group.add(prefix, perm=perm, help="")(handler)
    mon.mon.commands.register(owner or mon.mon.kv, [group])


def post(mon, text, session=None):
    """Send a command, and do not wait."""
    session = session or mon.session()
    message = MMonCommand(version=0, fsid=FSID.bytes, cmd=[text])
    mon.mon.dispatch(Request(mon.mon, message, session, mon.wall()))
    return session


def answers(session):
    return [one for one in session.connection.sent if isinstance(one, MMonCommandAck)]


# ---------------------------------------------------------------------------------------- proposals


def test_changes_of_several_services_are_one_proposal(mon):
    def both(service, request):
        mon.mon.kv.pending["a"] = b"1"
        mon.mon.kv.propose()
        mon.mon.osdmap.pending.new_max_osd = 17
        mon.mon.osdmap.propose()
        return committed("done")

    declare(mon, both)
    proposed = mon.mon.member.paxos.last_committed
    assert mon.command("test it").rs == "done"
    assert mon.mon.member.paxos.last_committed == proposed + 1
    assert mon.mon.osdmap.osdmap.max_osd == 17
    assert mon.mon.store.get("mon_config_key", "a") == b"1"


def test_commands_of_one_turn_share_a_proposal(mon):
    sessions = [
        post(mon, f'{{"prefix": "config-key set", "key": "k{n}", "val": "v"}}') for n in range(10)
    ]
    before = mon.mon.member.paxos.last_committed
    mon.advance(1)
    assert all(answers(one)[0].r == 0 for one in sessions)
    assert mon.mon.member.paxos.last_committed == before + 1


def test_retry_runs_again_when_what_is_pending_is_committed(mon):
    runs = []

    def patient(service, request):
        runs.append(service.last_committed)
        if len(runs) == 1:
            service.pending["x"] = b"1"
            service.propose()
            raise Retry
        return said("at last")

    declare(mon, patient)
    assert mon.command("test it").rs == "at last"
    assert runs == [runs[0], runs[0] + 1]


def test_nothing_is_prepared_while_a_proposal_is_under_way(mon):
    states = []

    def look(service, request):
        states.append((mon.mon.proposals.under_way, service.have_pending))
        return said()

    declare(mon, look)
    sessions = []
    propose = mon.mon.propose

    def proposing(transaction, token):
        if not sessions:
            sessions.append(post(mon, '{"prefix": "test it"}'))
            assert not states
        propose(transaction, token)

    mon.mon.propose = proposing
    mon.ok("config-key set", key="k", val="v")
    mon.advance(1)
    assert answers(sessions[0])
    assert states == [(None, True)]


def test_what_was_pending_when_the_quorum_is_lost_is_tried_again_once(mon):
    """Nothing of the change is left, and the command answers when there is a quorum again."""
    runs = []

    def write(service, request):
        runs.append(dict(service.pending))
        service.pending["lost"] = b"1"
        service.propose(60.0)
        return committed("written")

    declare(mon, write)
    session = post(mon, '{"prefix": "test it"}')
    assert len(runs) == 1
    mon.mon.member.step_aside("test", mon.loop.now, mon.wall())
    mon.mon.driver.pump()
    mon.advance(1)
    assert not answers(session)
    assert mon.mon.store.get("mon_config_key", "lost") is None
    mon.mon.member.rejoin(mon.loop.now, mon.wall())
    mon.mon.driver.pump()
    mon.advance(90)
    assert runs == [{}, {}]
    assert [one.rs for one in answers(session)] == ["written"]
    assert mon.mon.store.get("mon_config_key", "lost") == b"1"


# -------------------------------------------------------------------------------- stale requests


def test_the_command_of_a_client_that_has_gone_is_not_run(mon):
    runs = []

    def handler(service, request):
        runs.append(request)
        return said()

    declare(mon, handler)
    writeable = mon.mon.proposals.is_writeable
    mon.mon.proposals.is_writeable = lambda: False
    session = post(mon, '{"prefix": "test it"}')
    mon.mon.intake.close(session, "test")
    mon.mon.proposals.is_writeable = writeable
    mon.mon.proposals.resume()
    mon.advance(1)
    assert not runs
    assert session.connection.is_down
    assert mon.mon.ops.document_in_flight(mon.wall())["num_ops"] == 0


def test_a_request_is_answered_once(mon):
    def twice(service, request):
        request.reply(MMonCommandAck(version=0, r=0, rs="first", cmd=[]))
        return said("second")

    declare(mon, twice)
    session = post(mon, '{"prefix": "test it"}')
    mon.advance(1)
    assert [one.rs for one in answers(session)] == ["first"]


# -------------------------------------------------------------------------------------- sessions


def test_sessions_end_when_the_monitor_was_out_of_the_quorum_for_too_long(mon):
    session, peer = mon.session(), mon.session("mon.", number=1)
    mon.mon.member.step_aside("test", mon.loop.now, mon.wall())
    mon.mon.driver.pump()
    mon.advance(4)
    assert not session.closed
    mon.advance(15)
    assert session.closed
    assert session.connection.is_down
    assert session not in list(mon.mon.sessions)
    assert not peer.closed
    assert mon.mon.perf.session_trim.value >= 1


def test_sessions_end_when_nothing_is_heard_of_them(mon):
    silent, lively = mon.session(), mon.session()
    silent.connection.idle_since = mon.loop.now
    for _ in range(40):
        mon.advance(10)
        lively.connection.idle_since = mon.loop.now
    assert silent.closed
    assert not lively.closed


def test_who_is_not_what_it_says_it_is_gets_no_session(mon):
    class Auth:
        entity, allow_all, caps, session, global_id = "client.x", False, {"mon": b""}, None, 7

    connection = mon.session().connection
    connection.auth, connection.peer_type = Auth(), 1  # a monitor, with a client's key
    connection.peer_addrs = "v1:1.2.3.4:0/1"
    connection.priv = None
    mon.mon.intake.ms_handle_accept(connection)
    assert connection.is_down
    assert connection.priv is None


# ------------------------------------------------------------------------------------- the rest


def test_what_is_asked_without_commands(mon):
    assert isinstance(mon.send(MMonGetMap())[0], MMonMap)
    [reply] = mon.send(MMonGetVersion(handle=5, what="osdmap"))
    assert isinstance(reply, MMonGetVersionReply)
    assert (reply.handle, reply.map_version) == (5, mon.mon.osdmap.last_committed)
    assert '"mon_status"' in mon.send(MPing(""))[0].answer
    nobody = mon.session("client.x", "")
    assert mon.send(MMonGetVersion(handle=5, what="osdmap"), nobody) == []


# -------------------------------------------------------------------------------- bugs of our own


def bug(service, request):
    service.pending["half"] = b"done"
    service.propose()
    mon_osdmap = request.monitor.osdmap
    mon_osdmap.pending.new_max_osd = 99
    mon_osdmap.propose()
    raise KeyError("a bug")


def test_a_bug_in_a_command_is_answered_logged_and_leaves_nothing_behind(mon):
    declare(mon, bug)
    answer = mon.command("test it")
    assert (answer.r, answer.rs) == (-5, "internal error: KeyError; see the log of mon.a")
    logged = "\n".join(text for level, text in mon.log_lines if level == -1)
    assert "Traceback" in logged
    assert "KeyError: 'a bug'" in logged
    mon.advance(10)
    assert mon.mon.store.get("mon_config_key", "half") is None
    assert mon.mon.osdmap.osdmap.max_osd != 99
    mon.ok("config-key set", key="after", val="it")
    assert mon.ok("config-key get", key="after") == "it"


def test_others_whose_changes_were_discarded_with_a_bug_are_tried_again(mon):
    declare(mon, bug)
    first = post(mon, '{"prefix": "config-key set", "key": "before", "val": "1"}')
    broken = post(mon, '{"prefix": "test it"}')
    last = post(mon, '{"prefix": "config-key set", "key": "behind", "val": "2"}')
    mon.advance(3)
    assert [[one.r for one in answers(session)] for session in (first, broken, last)] == [
        [0],
        [-5],
        [0],
    ]
    assert mon.ok("config-key get", key="before") == "1"
    assert mon.ok("config-key get", key="behind") == "2"
    assert mon.mon.store.get("mon_config_key", "half") is None


def test_what_cannot_be_written_down_is_discarded_and_answered(mon):
    def unwritable(service, request):
        service.pending["bad"] = 17  # no bytes
        service.propose()
        return committed("never")

    declare(mon, unwritable)
    answer = mon.command("test it")
    assert answer.r == -5
    assert answer.rs.startswith("internal error: ")
    mon.ok("config-key set", key="after", val="it")
    assert mon.mon.store.get("mon_config_key", "bad") is None


def test_a_bug_that_a_message_meets_ends_nothing(mon, monkeypatch):
    session = mon.session()

    def broken(request):
        raise ZeroDivisionError

    monkeypatch.setattr(mon.mon.subscriptions, "on_get_version", broken)
    mon.send(MMonGetVersion(handle=1, what="osdmap"), session)
    assert not session.closed
    assert any("ZeroDivisionError" in text for _, text in mon.log_lines)
    mon.ok("status")
    assert mon.mon.ops.document_in_flight(mon.wall())["num_ops"] == 0


def test_a_bug_in_a_tick_stops_neither_ticks_nor_other_services(mon, monkeypatch):
    ticked = []

    def broken():
        mon.mon.kv.pending["half"] = b"1"
        mon.mon.kv.propose()
        raise ZeroDivisionError

    monkeypatch.setattr(mon.mon.kv, "tick", broken)
    monkeypatch.setattr(mon.mon.mgrstat, "tick", lambda: ticked.append(mon.loop.now))
    mon.advance(20)
    assert len(ticked) >= 3
    assert mon.mon.store.get("mon_config_key", "half") is None


def test_refusals_are_no_bugs(mon):
    def refusing(service, request):
        raise InvalidArgument("no such thing")

    declare(mon, refusing)
    assert mon.refused("test it") == (22, "no such thing")
    assert not any(level == -1 for level, _ in mon.log_lines)
    assert mon.mon.member.paxos.state is PaxosState.ACTIVE
