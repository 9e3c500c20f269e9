"""Commands about what the cluster demands: releases of OSDs and clients, and how full is full.

Texts: upstream `src/mon/OSDMonitor.cc`, prepare_command_impl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, number, text
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import Commands
from spirula.denc import features as feature_bits
from spirula.denc.features import has
from spirula.errors import InvalidArgument, NotPermitted
from spirula.maps.features import min_compat_client, up_osd_features
from spirula.maps.query import up_osds
from spirula.maps.state import Release
from spirula.mon.quorum.status import combined_feature_map
from spirula.mon.services.osdmap.flags import NO_OSDS_UP
from spirula.mon.services.osdmap.initial import release_number
from spirula.printing import general
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_OSD_RELEASES = ("luminous", "mimic", "nautilus", "octopus", "pacific")
# Releases that can be asked of OSDs: what they must be able to do.
_OSD_FEATURES = {
    Release.MIMIC: feature_bits.SERVER_MIMIC,
    Release.NAUTILUS: feature_bits.SERVER_NAUTILUS,
    Release.OCTOPUS: feature_bits.SERVER_OCTOPUS,
    Release.PACIFIC: feature_bits.SERVER_PACIFIC,
}
# What a client of a release after that one can do as well (upstream ceph_release_features).
_CLIENT_FEATURES = (
    (Release.UNKNOWN, feature_bits.CRUSH_TUNABLES),
    (Release.CUTTLEFISH, feature_bits.CRUSH_TUNABLES2 | feature_bits.OSDHASHPSPOOL),
    (
        Release.EMPEROR,
        feature_bits.CRUSH_TUNABLES3
        | feature_bits.OSD_PRIMARY_AFFINITY
        | feature_bits.OSD_CACHEPOOL,
    ),
    (Release.GIANT, feature_bits.CRUSH_V4),
    (Release.INFERNALIS, feature_bits.CRUSH_TUNABLES5),
    (Release.JEWEL, feature_bits.MSG_ADDR2),
    (Release.KRAKEN, feature_bits.CRUSH_CHOOSE_ARGS),
)
_CLIENTS = {EntityType.CLIENT: "client", EntityType.MDS: "mds", EntityType.MGR: "mgr"}
_RATIO = number(0.0, 1.0)


def release_features(release: int) -> int:
    """What clients of a release can do, as far as maps depend on it."""
    found = 0
    for after, bits in _CLIENT_FEATURES:
        if release > after:
            found |= bits
    return found


@commands.add(
    "osd require-osd-release",
    release=choices(*_OSD_RELEASES),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="let only OSDs of that release and newer ones take part",
)
def require_osd_release(
    service: OSDMapService, request: Request, release: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd require-osd-release`."""
    osdmap, wanted, sure = service.osdmap, release_number(release), yes_i_really_mean_it
    if wanted == osdmap.require_osd_release:
        return said()
    if not up_osds(osdmap) and not sure:
        raise NotPermitted(NO_OSDS_UP)
    features = _OSD_FEATURES.get(wanted)
    if features is None:
        raise NotPermitted("not supported for this release yet")
    if not has(up_osd_features(osdmap), features) and not sure:
        raise NotPermitted(f"not all up OSDs have CEPH_FEATURE_SERVER_{wanted.name} feature")
    if wanted < osdmap.require_osd_release:
        raise NotPermitted("require_osd_release cannot be lowered once it has been set")
    service.pending.new_require_osd_release = wanted
    service.propose()
    return committed()


@commands.add(
    "osd set-require-min-compat-client",
    version=text(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="let the cluster use what clients of that release and newer ones understand",
)
def set_require_min_compat_client(
    service: OSDMapService, request: Request, version: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd set-require-min-compat-client`."""
    try:
        wanted = release_number(version)
    except InvalidArgument:
        raise InvalidArgument(f"version {version} is not recognized") from None
    used = min_compat_client(service.pending_map())
    if wanted < used:
        raise NotPermitted(
            f"osdmap current utilizes features that require {used.name.lower()};"
            f" cannot set require_min_compat_client below that to {wanted.name.lower()}"
        )
    if not yes_i_really_mean_it:
        _check_clients(service, wanted, version)
    service.pending.new_require_min_compat_client = wanted
    service.propose()
    return committed(f"set require_min_compat_client to {wanted.name.lower()}")


def _check_clients(service: OSDMapService, wanted: Release, version: str) -> None:
    """NotPermitted while clients are connected that are older."""
    needed = release_features(wanted)
    found = combined_feature_map(service.monitor.member)
    shut_out = []
    for kind, name in _CLIENTS.items():
        for features, count in sorted(found.m.get(kind, {}).items()):
            missing = ~features & needed
            if missing:
                shut_out.append(
                    f"{count} connected {name}(s) look like {feature_bits.release_of(features)}"
                    f" (missing 0x{missing:x})"
                )
    if shut_out:
        raise NotPermitted(
            f"cannot set require_min_compat_client to {version}: {'; '.join(shut_out)};"
            " add --yes-i-really-mean-it to do it anyway"
        )


@commands.add("osd set-full-ratio", ratio=_RATIO, perm="rw", help="set how full OSDs stop writing")
def set_full_ratio(service: OSDMapService, request: Request, ratio: float) -> Reply:
    """`ceph osd set-full-ratio`."""
    service.pending.new_full_ratio = ratio
    return _ratio_is_set(service, request, ratio)


@commands.add(
    "osd set-backfillfull-ratio",
    ratio=_RATIO,
    perm="rw",
    help="set how full OSDs take in no more PGs",
)
def set_backfillfull_ratio(service: OSDMapService, request: Request, ratio: float) -> Reply:
    """`ceph osd set-backfillfull-ratio`."""
    service.pending.new_backfillfull_ratio = ratio
    return _ratio_is_set(service, request, ratio)


@commands.add(
    "osd set-nearfull-ratio", ratio=_RATIO, perm="rw", help="set how full OSDs make health warn"
)
def set_nearfull_ratio(service: OSDMapService, request: Request, ratio: float) -> Reply:
    """`ceph osd set-nearfull-ratio`."""
    service.pending.new_nearfull_ratio = ratio
    return _ratio_is_set(service, request, ratio)


def _ratio_is_set(service: OSDMapService, request: Request, ratio: float) -> Reply:
    service.propose()
    return committed(f"{request.prefix} {general(ratio)}")
