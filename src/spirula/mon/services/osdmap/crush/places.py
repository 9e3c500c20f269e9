"""Commands that say where OSDs and buckets are in the CRUSH hierarchy.

Upstream: `src/mon/OSDMonitor.cc` (osd crush add, set, move, link, rm ...). Where upstream gives no
reason for a failure, the errno's own text is all that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import flag, number, osd_name, osd_number, text
from spirula.commands.reply import Reply, said
from spirula.commands.table import CommandFlag, Commands
from spirula.crush.bucket_items import new_bucket
from spirula.crush.classes import is_valid_name
from spirula.crush.edit import (
    check_rename,
    create_or_move_item,
    insert_item,
    link_bucket,
    move_bucket,
    remove_item,
    remove_item_under,
    rename_bucket,
    swap_bucket,
    update_item,
)
from spirula.crush.lookup import (
    find_bucket,
    find_item,
    immediate_parent,
    show_location,
    type_id,
    weight_at,
)
from spirula.crush.map import BucketAlg
from spirula.crush.wire import CrushWrapper
from spirula.errors import AlreadyDone, CephError, InvalidArgument, NotFound, NotPermitted
from spirula.maps.state import exists
from spirula.mon.services.osdmap.crush.checks import (
    error_text,
    has_pending_crush,
    location_of,
    proposed,
    store_crush,
    unexplained,
)
from spirula.mon.services.osdmap.crush.show import NAME
from spirula.printing import general

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_NAME = text(goodchars=NAME)
_PLACE = text(repeated=True, goodchars="[A-Za-z0-9-_.=]")
_WEIGHT = number(0.0)


# ------------------------------------------------------------------------------------------- OSDs


@commands.add(
    "osd crush set",
    id=osd_name(),
    weight=_WEIGHT,
    args=_PLACE,
    perm="rw",
    help="set an OSD's weight and place",
)
def set_item(
    service: OSDMapService, request: Request, id: str, weight: float, args: list[str]
) -> Reply:
    """The OSD must be in the map already."""
    osd = _existing(service, id, " does not exist. Create it before updating the crush map")
    what, location = _described(osd, weight, args)
    if osd not in service.osdmap.crush.item_names:
        raise NotFound(f"unable to set item id {what}: does not exist")
    return _place(service, "set", osd, weight, location, what)


@commands.add(
    "osd crush add",
    id=osd_name(),
    weight=_WEIGHT,
    args=_PLACE,
    perm="rw",
    help="add an OSD with a weight and a place",
)
def add_item(
    service: OSDMapService, request: Request, id: str, weight: float, args: list[str]
) -> Reply:
    """An OSD that is at the place already gets the weight."""
    osd = _existing(service, id, " does not exist. Create it before updating the crush map")
    what, location = _described(osd, weight, args)
    return _place(service, "add", osd, weight, location, what)


def _existing(service: OSDMapService, word: str, otherwise: str) -> int:
    osd = osd_number(word)
    if not exists(service.osdmap, osd):
        raise NotFound(f"osd.{osd}{otherwise}")
    return osd


def _described(osd: int, weight: float, args: list[str]) -> tuple[str, dict[str, str]]:
    location = location_of(args)
    text = f"{osd} name 'osd.{osd}' weight {general(weight)} at location {show_location(location)}"
    return text, location


def _place(
    service: OSDMapService, verb: str, osd: int, weight: float, location: dict[str, str], what: str
) -> Reply:
    crush = service.pending_crush()
    name = f"osd.{osd}"
    changed = True
    with unexplained():
        if verb == "set" or weight_at(crush, osd, location) is not None:
            verb = "set"
            changed = update_item(crush, osd, weight, name, location)
        else:
            insert_item(crush, osd, weight, name, location)
    if not changed and not has_pending_crush(service):
        return said(f"{verb} item id {what}: no change")
    return store_crush(service, crush, f"{verb} item id {what} to crush map")


@commands.add(
    "osd crush create-or-move",
    id=osd_name(),
    weight=_WEIGHT,
    args=_PLACE,
    perm="rw",
    help="add an OSD, or move it and leave its weight",
)
def create_or_move(
    service: OSDMapService, request: Request, id: str, weight: float, args: list[str]
) -> Reply:
    """What OSDs ask for when they start."""
    osd = _existing(service, id, " does not exist.  create it before updating the crush map")
    location = location_of(args)
    rest = (
        f"item name 'osd.{osd}' weight {general(weight)} at location {show_location(location)}"
        " to crush map"
    )
    crush = service.pending_crush()
    with unexplained():
        changed = create_or_move_item(
            crush,
            osd,
            weight,
            f"osd.{osd}",
            location,
            init_weight_sets=updates_weight_sets(service),
        )
    if not changed:
        return said(f"create-or-move updated {rest}")
    return store_crush(service, crush, f"create-or-move updating {rest}")


def updates_weight_sets(service: OSDMapService) -> bool:
    """Whether weight sets follow the weights that are set."""
    return service.monitor.config.get_bool("osd_crush_update_weight_set")


# ---------------------------------------------------------------------------------------- buckets


@commands.add(
    "osd crush add-bucket",
    name=_NAME,
    type=text(),
    args=text(required=False, repeated=True, goodchars="[A-Za-z0-9-_.=]"),
    perm="rw",
    help="make an empty bucket, at a place if one is given",
)
def add_bucket(
    service: OSDMapService, request: Request, name: str, type: str, args: list[str]
) -> Reply:
    """A bucket of that name that exists is left where it is."""
    location = location_of(args)
    there = f"bucket '{name}' already exists"
    if not has_pending_crush(service) and find_item(service.osdmap.crush, name) is not None:
        return said(there)
    crush = service.pending_crush()
    if find_item(crush, name) is not None:
        return proposed(service, there)
    number = type_id(crush, type)
    if number is None or number < 0:
        raise InvalidArgument(f"type '{type}' does not exist")
    if number == 0:
        raise InvalidArgument(f"type '{type}' is for devices, not buckets")
    if not is_valid_name(name):
        raise InvalidArgument(f"error setting bucket name to '{name}'")
    bucket = new_bucket(crush, number, [], [])
    crush.item_names[bucket.id] = name
    outs = f"added bucket {name} type {type} to crush map"
    if location:
        shown = show_location(location)
        outs = f"added bucket {name} type {type} to location {shown}"
        try:
            move_bucket(crush, bucket.id, location)
        except CephError as error:
            text = f"error moving bucket '{name}' to location {shown}"
            raise CephError.from_errno(error.errno, text) from None
    return store_crush(service, crush, outs)


@commands.add(
    "osd crush rename-bucket", srcname=_NAME, dstname=_NAME, perm="rw", help="rename a bucket"
)
def rename(service: OSDMapService, request: Request, srcname: str, dstname: str) -> Reply:
    """Done already where only the new name exists."""
    try:
        if not has_pending_crush(service):
            check_rename(service.osdmap.crush, srcname, dstname, bucket=True)
        crush = service.pending_crush()
        rename_bucket(crush, srcname, dstname)
    except AlreadyDone as error:
        return proposed(service, error.message)
    return store_crush(service, crush, f"renamed bucket {srcname} into {dstname}")


@commands.add(
    "osd crush move", name=_NAME, args=_PLACE, perm="rw", help="move an OSD or bucket elsewhere"
)
def move(service: OSDMapService, request: Request, name: str, args: list[str]) -> Reply:
    """All that a bucket contains goes with it."""
    location = location_of(args)
    crush = service.pending_crush()
    id = _item(crush, name)
    rest = f"item id {id} name '{name}' to location {show_location(location)} in crush map"
    if weight_at(crush, id, location) is not None:
        return said(f"no need to move {rest}")
    with unexplained():
        if id >= 0:
            update = updates_weight_sets(service)
            create_or_move_item(crush, id, 0.0, name, location, init_weight_sets=update)
        else:
            move_bucket(crush, id, location)
    return store_crush(service, crush, f"moved {rest}")


def _item(crush: CrushWrapper, name: str) -> int:
    id = find_item(crush, name)
    if id is None:
        raise NotFound(f"item {name} does not exist")
    return id


@commands.add(
    "osd crush link",
    name=text(),
    args=_PLACE,
    perm="rw",
    help="put a bucket to another place, too",
)
def link(service: OSDMapService, request: Request, name: str, args: list[str]) -> Reply:
    """It is then contained in several buckets."""
    location = location_of(args)
    shown = show_location(location)
    committed_crush = service.osdmap.crush
    id = _item(committed_crush, name)
    if weight_at(committed_crush, id, location) is not None:
        return said(f"no need to move item id {id} name '{name}' to location {shown} in crush map")
    crush = service.pending_crush()
    id = _item(crush, name)
    rest = f"item id {id} name '{name}' to location {shown}"
    if weight_at(crush, id, location) is not None:
        return proposed(service, f"no need to move {rest} in crush map")
    try:
        link_bucket(crush, id, location)
    except CephError as error:
        raise CephError.from_errno(error.errno, f"cannot link {rest}") from None
    return store_crush(service, crush, f"linked {rest} in crush map")


@commands.add(
    "osd crush swap-bucket",
    source=_NAME,
    dest=_NAME,
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="exchange what two buckets contain",
)
def swap(
    service: OSDMapService,
    request: Request,
    source: str,
    dest: str,
    yes_i_really_mean_it: bool = False,
) -> Reply:
    """For replacing hosts: build the new one aside, then swap."""
    crush = service.pending_crush()
    first, second = find_item(crush, source), find_item(crush, dest)
    if first is None:
        raise NotFound(f"source item {source} does not exist")
    if second is None:
        raise NotFound(f"dest item {dest} does not exist")
    anyway = "pass --yes-i-really-mean-it to proceed anyway"
    if not yes_i_really_mean_it:
        if immediate_parent(crush, first) is not None:
            raise NotPermitted(f"source item {source} is not an orphan bucket; {anyway}")
        algs = [_alg(crush, first), _alg(crush, second)]
        if algs[0] != algs[1]:
            raise NotPermitted(
                f"source bucket alg {algs[0]} != dest bucket alg {algs[1]}; {anyway}"
            )
    try:
        swap_bucket(crush, first, second)
    except CephError as error:
        text = f"failed to swap bucket contents: {error_text(error.errno)}"
        raise CephError.from_errno(error.errno, text) from None
    return store_crush(service, crush, f"swapped bucket of {source} to {dest}")


def _alg(crush: CrushWrapper, id: int) -> str:
    bucket = find_bucket(crush, id)
    known = bucket is not None and bucket.alg in set(BucketAlg)
    return BucketAlg(bucket.alg).name.lower() if bucket and known else "unknown"


# --------------------------------------------------------------------------------------- removing

_ANCESTOR = text(required=False, goodchars=NAME)


@commands.add(
    "osd crush rm", name=_NAME, ancestor=_ANCESTOR, perm="rw", help="remove an OSD or bucket"
)
@commands.add(
    "osd crush remove",
    name=_NAME,
    ancestor=_ANCESTOR,
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="remove an OSD or bucket",
)
def remove(service: OSDMapService, request: Request, name: str, ancestor: str = "") -> Reply:
    """From everywhere, or only from below a bucket."""
    return _remove(service, name, ancestor, unlink_only=False)


@commands.add(
    "osd crush unlink",
    name=_NAME,
    ancestor=_ANCESTOR,
    perm="rw",
    help="take an OSD or bucket from its place, but leave it in the map",
)
def unlink(service: OSDMapService, request: Request, name: str, ancestor: str = "") -> Reply:
    """From everywhere, or only from below a bucket."""
    return _remove(service, name, ancestor, unlink_only=True)


def _remove(service: OSDMapService, name: str, ancestor: str, *, unlink_only: bool) -> Reply:
    gone = f"device '{name}' does not appear in the crush map"
    if find_item(service.osdmap.crush, name) is None:
        return said(gone)
    crush = service.pending_crush()
    id = find_item(crush, name)
    if id is None:
        return proposed(service, gone)
    above = find_item(crush, ancestor) if ancestor else 0
    if above is None:
        raise NotFound(f"ancestor item '{ancestor}' does not appear in the crush map")
    try:
        with unexplained():
            if above < 0:
                remove_item_under(crush, id, above, unlink_only=unlink_only)
            else:
                remove_item(crush, id, unlink_only=unlink_only)
    except NotFound:
        return said(f"item {id} does not appear in that position")
    if not unlink_only:
        service.pending.new_crush_node_flags[id] = 0
    return store_crush(service, crush, f"removed item id {id} name '{name}' from crush map")
