"""The manager map as a document, for `ceph mgr dump` and for managers' modules.

Shape: upstream `src/mon/MgrMap.h`.
"""

from __future__ import annotations

from spirula.conf.option import Level
from spirula.conf.values import OptionType
from spirula.maps.state import Release
from spirula.printing import Items
from spirula.types.entity import EntityAddrVec
from spirula.types.mgr import MgrMap, ModuleInfo, ModuleOption

_TYPES = tuple(kind.value for kind in OptionType)
_LEVELS = tuple(level.value for level in Level)


def _named(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else "unknown"


def _addrs(addrs: EntityAddrVec) -> dict[str, object]:
    return {"addrvec": Items("addr", [addr.plain() for addr in addrs.addrs])}


def module_document(module: ModuleInfo) -> dict[str, object]:
    """A module, and its options."""
    return {
        "name": module.name,
        "can_run": module.can_run,
        "error_string": module.error_string,
        "module_options": {
            name: _option(option) for name, option in sorted(module.module_options.items())
        },
    }


def _option(option: ModuleOption) -> dict[str, object]:
    return {
        "name": option.name,
        "type": _named(_TYPES, option.type),
        "level": _named(_LEVELS, option.level),
        "flags": option.flags,
        "default_value": option.default_value,
        "min": option.min,
        "max": option.max,
        "enum_allowed": Items("value", sorted(option.enum_allowed)),
        "desc": option.desc,
        "long_desc": option.long_desc,
        "tags": Items("tag", sorted(option.tags)),
        "see_also": Items("option", sorted(option.see_also)),
    }


def document(mgrmap: MgrMap) -> dict[str, object]:
    """`ceph mgr dump`."""
    names = mgrmap.client_names or [""] * len(mgrmap.clients)
    return {
        "epoch": mgrmap.epoch,
        "active_gid": mgrmap.active_gid,
        "active_name": mgrmap.active_name,
        "active_addrs": _addrs(mgrmap.active_addrs),
        "active_addr": mgrmap.active_addrs.legacy_or_front.without_type(),
        "active_change": str(mgrmap.active_change),
        "active_mgr_features": mgrmap.active_mgr_features,
        "available": mgrmap.available,
        "standbys": Items(
            "standby",
            [
                {
                    "gid": gid,
                    "name": standby.name,
                    "mgr_features": standby.mgr_features,
                    "available_modules": Items(
                        "module", map(module_document, standby.available_modules)
                    ),
                }
                for gid, standby in sorted(mgrmap.standbys.items())
            ],
        ),
        "modules": Items("module", sorted(mgrmap.modules)),
        "available_modules": Items("module", map(module_document, mgrmap.available_modules)),
        "services": dict(sorted(mgrmap.services.items())),
        "always_on_modules": {
            Release.name_of(release): Items("module", sorted(modules))
            for release, modules in sorted(mgrmap.always_on_modules.items())
        },
        "last_failure_osd_epoch": mgrmap.last_failure_osd_epoch,
        "active_clients": Items(
            "client",
            [
                {"name": name, **_addrs(addrs)}
                for name, addrs in zip(names, mgrmap.clients, strict=False)
            ],
        ),
    }
