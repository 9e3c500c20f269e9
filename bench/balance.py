"""What balancing costs: 100 upmaps for a cluster of 1,000 OSDs, beside `osdmaptool --upmap`.

Run: `python bench/balance.py [--pgs N]`. The cluster: 10 racks of 10 hosts of about 10 OSDs of
unlike sizes, one pool of N PGs (16,384 unless told) with 3 replicas. Where the real program is
installed it does the same search (nothing left to chance); its time includes reading the map.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.balance.reads import balance_reads
from spirula.maps.balance.upmaps import calc_pg_upmaps
from spirula.maps.osdmap import OSDMap
from spirula.maps.plan import plan, with_changes
from tests.unit.maps.balance.lopsided import lopsided_map

CHANGES, DEVIATION = 100, 1


def cluster(pgs: int) -> OSDMap:
    """The map, with the first pool only."""
    osdmap = lopsided_map(random.Random(1), racks=10, hosts=10, osds=10, pg_num=pgs)
    osdmap.pools = {1: osdmap.pools[1]}
    osdmap.pool_name = {1: "pool1"}
    return osdmap


def real_seconds(osdmap: OSDMap) -> float | None:
    """How long the real program takes; None where there is none."""
    tool = shutil.which("osdmaptool")
    if tool is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "map")
        path.write_bytes(osdmap.encode())
        words = ["--osd_calc_pg_upmaps_aggressively=false", "--upmap", "/dev/null"]
        words += ["--upmap-max", str(CHANGES), "--upmap-deviation", str(DEVIATION)]
        begin = time.perf_counter()
        subprocess.run([tool, str(path), *words], check=True, capture_output=True, timeout=600)
        return time.perf_counter() - begin


def main() -> int:
    """Prints seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pgs", type=int, default=16_384)
    osdmap = cluster(parser.parse_args().pgs)
    print(f"{osdmap.max_osd} OSDs, {osdmap.pools[1].pg_num} PGs")
    inc = pending_incremental(osdmap)
    begin = time.perf_counter()
    made = calc_pg_upmaps(osdmap, inc, max_deviation=DEVIATION, max_changes=CHANGES, pools=[1])
    print(f"{made} upmaps: {time.perf_counter() - begin:.2f} s")
    theirs = real_seconds(osdmap)
    if theirs is not None:
        print(f"osdmaptool --upmap: {theirs:.2f} s")
    begin = time.perf_counter()
    made = balance_reads(osdmap, 1, pending_incremental(osdmap)).changes
    print(f"{made} primaries: {time.perf_counter() - begin:.2f} s")
    begin = time.perf_counter()
    plan(osdmap, with_changes(apply_incremental(osdmap, inc), weights={0: 0}))
    print(f"a plan for one OSD that goes out: {time.perf_counter() - begin:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
