"""The report that `telemetry` shows: sizes, versions and features, without names of anything.

Keys: upstream `src/pybind/mgr/telemetry/module.py` (revision 3).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from spirula import rados
from spirula.errors import SpirulaError
from spirula.mgr_modules.crash import Crash
from spirula.mgr_modules.module import Module
from spirula.rados import ObjectNotFound, ReadOpCtx

Document = dict[str, Any]
CHANNELS = ("basic", "crash", "device", "ident")
"""The parts of a report."""
_ALL = ("basic", "ident", "crash", "device")
_LICENSE = "sharing-1-0"
_ALIKE = (
    "arch",
    "ceph_version",
    "os",
    "cpu",
    "kernel_description",
    "kernel_version",
    "distro_description",
    "distro",
)
"""What is counted of daemons' metadata."""
_EC_KEYS = ("k", "m", "plugin", "technique", "crush-failure-domain", "l")
_POOL_TYPES = ("", "replicated", "", "erasure")
_PAGE = 1000
_IMAGE = "name_"


def kept_id(module: Module, key: str) -> str:
    """A random name that is kept, so that the next report has the same."""
    found = module.host.store_get(key)
    if not found:
        found = str(uuid.uuid4())
        module.host.store_set(key, found)
    return found


def frame(module: Module, channels: list[str]) -> Document:
    """What every report has."""
    now = datetime.fromtimestamp(module.host.now(), UTC).replace(tzinfo=None)
    return {
        "leaderboard": module.option("leaderboard"),
        "report_version": 1,
        "report_timestamp": now.isoformat(),
        "report_id": kept_id(module, "report_id"),
        "channels": list(channels),
        "channels_available": list(_ALL),
        "license": _LICENSE,
    }


def basic_report(module: Module) -> Document:
    """The cluster's size, its versions, pools, options that were changed."""
    get = module.host.get
    mon_map, osd_map, fs_map, df = get("mon_map"), get("osd_map"), get("fs_map"), get("df")
    services = get("service_map")["services"]
    try:
        balancer = module.remote("balancer", "gather_telemetry")
    except (ImportError, NameError):
        balancer = {"active": False}
    report = {
        "created": mon_map["created"],
        "mon": _mons(mon_map),
        "config": _configs(module),
        "rbd": _images(module, osd_map),
        "pools": [_pool(osd_map, pool) for pool in osd_map["pools"]],
        "osd": {
            "count": len(osd_map["osds"]),
            "require_osd_release": osd_map["require_osd_release"],
            "require_min_compat_client": osd_map["require_min_compat_client"],
            "cluster_network": any(_two_networks(osd) for osd in osd_map["osds"] if osd["up"]),
        },
        "crush": _crush(get("osd_map_crush")),
        "fs": _file_systems(module, fs_map),
        "metadata": {
            "osd": _alike(
                (module.host.metadata("osd", str(one["osd"])) for one in osd_map["osds"]),
                ("osd_objectstore", "rotational", *_ALIKE),
            ),
            "mon": _alike(
                (module.host.metadata("mon", one["name"]) for one in mon_map["mons"]), _ALIKE
            ),
        },
        "hosts": _hosts(module.host.server(None)),
        "usage": {
            "pools": len(df["pools"]),
            "pg_num": sum(pool["pg_num"] for pool in osd_map["pools"]),
            **{
                key: df["stats"][key]
                for key in ("total_used_bytes", "total_bytes", "total_avail_bytes")
            },
        },
        "services": dict.fromkeys(services, 1),
        "balancer": balancer,
    }
    if "rgw" in services:
        report["rgw"] = _gateways(services["rgw"].get("daemons", {}))
    return report


def _mons(mon_map: Document) -> Document:
    addresses = [one for mon in mon_map["mons"] for one in mon["public_addrs"]["addrvec"]]
    kinds = Counter(one["type"] for one in addresses)
    in_brackets = sum(one["addr"].startswith("[") for one in addresses)
    return {
        "count": len(mon_map["mons"]),
        "features": mon_map["features"],
        "min_mon_release": mon_map["min_mon_release"],
        "v1_addr_mons": kinds["v1"],
        "v2_addr_mons": kinds["v2"],
        "ipv4_addr_mons": len(addresses) - in_brackets,
        "ipv6_addr_mons": in_brackets,
    }


def _configs(module: Module) -> Document:
    """The names of options that somebody has set; not what to."""
    dumped = module.ask("config dump", format="json")
    if dumped.r < 0:
        return {}
    active = module.host.get("modified_config_options")
    return {
        "cluster_changed": sorted({str(one["name"]) for one in json.loads(dumped.out)}),
        "active_changed": sorted(active["options"]),
    }


def _pool(osd_map: Document, pool: Document) -> Document:
    profile = osd_map["erasure_code_profiles"].get(pool["erasure_code_profile"], {})
    return {
        "pool": pool["pool"],
        "pg_num": pool["pg_num"],
        "pgp_num": pool["pg_placement_num"],
        "size": pool["size"],
        "min_size": pool["min_size"],
        "pg_autoscale_mode": pool["pg_autoscale_mode"],
        "target_max_bytes": pool["target_max_bytes"],
        "target_max_objects": pool["target_max_objects"],
        "type": _POOL_TYPES[pool["type"]],
        "erasure_code_profile": {key: profile[key] for key in profile if key in _EC_KEYS},
        "cache_mode": pool["cache_mode"],
    }


def _images(module: Module, osd_map: Document) -> Document:
    """How many block images pools have, and which pools are mirrored."""
    names = [one["pool_name"] for one in osd_map["pools"] if "rbd" in one["application_metadata"]]
    images, mirrored = [], []
    for name in names:
        with module.cluster().open_ioctx(name) as ioctx:
            images.append(len(_omap(ioctx, "rbd_directory", _IMAGE)))
            mirroring = _omap(ioctx, "rbd_mirroring", "mirror_mode")
            mirrored.append(any(any(mode) for mode in mirroring.values()))
    return {
        "num_pools": len(names),
        "num_images_by_pool": images,
        "mirroring_by_pool": mirrored,
    }


def _omap(ioctx: rados.Ioctx, oid: str, prefix: str) -> dict[str, bytes]:
    """The entries of an object's omap that begin so."""
    found: dict[str, bytes] = {}
    after = ""
    while True:
        with ReadOpCtx() as op:
            entries, _ = ioctx.get_omap_vals(op, after, prefix, _PAGE)
            try:
                ioctx.operate_read_op(op, oid)
            except ObjectNotFound:
                return found
            page = {key: value or b"" for key, value in entries}
        found |= page
        if len(page) < _PAGE:
            return found
        after = max(page)


def _two_networks(osd: Document) -> bool:
    front, back = (osd[key]["addrvec"] for key in ("public_addrs", "cluster_addrs"))
    if not front or not back:
        return False
    return bool(front[0]["addr"].rpartition(":")[0] != back[0]["addr"].rpartition(":")[0])


def _crush(crush: Document) -> Document:
    buckets = [one for one in crush["buckets"] if "~" not in one["name"]]
    classes = Counter(one.get("class", "") for one in crush["devices"])
    weight_sets = crush["choose_args"]
    return {
        "num_devices": len(crush["devices"]),
        "num_types": len(crush["types"]),
        "num_buckets": len(crush["buckets"]),
        "num_rules": len(crush["rules"]),
        "device_classes": list(classes.values()),
        "tunables": crush["tunables"],
        "compat_weight_set": "-1" in weight_sets,
        "num_weight_sets": len(weight_sets),
        "bucket_algs": dict(Counter(one["alg"] for one in buckets)),
        "bucket_sizes": dict(Counter(len(one["items"]) for one in buckets)),
        "bucket_types": dict(Counter(one["type_id"] for one in buckets)),
    }


def _file_systems(module: Module, fs_map: Document) -> Document:
    """Counts of metadata servers; file systems themselves are told of by size only."""
    maps = [one["mdsmap"] for one in fs_map["filesystems"]]
    return {
        "count": len(maps),
        "feature_flags": fs_map.get("feature_flags", {}),
        "num_standby_mds": len(fs_map["standbys"]),
        "filesystems": [_file_system(module, one) for one in maps],
        "total_num_mds": len(fs_map["standbys"]) + sum(len(one["info"]) for one in maps),
    }


def _file_system(module: Module, fs: Document) -> Document:
    def total(counter: str, *, of_rank: int | None = None) -> int:
        values = [
            module.host.counter("mds", mds["name"], counter)[counter]
            for mds in fs["info"].values()
            if of_rank is None or mds["rank"] == of_rank
        ]
        return sum(int(one[-1][1]) for one in values if one)

    states = [mds["state"] for mds in fs["info"].values()]
    return {
        "max_mds": fs["max_mds"],
        "ever_allowed_features": fs["ever_allowed_features"],
        "explicitly_allowed_features": fs["explicitly_allowed_features"],
        "num_in": len(fs["in"]),
        "num_up": len(fs["up"]),
        "num_standby_replay": states.count("up:standby-replay"),
        "num_mds": len(fs["info"]),
        "num_sessions": total("mds_sessions.session_count"),
        "cached_inos": total("mds_mem.ino"),
        "cached_dns": total("mds_mem.dn"),
        "cached_caps": total("mds_mem.cap"),
        "cached_subtrees": total("mds.subtrees"),
        "balancer_enabled": bool(fs["balancer"]),
        "num_data_pools": len(fs["data_pools"]),
        "standby_count_wanted": fs["standby_count_wanted"],
        "approx_ctime": fs["created"][:7],
        "files": total("mds.root_rfiles", of_rank=0),
        "bytes": total("mds.root_rbytes", of_rank=0),
        "snaps": total("mds.root_rsnaps", of_rank=0),
    }


def _alike(daemons: Iterable[dict[str, str] | None], keys: Iterable[str]) -> Document:
    """How many daemons have which value of each key."""
    counts: dict[str, Counter[str]] = {key: Counter() for key in keys}
    for metadata in daemons:
        for key, value in (metadata or {}).items():
            if key in counts:
                counts[key][value] += 1
    return {key: dict(one) for key, one in counts.items()}


def _hosts(servers: list[Document]) -> Document:
    counted = {"num": sum(bool(one["hostname"]) for one in servers)}
    for kind in ("mon", "mds", "osd", "mgr"):
        counted[f"num_with_{kind}"] = sum(
            any(service["type"] == kind for service in one["services"]) for one in servers
        )
    return counted


def _gateways(daemons: Document) -> Document:
    told = [one["metadata"] for one in daemons.values() if isinstance(one, dict)]
    report: Document = {"count": len(told)}
    if daemons.get("summary"):
        report["summary"] = daemons["summary"]
    report["zones"] = len({one["zone_id"] for one in told})
    report["zonegroups"] = len({one["zonegroup_id"] for one in told})
    keys = ("frontend_type#0", "frontend_type#1")
    report["frontends"] = sorted({one[key] for one in told for key in keys if one.get(key)})
    return report


def crash_report(module: Module) -> list[Crash]:
    """Reports of crashes, without hosts and with other names of daemons."""
    try:
        crashes: dict[str, Crash] = module.remote("crash", "reports")
    except (ImportError, NameError):
        return []
    salt = kept_id(module, "salt")
    told = []
    for crash in crashes.values():
        kind, _, name = str(crash.get("entity_name", "")).partition(".")
        # A name in place of a name: it is to be told apart from others, not kept from guessing.
        other = hashlib.sha1(f"{salt}{name}{salt}".encode(), usedforsecurity=False).hexdigest()
        shown = {key: value for key, value in crash.items() if key != "utsname_hostname"}
        told.append({**shown, "entity_name": f"{kind}.{other}"})
    return told


def device_report(module: Module) -> Document:
    """What disks said of late: by host and device, under other names than theirs."""
    report: Document = {}
    since = module.host.now() - module.option("interval") * 2 * 3600
    for device in module.host.get("devices")["devices"]:
        if not device["location"]:
            continue
        ident, host = device["devid"], device["location"][0]["host"]
        try:
            form = module.remote("devicehealth", "get_time_format")
            after = datetime.fromtimestamp(since, UTC).strftime(form)
            told = module.remote("devicehealth", "get_recent_device_metrics", ident, after)
        except (ImportError, NameError, SpirulaError, rados.Error):
            continue
        other_host = kept_id(module, f"host-id/{host}")
        serials = {one["serial_number"] for one in told.values() if one.get("serial_number")}
        text = json.dumps({at: {**one, "host_id": other_host} for at, one in told.items()})
        for serial in serials:
            text = text.replace(serial, "deleted")
        maker, _, _ = ident.rpartition("_")
        other = kept_id(module, f"devid-id/{ident}")
        name = f"{maker}_{other}" if maker else other
        report.setdefault(other_host, {})[name] = json.loads(text)
    return report
