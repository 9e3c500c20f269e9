"""What a module gets when it asks for something by name (`self.get("osd_map")`).

Names and shapes: upstream `src/mgr/ActivePyModules.cc` (get_python). Called on the manager's loop.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from spirula.commands.mgr_map import document as mgr_map_document
from spirula.crush.dump import dump as dump_crush
from spirula.crush.text.decompiler import decompile_map
from spirula.maps.dump.document import osdmap_document
from spirula.maps.dump.tree import tree_document
from spirula.mgr.commands import pgs, pools
from spirula.mgr.devices import all_devices
from spirula.mgr.state import Manager
from spirula.pgmap import services, show, usage
from spirula.pgmap.digest import make_digest
from spirula.pgmap.summary import document as summary_document
from spirula.pgmap.summary import states_by_pool
from spirula.printing import Unquoted
from spirula.types import fsmap
from spirula.types.fsmap import EmptyFSMap
from spirula.types.pg import PGState, pg_state_text

_FAMILIES = ("osd_map", "config")
_ACTIVE_CLEAN = int(PGState.ACTIVE | PGState.CLEAN)


def plain(value: Any) -> Any:
    """A document as plain Python values: numbers in print become numbers."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Unquoted):
        return float(value)
    return value


def get(manager: Manager, what: str) -> Any:
    """A document by its name.

    For a name that nobody knows None, or nothing in particular where upstream asks for the
    beginning of the name only.
    """
    if what.startswith("device "):
        device = all_devices(manager).get(what.removeprefix("device "))
        return {"device": plain(device.document())} if device else {}
    view = _VIEWS.get(what)
    if view is None:
        return {} if what.startswith(_FAMILIES) else None
    return plain(view(manager))


def _pg_summary(manager: Manager) -> dict[str, Any]:
    by_osd: dict[str, Counter[str]] = {}
    by_pool: dict[str, Counter[str]] = {}
    everything: Counter[str] = Counter()
    for pgid, stat in manager.pgmap.pg_stat.items():
        state = pg_state_text(stat.state)
        by_pool.setdefault(str(pgid.pool), Counter())[state] += 1
        for osd in stat.acting:
            by_osd.setdefault(str(osd), Counter())[state] += 1
        everything[state] += 1
    return {
        "by_osd": {osd: dict(states) for osd, states in sorted(by_osd.items())},
        "by_pool": {pool: dict(states) for pool, states in sorted(by_pool.items())},
        "all": dict(everything),
        "pg_stats_sum": show.pool_document(manager.pgmap.pg_sum),
    }


def _metadata(kind: str) -> Callable[[Manager], dict[str, Any]]:
    def view(manager: Manager) -> dict[str, Any]:
        return {
            daemon.key.name: {"hostname": daemon.hostname, **daemon.metadata}
            for daemon in manager.daemons.of_kind(kind)
        }

    return view


def _active_clean_pgs(manager: Manager) -> dict[str, Any]:
    pg_stat = manager.pgmap.pg_stat
    serving = [
        {
            "pgid": str(pgid),
            "state": pg_state_text(stat.state),
            "reported_epoch": stat.reported_epoch,
        }
        for pgid, stat in pg_stat.items()
        if stat.state & _ACTIVE_CLEAN == _ACTIVE_CLEAN
    ]
    return {"pg_stats": serving, "total_num_pgs": len(pg_stat)}


def _pg_progress(manager: Manager) -> dict[str, Any]:
    return {
        "pgs": {
            str(pgid): {
                "num_bytes_recovered": stat.stats.sum.num_bytes_recovered,
                "num_bytes": stat.stats.sum.num_bytes,
                "reported_epoch": stat.reported_epoch,
                "state": pg_state_text(stat.state),
            }
            for pgid, stat in manager.pgmap.pg_stat.items()
        },
        "pg_ready": manager.pgmap_ready,
    }


def _part(name: str) -> Callable[[Manager], dict[str, Any]]:
    return lambda manager: pgs.dump_document(manager.pgmap, {name})


def _pg_dump(manager: Manager) -> dict[str, Any]:
    return _without_pings(dict(pgs.dump_document(manager.pgmap, {"all"})["pg_map"]))


def _osd_stats(manager: Manager) -> dict[str, Any]:
    return _without_pings(pgs.dump_document(manager.pgmap, {"osds"}))


def _without_pings(document: dict[str, Any]) -> dict[str, Any]:
    """Modules that want the times of pings ask for them."""
    for stat in document["osd_stats"]:
        stat.pop("network_ping_times", None)
    return document


def _fs_map(manager: Manager) -> dict[str, Any]:
    told = manager.fsmap
    return fsmap.document(EmptyFSMap.decode(told.fsmap.encode()) if told else EmptyFSMap())


def _config_options(manager: Manager) -> dict[str, Any]:
    return {"options": [option.as_dict() for option in manager.config.schema.values()]}


def _pg_status(manager: Manager) -> dict[str, Any]:
    digest = make_digest(manager.pgmap, manager.osdmap)
    return {**states_by_pool(manager.pgmap), **summary_document(digest)}


def _df(manager: Manager) -> dict[str, Any]:
    digest = make_digest(manager.pgmap, manager.osdmap)
    return usage.document(digest, manager.osdmap, detail=True)


def _mon_map(manager: Manager) -> dict[str, Any]:
    status = json.loads(manager.mon_status or b"{}")
    return dict(status.get("monmap", {}))


def _modified(manager: Manager) -> dict[str, Any]:
    return {"options": sorted({name for daemon in manager.daemons for name in daemon.config})}


_VIEWS: dict[str, Callable[[Manager], Any]] = {
    "osd_map": lambda manager: osdmap_document(manager.osdmap),
    "osd_map_tree": lambda manager: tree_document(manager.osdmap),
    "osd_map_crush": lambda manager: dump_crush(manager.osdmap.crush),
    "mon_map": _mon_map,
    "mgr_map": lambda manager: mgr_map_document(manager.mgrmap),
    "osdmap_crush_map_text": lambda manager: decompile_map(manager.osdmap.crush),
    "fs_map": _fs_map,
    "service_map": lambda manager: services.document(manager.service_map),
    "osd_metadata": _metadata("osd"),
    "mds_metadata": _metadata("mds"),
    "mon_metadata": _metadata("mon"),
    "pg_summary": _pg_summary,
    "pg_status": _pg_status,
    "pg_dump": _pg_dump,
    "pg_stats": _part("pgs"),
    "pg_progress": _pg_progress,
    "active_clean_pgs": _active_clean_pgs,
    "pool_stats": _part("pools"),
    "osd_stats": _osd_stats,
    "io_rate": lambda manager: pgs.delta_document(manager.pgmap),
    "pg_ready": lambda manager: {"pg_ready": manager.pgmap_ready},
    "df": _df,
    "osd_ping_times": lambda manager: {
        "osd_ping_times": [
            {"osd": osd, "network_ping_times": show.ping_documents(stat)}
            for osd, stat in sorted(manager.pgmap.osd_stat.items())
        ]
    },
    "osd_pool_stats": lambda manager: {"pool_stats": pools.documents(manager)},
    "devices": lambda manager: {
        "devices": [device.document() for device in all_devices(manager).values()]
    },
    "mgr_ips": lambda manager: {"ips": [addr.host for addr in manager.server.addrs.addrs]},
    "health": lambda manager: {"json": manager.health.decode()},
    "mon_status": lambda manager: {"json": manager.mon_status.decode()},
    "config": lambda manager: manager.config.show(),
    "config_options": _config_options,
    "modified_config_options": _modified,
    "have_local_config_map": lambda manager: {"have_local_config_map": True},
}
