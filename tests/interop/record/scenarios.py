"""What is done to the recorded cluster, one scenario per concern; each provokes the messages it
names.

A step that fails is printed and passed over: the recording is as good as what it holds, and the
list of types seen tells. Called by `__main__`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.interop.record.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBIAN_PYTHON = "/usr/bin/python3"
_CLIENT = str(Path(__file__).with_name("rados_client.py"))

_QUESTIONS = """\
status|health detail|osd dump|osd tree|osd df|osd stat|osd perf|osd metadata|osd find 0
osd getmaxosd
osd crush dump|osd crush tree|osd crush rule dump|osd erasure-code-profile ls|osd lspools
osd blocked-by
osd pool ls detail|osd pool stats|osd utilization|osd numa-status|osd versions|osd ok-to-stop 0
osd safe-to-destroy 0|osd map rep obj|osd getcrushmap -o /dev/null|osd getmap -o /dev/null
osd info 0
pg stat|pg dump|pg dump_stuck|pg ls|pg ls-by-osd 0|pg map 1.0|pg getmap -o /dev/null
pg debug unfound_objects_exist
mon stat|mon dump|mon metadata|mon getmap -o /dev/null|mon versions|mon feature ls|quorum_status
node ls
mgr dump|mgr module ls|mgr services|mgr metadata|mgr stat|mgr versions|versions|features|df detail
report
auth ls|auth get client.admin|auth print-key client.admin|config dump|config ls|config log|fs ls
mds stat
log last 5|time-sync-status|device ls|balancer status|crash ls|fsid|service dump|service status
telemetry status
tell mon.a sessions|tell mon.b mon_status|tell mon.* version|tell osd.* version|tell osd.0 perf dump
tell osd.1 dump_historic_ops|tell osd.0 config show|tell osd.0 nosuchcommand|tell mgr mgr_status
tell mgr.x version|tell osd.99 version|nosuch command|osd pool get rep all|osd pool get-quota rep
tell osd.0 bench 1048576 65536|tell osd.2 heap stats|tell 2.0 query|pg 2.0 query|pg 2.0 list_unfound
progress|orch status|iostat 1 1|insights|osd pool autoscale-status|pg repeer 2.0|mon ok-to-rm b
"""

_CHANGES = """\
osd pool set rep min_size 1|osd pool set rep size 2|osd pool set rep size 3
osd pool set rep min_size 2
osd pool set rep hashpspool true --yes-i-really-mean-it|osd pool set rep compression_mode passive
osd pool set rep scrub_min_interval 86400|osd pool set-quota rep max_objects 100000
osd pool application enable rep recorder|osd pool application set rep recorder key value
osd pool mksnap forsnaps ps1|osd pool rmsnap forsnaps ps1|osd pool rename forsnaps forsnaps2
osd pool rename forsnaps2 forsnaps|auth get-or-create client.try mon 'allow r'
auth caps client.try mon profile\\srbd osd profile\\srbd|auth rm client.try
config set osd osd_max_backfills 3|config set client.try rbd_cache false|config get osd.0
config set mon mon_cluster_log_file_level info|config rm osd osd_max_backfills
config assimilate-conf -i /dev/null
config-key set rec/a valuea|config-key get rec/a|config-key ls|config-key dump
config-key exists rec/b|config-key rm rec/a
log hello from the recorder|osd set noout|osd unset noout|osd set nodeep-scrub
osd unset nodeep-scrub
osd set-group noup osd.3|osd unset-group noup osd.3|osd reweight 2 0.9|osd reweight 2 1
osd primary-affinity 1 0.5|osd primary-affinity 1 1|osd blocklist add 127.0.0.8:0/77 60
osd blocklist ls
osd blocklist rm 127.0.0.8:0/77|osd crush add-bucket rackx rack|osd crush move rackx root=default
osd crush reweight osd.1 0.01|osd crush reweight osd.1 0.004
osd crush rule create-replicated other default osd
osd crush rule rm other|osd crush rm rackx|osd crush set-device-class fast osd.3
osd crush rm-device-class osd.3
osd crush tunables optimal|osd crush weight-set create-compat
osd crush weight-set reweight-compat osd.0 0.003
osd crush weight-set rm-compat|osd erasure-code-profile set prof k=2 m=1 crush-failure-domain=osd
osd erasure-code-profile get prof|osd set-require-min-compat-client luminous
osd pg-upmap-items 2.1 0 3
osd rm-pg-upmap-items 2.1|osd set-nearfull-ratio 0.8|osd set-full-ratio 0.95
osd reweight-by-utilization
fs flag set enable_multiple true --yes-i-really-mean-it|mgr module enable iostat
mgr module disable iostat
device ls-by-host x|balancer mode upmap|balancer eval|osd set-require-min-compat-client mimic
tell osd.0 injectargs --osd_max_backfills=5|tell mon.a injectargs --mon_max_pg_per_osd=2001
tell mgr config set debug_mgr 1|mon set election_strategy connectivity
mon set election_strategy classic
mon scrub|mon compact|health mute MON_DISK_LOW 1m|health unmute MON_DISK_LOW|osd pause|osd unpause
osd pool create gone 4|osd pool delete gone gone --yes-i-really-really-mean-it|osd setmaxosd 10
"""


def _lines(text: str) -> list[str]:
    return [c.strip() for line in text.splitlines() for c in line.split("|") if c.strip()]


def _each(cluster: Cluster, text: str) -> None:
    for line in _lines(text):
        words = [w.replace("\\s", " ").strip("'") for w in line.split()]
        cluster.run("ceph", *words, check=False, timeout_s=20)


def _client(cluster: Cluster, *arguments: str, timeout_s: float = 60) -> None:
    cluster.run(DEBIAN_PYTHON, _CLIENT, *arguments, check=False, timeout_s=timeout_s)


@contextmanager
def _load(cluster: Cluster, *pools: str, seconds: float) -> Iterator[None]:
    """Client load in the background; ends by itself after `seconds` and is waited for."""
    processes = [
        subprocess.Popen(
            [DEBIAN_PYTHON, _CLIENT, "load", pool, str(seconds)],
            env=cluster.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for pool in pools
    ]
    try:
        yield
    finally:
        for process in processes:
            try:
                process.wait(seconds + 60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def pools(cluster: Cluster) -> None:
    """Pools the others use: replicated, erasure-coded (with and without overwrites), for RBD."""
    for line in _lines(
        """osd pool create rep 8|osd pool create forsnaps 4|osd pool create selfsnaps 4
        osd pool create rbd 8
        osd erasure-code-profile set ec21 k=2 m=1 crush-failure-domain=osd
        osd pool create ec 4 4 erasure ec21
        osd pool create ecow 4 4 erasure ec21|osd pool set ecow allow_ec_overwrites true
        osd pool application enable rbd rbd"""
    ):
        cluster.ceph(line)
    (cluster.dir / "small").write_bytes(b"small object\n" * 20)
    (cluster.dir / "big").write_bytes(bytes(range(256)) * 12000)
    cluster.wait_clean()


def questions(cluster: Cluster) -> None:
    _each(cluster, _QUESTIONS)


def changes(cluster: Cluster) -> None:
    _each(cluster, _CHANGES)


def rados(cluster: Cluster) -> None:
    """The `rados` tool and librados: object operations of every kind, on both kinds of pool."""
    small, big = str(cluster.dir / "small"), str(cluster.dir / "big")
    commands = f"""put o1 {small}|put o2 {big}|get o1 /dev/null|get o2 /dev/null|stat o1|stat2 o1
    touch t|append o1 {small}
    truncate o1 100|ls|setxattr o1 k v|getxattr o1 k|listxattr o1|rmxattr o1 k|setomapval o1 ok ov
    listomapvals o1
    listomapkeys o1|getomapval o1 ok|setomapheader o1 head|getomapheader o1|rmomapkey o1 ok
    clearomap o1|cp o1 o1copy
    mapext o1|listwatchers o1|notify o1 hello|set-alloc-hint o1 4194304 4194304|lock get o1 lk
    lock list o1|lock info o1 lk
    lock break o1 lk client.1|listsnaps o1|rm o1copy|create c1|create c1|rm nothing|df|lssnap
    writeomap x|scrub 2.0
    bench 3 write -b 2048 -t 4 --no-cleanup|bench 2 seq -t 2|bench 2 rand -t 2|cleanup
    bench 2 write -b 2048 -t 2 --write-omap --no-cleanup|bench 1 write -b 1024 -t 2 --write-xattr
    cleanup
    set-redirect o1 --target-pool rep o2|unset-manifest o1|tier-promote o1
    list-inconsistent-obj 2.0|ls -N other
    load-gen --num-objects 5 --min-object-size 100 --max-object-size 2000 --max-ops 9 --run-length 2
    cache-flush o1"""
    for pool in ("rep", "ec"):
        for line in _lines(commands):
            cluster.run("rados", "-p", pool, *line.split(), check=False, timeout_s=30)
    for line in _lines(
        "mksnap sn1|put o1 SMALL|put s2 SMALL|mksnap sn2|rollback o1 sn1|listsnaps o1|"
        "-s sn1 get o1 /dev/null|lssnap|rm s2|rmsnap sn1|rmsnap sn2"
    ):
        cluster.run("rados", "-p", "forsnaps", *line.replace("SMALL", small).split(), check=False)
    cluster.run("rados", "df", check=False)
    cluster.run("rados", "lspools", check=False)
    cluster.ceph("osd pool create copied 4")
    cluster.run("rados", "cppool", "forsnaps", "copied", "--yes-i-really-mean-it", check=False)
    for what in (
        ["rados", "forsnaps"],
        ["snaps", "selfsnaps"],
        ["pools"],
        ["errors", "rep"],
        ["errors", "ec"],
        ["rados", "ecow"],
        ["load", "rep", "3"],
        ["load", "ecow", "3"],
        ["service"],
    ):
        _client(cluster, *what)


def rbd(cluster: Cluster) -> None:
    """Images: the rbd object classes, watch/notify for locks, snapshots, clones, journals."""
    big = str(cluster.dir / "big")
    lines = f"""pool init rbd
    create img --size 16M --image-feature layering,exclusive-lock,object-map,fast-diff,deep-flatten
    info img|bench img --io-type write --io-size 4096 --io-total 262144
    bench img --io-type read --io-size 4096 --io-total 65536
    snap create img@s1|snap ls img|snap protect img@s1|clone img@s1 child|children img@s1
    bench child --io-type write --io-size 4096 --io-total 65536
    flatten child|snap unprotect img@s1|du img|diff img|export img /dev/null|import {big} imported
    resize img --size 32M
    rename imported renamed|image-meta set img key value|image-meta list img
    object-map rebuild img|object-map check img
    feature disable img fast-diff|feature enable img journaling
    bench img --io-type write --io-size 4096 --io-total 65536|journal info --image img
    feature disable img journaling|lock add img me|lock ls img|status img|snap rollback img@s1
    snap rename img@s1 img@s2|snap limit set img --limit 5
    snap rm img@s2|cp img copy|deep cp img dcopy|trash mv copy|trash ls|group create grp
    group image add grp dcopy|group snap create grp@gs
    group ls|group snap rm grp@gs|group rm grp|migration prepare renamed moved
    migration execute moved|migration commit moved
    namespace create ns1|namespace ls|create ns1/in --size 4M|sparsify child
    create --size 4M --data-pool ecow ecimg
    bench ecimg --io-type write --io-size 4096 --io-total 65536|ls -l|disk-usage|rm child
    rm nosuch|perf image iotop"""
    for line in _lines(lines):
        cluster.run("rbd", *line.split(), check=False, timeout_s=30)
    watcher = subprocess.Popen(
        ["rbd", "watch", "img"], env=cluster.env, stdout=subprocess.DEVNULL, stdin=subprocess.PIPE
    )
    time.sleep(2)
    cluster.run("rbd", "resize", "img", "--size", "40M", check=False, timeout_s=30)
    cluster.run("rbd", "snap", "create", "img@w", check=False, timeout_s=30)
    watcher.terminate()
    watcher.wait()


def scrubs(cluster: Cluster) -> None:
    """Scrub, deep scrub, repair of a damaged copy, reservations and scrub maps."""
    for command in ("scrub", "deep-scrub", "repair"):
        for pg in ("2.0", "2.1", "2.2", "2.3", "3.0", "4.0", "5.1", "6.0", "6.1", "6.2", "7.0"):
            cluster.ceph(f"pg {command} {pg}", check=False)
        time.sleep(3)
    for line in (
        "osd scrub all",
        "osd deep-scrub 0",
        "osd repair 1",
        "osd pool scrub rep",
        "osd pool deep-scrub ec",
    ):
        cluster.ceph(line, check=False)
    time.sleep(8)
    cluster.run("rados", "list-inconsistent-pg", "rep", check=False)
    cluster.wait_clean(30)


def elections(cluster: Cluster) -> None:
    """Monitors leave and come back, lag behind, win and lose; a fourth joins empty and leaves."""
    for strategy in ("classic", "connectivity", "disallow"):
        cluster.ceph(f"mon set election_strategy {strategy}", check=False)
        for name in ("c", "a"):
            cluster.stop(f"mon.{name}", signal.SIGKILL if name == "a" else signal.SIGTERM)
            cluster.wait_quorum(2)
            for i in range(5):
                cluster.ceph(f"config-key set lag/{strategy}{i} {'v' * 200}", check=False)
            cluster.start(f"mon.{name}")
            cluster.wait_quorum(3)
    cluster.ceph("mon set election_strategy classic", check=False)
    for line in (
        "tell mon.b quorum exit",
        "tell mon.b quorum enter",
        "tell mon.a start_election x",
    ):
        cluster.ceph(line, check=False, timeout_s=20)
        time.sleep(3)
    cluster.wait_quorum(3)
    cluster.ceph("mon scrub", check=False)
    cluster.add_mon("d")
    cluster.wait_quorum(4)
    cluster.ceph("mon stat", check=False)
    cluster.ceph("mon remove d", check=False)
    time.sleep(3)
    cluster.stop("mon.d")
    cluster.wait_quorum(3)


def failures(cluster: Cluster) -> None:
    """OSDs killed and stopped under load, objects changed and deleted meanwhile, then recovery."""
    for how in (signal.SIGKILL, signal.SIGTERM):
        with _load(cluster, "rep", "ec", "ecow", seconds=24):
            time.sleep(3)
            cluster.stop("osd.1", how)
            time.sleep(12)
            _client(cluster, "snaps", "selfsnaps")
            cluster.start("osd.1")
        cluster.wait_up(4)
        cluster.wait_clean()
    for line in (
        "osd down 2",
        "osd out 3",
        "pg force-recovery 2.0 2.1 2.2",
        "pg force-backfill 2.3 2.4 2.5",
        "pg cancel-force-recovery 2.0",
        "pg cancel-force-backfill 2.3",
        "osd pool force-recovery rep",
    ):
        cluster.ceph(line, check=False)
    time.sleep(8)
    cluster.ceph("osd in 3", check=False)
    cluster.wait_clean()


def backfill(cluster: Cluster) -> None:
    """A fifth OSD, PG splits and merges, upmap, a removed OSD, all under load."""
    cluster.ceph("config set osd osd_min_pg_log_entries 20")
    cluster.ceph("config set osd osd_max_pg_log_entries 30")
    cluster.ceph("config set osd osd_pg_log_trim_min 5")
    with _load(cluster, "rep", "ec", seconds=50):
        cluster.add_osd(4)
        cluster.wait_up(5)
        time.sleep(8)
        cluster.ceph("pg force-backfill 2.0 2.1 2.2 2.3 2.4 2.5 2.6 2.7", check=False)
        cluster.stop("osd.2", signal.SIGKILL)
        time.sleep(15)
        cluster.start("osd.2")
        cluster.ceph("osd pool set rep pg_num 16")
        time.sleep(10)
    cluster.wait_clean()
    cluster.ceph("osd pool set rep pg_num 6")
    cluster.ceph("osd pool set rep pgp_num 6")
    cluster.wait("merged PGs", lambda: cluster.json("osd pool get rep pg_num")["pg_num"] == 6, 120)
    cluster.ceph("osd out 4")
    with _load(cluster, "rep", seconds=10):
        time.sleep(5)
    cluster.wait_clean()
    cluster.stop("osd.4")
    cluster.ceph("osd purge 4 --yes-i-really-mean-it", check=False)


def unfound(cluster: Cluster) -> None:
    """Objects whose only new copies are gone: futile pulls, mark_unfound_lost, backoffs."""
    cluster.ceph("osd pool create two 1")
    cluster.ceph("osd pool set two size 2")
    cluster.ceph("osd pool set two min_size 1")
    cluster.wait_clean(30)
    first, second = cluster.json("pg map " + _first_pg(cluster, "two"))["acting"][:2]
    small = str(cluster.dir / "small")
    for i in range(4):
        cluster.run("rados", "-p", "two", "put", f"u{i}", small, check=False)
    cluster.stop(f"osd.{second}", signal.SIGKILL)
    cluster.ceph(f"osd down {second}")
    cluster.wait("one OSD down", lambda: cluster.json("osd stat")["num_up_osds"] == 3)
    time.sleep(3)
    for i in range(4):
        cluster.run("rados", "-p", "two", "append", f"u{i}", small, check=False, timeout_s=15)
    cluster.stop(f"osd.{first}", signal.SIGKILL)
    cluster.ceph(f"osd down {first}")
    cluster.start(f"osd.{second}")
    time.sleep(6)
    readers = [
        threading.Thread(
            target=cluster.run,
            args=("rados", "-p", "two", "get", f"u{i}", "/dev/null"),
            kwargs={"check": False, "timeout_s": 40},
        )
        for i in range(4)
    ]
    for reader in readers:
        reader.start()
    cluster.ceph(f"osd lost {first} --yes-i-really-mean-it", check=False)
    time.sleep(8)
    pg = _first_pg(cluster, "two")
    cluster.ceph(f"pg {pg} list_unfound", check=False)
    cluster.ceph(f"pg {pg} mark_unfound_lost revert", check=False)
    time.sleep(5)
    cluster.start(f"osd.{first}")
    for reader in readers:
        reader.join()
    cluster.wait_up(4)
    cluster.wait_clean()
    cluster.ceph("osd pool delete two two --yes-i-really-really-mean-it", check=False)


def _first_pg(cluster: Cluster, pool: str) -> str:
    return str(cluster.json(f"pg ls-by-pool {pool}")["pg_stats"][0]["pgid"])


def full(cluster: Cluster) -> None:
    """Quotas and full ratios: MOSDFull, the full flags, refused writes."""
    small = str(cluster.dir / "small")
    cluster.ceph("osd pool set-quota copied max_objects 1")
    time.sleep(6)
    cluster.run("rados", "-p", "copied", "put", "toomuch", small, check=False, timeout_s=8)
    cluster.ceph("osd pool set-quota copied max_objects 0")
    cluster.ceph("osd set-backfillfull-ratio 0.01")
    cluster.ceph("osd set-nearfull-ratio 0.005")
    time.sleep(8)
    cluster.ceph("osd set-full-ratio 0.015")
    time.sleep(8)
    cluster.run("rados", "-p", "rep", "put", "toomuch", small, check=False, timeout_s=6)
    cluster.ceph("osd set-full-ratio 0.95")
    cluster.ceph("osd set-backfillfull-ratio 0.9")
    cluster.ceph("osd set-nearfull-ratio 0.85")
    time.sleep(5)


def managers(cluster: Cluster) -> None:
    """A manager fails over; commands go to both kinds of sessions."""
    cluster.ceph("mgr fail x", check=False)
    time.sleep(6)
    for line in ("pg stat", "tell mgr version", "osd df", "mgr dump"):
        cluster.ceph(line, check=False, timeout_s=30)
    cluster.stop("mgr.y", signal.SIGTERM)
    time.sleep(8)
    cluster.start("mgr.y")
    time.sleep(4)


def backoffs(cluster: Cluster) -> None:
    """Clients are told to hold back while PGs peer or objects are degraded (MOSDBackoff)."""
    for option in ("peering", "degraded"):
        cluster.ceph(f"config set osd osd_backoff_on_{option} true")
    with _load(cluster, "rep", seconds=20):
        for _ in range(3):
            cluster.ceph("osd down 0", check=False)
            time.sleep(6)
    for option in ("peering", "degraded"):
        cluster.ceph(f"config rm osd osd_backoff_on_{option}")
    cluster.wait_clean()


def removed_meanwhile(cluster: Cluster) -> None:
    """Backfill finds objects on its target that are gone (MOSDPGBackfillRemove)."""
    cluster.ceph("config set osd osd_min_pg_log_entries 5")
    cluster.ceph("config set osd osd_max_pg_log_entries 10")
    cluster.ceph("config set osd osd_pg_log_trim_min 2")
    cluster.ceph("config set osd osd_pg_log_dups_tracked 10")
    _client(cluster, "removals", "rep", "write")
    cluster.stop("osd.2", signal.SIGKILL)
    cluster.ceph("osd down 2", check=False)
    time.sleep(3)
    _client(cluster, "removals", "rep", "remove")
    _client(cluster, "load", "rep", "5")
    cluster.start("osd.2")
    cluster.wait_up(4)
    cluster.wait_clean()


def long_absence(cluster: Cluster) -> None:
    """An OSD away for longer than maps are kept has to ask for purged snapshots on its return."""
    for option in ("mon_min_osdmap_epochs 10", "paxos_service_trim_min 5", "osd_map_cache_size 20"):
        cluster.ceph(f"config set global {option}")
    cluster.ceph("osd out 3")
    cluster.wait_clean()
    cluster.stop("osd.3", signal.SIGKILL)
    cluster.ceph("osd down 3", check=False)
    for _ in range(30):
        cluster.ceph("osd set noout")
        cluster.ceph("osd unset noout")
    _client(cluster, "snaps", "selfsnaps")
    cluster.wait_clean()
    left = cluster.json("osd dump")["epoch"]
    cluster.ceph(f"config set mon mon_osd_force_trim_to {left - 12}")
    cluster.ceph("osd set noout")
    cluster.ceph("osd unset noout")
    cluster.wait(
        "trimmed maps", lambda: cluster.json("report")["osdmap_first_committed"] > left - 30
    )
    cluster.ceph("config rm mon mon_osd_force_trim_to")
    cluster.start("osd.3")
    cluster.ceph("osd in 3")
    cluster.wait_up(4)
    cluster.wait_clean()


def queries(cluster: Cluster) -> None:
    """Performance queries: the manager asks OSDs for counters per image, and per client."""
    images = [
        subprocess.Popen(
            [
                "rbd",
                "bench",
                f"q{i}",
                "--io-type",
                "write",
                "--io-size",
                "4096",
                "--io-total",
                "200M",
            ],
            env=cluster.env,
            stdout=subprocess.DEVNULL,
        )
        for i in range(2)
        if not cluster.run("rbd", "create", f"q{i}", "--size", "16M", check=False)
    ]
    for line in (
        "rbd perf image stats rbd write_ops",
        "rbd perf image counters rbd write_bytes",
        "osd perf query add client_id",
        "osd perf query add rbd_image_id",
        "osd perf query add all_subkeys",
    ):
        cluster.ceph(line, check=False, timeout_s=20)
    for _ in range(4):
        time.sleep(6)
        cluster.ceph("osd perf counters get 0", check=False, timeout_s=20)
        cluster.ceph("rbd perf image stats", check=False, timeout_s=20)
    for image in images:
        image.terminate()
        image.wait()


def newer_clients(cluster: Cluster) -> None:
    """Clients of a later release, out of the root folder RECORD_NEWER_ROOT; skipped without."""
    root = os.environ.get("RECORD_NEWER_ROOT")
    if root is None:
        return
    conf = Path(root) / "mnt/ceph.conf"
    conf.write_text((cluster.dir / "ceph.conf").read_text().replace("keyring =", "#"))
    inside = ("chroot", root)
    for line in _lines(
        """ceph -c CONF status|ceph -c CONF osd dump|ceph -c CONF tell osd.0 version ceph -c CONF
        pg dump|ceph -c CONF df|ceph -c CONF config dump|ceph -c CONF log hello rados -c CONF -p
        rep bench 2 write -b 2048 -t 2 --no-cleanup|rados -c CONF -p rep ls rados -c CONF -p rep
        bench 2 seq -t 2|rados -c CONF -p ec bench 1 write -b 4096 -t 2 rados -c CONF -p rep
        setomapval omap k v|rados -c CONF -p rep listomapvals omap|rados -c CONF df rados -c CONF
        -p rep put passwd /etc/debian_version|rados -c CONF -p rep setxattr passwd k v rados -c
        CONF -p rep lock get passwd l|rados -c CONF -p rep listsnaps passwd rbd -c CONF create
        newer --size 8M|rbd -c CONF bench newer --io-type write --io-total 64K rbd -c CONF snap
        create newer@s|rbd -c CONF info newer|rbd -c CONF rm newer
        """
    ):
        words = line.replace("CONF", "/mnt/ceph.conf").split()
        cluster.run(*inside, *words, check=False, timeout_s=40)
    conf.unlink()


def bad_maps(cluster: Cluster) -> None:
    """OSDs that find a wrong checksum in a map ask for the full one (MMonGetOSDMap)."""
    cluster.ceph("config set osd osd_inject_bad_map_crc_probability 0.5")
    time.sleep(2)
    for _ in range(3):
        for line in ("osd set noout", "osd unset noout"):
            cluster.ceph(line, check=False)
            time.sleep(1)
    cluster.ceph("config rm osd osd_inject_bad_map_crc_probability")
    time.sleep(2)


def shutdown_notices(cluster: Cluster) -> None:
    """An OSD that tells the monitors before it goes, dead or down; purged snaps on its return."""
    for fast in ("true", "false"):
        cluster.ceph(f"config set osd osd_fast_shutdown {fast}")
        cluster.ceph("config set osd osd_fast_shutdown_notify_mon true", check=False)
        time.sleep(2)
        cluster.stop("osd.3", signal.SIGTERM)
        time.sleep(3)
        _client(cluster, "snaps", "selfsnaps")
        cluster.start("osd.3")
        cluster.wait_up(4)
    cluster.wait_clean()


def files(cluster: Cluster) -> None:
    """A file system with two ranks: MDS beacons and maps, client sessions, snapshots removed."""
    cluster.add_mds("a")
    cluster.add_mds("b")
    cluster.add_mds("c")
    for line in ("osd pool create meta 8", "osd pool create data 8", "fs new cephfs meta data"):
        cluster.ceph(line)
    cluster.wait("active MDS", lambda: "up:active" in cluster.ceph("mds stat"))
    _client(cluster, "cephfs", "5")
    cluster.ceph("fs set cephfs max_mds 2", check=False)
    time.sleep(5)
    for line in _lines(
        "fs dump|fs status|mds stat|fs set cephfs max_file_size 1000000000|tell mds.a session ls|"
        "tell mds.0 damage ls|mds metadata|tell mds.0 scrub start / recursive|fs get cephfs"
    ):
        cluster.ceph(line, check=False, timeout_s=20)
    client = threading.Thread(
        target=_client, args=(cluster, "cephfs", "40"), kwargs={"timeout_s": 120}
    )
    client.start()
    time.sleep(15)
    cluster.ceph("mds fail 0", check=False)
    time.sleep(15)
    cluster.ceph("fs set cephfs max_mds 1", check=False)
    client.join()
    _client(cluster, "cephfs", "3")
    for name in ("a", "b", "c"):
        cluster.stop(f"mds.{name}")


def gateway(cluster: Cluster) -> None:
    """radosgw's own traffic: its object classes, its pools, its service reports."""
    port = cluster.ports.bind_max + 1
    with (cluster.dir / "log" / "rgw.out").open("ab") as out:
        rgw = subprocess.Popen(
            [
                "radosgw",
                "-f",
                "-n",
                "client.admin",
                f"--rgw-frontends=beast endpoint=127.0.0.1:{port}",
            ],
            env=cluster.env,
            stdout=out,
            stderr=out,
        )
    time.sleep(12)
    cluster.run(
        "radosgw-admin",
        "user",
        "create",
        "--uid",
        "u",
        "--display-name",
        "U",
        "--access-key",
        "A",
        "--secret-key",
        "S",
        check=False,
    )
    cluster.run(
        "radosgw-admin",
        "subuser",
        "create",
        "--uid",
        "u",
        "--subuser",
        "u:swift",
        "--access",
        "full",
        "--secret-key",
        "S",
        check=False,
    )
    _swift(cluster, port)
    for line in _lines(
        "bucket list|bucket stats --bucket box|gc process|lc list|user stats --uid u --sync-stats|"
        "bi list --bucket box|bucket reshard --bucket box --num-shards 3|usage show"
    ):
        cluster.run("radosgw-admin", *line.split(), check=False, timeout_s=40)
    rgw.terminate()
    rgw.wait()


def _swift(cluster: Cluster, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    headers = cluster.run(
        "curl",
        "-s",
        "-D",
        "-",
        "-o",
        "/dev/null",
        "-H",
        "X-Auth-User: u:swift",
        "-H",
        "X-Auth-Key: S",
        f"{url}/auth/1.0",
        check=False,
    )
    token = next(
        (x.split(": ", 1)[1] for x in headers.splitlines() if x.startswith("X-Auth-Token")), ""
    )
    auth = ["-s", "-o", "/dev/null", "-H", f"X-Auth-Token: {token}"]
    box = f"{url}/swift/v1/box"
    cluster.run("curl", *auth, "-X", "PUT", box, check=False)
    for i in range(12):
        cluster.run("curl", *auth, "-X", "PUT", "-d", "x" * (i * 50), f"{box}/o{i}", check=False)
    for arguments in (
        ["-X", "GET", f"{box}/o3"],
        [f"{box}?limit=5"],
        ["-X", "HEAD", "-I", f"{box}/o2"],
        ["-X", "DELETE", f"{box}/o1"],
        [f"{box}"],
        [url + "/swift/v1"],
    ):
        cluster.run("curl", *auth, *arguments, check=False, timeout_s=20)


def renewals(cluster: Cluster) -> None:
    """For a cluster with cephx and short tickets: MAuth and MAuthReply on open connections."""
    cluster.ceph("osd pool create rep 4")
    with _load(cluster, "rep", seconds=70):
        time.sleep(60)
        _each(cluster, "status|tell osd.0 version|tell mgr version|auth ls")


def older_clients(cluster: Cluster) -> None:
    """Clients of 16.2 at a cluster of a later release: what its daemons say to them."""
    for line in _lines(
        """osd pool create rep 8|osd pool create forsnaps 4|osd pool create selfsnaps 4
        osd pool create rbd 4|osd erasure-code-profile set ec21 k=2 m=1 crush-failure-domain=osd
        osd pool create ec 4 4 erasure ec21|osd pool create ecow 4 4 erasure ec21
        osd pool set ecow allow_ec_overwrites true"""
    ):
        cluster.ceph(line)
    cluster.wait_clean()
    older = Cluster(cluster.files, cluster.ports)
    (older.dir / "small").write_bytes(b"small object\n" * 20)
    (older.dir / "big").write_bytes(bytes(range(256)) * 12000)
    for step in (questions, rados, rbd):
        step(older)
    with _load(older, "rep", seconds=25):
        cluster.ceph("osd down 1", check=False)
        time.sleep(5)
        cluster.stop("osd.0", signal.SIGKILL)
        time.sleep(10)
        cluster.start("osd.0")
    cluster.wait_up(3)
    cluster.ceph("mgr fail", check=False)
    cluster.stop("mon.c")
    time.sleep(5)
    questions(older)


Scenario = Callable[[Cluster], None]

MAIN: tuple[Scenario, ...] = (
    pools,
    questions,
    changes,
    rados,
    rbd,
    scrubs,
    elections,
    failures,
    backfill,
    unfound,
    full,
    managers,
    backoffs,
    removed_meanwhile,
    long_absence,
    queries,
    newer_clients,
    bad_maps,
    shutdown_notices,
    files,
    gateway,
)
CEPHX: tuple[Scenario, ...] = (renewals,)
NEWER: tuple[Scenario, ...] = (older_clients,)
