"""`spirula down`, `status` and `logs`: a cluster on this machine, in one directory.

spirula status --dir D
spirula logs --dir D -f
spirula down --dir D

`up` is in a module of its own: it needs all that daemons are made of, and takes as long to load.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from spirula.cli.credentials import find_key
from spirula.cluster import processes, ready
from spirula.cluster.layout import Layout
from spirula.conf.load import load
from spirula.errors import NotFound

DEFAULT_DIR = "spirula-cluster"
_FOLLOW_S = 0.2


def make_parser(name: str, about: str, epilog: str = "") -> argparse.ArgumentParser:
    """What all of them take: the cluster's directory."""
    parser = argparse.ArgumentParser(
        prog=f"spirula {name}",
        description=about,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(DEFAULT_DIR),
        metavar="D",
        help=f"the cluster's directory (default: {DEFAULT_DIR})",
    )
    return parser


def down(argv: list[str]) -> int:
    """`spirula down`: end all daemons of a cluster."""
    parser = make_parser("down", "End the daemons of a cluster. Its data stays, for the next `up`.")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="kill what still runs after that"
    )
    args = parser.parse_args(argv)
    layout = Layout.load(args.dir.absolute())
    ended = processes.running(layout)
    stubborn = processes.stop(layout, args.timeout)
    for daemon in stubborn:
        print(f"{daemon} did not end by itself and was killed", file=sys.stderr)
    print(f"down: {len(ended)} daemons ended" if ended else "down: nothing ran")
    return 0


def status(argv: list[str]) -> int:
    """`spirula status`: which daemons run, and what the cluster says."""
    parser = make_parser(
        "status", "Show a cluster's daemons and its status; 1 if something does not run."
    )
    parser.add_argument("-f", "--format", choices=("plain", "json"), default="plain")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S")
    args = parser.parse_args(argv)
    layout = Layout.load(args.dir.absolute())
    processes.wait_killed(layout)
    pids = processes.running(layout)
    document = {
        "dir": str(layout.directory),
        "fsid": layout.fsid,
        "conf": str(layout.conf),
        "daemons": [_daemon(layout, daemon, pids.get(daemon)) for daemon in layout.daemons()],
    }
    missing = len(layout.daemons()) - len(pids)
    if args.format == "json":
        print(json.dumps(document, indent=4))
        return 1 if missing else 0
    for daemon in layout.daemons():
        shown = _daemon(layout, daemon, pids.get(daemon))
        print("  ".join(f"{key}={value}" for key, value in shown.items() if value is not None))
    if pids:
        key = find_key(load(["-c", str(layout.conf), "--name", "client.admin"]).config)
        print(ready.wait_served(layout, key, args.timeout), end="")
    return 1 if missing else 0


def _daemon(layout: Layout, daemon: str, pid: int | None) -> dict[str, object]:
    state = ready.state_of(daemon, ready.daemon_status(layout, daemon)) if pid else None
    memory = _resident_kib(pid) if pid else None
    return {
        "name": daemon,
        "state": state or ("starting" if pid else "not running"),
        "pid": pid,
        "resident_kib": memory,
    }


def _resident_kib(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), None)


def logs(argv: list[str]) -> int:
    """`spirula logs`: the end of daemons' logs, and what comes."""
    parser = make_parser("logs", "Show the logs of a cluster's daemons, or the cluster's own log.")
    parser.add_argument(
        "daemon",
        nargs="*",
        help="mon.a, osd.0 ...; `cluster` for the cluster log (default: all daemons)",
    )
    parser.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="the last N lines")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    args = parser.parse_args(argv)
    layout = Layout.load(args.dir.absolute())
    wanted = args.daemon or layout.daemons()
    unknown = [one for one in wanted if one != "cluster" and one not in layout.daemons()]
    if unknown:
        raise NotFound(f"no daemon {unknown[0]}; there are {', '.join(layout.daemons())}")
    paths = {
        one: layout.log / "ceph.cluster.log" if one == "cluster" else layout.log_file(one)
        for one in wanted
    }
    ends = {}
    for one, path in paths.items():
        found, ends[one] = _lines_from(path, 0, with_last=not args.follow)
        _print(one, found[-args.lines :] if args.lines > 0 else [], len(paths))
    while args.follow:
        time.sleep(_FOLLOW_S)
        for one, path in paths.items():
            found, ends[one] = _lines_from(path, ends[one])
            _print(one, found, len(paths))
    return 0


def _lines_from(path: Path, start: int, *, with_last: bool = False) -> tuple[list[str], int]:
    """The lines of a log from a place on, and where they end.

    A line that is still being written comes later, or at once `with_last`. In a new log in the
    place of a longer one all lines are new.
    """
    try:
        with path.open("rb") as log:
            if start > os.fstat(log.fileno()).st_size:
                start = 0
            log.seek(start)
            whole, newline, last = log.read().rpartition(b"\n")
    except FileNotFoundError:
        return [], 0
    shown = whole + newline + last if with_last else whole
    return shown.decode("utf-8", "replace").splitlines(), start + len(whole + newline)


def _print(name: str, lines: list[str], several: int) -> None:
    for line in lines:
        print(f"{name}: {line}" if several > 1 else line)
    sys.stdout.flush()
