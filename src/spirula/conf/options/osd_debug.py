"""Options that make an OSD misbehave on purpose, for tests.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import BOOL, DEV, FLOAT, INT, opt

OPTIONS = (
    opt(
        "debug_disable_randomized_ping",
        BOOL,
        desc="Ping in even intervals, for tests",
        level=DEV,
    ),
    opt(
        "debug_heartbeat_testing_span",
        INT,
        desc="Seconds over which ping times are averaged in place of 60, for tests",
        level=DEV,
    ),
    opt(
        "osd_inject_bad_map_crc_probability",
        FLOAT,
        desc="Probability of a map that looks damaged, for tests",
        level=DEV,
    ),
    opt(
        "osd_inject_failure_on_pg_removal",
        BOOL,
        desc="Fail while removing a PG, for tests",
        level=DEV,
    ),
    opt(
        "osd_debug_feed_pullee", INT, -1, "OSD to pull from before all others, for tests", level=DEV
    ),
    opt("osd_debug_shutdown", BOOL, desc="Check more at the end", level=DEV),
    opt(
        "osd_debug_crash_on_ignored_backoff",
        BOOL,
        desc="Crash when a client ignores being held back",
        level=DEV,
    ),
    opt(
        "osd_debug_inject_dispatch_delay_probability",
        FLOAT,
        desc="Probability that a message waits",
        level=DEV,
    ),
    opt("osd_debug_inject_dispatch_delay_duration", FLOAT, 0.1, "Seconds it waits", level=DEV),
    opt(
        "osd_debug_drop_ping_probability", FLOAT, desc="Probability that heartbeats stop", level=DEV
    ),
    opt(
        "osd_debug_drop_ping_duration", INT, desc="How many heartbeats are then dropped", level=DEV
    ),
    opt(
        "osd_debug_op_order",
        BOOL,
        desc="Check that clients' operations keep their order",
        level=DEV,
    ),
    opt(
        "osd_debug_verify_missing_on_start",
        BOOL,
        desc="Check the list of missing objects at the start",
        level=DEV,
    ),
    opt("osd_debug_verify_snaps", BOOL, desc="Check snapshots of objects", level=DEV),
    opt(
        "osd_debug_verify_stray_on_activate",
        BOOL,
        desc="Check strays when a PG becomes active",
        level=DEV,
    ),
    opt(
        "osd_debug_skip_full_check_in_backfill_reservation",
        BOOL,
        desc="Take backfills although full",
        level=DEV,
    ),
    opt(
        "osd_debug_reject_backfill_probability",
        FLOAT,
        desc="Probability that a backfill is refused",
        level=DEV,
    ),
    opt("osd_debug_inject_copyfrom_error", BOOL, desc="Fail copy-from", level=DEV),
    opt(
        "osd_debug_misdirected_ops",
        BOOL,
        desc="Complain of operations that came to the wrong OSD",
        level=DEV,
    ),
    opt("osd_debug_skip_full_check_in_recovery", BOOL, desc="Recover although full", level=DEV),
    opt(
        "osd_debug_random_push_read_error",
        FLOAT,
        desc="Probability that reading for a push fails",
        level=DEV,
    ),
    opt(
        "osd_debug_verify_cached_snaps",
        BOOL,
        desc="Compare cached snapshots with the disk",
        level=DEV,
    ),
    opt("osd_debug_no_acting_change", BOOL, desc="Keep acting sets as they are", level=DEV),
    opt("osd_debug_no_purge_strays", BOOL, desc="Keep strays", level=DEV),
    opt("osd_debug_pretend_recovery_active", BOOL, desc="Behave as if recovering", level=DEV),
    opt("osd_debug_pg_log_writeout", BOOL, desc="Check PG logs when they are written", level=DEV),
)
