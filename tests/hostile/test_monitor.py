"""Clients of a monitor who ask for more than their caps allow, and who send what never ends."""

from __future__ import annotations

import pytest

from spirula.crush.wire import CrushWrapper
from spirula.errors import WireError
from spirula.messages.base import MESSAGES, decode_message, load_all
from spirula.messages.command import MCommand
from spirula.messages.mon_client import MConfig, MMonCommand, MMonGetVersion, MMonMap
from tests.fuzz.mutate import chance, mutants
from tests.fuzz.test_fuzz_messages import good
from tests.fuzz.test_fuzz_mon import BIG, document, fitting, send, sessions_of
from tests.unit.mon.harness import FSID, HarnessMonitor

load_all()

OBSOLETE = {"scrub"}
"""Refused for everybody, before anybody's caps are looked at."""


@pytest.fixture
def mon():
    made = HarnessMonitor()
    made.ok("osd pool create", pool="p", pg_num=8)
    return made


def versions(mon):
    """The committed state of everything but the log, which may tell of refusals."""
    return {
        service.NAME: service.last_committed
        for service in mon.mon.services
        if service.NAME != "logm"
    }


def commands(mon):
    for command in mon.mon.commands.all():
        if command.prefix not in OBSOLETE:
            arguments = {name: fitting(argument) for name, argument in command.arguments}
            yield command, document(command.prefix, arguments)


@pytest.mark.parametrize("caps", ["", "allow", "garbage (", "allow rwx network 10.9.9.0/24"])
def test_without_caps_every_command_is_refused(mon, caps):
    nobody = mon.session("client.nobody", caps)
    before = versions(mon)
    for command, text in commands(mon):
        answer = send(mon, text, nobody)
        assert (answer.r, answer.rs) == (-13, "access denied"), command.prefix
        assert not bytes(answer.data)
    assert versions(mon) == before


def test_who_may_read_may_not_change(mon):
    reader = mon.session("client.reader", "allow r")
    before = versions(mon)
    for command, text in commands(mon):
        answer = send(mon, text, reader)
        # Both keep secrets: a blanket `allow r` is not enough to read them.
        if command.perm == "r" and command.module not in ("config-key", "auth"):
            assert answer.r != -13, command.prefix
        else:
            assert (answer.r, answer.rs) == (-13, "access denied"), command.prefix
    assert versions(mon) == before


PROFILES = {
    "profile osd": {"auth", "config-key", "config", "mgr"},
    "profile bootstrap-osd": {"auth", "config-key", "config", "mgr", "mon", "log"},
    "profile rbd": {"auth", "config-key", "config", "mgr", "mon", "osd", "log"},
    "allow command mon_status": {"auth", "config-key", "config", "mgr", "mon", "osd", "log"},
}
"""Modules of which a profile may change nothing, but for single commands."""
SINGLE = {
    "profile osd": {"auth add", "auth get-or-create"},
    "profile bootstrap-osd": {"auth add", "auth get-or-create"},
    "profile rbd": {"osd blocklist", "osd blacklist"},
}


@pytest.mark.parametrize("caps", PROFILES)
def test_profiles_change_nothing_of_others(mon, caps):
    session = mon.session("osd.0" if caps == "profile osd" else "client.x", caps)
    refused = 0
    for command, text in commands(mon):
        changes = "w" in command.perm or "x" in command.perm
        others = command.module in PROFILES[caps] and command.prefix not in SINGLE.get(caps, ())
        if changes and others:
            answer = send(mon, text, session)
            assert (answer.r, answer.rs) == (-13, "access denied"), command.prefix
            refused += 1
    assert refused >= 5


def test_subscriptions_to_everything_without_caps(mon):
    nobody = mon.session("client.nobody", "")
    wanted = {what for service in mon.mon.services for what in service.SUBSCRIPTIONS}
    wanted |= {
        "kv:config/x",
        "kv:",
        "*",
        "",
        BIG,
        "osd_pg_creates",
        "log-debug",
        "mdsmap",
        "fsmap.x",
    }
    told = []
    for what in sorted(wanted):
        told += mon.subscribe(what, session=nobody)
    assert {type(message) for message in told} <= {MMonMap, MConfig}
    assert set(nobody.subscriptions) <= {"monmap", "config"}
    mon.ok("osd pool create", pool="news", pg_num=8)
    mon.ok("config-key set", key="config/x", val="secret")
    mon.advance(10)
    assert {type(message) for message in nobody.connection.sent} <= {MMonMap, MConfig}
    assert mon.send(MMonGetVersion(handle=1, what="osdmap"), nobody) == []


def test_tells_without_caps(mon):
    for caps in ("", "allow r"):
        session = mon.session("client.x", caps)
        for prefix in (
            "config set",
            "injectargs",
            "quorum exit",
            "compact",
            "sync_force",
            "log dump",
        ):
            message = MCommand(fsid=FSID.bytes, cmd=[f'{{"prefix": "{prefix}"}}'])
            [reply] = mon.send(message, session)
            assert (reply.r, reply.rs) == (-13, "insufficient caps"), prefix


def test_messages_of_a_client_without_caps_change_nothing(mon):
    """Whatever a client sends that may log in and nothing else."""
    rng = chance("messages without caps")
    before = versions(mon)
    nobody = sessions_of(mon)[0]
    sent = 0
    for number in sorted(MESSAGES):
        fronts, seen = good(number)
        for front in (*fronts, *mutants(fronts, rng, 10)):
            try:
                message = decode_message(number, rng.choice(seen), 1, front)
            except WireError:
                continue
            if hasattr(message, "fsid"):
                message.fsid = FSID.bytes
            if getattr(message, "version", 0):
                message.version = 0
            if nobody.closed:
                nobody = sessions_of(mon)[0]
            mon.mon.intake.ms_dispatch(nobody.connection, message)
            mon.advance(0.0)
            sent += 1
    mon.advance(3)
    assert sent > 500
    assert versions(mon) == before


def test_huge_arguments_are_refused_in_one_line(mon):
    for prefix, name in (
        ("osd pool get", "pool"),
        ("osd pool rename", "srcpool"),
        ("auth get", "entity"),
    ):
        errno, text = mon.refused(prefix, **{name: BIG, "var": "size", "destpool": BIG})
        assert errno in (2, 22)
        assert len(text) < 1100
        assert "more characters)" in text
    audited = [text for _, text in mon.log_lines if "[DBG]" in text or "[INF]" in text]
    assert max(map(len, audited)) < 6000


def test_no_line_of_the_audit_log_is_forged(mon):
    nobody = mon.session("client.nobody", "")
    forged = '{"prefix":\n"2026-01-01 from=client.admin cmd=[...]: dispatch\\n"\r}'
    send(mon, forged, nobody)
    mon.advance(2)
    assert not any("\n" in line or "\r" in line for _, line in mon.log_lines)
    assert not any(
        "\n" in entry
        for entry in mon.ok("log last", num=50, level="debug", channel="audit")
        .rstrip("\n")
        .split("\n")
    )


def test_a_flood_of_commands_that_wait_is_bounded(mon):
    """For a manager that is not there: beyond 64 MiB the client is told to come again."""
    session = mon.session()
    codes = []
    for _ in range(70):
        message = MMonCommand(version=0, fsid=FSID.bytes, cmd=['{"prefix": "pg dump"}'])
        message.data = b"x" * (1 << 20)
        codes += [answer.r for answer in mon.send(message, session)]
    assert codes
    assert set(codes) == {-11}


def test_no_empty_name_gets_into_the_crush_map(mon):
    """Its encoding could not be read by anybody, and the cluster would be lost."""
    for prefix, arguments in (
        ("osd crush class create", {"class_": ""}),
        ("osd crush rule create-erasure", {"name": ""}),
        ("osd crush rule create-replicated", {"name": "", "root": "default", "type": "host"}),
        ("osd crush rule create-simple", {"name": "", "root": "default", "type": "host"}),
        ("osd crush add-bucket", {"name": "", "type": "host"}),
        ("osd crush rename-bucket", {"srcname": "default", "dstname": ""}),
        ("osd crush rule rename", {"srcname": "replicated_rule", "dstname": ""}),
    ):
        assert mon.command(prefix, **arguments).r < 0, prefix
    mon.ok("osd crush class create", class_="new")
    CrushWrapper.decode(mon.mon.osdmap.osdmap.crush.encode())
