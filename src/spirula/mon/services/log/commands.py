"""`ceph log` and `ceph log last`. Texts: upstream `src/mon/LogMonitor.cc`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, integer, text
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import Commands
from spirula.mon.services.log.tail import LEVELS, document, line_of
from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.entity import AddrType, EntityAddrVec
from spirula.types.log import CHANNEL_CLUSTER, LogEntry, LogLevel

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.log.service import LogService

commands = Commands("mon")

_LAST = 20


@commands.add("log", logtext=text(repeated=True), perm="rw", help="write words to the cluster log")
def log(service: LogService, request: Request, logtext: list[str]) -> Reply:
    """Logs as whoever asks for it."""
    session = request.session
    addrs = [addr.with_type(AddrType.ANY) for addr in session.addrs.addrs[:1]]
    entry = LogEntry(
        name=session.entity,
        rank=session.name,
        addrs=EntityAddrVec(addrs),
        stamp=UTime.at(request.received),
        seq=0,
        prio=LogLevel.INFO,
        msg=" ".join(logtext),
        channel=CHANNEL_CLUSTER,
    )
    service.append(entry)
    service.propose_soon()
    return committed()


@commands.add(
    "log last",
    num=integer(1, required=False),
    level=choices("debug", "info", "sec", "warn", "error", required=False),
    channel=choices("*", "cluster", "audit", "cephadm", required=False),
    perm="r",
    help="show the last entries of the cluster log, of some gravity, of a channel or all",
)
def last(
    service: LogService,
    request: Request,
    num: int = _LAST,
    level: str = "info",
    channel: str = CHANNEL_CLUSTER,
) -> Reply:
    """Shows the newest entries, the oldest of them first."""
    entries = service.tail.last(num, LEVELS[level], channel)
    if request.is_plain:
        return said("", "".join(f"{line_of(entry)}\n" for entry in entries))
    return said("", request.render(Items("entry", map(document, entries)), "tail"))
