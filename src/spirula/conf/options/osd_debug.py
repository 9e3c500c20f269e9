"""Options that make an OSD misbehave on purpose, for tests.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import BOOL, DEV, FLOAT, INT, opt

OPTIONS = (
    opt("osd_inject_bad_map_crc_probability", FLOAT, level=DEV),
    opt("osd_inject_failure_on_pg_removal", BOOL, level=DEV),
    opt("osd_debug_feed_pullee", INT, -1, level=DEV),
    opt("osd_debug_shutdown", BOOL, level=DEV),
    opt("osd_debug_crash_on_ignored_backoff", BOOL, level=DEV),
    opt("osd_debug_inject_dispatch_delay_probability", FLOAT, level=DEV),
    opt("osd_debug_inject_dispatch_delay_duration", FLOAT, 0.1, level=DEV),
    opt("osd_debug_drop_ping_probability", FLOAT, level=DEV),
    opt("osd_debug_drop_ping_duration", INT, level=DEV),
    opt("osd_debug_op_order", BOOL, level=DEV),
    opt("osd_debug_verify_missing_on_start", BOOL, level=DEV),
    opt("osd_debug_verify_snaps", BOOL, level=DEV),
    opt("osd_debug_verify_stray_on_activate", BOOL, level=DEV),
    opt("osd_debug_skip_full_check_in_backfill_reservation", BOOL, level=DEV),
    opt("osd_debug_reject_backfill_probability", FLOAT, level=DEV),
    opt("osd_debug_inject_copyfrom_error", BOOL, level=DEV),
    opt("osd_debug_misdirected_ops", BOOL, level=DEV),
    opt("osd_debug_skip_full_check_in_recovery", BOOL, level=DEV),
    opt("osd_debug_random_push_read_error", FLOAT, level=DEV),
    opt("osd_debug_verify_cached_snaps", BOOL, level=DEV),
    opt("osd_debug_no_acting_change", BOOL, level=DEV),
    opt("osd_debug_no_purge_strays", BOOL, level=DEV),
    opt("osd_debug_pretend_recovery_active", BOOL, level=DEV),
    opt("osd_debug_pg_log_writeout", BOOL, level=DEV),
)
