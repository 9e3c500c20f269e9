"""From an authenticated transport to a session: idents, reconnects, and what is answered to them.

    client                                  server
    client_ident          ->
                          <-  server_ident                      a new session, both OPEN
                          <-  ident_missing_features            the client gives up
                          <-  wait                              the server's own connection wins
    session_reconnect     ->
                          <-  session_reconnect_ok              the session goes on, both OPEN
                          <-  session_retry(_global)            again, with a higher number
                          <-  session_reset                     a client_ident then
                          <-  wait

The accepting side's choice among sessions is made in `races`. Called by `link` for frames between
authentication and the first message. Upstream: `src/msg/async/ProtocolV2.cc`, from
`send_client_ident` on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from spirula.denc.features import MSG_ADDR2
from spirula.errors import NotSupported, ProtocolViolation, TryAgain
from spirula.msgr.protocol import control
from spirula.msgr.protocol.events import Due, Ended, Opened, PeerReset
from spirula.msgr.protocol.frames import Tag
from spirula.msgr.protocol.races import Verdict, judge_ident, judge_reconnect
from spirula.msgr.protocol.session import Session, SessionState
from spirula.types.entity import EntityAddr, EntityName

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.denc import Struct
    from spirula.msgr.protocol.link import Link

REQUIRED: Final = MSG_ADDR2
"""What every peer must be able to read, because the idents themselves need it."""

_COUNTERS_END: Final = 1 << 63
"""Numbers that count attempts and messages stay below it: what peers say is counted on from."""


def send_ident(link: Link) -> None:
    """Client: opens a session, or goes on with the one whose transport broke."""
    session = _session(link)
    link.reconnecting = bool(session.server_cookie)
    if link.reconnecting:
        _send_reconnect(link, session)
    else:
        _send_client_ident(link, session)


def on_frame(link: Link, frame: Struct, now: float) -> None:
    """Acts on a frame between authentication and the first message."""
    if link.client:
        steps = _RECONNECT_STEPS if link.reconnecting else _IDENT_STEPS
    else:
        steps = _SERVER_STEPS
    step = steps.get(link.reader.tag)
    if step is None:
        raise ProtocolViolation("ident.order", f"{Tag(link.reader.tag).name} before a session")
    step(link, frame, now)


def _session(link: Link) -> Session:
    if link.session is None:
        raise ProtocolViolation("ident.order", "the accepting side has no session yet")
    return link.session


def _check_counters(*numbers: int) -> None:
    """Refuses what no counting leads to, before our own numbers follow and leave their width."""
    for number in numbers:
        if number >= _COUNTERS_END:
            raise ProtocolViolation("ident.counter", f"{number} is no count")


# ------------------------------------------------------------------------------------- as client


def _send_client_ident(link: Link, session: Session) -> None:
    endpoint = link.endpoint
    if not session.lossy and not session.client_cookie:
        session.client_cookie = endpoint.new_cookie()
    link.channel.send(
        Tag.CLIENT_IDENT,
        control.ClientIdent(
            endpoint.addrs,
            link.peer_addr,
            endpoint.name.num,
            session.global_seq,
            session.policy.features_supported,
            session.policy.features_required | REQUIRED,
            control.FLAG_LOSSY if session.lossy else 0,
            session.client_cookie,
        ),
    )


def _send_reconnect(link: Link, session: Session) -> None:
    link.channel.send(
        Tag.SESSION_RECONNECT,
        control.SessionReconnect(
            link.endpoint.addrs,
            session.client_cookie,
            session.server_cookie,
            session.global_seq,
            session.connect_seq,
            session.in_seq,
        ),
    )


def _on_server_ident(link: Link, frame: Struct, now: float) -> None:
    ident = cast("control.ServerIdent", frame)
    session = _session(link)
    _check_counters(ident.global_seq)
    if link.peer_addr not in ident.addrs.addrs:
        raise ProtocolViolation("ident.address", f"the peer is {ident.addrs}, not {link.peer_addr}")
    session.server_cookie = ident.cookie
    session.peer_name = EntityName(session.peer_type, ident.gid)
    session.features = ident.supported_features & session.policy.features_supported
    session.peer_global_seq = ident.global_seq
    session.lossy = bool(ident.flags & control.FLAG_LOSSY)
    session.peer_addrs = ident.addrs
    _open(link, session, Opened(session, accepted=False), now)


def _on_missing_features(link: Link, frame: Struct, now: float) -> None:
    missing = cast("control.IdentMissingFeatures", frame).features
    raise NotSupported(f"the peer requires features {missing:#x} that we lack")


def _on_wait(link: Link, frame: Struct, now: float) -> None:
    _session(link).waiting = True
    raise TryAgain("the peer is connecting to us, its connection wins")


def _on_reset(link: Link, frame: Struct, now: float) -> None:
    session = _session(link)
    if cast("control.SessionReset", frame).full:
        session.reset()
        link.push(PeerReset(session))
    else:
        session.server_cookie = 0
        session.connect_seq = 0
        session.in_seq = session.acked = 0
    send_ident(link)


def _on_retry(link: Link, frame: Struct, now: float) -> None:
    session = _session(link)
    newest = cast("control.SessionRetry", frame).connect_seq
    _check_counters(newest)
    session.connect_seq = newest + 1
    _send_reconnect(link, session)


def _on_retry_global(link: Link, frame: Struct, now: float) -> None:
    session = _session(link)
    newest = cast("control.SessionRetryGlobal", frame).global_seq
    _check_counters(newest)
    session.global_seq = link.endpoint.next_global_seq(newest)
    _send_reconnect(link, session)


def _on_reconnect_ok(link: Link, frame: Struct, now: float) -> None:
    session = _session(link)
    received = cast("control.SessionReconnectOk", frame).msg_seq
    _check_counters(received)
    session.queue.resume(received)
    session.acked = session.in_seq
    _open(link, session, Opened(session, accepted=False, resumed=True), now)


def _open(link: Link, session: Session, event: Opened, now: float) -> None:
    """Either side: the session is open over this link."""
    session.state = SessionState.OPEN
    session.opened_at = now
    session.retry_at = None
    session.waiting = False
    if link.handshake is not None:
        session.auth = link.handshake.auth
    link.open(session, event)


# ------------------------------------------------------------------------------------- as server


def _on_client_ident(link: Link, frame: Struct, now: float) -> None:
    ident = cast("control.ClientIdent", frame)
    endpoint = link.endpoint
    _check_counters(ident.global_seq)
    if not ident.addrs.addrs or ident.addrs.addrs[0] == EntityAddr():
        raise ProtocolViolation("ident.addresses", "the client names none")
    if ident.target_addr not in endpoint.addrs.addrs:
        raise ProtocolViolation(
            "ident.target", f"meant for {ident.target_addr}, we are {endpoint.addrs}"
        )
    policy = endpoint.policies.of(_peer_type(link))
    missing = (policy.features_required | REQUIRED) & ~ident.supported_features
    if missing:
        link.channel.send(Tag.IDENT_MISSING_FEATURES, control.IdentMissingFeatures(missing))
        return
    existing = endpoint.lookup(ident.addrs) if policy.registers else None
    verdict = Verdict.NEW
    if existing is not None:
        verdict = judge_ident(existing, ident, endpoint.addrs)
    if verdict is Verdict.WAIT and existing is not None:
        _ask_to_wait(link, existing, now)
    elif verdict is Verdict.STALE:
        raise ProtocolViolation("ident.global-seq", f"{ident.global_seq} is an old connection")
    elif existing is not None and verdict is not Verdict.NEW:
        _ident_of_known(link, ident, existing, verdict, now)
    else:
        _new_session(link, ident, now)


def _new_session(link: Link, ident: control.ClientIdent, now: float) -> None:
    endpoint = link.endpoint
    policy = endpoint.policies.of(_peer_type(link))
    session = Session(
        policy,
        _peer_type(link),
        ident.addrs,
        endpoint.reachable(ident.addrs, link.peer_addr),
        anonymous=not policy.registers,
    )
    endpoint.register(session)
    _accept_ident(link, session, ident, None, now)


def _ident_of_known(
    link: Link,
    ident: control.ClientIdent,
    existing: Session,
    verdict: Verdict,
    now: float,
) -> None:
    endpoint = link.endpoint
    if verdict is Verdict.REPLACE:
        endpoint.close(existing)
        link.push(Ended(existing))
        _new_session(link, ident, now)
        return
    old = endpoint.detach(existing)
    reset = verdict is Verdict.TAKE_OVER_RESET and existing.policy.resetcheck
    if reset:
        existing.reset()
        link.push(PeerReset(existing))
    _accept_ident(link, existing, ident, old, now)


def _accept_ident(
    link: Link, session: Session, ident: control.ClientIdent, old: Link | None, now: float
) -> None:
    """The session, new or known, is this client's from now on and begins at nothing."""
    endpoint = link.endpoint
    session.client_cookie = ident.cookie
    session.peer_name = EntityName(_peer_type(link), ident.gid)
    session.peer_global_seq = ident.global_seq
    session.features = ident.supported_features & session.policy.features_supported
    session.queue.restart()
    session.in_seq = session.acked = 0
    session.server_cookie = 0 if session.lossy else endpoint.new_cookie()
    link.channel.send(
        Tag.SERVER_IDENT,
        control.ServerIdent(
            endpoint.addrs,
            endpoint.name.num,
            endpoint.next_global_seq(),
            session.policy.features_supported,
            session.policy.features_required | REQUIRED,
            control.FLAG_LOSSY if session.lossy else 0,
            session.server_cookie,
        ),
    )
    _open(link, session, Opened(session, accepted=True, replaced=old), now)


def _on_session_reconnect(link: Link, frame: Struct, now: float) -> None:
    reconnect = cast("control.SessionReconnect", frame)
    endpoint = link.endpoint
    _check_counters(reconnect.global_seq, reconnect.connect_seq, reconnect.msg_seq)
    existing = endpoint.lookup(reconnect.addrs)
    resetcheck = endpoint.policies.of(_peer_type(link)).resetcheck
    verdict = judge_reconnect(existing, reconnect, endpoint.addrs, resetcheck=resetcheck)
    channel = link.channel
    if existing is None or verdict in (Verdict.RESET, Verdict.RESET_KEEP_QUEUE):
        full = verdict is not Verdict.RESET_KEEP_QUEUE
        channel.send(Tag.SESSION_RESET, control.SessionReset(full))
    elif verdict is Verdict.RETRY_GLOBAL:
        channel.send(Tag.SESSION_RETRY_GLOBAL, control.SessionRetryGlobal(existing.peer_global_seq))
    elif verdict is Verdict.RETRY:
        channel.send(Tag.SESSION_RETRY, control.SessionRetry(existing.connect_seq))
    elif verdict is Verdict.WAIT:
        _ask_to_wait(link, existing, now)
    else:
        old = endpoint.detach(existing)
        existing.connect_seq = reconnect.connect_seq
        existing.peer_global_seq = reconnect.global_seq
        existing.queue.resume(reconnect.msg_seq)
        existing.acked = existing.in_seq
        channel.send(Tag.SESSION_RECONNECT_OK, control.SessionReconnectOk(existing.in_seq))
        _open(link, existing, Opened(existing, accepted=True, resumed=True, replaced=old), now)


def _ask_to_wait(link: Link, existing: Session, now: float) -> None:
    """Our own connection wins; it must then be made, even with nothing of ours to send."""
    existing.keepalive = True
    if existing.link is None:
        existing.retry_at = now
        link.push(Due(existing))
    link.channel.send(Tag.WAIT, control.Wait())


def _peer_type(link: Link) -> int:
    return link.handshake.peer_type if link.handshake is not None else 0


Steps = dict[int, "Callable[[Link, Struct, float], None]"]

_IDENT_STEPS: Final[Steps] = {
    Tag.SERVER_IDENT: _on_server_ident,
    Tag.IDENT_MISSING_FEATURES: _on_missing_features,
    Tag.WAIT: _on_wait,
}
_RECONNECT_STEPS: Final[Steps] = {
    Tag.SESSION_RECONNECT_OK: _on_reconnect_ok,
    Tag.SESSION_RETRY: _on_retry,
    Tag.SESSION_RETRY_GLOBAL: _on_retry_global,
    Tag.SESSION_RESET: _on_reset,
    Tag.WAIT: _on_wait,
}
_SERVER_STEPS: Final[Steps] = {
    Tag.CLIENT_IDENT: _on_client_ident,
    Tag.SESSION_RECONNECT: _on_session_reconnect,
}
