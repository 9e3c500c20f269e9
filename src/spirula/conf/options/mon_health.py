"""Options of the monitors' health checks and their thresholds.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    BOOL,
    CLUSTER_CREATE,
    DEV,
    FLOAT,
    GIB,
    INT,
    NO_MON_UPDATE,
    SECS,
    SIZE,
    UINT,
    opt,
)

OPTIONS = (
    opt("mon_osd_warn_op_age", FLOAT, 32, services="mgr"),
    opt("mon_osd_warn_num_repaired", UINT, 10, services="mon"),
    opt("mon_warn_on_degraded_stretch_mode", BOOL, True, services="mon"),
    opt("mon_pg_stuck_threshold", INT, 60, services="mgr"),
    opt("mon_pg_warn_min_per_osd", UINT, services="mgr"),
    opt("mon_pg_warn_max_object_skew", FLOAT, 10, services="mgr"),
    opt("mon_pg_warn_min_objects", INT, 10000, services="mgr"),
    opt("mon_pg_warn_min_pool_objects", INT, 1000, services="mgr"),
    opt("mon_pg_check_down_all_threshold", FLOAT, 0.5, services="mgr"),
    opt(
        "mon_cache_target_full_warn_ratio",
        FLOAT,
        0.66,
        flags=NO_MON_UPDATE | CLUSTER_CREATE,
        services="mgr",
    ),
    opt(
        "mon_warn_on_insecure_global_id_reclaim",
        BOOL,
        True,
        services="mon",
        see=(
            "mon_warn_on_insecure_global_id_reclaim_allowed "
            "auth_allow_insecure_global_id_reclaim "
            "auth_expose_insecure_global_id_reclaim"
        ),
    ),
    opt(
        "mon_warn_on_insecure_global_id_reclaim_allowed",
        BOOL,
        True,
        services="mon",
        see=(
            "mon_warn_on_insecure_global_id_reclaim "
            "auth_allow_insecure_global_id_reclaim "
            "auth_expose_insecure_global_id_reclaim"
        ),
    ),
    opt("mon_warn_on_msgr2_not_enabled", BOOL, True, services="mon", see="ms_bind_msgr2"),
    opt(
        "mon_warn_on_legacy_crush_tunables",
        BOOL,
        True,
        services="mgr",
        see="mon_crush_min_required_version",
    ),
    opt("mon_warn_on_crush_straw_calc_version_zero", BOOL, True, services="mgr"),
    opt(
        "mon_warn_on_osd_down_out_interval_zero",
        BOOL,
        True,
        services="mgr",
        see="mon_osd_down_out_interval",
    ),
    opt("mon_warn_on_cache_pools_without_hit_sets", BOOL, True, services="mgr"),
    opt("mon_warn_on_pool_no_app", BOOL, True, level=DEV, services="mgr"),
    opt("mon_warn_on_pool_pg_num_not_power_of_two", BOOL, True, level=DEV, services="mon"),
    opt(
        "mon_warn_on_pool_no_redundancy",
        BOOL,
        True,
        services="mon",
        see="osd_pool_default_size osd_pool_default_min_size",
    ),
    opt("mon_warn_on_misplaced", BOOL, services="mgr"),
    opt("mon_warn_on_too_few_osds", BOOL, True, services="mgr"),
    opt("mon_warn_on_slow_ping_time", FLOAT, services="mgr", see="mon_warn_on_slow_ping_ratio"),
    opt(
        "mon_warn_on_slow_ping_ratio",
        FLOAT,
        0.05,
        services="mgr",
        see="osd_heartbeat_grace mon_warn_on_slow_ping_time",
    ),
    opt("mon_health_to_clog", BOOL, True, services="mon"),
    opt("mon_health_to_clog_interval", INT, 600, services="mon", see="mon_health_to_clog"),
    opt("mon_health_to_clog_tick_interval", FLOAT, 60, level=DEV, services="mon"),
    opt("mon_health_detail_to_clog", BOOL, True, level=DEV),
    opt("mon_health_max_detail", UINT, 50, services="mon"),
    opt("mon_health_log_update_period", INT, 5, level=DEV, services="mon", low=0),
    opt("mon_data_avail_crit", INT, 5, services="mon"),
    opt("mon_data_avail_warn", INT, 30, services="mon"),
    opt("mon_data_size_warn", SIZE, 15 * GIB, services="mon"),
    opt("mon_warn_pg_not_scrubbed_ratio", FLOAT, 0.5, see="osd_scrub_max_interval", low=0),
    opt("mon_warn_pg_not_deep_scrubbed_ratio", FLOAT, 0.75, see="osd_deep_scrub_interval", low=0),
    opt("mon_osd_snap_trim_queue_warn_on", INT, 32768, services="mon"),
    opt("mon_warn_on_older_version", BOOL, True, services="mon"),
    opt("mon_warn_older_version_delay", SECS, 604800, services="mon"),
)
