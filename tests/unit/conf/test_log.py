"""Logging: levels, lines, what is kept for a crash, what is left out."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
import time

import pytest

from spirula.conf import crash_report
from spirula.conf.config import Config
from spirula.conf.expand import Identity
from spirula.conf.log import Entry, Log, OncePer, human_line, json_line, log_once, redact
from spirula.conf.log_output import (
    FileSink,
    LogOutput,
    StreamSink,
    dump_on_crash,
    start_log,
)


class Lines:
    """A sink that remembers."""

    def __init__(self, threshold: int = 99) -> None:
        self.threshold = threshold
        self.lines: list[str] = []
        self.reopened = 0

    def write(self, entry: Entry, line: str) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        pass

    def reopen(self) -> None:
        self.reopened += 1


@pytest.fixture
def log():
    made = Log(lambda: 1_600_000_000.123456, lambda: 0x7F12, max_recent=5)
    made.sinks.append(Lines())
    return made


def messages(log: Log) -> list[str]:
    return [line.split(" ", 2)[2].strip() for line in log.sinks[0].lines]


def test_levels_decide_what_is_written_and_what_is_kept(log):
    log.set_level("osd", 1, 5)
    osd = log.logger("osd", "osd.3 ")
    assert (osd.enabled(5), osd.enabled(6), osd.level) == (True, False, 5)
    osd(1, "written %d%%", 7)
    osd(5, "kept")
    osd(6, "dropped %s")
    osd.error("failed")
    assert messages(log) == ["1 osd.3 written 7%", "-1 osd.3 failed"]
    assert [entry.message for entry in log.recent] == [
        "osd.3 written 7%",
        "osd.3 kept",
        "osd.3 failed",
    ]
    log.set_level("osd", 10, 0)
    osd(6, "now")
    assert messages(log)[-1] == "6 osd.3 now"
    assert log.logger("osd", "osd.3 ") is osd
    assert osd.with_prefix("x ").prefix == "x "


def test_a_disabled_level_formats_nothing_and_costs_little(log):
    class Explosive:
        def __str__(self) -> str:
            raise AssertionError("was formatted")

    osd = log.logger("osd")
    osd(20, "%s", Explosive())
    start = time.perf_counter()
    for _ in range(100_000):
        if osd.enabled(20):
            osd(20, "%s", "x")
    per_check = (time.perf_counter() - start) / 100_000
    assert per_check < 2e-6


def test_human_lines():
    entry = Entry(1_600_000_000.123456, 0x7F12, -1, "osd", "text")
    assert re.fullmatch(r"2020-09-1\dT\d\d:\d\d:40\.123[+-]\d{4} 7f12 -1 text", human_line(entry))
    assert ".123456" in human_line(entry, coarse=False)
    assert " 7f12  5 text" in human_line(entry._replace(level=5))


def test_json_lines():
    line = json_line(Entry(1_600_000_000.5, 255, 1, "ms", 'a "b"\nc'))
    assert "\n" not in line
    assert json.loads(line) == {
        "stamp": "2020-09-13T12:26:40.500000+00:00",
        "thread": "ff",
        "subsys": "ms",
        "level": 1,
        "message": 'a "b"\nc',
    }


def test_the_dump_of_recent_events(log):
    osd = log.logger("osd")
    for number in range(8):
        osd(5, "event %d", number)
    assert log.sinks[0].lines == []
    log.dump_recent()
    lines = log.sinks[0].lines
    assert lines[0] == "--- begin dump of recent events ---"
    assert lines[1].startswith("    -4> ")
    assert lines[1].endswith(" event 3")
    assert lines[5].startswith("     0> ")
    assert lines[5].endswith(" event 7")
    assert "   1/ 5 osd" in lines
    assert lines[-1] == "--- end dump of recent events ---"


def test_secrets_are_not_written(log):
    key = "AQAGyWheb0LBOxAAqCTBZMGFRzYcDIcOTHXBRg=="
    log.logger("auth").error("key %s, password=hunter2 here", key)
    line = log.sinks[0].lines[0]
    assert line.endswith("key <key>, password=<hidden> here")
    assert redact("no such thing: AQ but short, and classes") == (
        "no such thing: AQ but short, and classes"
    )
    assert redact(f'"{key}"') == '"<key>"'
    assert redact("AgD" + "x" * 56 + "=") == "<key>"
    assert redact("SECRET: abc") == "SECRET: <hidden>"


def test_thresholds_of_sinks(log):
    log.sinks.append(Lines(threshold=-1))
    log.sinks.append(Lines(threshold=-2))
    osd = log.logger("osd")
    osd(0, "fine")
    osd.error("bad")
    assert [len(sink.lines) for sink in log.sinks] == [2, 1, 0]
    log.reopen()
    assert log.sinks[0].reopened == 1


def test_loggers_that_are_forgotten_no_longer_follow(log):
    one = log.logger("ms", "conn ")
    log.forget(one)
    log.set_level("ms", 9, 9)
    assert one.level == 0
    assert log.logger("ms", "conn ").level == 9


def test_once_per_key_and_interval(log):
    once = OncePer(interval_s=10, max_keys=3)
    osd = log.logger("osd")
    for now in (0, 1, 2, 11):
        log_once(osd, once, now, 0, "10.0.0.1", "bad tag")
    assert messages(log) == [
        "0 10.0.0.1: bad tag",
        "0 10.0.0.1: bad tag (2 more like this were not logged)",
    ]
    log_once(osd, once, 12, 50, "10.0.0.1", "too detailed")
    assert len(once) == 1


def test_hostile_peers_fill_neither_memory_nor_log():
    once = OncePer(interval_s=10, max_keys=100)
    said = [once.allow(now=number / 1e6, key=f"peer {number}") for number in range(100_000)]
    assert sum(one is not None for one in said) == 101
    assert len(once) == 101
    assert once.allow(1.0, "somebody new") is None
    assert once.allow(50.0, "somebody new") == 0
    assert len(once) == 1


def test_a_log_follows_its_configuration(tmp_path, capsys):
    config = Config(daemon=True)
    config.set("log_file", str(tmp_path / "$name.log"))
    log = Log(time.time, lambda: 1)
    output = LogOutput(log, config)
    path = tmp_path / "client.admin.log"
    osd = log.logger("osd")
    osd(1, "one")
    osd(2, "two")
    config.set("debug_osd", "2")
    config.apply_changes()
    osd(2, "three")
    config.set("spirula_log_format", "json")
    config.set("log_to_stderr", "true")
    config.set("log_stderr_prefix", "here: ")
    config.set("log_max_recent", "2")
    config.apply_changes()
    osd(0, "four")
    lines = path.read_text().splitlines()
    assert [line.split()[-1] for line in lines[:2]] == ["one", "three"]
    assert json.loads(lines[2])["message"] == "four"
    assert capsys.readouterr().err == f"here: {lines[2]}\n"
    assert log.recent.maxlen == 2
    config.set("log_to_file", "false")
    config.set("log_to_stderr", "false")
    config.apply_changes()
    osd.error("five")
    assert len(path.read_text().splitlines()) == 3
    assert "five" in capsys.readouterr().err
    output.close()
    config.set("debug_osd", "9")
    config.apply_changes()
    assert osd.level == 2


def test_a_file_that_was_moved_is_opened_anew(tmp_path):
    path = tmp_path / "x.log"
    sink = FileSink(str(path))
    entry = Entry(0, 1, 0, "osd", "")
    sink.write(entry, "old")
    path.rename(tmp_path / "x.1")
    sink.write(entry, "still old")
    sink.reopen()
    sink.write(entry, "new")
    sink.close()
    sink.write(entry, "lost")
    assert (tmp_path / "x.1").read_text() == "old\nstill old\n"
    assert path.read_text() == "new\n"


def test_hangup_reopens(tmp_path):
    config = Config(daemon=True)
    config.set("log_file", str(tmp_path / "x.log"))
    before = signal.getsignal(signal.SIGHUP)
    try:
        log, output = start_log(config, reopen_on_hangup=True)
        log.logger("osd").error("a")
        (tmp_path / "x.log").rename(tmp_path / "x.1")
        signal.raise_signal(signal.SIGHUP)
        log.logger("osd").error("b")
        output.close()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "x.log").read_text().endswith(" b\n")


def test_files_and_streams_that_fail_end_nothing(tmp_path, capsys):
    sink = FileSink(str(tmp_path / "no" / "such"))
    sink.write(Entry(0, 1, 0, "osd", ""), "x")
    assert "cannot open log file" in capsys.readouterr().err
    stream = io.StringIO()
    stream.close()
    closed = StreamSink(stream)
    closed.write(Entry(0, 1, -1, "osd", ""), "x")
    closed.flush()
    assert closed.threshold == -2


def test_a_crash_leaves_its_history_in_the_log(log, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(sys, "excepthook", lambda *what: told.append(what[0]))
    config = Config(identity=Identity("osd", "3"))
    config.set("crash_dir", str(tmp_path / "crash"))
    dump_on_crash(log, config)
    log.logger("osd")(5, "before it")
    try:
        raise ValueError("the end")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    text = "\n".join(log.sinks[0].lines)
    assert "ValueError: the end" in text
    assert text.index("--- begin dump") < text.index("before it") < text.index("--- end dump")
    assert told == [ValueError]
    ((place, meta),) = crash_report.waiting(tmp_path / "crash").items()
    report = json.loads(meta)
    assert (report["entity_name"], report["exception"]) == ("osd.3", "ValueError: the end")
    assert report["backtrace"][0].startswith("(test_a_crash_leaves_its_history_in_the_log()+")
    assert "before it" in (place / "log").read_text()
    crash_report.set_aside(place)
    assert crash_report.waiting(tmp_path / "crash") == {}
    count = len(log.sinks[0].lines)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(log.sinks[0].lines) == count
