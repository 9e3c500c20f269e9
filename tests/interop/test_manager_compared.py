"""What a manager answers: keys of JSON, columns of tables and words as those of a real one.

The same pools and objects in a real cluster and in one of ours, each with a manager of its own;
the real librados asks both.
"""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.interop import module_steps
from tests.interop.compared import Step, run_steps
from tests.interop.realcluster import real_cluster_of, why_not
from tests.interop.spirulacluster import our_cluster, settings, wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

IN_ORDER = True  # what is told changes what is shown
OPTIONS = {
    "osd crush chooseleaf type": "0",
    "osd pool default pg num": "4",
    "osd pool default min size": "2",
    "osd pool default pg autoscale mode": "off",
    "mgr stats period": "1",
    "mgr tick period": "1",
    "mon data avail warn": "1",
    "mon reweight min bytes per osd": "1",
    "mgr initial modules": "iostat alerts",
    "auth allow insecure global id reclaim": "false",
}
OWN_MODULES = {"mgr module path": "spirula"}
"""Ours has modules of our own, the real one upstream's: they answer alike."""

SHOWN = [
    Step("pg stat"),
    Step("pg dump"),
    Step("pg dump", dumpcontents=["sum"]),
    Step("pg dump", dumpcontents=["pgs_brief"]),
    Step("pg dump", dumpcontents=["pools"]),
    Step("pg dump", dumpcontents=["osds"]),
    Step("pg dump", dumpcontents=["delta"]),
    Step("pg dump", dumpcontents=["osds", "pools", "pgs"]),
    Step("pg dump_json"),
    Step("pg dump_pools_json"),
    Step("pg ls"),
    Step("pg ls", pool=2),
    Step("pg ls", pool=2, states=["active"]),
    Step("pg ls", states=["degraded"]),
    Step("pg ls-by-pool", poolstr="data"),
    Step("pg ls-by-osd", osd=1),
    Step("pg ls-by-primary", osd=1),
    Step("pg dump_stuck"),
    Step("pg dump_stuck", stuckops=["inactive"], threshold=0),
    Step("pg debug", debugop="unfound_objects_exist"),
    Step("pg debug", debugop="degraded_pgs_exist"),
    Step("osd perf"),
    Step("osd blocked-by"),
    Step("osd df"),
    Step("osd df", output_method="tree"),
    Step("osd df", output_method="tree", filter_by="name", filter="default"),
    Step("osd df", output_method="plain", filter_by="class", filter="quick"),
    Step("osd df", output_method="plain", filter_by="name", filter="data"),
    Step("osd pool stats"),
    Step("osd pool stats", pool_name="data"),
    Step("osd safe-to-destroy", ids=["1"]),
    Step("osd safe-to-destroy", ids=["7"]),
    Step("osd ok-to-stop", ids=["1"]),
    Step("osd ok-to-stop", ids=["1", "2"]),
    Step("osd ok-to-stop", ids=["all"]),
    Step("osd test-reweight-by-utilization", oload=10_000),  # they are nearly empty, unevenly
    Step("osd test-reweight-by-pg"),
    Step("osd test-reweight-by-pg", oload=101, pools=["data"]),
    Step("service dump"),
    Step("service status"),
    Step("config show", who="osd.1", key="osd_max_backfills"),
    Step("config show", who="osd.1", key="fsid"),
    Step("device ls"),
    *module_steps.SHOWN,
]
TOLD = [
    Step("pg ls", pool=9),
    Step("pg ls", pool=2, states=["bright"]),
    Step("pg ls-by-pool", poolstr="nothing"),
    Step("pg ls-by-osd", osd=7),
    Step("pg scrub", pgid="9.1"),
    Step("pg scrub", pgid="x"),
    Step("pg scrub", pgid="2.0"),
    Step("pg deep-scrub", pgid="2.0"),
    Step("pg repair", pgid="2.1"),
    Step("pg force-recovery", pgid=["2.0"]),
    Step("pg force-backfill", pgid=["2.0", "2.1"]),
    Step("pg cancel-force-recovery", pgid=["2.0"]),
    Step("pg force-recovery", pgid=["9.0"]),
    Step("pg force-recovery", pgid=["y"]),
    Step("osd df", filter="nothing"),
    Step("osd pool stats", pool_name="nothing"),
    Step("osd pool scrub", who=["data"]),
    Step("osd pool deep-scrub", who=["nothing"]),
    Step("osd pool force-recovery", who=["data"]),
    Step("osd pool cancel-force-backfill", who=["nothing"]),
    Step("osd scrub", who="7"),
    Step("osd scrub", who="x"),
    Step("osd deep-scrub", who="1"),
    Step("osd repair", who="all"),
    Step("osd safe-to-destroy", ids=["x"]),
    Step("osd destroy", id=1),
    Step("osd purge", id=1),
    Step("osd reweight-by-pg", oload=90),
    Step("osd reweight-by-pg", pools=["nothing"]),
    Step("osd test-reweight-by-utilization", max_change=-1.0),
    Step("osd test-reweight-by-utilization", max_osds=0),
    Step("config show", who="osd.1", key="no_such_option"),
    Step("config show", who="osd.17"),
    Step("device info", devid="nothing"),
    Step("device ls-by-daemon", who="osd.17"),
    Step("no such command"),
    *module_steps.TOLD,
]
"""Commands whose status and words are compared, numbers aside."""


def as_json(step):
    return Step(step.prefix, **{"format": "json", **step.arguments})


AGAIN, AGAIN_S = 3, 2
"""How often what differs is asked once more, and how much later: clusters go on meanwhile."""


@pytest.fixture(scope="module")
def clusters():
    """A real cluster and one of ours, with the same in them."""
    real = real_cluster_of(mons=1, osds=3, objectstore="bluestore", options=OPTIONS)
    own = settings(OPTIONS | OWN_MODULES)
    with real as theirs, our_cluster(1, *own, osds=3, mgrs=1) as ours:
        for cluster in (theirs, ours):
            wait_until(lambda cluster=cluster: has_pool(cluster))
            wait_until(lambda cluster=cluster: posted(cluster))
            cluster.ceph("osd", "crush", "rm-device-class", "0", "1")
            cluster.ceph("osd", "crush", "set-device-class", "quick", "0", "1")
            cluster.ceph("osd", "pool", "create", "data", "4")
            wait_until(lambda cluster=cluster: clean(cluster))
            bench = ("-p", "data", "bench", "1", "write", "-b", "4096", "--no-cleanup")
            cluster.run("rados", *bench)
            wait_until(lambda cluster=cluster: reported(cluster))
        yield theirs, ours


def posted(cluster):
    """Whether the crashes could be posted: they are once the module runs."""
    answers = run_steps(cluster.conf, module_steps.POSTED, mgr=True)
    return all(answer.r == 0 for answer in answers)


def asked(cluster, prefix, **arguments):
    (found,) = run_steps(cluster.conf, [Step(prefix, **arguments, format="json")], mgr=True)
    return json.loads(found.out) if found.r == 0 else None


def has_pool(cluster):
    """Whether the module `devicehealth` has made its pool."""
    return "device_health_metrics" in cluster.ceph("osd", "pool", "ls")


def clean(cluster):
    found = asked(cluster, "pg stat")
    states = found["pg_summary"]["num_pg_by_state"] if found else []
    return [one["name"] for one in states] == ["active+clean"]


def reported(cluster):
    pgs = (asked(cluster, "pg ls-by-pool", poolstr="data") or {}).get("pg_stats", [])
    return pgs and all(pg["stat_sum"]["num_objects"] for pg in pgs)


MAY_BE_EMPTY = {"network_ping_times", "alerts", "hb_peers", "histogram", "object_location_counts"}
MAY_BE_MISSING = {
    *("read_bytes_sec", "write_bytes_sec", "io_sec", "read_op_per_sec", "write_op_per_sec"),
    *("recovering_bytes_per_sec", "recovering_keys_per_sec", "recovering_objects_per_sec"),
    *("num_bytes_recovered", "num_keys_recovered", "num_objects_recovered"),
}
"""What depends on the moment."""
COUNTED = {"ceph_version", "osd_objectstore"}
"""How many daemons there are by what differs between the clusters."""


def shape(value, name=""):
    """The keys of a document, and of the first of each list."""
    if name in COUNTED:
        return "counts"
    if isinstance(value, dict):
        return {key: shape(one, key) for key, one in value.items() if key not in MAY_BE_MISSING}
    if isinstance(value, list):
        return [] if name in MAY_BE_EMPTY or not value else [shape(value[0])]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "text"


def parsed(answer):
    text = answer.out.decode().strip().partition("\n \nDevice report")[0]
    return json.loads(text) if text.startswith(("{", "[{", "[]", "[\n")) else text


def differing(clusters, steps, of):
    """What the clusters answer otherwise; `of` gives what counts of an answer."""
    both = [run_steps(cluster.conf, steps, mgr=True) for cluster in clusters]
    return {
        at: f"{step}\n   real: {of(theirs)}\n   ours: {of(ours)}"
        for at, (step, theirs, ours) in enumerate(zip(steps, *both, strict=True))
        if of(theirs) != of(ours)
    }


def differ_for_long(clusters, steps, of):
    """Of questions, what is answered otherwise each time it is asked."""
    different = list(differing(clusters, steps, of).values())
    for _ in range(AGAIN):
        if not different:
            break
        time.sleep(AGAIN_S)
        steps = [step for step in steps if any(one.startswith(f"{step}\n") for one in different)]
        different = list(differing(clusters, steps, of).values())
    return different


def test_documents_have_the_same_keys(clusters):
    def of(answer):
        return answer.r, shape(parsed(answer))

    different = differ_for_long(clusters, [as_json(step) for step in SHOWN], of)
    assert not different, "\n".join(different)


def headings(text):
    """The headings of tables: lines of words in capitals."""
    return [
        re.split(r"\s{2,}", line.strip())
        for line in text.splitlines()
        if re.match(r"^ *[A-Z_%*]{2,}[A-Z_%*: ]*$", line)
    ]


def test_tables_have_the_same_columns(clusters):
    def of(answer):
        return answer.r, headings(answer.out.decode()), bool(answer.out)

    different = differ_for_long(clusters, SHOWN, of)
    assert not different, "\n".join(different)


def words(answer):
    """Status and words, without what differs between clusters."""
    text = re.sub(r"on osd\.\d", "on osd.N", answer.outs + answer.out.decode())
    text = re.sub(r"have \d+ pgs", "have N pgs", text)
    text = re.sub(r"-?\d+\.\d+", "N", text)
    # Upstream's modules forget the sign of errors now and then.
    return abs(answer.r), re.sub(r"\d+ (PGs are|kb)", r"N \1", text)


def test_they_say_the_same(clusters):
    different = differing(clusters, TOLD, words)
    for _ in range(AGAIN):
        if not different:
            break
        # One builds on another: all of them once more, from where they began.
        time.sleep(AGAIN_S)
        for cluster in clusters:
            wait_until(lambda cluster=cluster: clean(cluster))
            assert posted(cluster)
        again = differing(clusters, TOLD, words)
        different = {at: again[at] for at in different.keys() & again.keys()}
    assert not different, "\n".join(different.values())
