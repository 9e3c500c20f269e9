"""Metrics of single daemons but for their counters: states, what they run on, their disks.

Names, kinds and labels: upstream `src/pybind/mgr/prometheus`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from spirula.mgr_modules.prometheus.cluster import Document, Where
from spirula.mgr_modules.prometheus.families import Family

_FLAGS = (
    "noup",
    "nodown",
    "noout",
    "noin",
    "nobackfill",
    "norebalance",
    "norecover",
    "noscrub",
    "nodeep-scrub",
)
_STATUS = ("weight", "up", "in")
_LATENCIES = ("apply_latency_ms", "commit_latency_ms")
_OSD_LABELS = (
    "back_iface",
    "ceph_daemon",
    "cluster_addr",
    "device_class",
    "front_iface",
    "hostname",
    "objectstore",
    "public_addr",
    "ceph_version",
)
_DISK_LABELS = (
    "ceph_daemon",
    "device",
    "db_device",
    "wal_device",
    "instance",
    "devices",
    "device_ids",
)
_HUMAN_LABELS = ("ceph_daemon", "device", "instance")
_MIRROR_LABELS = ("ceph_daemon", "id", "instance_id", "hostname", "ceph_version")
_DEVICE_KEYS = {
    "bluestore": ("bluestore_bdev_dev_node", "bluefs_db_dev_node", "bluefs_wal_dev_node"),
    "filestore": ("backend_filestore_dev_node", "", "osd_journal"),
}
"""By object store: what it calls the nodes of its device and of those for metadata and logs."""

Metadata = Mapping[str, Mapping[str, str]]


def osds(
    osdmap: Document, devices: Iterable[Document], metadata: Metadata, where: Where
) -> Iterator[Family]:
    """OSDs: flags, states, what they have told of themselves, their disks.

    `devices` are those of CRUSH; an OSD that it does not have, or that has told nothing, is left
    out but for what the map says of flags.
    """
    flags = osdmap["flags"].split(",")
    for flag in _FLAGS:
        family = Family(f"osd_flag_{flag}", "untyped", f"OSD Flag {flag}")
        family.set(int(flag in flags))
        yield family
    classes = {one["id"]: one.get("class", "") for one in devices}
    told = Family("osd_metadata", "untyped", "OSD Metadata", _OSD_LABELS)
    states = [
        Family(f"osd_{state}", "untyped", f"OSD status {state}", ("ceph_daemon",))
        for state in _STATUS
    ]
    disks = Family(
        "disk_occupation", "untyped", "Associate Ceph daemon with disk used", _DISK_LABELS
    )
    for osd in osdmap["osds"]:
        number = osd["osd"]
        public, cluster = (
            str(osd[key]).rsplit(":", 1)[0] for key in ("public_addr", "cluster_addr")
        )
        about = metadata.get(str(number))
        if about is None or number not in classes or "-" in (public, cluster):
            continue
        name = f"osd.{number}"
        host, version = where("osd", str(number))
        told.set(
            1,
            about.get("back_iface", ""),
            name,
            cluster,
            classes[number],
            about.get("front_iface", ""),
            host,
            about.get("osd_objectstore", ""),
            public,
            version,
        )
        for key, state in zip(_STATUS, states, strict=True):
            state.set(osd[key], name)
        _add_disk(disks, name, about)
    yield told
    yield from states
    yield disks
    yield _for_people(disks)


def _add_disk(disks: Family, name: str, about: Mapping[str, str]) -> None:
    nodes = _DEVICE_KEYS.get(about.get("osd_objectstore", ""))
    host = about.get("hostname", "")
    if nodes is None or not host:
        return
    device, metadata, log = (about.get(key, "") if key else "" for key in nodes)
    if device and device != "unknown":
        devices, ids = (about.get(key) or "N/A" for key in ("devices", "device_ids"))
        disks.set(1, name, device, metadata, log, host, devices, ids)


def _for_people(disks: Family) -> Family:
    """The daemons on each disk, in one line: such metrics cannot be joined with others."""
    human = Family(
        "disk_occupation_human",
        "untyped",
        "Associate Ceph daemon with disk used for displaying to humans, not for joining tables "
        "(vector matching)",
        _HUMAN_LABELS,
    )
    users: dict[tuple[str, str], list[str]] = {}
    for name, device, _, _, host, *_ in disks.values:
        users.setdefault((device, host), []).append(name)
    for (device, host), names in users.items():
        human.set(1, ", ".join(names), device, host)
    return human


def osd_latencies(document: Document) -> Iterator[Family]:
    """How long OSDs take to write (`osd_stats`)."""
    for key in _LATENCIES:
        family = Family(f"osd_{key}", "gauge", f"OSD stat {key}", ("ceph_daemon",))
        for osd in document["osd_stats"]:
            family.set(osd["perf_stat"][key], f"osd.{osd['osd']}")
        yield family


def pools(osdmap: Document) -> Iterator[Family]:
    """What kinds of pools there are."""
    family = Family(
        "pool_metadata",
        "untyped",
        "POOL Metadata",
        ("pool_id", "name", "type", "description", "compression_mode"),
    )
    profiles = osdmap.get("erasure_code_profiles", {})
    for pool in osdmap["pools"]:
        kind, words = "unknown", "unknown"
        if pool["type"] == 1:
            kind, words = "replicated", f"replica:{pool['size']}"
        elif pool["type"] == 3:
            profile = profiles.get(pool.get("erasure_code_profile", ""))
            kind = "erasure"
            words = f"ec:{profile['k']}+{profile['m']}" if profile else "ec:unknown"
        mode = pool.get("options", {}).get("compression_mode", "none")
        family.set(1, pool["pool"], pool["pool_name"], kind, words, mode)
    yield family


def file_systems(document: Document, where: Where) -> Iterator[Family]:
    """File systems and metadata servers (`fs_map`)."""
    systems = Family(
        "fs_metadata", "untyped", "FS Metadata", ("data_pools", "fs_id", "metadata_pool", "name")
    )
    servers = Family(
        "mds_metadata",
        "untyped",
        "MDS Metadata",
        ("ceph_daemon", "fs_id", "hostname", "public_addr", "rank", "ceph_version"),
    )

    def add(daemon: Document, system: object) -> None:
        host, version = where("mds", daemon["name"])
        name = f"mds.{daemon['name']}"
        servers.set(1, name, system, host, daemon["addr"], daemon["rank"], version)

    for standby in document.get("standbys", ()):
        add(standby, -1)
    for system in document.get("filesystems", ()):
        mdsmap = system["mdsmap"]
        data = ",".join(str(pool) for pool in mdsmap["data_pools"])
        systems.set(1, data, system["id"], mdsmap["metadata_pool"], mdsmap["fs_name"])
        for daemon in mdsmap["info"].values():
            add(daemon, system["id"])
    yield systems
    yield servers


def services(daemons: Iterable[tuple[str, str, Mapping[str, str]]]) -> Iterator[Family]:
    """Gateways and mirror daemons: kind, name and metadata of each."""
    gateways = Family(
        "rgw_metadata",
        "untyped",
        "RGW Metadata",
        ("ceph_daemon", "hostname", "ceph_version", "instance_id"),
    )
    mirrors = Family("rbd_mirror_metadata", "untyped", "RBD Mirror Metadata", _MIRROR_LABELS)
    for kind, name, about in daemons:
        if kind == "rgw":
            # its name is a number of the session; people know it by its id
            host, version = about.get("hostname", ""), about.get("ceph_version", "")
            gateways.set(1, f"rgw.{about.get('id', name)}", host, version, name)
        elif kind == "rbd-mirror":
            labels = {**about, "ceph_daemon": f"rbd-mirror.{name}"}
            mirrors.set(1, *(labels.get(key, "") for key in _MIRROR_LABELS))
    yield gateways
    yield mirrors


def health_metrics(document: Mapping[str, Iterable[Document]]) -> Iterator[Family]:
    """What daemons say of their health, by daemon."""
    family = Family(
        "daemon_health_metrics", "gauge", "Health metrics for Ceph daemons", ("type", "ceph_daemon")
    )
    for daemon, metrics in document.items():
        for metric in metrics:
            family.set(metric["value"], metric["type"], daemon)
    yield family
