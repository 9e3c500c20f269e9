"""The options that placement groups look at, read once and kept up to date.

A look at an option takes microseconds, and some are needed for each request. One record per OSD,
made with `Settings.watch` by whoever makes the PGs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from spirula.conf.config import Config

_SIZE_UNITS = {"osd_max_write_size": 1 << 20}


@dataclass(slots=True, eq=False)
class Settings:
    """Options by their names. Sizes in bytes (also those that the option has in MiB)."""

    osd_max_write_size: int = 90 << 20
    osd_max_object_size: int = 128 << 20
    osd_max_object_name_len: int = 2048
    osd_max_object_namespace_len: int = 256
    osd_max_attr_name_len: int = 100
    osd_max_attr_size: int = 0
    osd_max_write_op_reply_len: int = 64
    osd_backoff_on_peering: bool = False
    osd_backoff_on_degraded: bool = False
    osd_backoff_on_unfound: bool = True
    osd_min_pg_log_entries: int = 250
    osd_max_pg_log_entries: int = 10000
    osd_target_pg_log_entries_per_osd: int = 30000 * 10
    osd_pg_log_trim_min: int = 100
    osd_pg_log_trim_max: int = 10000
    osd_pg_log_dups_tracked: int = 3000
    osd_pg_object_context_cache_count: int = 64
    osd_heartbeat_grace: float = 20.0
    osd_pool_default_read_lease_ratio: float = 0.8
    osd_recovery_max_active: int = 0
    osd_recovery_max_active_hdd: int = 3
    osd_recovery_max_active_ssd: int = 10
    osd_recovery_max_single_start: int = 1
    osd_recovery_delay_start: float = 0.0
    osd_recovery_retry_interval: float = 30.0
    osd_backfill_retry_interval: float = 30.0
    osd_debug_skip_full_check_in_recovery: bool = False
    osd_recovery_max_chunk: int = 8 << 20
    osd_recovery_max_omap_entries_per_chunk: int = 8096
    osd_recover_clone_overlap: bool = True
    osd_recover_clone_overlap_limit: int = 10
    osd_pg_stat_report_interval_max: int = 500
    osd_max_scrubs: int = 1
    osd_scrub_during_recovery: bool = False
    osd_repair_during_recovery: bool = False
    osd_scrub_begin_hour: int = 0
    osd_scrub_end_hour: int = 0
    osd_scrub_begin_week_day: int = 0
    osd_scrub_end_week_day: int = 0
    osd_scrub_load_threshold: float = 0.5
    osd_scrub_min_interval: float = 86400.0
    osd_scrub_max_interval: float = 604800.0
    osd_scrub_interval_randomize_ratio: float = 0.5
    osd_scrub_backoff_ratio: float = 0.66
    osd_scrub_invalid_stats: bool = True
    osd_scrub_chunk_min: int = 5
    osd_scrub_chunk_max: int = 25
    osd_scrub_sleep: float = 0.0
    osd_scrub_extended_sleep: float = 0.0
    osd_scrub_auto_repair: bool = False
    osd_scrub_auto_repair_num_errors: int = 5
    osd_scrub_max_preemptions: int = 5
    osd_scrub_priority: int = 5
    osd_requested_scrub_priority: int = 120
    osd_deep_scrub_interval: float = 604800.0
    osd_deep_scrub_randomize_ratio: float = 0.15
    osd_deep_scrub_stride: int = 512 << 10
    osd_deep_scrub_keys: int = 1024
    osd_deep_scrub_update_digest_min_age: int = 7200
    osd_deep_scrub_large_omap_object_key_threshold: int = 200000
    osd_deep_scrub_large_omap_object_value_sum_threshold: int = 1 << 30
    osd_hit_set_namespace: str = ".ceph-internal"
    osd_force_auth_primary_missing_objects: int = 100
    osd_async_recovery_min_cost: int = 100
    osd_allow_recovery_below_min_size: bool = True
    osd_find_best_info_ignore_history_les: bool = False
    osd_backfill_scan_min: int = 64
    osd_backfill_scan_max: int = 512
    osd_debug_skip_full_check_in_backfill_reservation: bool = False
    osd_max_push_objects: int = 10
    osd_max_push_cost: int = 8 << 20

    @classmethod
    def watch(cls, config: Config) -> Settings:
        """The options as they are now and whenever they change."""
        made = cls()
        names = [each.name for each in fields(cls)]

        def read(changed: object) -> None:
            del changed
            for name in names:
                value = config.get(name)
                unit = _SIZE_UNITS.get(name)
                setattr(made, name, int(value) * unit if unit else value)

        read(None)
        config.observe(names, read)
        return made
