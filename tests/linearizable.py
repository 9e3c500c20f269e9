"""Whether what concurrent clients saw could have happened one call after another.

Linearizability: each call takes effect at one moment between its beginning and its end. The search
is Wing and Gong's with Lowe's memory of what was tried (which calls are placed, and the state they
left), for one object at a time, as objects do not depend on each other. Used by histories in
simulation and by the thrasher; who writes a history down is `tests.concurrent_clients`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_STATES = 300_000
"""How many states of a search are looked at before it is given up: such a history tells nothing."""

State = Hashable
Step = Callable[[Any, Any], tuple[Any, Any]]
"""What a call does alone: from the state and the call, the next state and the answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a client. `began` and `ended` are places in the order of all events.

    `ended` is None if nobody knows what became of it: it may have happened once, at any time after
    it began, or not at all.
    """

    who: str
    what: Hashable
    answer: Hashable
    began: int
    ended: int | None

    def __str__(self) -> str:
        end = "no answer" if self.ended is None else f"{self.ended}: {self.answer!r}"
        return f"{self.began} .. {end}: {self.who}: {self.what!r}"


class NotLinearizable(AssertionError):
    """No order of the calls explains the answers. The message shows how far one could get."""


class Undecided(AssertionError):
    """The history is too long, or too many calls of it have no answer."""


def check_linearizable(
    calls: Sequence[Call],
    step: Step,
    initial: State,
    only_looks: Callable[[Call], bool] = lambda call: False,
) -> list[Call]:
    """An order of the calls that explains all answers; those without effect may be missing.

    `only_looks` may tell which calls, with the answers they have, change nothing whenever they
    happen: that spares much of the search. Raises NotLinearizable, or Undecided when it takes too
    long to say.
    """
    ordered = sorted(calls, key=lambda call: call.began)
    answered = sum(1 << n for n, call in enumerate(ordered) if call.ended is not None)
    start = (0, initial)
    came_from: dict[tuple[int, State], tuple[tuple[int, State], int] | None] = {start: None}
    to_try = [start]
    furthest = start
    while to_try:
        node = to_try.pop()
        placed, state = node
        if placed & answered == answered:
            return _path(came_from, node, ordered)
        if (placed & answered).bit_count() > (furthest[0] & answered).bit_count():
            furthest = node
        if len(came_from) > MAX_STATES:
            raise Undecided(f"{len(calls)} calls: more than {MAX_STATES} states to look at")
        branches = []
        for number in _next_ones(ordered, placed):
            call = ordered[number]
            after, answer = step(state, call.what)
            if call.ended is not None:
                if answer != call.answer:
                    continue
                if only_looks(call):
                    # It can be now: whatever follows, it need not wait.
                    branches = [(number, state)]
                    break
            elif after == state:
                continue
            branches.append((number, after))
        # Calls without an answer are tried last: most of the time they explain nothing.
        branches.sort(key=lambda branch: ordered[branch[0]].ended is not None)
        for number, after in branches:
            found = (placed | 1 << number, after)
            if found not in came_from:
                came_from[found] = (node, number)
                to_try.append(found)
    raise NotLinearizable(_explain(came_from, furthest, ordered))


def _next_ones(ordered: Sequence[Call], placed: int) -> list[int]:
    """The calls that may be next: none that is not placed ended before they began."""
    found: list[int] = []
    first_end: int | None = None
    for number, call in enumerate(ordered):
        if first_end is not None and call.began > first_end:
            break
        if not placed >> number & 1:
            found.append(number)
            if call.ended is not None and (first_end is None or call.ended < first_end):
                first_end = call.ended
    return [number for number in found if first_end is None or ordered[number].began <= first_end]


def _path(came_from: dict, node: tuple[int, State], ordered: Sequence[Call]) -> list[Call]:
    path = []
    step = came_from[node]
    while step is not None:
        before, number = step
        path.append(ordered[number])
        step = came_from[before]
    return path[::-1]


def _explain(came_from: dict, furthest: tuple[int, State], ordered: Sequence[Call]) -> str:
    path = _path(came_from, furthest, ordered)
    placed, state = furthest
    stuck = [ordered[number] for number in _next_ones(ordered, placed)]
    lines = [
        f"{len(ordered)} calls cannot have happened one after another; placed:",
        *(f"    {call}" for call in path[-25:]),
        f"then the object is {state!r}, and none of these fits:",
        *(f"    {call}" for call in stuck),
    ]
    return "\n".join(lines)
