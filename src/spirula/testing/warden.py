"""Ends a test's cluster when the test is over, however it ends: `python -m spirula.testing.warden`.

Its standard input is a pipe from the test's process. When that closes, because the test says so or
because its process is no more, the cluster is ended and its folder removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from spirula.cluster import processes
from spirula.cluster.layout import Layout
from spirula.errors import CephError

_PATIENCE_S = 5.0


def main(folder: str) -> int:
    """Wait for the pipe to close, then clean up."""
    # Whoever interrupts a test interrupts its process; we are to see that through.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    end(Path(folder))
    return 0


def end(folder: Path) -> None:
    """End the cluster in a folder and remove both; also one that is just coming up."""
    deadline = time.monotonic() + _PATIENCE_S
    while folder.exists():
        try:
            layout = Layout.load(folder / "cluster")
            for pid in processes.running(layout).values():
                with contextlib.suppress(ProcessLookupError):  # the others are to go as well
                    os.kill(pid, signal.SIGKILL)
        except (CephError, OSError):
            pass  # not made yet, or gone already
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
