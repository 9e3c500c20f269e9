"""Answers that are kept: rendering a large map takes far longer than sending it.

Handlers whose answer depends on their arguments and on committed state alone are declared with
`@kept`, or `@kept_while(...)`, below `@commands.add`; everybody who asks the same until that state
changes gets the same bytes. Called by the services and by `commands.cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from spirula.commands.reply import Reply

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.base import PaxosService

_MOST = 8
"""Answers of a command that are kept: its formats and arguments."""

_Handler = Callable[..., Reply]
_Kept = tuple[Hashable, dict[tuple[str, str], Reply]]


def kept_while(state_of: Callable[[Any], Hashable]) -> Callable[[_Handler], _Handler]:
    """Keep what a handler returns as long as `state_of` its service (or monitor) stays the same.

    What it raises is not kept, nor an answer that waits for a commit.
    """

    def keep(handler: _Handler) -> _Handler:
        answers: WeakKeyDictionary[object, _Kept] = WeakKeyDictionary()

        @wraps(handler)
        def answer(owner: object, request: Request, **arguments: Any) -> Reply:
            state = state_of(owner)
            held = answers.get(owner)
            if held is None or held[0] != state or len(held[1]) > _MOST:
                held = answers[owner] = (state, {})
            key = (request.format, str(arguments))
            reply = held[1].get(key)
            if reply is None:
                reply = handler(owner, request, **arguments)
                if not reply.commit:
                    held[1][key] = reply
            return reply

        return answer

    return keep


def _versions(service: PaxosService) -> Hashable:
    return service.first_committed, service.last_committed


def kept(handler: _Handler) -> _Handler:
    """Keep what a handler returns until its service's committed versions change."""
    return kept_while(_versions)(handler)
