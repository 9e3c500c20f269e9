"""Fuzz target: what clients may send to a monitor: commands as JSON, and messages of every type.

Nothing raises, nothing is answered by EIO (which says that a bug was met), each command is answered
once, an error in one line of bounded length, and the monitor leads on.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from spirula.conf.admin_builtin import Version, register_builtin
from spirula.conf.admin_commands import CommandTable
from spirula.conf.log import Log
from spirula.errors import WireError
from spirula.messages.base import MESSAGES, decode_message, load_all
from spirula.messages.command import MCommand
from spirula.messages.mon_client import (
    MGetConfig,
    MMonCommand,
    MMonCommandAck,
    MMonGetVersion,
    MMonSubscribe,
)
from spirula.mon.commands.dispatch import MAX_REFUSAL_CHARACTERS
from spirula.mon.request import Request
from tests.fuzz.mutate import chance, mutants
from tests.fuzz.test_fuzz_messages import good as good_payloads
from tests.unit.mon.harness import FSID, HarnessMonitor

load_all()

BIG = "x" * (1 << 20)
VALUES = [
    *("true", "0", "-1", "4611686018427387904", "9223372036854775807", "9223372036854775808"),
    *("1180591620717411303424", "-9223372036854775808", "1.5", "1e308", "1e400", "NaN"),
    *("-Infinity", '""', '" "', '"x"', '"\\u0000"', '"\\ud800"', '"\\udc80x"', '"é中"'),
    *('"../.."', '"%s%n"', '["a"]', "[]", "[1]", "[1.5]", '["a",1]', '{"a":1}', "null", "[[]]"),
    *('"-1"', '"osd.0"', '"0.0"', '"1.ffffffff"', '"default"', '"osd.999999999999"', '"all"'),
    *(
        '"99999999999999999999"',
        '"1e999"',
        '"nan"',
        '"a=b"',
        '["a=b"]',
        '["=","a=","=b"]',
        '"a\\nb"',
    ),
]
HUGE = [json.dumps(BIG), json.dumps([BIG]), json.dumps(["x"] * 50_000), "9" * 4000]
FITTING = {
    "CephInt": "1",
    "CephFloat": "0.5",
    "CephPoolname": '"p"',
    "CephOsdName": "0",
    "CephPgid": '"1.0"',
    "CephBool": "true",
    "CephName": '"osd.0"',
    "CephIPAddr": '"1.2.3.4"',
    "CephEntityAddr": '"1.2.3.4:0/1"',
    "CephUUID": '"11111111-2222-3333-4444-555555555555"',
}
# These take the only monitor out of its quorum or let it forget its store, as they should.
LEAVING = {
    "quorum exit",
    "sync_force",
    "mon add",
    "mon set-addrs",
    "mon set-rank",
    "mon rm",
    "mon remove",
}


def make():
    mon = HarnessMonitor({"mon_allow_pool_delete": "true"})
    mon.ok("osd pool create", pool="p", pg_num=8)
    mon.ok("osd new", uuid="11111111-2222-3333-4444-555555555555")
    return mon


def send(mon, text, session=None):
    session = session or mon.admin
    message = MMonCommand(version=0, fsid=FSID.bytes, cmd=[text])
    message.tid = mon.rng.getrandbits(32)
    mon.mon.dispatch(Request(mon.mon, message, session, mon.wall()))
    for _ in range(100):
        mon.advance(0.0)
        answers = [m for m in session.connection.sent if isinstance(m, MMonCommandAck)]
        if answers:
            session.connection.sent.clear()
            assert len(answers) == 1
            return answers[0]
        mon.advance(0.05)
    pytest.fail(f"no answer to {text[:200]}")


def check(mon, text, session=None):
    mon.log_lines.clear()
    answer = send(mon, text, session)
    met = [line for level, line in mon.log_lines if level == -1]
    assert answer.r != -5, (text[:300], answer.rs, met)
    assert not any("by a bug" in line for line in met), (text[:300], met)
    assert answer.r > -134, (text[:300], answer.r)
    if answer.r < 0:
        assert len(answer.rs) < MAX_REFUSAL_CHARACTERS + 50, text[:300]
    assert mon.stopped is None
    return answer


def fitting(argument):
    if argument.kind == "CephChoices":
        value = json.dumps(argument.detail("strings").split("|")[0])
    else:
        value = FITTING.get(argument.kind, '"default"')
    return f"[{value}]" if argument.repeated else value


def document(prefix, arguments):
    pairs = [f"{json.dumps(name)}:{value}" for name, value in arguments.items()]
    return "{" + ",".join([f'"prefix":{json.dumps(prefix)}', *pairs]) + "}"


def variants(command, rng, scale):
    """Arguments that fit, those that must be there, none; and each one in turn replaced."""
    fit = {name: fitting(argument) for name, argument in command.arguments}
    yield fit
    yield {name: fit[name] for name, argument in command.arguments if argument.required}
    yield {}
    for name, _ in command.arguments:
        values = VALUES if scale > 1 else rng.sample(VALUES, 24)
        for value in (*values, rng.choice(HUGE)):
            yield {**fit, name: value}


@pytest.mark.parametrize("part", range(4))
def test_wrong_values_for_every_argument(part, scale):
    rng = chance(f"mon arguments {part}")
    mon = make()
    commands = [one for one in mon.mon.commands.all() if one.prefix not in LEAVING]
    for command in commands[part::4]:
        for arguments in variants(command, rng, scale):
            check(mon, document(command.prefix, arguments))
    assert mon.mon.is_leader
    # What was committed by all that can be read again.
    again = mon.restart()
    assert again.mon.osdmap.epoch >= mon.mon.osdmap.epoch
    again.ok("osd dump")


def test_documents_that_are_no_commands(scale):
    rng = chance("mon documents")
    mon = make()
    nested = [f"{'[' * n}{']' * n}" for n in (100, 100_000)] + [
        '{"a":' * 100_000 + "1" + "}" * 100_000
    ]
    texts = [
        *("", " ", "{", "{}", "[]", "null", "1", '"x"', "\0", "é", "\udc80", "{'prefix': 'x'}"),
        *('{"prefix": null}', '{"prefix": 1}', '{"prefix": []}', '{"prefix": ["a"]}'),
        *(
            '{"prefix": ""}',
            '{"prefix": "  "}',
            '{"prefix": "nothing such"}',
            '{"prefix": "\\ud800"}',
        ),
        *('{"prefix": "status", "format": 1}', '{"prefix": "status", "format": "yaml"}'),
        *(
            '{"prefix": "status", "prefix": "fsid"}',
            '{"prefix": "status"}}',
            '{"PREFIX": "status"}',
        ),
        *(json.dumps({"prefix": BIG}), json.dumps({"prefix": "status", BIG: BIG}), *nested),
        *('{"prefix": "status", "a": ' + deep + "}" for deep in nested[:2]),
    ]
    for text in texts:
        check(mon, text)
    good = [document("osd pool create", {"pool": '"q"', "pg_num": "8"}), document("status", {})]
    alphabet = '{}[]":,\\u0eE+-. \n' + "prefixstatuosd"
    for _ in range(1500 * scale):
        text = list(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randint(0, 2)] = rng.choices(alphabet, k=rng.randint(0, 3))
        check(mon, "".join(text))
    message = MMonCommand(version=0, fsid=FSID.bytes, cmd=[])
    assert [one.r for one in mon.send(message)] == [-22]
    message = MMonCommand(version=0, fsid=bytes(16), cmd=['{"prefix": "status"}'])
    assert [one.r for one in mon.send(message)] == [-1]


def test_the_admin_socket(scale):
    """What `ceph tell mon.a` and `ceph daemon mon.a` reach: refused or answered, never raising."""
    rng = chance("mon admin socket")
    mon = make()
    table = CommandTable()
    log = Log(lambda: 0.0, lambda: 1)
    perf = mon.mon.perf.collection
    version = Version("16.2.15", "pacific")
    register_builtin(table, config=mon.config, log=log, perf=perf, version=version)
    mon.mon.command_dispatch.register_tells(table)
    told = []

    async def ask_everything():
        for one in table.descriptions().values():
            words = [word for word in one["sig"] if isinstance(word, str)]
            names = [word["name"] for word in one["sig"] if isinstance(word, dict)]
            prefix = " ".join(words)
            if prefix in LEAVING:
                continue
            for _ in range(40 * scale):
                arguments = {name: rng.choice([*VALUES, *HUGE]) for name in names}
                for name in rng.sample(names, rng.randint(0, len(names))):
                    del arguments[name]
                outcome = await table.execute(document(prefix, arguments))
                assert -134 < outcome.errno <= 0
                told.append(outcome.errno)

    asyncio.run(ask_everything())
    assert told.count(0) > 100
    assert told.count(-22) > 100
    assert mon.mon.is_leader
    mon.ok("status")


# ----------------------------------------------------------------------------------------- messages

SENDERS = {
    "client.nobody": "",
    "client.reader": "allow r",
    "client.admin": None,
    "osd.0": "profile osd",
    "mgr.x": "profile mgr",
    "mds.a": "profile mds",
}
EXTREMES = (0, 1, 2, 3, -1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)
TEXTS = ("", "x" * 1000, "\udc80", "osdmap", "\0")


def sessions_of(mon):
    sessions = [mon.session(name, caps) for name, caps in SENDERS.items()]
    for session in sessions:
        session.connection.peer_type = int(session.name.type)
        session.connection.peer_addrs = session.addrs
    return sessions


def twisted(message, number, version, rng):
    """The message with some fields at their extremes, and this cluster's identity."""
    for name in {name for kind in type(message).__mro__ for name in getattr(kind, "__slots__", ())}:
        value = getattr(message, name, None)
        if name in ("connection", "data", "middle", "header_version", "priority", "tid"):
            continue
        if name == "fsid":
            message.fsid = FSID.bytes
        elif isinstance(value, int) and rng.random() < 0.3:
            setattr(message, name, rng.choice(EXTREMES))
        elif isinstance(value, str) and rng.random() < 0.2:
            setattr(message, name, rng.choice(TEXTS))
    if getattr(message, "version", None) and rng.random() < 0.8:
        message.version = 0
    version, compat, front = message.encode_payload()
    return decode_message(number, version, compat, front)


def test_messages_of_every_type(scale):
    rng = chance("mon messages")
    mon = make()
    sessions = sessions_of(mon)
    read = {kind for service in mon.mon.services for kind in service.MESSAGES}
    read |= {MCommand, MGetConfig, MMonCommand, MMonGetVersion, MMonSubscribe}
    sent = 0
    for number, kind in sorted(MESSAGES.items()):
        fronts, versions = good_payloads(number)
        for front in (*fronts, *mutants(fronts, rng, 150 * scale)):
            version = rng.choice(versions)
            try:
                message = decode_message(number, version, 1, front)
                if kind in read and rng.random() < 0.7:
                    message = twisted(message, number, version, rng)
                message.data = rng.choice([b"", b"x" * 50, rng.randbytes(20)])
            except WireError:
                continue
            if any(one.closed for one in sessions) or not mon.mon.is_leader:
                # Bytes that cannot be read end a session; an administrator may add monitors.
                mon = make()
                sessions = sessions_of(mon)
            session = rng.choice(sessions)
            mon.mon.intake.ms_dispatch(session.connection, message)
            mon.advance(rng.choice((0.0, 0.0, 1.0)))
            sent += 1
            met = [line for level, line in mon.log_lines if level == -1]
            assert not met, (message, session, met)
            assert mon.stopped is None
            session.connection.sent.clear()
            mon.log_lines.clear()
    assert sent > 8000
