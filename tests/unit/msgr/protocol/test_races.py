"""Who goes on when a peer connects that is already known: every branch of the decision."""

from __future__ import annotations

import pytest

from spirula.msgr.policies import Policy
from spirula.msgr.protocol.control import ClientIdent, SessionReconnect
from spirula.msgr.protocol.races import Verdict, judge_ident, judge_reconnect, msgr2_addr
from spirula.msgr.protocol.session import Session, SessionState
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityType

LOW = EntityAddrVec.parse("v2:10.0.0.1:6800/1")
HIGH = EntityAddrVec.parse("v2:10.0.0.2:6800/1")


def session(policy=None, state=SessionState.OPEN, peer=LOW, **fields):
    made = Session(policy or Policy.lossless_peer(), EntityType.OSD, peer, peer.addrs[0])
    made.state = state
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def ident(addrs=LOW, cookie=7, global_seq=5):
    return ClientIdent(addrs, HIGH.addrs[0], 1, global_seq, 0, 0, 0, cookie)


CONNECTING, STANDBY, OPEN = SessionState.CONNECTING, SessionState.STANDBY, SessionState.OPEN


@pytest.mark.parametrize(
    ("existing", "mine", "verdict"),
    [
        (session(state=SessionState.CLOSED), HIGH, Verdict.NEW),
        (session(peer_global_seq=6), HIGH, Verdict.STALE),
        (session(peer_global_seq=5, client_cookie=7, server_cookie=1), HIGH, Verdict.TAKE_OVER),
        (session(Policy.stateless_registered_server()), HIGH, Verdict.REPLACE),
        (session(client_cookie=8, server_cookie=1), HIGH, Verdict.TAKE_OVER_RESET),
        (session(client_cookie=7), HIGH, Verdict.TAKE_OVER),
        (session(state=STANDBY), HIGH, Verdict.TAKE_OVER),
        (session(state=OPEN, client_cookie=8), HIGH, Verdict.TAKE_OVER),
        (session(state=CONNECTING, client_cookie=8), HIGH, Verdict.TAKE_OVER),
        (session(state=CONNECTING, client_cookie=8), LOW, Verdict.WAIT),
        (
            session(Policy.stateful_server(), state=CONNECTING, client_cookie=8),
            LOW,
            Verdict.TAKE_OVER,
        ),
    ],
)
def test_idents(existing, mine, verdict):
    peer = LOW if mine is HIGH else HIGH
    assert judge_ident(existing, ident(peer), mine) is verdict


def reconnect(addrs=LOW, **fields):
    values = {
        "client_cookie": 7,
        "server_cookie": 9,
        "global_seq": 5,
        "connect_seq": 2,
        "msg_seq": 0,
    } | fields
    return SessionReconnect(addrs, *values.values())


def known(**fields):
    return session(**{"client_cookie": 7, "server_cookie": 9, "connect_seq": 1} | fields)


@pytest.mark.parametrize(
    ("existing", "frame", "resetcheck", "verdict"),
    [
        (None, reconnect(), True, Verdict.RESET),
        (None, reconnect(), False, Verdict.RESET),
        (known(state=SessionState.CLOSED), reconnect(), True, Verdict.RESET),
        (known(client_cookie=8), reconnect(), True, Verdict.RESET),
        (known(client_cookie=8), reconnect(), False, Verdict.RESET_KEEP_QUEUE),
        (known(server_cookie=0), reconnect(), True, Verdict.RESET_KEEP_QUEUE),
        (known(peer_global_seq=6), reconnect(), True, Verdict.RETRY_GLOBAL),
        (known(connect_seq=3), reconnect(), True, Verdict.RETRY),
        (known(), reconnect(), True, Verdict.RESUME),
        (known(connect_seq=2), reconnect(), True, Verdict.RESUME),
        (known(connect_seq=2, peer=HIGH), reconnect(HIGH), True, Verdict.WAIT),
        (known(peer=HIGH), reconnect(HIGH), True, Verdict.RESUME),
        (
            known(policy=Policy.stateful_server(), connect_seq=2, peer=HIGH),
            reconnect(HIGH),
            True,
            Verdict.RESUME,
        ),
    ],
)
def test_reconnects(existing, frame, resetcheck, verdict):
    assert judge_reconnect(existing, frame, LOW, resetcheck=resetcheck) is verdict


@pytest.mark.parametrize(("one", "other"), [(LOW, HIGH), (HIGH, LOW)])
def test_of_two_that_connect_at_once_exactly_one_waits(one, other):
    """Each judges the other's ident while its own is under way."""
    verdicts = {
        judge_ident(session(state=CONNECTING, peer=peer, client_cookie=1), ident(peer, 2), mine)
        for mine, peer in ((one, other), (other, one))
    }
    assert verdicts == {Verdict.WAIT, Verdict.TAKE_OVER}


def test_peers_are_compared_by_their_msgr2_address():
    both = EntityAddrVec.parse("[v1:10.0.0.9:6789/0,v2:10.0.0.1:3300/0]")
    assert msgr2_addr(both) == both.addrs[1]
    assert msgr2_addr(EntityAddrVec.parse("v1:10.0.0.9:6789/0")) == EntityAddr()
