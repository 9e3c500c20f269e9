"""Our admin socket and the real `ceph daemon`; our client and real daemons' sockets."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
from contextlib import asynccontextmanager

import pytest

from spirula.conf.admin_builtin import Version, register_builtin
from spirula.conf.admin_commands import CommandTable
from spirula.conf.admin_server import AdminSocket, ask
from spirula.conf.config import Config
from spirula.conf.load import load
from spirula.conf.log import Log
from spirula.conf.perf import Axis, PerfCollection, Unit
from spirula.errors import NotPermitted
from tests.interop.realcluster import ENVIRONMENT

pytestmark = pytest.mark.skipif(shutil.which("ceph") is None, reason="Debian's ceph is absent")

VERSION = Version("16.2.15", "pacific", "stable", "618f440892089921c3e944a991122ddc44e60516")


def refuse(call):
    raise NotPermitted("not today")


@asynccontextmanager
async def serving(path, config=None):
    """A daemon's admin socket with the builtin commands and some of its own."""
    config = config or Config(daemon=True)
    perf = PerfCollection()
    counters = perf.create("osd")
    counters.u64_counter("op_in_bytes", "bytes written by clients", "wr", 8, Unit.BYTES).inc(5)
    counters.time_avg("op_latency", "time of operations").inc(0.25)
    counters.histogram("sizes", Axis("Size", 0, 512, 4, log2=True), Axis("Time", 0, 10, 3))
    table = CommandTable()
    log = Log(lambda: 0.0, lambda: 1)
    register_builtin(table, config=config, log=log, perf=perf, version=VERSION)
    table.register(
        "bench name=count,type=CephInt,req=false name=how,type=CephChoices,strings=fast|slow",
        lambda call: {"count": call.number("count", 7), "how": call.text("how")},
        "measure something",
    )
    table.register("refuse", refuse, "always refuses")
    server = AdminSocket(str(path), table)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def ceph_daemon(path, *words):
    """Runs the real `ceph daemon`; gives status, output and error output."""
    process = await asyncio.create_subprocess_exec(
        "ceph",
        "daemon",
        str(path),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def test_ceph_daemon_runs_builtin_and_own_commands(tmp_path):
    async def scenario():
        path = tmp_path / "osd.9.asok"
        config = Config(daemon=True)
        config.observe(["osd_max_backfills"], lambda names: None)
        config.start()
        async with serving(path, config):
            run = [
                ["version"],
                ["config", "set", "osd_max_backfills", "3"],
                ["config", "get", "osd_max_backfills"],
                ["config", "diff"],
                ["perf", "dump", "osd", "op_latency"],
                ["bench", "5", "fast"],
                ["bench", "--how", "slow"],
                ["refuse"],
                ["config", "set", "osd_data", "/elsewhere"],
                ["help"],
                ["nonsense"],
            ]
            return await asyncio.gather(*(ceph_daemon(path, *words) for words in run[:1])) + [
                await ceph_daemon(path, *words) for words in run[1:]
            ]

    answers = asyncio.run(scenario())
    assert [status for status, _, _ in answers] == [0] * 10 + [22]
    outputs = [json.loads(out) if out.startswith("{") else out for _, out, _ in answers]
    assert outputs[0] == {"version": "16.2.15", "release": "pacific", "release_type": "stable"}
    assert outputs[1] == {"success": "osd_max_backfills = '3' "}
    assert outputs[2] == {"osd_max_backfills": "3"}
    assert outputs[3]["diff"]["osd_max_backfills"] == {"default": 1, "override": 3, "final": 3}
    assert outputs[4] == {"osd": {"op_latency": {"avgcount": 1, "sum": 0.25, "avgtime": 0.25}}}
    assert outputs[5] == {"count": 5, "how": "fast"}
    assert outputs[6] == {"count": 7, "how": "slow"}
    assert outputs[7] == "ERROR: (1) Operation not permitted\nnot today\n"
    assert outputs[8].startswith("ERROR: (1) Operation not permitted\nerror setting 'osd_data'")
    assert outputs[9]["bench"] == "measure something"
    assert "no valid command found" in answers[10][2]


REQUESTS = [
    b"\0\0\0\0",
    b"\0\0\0\x07",
    b"0\0",
    b"version\n",
    *(
        json.dumps(request).encode() + b"\0"
        for request in [
            {"prefix": "0"},
            {"prefix": "0", "format": "xml"},
            *(
                {"prefix": "version", "format": fmt}
                for fmt in [
                    "json",
                    "json-pretty",
                    "xml",
                    "xml-pretty",
                    "table",
                    "table-kv",
                    "html",
                    "html-pretty",
                    "x",
                ]
            ),
            {"prefix": "git_version"},
            {"prefix": "git_version", "format": "xml"},
            {"prefix": "version", "format": 3},
            {"prefix": 3},
            {"prefix": ["version"]},
            [],
            {},
            {"prefix": "no such"},
            {"prefix": "version", "extra": {"a": 1}},
            {"prefix": "version", "extra": [1, "a"]},
            {"prefix": "config get"},
            {"prefix": "config get", "var": 3},
            {"prefix": "config get", "var": "no such"},
            {"prefix": "config get", "var": "osd_pool_default_size"},
            {"prefix": "config get", "var": "osd pool default size"},
            {"prefix": "config get", "var": "osd_pool_default_size", "format": "xml-pretty"},
            {"prefix": "config get", "var": "debug_ms", "format": "table"},
            {"prefix": "config help", "var": "no such"},
            {"prefix": "config set", "var": "no such", "val": ["1"]},
            {"prefix": "config set", "var": "osd_max_scrubs", "val": ["x"]},
            {"prefix": "config set", "var": "osd_max_scrubs", "val": "2"},
            {"prefix": "config set", "var": "osd_max_scrubs"},
            {"prefix": "config set", "var": "osd_data", "val": ["/x"]},
            {"prefix": "config set", "var": "debug_test", "val": ["0/5"]},
            {"prefix": "config unset", "var": "no such"},
            {"prefix": "config unset", "var": "osd_pool_default_hit_set_bloom_fpp"},
            {"prefix": "injectargs", "injected_args": ["--osd_max_scrubs x"]},
            {"prefix": "injectargs", "injected_args": ["--no-such 1", "2"]},
            {"prefix": "injectargs", "injected_args": ["--debug-test=0/5"]},
            {"prefix": "injectargs"},
            {"prefix": "perf reset", "var": "no such"},
            {"prefix": "perf reset", "var": "all"},
            {"prefix": "perf dump", "logger": "no such"},
            {"prefix": "perf dump", "logger": "no such", "format": "xml"},
            {"prefix": "log flush"},
            {"prefix": "log flush", "format": "xml"},
            {"prefix": "log reopen"},
        ]
    ),
]


def raw(path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        connection.sendall(request)
        out = b""
        while data := connection.recv(65536):
            out += data
        return out


def test_each_request_is_answered_byte_for_byte_like_a_real_osd(real_cluster, tmp_path):
    path = tmp_path / "ours.asok"
    loaded = load(
        ["-c", str(real_cluster.conf), "-i", "0"], entity_type="osd", daemon=True, environ={}
    )
    loaded.config.start()

    async def ours():
        async with serving(path, loaded.config):
            return [await asyncio.to_thread(raw, path, request) for request in REQUESTS]

    theirs = [raw(real_cluster.folder / "run/osd.0.asok", request) for request in REQUESTS]
    for request, mine, real in zip(REQUESTS, asyncio.run(ours()), theirs, strict=True):
        assert mine == real, request


def test_command_descriptions_have_the_shape_of_a_real_osd(real_cluster, tmp_path):
    path = tmp_path / "ours.asok"

    async def ours():
        async with serving(path):
            return await asyncio.to_thread(ask, str(path), "get_command_descriptions")

    theirs = json.loads(
        ask(str(real_cluster.folder / "run/osd.0.asok"), "get_command_descriptions")
    )
    signatures = [one["sig"] for one in theirs.values()]
    mine = json.loads(asyncio.run(ours()))
    assert list(mine) == [f"cmd{number:03d}" for number in range(len(mine))]
    unknown = [one["sig"] for one in mine.values() if one["sig"] not in signatures]
    # Our own two commands; and `bench` of a real OSD has other arguments.
    assert [sig[0] for sig in unknown] == ["bench", "refuse"]


def test_counters_are_described_with_the_fields_of_a_real_osd(real_cluster, tmp_path):
    path = tmp_path / "ours.asok"
    theirs = str(real_cluster.folder / "run/osd.0.asok")

    async def ours():
        async with serving(path):
            return [
                json.loads(await asyncio.to_thread(ask, str(path), command))
                for command in ("perf schema", "perf histogram schema", "perf histogram dump")
            ]

    schema, histograms, values = asyncio.run(ours())
    real = json.loads(ask(theirs, "perf schema"))
    latency = real["osd"]["op_latency"]
    assert schema["osd"]["op_latency"].keys() == latency.keys()
    for key in ("type", "metric_type", "value_type", "units"):
        assert schema["osd"]["op_latency"][key] == latency[key]
        assert schema["osd"]["op_in_bytes"][key] == real["osd"]["op_in_bytes"][key]
    real_histograms = json.loads(ask(theirs, "perf histogram schema"))["osd"]
    one = next(iter(real_histograms.values()))
    assert {k: histograms["osd"]["sizes"][k] for k in ("type", "value_type")} == {
        k: one[k] for k in ("type", "value_type")
    }
    dumped = next(iter(json.loads(ask(theirs, "perf histogram dump"))["osd"].values()))
    axis = dumped["axes"][0]
    same = Axis(axis["name"], axis["min"], axis["quant_size"], axis["buckets"], log2=True)
    assert axis == json.loads(json.dumps(same.dump()))
    assert values["osd"]["sizes"].keys() == dumped.keys()


def test_our_client_reads_real_sockets(real_cluster):
    for name in ("mon.a", "osd.0", "mgr.x"):
        path = str(real_cluster.folder / "run" / f"{name}.asok")
        assert json.loads(ask(path, "version"))["version"].startswith(real_cluster.version[:4])
        assert ask(path, "0") == b"2"
        refused = ask(path, {"prefix": "config get", "var": "no such"})
        assert re.match(rb"ERROR: \(2\) No such file", refused)
