"""The cluster log: what is kept, shown, sent and written to files."""

from __future__ import annotations

import random
import struct

import pytest

from spirula.denc.features import PACIFIC
from spirula.errors import WireError
from spirula.messages.mon_client import MLog, MLogAck, MMonCommand
from spirula.mon.request import Request
from spirula.mon.services.log import files
from spirula.mon.services.log.tail import Tail, decode_version, encode_version
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityName
from spirula.types.log import LogEntry, LogLevel, LogSummary
from tests.unit.mon.harness import FSID, HarnessMonitor, make_config


@pytest.fixture
def mon():
    return HarnessMonitor()


def entry(msg, seq=1, *, prio=LogLevel.INFO, channel="cluster", at=1_800_000_000.0):
    return LogEntry(
        name=PrincipalName.parse("osd.3"),
        rank=EntityName(4, 3),
        stamp=UTime.at(at),
        seq=seq,
        prio=prio,
        msg=msg,
        channel=channel,
    )


def mlog(*entries, fsid=FSID.bytes):
    return MLog(version=0, fsid=fsid, entries=list(entries))


def messages_of(mon, **arguments):
    return [one["message"] for one in mon.ok("log last", format="json", **arguments)]


def test_what_operators_write_is_there(mon):
    mon.ok("log", logtext=["hello", "world"])
    shown = mon.ok("log last", num=1, format="json")[-1]
    assert shown["message"] == "hello world"
    assert (shown["name"], shown["channel"], shown["priority"]) == (
        "client.admin",
        "cluster",
        "[INF]",
    )
    assert mon.ok("log last", num=1).endswith(" : cluster [INF] hello world\n")


def test_entries_survive_a_restart(mon):
    mon.ok("log", logtext=["kept"])
    mon = mon.restart()
    assert "kept" in messages_of(mon)
    assert messages_of(mon)[0].startswith("mkfs ")


def test_the_last_entries_of_a_level_and_channel(mon):
    daemon = mon.session("osd.3", "allow profile osd")
    mon.send(
        mlog(
            entry("fine", 1),
            entry("odd", 2, prio=LogLevel.WARN),
            entry("who", 3, channel="audit"),
            entry("noise", 4, prio=LogLevel.DEBUG),
        ),
        daemon,
    )
    mon.advance(2.0)
    assert messages_of(mon, num=2)[-2:] == ["fine", "odd"]
    # As upstream, one more entry if it is as grave.
    assert messages_of(mon, num=1, level="debug") == ["odd", "noise"]
    assert messages_of(mon, num=1) == ["fine", "odd"]
    assert messages_of(mon, num=5, level="warn", channel="cluster")[-1:] == ["odd"]
    assert messages_of(mon, level="error") == []
    assert messages_of(mon, num=3, level="debug", channel="*")[-2:] == ["who", "noise"]
    assert messages_of(mon, channel="cephadm") == []


def test_entries_are_acknowledged_when_committed_and_kept_once(mon):
    daemon = mon.session("osd.3", "allow profile osd")
    mon.send(mlog(entry("once", 7)), daemon)
    mon.advance(2.0)
    (ack,) = daemon.connection.sent
    assert isinstance(ack, MLogAck)
    assert ack.last == 7
    version = mon.mon.log_service.last_committed
    # Sent again, because the acknowledgement was lost, say.
    (again,) = mon.send(mlog(entry("once", 7)), daemon)
    assert again.last == 7
    mon.advance(2.0)
    assert messages_of(mon).count("once") == 1
    assert mon.mon.log_service.last_committed == version


def test_who_may_not_log_does_not(mon):
    mon.send(mlog(entry("forged")), mon.session("client.x", "allow r"))
    mon.send(mlog(entry("elsewhere"), fsid=bytes(16)))
    mon.send(mlog())
    mon.advance(2.0)
    assert not {"forged", "elsewhere"} & set(messages_of(mon, level="debug", num=50))


def test_old_entries_make_room(mon):
    mon = HarnessMonitor({"mon_log_max_summary": 5})
    for number in range(12):
        mon.ok("log", logtext=[f"n{number}"])
    assert messages_of(mon, num=50) == [f"n{number}" for number in range(7, 12)]


def test_subscribers_get_what_is_grave_enough(mon):
    watcher = mon.session("client.w", "allow r")
    mon.subscribe("log-warn", mon.mon.log_service.last_committed + 1, session=watcher)
    daemon = mon.session("osd.3", "allow profile osd")
    mon.send(mlog(entry("a", 1), entry("b", 2, prio=LogLevel.ERROR)), daemon)
    mon.advance(2.0)
    (sent,) = [m for m in watcher.connection.sent if isinstance(m, MLog)]
    assert [one.msg for one in sent.entries] == ["b"]


def test_a_new_subscriber_begins_with_the_last_version(mon):
    mon.ok("log", logtext=["newest"])
    (sent,) = mon.subscribe("log-info", session=mon.session("client.w", "allow r"))
    assert "newest" in [one.msg for one in sent.entries]


def test_a_client_listens_at_one_level(mon):
    watcher = mon.session("client.w", "allow r")
    mon.subscribe("log-debug", session=watcher)
    mon.subscribe("log-error", session=watcher)
    assert list(watcher.subscriptions) == ["log-error"]


def test_what_was_trimmed_is_said_to_be_missing(mon):
    service = mon.mon.log_service
    for number in range(3):
        mon.ok("log", logtext=[f"n{number}"])
    service.first_committed = service.last_committed
    (sent,) = mon.subscribe("log-info", 1, session=mon.session("client.w", "allow r"))
    assert sent.entries[0].msg == f"skipped log messages from 1 to {service.first_committed}"
    assert sent.entries[-1].msg == "n2"


def test_lines_of_the_monitor_are_entries_of_their_own(mon):
    mon.mon.clog(LogLevel.WARN, "one\n\ntwo", "audit")
    mon.advance(2.0)
    assert messages_of(mon, channel="audit", level="warn") == ["one", "two"]


def test_the_summary_is_upstreams(mon):
    tail = Tail()
    for number in range(4):
        tail.add(entry(f"n{number}", number, channel="audit" if number % 2 else "cluster"), 50)
    tail.version = 9
    read = LogSummary.decode(tail.encode())
    assert (read.version, read.seq) == (9, 4)
    assert [seq for seq, _ in read.tail_by_channel["audit"]] == [2, 4]
    again = Tail.decode(tail.encode())
    assert [one.msg for one in again.last(9, 0, "*")] == ["n0", "n1", "n2", "n3"]


def test_a_version_holds_its_entries_by_time():
    entries = [entry("late", 1, at=50.0), entry("early", 2, at=10.0)]
    encoded = encode_version(entries)
    assert encoded[0] == 1
    assert [one.msg for one in decode_version(encoded)] == ["early", "late"]


def mixed_entries(rng):
    """Of several senders in turn, whose texts are of all kinds, as a version holds them."""
    senders = [
        (PrincipalName.parse(name), EntityName(kind, number), EntityAddrVec.parse(addrs))
        for name, kind, number, addrs in (
            ("mon.a", 1, 0, "[v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]"),
            ("mon.b", 1, 1, "v2:[::1]:3300/7"),
            ("mon.ab", 1, 2, "v2:127.0.0.1:3300/0"),
            ("client.admin", 8, -1, ""),
        )
    ]
    texts = ["", "plain", "ä\udcff", "x" * 300, '[{"prefix": "osd pool ls"}]: dispatch']
    for seq in range(40):
        name, rank, addrs = rng.choice(senders)
        yield LogEntry(
            name=name,
            rank=rank,
            addrs=addrs,
            stamp=UTime(1_800_000_000 + seq, rng.randrange(10**9)),
            seq=rng.getrandbits(64),
            prio=rng.choice(list(LogLevel)),
            msg=rng.choice(texts),
            channel=rng.choice(["cluster", "audit", "ä"]),
        )


def one_by_one(encoded):
    """What is in a version, each entry read for itself; the error where it cannot be read."""
    entries, pos = [], 1
    try:
        while pos < len(encoded):
            entry, pos = LogEntry._dec(encoded, pos, len(encoded), PACIFIC)
            entries.append(entry)
    except (WireError, struct.error, IndexError, UnicodeDecodeError) as error:
        return type(error)
    return entries


def test_a_version_of_many_senders_is_read_back():
    entries = list(mixed_entries(random.Random(1)))
    assert decode_version(encode_version(entries)) == entries


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_version_is_read_as_if_each_entry_stood_alone(seed):
    """Senders are remembered; that must neither hide damage nor mistake one for another."""
    rng = random.Random(seed)
    intact = encode_version(mixed_entries(rng))
    for _ in range(400):
        damaged = bytearray(intact)
        if rng.random() < 0.3:
            del damaged[rng.randrange(1, len(damaged)) :]
        for _ in range(rng.randrange(3)):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 4, 5, 6, 255])
        expected = one_by_one(bytes(damaged))
        try:
            found = decode_version(bytes(damaged))
        except (WireError, struct.error, IndexError, UnicodeDecodeError) as error:
            found = type(error)
        assert found == expected


def test_an_answer_does_not_wait_for_its_line_in_the_log(mon):
    order = []
    mon.mon.ports.log = mon.mon.log = lambda level, text: order.append(text)
    mon.admin.connection.send_message = order.append
    request = MMonCommand(version=0, fsid=FSID.bytes, cmd=['{"prefix": "fsid"}'])
    mon.mon.dispatch(Request(mon.mon, request, mon.admin, mon.wall()))
    (answer,) = order
    assert answer.r == 0
    mon.advance(0.0)
    assert '"prefix": "fsid"' in order[1]
    assert order[1].startswith("log_channel(audit) log [DBG] : from=")


def test_lines_are_in_the_order_in_which_they_were_said(mon):
    mon.mon.clog(LogLevel.DEBUG, "first")
    mon.mon.clog(LogLevel.INFO, "second")
    mon.mon.clog(LogLevel.DEBUG, "third\nfourth")
    mon.advance(2.0)
    said = messages_of(mon, level="debug", num=4)
    assert said[-4:] == ["first", "second", "third", "fourth"]


def test_of_thousands_of_entries_few_are_kept_in_memory(mon):
    service = mon.mon.log_service
    for version in range(6):
        for number in range(3000):
            mon.mon.clog(LogLevel.DEBUG, f"{version} {number}")
        mon.advance(2.0)
    assert sum(map(len, service._decoded.values())) < 7000
    assert messages_of(mon, level="debug", num=1)[-1] == "5 2999"


def test_files_by_channel_and_level():
    config = make_config(
        options={
            "mon_cluster_log_to_file": "true",
            "mon_cluster_log_file": "default=/log/$channel.log audit=/log/who.log",
            "mon_cluster_log_file_level": "default=info audit=warn",
        }
    )
    found = files.sort_out(
        config,
        [
            entry("kept", 1),
            entry("noise", 2, prio=LogLevel.DEBUG),
            entry("dull", 3, channel="audit"),
            entry("security", 4, prio=LogLevel.SEC, channel="audit"),
        ],
    )
    assert {path: [line.rsplit(" ", 1)[1] for line in lines] for path, lines in found.items()} == {
        "/log/cluster.log": ["kept"],
        "/log/who.log": ["security"],
    }
    config.set("mon_cluster_log_to_file", "false")
    config.set("mon_cluster_log_to_stderr", "true")
    config.apply_changes()
    (line,) = files.sort_out(config, [entry("seen")])[files.STDERR]
    assert line.startswith("cluster ")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("/a.log", {"default": "/a.log"}),
        ("default=/a b=/c", {"default": "/a", "b": "/c"}),
        ('{"default": "/a"}', {"default": "/a"}),
        ("{broken", {}),
        ("", {}),
    ],
)
def test_options_by_channel(text, values):
    assert files.by_channel(text) == values


def test_the_file_gets_what_is_committed_from_now_on():
    mon = HarnessMonitor({"mon_cluster_log_file": "/log/$channel.log"})
    written = {}
    mon.mon.ports.cluster_log = lambda path, lines: written.setdefault(path, []).append(lines)
    mon.ok("log", logtext=["into", "the", "file"])
    mon.advance(0.1)
    assert "".join(written["/log/cluster.log"]).endswith("into the file\n")


def test_what_was_committed_is_in_the_file_after_a_stop():
    mon = HarnessMonitor({"mon_cluster_log_file": "/log/$channel.log"})
    written = []
    mon.mon.ports.cluster_log = lambda path, lines: written.append(lines)
    mon.ok("log", logtext=["the", "last", "words"])
    mon.mon.stop()
    assert "".join(written).endswith("the last words\n")


def test_a_commit_is_read_a_little_later_unless_somebody_asks(mon):
    written = []
    mon.mon.ports.cluster_log = lambda path, lines: written.append(lines)
    mon.mon.clog(LogLevel.INFO, "new")
    version = mon.mon.log_service.last_committed
    while mon.mon.log_service.last_committed == version:
        mon.advance(0.001)
    assert not written
    mon.advance(0.1)
    assert written[0].endswith("new\n")
    mon.mon.clog(LogLevel.INFO, "newer")
    version = mon.mon.log_service.last_committed
    while mon.mon.log_service.last_committed == version:
        mon.advance(0.001)
    assert messages_of(mon, num=1)[-1] == "newer"
