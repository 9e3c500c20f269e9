"""The manager map in print. Shapes: upstream `src/mon/MgrMap.h`, `MgrMonitor.cc`."""

from __future__ import annotations

from spirula.commands.mgr_map import module_document
from spirula.mon.services.mgrmap import active
from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.mgr import MgrMap


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
