"""Starts daemons as processes of their own and ends them.

All are forked from this process once everything that they need has been imported: a daemon starts
in milliseconds, and daemons share the memory of the code. A daemon that was started by hand
(`spirula mon -i a ...`) is known by its pid file as well.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from spirula.cluster.layout import Layout
from spirula.errors import TimedOut

Run = Callable[[list[str]], int]
"""What a daemon does with its arguments; gives the exit status."""
_POLL_S = 0.02
_KEPT_FD, _ALL_FDS = 3, 1024
_FLAGS, _THREADS, _PENDING = 6, 17, 28
"""Places in what `_stat` gives."""
_EXITING = 0x4
"""The kernel's PF_EXITING."""


def read_pid(path: Path) -> int | None:
    """The live process that a pid file names; None if there is none (any more)."""
    try:
        pid = int(path.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return None if _is_zombie(pid) else pid


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


def _stat(pid: int) -> list[str]:
    """What proc(5) says in `stat` behind the name, from the state on; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def wait_killed(layout: Layout, timeout_s: float = 5.0) -> None:
    """Return when daemons that were killed are gone.

    For a moment they seem to run, and hold their stores: who starts others then finds them ended.
    """
    deadline = time.monotonic() + timeout_s
    for daemon in layout.daemons():
        with contextlib.suppress(OSError, ValueError):
            pid = int(layout.pid_file(daemon).read_text())
            while _is_ending(pid) and time.monotonic() < deadline:
                time.sleep(_POLL_S)


def _is_ending(pid: int) -> bool:
    """Whether a process was killed and is not gone, with all its threads."""
    fields = _stat(pid)
    if not fields:
        return False
    if fields[0] == "Z":
        return int(fields[_THREADS]) > 1
    return bool(int(fields[_FLAGS]) & _EXITING or int(fields[_PENDING]) >> signal.SIGKILL - 1 & 1)


def running(layout: Layout) -> dict[str, int]:
    """The pids of the cluster's daemons that run."""
    found = {daemon: read_pid(layout.pid_file(daemon)) for daemon in layout.daemons()}
    return {daemon: pid for daemon, pid in found.items() if pid is not None}


def start(layout: Layout, daemon: str, run: Run, argv: Sequence[str]) -> int:
    """Fork a daemon; its error output goes to its log. Returns the pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()
    pid = os.fork()
    if pid:
        layout.pid_file(daemon).write_text(f"{pid}\n")
        return pid
    status = 1
    try:
        _become_daemon(layout, daemon)
        status = run(list(argv))
    except BaseException:  # noqa: BLE001 - the end of a process: there is nobody to raise it to
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)
    raise AssertionError("a forked process goes nowhere else")


def run_beside(layout: Layout, daemon: str, run: Run, argv: Sequence[str]) -> int:
    """Fork a process that does something and ends, such as making a store; its pid, for `reap`."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _become_daemon(layout, daemon)
        status = run(list(argv))
    except BaseException:  # noqa: BLE001 - the end of a process: there is nobody to raise it to
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)
    raise AssertionError("a forked process goes nowhere else")


def reap(pid: int) -> int:
    """Wait for what `run_beside` started; its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become_daemon(layout: Layout, daemon: str) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    errors = os.open(layout.log_file(daemon), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    os.closerange(_KEPT_FD, _ALL_FDS)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"spirula-{daemon}"[:15])


def stop(layout: Layout, timeout_s: float = 10.0) -> list[str]:
    """End all daemons of the cluster, the youngest kind first; those that had to be killed.

    TimedOut if one is still there afterwards (it hangs in the kernel).
    """
    pids = running(layout)
    stubborn: list[str] = []
    # Monitors last: OSDs tell them that they end.
    for kind in ("mgr", "osd", "mon"):
        ours = {daemon: pid for daemon, pid in pids.items() if daemon.startswith(kind)}
        for pid in ours.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        stubborn += _wait_gone(layout, ours, timeout_s)
    for daemon in stubborn:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids[daemon], signal.SIGKILL)
    left = _wait_gone(layout, {daemon: pids[daemon] for daemon in stubborn}, timeout_s)
    if left:
        raise TimedOut(f"{', '.join(left)} cannot be ended")
    for daemon in layout.daemons():
        layout.pid_file(daemon).unlink(missing_ok=True)
    return stubborn


def _wait_gone(layout: Layout, pids: dict[str, int], timeout_s: float) -> list[str]:
    deadline = time.monotonic() + timeout_s
    left = dict(pids)
    while left and time.monotonic() < deadline:
        for daemon, pid in list(left.items()):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if read_pid(layout.pid_file(daemon)) != pid:
                del left[daemon]
        if left:
            time.sleep(_POLL_S)
    return list(left)
