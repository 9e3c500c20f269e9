"""Which manager is active: changes to a pending manager map, without any clock or store.

`standbys` that are named twice, modules that all managers have and the like follow upstream
`src/mon/MgrMonitor.cc` and `MgrMap.h`. Called by the service and its commands.
"""

from __future__ import annotations

from spirula.messages.mgr import MMgrBeacon
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mgr import MgrMap, StandbyInfo

_COMMON = ("balancer", "crash", "devicehealth", "progress", "rbd_support", "status", "volumes")
_NEWER = (*_COMMON, "orchestrator", "pg_autoscaler", "telemetry")
ALWAYS_ON = {
    14: {*_COMMON, "orchestrator_cli"},
    15: set(_NEWER),
    16: set(_NEWER),
}
"""Modules that cannot be switched off, by the release of the monitors."""


def copy(mgrmap: MgrMap) -> MgrMap:
    """A map of its own to change."""
    return MgrMap.decode(mgrmap.encode())


def all_names(mgrmap: MgrMap) -> list[str]:
    """Names of all managers, sorted."""
    names = {standby.name for standby in mgrmap.standbys.values()}
    return sorted(names | {mgrmap.active_name} if mgrmap.active_name else names)


def standby_named(mgrmap: MgrMap, name: str) -> int | None:
    """The number of a standby of that name."""
    return next((gid for gid, one in mgrmap.standbys.items() if one.name == name), None)


def always_on(mgrmap: MgrMap, release: int) -> set[str]:
    """The modules that are on in any case."""
    return mgrmap.always_on_modules.get(release, set())


def all_support(mgrmap: MgrMap, module: str) -> bool:
    """Whether the active manager and all that stand by have a module."""
    return any(one.name == module for one in mgrmap.available_modules) and all(
        module in standby.module_names() for standby in mgrmap.standbys.values()
    )


def why_not_run(mgrmap: MgrMap, module: str) -> str | None:
    """Why the active manager cannot run a module; None if it can or does not have it."""
    for one in mgrmap.available_modules:
        if one.name == module and not one.can_run:
            return one.error_string
    return None


def activate(mgrmap: MgrMap, beacon: MMgrBeacon, now: UTime) -> None:
    """There is no active manager: let this one begin."""
    mgrmap.standbys.pop(beacon.gid, None)
    mgrmap.active_gid = beacon.gid
    mgrmap.active_name = beacon.name
    mgrmap.active_change = now
    mgrmap.active_mgr_features = beacon.mgr_features
    mgrmap.available_modules = beacon.modules


def drop_active(mgrmap: MgrMap, now: UTime, blocklisted_in: int) -> None:
    """There is no active manager any more; OSDs refuse the last one from that epoch on."""
    mgrmap.active_name = ""
    mgrmap.active_gid = 0
    mgrmap.active_change = now
    mgrmap.active_mgr_features = 0
    mgrmap.available = False
    mgrmap.active_addrs = EntityAddrVec()
    mgrmap.services = {}
    mgrmap.clients = []
    mgrmap.client_names = []
    mgrmap.last_failure_osd_epoch = blocklisted_in


def promote_standby(mgrmap: MgrMap, now: UTime) -> bool:
    """Let one of those that stand by take over; False if there is none."""
    if not mgrmap.standbys:
        return False
    gid = min(mgrmap.standbys)
    standby = mgrmap.standbys.pop(gid)
    mgrmap.active_gid = gid
    mgrmap.active_name = standby.name
    mgrmap.active_mgr_features = standby.mgr_features
    mgrmap.available_modules = standby.available_modules
    mgrmap.available = False
    mgrmap.active_addrs = EntityAddrVec()
    mgrmap.active_change = now
    return True


def update_active(mgrmap: MgrMap, beacon: MMgrBeacon) -> bool:
    """What the active manager says of itself; whether any of it is new, but for `available`."""
    names = list(beacon.client_names)
    before = (
        mgrmap.services,
        mgrmap.active_addrs,
        mgrmap.available_modules,
        mgrmap.clients,
        mgrmap.client_names,
    )
    after = (beacon.services, beacon.server_addrs, beacon.modules, beacon.clients, names)
    if before == after:
        return False
    (
        mgrmap.services,
        mgrmap.active_addrs,
        mgrmap.available_modules,
        mgrmap.clients,
        mgrmap.client_names,
    ) = after
    return True


def update_standby(mgrmap: MgrMap, beacon: MMgrBeacon) -> tuple[bool, bool]:
    """A manager stands by: whether anything is new, and whether the manager is."""
    known = mgrmap.standbys.get(beacon.gid)
    if known is None:
        mgrmap.standbys[beacon.gid] = StandbyInfo(
            beacon.gid,
            beacon.name,
            {module.name for module in beacon.modules},
            beacon.modules,
            beacon.mgr_features,
        )
        return True, True
    if known.available_modules == beacon.modules:
        return False, False
    known.available_modules = beacon.modules
    known.old_available_modules = {module.name for module in beacon.modules}
    return True, False
