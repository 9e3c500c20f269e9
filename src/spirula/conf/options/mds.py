"""Options of metadata servers that monitors and clients need.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    BASIC,
    BOOL,
    FLOAT,
    GIB,
    KIB,
    NO_MON_UPDATE,
    RUNTIME,
    SECS,
    SIZE,
    STR,
    UINT,
    opt,
)

OPTIONS = (
    opt("mds_beacon_mon_down_grace", SECS, 60, "Seconds of grace after monitors were away"),
    opt(
        "mds_data",
        STR,
        "/var/lib/ceph/mds/$cluster-$id",
        "Folder of the metadata server",
        flags=NO_MON_UPDATE,
        services="mds",
    ),
    opt(
        "mds_join_fs",
        STR,
        desc="File system that this server prefers",
        level=BASIC,
        flags=RUNTIME,
        services="mds",
    ),
    opt("mds_max_xattr_pairs_size", SIZE, 64 * KIB, "Bytes of a file's attributes", services="mds"),
    opt(
        "mds_cache_memory_limit",
        SIZE,
        4 * GIB,
        "Memory that the metadata cache aims at",
        level=BASIC,
        flags=RUNTIME,
        services="mds",
    ),
    opt("mds_beacon_interval", FLOAT, 4, "Seconds between beacons to the monitor", services="mds"),
    opt(
        "mds_beacon_grace",
        FLOAT,
        15,
        "Seconds of silence after which a server is replaced",
        services="mds",
    ),
    opt(
        "mds_heartbeat_grace",
        FLOAT,
        15,
        "Seconds a server may be busy before it stops its beacons",
        services="mds",
    ),
    opt(
        "mds_session_blocklist_on_timeout",
        BOOL,
        True,
        "Blocklist clients that stay silent",
        services="mds",
    ),
    opt(
        "mds_session_blocklist_on_evict",
        BOOL,
        True,
        "Blocklist clients that are evicted",
        services="mds",
    ),
    opt(
        "mds_recall_max_caps",
        SIZE,
        30000,
        "Capabilities that are recalled together",
        flags=RUNTIME,
        services="mds",
    ),
    opt("mds_tick_interval", FLOAT, 5, "Seconds between periodic jobs", services="mds"),
    opt(
        "mds_log_max_segments",
        UINT,
        128,
        "Segments of the journal before it is trimmed",
        services="mds",
    ),
    opt("mds_enable_op_tracker", BOOL, True, "Track requests inside the server", services="mds"),
    opt("mds_op_history_size", UINT, 20, "Finished requests that are kept", services="mds"),
    opt("mds_op_history_duration", UINT, 600, "Seconds for which they are kept", services="mds"),
    opt(
        "mds_op_complaint_time",
        FLOAT,
        30,
        "Seconds after which a request counts as slow",
        services="mds",
    ),
    opt("mds_max_caps_per_client", UINT, 1048576, "Capabilities of one client", services="mds"),
    opt(
        "mds_cap_revoke_eviction_timeout",
        FLOAT,
        desc="Seconds after which a client that keeps capabilities is evicted",
        services="mds",
    ),
)
