"""The manager map in print. Shapes: upstream `src/mon/MgrMap.h`, `MgrMonitor.cc`."""

from __future__ import annotations

from spirula.conf.option import Level
from spirula.conf.values import OptionType
from spirula.maps.state import Release
from spirula.mon.services.mgrmap import active
from spirula.mon.services.monmap.show import addrs_document
from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.mgr import MgrMap, ModuleInfo, ModuleOption

_TYPES = tuple(kind.value for kind in OptionType)
_LEVELS = tuple(level.value for level in Level)


def _named(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else "unknown"


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
        "active_addrs": addrs_document(mgrmap.active_addrs),
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
                {"name": name, **addrs_document(addrs)}
                for name, addrs in zip(names, mgrmap.clients, strict=False)
            ],
        ),
    }


def summary_document(mgrmap: MgrMap) -> dict[str, object]:
    """What `ceph status` says of it."""
    return {
        "available": mgrmap.available,
        "num_standbys": len(mgrmap.standbys),
        "modules": Items("module", sorted(mgrmap.modules)),
        "services": dict(sorted(mgrmap.services.items())),
    }


def summary(mgrmap: MgrMap, now: float) -> str:
    """`x(active, since 3m), standbys: y`."""
    changed = float(mgrmap.active_change)
    since = f"since {UTime.at(max(now - changed, 0.0)).span_text()}" if changed else ""
    if mgrmap.active_gid:
        state = "active" if mgrmap.available else "active, starting"
        text = f"{mgrmap.active_name}({', '.join(filter(None, (state, since)))})"
    else:
        text = "no daemons active" + (f" ({since})" if since else "")
    if mgrmap.standbys:
        names = ", ".join(one.name for _, one in sorted(mgrmap.standbys.items()))
        text += f", standbys: {names}"
    return text


def modules_document(mgrmap: MgrMap, release: int) -> dict[str, object]:
    """`ceph mgr module ls`: names of what is on, all about what could be switched on."""
    fixed = active.always_on(mgrmap, release)
    off = [one for one in mgrmap.available_modules if one.name not in mgrmap.modules | fixed]
    return {
        "always_on_modules": Items("module", sorted(fixed)),
        "enabled_modules": Items("module", sorted(mgrmap.modules - fixed)),
        "disabled_modules": Items("module", map(module_document, off)),
    }
