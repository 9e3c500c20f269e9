"""Commands that make, rename and remove CRUSH rules.

Upstream: `src/mon/OSDMonitor.cc` (osd crush rule ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, text
from spirula.commands.reply import Reply, Retry, said
from spirula.commands.table import Commands
from spirula.crush.lookup import rule_id
from spirula.crush.rules import add_simple_rule, remove_rule
from spirula.crush.rules import rename_rule as rename_in
from spirula.denc.features import CRUSH_V2
from spirula.errors import Busy, InvalidArgument
from spirula.maps.query import crush_rule_in_use
from spirula.mon.services.osdmap.crush.checks import (
    check_cluster_features,
    proposed,
    store_crush,
    unexplained,
)
from spirula.mon.services.osdmap.crush.show import NAME
from spirula.mon.services.osdmap.pools.profiles import add_default_profile, code_of_profile

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_NAME = text(goodchars=NAME)


@commands.add(
    "osd crush rule create-simple",
    name=_NAME,
    root=_NAME,
    type=_NAME,
    mode=choices("firstn", "indep", required=False),
    perm="rw",
    help="make a rule for replicated pools: start from a root, spread over buckets of a type",
)
def create_simple(
    service: OSDMapService, request: Request, name: str, root: str, type: str, mode: str = "firstn"
) -> Reply:
    """`indep` is for erasure codes, where places matter."""
    return _create(service, name, root, type, "", mode)


@commands.add(
    "osd crush rule create-replicated",
    name=_NAME,
    root=_NAME,
    type=_NAME,
    class_=text(required=False, goodchars=NAME),
    perm="rw",
    help="make a rule for replicated pools, for devices of a class if one is given",
)
def create_replicated(
    service: OSDMapService, request: Request, name: str, root: str, type: str, class_: str = ""
) -> Reply:
    """Start from a root, spread over buckets of a type."""
    return _create(service, name, root, type, class_, "firstn")


def _create(
    service: OSDMapService, name: str, root: str, type: str, device_class: str, mode: str
) -> Reply:
    there = f"rule {name} already exists"
    if rule_id(service.osdmap.crush, name) is not None:
        return said(there)
    crush = service.pending_crush()
    if rule_id(crush, name) is not None:
        return proposed(service, there)
    add_simple_rule(crush, name, root, type, device_class=device_class, mode=mode)
    return store_crush(service, crush)


@commands.add(
    "osd crush rule create-erasure",
    name=_NAME,
    profile=text(required=False, goodchars="[A-Za-z0-9-_.=]"),
    perm="rw",
    help="make a rule for the erasure code of a profile",
)
def create_erasure(service: OSDMapService, request: Request, name: str, profile: str = "") -> Reply:
    """Without a profile the default one is taken, which is made if need be."""
    check_cluster_features(service, CRUSH_V2)
    profile = profile or "default"
    if profile == "default" and profile not in service.osdmap.erasure_code_profiles:
        add_default_profile(service, normalise=True)
        raise Retry
    there = f"rule {name} already exists"
    if rule_id(service.osdmap.crush, name) is not None:
        return said(there)
    number = create_erasure_rule(service, name, profile)
    return proposed(service, there if number is None else f"created rule {name} at {number}")


def create_erasure_rule(service: OSDMapService, name: str, profile: str) -> int | None:
    """Add the rule for the code of a profile to what is pending; gives its id.

    None where a rule of that name is pending already. Raises Retry while the profile is pending,
    and what `ErasureCode.create_rule` raises.
    """
    crush = service.pending_crush()
    if rule_id(crush, name) is not None:
        return None
    number = code_of_profile(service, profile).create_rule(crush, name)
    service.set_pending_crush(crush)
    return number


@commands.add("osd crush rule rm", name=_NAME, perm="rw", help="remove a rule")
def remove(service: OSDMapService, request: Request, name: str) -> Reply:
    """Not while a pool uses it."""
    gone = f"rule {name} does not exist"
    if rule_id(service.osdmap.crush, name) is None:
        return said(gone)
    crush = service.pending_crush()
    number = rule_id(crush, name)
    if number is None:
        return proposed(service, gone)
    rule = crush.rules[number]
    ruleset = rule.ruleset if rule else number
    if crush_rule_in_use(service.osdmap, ruleset):
        raise Busy(f"crush ruleset {name} {ruleset} is in use")
    with unexplained():
        remove_rule(crush, number)
    return store_crush(service, crush)


@commands.add(
    "osd crush rule rename", srcname=_NAME, dstname=_NAME, perm="rw", help="rename a rule"
)
def rename(service: OSDMapService, request: Request, srcname: str, dstname: str) -> Reply:
    """Pools go on using it: they name it by number."""
    if not srcname or not dstname:
        raise InvalidArgument("must specify both source rule name and destination rule name")
    if srcname == dstname:
        return said("destination rule name is equal to source rule name")
    crush = service.pending_crush()
    if rule_id(crush, srcname) is None and rule_id(crush, dstname) is not None:
        return said(f"already renamed to '{dstname}'")
    rename_in(crush, srcname, dstname)
    return store_crush(service, crush)
