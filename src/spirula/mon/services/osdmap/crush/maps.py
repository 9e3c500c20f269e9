"""Commands about a CRUSH map as a whole: set it, its tunables, its kind of buckets.

Upstream: `src/mon/OSDMonitor.cc` (osd setcrushmap, osd crush tunables ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, integer
from spirula.commands.reply import Reply, Retry, said
from spirula.commands.table import Commands
from spirula.crush.build import PROFILES, finalize, set_tunables, settle_choose_args
from spirula.crush.check import check_named
from spirula.crush.edit import straw_to_straw2
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, InvalidArgument, NotPermitted, WireError
from spirula.maps.query import validate_crush_rules
from spirula.mon.services.osdmap.crush.checks import (
    has_pending_crush,
    proposed,
    smoke_test,
    store_crush,
    validate_crush,
)
from spirula.mon.services.osdmap.show import map_of_epoch

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_TUNABLE = choices("straw_calc_version")


@commands.add(
    "osd getcrushmap",
    epoch=integer(0, required=False),
    perm="r",
    help="give the encoded CRUSH map; its version is the status line",
)
def get_map(service: OSDMapService, request: Request, epoch: int | None = None) -> Reply:
    """`ceph osd getcrushmap`: of the newest OSD map, or that of an epoch."""
    osdmap = map_of_epoch(service, epoch)
    features = service.monitor.member.state.quorum_features
    return said(str(osdmap.crush_version), osdmap.crush.encode(features))


@commands.add(
    "osd setcrushmap",
    prior_version=integer(required=False),
    perm="rw",
    help="set the CRUSH map from a file",
)
@commands.add(
    "osd crush set",
    prior_version=integer(required=False),
    perm="rw",
    help="set the CRUSH map from a file",
)
def set_map(service: OSDMapService, request: Request, prior_version: int | None = None) -> Reply:
    """The new map comes as the command's data; `prior_version` guards against another's change."""
    if "id" in request.given:
        # the other `osd crush set`, which found something wrong with its arguments
        raise InvalidArgument("osd crush set needs an OSD, a weight and a location")
    if has_pending_crush(service):
        raise Retry
    osdmap = service.osdmap
    data = request.data
    try:
        crush = CrushWrapper.decode(data)
        check_named(crush)
        settle_choose_args(crush)
        finalize(crush)
    except (WireError, CephError) as error:
        raise InvalidArgument(f"Failed to parse crushmap: {error}") from None
    if prior_version is not None and prior_version != osdmap.crush_version:
        same = crush.encode() == osdmap.crush.encode()
        if prior_version == osdmap.crush_version - 1 and same:
            # sent again by a client that has lost the answer
            return said(str(osdmap.crush_version))
        raise NotPermitted(f"prior_version {prior_version} != crush version {osdmap.crush_version}")
    if any(rule and rule.ruleset != number for number, rule in enumerate(crush.rules)):
        raise InvalidArgument("crush maps with ruleset != ruleid are no longer allowed")
    _check(service, crush)
    service.pending.crush = data
    return proposed(service, str(osdmap.crush_version + 1))


def _check(service: OSDMapService, crush: CrushWrapper) -> None:
    """Everything that a map must be before the cluster gets it."""
    test = service.monitor.config.get_bool("mon_osd_crush_smoke_test")
    try:
        smoke_test(crush)
    except CephError as error:
        # Such maps would harm the monitor itself, so this is looked at in any case.
        kind = "crush smoke test" if test else "crush map check"
        text = f"{kind} failed with {-error.errno}: {error.message}"
        raise CephError.from_errno(error.errno, text) from None
    validate_crush(service, crush)
    validate_crush_rules(service.osdmap, crush)


@commands.add(
    "osd crush set-all-straw-buckets-to-straw2",
    perm="rw",
    help="turn all straw buckets into straw2 buckets",
)
def set_straw2(service: OSDMapService, request: Request) -> Reply:
    """Straw2 is fairer, and reweighting one item moves no other's data."""
    crush = service.pending_crush()
    straw_to_straw2(crush)
    validate_crush(service, crush)
    return store_crush(service, crush)


@commands.add(
    "osd crush tunables",
    profile=choices(
        "legacy", "argonaut", "bobtail", "firefly", "hammer", "jewel", "optimal", "default"
    ),
    perm="rw",
    help="set the CRUSH tunables to those of a release",
)
def tunables(service: OSDMapService, request: Request, profile: str) -> Reply:
    """All tunables at once."""
    if profile not in PROFILES:
        raise InvalidArgument(f"unrecognized profile '{profile}'")
    crush = service.pending_crush()
    set_tunables(crush.tunables, profile)
    validate_crush(service, crush)
    return store_crush(service, crush, f"adjusted tunables profile to {profile}")


@commands.add(
    "osd crush set-tunable",
    tunable=_TUNABLE,
    value=integer(),
    perm="rw",
    help="set one CRUSH tunable",
)
def set_tunable(service: OSDMapService, request: Request, tunable: str, value: int) -> Reply:
    """Only `straw_calc_version` can be set alone."""
    if value not in (0, 1):
        raise InvalidArgument(f"value must be 0 or 1; got {value}")
    crush = service.pending_crush()
    crush.tunables.straw_calc_version = value
    validate_crush(service, crush)
    return store_crush(service, crush, f"adjusted tunable {tunable} to {value}")


@commands.add("osd crush get-tunable", tunable=_TUNABLE, perm="r", help="show a CRUSH tunable")
def get_tunable(service: OSDMapService, request: Request, tunable: str) -> Reply:
    """Only `straw_calc_version` can be asked for."""
    value = service.osdmap.crush.tunables.straw_calc_version
    if request.is_plain:
        return said(data=f"{value}\n")
    return said(data=request.render({tunable: value}, "tunable"))
