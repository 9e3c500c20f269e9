"""Starts daemons of a cluster as they are asked for: `python -m tests.thrash.launcher DIRECTORY`.

It has loaded what daemons need, so that each start is a fork. Reads one daemon's name a line and
answers with its pid; `mkfs osd.3 UUID` makes a store. Ends with its input; the daemons go on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spirula.cli import mon, osd
from spirula.cluster import processes
from spirula.cluster.layout import Layout

_MAIN = {"mon": mon.main, "osd": osd.main}


def main() -> None:
    """Serve."""
    layout = Layout.load(Path(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        making = words[0] == "mkfs"
        daemon = words[1] if making else words[0]
        kind, _, name = daemon.partition(".")
        argv = ["-i", name, "-c", str(layout.conf)]
        if making:
            argv += ["--mkfs", "--osd-uuid", words[2]]
            pid = processes.run_beside(layout, daemon, _MAIN[kind], argv)
            print(processes.reap(pid), flush=True)
        else:
            print(processes.start(layout, daemon, _MAIN[kind], argv), flush=True)


if __name__ == "__main__":
    main()
