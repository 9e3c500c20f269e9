"""Whose history counts, who serves, who is filled anew: the cases that upstream's rules tell apart.

Written from `src/osd/PeeringState.cc` (find_best_info, calc_replicated_acting,
choose_async_recovery_replicated).
"""

from __future__ import annotations

from spirula.osd.pg.peering.choose import Question, choose, find_best
from spirula.types.base import EVersion
from spirula.types.hobject import HMAX, HMIN
from spirula.types.pg import PGShard
from spirula.types.pg_info import PGInfo

START = 20
"""The epoch in which the PG served last."""


def info(last, tail=0, *, started=START, complete=True, lacks=0, epoch=START):
    """An OSD with a log from `tail` to `last`, that lacks so many objects of it."""
    made = PGInfo(last_update=EVersion(last, epoch), log_tail=EVersion(tail, epoch))
    made.last_complete = EVersion(last - lacks, epoch)
    made.last_epoch_started = made.history.last_epoch_started = started
    made.last_backfill = HMAX if complete else HMIN
    made.stats.stats.sum.num_objects_missing = lacks
    return made


NOTHING = PGInfo(last_backfill=HMAX)


def asked(infos, up, acting=None, *, whoami=0, size=3, min_size=2, **more):
    shards = {PGShard(osd): each for osd, each in infos.items()}
    return Question(
        infos=shards,
        whoami=PGShard(whoami),
        up=[PGShard(osd) for osd in up],
        acting=[PGShard(osd) for osd in (up if acting is None else acting)],
        up_primary=up[0] if up else -1,
        size=size,
        min_size=min_size,
        **more,
    )


def osds(shards):
    return sorted(shard.osd for shard in shards)


def test_the_newest_update_counts():
    found = find_best(asked({0: info(100), 1: info(110), 2: info(105)}, [0, 1, 2]))
    assert found == PGShard(1)


def test_where_others_can_go_back_the_oldest_update_counts():
    infos = {0: info(100), 1: info(110), 2: info(105)}
    assert find_best(asked(infos, [0, 1, 2], newest_first=False)) == PGShard(0)


def test_an_old_start_does_not_count_however_new_its_updates_are():
    infos = {0: info(100), 1: info(999, started=START - 1), 2: info(100)}
    assert find_best(asked(infos, [0, 1, 2])).osd in (0, 2)


def test_a_history_tells_of_a_start_that_no_complete_copy_was_part_of():
    told = info(100, started=START - 1)
    told.history.last_epoch_started = START
    infos = {0: told, 1: info(100, started=START - 1)}
    assert find_best(asked(infos, [0, 1])) is None
    assert choose(asked(infos, [0, 1])) is None
    ignored = asked(infos, [0, 1], osd_find_best_info_ignore_history_les=True)
    assert find_best(ignored) == PGShard(0)


def test_who_is_filled_now_has_no_say_but_its_start_does():
    infos = {0: info(110, complete=False), 1: info(100, started=START - 1)}
    assert find_best(asked(infos, [0, 1])) is None


def test_of_equal_updates_the_longer_log_then_the_complete_then_this_one():
    alike = {0: info(100), 1: info(100), 2: info(100)}
    assert find_best(asked(alike, [0, 1, 2], whoami=2)) == PGShard(2)
    infos = {0: info(100, 50), 1: info(100, 10), 2: info(100, 50)}
    assert find_best(asked(infos, [0, 1, 2], whoami=2)) == PGShard(1)
    infos = {0: info(100, lacks=3), 1: info(100), 2: info(100, lacks=1)}
    assert find_best(asked(infos, [0, 1, 2], whoami=2)) == PGShard(1)


def test_all_joined_by_log_serve_and_nothing_is_filled():
    made = choose(asked({0: info(100, 10), 1: info(90, 10), 2: info(95, 40)}, [0, 1, 2]))
    assert made.want == [0, 1, 2]
    assert not made.backfill
    assert not made.async_recovery


def test_a_log_that_ends_before_the_oldest_entry_has_to_be_filled():
    infos = {0: info(100, 50), 1: info(100, 50), 2: info(49, 10)}
    made = choose(asked(infos, [0, 1, 2]))
    assert made.want == [0, 1]
    assert osds(made.backfill) == [2]
    assert osds(made.everybody) == [0, 1, 2]


def test_a_longer_log_of_the_best_joins_another_that_the_primarys_does_not():
    infos = {0: info(100, 80), 1: info(100, 10), 2: info(30, 5)}
    made = choose(asked(infos, [0, 1, 2]))
    assert made.best == PGShard(1)
    assert made.want == [0, 1, 2]


def test_a_new_osd_is_filled_while_the_former_one_serves():
    infos = {0: info(100), 1: info(100), 2: info(100), 3: NOTHING}
    made = choose(asked(infos, [0, 1, 3], [0, 1, 2]))
    assert made.want == [0, 1, 2]
    assert osds(made.backfill) == [3]
    assert osds(made.everybody) == [0, 1, 2, 3]


def test_a_new_primary_lets_the_best_serve_first():
    infos = {3: NOTHING, 0: info(100), 1: info(100), 2: info(100)}
    made = choose(asked(infos, [3, 1, 2], [3, 1, 2], whoami=3))
    assert made.want == [0, 1, 2]
    assert osds(made.backfill) == [3]


def test_empty_places_go_to_the_newest_of_those_who_served_then_to_strays():
    infos = {0: info(100), 3: NOTHING, 4: NOTHING, 5: info(80), 6: info(90), 7: info(99)}
    made = choose(asked(infos, [0, 3, 4], [0, 5, 6]))
    assert made.want == [0, 6, 5]
    made = choose(asked(infos, [0, 3, 4], [0, 5], strays={PGShard(6), PGShard(7)}))
    assert made.want == [0, 5, 7]
    made = choose(asked(infos, [0, 3, 4], [0, 5]), restrict_to_up_acting=True)
    assert made.want == [0, 5]


def test_no_more_than_the_size_serve():
    infos = {0: info(100), 1: info(100), 2: info(100), 3: info(100)}
    made = choose(asked(infos, [0, 1, 2], [0, 1, 3]))
    assert made.want == [0, 1, 2]
    assert osds(made.everybody) == [0, 1, 2]


def test_a_primary_that_lacks_much_lets_the_best_serve():
    infos = {0: info(100, 10), 1: info(230, 10), 2: info(230, 10)}
    made = choose(asked(infos, [0, 1, 2]))
    assert made.want[0] == 1
    near = {**infos, 0: info(140, 10)}
    assert choose(asked(near, [0, 1, 2])).want[0] == 0


def test_who_lacks_much_gets_it_in_the_background():
    infos = {0: info(500, 10), 1: info(500, 10), 2: info(399, 10)}
    made = choose(asked(infos, [0, 1, 2]))
    assert made.want == [0, 1]
    assert osds(made.async_recovery) == [2]
    assert osds(made.everybody) == [0, 1, 2]
    assert choose(asked({**infos, 2: info(400, 10)}, [0, 1, 2])).want == [0, 1, 2]


def test_background_recovery_never_leaves_too_few_to_serve():
    infos = {0: info(500, 10), 1: info(300, 10), 2: info(200, 10)}
    made = choose(asked(infos, [0, 1, 2]))
    assert made.want == [0, 1]  # who lacks most goes first
    assert osds(made.async_recovery) == [2]
    assert choose(asked(infos, [0, 1, 2], min_size=3)).want == [0, 1, 2]
    lone = asked(infos, [0, 1, 2], min_size=1)
    assert choose(lone).want == [0]


def test_objects_that_were_missing_before_count_as_well():
    infos = {0: info(500, 10), 1: info(500, 10), 2: info(500, 10, lacks=101)}
    assert choose(asked(infos, [0, 1, 2])).want == [0, 1]


def test_one_that_the_map_does_not_name_is_not_recovered_in_the_background():
    infos = {0: info(500, 10), 1: info(500, 10), 2: info(300, 10), 3: NOTHING}
    made = choose(asked(infos, [0, 1, 3], [0, 1, 2]))
    assert made.want == [0, 1, 2]
    assert not made.async_recovery


def test_too_few_copies_may_be_kept_from_recovery():
    infos = {0: info(100), 1: NOTHING}
    alone = asked(infos, [0, 1], osd_allow_recovery_below_min_size=False)
    assert choose(alone) is None
    assert choose(asked(infos, [0, 1])).want == [0]


def test_nobody_up_leaves_the_best_copy_to_serve():
    made = choose(asked({4: info(100)}, [], [4], whoami=4))
    assert made.want == [4]
