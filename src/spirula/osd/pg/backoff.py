"""Back-offs: clients are asked to hold back requests that would only wait here.

A client that was asked drops nothing: it sends them when the back-off ends. Requests that were on
their way meanwhile are dropped here. Called by `dispatch` and `peering`; a client's session keeps
its own in `backoffs`. Upstream: `src/osd/Session.h`, `PG.cc` (add_backoff, release_backoffs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spirula.messages.osd_client import BackoffOp, MOSDBackoff
from spirula.types.hobject import HObject

if TYPE_CHECKING:
    from spirula.osd.ops.context import ClientSession
    from spirula.osd.pg.state import PG


@dataclass(slots=True, eq=False)
class Backoff:
    """A client holds back requests on objects from `begin` on and before `end`, or on `begin`.

    `acked`: it has said that it does. `ended`: it was told to go on before it had said so; what
    it sent before that is still dropped.
    """

    pg: PG
    session: ClientSession
    id: int
    begin: HObject
    end: HObject
    acked: bool = False
    ended: bool = False

    def covers(self, hobj: HObject) -> bool:
        """Whether requests on this object are held back."""
        return hobj == self.begin or self.begin <= hobj < self.end


def find(session: ClientSession, pg: PG, hobj: HObject) -> Backoff | None:
    """The back-off under which requests on an object are, if any."""
    return next((each for each in session.backoffs.get(pg.pgid, ()) if each.covers(hobj)), None)


def add(pg: PG, session: ClientSession, begin: HObject, end: HObject) -> None:
    """Asks a client to hold back, unless it has been asked."""
    if find(session, pg, begin) is not None:
        return
    session.backoff_seq += 1
    made = Backoff(pg, session, session.backoff_seq, begin, end)
    session.backoffs.setdefault(pg.pgid, []).append(made)
    pg.backoffs.append(made)
    _send(made, BackoffOp.BLOCK)


def add_for_pg(pg: PG, session: ClientSession) -> None:
    """Asks a client to hold back everything of the PG."""
    first = pg.pgid.pgid.first_object()
    add(pg, session, first, pg.pgid.pgid.end_object(pg.pool.pg_num))


def release(pg: PG, hobj: HObject | None = None) -> None:
    """Lets clients go on: with one object, or with everything."""
    for backoff in [each for each in pg.backoffs if hobj is None or each.begin == hobj]:
        pg.backoffs.remove(backoff)
        _send(backoff, BackoffOp.UNBLOCK)
        if backoff.acked:
            _forget(backoff)
        else:
            backoff.ended = True


def on_ack(pg: PG, session: ClientSession, message: MOSDBackoff) -> None:
    """The client holds back, it says. An answer to what is long forgotten is ignored."""
    if message.op != BackoffOp.ACK_BLOCK:
        return
    for backoff in session.backoffs.get(pg.pgid, ()):
        if backoff.id == message.id and backoff.begin == message.begin:
            backoff.acked = True
            if backoff.ended:
                _forget(backoff)
            return


def on_reset(session: ClientSession) -> None:
    """The client is gone."""
    for backoffs in session.backoffs.values():
        for backoff in backoffs:
            if backoff in backoff.pg.backoffs:
                backoff.pg.backoffs.remove(backoff)
    session.backoffs.clear()


def _forget(backoff: Backoff) -> None:
    known = backoff.session.backoffs.get(backoff.pg.pgid, [])
    if backoff in known:
        known.remove(backoff)
    if not known:
        backoff.session.backoffs.pop(backoff.pg.pgid, None)


def _send(backoff: Backoff, op: BackoffOp) -> None:
    pg = backoff.pg
    backoff.session.send(
        MOSDBackoff(pg.pgid, pg.osdmap.epoch, op, backoff.id, backoff.begin, backoff.end)
    )
