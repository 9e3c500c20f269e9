"""Upstream's dashboard, its self-test, and modules of standbys, in managers of ours.

What the dashboard answers is compared with what that of 16.2.15 has answered on a real cluster:
`dashboard_answers.json` names the keys of its documents, by address.
"""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.interop.realcluster import free_ports, why_not
from tests.interop.spirulacluster import our_cluster, settings, wait_until

MODULES = Path("/usr/share/ceph/mgr")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(450),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.skipif(
        not (MODULES / "dashboard" / "module.py").exists(), reason="no ceph-mgr-dashboard here"
    ),
]

COUNTING = """
import json
from mgr_module import MgrModule

class Module(MgrModule):
    COMMANDS = [
        {"cmd": "counting add name=query,type=CephString", "desc": "ask OSDs", "perm": "rw"},
        {"cmd": "counting get name=id,type=CephInt", "desc": "their answers", "perm": "r"},
        {"cmd": "counting rm name=id,type=CephInt", "desc": "ask no more", "perm": "rw"},
    ]

    def handle_command(self, inbuf, command):
        what = command["prefix"].split()[1]
        if what == "add":
            return 0, json.dumps(self.add_osd_perf_query(json.loads(command["query"]))), ""
        if what == "get":
            return 0, json.dumps(self.get_osd_perf_counters(command["id"])), ""
        self.remove_osd_perf_query(command["id"])
        return 0, "", ""
"""
PASSWORD = "Secret-12345"
ANSWERS = json.loads((Path(__file__).parent / "dashboard_answers.json").read_text())


def options(folder):
    return {
        "osd crush chooseleaf type": "0",
        "osd pool default size": "1",
        "osd pool default pg num": "4",
        "mgr stats period": "1",
        "mgr tick period": "1",
        "mon data avail warn": "1",
        "mon warn on pool no redundancy": "false",
        "mgr initial modules": "",
        "mgr module path": f"{MODULES}:{folder}",
        "auth allow insecure global id reclaim": "false",
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    own = tmp_path_factory.mktemp("modules")
    (own / "counting").mkdir()
    (own / "counting" / "module.py").write_text(COUNTING)
    (own / "counting" / "__init__.py").write_text("from .module import Module\n")
    with our_cluster(1, *settings(options(own)), osds=1, mgrs=2) as ours:
        first, second = free_ports(2)
        for name, value in (
            ("ssl", "false"),
            ("server_addr", "127.0.0.1"),
            ("x/server_port", str(first)),
            ("y/server_port", str(second)),
        ):
            ours.ceph("config", "set", "mgr", f"mgr/dashboard/{name}", value, "--force")
        for module in ("selftest", "counting", "dashboard"):
            ours.ceph("mgr", "module", "enable", module, "--force")
        ours.ceph("osd", "pool", "create", "data", "4", "--autoscale-mode", "off")
        ours.ceph("osd", "pool", "application", "enable", "data", "rados")
        wait_until(lambda: served(ours) and standing(ours), 120)
        yield ours


def served(cluster):
    """Where the dashboard says that it is, once it answers there."""
    uri = cluster.ceph_json("mgr", "services").get("dashboard", "").rstrip("/")
    try:
        return uri if uri and call(uri, "/api/summary")[0] == 401 else ""
    except (OSError, HTTPException):
        return ""


def standing(cluster):
    found = cluster.ceph_json("mgr", "dump")
    return bool(found["available"] and found["standbys"])


def call(uri, path, body=None, token=""):
    """Asks the dashboard; an answer's status and document, of whichever version it has."""
    for version in ("1.0", "2.0", "0.1"):
        headers = {
            "Accept": f"application/vnd.ceph.api.v{version}+json",
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(uri + path, data, headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code != 415:
                return error.code, error.read().decode()
    raise AssertionError(f"no version of {path} is known")


def log_in(cluster):
    uri = wait_until(lambda: served(cluster), 120)
    status, told = call(uri, "/api/auth", {"username": "admin", "password": PASSWORD})
    assert status == 201, told
    return uri, told["token"]


def keys(value, path=""):
    """The paths of all keys in a document: numbers and elements of lists are all one."""
    if isinstance(value, dict):
        for key, one in value.items():
            here = f"{path}.{'#' if re.fullmatch(r'-?[0-9]+', key) else key}"
            yield here
            yield from keys(one, here)
    elif isinstance(value, list):
        for one in value:
            yield from keys(one, f"{path}[]")


_OF_CLIENTS = (".mon_status.feature_map.client", ".mgr_map.active_clients[]")


@pytest.fixture(scope="module")
def user(cluster):
    given = ("dashboard", "ac-user-create", "admin", "-i", "-", "administrator")
    cluster.run("ceph", *given, data=PASSWORD.encode())


@pytest.mark.usefixtures("user")
def test_the_dashboard_answers_as_on_a_real_cluster(cluster):
    wait_until(lambda: "active+clean" in cluster.ceph("pg", "stat"))
    uri, token = log_in(cluster)

    def lacking():
        """By path, what an answer does not have."""
        for path, wanted in ANSWERS.items():
            status, document = call(uri, path, token=token)
            lacks = (
                set(wanted) - set(keys(document)) if status == 200 else {f"{status}: {document}"}
            )
            # There while a client has a session with the monitor, and while one of modules does.
            lacks = {key for key in lacks if not key.startswith(_OF_CLIENTS)}
            if lacks:
                yield path, sorted(lacks)

    # Some of it daemons report a second later.
    wait_until(
        lambda: not any(lacking()), told=lambda: json.dumps(dict(lacking()), indent=1)[:4000]
    )


@pytest.mark.usefixtures("user")
def test_the_dashboard_makes_pools(cluster):
    uri, token = log_in(cluster)
    wanted = {"pool": "made", "pool_type": "replicated", "pg_num": 2}
    rule = {"rule_name": "replicated_rule", "pg_autoscale_mode": "off"}
    status, told = call(uri, "/api/pool", {**wanted, **rule}, token=token)
    assert status in (201, 202), told
    wait_until(lambda: "made" in cluster.ceph("osd", "pool", "ls").split())


@pytest.mark.parametrize(
    "module",
    [
        "balancer",
        "crash",
        "dashboard",
        "devicehealth",
        "orchestrator",
        "pg_autoscaler",
        "progress",
        "status",
    ],
)
def test_upstreams_self_test_of_modules(cluster, module):
    cluster.ceph("mgr", "self-test", "module", module, timeout_s=200)


def test_upstreams_self_test_of_the_interface(cluster):
    cluster.ceph("mgr", "self-test", "run", timeout_s=200)
    assert cluster.ceph("mgr", "self-test", "config", "get_localized", "testkey").strip() == "foo"
    cluster.ceph("mgr", "self-test", "cluster-log", "cluster", "info", "from a module")
    wait_until(lambda: "from a module" in cluster.ceph("log", "last", "100"))
    checks = {"MINE": {"severity": "warning", "summary": "all is well", "detail": ["or not"]}}
    cluster.ceph("mgr", "self-test", "health", "set", json.dumps(checks))
    wait_until(lambda: "all is well" in cluster.ceph("health"))
    cluster.ceph("mgr", "self-test", "health", "clear")
    wait_until(lambda: "all is well" not in cluster.ceph("health"))


def test_osds_count_by_client_and_object_for_modules(cluster):
    query = {
        "key_descriptor": [
            {"type": "client_id", "regex": r"^(client)\."},
            {"type": "object_name", "regex": r"^(first|counted)\."},
        ],
        "performance_counter_descriptors": ["write_ops", "write_bytes", "read_bytes", "latency"],
    }
    ident = cluster.ceph("counting", "add", json.dumps(query)).strip()
    found = []

    def put(name):
        cluster.run("rados", "-p", "data", "put", name, "-", data=b"x" * 100)

    def sums(name):
        """What has been counted of objects that are called so: writes, their bytes, bytes read."""
        found.extend(cluster.ceph_json("counting", "get", ident)["counters"])
        mine = [one["c"] for one in found if one["k"] == [["client"], [name]]]
        return [sum(one[at][0] for one in mine) for at in range(3)]

    # The OSD hears of the query after the command has ended.
    wait_until(lambda: put("first.1") or sums("first")[0])
    for name in ("counted.1", "counted.2", "other"):
        put(name)
    cluster.run("rados", "-p", "data", "get", "counted.1", "/dev/null")
    wait_until(lambda: sums("counted")[2] >= 100, told=lambda: found)
    assert sums("counted") == [2, 200, 100]
    keys_seen = {json.dumps(one["k"]) for one in found}
    assert keys_seen == {f'[["client"], ["{name}"]]' for name in ("first", "counted")}
    cluster.ceph("counting", "rm", ident)
    assert cluster.ceph("counting", "get", ident).strip() == "null"


class Stay(urllib.request.HTTPRedirectHandler):
    """Does not follow anywhere."""

    def redirect_request(self, *_):
        return None


@pytest.mark.usefixtures("user")
def test_the_dashboard_of_a_standby_sends_people_on_and_takes_over(cluster):
    wait_until(lambda: standing(cluster))
    active = log_in(cluster)[0]
    listed = cluster.ceph_json("mgr", "dump")
    name, standby = listed["active_name"], listed["standbys"][0]["name"]
    wanted = cluster.ceph("config", "get", "mgr", f"mgr/dashboard/{standby}/server_port").strip()
    ask = urllib.request.build_opener(Stay()).open

    def sent_on():
        try:
            ask(f"http://127.0.0.1:{wanted}/", timeout=10)
        except urllib.error.HTTPError as error:
            return error.headers["Location"]
        except OSError:
            return None

    assert wait_until(sent_on).rstrip("/") == active
    pid = int((cluster.folder / "run" / f"mgr.{name}.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: served(cluster) not in ("", active), 120)
    assert log_in(cluster)[0].endswith(f":{wanted}")  # and it knows its users
