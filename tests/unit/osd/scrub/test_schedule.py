"""When PGs are scrubbed, and whether deeply or to repair: by age, hour, load and orders."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spirula.osd.pg.settings import Settings
from spirula.osd.scrub import schedule
from spirula.types.base import UTime
from spirula.types.pg import PGState
from spirula.types.pool import PoolFlag, PoolOpt
from tests.unit.osd.scrub.test_scrub import Scrubbed

_DAY = 86400.0


@pytest.fixture
def cluster():
    made = Scrubbed(1)
    options = made.primary.options
    options.osd_scrub_backoff_ratio = options.osd_scrub_interval_randomize_ratio = 0.0
    options.osd_deep_scrub_randomize_ratio = 0.0
    now = UTime.at(made.primary.services.wall())
    history = made.primary.info.history
    history.last_scrub_stamp = history.last_deep_scrub_stamp = now
    made.primary.scrubber.job = None
    return made


def tick(cluster, minute=0.0):
    """A look at what is due; the scrub that began, if one did."""
    pg = cluster.primary
    load = schedule.Load()
    load.see(minute)
    schedule.tick(pg.shared, [pg], load)
    return pg.scrubber.run


def test_a_pg_is_scrubbed_every_day_and_deeply_every_week(cluster):
    deep = []
    for _ in range(9):
        assert tick(cluster) is None
        cluster.clock.advance(_DAY + 1)
        run = tick(cluster)
        deep.append(run.deep)
        cluster.finish()
    assert deep == [False] * 6 + [True] + [False] * 2


def test_under_load_it_waits_until_it_is_late(cluster):
    cluster.clock.advance(6 * _DAY)
    assert tick(cluster, minute=4.0) is None
    cluster.clock.advance(_DAY + 1)
    assert tick(cluster, minute=4.0) is not None


def test_a_pools_own_intervals_count(cluster):
    cluster.primary.pool.opts.opts[int(PoolOpt.SCRUB_MIN_INTERVAL)] = 100.0
    cluster.primary.pool.opts.opts[int(PoolOpt.DEEP_SCRUB_INTERVAL)] = 150.0
    cluster.clock.advance(101)
    assert not tick(cluster).deep
    cluster.finish()
    cluster.clock.advance(101)
    assert tick(cluster).deep


def test_pools_and_maps_forbid_what_nobody_asked_for(cluster):
    cluster.clock.advance(8 * _DAY)
    cluster.primary.pool.flags |= PoolFlag.NODEEP_SCRUB
    assert not tick(cluster).deep
    cluster.finish()
    cluster.clock.advance(8 * _DAY)
    cluster.primary.pool.flags |= PoolFlag.NOSCRUB
    assert tick(cluster) is None
    schedule.request(cluster.primary, deep=True, repair=False)
    assert tick(cluster).deep


def test_none_begins_while_the_osd_recovers_unless_it_may(cluster):
    pg = cluster.primary
    pg.shared.reservers.local.request(pg.pgid, 100, lambda: None, None)
    schedule.request(pg, deep=True, repair=True)
    assert tick(cluster) is None
    pg.options.osd_repair_during_recovery = True
    assert tick(cluster).repair
    cluster.finish()
    pg.options.osd_repair_during_recovery = False
    pg.options.osd_scrub_during_recovery = True
    schedule.request(pg, deep=False, repair=False)
    assert tick(cluster) is not None


def test_one_that_is_not_clean_is_not_scrubbed(cluster):
    schedule.request(cluster.primary, deep=True, repair=False)
    cluster.primary.set_state(off=PGState.CLEAN)
    assert tick(cluster) is None


@pytest.mark.parametrize(
    ("begin", "end", "hours"),
    [(0, 0, range(24)), (9, 17, range(9, 17)), (22, 3, [22, 23, 0, 1, 2])],
)
def test_hours_are_those_of_the_place(begin, end, hours):
    options = Settings(osd_scrub_begin_hour=begin, osd_scrub_end_hour=end)
    local = datetime(2026, 11, 18, tzinfo=UTC).astimezone()
    times = [local.replace(hour=hour) for hour in range(24)]
    found = [each.hour for each in times if schedule.is_time(options, each.timestamp())]
    assert sorted(found) == sorted(hours)


def test_days_count_from_sunday():
    options = Settings(osd_scrub_begin_week_day=6, osd_scrub_end_week_day=1)
    days = [datetime(2026, 11, day, 12, tzinfo=UTC).timestamp() for day in range(15, 22)]
    assert [schedule.is_time(options, day) for day in days] == [True] + [False] * 5 + [True]


def test_load_is_low_when_it_falls_below_what_is_usual():
    load = schedule.Load(processors=2)
    load.see(0.9)
    assert load.is_low(0.5)
    load.see(4.0)
    assert not load.is_low(0.5)
    for _ in range(900):
        load.see(4.0)
    load.see(2.0)
    assert not load.is_low(0.5)  # usually there is less
    for _ in range(100000):
        load.see(4.0)
    load.see(2.0)
    assert load.is_low(0.5)


def test_what_a_scrub_finds_is_repaired_without_being_asked_if_that_is_wanted():
    cluster = Scrubbed(3)
    pg = cluster.primary
    client = cluster.fill()
    assert client
    pg.options.osd_scrub_auto_repair = True
    pg.options.osd_scrub_backoff_ratio = pg.options.osd_deep_scrub_randomize_ratio = 0.0
    before = cluster.everywhere("o5")
    cluster.change(1, "o5", ("truncate", 1))
    pg.info.history.last_deep_scrub_stamp = UTime.at(pg.services.wall())
    schedule.pretend_old(pg, deep=False, seconds=0)
    for _ in range(4):
        tick(cluster)
        cluster.finish()
        cluster.clock.advance(1)
    assert cluster.everywhere("o5") == before
    assert [text for _, text in cluster.lines if " ok" in text or "errors" in text] == [
        "1.0 scrub 2 errors",
        "1.0 repair 2 errors, 1 fixed",
        "1.0 deep-scrub ok",
    ]
    assert cluster.state == "active+clean"


def test_too_many_errors_are_not_repaired_without_being_asked():
    cluster = Scrubbed(3)
    pg = cluster.primary
    cluster.fill()
    pg.options.osd_scrub_auto_repair = True
    pg.options.osd_scrub_backoff_ratio = 0.0
    pg.options.osd_scrub_auto_repair_num_errors = 2
    for number in range(3):
        cluster.change(1, f"o{number + 5}", ("remove",))
    schedule.pretend_old(pg, deep=True, seconds=0)
    schedule.pretend_old(pg, deep=False, seconds=0)
    assert tick(cluster).repair
    cluster.finish()
    assert "1.0 deep-scrub 3 errors" in [text for _, text in cluster.lines]
    assert cluster.state == "active+clean+inconsistent"


def test_what_is_planned_is_shown(cluster):
    (shown,) = schedule.dump([cluster.primary])
    assert shown["pgid"] == "1.0"
    assert not shown["forced"]
    assert shown["sched_time"] < shown["deadline"]
    schedule.request(cluster.primary, deep=False, repair=False)
    (shown,) = schedule.dump([cluster.primary])
    assert shown["forced"]
