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
    opt(
        "mon_osd_warn_op_age",
        FLOAT,
        32,
        "Seconds that make an OSD's request worth a warning",
        services="mgr",
    ),
    opt(
        "mon_osd_warn_num_repaired",
        UINT,
        10,
        "Repaired reads that make an OSD worth a warning",
        services="mon",
    ),
    opt(
        "mon_warn_on_degraded_stretch_mode",
        BOOL,
        True,
        "Warn while a stretched cluster runs on one site",
        services="mon",
    ),
    opt(
        "mon_pg_stuck_threshold",
        INT,
        60,
        "Seconds after which a PG counts as stuck",
        services="mgr",
    ),
    opt(
        "mon_pg_warn_min_per_osd",
        UINT,
        desc="PGs per OSD below which there are too few",
        services="mgr",
    ),
    opt(
        "mon_pg_warn_max_object_skew",
        FLOAT,
        10,
        "How many times the mean a pool's objects per PG may be",
        services="mgr",
    ),
    opt(
        "mon_pg_warn_min_objects",
        INT,
        10000,
        "Objects in the cluster below which this is not looked at",
        services="mgr",
    ),
    opt(
        "mon_pg_warn_min_pool_objects",
        INT,
        1000,
        "Objects in the pool below which this is not looked at",
        services="mgr",
    ),
    opt(
        "mon_pg_check_down_all_threshold",
        FLOAT,
        0.5,
        "Share of OSDs down beyond which every PG is looked at",
        services="mgr",
    ),
    opt(
        "mon_cache_target_full_warn_ratio",
        FLOAT,
        0.66,
        "How full a cache tier may be before a warning",
        flags=NO_MON_UPDATE | CLUSTER_CREATE,
        services="mgr",
    ),
    opt(
        "mon_warn_on_insecure_global_id_reclaim",
        BOOL,
        True,
        "Warn of clients that take ids back without proof",
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
        "Warn while such clients are allowed",
        services="mon",
        see=(
            "mon_warn_on_insecure_global_id_reclaim "
            "auth_allow_insecure_global_id_reclaim "
            "auth_expose_insecure_global_id_reclaim"
        ),
    ),
    opt(
        "mon_warn_on_msgr2_not_enabled",
        BOOL,
        True,
        "Warn of monitors without the second protocol",
        services="mon",
        see="ms_bind_msgr2",
    ),
    opt(
        "mon_warn_on_legacy_crush_tunables",
        BOOL,
        True,
        "Warn of old CRUSH tunables",
        services="mgr",
        see="mon_crush_min_required_version",
    ),
    opt(
        "mon_warn_on_crush_straw_calc_version_zero",
        BOOL,
        True,
        "Warn of straw buckets computed the old way",
        services="mgr",
    ),
    opt(
        "mon_warn_on_osd_down_out_interval_zero",
        BOOL,
        True,
        "Warn if OSDs are never marked out",
        services="mgr",
        see="mon_osd_down_out_interval",
    ),
    opt(
        "mon_warn_on_cache_pools_without_hit_sets",
        BOOL,
        True,
        "Warn of cache pools that do not track hits",
        services="mgr",
    ),
    opt(
        "mon_warn_on_pool_no_app",
        BOOL,
        True,
        "Warn of pools without an application",
        level=DEV,
        services="mgr",
    ),
    opt(
        "mon_warn_on_pool_pg_num_not_power_of_two",
        BOOL,
        True,
        "Warn of PG numbers that are no powers of two",
        level=DEV,
        services="mon",
    ),
    opt(
        "mon_warn_on_pool_no_redundancy",
        BOOL,
        True,
        "Warn of pools with one copy",
        services="mon",
        see="osd_pool_default_size osd_pool_default_min_size",
    ),
    opt("mon_warn_on_misplaced", BOOL, desc="Warn of misplaced objects", services="mgr"),
    opt("mon_warn_on_too_few_osds", BOOL, True, "Warn of fewer OSDs than copies", services="mgr"),
    opt(
        "mon_warn_on_slow_ping_time",
        FLOAT,
        desc="Milliseconds of a heartbeat that are worth a warning; 0 uses the ratio",
        services="mgr",
        see="mon_warn_on_slow_ping_ratio",
    ),
    opt(
        "mon_warn_on_slow_ping_ratio",
        FLOAT,
        0.05,
        "The same as a share of the heartbeat's grace",
        services="mgr",
        see="osd_heartbeat_grace mon_warn_on_slow_ping_time",
    ),
    opt(
        "mon_health_to_clog", BOOL, True, "Write health changes to the cluster log", services="mon"
    ),
    opt(
        "mon_health_to_clog_interval",
        INT,
        600,
        "Seconds between full health summaries there",
        services="mon",
        see="mon_health_to_clog",
    ),
    opt(
        "mon_health_to_clog_tick_interval",
        FLOAT,
        60,
        "Seconds between looks at the health",
        level=DEV,
        services="mon",
    ),
    opt("mon_health_detail_to_clog", BOOL, True, "Write details as well", level=DEV),
    opt("mon_health_max_detail", UINT, 50, "Lines of detail for each health check", services="mon"),
    opt(
        "mon_health_log_update_period",
        INT,
        5,
        "Seconds between lines about one changing check",
        level=DEV,
        services="mon",
        low=0,
    ),
    opt(
        "mon_data_avail_crit",
        INT,
        5,
        "Free percent of the monitor's disk below which it ends",
        services="mon",
    ),
    opt("mon_data_avail_warn", INT, 30, "Free percent below which it warns", services="mon"),
    opt(
        "mon_data_size_warn",
        SIZE,
        15 * GIB,
        "Size of the monitor's store that is worth a warning",
        services="mon",
    ),
    opt(
        "mon_warn_pg_not_scrubbed_ratio",
        FLOAT,
        0.5,
        "How overdue a scrub must be for a warning, as a share of its interval",
        see="osd_scrub_max_interval",
        low=0,
    ),
    opt(
        "mon_warn_pg_not_deep_scrubbed_ratio",
        FLOAT,
        0.75,
        "The same for deep scrubs",
        see="osd_deep_scrub_interval",
        low=0,
    ),
    opt(
        "mon_osd_snap_trim_queue_warn_on",
        INT,
        32768,
        "Length of a queue of snapshots to trim that is worth a warning",
        services="mon",
    ),
    opt(
        "mon_warn_on_older_version",
        BOOL,
        True,
        "Warn of daemons of different releases",
        services="mon",
    ),
    opt(
        "mon_warn_older_version_delay", SECS, 604800, "Seconds before that warning", services="mon"
    ),
)
