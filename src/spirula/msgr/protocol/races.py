"""Which of two sessions with the same peer goes on.

A peer may connect while a session with it exists: because its process is a new one, because its
transport broke before it noticed or after, or because both sides connected at once. The accepting
side decides, by these two functions and nothing else. They look and do not act; `ident` acts.
Upstream: `ProtocolV2::handle_existing_connection` and `handle_reconnect`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from spirula.msgr.protocol.session import SessionState
from spirula.types.entity import AddrType, EntityAddr

if TYPE_CHECKING:
    from spirula.msgr.protocol.control import ClientIdent, SessionReconnect
    from spirula.msgr.protocol.session import Session
    from spirula.types.entity import EntityAddrVec


class Verdict(Enum):
    """What the accepting side does with a newcomer."""

    NEW = "a session of its own"
    REPLACE = "the session that exists ends, the newcomer gets its own"
    TAKE_OVER = "the session that exists goes on over the newcomer's transport"
    TAKE_OVER_RESET = "the same, but the peer has lost its side of it"
    STALE = "the newcomer is older than what exists and is dropped"
    WAIT = "the peer shall wait for our own connection"
    RESUME = "the session goes on and unacknowledged messages are sent again"
    RESET = "there is no such session, the peer forgets what it queued"
    RESET_KEEP_QUEUE = "there is no such session, the peer keeps what it queued"
    RETRY = "the peer's connect_seq is old"
    RETRY_GLOBAL = "the peer's global_seq is old"


def msgr2_addr(addrs: EntityAddrVec) -> EntityAddr:
    """The address by which racing peers are compared; a blank one where there is none."""
    return next((addr for addr in addrs.addrs if addr.type == AddrType.MSGR2), EntityAddr())


def judge_ident(existing: Session, ident: ClientIdent, mine: EntityAddrVec) -> Verdict:
    """A peer opens a session with the addresses of one that exists here."""
    if existing.state is SessionState.CLOSED:
        return Verdict.NEW
    if existing.peer_global_seq > ident.global_seq:
        return Verdict.STALE
    if existing.lossy:
        return Verdict.REPLACE
    if existing.server_cookie and existing.client_cookie and existing.client_cookie != ident.cookie:
        return Verdict.TAKE_OVER_RESET
    if existing.client_cookie == ident.cookie:
        # it sent its ident before, and our answer was lost
        return Verdict.TAKE_OVER
    if existing.state is not SessionState.CONNECTING:
        return Verdict.TAKE_OVER
    # both connect at once: the lower address's connection is the one that stays
    if existing.policy.server or msgr2_addr(ident.addrs) < msgr2_addr(mine):
        return Verdict.TAKE_OVER
    return Verdict.WAIT


def judge_reconnect(
    existing: Session | None,
    frame: SessionReconnect,
    mine: EntityAddrVec,
    *,
    resetcheck: bool,
) -> Verdict:
    """A peer wants to go on with a session; `resetcheck` is of our policy for its type."""
    if existing is None or existing.state is SessionState.CLOSED:
        return Verdict.RESET
    if existing.client_cookie != frame.client_cookie:
        return Verdict.RESET if resetcheck else Verdict.RESET_KEEP_QUEUE
    if not existing.server_cookie:
        # we asked for this session and never had the answer; the peer shall ask us
        return Verdict.RESET_KEEP_QUEUE
    if existing.peer_global_seq > frame.global_seq:
        return Verdict.RETRY_GLOBAL
    if existing.connect_seq > frame.connect_seq:
        return Verdict.RETRY
    if (
        existing.connect_seq == frame.connect_seq
        and not existing.policy.server
        and msgr2_addr(existing.peer_addrs) > msgr2_addr(mine)
    ):
        # both reconnect at once: the lower address's connection is the one that stays
        return Verdict.WAIT
    return Verdict.RESUME
