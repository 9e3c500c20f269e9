"""Starts daemons of a cluster as they are asked for: `python -m tests.thrash.launcher DIRECTORY`.

It has loaded what daemons need, so that each start is a fork. Reads one daemon's name a line and
answers with its pid; `mkfs osd.3 UUID` makes a store; a last word `@ns` names the network namespace
to be in. Ends with its input; the daemons go on.
"""

from __future__ import annotations

import ctypes
import sys
from functools import partial
from pathlib import Path

from spirula.cli import mgr, mon, osd
from spirula.cluster import processes
from spirula.cluster.layout import Layout

_MAIN = {"mgr": mgr.main, "mon": mon.main, "osd": osd.main}


def _inside(namespace: str, run: processes.Run, argv: list[str]) -> int:
    with Path("/run/netns", namespace).open() as file:
        assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0) == 0
    return run(argv)


def main() -> None:
    """Serve."""
    layout = Layout(Path(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        namespace = words.pop()[1:] if words[-1].startswith("@") else ""
        making = words[0] == "mkfs"
        daemon = words[1] if making else words[0]
        kind, _, name = daemon.partition(".")
        argv = ["-i", name, "-c", str(layout.conf)]
        if making:
            argv += ["--mkfs", "--osd-uuid", words[2]]
            pid = processes.run_beside(layout, daemon, _MAIN[kind], argv)
            print(processes.reap(pid), flush=True)
        else:
            run = partial(_inside, namespace, _MAIN[kind]) if namespace else _MAIN[kind]
            print(processes.start(layout, daemon, run, argv), flush=True)


if __name__ == "__main__":
    main()
