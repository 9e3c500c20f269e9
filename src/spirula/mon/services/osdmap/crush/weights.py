"""Commands that change weights in the CRUSH map, and the weight sets beside them.

Upstream: `src/mon/OSDMonitor.cc` (osd crush reweight ..., osd crush weight-set ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, number, pool_name, text
from spirula.commands.reply import Reply, said
from spirula.commands.table import Commands
from spirula.crush.bucket_items import positions_of
from spirula.crush.lookup import find_item
from spirula.crush.map import BucketAlg
from spirula.crush.weights import (
    COMPAT,
    adjust_item_weight,
    adjust_subtree_weight,
    choose_args_adjust_item_weight,
    create_choose_args,
    fixed,
    reweight,
    rm_choose_args,
)
from spirula.errors import Exists, InvalidArgument, NotFound, NotPermitted
from spirula.maps.query import find_pool
from spirula.maps.state import Release
from spirula.mon.services.osdmap.crush.checks import store_crush, unexplained
from spirula.mon.services.osdmap.crush.places import updates_weight_sets
from spirula.mon.services.osdmap.crush.show import NAME
from spirula.printing import general

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_NAME = text(goodchars=NAME)


@commands.add("osd crush reweight-all", perm="rw", help="weigh all buckets anew")
def reweight_all(service: OSDMapService, request: Request) -> Reply:
    """Each weighs what its items weigh together."""
    crush = service.pending_crush()
    with unexplained():
        reweight(crush)
    return store_crush(service, crush, "reweighted crush hierarchy")


@commands.add(
    "osd crush reweight", name=_NAME, weight=number(0.0), perm="rw", help="set an OSD's weight"
)
def reweight_item(service: OSDMapService, request: Request, name: str, weight: float) -> Reply:
    """Everywhere in the hierarchy."""
    crush = service.pending_crush()
    id = find_item(crush, name)
    if id is None:
        raise NotFound(f"device '{name}' does not appear in the crush map")
    if id < 0:
        raise InvalidArgument(f"device '{name}' is not a leaf in the crush map")
    with unexplained():
        adjust_item_weight(crush, id, fixed(weight), weight_sets=updates_weight_sets(service))
    outs = f"reweighted item id {id} name '{name}' to {general(weight)} in crush map"
    return store_crush(service, crush, outs)


@commands.add(
    "osd crush reweight-subtree",
    name=_NAME,
    weight=number(0.0),
    perm="rw",
    help="set the weight of all OSDs below a bucket",
)
def reweight_subtree(service: OSDMapService, request: Request, name: str, weight: float) -> Reply:
    """All get the same one."""
    crush = service.pending_crush()
    id = find_item(crush, name)
    if id is None:
        raise NotFound(f"device '{name}' does not appear in the crush map")
    if id >= 0:
        raise InvalidArgument(f"device '{name}' is not a subtree in the crush map")
    with unexplained():
        adjust_subtree_weight(crush, id, fixed(weight), weight_sets=updates_weight_sets(service))
    outs = f"reweighted subtree id {id} name '{name}' to {general(weight)} in crush map"
    return store_crush(service, crush, outs)


# ------------------------------------------------------------------------------------ weight sets


@commands.add(
    "osd crush weight-set create",
    pool=pool_name(),
    mode=choices("flat", "positional"),
    perm="rw",
    help="make a weight set for a pool, with one weight for all replicas or one for each",
)
def create_set(service: OSDMapService, request: Request, pool: str, mode: str) -> Reply:
    """Other weights for one pool, to even it out; clients before luminous do not know of it."""
    crush = service.pending_crush()
    _check_straw2(service)
    osdmap = service.osdmap
    required = osdmap.require_min_compat_client
    if Release.UNKNOWN != required < Release.LUMINOUS:
        raise NotPermitted(
            f"require_min_compat_client {Release.name_of(required)} < luminous, which is required"
            " for per-pool weight-sets. Try 'ceph osd set-require-min-compat-client luminous'"
            " before using the new interface"
        )
    key = _pool(service, pool)
    positions = 1 if mode == "flat" else osdmap.pools[key].size
    try:
        create_choose_args(crush, key, positions)
    except Exists:
        return said(f"weight-set for pool '{pool}' already created")
    return store_crush(service, crush)


@commands.add(
    "osd crush weight-set create-compat",
    perm="rw",
    help="make a weight set that also old clients obey",
)
def create_compat(service: OSDMapService, request: Request) -> Reply:
    """They are given it in place of the weights."""
    crush = service.pending_crush()
    _check_straw2(service)
    try:
        create_choose_args(crush, COMPAT, 1)
    except Exists:
        return said("compat weight-set already created")
    return store_crush(service, crush)


def _check_straw2(service: OSDMapService) -> None:
    crush = service.pending_crush()
    if any(bucket and bucket.alg != BucketAlg.STRAW2 for bucket in crush.buckets):
        raise NotPermitted("crush map contains one or more bucket(s) that are not straw2")


def _pool(service: OSDMapService, name: str) -> int:
    found = find_pool(service.osdmap, name)
    if found is None:
        raise NotFound(f"pool '{name}' not found")
    return found


@commands.add(
    "osd crush weight-set rm", pool=pool_name(), perm="rw", help="remove a pool's weight set"
)
def remove_set(service: OSDMapService, request: Request, pool: str) -> Reply:
    """Whether there is one or not."""
    crush = service.pending_crush()
    rm_choose_args(crush, _pool(service, pool))
    return store_crush(service, crush)


@commands.add(
    "osd crush weight-set rm-compat", perm="rw", help="remove the weight set of old clients"
)
def remove_compat(service: OSDMapService, request: Request) -> Reply:
    """Whether there is one or not."""
    crush = service.pending_crush()
    rm_choose_args(crush, COMPAT)
    return store_crush(service, crush)


@commands.add(
    "osd crush weight-set reweight",
    pool=pool_name(),
    item=text(),
    weight=number(0.0, repeated=True),
    perm="rw",
    help="set an item's weights in a pool's weight set",
)
def reweight_set(
    service: OSDMapService, request: Request, pool: str, item: str, weight: list[float]
) -> Reply:
    """As many weights as the set has positions."""
    key = _pool(service, pool)
    crush = service.pending_crush()
    args = crush.choose_args.get(key)
    if args is None:
        raise NotFound(f"no weight-set for pool '{pool}'")
    positions = positions_of(args)
    if len(weight) != positions:
        raise InvalidArgument(f"must specify exact {positions} weight values")
    return _reweight_set(service, key, item, weight)


@commands.add(
    "osd crush weight-set reweight-compat",
    item=text(),
    weight=number(0.0, repeated=True),
    perm="rw",
    help="set an item's weight in the weight set of old clients",
)
def reweight_compat(
    service: OSDMapService, request: Request, item: str, weight: list[float]
) -> Reply:
    """One weight."""
    if COMPAT not in service.pending_crush().choose_args:
        raise NotFound("no backward-compatible weight-set")
    return _reweight_set(service, COMPAT, item, weight)


def _reweight_set(service: OSDMapService, key: int, item: str, weight: list[float]) -> Reply:
    crush = service.pending_crush()
    id = find_item(crush, item)
    if id is None:
        raise NotFound(f"item '{item}' does not exist")
    choose_args_adjust_item_weight(crush, key, id, [fixed(one) for one in weight])
    return store_crush(service, crush)
