"""`spirula up`: makes a cluster in one directory if there is none, and starts what does not run.

spirula up --dir D --mons 3 --osds 3 --mgrs 2
ceph -c D/ceph.conf -s

The other commands for such clusters are in `cluster`.
"""

from __future__ import annotations

import importlib
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from spirula.cli.cluster import make_parser
from spirula.cli.credentials import find_key
from spirula.cluster import processes, ready
from spirula.cluster.create import create
from spirula.cluster.layout import Layout
from spirula.conf.load import load
from spirula.errors import CephError, InputOutput, InvalidArgument, NotFound


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
    parser = make_parser(
        "up",
        "Start a cluster on this machine. Everything is kept in one directory: started again on\n"
        "the same one, after `down` or a crash, it has all its state.",
        "Then: export CEPH_CONF=D/ceph.conf; ceph -s",
    )
    parser.add_argument("--mons", type=int, metavar="N", help="monitors (default: 1)")
    parser.add_argument("--osds", type=int, metavar="N", help="OSDs (default: 3)")
    parser.add_argument("--mgrs", type=int, metavar="N", help="managers (default: 1)")
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
    layout = _find_or_create(directory, args, _settings(args.option))
    processes.wait_killed(layout)
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
        _start(layout, [daemon for daemon in started if daemon.startswith("mgr.")])
        ready.wait_osds(layout, args.timeout, tell)
        ready.wait_manager(layout, args.timeout, tell)
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


_OSDS, _MGRS = 3, 1


def _main_of(kind: str) -> processes.Run:
    """What runs a daemon. Loaded when it is started: what OSDs need is no part of monitors."""
    run: processes.Run = importlib.import_module(f"spirula.cli.{kind}").main
    return run


def _start(layout: Layout, daemons: list[str]) -> None:
    for daemon in daemons:
        kind, _, name = daemon.partition(".")
        arguments = ["-i", name, "-c", str(layout.conf)]
        processes.start(layout, daemon, _main_of(kind), arguments)


def _make_stores(layout: Layout) -> dict[str, int]:
    """Make stores that are not there yet, beside whatever goes on; who does it."""
    made = {}
    for place in layout.osds:
        daemon = f"osd.{place.number}"
        if not (layout.directory / daemon / "ready").exists():
            arguments = ["-i", str(place.number), "-c", str(layout.conf), "--mkfs"]
            arguments += ["--osd-uuid", place.uuid]
            made[daemon] = processes.run_beside(layout, daemon, _main_of("osd"), arguments)
    return made


def _find_or_create(directory: Path, args: Namespace, settings: dict[str, str]) -> Layout:
    mons, osds, mgrs = args.mons, args.osds, args.mgrs
    try:
        layout = Layout.load(directory)
    except NotFound:
        return create(
            directory,
            1 if mons is None else mons,
            settings,
            osds=_OSDS if osds is None else osds,
            mgrs=_MGRS if mgrs is None else mgrs,
        )
    if osds is not None and osds != len(layout.osds):
        raise InvalidArgument(
            f"the cluster in {directory} has {len(layout.osds)} OSDs, not {osds}: "
            "docs/guide/osds.md tells how to add one"
        )
    if mgrs is not None and mgrs != len(layout.mgrs):
        raise InvalidArgument(
            f"the cluster in {directory} has {len(layout.mgrs)} managers, not {mgrs}: "
            "docs/guide/managers.md tells how to add one"
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
