"""OSD maps in a quorum of ours and of real monitors: the same bytes, whoever leads."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from tests.interop.compared import Step
from tests.interop.realcluster import why_not
from tests.interop.spirulacluster import wait_until
from tests.interop.test_mixed_services import QUICK, MixedCluster

UUIDS = [f"{n}0000000-0000-0000-0000-00000000000{n}" for n in range(1, 5)]
OPTIONS = {**QUICK, "mon max pg per osd": "2000", "osd pool default pg autoscale mode": "off"}

FIRST = [
    *(Step("osd new", uuid=uuid) for uuid in UUIDS),
    Step("osd out", ids=["all"]),
    Step("osd in", ids=["all"]),
    *(
        Step("osd crush add", id=osd, weight=1.0, args=["root=default", f"host=h{osd}"])
        for osd in range(4)
    ),
    Step("osd crush set-device-class", class_="ssd", ids=["0", "1"]),
    Step("osd pool create", pool="p", pg_num=8),
    Step("osd pool create", pool="q", pg_num=4),
    Step("osd pool mksnap", pool="q", snap="s"),
    Step("osd blocklist", blocklistop="add", addr="1.2.3.4"),
    Step("osd set", key="noout"),
]
THEN = [
    Step("osd pool rmsnap", pool="q", snap="s"),
    Step("osd pool set", pool="p", var="size", val="2"),
    Step("osd pg-upmap-items", pgid="1.1", id=[0, 3]),
    Step("osd reweight", id=2, weight=0.5),
    Step("osd set-group", flags="noup", who=["h1"]),
    Step("osd primary-affinity", id=1, weight=0.5),
    Step("osd unset", key="noout"),
    Step("osd erasure-code-profile set", name="x", profile=["k=2", "m=1"]),
    Step("osd crush reweight", name="osd.3", weight=2.0),
]
LAST = [
    Step("osd crush rm", name="osd.2"),
    Step("osd purge-actual", id=2, yes_i_really_mean_it=True),
    Step("osd pool rename", srcpool="q", destpool="r"),
    Step("osd blocklist clear"),
]


def epochs(cluster, name, last):
    """The bytes of all epochs that a monitor has."""
    return cluster.ask(name, *(Step("osd getmap", epoch=epoch) for epoch in range(1, last + 1)))


def last_epoch(cluster, name):
    (dump,) = cluster.ask(name, Step("osd dump", format="json"))
    return json.loads(dump)["epoch"]


def agree(cluster, *names):
    # One may be asked before it hears of the last commit.
    wait_until(lambda: len({last_epoch(cluster, name) for name in names}) == 1)
    last = last_epoch(cluster, names[0])
    found = [epochs(cluster, name, last) for name in names]
    assert all(one == found[0] for one in found)
    shown = [Step("osd dump", format="json"), Step("osd tree"), Step("osd crush dump")]
    told = [cluster.ask(name, *shown) for name in names]
    assert all(one == told[0] for one in told)
    return last


@pytest.mark.slow
@pytest.mark.interop
def test_all_have_the_same_maps_whoever_made_them():
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        cluster = MixedCluster(Path(folder), mons=3, osds=0, options=OPTIONS)
        try:
            cluster.prepare()
            cluster.daemons["mon.a"] = cluster.ours()
            cluster.launch("mon.b")
            assert cluster.wait_quorum("a", "b") == "a"
            cluster.ask("b", *FIRST)
            cluster.launch("mon.c")
            cluster.wait_quorum("a", "b", "c")
            first = agree(cluster, "a", "b", "c")

            cluster.kill("mon.a")
            assert cluster.wait_quorum("b", "c") == "b"
            cluster.ask("c", *THEN)
            cluster.daemons["mon.a"] = cluster.ours()
            cluster.wait_quorum("a", "b", "c")
            second = agree(cluster, "a", "b", "c")
            assert second >= first + len(THEN) - 1

            cluster.ask("c", *LAST)
            agree(cluster, "a", "b", "c")
            log = (cluster.folder / "log" / "mon.a.log").read_text()
            assert "is not the leader's" not in log
        finally:
            cluster.stop()
