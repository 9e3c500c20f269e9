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
    opt(
        "osd_scrub_invalid_stats",
        BOOL,
        True,
        "Scrub PGs whose statistics are not to be trusted at once",
    ),
    opt("osd_max_scrubs", INT, 1, "Scrubs at the same time on one OSD"),
    opt("osd_scrub_during_recovery", BOOL, desc="Scrub while the OSD recovers"),
    opt(
        "osd_scrub_begin_hour",
        INT,
        desc="Hour from which scrubs may start",
        see="osd_scrub_end_hour",
        low=0,
        high=23,
    ),
    opt(
        "osd_scrub_end_hour",
        INT,
        desc="Hour before which they may start; equal hours mean always",
        see="osd_scrub_begin_hour",
        low=0,
        high=23,
    ),
    opt(
        "osd_scrub_begin_week_day",
        INT,
        desc="First day of scrubs, 0 is Sunday",
        see="osd_scrub_end_week_day",
        low=0,
        high=6,
    ),
    opt(
        "osd_scrub_end_week_day",
        INT,
        desc="Day before which they may start; equal days mean always",
        see="osd_scrub_begin_week_day",
        low=0,
        high=6,
    ),
    opt("osd_scrub_load_threshold", FLOAT, 0.5, "Load per processor below which scrubs may start"),
    opt(
        "osd_scrub_min_interval",
        FLOAT,
        86400,
        "Seconds between scrubs of a PG while there is little load",
        see="osd_scrub_max_interval",
    ),
    opt(
        "osd_scrub_max_interval",
        FLOAT,
        604800,
        "Seconds after which it is scrubbed whatever the load",
        see="osd_scrub_min_interval",
    ),
    opt(
        "osd_scrub_interval_randomize_ratio",
        FLOAT,
        0.5,
        "Share of the interval that is added by chance",
        see="osd_scrub_min_interval",
    ),
    opt(
        "osd_scrub_backoff_ratio",
        FLOAT,
        0.66,
        "Probability of doing nothing at a chance to schedule",
        level=DEV,
    ),
    opt(
        "osd_scrub_chunk_min",
        INT,
        5,
        "Least objects that are scrubbed together",
        see="osd_scrub_chunk_max",
    ),
    opt(
        "osd_scrub_chunk_max",
        INT,
        25,
        "Most objects that are scrubbed together",
        see="osd_scrub_chunk_min",
    ),
    opt("osd_scrub_sleep", FLOAT, desc="Seconds between such groups", flags=RUNTIME),
    opt(
        "osd_scrub_extended_sleep",
        FLOAT,
        desc="Likewise outside of the permitted hours",
        see=(
            "osd_scrub_begin_hour osd_scrub_end_hour osd_scrub_begin_week_day "
            "osd_scrub_end_week_day"
        ),
    ),
    opt("osd_scrub_auto_repair", BOOL, desc="Repair what deep scrubs find"),
    opt(
        "osd_scrub_auto_repair_num_errors",
        UINT,
        5,
        "Errors up to which it is repaired",
        see="osd_scrub_auto_repair",
    ),
    opt(
        "osd_scrub_max_preemptions", UINT, 5, "Times clients may interrupt a group", low=0, high=30
    ),
    opt("osd_deep_scrub_interval", FLOAT, 604800, "Seconds between deep scrubs of a PG"),
    opt(
        "osd_deep_scrub_randomize_ratio", FLOAT, 0.15, "Share of scrubs that become deep by chance"
    ),
    opt("osd_deep_scrub_stride", SIZE, 512 * KIB, "Bytes a deep scrub reads together"),
    opt("osd_deep_scrub_keys", INT, 1024, "Omap keys a deep scrub reads together"),
    opt(
        "osd_deep_scrub_update_digest_min_age",
        INT,
        7200,
        "Seconds without a change before a digest is stored",
    ),
    opt(
        "osd_deep_scrub_large_omap_object_key_threshold",
        UINT,
        200000,
        "Keys of an object that are worth a warning",
        services="osd",
        see="osd_deep_scrub_large_omap_object_value_sum_threshold",
    ),
    opt(
        "osd_deep_scrub_large_omap_object_value_sum_threshold",
        SIZE,
        1 * GIB,
        "Bytes of its values that are worth a warning",
        services="osd",
        see="osd_deep_scrub_large_omap_object_key_threshold",
    ),
    opt("osd_debug_deep_scrub_sleep", FLOAT, desc="Seconds a deep scrub pauses", level=DEV),
    opt("osd_scrub_priority", UINT, 5, "Priority of scrubs"),
    opt("osd_scrub_cost", SIZE, 50 * MIB, "Cost of scrubs"),
    opt("osd_requested_scrub_priority", UINT, 120, "Priority of scrubs that somebody asked for"),
)
