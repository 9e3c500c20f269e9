"""What a manager takes: reports of many OSDs and PGs into statistics, and their digest.

    python bench/manager.py [--osds 1000] [--pgs 100000] [--changed 0.1]

Every OSD reports once in 5 s, all PGs that it leads; a share of them has changed. Told is how much
of a core the reports of one period and their two digests take; exit status 1 if that is more than
one core. What an idle manager takes with few PGs: `bench/manager_idle.py`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from spirula.cli.mgr import collect_seldom
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSDState
from spirula.messages.osd_mon import MPGStats
from spirula.pgmap.digest import make_digest
from spirula.pgmap.record import Changes, PGMap, apply
from spirula.types.osd_stats import OSDStat
from spirula.types.pg import PGId, PGState
from spirula.types.pg_stats import EncodedPGStat, PGStat, StoreStatfs
from spirula.types.pool import PGPool

PERIOD_S = 5.0
_UP = int(OSDState.EXISTS | OSDState.UP)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--osds", type=int, default=1000)
    parser.add_argument("--pgs", type=int, default=100_000)
    parser.add_argument("--changed", type=float, default=0.1)
    args = parser.parse_args()
    rng = random.Random(1)
    osdmap = OSDMap(max_osd=args.osds, osd_state=[_UP] * args.osds)
    osdmap.osd_weight = [0x10000] * args.osds
    osdmap.pools = {1: PGPool(pg_num=args.pgs)}
    led: list[list[PGId]] = [[] for _ in range(args.osds)]
    stats: dict[PGId, PGStat] = {}
    for seed in range(args.pgs):
        pgid, places = PGId(1, seed), rng.sample(range(args.osds), 3)
        stat = stats[pgid] = PGStat(up=places, acting=places, reported_epoch=1)
        stat.state = int(PGState.ACTIVE | PGState.CLEAN)
        stat.up_primary = stat.acting_primary = places[0]
        led[places[0]].append(pgid)

    def reports() -> list[tuple[int, int, bytes]]:
        return [
            MPGStats(
                osd_stat=OSDStat(num_osds=1, statfs=StoreStatfs(total=1 << 40)),
                pg_stat={pgid: EncodedPGStat.of(stats[pgid]) for pgid in led[osd]},
                epoch=1,
            ).encode_payload()
            for osd in range(args.osds)
        ]

    collect_seldom()
    pgmap, now = PGMap(), 1.0
    reported: dict[PGId, bytes] = {}
    most = 0.0
    for round_ in range(3):
        for pgid in rng.sample(sorted(stats, key=lambda pg: pg.seed), int(args.pgs * args.changed)):
            stats[pgid].reported_seq += 1
            stats[pgid].stats.sum.num_wr += 1
        encoded = reports()
        began = time.process_time()
        changes = Changes()
        for osd, (version, _, front) in enumerate(encoded):
            message = MPGStats.decode_payload(front, version)
            changes.osd_stat[osd] = message.osd_stat
            for pgid, told in message.pg_stat.items():
                if reported.get(pgid) != told.raw:
                    reported[pgid] = told.raw
                    changes.pg_stat[pgid] = told.decoded()
        taken = time.process_time()
        apply(pgmap, changes, now, 6, 10.0)
        applied = time.process_time()
        for _ in range(2):
            make_digest(pgmap, osdmap).encode()
        ended = time.process_time()
        now += PERIOD_S
        share = (ended - began) / PERIOD_S
        most = max(most, share)
        what = "all new" if not round_ else f"{args.changed:.0%} changed"
        print(
            f"{args.osds} OSDs, {args.pgs} PGs, {what}: decode {taken - began:.2f} s,"
            f" take in {applied - taken:.2f} s, two digests {ended - applied:.2f} s:"
            f" {share:.0%} of a core"
        )
    return 0 if most < 1 else 1


if __name__ == "__main__":
    sys.exit(main())
