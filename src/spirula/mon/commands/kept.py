"""Answers that are kept: rendering a large map takes far longer than sending it.

Handlers whose answer depends on their arguments and on their service's committed state alone are
declared with `@kept` below `@commands.add`; everybody who asks the same until the next commit of
that service gets the same bytes. Called by the services.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from spirula.mon.commands.reply import Reply

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.base import PaxosService

_MOST = 8
"""Answers of a command that are kept: its formats and arguments."""

_Kept = tuple[tuple[int, int], dict[tuple[str, str], Reply]]


def kept(handler: Callable[..., Reply]) -> Callable[..., Reply]:
    """Keep what `handler` returns until its service's committed versions change.

    What it raises is not kept, nor an answer that waits for a commit.
    """
    answers: WeakKeyDictionary[PaxosService, _Kept] = WeakKeyDictionary()

    @wraps(handler)
    def answer(service: PaxosService, request: Request, **arguments: Any) -> Reply:
        versions = (service.first_committed, service.last_committed)
        held = answers.get(service)
        if held is None or held[0] != versions or len(held[1]) > _MOST:
            held = answers[service] = (versions, {})
        key = (request.format, str(arguments))
        reply = held[1].get(key)
        if reply is None:
            reply = handler(service, request, **arguments)
            if not reply.commit:
                held[1][key] = reply
        return reply

    return answer
