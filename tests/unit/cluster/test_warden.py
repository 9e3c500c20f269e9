"""Who ends the cluster of a test that is over, or was killed."""

from __future__ import annotations

import signal
import subprocess
import sys

from spirula.cluster import processes
from spirula.cluster.create import create
from spirula.testing import warden

NOBODY = (1 << 22) + 1
"""More than the kernel gives."""


def test_all_daemons_are_ended_although_one_has_just_gone(tmp_path, monkeypatch):
    folder = tmp_path / "test"
    folder.mkdir()
    create(folder / "cluster", 2)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as runs:
        found = {"mon.a": NOBODY, "mon.b": runs.pid}
        monkeypatch.setattr(processes, "running", lambda layout: found)
        warden.end(folder)
        assert runs.wait(60) == -signal.SIGKILL
    assert not folder.exists()
