"""Record how the OSD map of a real cluster changes: `python -m tests.interop.record_osdmaps`.

Starts a cluster of its own, changes its map in every way that commands offer, then reads all full
maps and incrementals out of a copy of the monitor's store. What is kept in
`tests/golden/osdmaps.xz`: every incremental, and each tenth full map. `tests/golden/osdmaps.py`
reads it.
"""

from __future__ import annotations

import lzma
import shutil
import struct
import sys
import time
from pathlib import Path

from tests.interop.realcluster import RealCluster, real_cluster_of

KEPT = Path(__file__).parents[1] / "golden" / "osdmaps.xz"
EVERY = 10
SETTLE_S = 2.5
OPTIONS = {"crush location": "root=default host=recorded"}

# Each line is one command; `sleep` lets OSDs and the manager answer with changes of their own.
CHANGES = """
osd set noout
osd unset noout
osd set nodeep-scrub
osd pool create rep 8 8
osd pool create wide 8 8 replicated --size 4
osd pool application enable rep rbd
osd erasure-code-profile set k2m1 k=2 m=1 crush-failure-domain=osd
osd erasure-code-profile set gone k=2 m=2 crush-failure-domain=osd
osd erasure-code-profile rm gone
osd pool create ec 8 8 erasure k2m1
osd pool rename wide broad
osd pool set rep pg_num 16
osd pool set rep compression_mode aggressive
osd pool set rep compression_required_ratio .7
osd pool set rep target_size_bytes 1000000
osd pool set-quota rep max_objects 1000
sleep
osd pool mksnap broad one
osd pool mksnap broad two
osd pool rmsnap broad one
rados -p rep mksnap mine
rados -p rep rmsnap mine
sleep
sleep
osd set-require-min-compat-client luminous
osd pg-upmap 2.1 3 0 1
osd pg-upmap-items 2.2 0 3 1 4
osd pg-upmap-items 2.3 2 4
osd rm-pg-upmap-items 2.2
osd rm-pg-upmap 2.1
osd pg-temp 2.4 4 3 2
osd primary-temp 2.5 4
osd pg-temp 2.4
osd primary-affinity 1 0.5
osd primary-affinity 2 0
osd reweight 0 0.75
osd out 3
sleep
osd in 3
osd test-reweight-by-pg 101
osd reweight-by-pg 101
osd blocklist add 127.0.0.1:0/12345 60
osd blocklist add 10.1.2.3 60
osd blocklist rm 127.0.0.1:0/12345
osd crush add-bucket rack1 rack
osd crush add-bucket host9 host
osd crush move rack1 root=default
osd crush move host9 rack=rack1
osd crush set osd.4 0.5 host=host9
osd crush reweight osd.4 0.25
osd crush rm-device-class osd.3
osd crush set-device-class ssd osd.3
osd crush rule create-replicated onssd default osd ssd
osd crush rule create-erasure ecrule k2m1
osd crush weight-set create-compat
osd crush weight-set reweight-compat osd.1 0.3
osd crush weight-set create rep flat
osd crush weight-set reweight rep osd.0 0.5
osd crush weight-set rm rep
osd crush tunables hammer
osd crush tunables optimal
osd set-group noup,noin osd.1 host9
osd set-group noout ssd
osd unset-group noup osd.1
osd unset-group noup,noin host9
osd set-nearfull-ratio 0.8
osd set-full-ratio 0.96
osd set-backfillfull-ratio 0.91
osd down 2
sleep
osd add-nodown 1
osd rm-nodown 1
osd setmaxosd 12
osd stop osd.4
sleep
osd lost 4 --yes-i-really-mean-it
osd destroy 4 --yes-i-really-mean-it
osd crush rename-bucket host9 host8
osd purge 4 --yes-i-really-mean-it
osd setmaxosd 8
osd pool set rep pg_num 8
sleep
sleep
osd pool rm broad broad --yes-i-really-really-mean-it
osd pool create cache 4 4
osd tier add rep cache
osd tier cache-mode cache readproxy
osd tier set-overlay rep cache
osd tier rm-overlay rep
osd tier cache-mode cache none
osd tier rm rep cache
osd set pause
osd unset pause
osd require-osd-release pacific
osd new 11111111-2222-3333-4444-555555555555
osd rm 4
"""


def change(cluster: RealCluster) -> None:
    """Gives every command; those that this state of the cluster refuses are told and left out."""
    for line in CHANGES.split("\n"):
        if line == "sleep":
            time.sleep(SETTLE_S)
        elif line:
            try:
                words = line.split()
                cluster.run(*words if words[0] == "rados" else ("ceph", *words))
            except Exception as refused:  # noqa: BLE001 -- a recorder tells what it meets
                print(f"{line}: {str(refused).splitlines()[-1]}", file=sys.stderr)


def stored(cluster: RealCluster) -> dict[str, bytes]:
    """All versions in the monitor's store: `7` is an incremental, `full_7` a full map."""
    cluster.kill("mon.a")
    store = cluster.folder / "copy"
    shutil.copytree(cluster.folder / "mon.a" / "store.db", store)
    tool = ("ceph-kvstore-tool", "rocksdb", str(store))
    keys = [
        line.split("\t")[1]
        for line in cluster.run(*tool, "list", "osdmap").splitlines()
        if line.startswith("osdmap\t")
    ]
    found = {}
    for key in keys:
        number = key.removeprefix("full_")
        if number.isdigit():
            out = cluster.folder / "value"
            cluster.run(*tool, "get", "osdmap", key, "out", str(out))
            found[key] = out.read_bytes()
    return found


def pack(found: dict[str, bytes]) -> bytes:
    """All incrementals, and full maps of some epochs: (full?, epoch, length), then the bytes."""
    out = bytearray()
    fulls = sorted(int(key[5:]) for key in found if key.startswith("full_"))
    kept = {epoch for epoch in fulls if epoch % EVERY == 0} | {fulls[0], fulls[-1]}
    for key, value in sorted(found.items(), key=lambda pair: (int(pair[0].split("_")[-1]), pair)):
        epoch = int(key.removeprefix("full_"))
        full = key.startswith("full_")
        if not full or epoch in kept:
            out += struct.pack("<?II", full, epoch, len(value)) + value
    return lzma.compress(bytes(out), preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    """Records, and writes the file (or, given a folder, all maps into it)."""
    with real_cluster_of(osds=5, options=OPTIONS) as cluster:
        change(cluster)
        found = stored(cluster)
    if len(sys.argv) > 1:
        for key, value in found.items():
            (Path(sys.argv[1]) / key).write_bytes(value)
    KEPT.write_bytes(pack(found))
    print(f"{len(found)} maps, {KEPT.stat().st_size} bytes kept")


if __name__ == "__main__":
    main()
