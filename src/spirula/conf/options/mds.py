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
    opt("mds_beacon_mon_down_grace", SECS, 60),
    opt("mds_data", STR, "/var/lib/ceph/mds/$cluster-$id", flags=NO_MON_UPDATE, services="mds"),
    opt("mds_join_fs", STR, level=BASIC, flags=RUNTIME, services="mds"),
    opt("mds_max_xattr_pairs_size", SIZE, 64 * KIB, services="mds"),
    opt("mds_cache_memory_limit", SIZE, 4 * GIB, level=BASIC, flags=RUNTIME, services="mds"),
    opt("mds_beacon_interval", FLOAT, 4, services="mds"),
    opt("mds_beacon_grace", FLOAT, 15, services="mds"),
    opt("mds_heartbeat_grace", FLOAT, 15, services="mds"),
    opt("mds_session_blocklist_on_timeout", BOOL, True, services="mds"),
    opt("mds_session_blocklist_on_evict", BOOL, True, services="mds"),
    opt("mds_recall_max_caps", SIZE, 30000, flags=RUNTIME, services="mds"),
    opt("mds_tick_interval", FLOAT, 5, services="mds"),
    opt("mds_log_max_segments", UINT, 128, services="mds"),
    opt("mds_enable_op_tracker", BOOL, True, services="mds"),
    opt("mds_op_history_size", UINT, 20, services="mds"),
    opt("mds_op_history_duration", UINT, 600, services="mds"),
    opt("mds_op_complaint_time", FLOAT, 30, services="mds"),
    opt("mds_max_caps_per_client", UINT, 1048576, services="mds"),
    opt("mds_cap_revoke_eviction_timeout", FLOAT, services="mds"),
)
