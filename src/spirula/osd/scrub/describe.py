"""A scrub under way, as `ceph tell PG query` shows it: upstream `pg_scrubber.cc` (dump)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.printing import Items
from spirula.types.base import UTime

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG


def describe(pg: PG) -> dict[str, object]:
    """The scrub that a PG leads now."""
    run, planned = pg.scrubber.run, pg.scrubber.planned
    interval = pg.info.history.same_interval_since
    if run is None or not run.is_active:
        return {"epoch_start": str(interval if run else 0), "active": False}
    return {
        "epoch_start": str(interval),
        "active": True,
        "start": str(run.start),
        "end": str(run.end),
        "m_max_end": str(run.end),
        "subset_last_update": str(pg.info.last_update),
        "deep": run.deep,
        "must_scrub": planned.must_scrub or run.required,
        "must_deep_scrub": planned.must_deep_scrub or run.must_deep,
        "must_repair": planned.must_repair,
        "need_auto": planned.need_auto,
        "req_scrub": run.required,
        "time_for_deep": planned.time_for_deep,
        "auto_repair": run.auto_repair,
        "check_repair": run.check_repair,
        "deep_scrub_on_error": run.deep_scrub_on_error,
        "scrub_reg_stamp": str(UTime() if run.job is None else run.job.at),
        "priority": run.priority,
        "shallow_errors": run.compared.shallow,
        "deep_errors": run.compared.deep,
        "fixed": run.fixed,
        "waiting_on_whom": Items("shard", sorted(map(str, run.awaited))),
    }
