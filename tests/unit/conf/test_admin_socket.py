"""The admin socket: requests, commands, the server and its client, without a real Ceph."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
from pathlib import Path

import pytest

from spirula.conf import admin_server
from spirula.conf.admin_builtin import Version, register_builtin
from spirula.conf.admin_commands import (
    MAX_REQUEST_BYTES,
    CommandTable,
    Outcome,
    RequestReader,
    Section,
    parse_request,
    parse_signature,
)
from spirula.conf.admin_server import AdminSocket, ask, ping
from spirula.conf.config import Config
from spirula.conf.log import Log
from spirula.conf.perf import PerfCollection
from spirula.errors import (
    Busy,
    CephError,
    Exists,
    InputOutput,
    InvalidArgument,
    InvariantBroken,
    NotFound,
)


def execute(table: CommandTable, request: object, data: bytes = b"") -> Outcome:
    if isinstance(request, str) and not request.startswith(("{", "[")):
        request = {"prefix": request}
    return asyncio.run(table.execute(request, data))


def document(table: CommandTable, request: object) -> object:
    outcome = execute(table, request)
    assert outcome.errno == 0, outcome
    return json.loads(outcome.output)


@pytest.fixture
def config():
    made = Config(daemon=True)
    made.start()
    return made


@pytest.fixture
def table(config):
    made = CommandTable()
    log = Log(lambda: 0.0, lambda: 1)
    version = Version("16.2.15", "pacific", "stable", "abc")
    register_builtin(made, config=config, log=log, perf=PerfCollection(), version=version)
    return made


def test_requests_are_taken_in_any_pieces():
    request = b'{"prefix": "version"}\0'
    for cut in range(len(request)):
        reader = RequestReader()
        first = reader.feed(request[:cut])
        assert first is None
        assert reader.feed(request[cut:]) == '{"prefix": "version"}'
    assert RequestReader().feed(b"version\nmore") == "version"
    for code, prefix in (
        (0, "0"),
        (1, "perfcounters_dump"),
        (2, "perfcounters_schema"),
        (9, "foo"),
    ):
        reader = RequestReader()
        assert reader.feed(b"\0\0\0") is None
        assert json.loads(reader.feed(bytes([code])) or "") == {"prefix": prefix}


def test_a_request_without_end_is_refused():
    reader = RequestReader()
    for _ in range(MAX_REQUEST_BYTES // 1024 - 1):
        assert reader.feed(b"x" * 1024) is None
    with pytest.raises(InvalidArgument):
        reader.feed(b"x" * 1024)


def test_signatures():
    parsed = parse_signature("pg dump name=what,type=CephChoices,strings=all|sum,n=N,req=false")
    assert parsed.prefix == "pg dump"
    assert parsed.describe() == [
        "pg",
        "dump",
        {"n": "N", "name": "what", "req": "false", "strings": "all|sum", "type": "CephChoices"},
    ]
    for bad in ("", "name=x,type=CephInt", "a type=CephInt"):
        with pytest.raises(InvalidArgument):
            parse_signature(bad)


@pytest.mark.parametrize(
    ("signature", "good", "bad"),
    [
        ("c name=x,type=CephInt", [{"x": 3}], [{}, {"x": "3"}, {"x": 3.5}, {"x": True}]),
        ("c name=x,type=CephInt,range=0|5", [{"x": 0}, {"x": 5}], [{"x": -1}, {"x": 6}]),
        ("c name=x,type=CephInt,range=2", [{"x": 99}], [{"x": 1}]),
        ("c name=x,type=CephFloat,range=0|1", [{"x": 0.5}, {"x": 1}], [{"x": 1.5}, {"x": "0"}]),
        ("c name=x,type=CephInt,n=N", [{}, {"x": [1, 2]}, {"x": []}], [{"x": 1}, {"x": ["1"]}]),
        ("c name=x,type=CephString,req=false", [{}, {"x": "a"}], [{"x": 1}, {"x": ["a"]}]),
        ("c name=x_y,type=CephBool", [{"x_y": True}, {"x_y": "--x-y"}], [{"x_y": "yes"}]),
        ("c name=x,type=CephChoices,strings=a|b", [{"x": "a"}], [{"x": "c"}, {"x": "a|b"}]),
    ],
)
def test_arguments_are_checked_against_the_signature(signature, good, bad):
    table = CommandTable()
    table.register(signature, lambda call: {})
    for args in good:
        assert execute(table, {"prefix": "c", **args}).errno == 0, args
    for args in bad:
        outcome = execute(table, {"prefix": "c", **args})
        assert (outcome.errno, outcome.message) == (-22, "invalid command json"), args


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", "3", '{"a": null}', '{"a": {}}', '{"a": [1, "b"]}', '{"a": [[1]]}'),
        *("[" * 5000, r'{"a": "\ud800"}', r'{"a": ["x\udfff"]}', r'{"\ud800": 1}'),
    ],
)
def test_bad_requests_are_refused(text, table):
    with pytest.raises(InvalidArgument):
        parse_request(text)
    outcome = asyncio.run(table.execute(text))
    assert outcome == Outcome(-22, "invalid json")
    assert outcome.for_socket() == b"ERROR: (22) Invalid argument\ninvalid json\n"


def test_handlers_answer_with_data_text_or_an_errno():
    told = []
    table = CommandTable(on_error=told.append)

    async def later(call):
        await asyncio.sleep(0)
        return {"data": len(call.data), "items": call.texts("items")}

    def busy(call):
        raise Busy("come back")

    owner = object()
    table.register("later name=items,type=CephString,n=N", later, "answers later", owner=owner)
    table.register("busy", busy, owner=owner)
    table.register("bytes", lambda call: b"\xff")
    table.register("text", lambda call: "plain")
    table.register("named", lambda call: Section("outer", {"a": 1}))
    assert execute(table, {"prefix": "later", "items": ["a"], "format": "json"}, b"xyz") == Outcome(
        0, "", b'{"data":3,"items":["a"]}'
    )
    assert execute(table, "busy") == Outcome(-16, "come back")
    assert execute(table, "bytes").output == b"\xff"
    assert execute(table, "text").output == b"plain"
    named = execute(table, {"prefix": "named", "format": "xml"})
    assert named.output == b"<outer><a>1</a></outer>"
    assert table.helps() == {"later": "answers later"}
    with pytest.raises(InvariantBroken):
        table.register("busy", busy)
    table.unregister(owner)
    assert execute(table, "busy").message == "unknown command prefix busy"
    assert told == ["request for 'busy' not defined"]


def test_commands_with_one_prefix_are_told_apart_by_their_arguments():
    table = CommandTable()
    table.register("c name=x,type=CephInt", lambda call: {"got": "number"})
    table.register("c name=x,type=CephString", lambda call: {"got": "text"})
    assert document(table, {"prefix": "c", "x": 1}) == {"got": "number"}
    assert document(table, {"prefix": "c", "x": "1"}) == {"got": "text"}


def test_builtin_commands(table, config):
    assert execute(table, "0").output == b"2"
    assert document(table, "version") == {
        "version": "16.2.15",
        "release": "pacific",
        "release_type": "stable",
    }
    assert document(table, "git_version") == {"git_version": "abc"}
    shown = document(table, "config show")
    assert shown["osd_max_backfills"] == "1"
    change = {"prefix": "config set", "var": "log_stderr_prefix", "val": ["a", "b"]}
    config.observe(["log_stderr_prefix"], lambda names: None)
    assert document(table, change) == {"success": "log_stderr_prefix = 'a b' "}
    assert document(table, {"prefix": "config get", "var": "log stderr prefix"}) == {
        "log stderr prefix": "a b"
    }
    assert document(table, {"prefix": "config diff get", "var": "log_stderr_prefix"}) == {
        "diff": {"log_stderr_prefix": {"default": "", "override": "a b", "final": "a b"}}
    }
    assert document(table, {"prefix": "config unset", "var": "log_stderr_prefix"}) == {}
    assert "log_stderr_prefix" not in document(table, "config diff")["diff"]
    described = document(table, {"prefix": "config help", "var": "osd_max_backfills"})
    assert described["option"]["type"] == "uint"
    assert len(document(table, "config help")["options"]) > 800
    inject = {"prefix": "injectargs", "injected_args": ["--osd-max-backfills", "4"]}
    assert document(table, inject) == {}
    assert config.get_int("osd_max_backfills") == 4
    for command in ("log flush", "log dump", "log reopen", "perf dump", "perf schema"):
        assert document(table, command) == {}
    for command in ("perf histogram dump", "perf histogram schema", "1", "2"):
        assert document(table, command) == {}
    assert document(table, {"prefix": "perf reset", "var": "x"}) == {"error": "Not find: x"}
    assert document(table, {"prefix": "perf reset", "var": "all"}) == {"success": "perf reset all"}
    descriptions = document(table, "get_command_descriptions")
    assert descriptions["cmd000"]["sig"] == ["0"]
    assert "config set" in document(table, "help")


@pytest.mark.parametrize(
    ("request_", "errno", "message"),
    [
        (
            {"prefix": "config get", "var": "x"},
            2,
            "error getting 'x': (2) No such file or directory",
        ),
        (
            {"prefix": "config set", "var": "osd_data", "val": ["/x"]},
            1,
            "error setting 'osd_data' to '/x': (1) Operation not permitted",
        ),
        ({"prefix": "config set", "var": "fsid"}, 22, ""),
        ({"prefix": "config unset", "var": "x"}, 22, "error unsetting 'x': (22) Invalid argument"),
        ({"prefix": "config help", "var": "a b"}, 2, "Setting not found: 'a_b'"),
        ({"prefix": "injectargs", "injected_args": ["x"]}, 22, " failed to parse arguments: x\n"),
    ],
)
def test_builtin_commands_refuse(table, request_, errno, message):
    assert execute(table, request_) == Outcome(-errno, message)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "x.asok")


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def rename(path: str, new: str) -> None:
    Path(path).rename(new)


def test_the_server_answers_and_leaves_no_file(path, table):
    async def scenario():
        server = AdminSocket(path, table, mode=0o600, owner=(os.getuid(), os.getgid()))
        await server.start()
        assert mode_of(path) == 0o600
        answers = await asyncio.gather(
            *(asyncio.to_thread(ask, path, "version") for _ in range(20)),
            asyncio.to_thread(ask, path, {"prefix": "no such"}),
        )
        await server.close()
        await server.close()
        return answers

    *versions, refused = asyncio.run(scenario())
    assert {json.loads(one)["version"] for one in versions} == {"16.2.15"}
    assert refused == b"ERROR: (22) Invalid argument\nunknown command prefix no such\n"
    assert not Path(path).exists()
    assert not ping(path)
    with pytest.raises(NotFound):
        ask(path, "version")


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(path, table):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)

    async def scenario():
        first = AdminSocket(path, table)
        await first.start()
        with pytest.raises(Exists, match="in use"):
            await AdminSocket(path, table).start()
        assert await asyncio.to_thread(ping, path)
        # Whoever replaces the file owns it: closing must not remove it.
        rename(path, path + ".old")
        second = AdminSocket(path, table)
        await second.start()
        await first.close()
        assert await asyncio.to_thread(ping, path)
        await second.close()

    asyncio.run(scenario())


def test_paths_that_cannot_be_bound(tmp_path, table):
    (tmp_path / "file").write_text("mine")

    async def scenario():
        with pytest.raises(InvalidArgument, match="longer than"):
            await AdminSocket(str(tmp_path / ("x" * 120)), table).start()
        with pytest.raises(Exists, match="not a socket"):
            await AdminSocket(str(tmp_path / "file"), table).start()
        with pytest.raises(NotFound):
            await AdminSocket(str(tmp_path / "no" / "x"), table).start()
        if os.getuid() != 0:
            with pytest.raises(CephError):
                await AdminSocket(str(tmp_path / "x"), table, owner=(0, 0)).start()

    asyncio.run(scenario())
    assert (tmp_path / "file").read_text() == "mine"


def test_clients_that_misbehave_hurt_nobody(path, table, monkeypatch):
    monkeypatch.setattr(admin_server, "REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr(admin_server, "MAX_CLIENTS", 8)
    told = []

    async def scenario():
        server = AdminSocket(path, table, on_error=told.append)
        await server.start()
        silent = [await asyncio.open_unix_connection(path) for _ in range(7)]
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x" * (1 << 20))
        with contextlib.suppress(ConnectionResetError):  # what we sent was not read to its end
            assert await reader.read() == b""
        writer.close()
        silent[0][1].close()
        assert await asyncio.to_thread(ping, path)
        for reader, writer in silent[1:]:
            assert await reader.read() == b""
            writer.close()
        crowd = [await asyncio.open_unix_connection(path) for _ in range(12)]
        for reader, _ in crowd:
            assert await reader.read() == b""
        for _, writer in crowd:
            writer.close()
        await server.close()

    asyncio.run(scenario())
    assert {"request too long", "client was too slow", "more than 8 clients"} <= set(told)


@pytest.mark.parametrize(
    "reply", [b"", b"\0\0", struct.pack(">I", 10) + b"short", struct.pack(">I", 0xFFFFFFFF)]
)
def test_half_a_reply_is_an_error_for_the_client(path, reply):
    async def scenario():
        async def answer(reader, writer):
            await reader.readuntil(b"\0")
            writer.write(reply)
            writer.close()

        server = await asyncio.start_unix_server(answer, path)
        with pytest.raises(InputOutput):
            await asyncio.to_thread(ask, path, "version")
        server.close()

    asyncio.run(scenario())
    with pytest.raises(InvalidArgument):
        ask(path, "x" * 100_000)
