"""Record what clients of earlier releases get: `python -m tests.interop.record_old_maps`.

Starts a cluster of its own, changes its OSD map, and asks its monitor for maps as clients with
fewer and fewer features. What is kept in `tests/golden/old_maps.xz`: every change and the last
whole map of two spans of epochs, for each set of features. `tests/golden/old_maps.py` reads it.
"""

from __future__ import annotations

import asyncio
import lzma
import struct
import sys
import time
from pathlib import Path

from spirula.denc.features import PACIFIC
from tests.interop.old_peer import OLD_MAPS_WITHOUT, WITHOUT, maps_for
from tests.interop.realcluster import RealCluster, real_cluster_of

KEPT = Path(__file__).parents[1] / "golden" / "old_maps.xz"
SETTLE_S = 2.5

# One command a line; `sleep` lets OSDs answer with changes of their own. These leave a map that
# clients of any age understand, the ones after them do not.
FOR_ANYBODY = """
osd crush tunables legacy
osd pool create rep 8 8
osd pool create snapped 8 8
osd erasure-code-profile set k2m1 k=2 m=1 crush-failure-domain=osd
osd pool create ec 4 4 erasure k2m1
osd pool application enable rep rbd
osd pool set rep compression_mode aggressive
osd pool set rep compression_required_ratio .7
osd pool set rep target_size_bytes 1000000
osd pool set-quota rep max_objects 1000
osd pool mksnap snapped one
osd pool mksnap snapped two
osd pool rmsnap snapped one
rados -p rep mksnap mine
rados -p rep rmsnap mine
osd pool create cache 4 4
osd tier add rep cache --force-nonempty
osd tier cache-mode cache readproxy
osd pool set cache hit_set_type bloom
osd set-nearfull-ratio 0.8
osd set-require-min-compat-client jewel
osd blocklist add 127.0.0.1:0/12345 600
osd primary-affinity 1 0.5
osd pg-temp 2.4 2 1 0
osd primary-temp 2.5 1
osd reweight 0 0.75
osd set-group noup,noin osd.1
osd out 2
osd crush weight-set create-compat
osd crush weight-set reweight-compat osd.1 0.3
osd set noout
osd down 2
sleep
osd pool rename snapped snaps
"""
FOR_LUMINOUS = """
osd set-require-min-compat-client luminous
osd crush tunables optimal
osd pg-upmap 2.1 2 0 1
osd pg-upmap-items 2.2 0 2
osd rm-pg-upmap 2.1
osd crush rm-device-class osd.1
osd crush set-device-class ssd osd.1
osd crush rule create-replicated onssd default osd ssd
osd crush weight-set rm-compat
osd crush weight-set create rep flat
osd crush weight-set reweight rep osd.0 0.5
osd set-group noout ssd
osd unset-group noup,noin osd.1
osd in 2
sleep
osd pool rm snaps snaps --yes-i-really-really-mean-it
"""


def change(cluster: RealCluster, commands: str) -> None:
    """Gives every command; those that this state of the cluster refuses are told and left out."""
    for line in commands.split("\n"):
        if line == "sleep":
            time.sleep(SETTLE_S)
        elif line:
            try:
                words = line.split()
                cluster.run(*words if words[0] == "rados" else ("ceph", *words))
            except Exception as refused:  # noqa: BLE001 -- a recorder tells what it meets
                print(f"{line}: {str(refused).splitlines()[-1]}", file=sys.stderr)


def records(cluster: RealCluster, kinds: dict[str, int], first: int, last: int) -> bytes:
    """(features, full?, epoch, length), then the bytes, for all kinds of clients."""
    out = bytearray()
    for without in (0, *kinds.values()):
        maps = asyncio.run(maps_for(cluster.conf, without, first, last, last))
        for full, found in ((False, maps.incrementals), (True, maps.fulls)):
            for epoch, raw in sorted(found.items()):
                out += struct.pack("<Q?II", PACIFIC & ~without, full, epoch, len(raw)) + raw
    return bytes(out)


def epoch(cluster: RealCluster) -> int:
    """The newest."""
    return int(cluster.ceph_json("osd", "stat")["epoch"])


def main() -> None:
    """Records, and writes the file."""
    with real_cluster_of(osds=3) as cluster:
        change(cluster, FOR_ANYBODY)
        middle = epoch(cluster)
        found = records(cluster, WITHOUT | OLD_MAPS_WITHOUT, 1, middle)
        change(cluster, FOR_LUMINOUS)
        found += records(cluster, WITHOUT, middle + 1, epoch(cluster))
    KEPT.write_bytes(lzma.compress(found, preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(found)} bytes of maps, {KEPT.stat().st_size} bytes kept")


if __name__ == "__main__":
    main()
