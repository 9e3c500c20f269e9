"""Commands about this monitor as a process: what it works on, its settings, its disk.

For one monitor alone (`ceph tell mon.a ...`, `ceph daemon mon.a ...`). Documents have upstream's
fields (`src/mon/Monitor.cc` do_admin_command). Declared here, listed by `commands.cluster`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import text
from spirula.commands.reply import Reply, said
from spirula.commands.table import CommandFlag, Commands
from spirula.conf.args import inject_args
from spirula.errors import InvalidArgument

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request

TELL = CommandFlag.TELL
commands = Commands("mon")

_NOT_TRACKED = (
    "op_tracker tracking is not enabled now, so no ops are tracked currently, even those get stuck."
    '         please enable "mon_enable_op_tracker", and the tracker will start to track new ops '
    "received afterwards."
)


@commands.add("ops", perm="r", flags=TELL, help="show the requests that this monitor works on")
def _ops(monitor: Monitor, request: Request) -> Reply:
    document = monitor.ops.document_in_flight(monitor.wall()) if monitor.ops.enabled else {}
    return said(data=request.render(document, "ops_in_flight"))


@commands.add(
    "dump_historic_ops", perm="r", flags=TELL, help="show the requests that were done last"
)
def _dump_historic_ops(monitor: Monitor, request: Request) -> Reply:
    if not monitor.ops.enabled:
        return said(_NOT_TRACKED, request.render({}))
    return said(data=request.render(monitor.ops.document_history(monitor.wall()), "op_history"))


@commands.add(
    "dump_historic_slow_ops", perm="r", flags=TELL, help="show the slow requests that were done"
)
def _dump_historic_slow_ops(monitor: Monitor, request: Request) -> Reply:
    if not monitor.ops.enabled:
        return said(_NOT_TRACKED, request.render({}))
    document = monitor.ops.document_slow(monitor.wall())
    return said(data=request.render(document, "OpHistory slow ops"))


@commands.add(
    "smart",
    devid=text(required=False),
    perm="rw",
    flags=TELL,
    help="show what the store's disk tells of its health; empty: no disk is asked",
)
def _smart(monitor: Monitor, request: Request, devid: str = "") -> Reply:
    return said(data=request.render({}, "smart"))


@commands.add(
    "injectargs",
    injected_args=text(repeated=True),
    perm="rw",
    flags=TELL,
    help="change settings, given as on the command line",
)
def _injectargs(monitor: Monitor, request: Request, injected_args: list[str]) -> Reply:
    good, told = inject_args(monitor.config, " ".join(injected_args))
    if not good:
        raise InvalidArgument(told)
    return said(told)
