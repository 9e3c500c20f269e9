"""`ceph health`, and muting of health checks.

Texts: upstream `src/mon/HealthMonitor.cc`, `Monitor.cc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, text
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import Commands
from spirula.conf.values import BadValue, parse_timespan
from spirula.errors import InvalidArgument, NotFound
from spirula.types.base import UTime
from spirula.types.service import HealthMute

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.health.service import HealthService

commands = Commands("mon")


@commands.add(
    "health",
    detail=choices("detail", required=False),
    perm="r",
    help="tell how the cluster is, in a line or in detail",
)
def health(service: HealthService, request: Request, detail: str = "") -> Reply:
    """Shows all checks that fail."""
    if request.is_plain:
        return said("", service.plain(detail=bool(detail)))
    return said("", request.render(service.gather(detail=bool(detail)), "health"))


@commands.add(
    "health mute",
    code=text(),
    ttl=text(required=False),
    sticky=flag(),
    perm="w",
    help="take a health check for passed until it gets worse, or for some time",
)
def mute(
    service: HealthService, request: Request, code: str, ttl: str = "", sticky: bool = False
) -> Reply:
    """Silences a check. A sticky mute may come before the check fails, and stays when it passes."""
    if not code:
        raise InvalidArgument("must specify an alert code to mute")
    until = UTime()
    if ttl:
        try:
            seconds = parse_timespan(ttl)
        except BadValue as error:
            raise InvalidArgument(f"invalid duration: {ttl} ({error.message})") from None
        if not seconds:
            raise InvalidArgument(f"invalid duration: {ttl} (timespan = 0)")
        until = UTime.at(service.monitor.wall() + seconds)
    summary, count = "", 0
    if not sticky:
        check = service.all_checks().get(code)
        if check is None:
            raise NotFound(f"health alert {code} is not currently raised")
        summary, count = check.summary, check.count
    service.pending_mutes[code] = HealthMute(code, until, sticky, summary, count)
    service.propose()
    return committed()


@commands.add(
    "health unmute", code=text(required=False), perm="w", help="end a mute, or all of them"
)
def unmute(service: HealthService, request: Request, code: str | None = None) -> Reply:
    """Ends a mute, if there is one."""
    if code is None:
        service.pending_mutes.clear()
    else:
        service.pending_mutes.pop(code, None)
    service.propose()
    return committed()
