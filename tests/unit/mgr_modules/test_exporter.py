"""Numbers for Graphite and InfluxDB, sent to servers on this host; the check for Nagios."""

from __future__ import annotations

import errno
import http.server
import json
import socket
import socketserver
import threading

import pytest

from spirula.mgr_modules.exporter import graphite, influx
from spirula.mgr_modules.exporter.check import check
from spirula.mgr_modules.exporter.module import Exporter
from spirula.mgr_modules.exporter.points import Point
from tests.unit.mgr_modules.fake_host import FakeHost, run

NOW = 1_700_000_000.5
POINTS = [
    Point("ceph_pool_stats", {"pool_name": "my pool", "fsid": "f"}, ("pool", "my pool", "rd"), 7),
    Point("ceph_daemon_stats", {"ceph_daemon": "osd.3", "host": ""}, ("osd", "3", "op_w"), 1.5),
]


@pytest.fixture
def sinks():
    """Starts servers; gives their ports."""
    servers = []

    def start(server):
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class GraphiteSink(socketserver.TCPServer):
    def __init__(self):
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                sink.lines.append(self.rfile.read().decode())
                sink.came.set()

        self.lines, self.came = [], threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)


class InfluxSink(http.server.HTTPServer):
    """InfluxDB: `databases` are those that it has, `answer` what it says to writes instead."""

    def __init__(self, databases=(), answer=None):
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                sink.asked.append((self.path, self.headers.get("Authorization"), body))
                status, text = sink.respond(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        self.asked, self.databases, self.answer = [], set(databases), answer
        super().__init__(("127.0.0.1", 0), Handler)

    def respond(self, path):
        if self.answer:
            return self.answer
        if path.startswith("/query?"):
            self.databases.add("ceph")
            return 200, "{}"
        known = path.startswith("/api/v2/") or ("db=ceph" in path and "ceph" in self.databases)
        return (204, "") if known else (404, '{"error":"database not found"}')


def test_graphite_gets_lines(sinks):
    sink = GraphiteSink()
    port = sinks(sink)
    assert graphite.send(POINTS, "127.0.0.1", port, "ceph", NOW) == 2
    assert sink.came.wait(10)
    assert sink.lines == ["ceph.pool.my_pool.rd 7 1700000000\nceph.osd.3.op_w 1.5 1700000000\n"]


def test_influx_gets_its_line_protocol_and_its_database(sinks):
    sink = InfluxSink()
    server = influx.Server("127.0.0.1", sinks(sink), username="me", password="secret")
    assert influx.send(POINTS, server, NOW, 1) == 2
    paths = [path for path, _, _ in sink.asked]
    write = "/write?db=ceph&precision=ms"
    assert paths == [write, "/query?q=CREATE+DATABASE+%22ceph%22", write, write]
    assert {who for _, who, _ in sink.asked} == {"Basic bWU6c2VjcmV0"}
    assert [body for _, _, body in sink.asked[2:]] == [
        r"ceph_pool_stats,fsid=f,pool_name=my\ pool value=7.0 1700000000500",
        "ceph_daemon_stats,ceph_daemon=osd.3 value=1.5 1700000000500",
    ]


def test_a_token_means_version_2(sinks):
    sink = InfluxSink()
    server = influx.Server("127.0.0.1", sinks(sink), org="o", token="t")
    assert influx.send(POINTS, server, NOW, 100) == 2
    ((path, who, body),) = sink.asked
    assert path == "/api/v2/write?org=o&bucket=ceph&precision=ms"
    assert who == "Token t"
    assert len(body.splitlines()) == 2


@pytest.mark.parametrize("answer", [(401, "who are you"), (500, "broken")])
def test_what_influx_refuses_is_told(sinks, answer):
    server = influx.Server("127.0.0.1", sinks(InfluxSink(answer=answer)))
    with pytest.raises(influx.Refused, match=f"{answer[0]}: {answer[1]}"):
        influx.send(POINTS, server, NOW, 100)


class Host(FakeHost):
    """A small cluster."""

    def __init__(self):
        super().__init__()
        states = [{"state_name": "active+clean", "count": 4}]
        usage = {"bytes_total": 100, "data_bytes": 10, "bytes_used": 30, "bytes_avail": 70}
        self.documents = {
            "health": {"json": '{"status": "HEALTH_OK", "checks": {}}'},
            "mon_map": {"fsid": "f"},
            "mon_status": {"json": '{"monmap": {"mons": [1]}, "quorum": [0]}'},
            "osd_map": {
                "epoch": 7,
                "osds": [{"up": 1, "in": 1}, {"up": 0, "in": 1}],
                "pg_temp": [],
            },
            "mgr_map": {"available": True, "standbys": [], "epoch": 2},
            "fs_map": {"filesystems": [], "standbys": [], "epoch": 1},
            "pg_status": {
                **usage,
                "num_pgs": 4,
                "num_objects": 2,
                "num_pools": 1,
                "pgs_by_state": states,
            },
            "df": {"pools": [{"id": 1, "name": "data", "stats": {"stored": 10, "rd": 3}}]},
            "pg_summary": {
                "by_osd": {"0": {"active+clean": 4}},
                "by_pool": {"1": {"active+clean": 4}, "9": {"creating": 1}},
            },
            "pg_ready": {"pg_ready": True},
        }

    def latest_counters(self, kinds, least):
        return {}


def test_it_sends_where_options_say_and_health_tells_of_failures(sinks):
    sink = GraphiteSink()
    host = Host()
    module = Exporter("exporter", host)
    assert run(module, "exporter send")[0] == -errno.EINVAL
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    for key, value in (
        ("graphite_host", "127.0.0.1"),
        ("graphite_port", sinks(sink)),
        ("influx_hostname", "127.0.0.1"),
        ("influx_port", nobody),
    ):
        assert run(module, "exporter config-set", key=key, value=str(value))[0] == 0
    rc, _, text = run(module, "exporter send")
    assert rc == -errno.EIO
    assert "graphite: " in text
    assert "refused" in text
    assert list(host.checks) == ["MGR_INFLUX_SEND_FAILED"]
    assert sink.came.wait(10)
    lines = sink.lines[0].splitlines()
    assert "ceph.cluster.num_osd_up 1 1800000000" in lines
    assert "ceph.pool.data.stored 10 1800000000" in lines
    assert "ceph.pool.data.pgs.active+clean 4 1800000000" in lines
    assert not any("creating 1" in line for line in lines)  # a pool that nobody knows any more
    told = json.loads(run(module, "exporter status")[1])
    assert told["graphite"]["points"] == len(lines)
    assert run(module, "exporter config-set", key="influx_hostname", value="")[0] == -errno.EINVAL
    module.set_option("influx_hostname", None)
    assert run(module, "exporter send")[0] == 0
    assert host.checks == {}


def test_secrets_are_not_shown():
    module = Exporter("exporter", Host())
    assert run(module, "exporter config-set", key="influx_password", value="secret")[0] == 0
    shown = json.loads(run(module, "exporter config-show")[1])
    assert (shown["influx_password"], shown["influx_token"]) == ("********", "")
    rc, _, text = run(module, "exporter config-set", key="nothing", value="x")
    assert (rc, text) == (-errno.EINVAL, "nothing is a unknown configuration option")


NUMBERS = dict.fromkeys(
    (
        *("mon_quorum", "num_mon", "num_osd", "num_osd_up", "num_osd_in", "num_pgs", "num_objects"),
        *("num_pgs_active", "num_pgs_clean", "bytes_used", "bytes_total"),
    ),
    3,
)


def warned(severity, **more):
    return {"severity": severity, "summary": {"message": "some | thing"}, **more}


@pytest.mark.parametrize(
    ("checks", "ignored", "current", "code", "start"),
    [
        (
            {},
            [],
            True,
            0,
            "CEPH OK - 3 monitors in quorum, 3 of 3 OSDs up, 3 PGs | mons_in_quorum=",
        ),
        ({"A": warned("HEALTH_WARN")}, [], True, 1, "CEPH WARNING - A: some / thing | "),
        (
            {"A": warned("HEALTH_WARN"), "B": warned("HEALTH_ERR")},
            [],
            True,
            2,
            "CEPH CRITICAL - B: some / thing; A: some / thing | ",
        ),
        ({"A": warned("HEALTH_ERR", muted=True)}, [], True, 0, "CEPH OK"),
        ({"A": warned("HEALTH_ERR")}, ["A"], True, 0, "CEPH OK"),
        ({}, [], False, 3, "CEPH UNKNOWN - numbers may not be up to date"),
        ({"A": warned("HEALTH_ERR")}, [], False, 2, "CEPH CRITICAL"),
    ],
)
def test_the_check_is_what_plugins_say(checks, ignored, current, code, start):
    verdict = check({"status": "HEALTH_X", "checks": checks}, NUMBERS, ignored, current=current)
    assert verdict.code == code
    assert verdict.text.startswith(start)
    assert "osds_up=3;;;0;3" in verdict.text


def test_without_health_nobody_knows():
    assert check({}, NUMBERS).code == 3


def test_the_command_exits_as_a_plugin_does():
    host = Host()
    module = Exporter("exporter", host)
    assert run(module, "exporter check")[0] == 0
    bad = {"status": "HEALTH_ERR", "checks": {"A": warned("HEALTH_ERR")}}
    host.documents["health"] = {"json": json.dumps(bad)}
    assert run(module, "exporter check")[0] == -2
    assert run(module, "exporter check", ignore=["A"])[0] == 0
