"""One of our monitors and two real ones: each reads what the others' services have stored.

Keys, options and config-key values are changed while ours leads (it has the lowest rank), then
while a real one does; whoever was away, or is new, catches up from the others' stores.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.interop.compared import Step, run_steps
from tests.interop.realcluster import RealCluster, free_ports, why_not

START_TIMEOUT_S = 90
QUICK = {"mon lease": "1", "mon election timeout": "1", "mon probe timeout": "1"}


class MixedCluster(RealCluster):
    """mon.a is ours, the others are real; there is nothing else."""

    def prepare(self):
        ports = sorted(free_ports(6))
        self.mon_ports = dict(zip("abc", zip(ports[::2], ports[1::2], strict=True), strict=True))
        for name in ("log", "run"):
            (self.folder / name).mkdir()
        self.conf.write_text(self._configuration())
        self._make_keyrings()
        self._make_monitors()
        ours = self.folder / "mon.a"
        for path in sorted(ours.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        seed, monmap = self.folder / "mon.keyring", self.folder / "monmap"
        assert self.ours("--mkfs", "--monmap", str(monmap), "--keyring", str(seed)).wait(60) == 0
        (self.folder / "mgr.x").rmdir()

    def ours(self, *words):
        with (self.folder / "log" / "mon.a.out").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "spirula", "mon", "-i", "a", "-c", str(self.conf), *words],
                cwd=self.folder,
                stdout=output,
                stderr=output,
            )

    def wait_quorum(self, *names):
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            status = self.run(
                "ceph", "--connect-timeout", "5", "quorum_status", "-f", "json", check=False
            )
            found = json.loads(status) if status.strip() else {}
            if set(found.get("quorum_names", ())) == set(names):
                return found["quorum_leader_name"]
            if time.monotonic() > deadline:
                raise AssertionError(f"no quorum of {names}: {status}")
            time.sleep(0.2)

    def ask(self, name, *steps):
        """What one monitor answers: the output of each command, all of which must succeed."""
        place = f"mon host = v2:127.0.0.1:{self.mon_ports[name][0]}"
        only = self.folder / f"only-{name}.conf"
        only.write_text(re.sub("^mon host = .*$", place, self.conf.read_text(), flags=re.MULTILINE))
        answers = run_steps(only, steps)
        assert [answer.r for answer in answers] == [0] * len(steps), answers
        return [answer.out for answer in answers]

    def told_by(self, names, steps):
        """What each of these monitors says, once all of them say the same.

        One may be asked before it hears of the last commit.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            answers = [self.ask(name, *steps) for name in names]
            if all(answer == answers[0] for answer in answers):
                return answers[0]
            assert time.monotonic() < deadline, answers
            time.sleep(0.5)


STORED = [
    Step(prefix, format="json")
    for prefix in ("auth ls", "config dump", "config log", "config-key dump")
]
"""What tells of keys, options and config-key values."""


@pytest.fixture
def cluster():
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        made = MixedCluster(Path(folder), mons=3, osds=0, options=QUICK)
        try:
            made.prepare()
            yield made
        finally:
            made.stop()


@pytest.mark.slow
def test_monitors_read_what_the_others_have_stored(cluster):
    cluster.daemons["mon.a"] = cluster.ours()
    cluster.launch("mon.b")
    assert cluster.wait_quorum("a", "b") == "a"
    cluster.ask(
        "b",
        Step("auth get-or-create", entity="client.x", caps=["mon", "allow r"]),
        Step("auth get-or-create", entity="client.y", caps=["mon", "allow r"]),
        Step("config set", who="osd/host:h", name="debug_osd", value="7"),
        Step("config-key set", key="a/b", val="1"),
    )
    cluster.launch("mon.c")
    cluster.wait_quorum("a", "b", "c")

    before = cluster.told_by("abc", STORED)
    cluster.kill("mon.a")
    assert cluster.wait_quorum("b", "c") == "b"
    assert cluster.told_by("bc", STORED) == before
    cluster.ask(
        "c",
        Step("auth caps", entity="client.x", caps=["mon", "allow *"]),
        Step("auth rm", entity="client.y"),
        Step("config set", who="osd", name="debug_osd", value="9"),
        Step("config rm", who="osd/host:h", name="debug_osd"),
        Step("config-key rm", key="a/b"),
    )

    after = cluster.told_by("bc", STORED)
    assert after != before
    cluster.daemons["mon.a"] = cluster.ours()
    assert cluster.wait_quorum("a", "b", "c") == "a"
    assert cluster.told_by("abc", STORED) == after


SHOWN = (
    *(Step("mon dump", format=form) for form in ("plain", "json")),
    *(Step("health", detail="detail", format=form) for form in ("plain", "json")),
    *(Step(f"mgr {what}", format="json") for what in ("dump", "module ls", "stat")),
    *(Step("log last", num=50, format=form) for form in ("plain", "json")),
    Step("mon feature ls"),
    Step("df", format="json"),
)
"""What all monitors of a quorum say in the same words, as soon as all have committed the same."""


@pytest.mark.slow
def test_all_monitors_show_the_same_cluster(cluster):
    cluster.daemons["mon.a"] = cluster.ours()
    for name in "bc":
        cluster.launch(f"mon.{name}")
    assert cluster.wait_quorum("a", "b", "c") == "a"
    cluster.ask(
        "b",
        Step("log", logtext=["while", "ours", "leads"]),
        Step("osd set", key="noout"),
        Step("health mute", code="OSDMAP_FLAGS", ttl="2d", sticky=True),
        Step("mgr module enable", module="ours", force="--force"),
        Step("mon set-weight", name="c", weight=3),
    )
    cluster.wait_quorum("a", "b", "c")
    shown = b"\n".join(cluster.told_by("abc", SHOWN)).decode()
    assert "while ours leads" in shown
    assert "OSDMAP_FLAGS" in shown

    cluster.kill("mon.a")
    assert cluster.wait_quorum("b", "c") == "b"
    cluster.ask(
        "c",
        Step("log", logtext=["while", "a", "real", "one", "leads"]),
        Step("health unmute"),
        Step("mgr module disable", module="ours"),
        Step("mgr module enable", module="theirs", force="--force"),
        Step("mon set-weight", name="c", weight=5),
    )
    cluster.wait_quorum("b", "c")
    cluster.daemons["mon.a"] = cluster.ours()
    assert cluster.wait_quorum("a", "b", "c") == "a"
    shown = b"\n".join(cluster.told_by("abc", SHOWN)).decode()
    assert "while a real one leads" in shown
    assert '"enabled_modules":["iostat","nfs","restful","theirs"]' in shown
    assert '"weight":5' in shown
