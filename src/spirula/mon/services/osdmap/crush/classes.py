"""Commands about device classes: making, renaming and removing them, and whose OSD is which.

Upstream: `src/mon/OSDMonitor.cc` (osd crush class ..., set-device-class, rm-device-class).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from spirula.commands.arguments import text
from spirula.commands.reply import Reply, said
from spirula.commands.table import Commands
from spirula.crush.classes import class_id, get_or_create_class
from spirula.crush.device_classes import (
    check_class_unused,
    remove_class,
    remove_device_class,
    rename_class,
    set_device_class,
)
from spirula.crush.lookup import item_class
from spirula.errors import Busy, CephError, InvalidArgument
from spirula.maps.dump.values import numbers
from spirula.maps.query import all_osds
from spirula.maps.state import exists
from spirula.mon.services.osdmap.crush.checks import (
    error_text,
    has_pending_crush,
    osd_id,
    proposed,
    store_crush,
)
from spirula.mon.services.osdmap.crush.show import CLASS

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_CLASS = text(goodchars=CLASS)
_ALL = ("any", "all", "*")


@commands.add(
    "osd crush set-device-class",
    class_=text(),
    ids=text(repeated=True),
    perm="rw",
    help="put OSDs into a device class",
)
def set_class(service: OSDMapService, request: Request, class_: str, ids: list[str]) -> Reply:
    """OSDs of another class must be taken out of that first."""
    crush = service.pending_crush()
    said_so_far: list[str] = []
    updated: set[int] = set()
    every = bool(ids) and ids[0] in _ALL
    for word in _wanted(service, ids):
        try:
            osd = osd_id(word)
        except InvalidArgument as error:
            said_so_far.append(f'{error.message}, unable to parse osd id:"{word}". ')
            continue
        if not exists(service.osdmap, osd):
            said_so_far.append(f"osd.{osd} does not exist. ")
            continue
        crush.max_devices = max(crush.max_devices, osd + 1)
        crush.item_names.setdefault(osd, f"osd.{osd}")
        try:
            changed = set_device_class(crush, osd, class_)
        except CephError as error:
            text = "".join(said_so_far) + error.message
            raise CephError.from_errno(error.errno, text) from None
        if not changed:
            said_so_far.append(f"osd.{osd} already set to class {class_}. ")
        if changed or has_pending_crush(service):
            updated.add(osd)
        elif not every:
            said_so_far.append(
                f"set-device-class item id {osd} name 'osd.{osd}' device_class '{class_}':"
                " no change. "
            )
    said_so_far.append(f"set osd(s) {numbers(sorted(updated))} to class '{class_}'")
    return store_crush(service, crush, "".join(said_so_far))


def _wanted(service: OSDMapService, ids: Sequence[str]) -> Iterable[str]:
    if ids and ids[0] in _ALL:
        return [str(osd) for osd in all_osds(service.osdmap)]
    return ids


@commands.add(
    "osd crush rm-device-class",
    ids=text(repeated=True),
    perm="rw",
    help="take OSDs out of their device class",
)
def rm_class(service: OSDMapService, request: Request, ids: list[str]) -> Reply:
    """Rules that take the class are not asked."""
    crush = service.pending_crush()
    said_so_far: list[str] = []
    updated: set[int] = set()
    for word in _wanted(service, ids):
        try:
            osd = osd_id(word)
        except InvalidArgument as error:
            text = f'{error.message}, unable to parse osd id:"{word}". '
            raise InvalidArgument("".join(said_so_far) + text) from None
        if not exists(service.osdmap, osd):
            said_so_far.append(f"osd.{osd} does not exist. ")
        elif item_class(crush, osd) is None:
            said_so_far.append(f"osd.{osd} belongs to no class, ")
        else:
            remove_device_class(crush, osd)
            updated.add(osd)
    said_so_far.append(f"done removing class of osd(s): {numbers(sorted(updated))}")
    return store_crush(service, crush, "".join(said_so_far))


@commands.add("osd crush class create", class_=_CLASS, perm="rw", help="make a device class")
def create(service: OSDMapService, request: Request, class_: str) -> Reply:
    """It is empty at first."""
    there = f"class '{class_}' already exists"
    if not has_pending_crush(service) and class_id(service.osdmap.crush, class_) is not None:
        return said(there)
    crush = service.pending_crush()
    if class_id(crush, class_) is not None:
        return proposed(service, there)
    id = get_or_create_class(crush, class_)
    return store_crush(service, crush, f"created class {class_} with id {id} to crush map")


@commands.add("osd crush class rm", class_=_CLASS, perm="rw", help="remove a device class")
def remove(service: OSDMapService, request: Request, class_: str) -> Reply:
    """Not while a rule or a profile names it; its OSDs are without a class then."""
    if class_id(service.osdmap.crush, class_) is None:
        return said()
    crush = service.pending_crush()
    id = class_id(crush, class_)
    if id is None:
        return proposed(service)
    check_class_unused(crush, id)
    profiles = {
        **service.osdmap.erasure_code_profiles,
        **service.pending.new_erasure_code_profiles,
    }
    users = [
        name for name, one in sorted(profiles.items()) if one.get("crush-device-class") == class_
    ]
    if users:
        raise Busy(
            f"class '{class_}' is still referenced by erasure-code-profile(s): {','.join(users)}"
        )
    remove_class(crush, class_)
    return store_crush(service, crush, f"removed class {class_} with id {id} from crush map")


@commands.add(
    "osd crush class rename", srcname=_CLASS, dstname=_CLASS, perm="rw", help="rename a class"
)
def rename(service: OSDMapService, request: Request, srcname: str, dstname: str) -> Reply:
    """Rules follow."""
    crush = service.pending_crush()
    if class_id(crush, srcname) is None and class_id(crush, dstname) is not None:
        return said(f"already renamed to '{dstname}'")
    try:
        rename_class(crush, srcname, dstname)
    except CephError as error:
        text = f"fail to rename '{srcname}' to '{dstname}' : {error_text(error.errno)}"
        raise CephError.from_errno(error.errno, text) from None
    return store_crush(service, crush, f"rename class '{srcname}' to '{dstname}'")
