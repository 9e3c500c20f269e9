"""Options of scrubs and deep scrubs.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    BOOL,
    DEV,
    FLOAT,
    GIB,
    INT,
    KIB,
    MIB,
    RUNTIME,
    SIZE,
    UINT,
    opt,
)

OPTIONS = (
    opt("osd_scrub_invalid_stats", BOOL, True),
    opt("osd_max_scrubs", INT, 1),
    opt("osd_scrub_during_recovery", BOOL),
    opt("osd_scrub_begin_hour", INT, see="osd_scrub_end_hour", low=0, high=23),
    opt("osd_scrub_end_hour", INT, see="osd_scrub_begin_hour", low=0, high=23),
    opt("osd_scrub_begin_week_day", INT, see="osd_scrub_end_week_day", low=0, high=6),
    opt("osd_scrub_end_week_day", INT, see="osd_scrub_begin_week_day", low=0, high=6),
    opt("osd_scrub_load_threshold", FLOAT, 0.5),
    opt("osd_scrub_min_interval", FLOAT, 86400, see="osd_scrub_max_interval"),
    opt("osd_scrub_max_interval", FLOAT, 604800, see="osd_scrub_min_interval"),
    opt("osd_scrub_interval_randomize_ratio", FLOAT, 0.5, see="osd_scrub_min_interval"),
    opt("osd_scrub_backoff_ratio", FLOAT, 0.66, level=DEV),
    opt("osd_scrub_chunk_min", INT, 5, see="osd_scrub_chunk_max"),
    opt("osd_scrub_chunk_max", INT, 25, see="osd_scrub_chunk_min"),
    opt("osd_scrub_sleep", FLOAT, flags=RUNTIME),
    opt(
        "osd_scrub_extended_sleep",
        FLOAT,
        see=(
            "osd_scrub_begin_hour osd_scrub_end_hour osd_scrub_begin_week_day "
            "osd_scrub_end_week_day"
        ),
    ),
    opt("osd_scrub_auto_repair", BOOL),
    opt("osd_scrub_auto_repair_num_errors", UINT, 5, see="osd_scrub_auto_repair"),
    opt("osd_scrub_max_preemptions", UINT, 5, low=0, high=30),
    opt("osd_deep_scrub_interval", FLOAT, 604800),
    opt("osd_deep_scrub_randomize_ratio", FLOAT, 0.15),
    opt("osd_deep_scrub_stride", SIZE, 512 * KIB),
    opt("osd_deep_scrub_keys", INT, 1024),
    opt("osd_deep_scrub_update_digest_min_age", INT, 7200),
    opt(
        "osd_deep_scrub_large_omap_object_key_threshold",
        UINT,
        200000,
        services="osd",
        see="osd_deep_scrub_large_omap_object_value_sum_threshold",
    ),
    opt(
        "osd_deep_scrub_large_omap_object_value_sum_threshold",
        SIZE,
        1 * GIB,
        services="osd",
        see="osd_deep_scrub_large_omap_object_key_threshold",
    ),
    opt("osd_debug_deep_scrub_sleep", FLOAT, level=DEV),
    opt("osd_scrub_priority", UINT, 5),
    opt("osd_scrub_cost", SIZE, 50 * MIB),
    opt("osd_requested_scrub_priority", UINT, 120),
)
