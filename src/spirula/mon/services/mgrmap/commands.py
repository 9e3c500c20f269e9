"""`ceph mgr ...`, as far as the monitors answer it. Texts: upstream `src/mon/MgrMonitor.cc`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, integer, text
from spirula.commands.mgr_map import document
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import Commands
from spirula.errors import InvalidArgument, NotFound
from spirula.mon import metadata
from spirula.mon.services.mgrmap import active, show
from spirula.types.mgr import MgrMap

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.mgrmap.service import MgrMapService

commands = Commands("mgr")


@commands.add(
    "mgr dump",
    epoch=integer(0, required=False),
    perm="r",
    help="show the manager map, or an old one",
)
def dump(service: MgrMapService, request: Request, epoch: int | None = None) -> Reply:
    """Shows a map; NotFound for an epoch that is not kept."""
    mgrmap = service.map
    if epoch is not None and epoch != mgrmap.epoch:
        encoded = service.get_version(epoch)
        if encoded is None:
            raise NotFound(f"there is no map for epoch {epoch}")
        mgrmap = MgrMap.decode(encoded)
    return said("", request.render(document(mgrmap), "mgrmap"))


@commands.add("mgr stat", perm="r", help="show which manager is active, and how many stand by")
def stat(service: MgrMapService, request: Request) -> Reply:
    """Shows the map in four fields."""
    mgrmap = service.map
    shown = {
        "epoch": mgrmap.epoch,
        "available": mgrmap.available,
        "active_name": mgrmap.active_name,
        "num_standby": len(mgrmap.standbys),
    }
    return said("", request.render(shown, "stat"))


@commands.add("mgr services", perm="r", help="show where the manager's modules serve")
def services(service: MgrMapService, request: Request) -> Reply:
    """Shows addresses by module."""
    shown = dict(sorted(service.map.services.items()))
    return said("", request.render(shown, "services"))


@commands.add("mgr module ls", perm="r", help="list the manager's modules")
def module_ls(service: MgrMapService, request: Request) -> Reply:
    """Shows which modules are on for good, on, and off."""
    release = service.monitor.monmap.min_mon_release
    return said("", request.render(show.modules_document(service.map, release), "modules"))


@commands.add(
    "mgr metadata",
    who=text(required=False),
    perm="r",
    help="show what managers tell of themselves and their hosts",
)
def show_metadata(service: MgrMapService, request: Request, who: str = "") -> Reply:
    """Shows one manager's, or all."""
    names = active.all_names(service.map)
    if who:
        if who not in names:
            raise NotFound(f"mgr.{who} does not exist")
        known = service.metadata(who)
        if known is None:
            raise NotFound
        return said("", request.render({"name": who, **known}, "mgr_metadata"))
    listed = [{"name": name, **(service.metadata(name) or {})} for name in names]
    return said("", request.render(listed, "mgr_metadata"))


@commands.add("mgr versions", perm="r", help="count managers by their release")
def versions(service: MgrMapService, request: Request) -> Reply:
    """Counts by `ceph_version`."""
    return _counted(service, request, "ceph_version")


@commands.add(
    "mgr count-metadata",
    property=text(),
    perm="r",
    help="count managers by a field of their metadata",
)
def count_metadata(service: MgrMapService, request: Request, property: str) -> Reply:
    """Counts by any field."""
    return _counted(service, request, property)


def _counted(service: MgrMapService, request: Request, field: str) -> Reply:
    return said("", request.render(metadata.count(service.all_metadata(), field), field))


# --- changing


@commands.add(
    "mgr fail",
    who=text(required=False),
    perm="rw",
    help="take a manager for failed, so that another one takes over",
)
def fail(service: MgrMapService, request: Request, who: str | None = None) -> Reply:
    """Drops a manager by name or number; the active one unless said otherwise."""
    pending = service.pending
    if who is None:
        if not service.map.active_gid:
            return said("Currently no active mgr")
        who = service.map.active_name
    gid: int | None
    if re.fullmatch("[0-9]{1,19}", who):
        gid = int(who)
    elif pending.active_name == who:
        gid = pending.active_gid
    else:
        gid = active.standby_named(pending, who)
    if gid and gid == pending.active_gid:
        service.drop_active()
        service.promote()
    elif gid in pending.standbys:
        service.drop_standby(gid)
    else:
        return said(f"Daemon not found '{who}', already failed?")
    service.propose()
    return committed()


@commands.add(
    "mgr module enable",
    module_=text(),
    force=choices("--force", required=False),
    perm="rw",
    help="switch a module of the manager on",
)
def module_enable(service: MgrMapService, request: Request, module: str, force: str = "") -> Reply:
    """Switches a module on which all managers have and the active one can run."""
    pending = service.pending
    if not module:
        raise InvalidArgument
    if module in active.always_on(pending, service.monitor.monmap.min_mon_release):
        return said(f"module '{module}' is already enabled (always-on)")
    if not force:
        if not active.all_support(pending, module):
            raise NotFound(
                f"all mgr daemons do not support module '{module}', pass --force to force "
                "enablement"
            )
        why = active.why_not_run(pending, module)
        if why is not None:
            raise NotFound(
                f"module '{module}' reports that it cannot run on the active manager daemon: "
                f"{why} (pass --force to force enablement)"
            )
    if module in pending.modules:
        return said(f"module '{module}' is already enabled")
    pending.modules.add(module)
    service.propose()
    return committed()


@commands.add(
    "mgr module disable", module_=text(), perm="rw", help="switch a module of the manager off"
)
def module_disable(service: MgrMapService, request: Request, module: str) -> Reply:
    """Switches a module off that is not always on."""
    pending = service.pending
    if not module:
        raise InvalidArgument
    if module in active.always_on(pending, service.monitor.monmap.min_mon_release):
        raise InvalidArgument(f"module '{module}' cannot be disabled (always-on)")
    if module not in pending.modules:
        return said(f"module '{module}' is already disabled")
    pending.modules.discard(module)
    service.propose()
    return committed()
