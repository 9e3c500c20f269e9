"""What `spirula up` forks monitors from: they keep all that is loaded by then."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
import spirula.cli.mon, spirula.cli.up
heavy = ("spirula.osd", "rocksdict", "lupa")
print(*sorted(name for name in sys.modules if name.startswith(heavy)))
"""


def test_monitors_are_forked_without_what_osds_need():
    ended = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.split() == []
