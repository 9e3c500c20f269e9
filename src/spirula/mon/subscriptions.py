"""What clients want to be told: subscriptions to maps, and questions for their versions.

Each service sends its own maps; here is who is asked, and whether the client may. Follows upstream
`src/mon/Monitor.cc` (handle_subscribe, handle_get_version). Called by `monitor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.messages.mon_client import (
    SUBSCRIBE_ONETIME,
    MMonGetVersion,
    MMonGetVersionReply,
    MMonSubscribe,
)
from spirula.mon.request import Request
from spirula.mon.services.base import PaxosService
from spirula.mon.session import MonSession

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor


class Subscriptions:
    """The subscriptions of one monitor's clients."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._by_name: dict[str, PaxosService] = {
            what: service for service in monitor.services for what in service.SUBSCRIPTIONS
        }

    def on_subscribe(self, request: Request) -> None:
        """A client tells what it wants to be sent."""
        session, message = request.session, request.message
        if not isinstance(message, MMonSubscribe) or session.connection is None:
            return
        if message.hostname:
            session.remote_host = message.hostname
        for what, item in message.what.items():
            self.subscribe(session, what, item.start, onetime=bool(item.flags & SUBSCRIBE_ONETIME))

    def service_of(self, what: str) -> PaxosService | None:
        """Who answers subscriptions of that name."""
        service = self._by_name.get(what)
        if service is None and what.startswith("kv:"):
            return self.monitor.kv
        if service is None and what.startswith(("mdsmap", "fsmap")):
            return self.monitor.fsmap
        return service

    def subscribe(self, session: MonSession, what: str, start: int, *, onetime: bool) -> None:
        """A client wants to be told of a kind of map; it is, if its caps allow that."""
        service = self.service_of(what)
        if service is None or not self._may(session, service, what):
            self.monitor.log(5, f"{session} may not subscribe to {what[:100]!r}")
            return
        self.monitor.sessions.subscribe(session, what, start, onetime=onetime)
        service.on_subscribe(session, session.subscriptions[what])

    def _may(self, session: MonSession, service: PaxosService, what: str) -> bool:
        if what not in ("monmap", "config") and not session.is_capable("mon", read=True):
            return False
        needed = service.SUBSCRIPTIONS.get(what, service.SUBSCRIPTIONS.get("*"))
        return needed is None or session.is_capable(
            needed[0], read="r" in needed[1], write="w" in needed[1], execute="x" in needed[1]
        )

    def on_get_version(self, request: Request) -> None:
        """A client asks which versions of a map there are."""
        message = request.message
        if not isinstance(message, MMonGetVersion) or not request.session.is_capable(
            "mon", read=True
        ):
            return
        services: dict[str, PaxosService] = {
            "osdmap": self.monitor.osdmap,
            "monmap": self.monitor.monmap_service,
            "mdsmap": self.monitor.fsmap,
            "fsmap": self.monitor.fsmap,
        }
        service = services.get(message.what)
        if service is None:
            self.monitor.log(1, f"{request.session} asks for versions of {message.what[:100]!r}")
        elif not service.is_readable:
            self.monitor.wait_readable(lambda: self.monitor.dispatch(request), (service, 0))
        else:
            request.reply(
                MMonGetVersionReply(
                    handle=message.handle,
                    map_version=service.last_committed,
                    oldest_version=service.first_committed,
                )
            )
