"""Options of the managers, and of the monitors that watch them.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    BASIC,
    BOOL,
    CLUSTER_CREATE,
    DEV,
    FLOAT,
    INT,
    MIB,
    NO_MON_UPDATE,
    RUNTIME,
    SECS,
    SIZE,
    STARTUP,
    STR,
    UINT,
    opt,
)

OPTIONS = (
    opt("mon_mgr_proxy_client_bytes_ratio", FLOAT, 0.3, level=DEV, services="mon"),
    opt(
        "mon_mgr_blocklist_interval",
        FLOAT,
        86400,
        level=DEV,
        flags=RUNTIME,
        services="mon",
        low=3600,
    ),
    opt("mgr_stats_threshold", INT, 5, low=0, high=11),
    opt("mgr_max_pg_num_change", INT, 128, services="mgr"),
    opt("mgr_module_path", STR, "/usr/share/ceph/mgr", services="mgr"),
    opt("mgr_standby_modules", BOOL, True),
    opt(
        "mgr_disabled_modules",
        STR,
        "diskprediction_local",
        flags=STARTUP,
        services="mgr",
        see="mgr_module_path",
    ),
    opt(
        "mgr_initial_modules",
        STR,
        "restful iostat nfs",
        level=BASIC,
        flags=NO_MON_UPDATE | CLUSTER_CREATE,
        services="mon",
    ),
    opt("mgr_data", STR, "/var/lib/ceph/mgr/$cluster-$id", flags=NO_MON_UPDATE, services="mgr"),
    opt("mgr_tick_period", SECS, 2, services="mgr"),
    opt("mgr_stats_period", INT, 5, level=BASIC, services="mgr"),
    opt("mgr_client_bytes", SIZE, 128 * MIB, level=DEV, services="mgr"),
    opt("mgr_client_messages", UINT, 512, level=DEV, services="mgr"),
    opt("mgr_osd_bytes", SIZE, 512 * MIB, level=DEV, services="mgr"),
    opt("mgr_osd_messages", UINT, 8192, level=DEV, services="mgr"),
    opt("mgr_mds_bytes", SIZE, 128 * MIB, level=DEV, services="mgr"),
    opt("mgr_mds_messages", UINT, 128, level=DEV, services="mgr"),
    opt("mgr_mon_bytes", SIZE, 128 * MIB, level=DEV, services="mgr"),
    opt("mgr_mon_messages", UINT, 128, level=DEV, services="mgr"),
    opt("mgr_connect_retry_interval", FLOAT, 1, level=DEV, services="common"),
    opt("mgr_service_beacon_grace", FLOAT, 60, services="mgr"),
    opt("mgr_client_service_daemon_unregister_timeout", FLOAT, 1, level=DEV),
    opt("mgr_debug_aggressive_pg_num_changes", BOOL, level=DEV, services="mgr"),
    opt("mon_mgr_digest_period", INT, 5, level=DEV, services="mon"),
    opt("mon_mgr_beacon_grace", SECS, 30, services="mon"),
    opt("mon_mgr_inactive_grace", INT, 60, services="mon"),
    opt("mon_mgr_mkfs_grace", INT, 120, services="mon"),
    opt("target_max_misplaced_ratio", FLOAT, 0.05, level=BASIC),
    opt("mgr_ttl_cache_expire_seconds", UINT, level=DEV, flags=STARTUP, services="mgr"),
)
