"""`spirula up`, `down`, `status` and `logs`: a cluster on this machine, in one directory.

spirula up --dir D --mons 3 --osds 3
ceph -c D/ceph.conf -s
spirula down --dir D
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from spirula.cli import mon, osd
from spirula.cli.credentials import find_key
from spirula.cluster import processes, ready
from spirula.cluster.create import create
from spirula.cluster.layout import Layout
from spirula.conf.load import load
from spirula.errors import CephError, InputOutput, InvalidArgument, NotFound

DEFAULT_DIR = "spirula-cluster"
_FOLLOW_S = 0.2


def _parser(name: str, about: str, epilog: str = "") -> argparse.ArgumentParser:
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


def _settings(words: list[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip() or "\n" in word:
            raise InvalidArgument(f"-o {word!r} is not OPTION=VALUE")
        settings[name.strip()] = value.strip()
    return settings


def up(argv: list[str]) -> int:
    """`spirula up`: make a cluster if there is none, start what does not run, wait for it."""
    parser = _parser(
        "up",
        "Start a cluster on this machine. Everything is kept in one directory: started again on\n"
        "the same one, after `down` or a crash, it has all its state.",
        "Then: export CEPH_CONF=D/ceph.conf; ceph -s",
    )
    parser.add_argument("--mons", type=int, metavar="N", help="monitors (default: 1)")
    parser.add_argument("--osds", type=int, metavar="N", help="OSDs (default: 3)")
    parser.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="a setting for the [global] section of a new cluster's ceph.conf; repeatable",
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="give up after so many seconds"
    )
    args = parser.parse_args(argv)
    began = time.monotonic()
    directory = args.dir.absolute()
    layout = _find_or_create(directory, args.mons, args.osds, _settings(args.option))
    running = processes.running(layout)
    started = [daemon for daemon in layout.daemons() if daemon not in running]
    tell = _progress()
    try:
        _start(layout, [daemon for daemon in started if daemon.startswith("mon.")])
        made = _make_stores(layout)
        ready.wait_quorum(layout, args.timeout, tell)
        key = find_key(load(["-c", str(layout.conf), "--name", "client.admin"]).config)
        ready.wait_served(layout, key, args.timeout)
        for daemon, pid in made.items():
            if processes.reap(pid):
                raise InputOutput(f"the store of {daemon} cannot be made: see its log")
        _start(layout, [daemon for daemon in started if daemon.startswith("osd.")])
        ready.wait_osds(layout, args.timeout, tell)
    except CephError:
        for daemon in started:
            print(f"{daemon}: {ready.last_words(layout, daemon, 1)}", file=sys.stderr)
        raise
    finally:
        tell("")
    took = time.monotonic() - began
    what = f"{len(started)} of {len(layout.daemons())} daemons started" if started else "runs"
    print(f"up: {what}, answers after {took:.1f} s")
    print(f"    export CEPH_CONF={layout.conf}")
    return 0


_RUN: dict[str, processes.Run] = {"mon": mon.main, "osd": osd.main}
_OSDS = 3


def _start(layout: Layout, daemons: list[str]) -> None:
    for daemon in daemons:
        kind, _, name = daemon.partition(".")
        arguments = ["-i", name, "-c", str(layout.conf)]
        processes.start(layout, daemon, _RUN[kind], arguments)


def _make_stores(layout: Layout) -> dict[str, int]:
    """Make stores that are not there yet, beside whatever goes on; who does it."""
    made = {}
    for place in layout.osds:
        daemon = f"osd.{place.number}"
        if not (layout.directory / daemon / "ready").exists():
            arguments = ["-i", str(place.number), "-c", str(layout.conf), "--mkfs"]
            arguments += ["--osd-uuid", place.uuid]
            made[daemon] = processes.run_beside(layout, daemon, osd.main, arguments)
    return made


def _find_or_create(
    directory: Path, mons: int | None, osds: int | None, settings: dict[str, str]
) -> Layout:
    try:
        layout = Layout.load(directory)
    except NotFound:
        count = _OSDS if osds is None else osds
        return create(directory, 1 if mons is None else mons, settings, osds=count)
    if osds is not None and osds != len(layout.osds):
        raise InvalidArgument(
            f"the cluster in {directory} has {len(layout.osds)} OSDs, not {osds}: "
            "docs/guide/osds.md tells how to add one"
        )
    if mons is not None and mons != len(layout.mons):
        raise InvalidArgument(
            f"the cluster in {directory} has {len(layout.mons)} monitors, not {mons}: "
            "`ceph mon add` and `rm` change that"
        )
    if settings:
        raise InvalidArgument(
            f"the cluster in {directory} is there already: use `ceph config set` or edit "
            f"{layout.conf}"
        )
    return layout


def _progress() -> Callable[[str], None]:
    """Shows one line that changes, where somebody watches."""
    if not sys.stderr.isatty():
        return lambda text: None

    def tell(text: str) -> None:
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    return tell


def down(argv: list[str]) -> int:
    """`spirula down`: end all daemons of a cluster."""
    parser = _parser("down", "End the daemons of a cluster. Its data stays, for the next `up`.")
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
    parser = _parser(
        "status", "Show a cluster's daemons and its status; 1 if something does not run."
    )
    parser.add_argument("-f", "--format", choices=("plain", "json"), default="plain")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S")
    args = parser.parse_args(argv)
    layout = Layout.load(args.dir.absolute())
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
    kind, _, name = daemon.partition(".")
    found = None
    if pid:
        is_mon = kind == "mon"
        found = ready.mon_status(layout, name) if is_mon else ready.osd_status(layout, int(name))
    state = found.get("state") if found else None
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
    parser = _parser("logs", "Show the logs of a cluster's daemons, or the cluster's own log.")
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
    ends = {one: _show_tail(one, path, args.lines, len(paths)) for one, path in paths.items()}
    while args.follow:
        time.sleep(_FOLLOW_S)
        for one, path in paths.items():
            ends[one] = _show_from(one, path, ends[one], len(paths))
    return 0


def _show_tail(name: str, path: Path, lines: int, several: int) -> int:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return 0
    _print(name, text.splitlines()[-lines:] if lines > 0 else [], several)
    return path.stat().st_size


def _show_from(name: str, path: Path, start: int, several: int) -> int:
    try:
        with path.open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(start if start <= size else 0)
            _print(name, log.read().decode("utf-8", "replace").splitlines(), several)
            return log.tell()
    except FileNotFoundError:
        return 0


def _print(name: str, lines: list[str], several: int) -> None:
    for line in lines:
        print(f"{name}: {line}" if several > 1 else line)
    sys.stdout.flush()
