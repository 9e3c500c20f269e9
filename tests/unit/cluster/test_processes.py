"""Daemons as processes: who runs, and who only seems to."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from spirula.cluster import processes

LARGE = "import time; content = bytearray(200 << 20); print(flush=True); time.sleep(60)"


def layout_of(folder):
    return SimpleNamespace(daemons=lambda: ["mon.a"], pid_file=lambda daemon: folder / daemon)


def test_who_was_killed_is_waited_for_and_who_runs_is_not(tmp_path):
    layout = layout_of(tmp_path)
    processes.wait_killed(layout)
    assert processes.running(layout) == {}
    for _ in range(3):
        # What it has in memory takes the kernel a while to give back, in which it seems to run.
        with subprocess.Popen([sys.executable, "-c", LARGE], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            (tmp_path / "mon.a").write_text(f"{child.pid}\n")
            processes.wait_killed(layout)
            assert processes.running(layout) == {"mon.a": child.pid}
            child.kill()
            processes.wait_killed(layout)
            assert processes.running(layout) == {}
