"""What the daemons' verbs (`spirula mon`, `osd`, `mgr`) share when they serve.

The log and its signals, the end and who asks for it, bugs that nobody catches, the admin socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from spirula.cli.host import allow_many_files
from spirula.conf import version
from spirula.conf.admin_builtin import register_builtin
from spirula.conf.admin_commands import CommandTable
from spirula.conf.admin_server import AdminSocket
from spirula.conf.config import Config
from spirula.conf.log import Log, Logger
from spirula.conf.log_output import dump_on_crash, start_log
from spirula.conf.perf import PerfCollection
from spirula.kernels.report import implementations


@contextmanager
def serving(config: Config) -> Iterator[Log]:
    """A process that is a daemon: with its log, which SIGHUP opens anew, and many open files."""
    log, output = start_log(config)
    dump_on_crash(log, config)
    signal.signal(signal.SIGABRT, _on_abort)
    allow_many_files()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, log.reopen)
    try:
        yield log
    finally:
        output.close()


class Aborted(Exception):
    """Somebody has sent SIGABRT, to see what a daemon does and how it crashes."""


def _on_abort(number: int, frame: FrameType | None) -> None:
    """Leaves what a crash leaves, and ends."""
    trace: TracebackType | None = None
    while frame is not None:
        trace = TracebackType(trace, frame, frame.f_lasti, max(frame.f_lineno, 1))
        frame = frame.f_back
    sys.excepthook(Aborted, Aborted("SIGABRT").with_traceback(trace), trace)
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    os.abort()


class Ending:
    """The end of a daemon on the running loop: SIGTERM and SIGINT, or whoever asks first.

    `reason` is empty if the end was asked for by a signal; `again` if it is to begin anew.
    """

    def __init__(self, logger: Logger, *, bugs_end: bool = False) -> None:
        self.reason = ""
        self.again = False
        self._logger = logger
        self._bugs_end = bugs_end
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        loop.set_exception_handler(self._on_bug)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, "")

    def stop(self, reason: str) -> None:
        """Ends the daemon, and with a reason as failed."""
        if not self._ended.done():
            if reason:
                self._logger(0, "%s", reason)
            self.reason = reason
            self._ended.set_result(None)

    def restart(self, reason: str) -> None:
        """Ends the daemon, to begin anew."""
        if not self._ended.done():
            self.again = True
            self.stop(reason)

    async def after(self, start: Coroutine[Any, Any, None]) -> None:
        """Wait for the end of a daemon that `start` starts. Raises what the start raises.

        A start that is under way does not keep it from ending.
        """
        starting = asyncio.create_task(start)
        starting.add_done_callback(self._started)
        try:
            await self._ended
        finally:
            starting.cancel()

    def _started(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._ended.done():
            self._ended.set_exception(error)

    def _on_bug(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback of the loop raises is known to nobody else."""
        error = context.get("exception")
        if self._bugs_end and isinstance(error, Exception) and not isinstance(error, OSError):
            # What is in memory is not to be trusted any more, what is on disk is.
            sys.excepthook(type(error), error, error.__traceback__)
            self.stop(f"ended by a bug: {error!r}")
            return
        lines = traceback.format_exception(error) if error else [str(context.get("message"))]
        for line in "".join(lines).splitlines():
            self._logger(-1, "%s", line)


async def open_admin_socket(
    table: CommandTable, config: Config, log: Log, perf: PerfCollection
) -> AdminSocket | None:
    """The socket for `ceph daemon`, with the commands that all daemons have; None if unwanted."""
    register_builtin(table, config=config, log=log, perf=perf, version=version.daemon_version())
    if not config.get_str("admin_socket"):
        return None
    admin = AdminSocket(config.get_str("admin_socket"), table)
    Path(admin.path).parent.mkdir(parents=True, exist_ok=True)
    await admin.start()
    return admin


def kernels_in_use() -> str:
    """For the log: which kernels are compiled here."""
    return ", ".join(f"{name} {twin}" for name, twin in sorted(implementations().items()))
