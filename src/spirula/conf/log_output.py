"""Where log lines go: files, standard error and syslog; and wiring a `Log` to a `Config`.

The edge of `spirula.conf.log`. `start_log` is called once by every daemon and client after its
configuration is loaded, `dump_on_crash` by daemons; options and thresholds are upstream's
(src/common/ceph_context.cc, LogObs).
"""

from __future__ import annotations

import os
import signal
import sys
import syslog
import threading
import time
import traceback
from types import TracebackType
from typing import TextIO

from spirula.conf.config import Config
from spirula.conf.crash_report import leave_report
from spirula.conf.log import (
    DISABLED,
    Entry,
    Log,
    human_line,
    human_line_fine,
    json_line,
)
from spirula.conf.subsys import SUBSYSTEMS, parse_levels

EVERYTHING, ERRORS = 99, -1


class FileSink:
    """Appends lines to a file; a failure is told once on standard error and ends nothing."""

    def __init__(self, path: str, *, owner: tuple[int, int] | None = None) -> None:
        self.path = path
        self.owner = owner
        self.threshold = EVERYTHING
        self._fd = -1
        self._complained = False
        self.reopen()

    def write(self, entry: Entry, line: str) -> None:
        """Appends a line."""
        if self._fd < 0:
            return
        try:
            view = memoryview(f"{line}\n".encode("utf-8", "surrogateescape"))
            while view:
                view = view[os.write(self._fd, view) :]
            self._complained = False
        except OSError as error:
            self._complain(f"problem writing to {self.path}: {error.strerror}")

    def flush(self) -> None:
        """Nothing is kept back."""

    def reopen(self) -> None:
        """Opens the file anew."""
        self.close()
        try:
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o644)
            if self.owner is not None:
                os.fchown(self._fd, *self.owner)
        except OSError as error:
            self._complain(f"cannot open log file {self.path}: {error.strerror}")

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _complain(self, text: str) -> None:
        if not self._complained:
            self._complained = True
            sys.stderr.write(text + "\n")


class StreamSink:
    """Writes lines to a stream, standard error as a rule, each with a prefix."""

    def __init__(self, stream: TextIO | None = None, *, prefix: str = "") -> None:
        self.stream = stream
        self.prefix = prefix
        self.threshold = ERRORS

    def write(self, entry: Entry, line: str) -> None:
        """Writes a line."""
        stream = self.stream or sys.stderr
        try:
            stream.write(f"{self.prefix}{line}\n")
        except (OSError, ValueError):  # closed by whoever started us
            self.threshold = DISABLED

    def flush(self) -> None:
        """Hands everything to the system."""
        try:
            (self.stream or sys.stderr).flush()
        except (OSError, ValueError):
            self.threshold = DISABLED

    def reopen(self) -> None:
        """A stream stays as it is."""


class SyslogSink:
    """Hands lines to syslog as user messages."""

    def __init__(self) -> None:
        self.threshold = DISABLED

    def write(self, entry: Entry, line: str) -> None:
        """Sends a line."""
        syslog.syslog(syslog.LOG_USER | syslog.LOG_INFO, line.replace("\0", "?"))

    def flush(self) -> None:
        """Nothing is kept."""

    def reopen(self) -> None:
        """Nothing is open."""


_WATCHED = (
    "log_file",
    "log_to_file",
    "log_to_stderr",
    "err_to_stderr",
    "log_to_syslog",
    "err_to_syslog",
    "log_stderr_prefix",
    "log_max_recent",
    "log_coarse_timestamps",
    "spirula_log_format",
)


class LogOutput:
    """Keeps a `Log` as its `Config` says, also while options change."""

    def __init__(self, log: Log, config: Config, *, owner: tuple[int, int] | None = None) -> None:
        self.log = log
        self.config = config
        self.owner = owner
        self.stderr = StreamSink()
        self.syslog = SyslogSink()
        self.file: FileSink | None = None
        log.sinks[:] = [self.stderr, self.syslog]
        config.observe(_WATCHED, self._on_change)
        config.observe([f"debug_{name}" for name in SUBSYSTEMS], self._on_levels)
        self._on_levels(frozenset(f"debug_{name}" for name in SUBSYSTEMS))
        self._on_change(frozenset(_WATCHED))

    def _threshold(self, all_option: str, error_option: str) -> int:
        if self.config.get_bool(all_option):
            return EVERYTHING
        return ERRORS if self.config.get_bool(error_option) else DISABLED

    def _on_change(self, changed: frozenset[str]) -> None:
        config, log = self.config, self.log
        self.stderr.threshold = self._threshold("log_to_stderr", "err_to_stderr")
        self.stderr.prefix = config.get_str("log_stderr_prefix")
        self.syslog.threshold = self._threshold("log_to_syslog", "err_to_syslog")
        if "log_max_recent" in changed:
            log.set_max_recent(config.get_int("log_max_recent"))
        if config.get_str("spirula_log_format") == "json":
            log.format_line = json_line
        elif config.get_bool("log_coarse_timestamps"):
            log.format_line = human_line
        else:
            log.format_line = human_line_fine
        if changed & {"log_file", "log_to_file"}:
            self._set_file(config.get_str("log_file") if config.get_bool("log_to_file") else "")

    def _set_file(self, path: str) -> None:
        if self.file is not None:
            self.log.sinks.remove(self.file)
            self.file.close()
            self.file = None
        self.log.file_name = path
        if path:
            self.file = FileSink(path, owner=self.owner)
            self.log.sinks.append(self.file)

    def _on_levels(self, changed: frozenset[str]) -> None:
        for name in changed:
            log, gather = parse_levels(self.config.get_str(name))
            self.log.set_level(name.removeprefix("debug_"), log, gather)

    def close(self) -> None:
        """Writes everything out and stops watching the configuration."""
        self.config.unobserve(self._on_change)
        self.config.unobserve(self._on_levels)
        self.log.flush()
        if self.file is not None:
            self.file.close()


def start_log(
    config: Config, *, owner: tuple[int, int] | None = None, reopen_on_hangup: bool = False
) -> tuple[Log, LogOutput]:
    """A log that writes where `config` says. `reopen_on_hangup` installs a SIGHUP handler, for
    daemons without an event loop of their own to do it.
    """
    log = Log(time.time, threading.get_ident)
    output = LogOutput(log, config, owner=owner)
    if reopen_on_hangup:
        signal.signal(signal.SIGHUP, lambda number, frame: log.reopen())
    return log, output


def dump_on_crash(log: Log, config: Config | None = None) -> None:
    """When an exception ends the process, the log gets it and the recent entries before it.

    With `config`, a report of the crash is left in `crash_dir`, too.
    """
    previous = sys.excepthook

    def on_crash(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, Exception):
            crash = log.logger("none")
            for line in "".join(traceback.format_exception(kind, error, trace)).splitlines():
                crash.error("%s", line)
            log.dump_recent()
            if config is not None:
                recent = [log.format_line(entry) for entry in log.recent]
                left = leave_report(config, error, log.now(), recent)
                crash.error("%s", f"a report is in {left}" if left else "no report can be left")
                log.flush()
        previous(kind, error, trace)

    sys.excepthook = on_crash
