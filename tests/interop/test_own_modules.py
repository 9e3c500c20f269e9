"""Manager modules of our own at work, asked by the real `ceph`; users' modules beside them.

What they answer is compared with upstream's in test_manager_compared.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.interop.realcluster import ENVIRONMENT, why_not
from tests.interop.spirulacluster import our_cluster, settings, wait_until
from tests.smtp_sink import smtp_sink

IN_ORDER = True
pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "managers.md"
BROKEN = """
from spirula.mgr_modules import Module

class Broken(Module):
    def serve(self):
        raise RuntimeError("it broke")
"""
OPTIONS = {
    "osd crush chooseleaf type": "0",
    "osd pool default pg num": "4",
    "osd pool default size": "2",
    "osd pool default pg autoscale mode": "off",
    "mgr stats period": "1",
    "mgr tick period": "1",
    "mon data avail warn": "1",
    "mgr initial modules": "iostat alerts greeter broken",
}
MIB = 1024


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (example,) = (one for one in blocks if "class Greeter" in one)
    for name, text in (("greeter", example), ("broken", BROKEN)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(text)
    path = {"mgr module path": f"{folder}:spirula"}
    with our_cluster(1, *settings(OPTIONS | path), osds=3, mgrs=1) as ours:
        ours.ceph("config", "set", "mgr", "mgr/progress/sleep_interval", "1", "--force")
        ours.ceph("config", "set", "mgr", "mgr/greeter/interval", "1", "--force")
        ours.ceph("osd", "pool", "create", "data", "4")
        ours.run("rados", "-p", "data", "bench", "1", "write", "-b", "4096", "--no-cleanup")
        yield ours


def checks(cluster):
    return cluster.ceph_json("health", "detail")["checks"]


def test_the_module_of_the_guide_answers_and_warns(cluster):
    assert cluster.ceph("greet", "you").strip() == "hello you, from 3 OSDs"
    found = wait_until(lambda: checks(cluster).get("BARE_POOLS"))
    assert found["summary"]["message"] == "1 pools are bare"
    cluster.ceph("osd", "pool", "application", "enable", "data", "test")
    wait_until(lambda: "BARE_POOLS" not in checks(cluster))


def test_a_module_that_fails_is_told_of_and_hurts_nobody(cluster):
    found = wait_until(lambda: checks(cluster).get("MGR_MODULE_ERROR"))
    assert found["detail"][0]["message"] == "Module 'broken' has failed: it broke"
    wait_until(lambda: cluster.ceph("osd", "status").count("exists,up") == 3)


def test_iostat_is_asked_again_and_again(cluster):
    environment = {**ENVIRONMENT, "CEPH_CONF": str(cluster.conf), "PYTHONUNBUFFERED": "1"}
    command = ("timeout", "60", "ceph", "iostat", "-p", "1")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as asking:
        shown = ""
        # Two rows, each a second later than what is before it.
        while shown.count("B/s") < 6 and (line := asking.stdout.readline()):
            shown += line
        asking.send_signal(signal.SIGINT)
    assert "Read IOPS" in shown
    assert shown.count("B/s") >= 6, shown


def test_progress_shows_where_pgs_go(cluster):
    cluster.ceph("osd", "set", "nobackfill")
    cluster.ceph("osd", "set", "norecover")
    cluster.ceph("osd", "out", "2")

    def events():
        return cluster.ceph_json("progress", "json")["events"]

    found = wait_until(events)
    assert found[0]["message"] == "Rebalancing after osd.2 marked out"
    assert found[0]["refs"] == [["osd", "2"]]
    wait_until(lambda: "Global Recovery Event" in cluster.ceph("-s"))
    assert re.search(r"\[[=.]{28}\]", cluster.ceph("-s"))
    cluster.ceph("osd", "unset", "nobackfill")
    cluster.ceph("osd", "unset", "norecover")
    wait_until(lambda: not events(), 120)
    ended = cluster.ceph_json("progress", "json")["completed"]
    assert found[0]["id"] in {one["id"] for one in ended}
    wait_until(lambda: "[Complete]: Global Recovery Event" in cluster.ceph("progress"))
    wait_until(lambda: "progress" not in cluster.ceph("-s"))


def test_alerts_are_mailed(cluster):
    with smtp_sink() as sink:
        for name, value in (
            ("smtp_host", "127.0.0.1"),
            ("smtp_port", str(sink.server_address[1])),
            ("smtp_ssl", "false"),
            ("smtp_sender", "ceph@example.com"),
            ("smtp_destination", "admin@example.com"),
        ):
            cluster.ceph("config", "set", "mgr", f"mgr/alerts/{name}", value)

        def mailed():
            cluster.ceph("alerts", "send")
            return any("MGR_MODULE_ERROR" in mail for mail in sink.mails)

        # The manager hears of an option after `config set` has ended.
        wait_until(mailed, every_s=0.5, told=lambda: sink.mails)


def test_crashes_are_posted_and_kept_when_the_manager_begins_anew(cluster):
    crash = {"crash_id": "one", "timestamp": "2099-01-01T00:00:00.000000Z", "entity_name": "osd.1"}
    cluster.run("ceph", "crash", "post", "-i", "-", data=json.dumps(crash).encode())
    pid = int((cluster.folder / "run" / "osd.0.pid").read_text())
    os.kill(pid, signal.SIGABRT)
    wait_until(lambda: list((cluster.folder / "crash").glob("*/done")))
    cluster.ceph("mgr", "fail", "x")
    listed = wait_until(lambda: cluster.ceph("crash", "ls", check=False), every_s=0.5)
    assert re.search(r"^one +osd\.1 ", listed, re.MULTILINE)
    assert re.search(r"_[0-9a-f-]{36} +osd\.0 ", listed)

    def told():
        return checks(cluster).get("RECENT_CRASH", {}).get("summary", {}).get("message")

    # Until the new manager tells, what the old one told last stands.
    wait_until(lambda: told() == "2 daemons have recently crashed", told=told)
    wait_until(lambda: completed(cluster), told=lambda: cluster.ceph("progress", "json"))


def completed(cluster):
    """The events of before, once the manager serves."""
    shown = cluster.ceph("progress", "json", check=False)
    return json.loads(shown)["completed"] if shown else None


def test_a_manager_with_our_modules_is_small(cluster):
    status = Path(f"/proc/{(cluster.folder / 'run' / 'mgr.x.pid').read_text().strip()}/status")
    used = int(re.search(r"VmRSS:\s+(\d+) kB", status.read_text())[1])
    assert used < 100 * MIB


def test_a_manager_counts_what_peers_hold_and_what_modules_do(cluster):
    def told():
        return json.loads(cluster.ceph("tell", "mgr.x", "perf", "dump"))

    # It has begun anew above: OSDs come back one after the other.
    wait_until(lambda: told()["throttle-mgr_osd_bytes"]["get_sum"] > 0)
    assert told()["throttle-mgr_osd_bytes"]["max"] == 512 << 20
    wait_until(lambda: told().get("finisher-crash", {}).get("complete_latency", {}).get("avgcount"))
    assert "finisher-crash" in json.loads(cluster.ceph("tell", "mgr.x", "perf", "schema"))


def test_monitors_refuse_what_is_beyond_the_limits_of_a_modules_options(cluster):
    setting = "mgr/exporter/interval"
    # The monitors know a module's options from a beacon of the manager on.
    wait_until(lambda: setting in cluster.ceph("config", "ls"))
    asked = ("ceph", "config", "set", "mgr", setting, "1")
    ended = subprocess.run(
        asked,
        env={**ENVIRONMENT, "CEPH_CONF": str(cluster.conf)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 22
    assert "Value '1' is below minimum 5" in ended.stderr
    cluster.ceph("config", "set", "mgr", setting, "7")
    assert cluster.ceph("config", "get", "mgr", setting).strip() == "7"
    cluster.ceph("config", "rm", "mgr", setting)


def test_osd_status_has_the_document_of_later_releases(cluster):
    def states_and_room():
        """Both as `osd status` and as `osd df` show it: bytes, whatever they are called."""
        told = cluster.ceph_json("osd", "status")["OSDs"]
        known = cluster.ceph_json("osd", "df")["nodes"]
        up = {one["id"]: one["status"] == "up" for one in known}
        return (
            {one["id"]: (one["state"], one["kb available"]) for one in told},
            {
                one["id"]: (
                    ["exists", "up"] if up[one["id"]] else ["exists"],
                    pytest.approx(one["kb_avail"] << 10, rel=0.1),
                )
                for one in known
            },
        )

    # One has been killed above, which may be seen between the two; so may a report.
    wait_until(lambda: (shown := states_and_room())[0] == shown[1], told=states_and_room)
    for one in cluster.ceph_json("osd", "status")["OSDs"]:
        assert one.keys() == {
            *("id", "host name", "kb used", "kb available", "state"),
            *(f"{what} {unit} rate" for what in ("read", "write") for unit in ("ops", "byte")),
        }
