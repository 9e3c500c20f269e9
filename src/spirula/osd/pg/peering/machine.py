"""How events move a PG from state to state: the walk alone, what states do is in `table`.

An event goes to the innermost state that knows it. A handler runs to its end, adds to `Work` what
is to be written and sent, and may enter another state; events that it posts come after it. Called
by `intervals` (maps), `dispatch` (messages), and whoever has news for a PG. Upstream:
`PeeringState.cc` (PeeringMachine).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spirula.osd.pg.peering.state import OUTER, State
from spirula.osd.pg.peering.work import Work

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG

Handler = Callable[["PG", Work, Any], None]
_SERVING = (State.ACTIVE, State.REPLICA_ACTIVE)


@dataclass(slots=True, frozen=True)
class Rules:
    """What each state does: with an event, when it is entered, when it is left."""

    table: dict[tuple[State, str], Handler]
    on_enter: dict[State, Callable[[PG, Work], None]]
    on_exit: dict[State, Callable[[PG], None]]


def handle(pg: PG, work: Work, event: str, value: object = None) -> None:
    """Has the present state, or one around it, deal with an event; else it is ignored.

    While an event is dealt with already, this one waits for its turn.
    """
    peering = pg.peering
    peering.posted.append((event, value))
    if peering.stepping:
        return
    peering.stepping = True
    try:
        while peering.posted:
            _react(pg, work, *peering.posted.popleft())
    finally:
        peering.stepping = False


def _react(pg: PG, work: Work, event: str, value: object) -> None:
    table = pg.peering.rules.table
    for state in OUTER[pg.peering.state]:
        handler = table.get((state, event))
        if handler is not None:
            handler(pg, work, value)
            return


def post(pg: PG, event: str, value: object = None) -> None:
    """Something has come to pass: dealt with now, or after what is dealt with already."""
    if pg.peering.stepping:
        pg.peering.posted.append((event, value))
        return
    work = Work(pg)
    handle(pg, work, event, value)
    work.finish()


def deliver(pg: PG, epoch: int, event: str, value: object = None) -> None:
    """Posts an event of an interval, unless that is over."""
    if not pg.has_reset_since(epoch):
        post(pg, event, value)


def later(pg: PG, seconds: float, event: str) -> None:
    """Posts an event after some time, unless the interval is over by then; the last one counts."""
    peering, loop = pg.peering, pg.services.loop
    if peering.retry is not None:
        peering.retry.cancel()
    peering.retry = loop.call_later(seconds, deliver, pg, pg.osdmap.epoch, event)


def enter(pg: PG, work: Work, state: State) -> None:
    """Goes to a state: leaves those that are not around it, and does what is done first there."""
    peering = pg.peering
    inside = OUTER[state]
    _leave(pg, inside)
    now = pg.services.wall()
    around = OUTER[peering.state]
    for outer in reversed(inside):
        if outer in around:
            continue
        peering.state = outer
        peering.entered[outer] = now
        if outer in _SERVING:
            peering.serving = True
        begin = peering.rules.on_enter.get(outer)
        if begin is not None:
            begin(pg, work)
            if peering.state is not outer:
                return  # it has gone on to another state already


def reset(pg: PG) -> None:
    """A new interval begins: all states are left."""
    peering = pg.peering
    _leave(pg, ())
    peering.posted.clear()
    if peering.retry is not None:
        peering.retry.cancel()
        peering.retry = None
    peering.state = State.RESET
    peering.entered = {State.RESET: pg.services.wall()}


def _leave(pg: PG, inside: tuple[State, ...]) -> None:
    """Leaves all states but these, the innermost first; the state is then the first that stays."""
    peering = pg.peering
    for state in OUTER[peering.state]:
        if state in inside[1:]:
            peering.state = state
            return
        end = peering.rules.on_exit.get(state)
        if end is not None:
            end(pg)
        if state in _SERVING:
            peering.serving = False
        peering.entered.pop(state, None)
    peering.state = State.INITIAL
