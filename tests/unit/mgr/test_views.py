"""What modules get by name."""

from __future__ import annotations

from types import SimpleNamespace

from spirula.mgr_host import views
from spirula.pgmap.record import PGMap
from spirula.types.pg import PGId, PGState
from spirula.types.pg_stats import PGStat


def manager():
    pgmap = PGMap()
    for seed, state in enumerate((PGState.ACTIVE | PGState.CLEAN, PGState.ACTIVE)):
        stat = PGStat()
        stat.state, stat.reported_epoch = int(state), 7
        stat.stats.sum.num_bytes, stat.stats.sum.num_bytes_recovered = 5, 2
        pgmap.pg_stat[PGId(1, seed)] = stat
    return SimpleNamespace(pgmap=pgmap, pgmap_ready=True)


def test_pgs_as_progress_wants_them():
    assert views.get(manager(), "active_clean_pgs") == {
        "pg_stats": [{"pgid": "1.0", "state": "active+clean", "reported_epoch": 7}],
        "total_num_pgs": 2,
    }
    progress = views.get(manager(), "pg_progress")
    assert progress["pg_ready"] is True
    assert progress["pgs"]["1.1"] == {
        "num_bytes_recovered": 2,
        "num_bytes": 5,
        "reported_epoch": 7,
        "state": "active",
    }


def test_nobody_knows_other_names():
    assert views.get(manager(), "what is this") is None
