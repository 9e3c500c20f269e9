"""`spirula rados`: objects from the command line, as upstream's `rados` does it.

Sub-commands, output, complaints and exit codes are upstream's (`src/tools/rados/rados.cc`); which
of them there are, `--help` tells. What each does to objects is in `rados_objects`, what it says of
snapshots and locks in `rados_pool`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from spirula.cli import rados_objects, rados_pool
from spirula.cli.rados_context import Context, Failed, Usage
from spirula.conf.load import load
from spirula.errors import CephError
from spirula.rados.aio import Cluster
from spirula.rados.errors import Error
from spirula.rados.settings import Settings

Run = Callable[[Context], Awaitable[None]]

COMMANDS: dict[str, tuple[Run, str]] = {
    "lspools": (rados_pool.lspools, "names of the pools"),
    "ls": (rados_objects.ls, "names of the objects"),
    "get": (rados_objects.get, "OBJECT FILE: fetch an object"),
    "put": (rados_objects.put, "OBJECT FILE: write an object"),
    "append": (rados_objects.append, "OBJECT FILE: write behind an object's end"),
    "truncate": (rados_objects.truncate, "OBJECT SIZE"),
    "create": (rados_objects.create, "OBJECT: make an empty object"),
    "rm": (rados_objects.rm, "OBJECT...: remove objects"),
    "cp": (rados_objects.cp, "OBJECT [TARGET]: copy an object"),
    "touch": (rados_objects.touch, "OBJECT [SECONDS]: set when it changed"),
    "stat": (rados_objects.stat, "OBJECT: size and time of change"),
    "stat2": (rados_objects.stat2, "OBJECT: the same, to the nanosecond"),
    "mapext": (rados_objects.mapext, "OBJECT: where there is data"),
    "set-alloc-hint": (rados_objects.set_alloc_hint, "OBJECT SIZE WRITE-SIZE"),
    "listxattr": (rados_objects.listxattr, "OBJECT"),
    "getxattr": (rados_objects.getxattr, "OBJECT NAME"),
    "setxattr": (rados_objects.setxattr, "OBJECT NAME VALUE"),
    "rmxattr": (rados_objects.rmxattr, "OBJECT NAME"),
    "listomapkeys": (rados_objects.listomapkeys, "OBJECT"),
    "listomapvals": (rados_objects.listomapvals, "OBJECT"),
    "getomapval": (rados_objects.getomapval, "OBJECT KEY [FILE]"),
    "setomapval": (rados_objects.setomapval, "OBJECT KEY VALUE, or --input-file FILE"),
    "rmomapkey": (rados_objects.rmomapkey, "OBJECT KEY"),
    "clearomap": (rados_objects.clearomap, "OBJECT..."),
    "getomapheader": (rados_objects.getomapheader, "OBJECT [FILE]"),
    "setomapheader": (rados_objects.setomapheader, "OBJECT VALUE"),
    "lssnap": (rados_pool.lssnap, "snapshots of the pool"),
    "mksnap": (rados_pool.mksnap, "NAME: make a snapshot of the pool"),
    "rmsnap": (rados_pool.rmsnap, "NAME: remove a snapshot of the pool"),
    "rollback": (rados_pool.rollback, "OBJECT SNAPSHOT"),
    "listsnaps": (rados_pool.listsnaps, "OBJECT: its clones"),
    "lock": (rados_pool.lock, "get|info|break OBJECT LOCK, list OBJECT, break OBJECT LOCK CLIENT"),
    "listwatchers": (rados_pool.listwatchers, "OBJECT"),
    "notify": (rados_pool.notify, "OBJECT MESSAGE"),
}
_NO_POOL = frozenset({"lspools"})


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="spirula rados",
        usage="spirula rados [options] COMMAND ...",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Objects of a Ceph or Spirula cluster. Options of the configuration\n"
        "(-c, -n, -m, --keyring, --NAME VALUE) are taken as well.",
        epilog=f"commands:\n{listing}",
    )
    parser.add_argument("-p", "--pool", help="the pool, by name")
    parser.add_argument("-N", "--namespace", default="", help="look in this namespace")
    parser.add_argument("-A", "--all", action="store_true", help="ls: of all namespaces")
    parser.add_argument("-s", "--snap", metavar="NAME", help="read at this snapshot of the pool")
    parser.add_argument("--object-locator", default="", metavar="KEY", help="place objects by it")
    parser.add_argument("--target-pool", metavar="POOL", help="cp: where to")
    parser.add_argument("--offset", type=int, default=0, help="put: where to begin")
    parser.add_argument("-b", "--block-size", type=int, default=4 << 20, help="bytes at a time")
    parser.add_argument("--input-file", metavar="FILE", help="setomapval: the value")
    parser.add_argument("--lock-cookie", default="", metavar="TEXT")
    parser.add_argument("--lock-tag", default="", metavar="TEXT")
    parser.add_argument("--lock-type", default="exclusive", metavar="exclusive|shared")
    parser.add_argument("--lock-description", default="", metavar="TEXT")
    parser.add_argument("--lock-duration", type=float, default=0, metavar="SECONDS")
    return parser


async def _run(context: Context, settings: Settings, name: str) -> None:
    async with Cluster(settings) as cluster:
        context.cluster = cluster
        pool = context.args.pool
        if pool is not None:
            try:
                context.open(await cluster.open_ioctx(pool))
            except Error as error:
                raise Failed(f"error opening pool {pool}: {context.reason(error)}") from error
            await context.choose_snapshot()
        elif name not in _NO_POOL:
            raise Usage("pool name was not specified")
        await COMMANDS[name][0](context)


def main(argv: list[str]) -> int:
    """Run one command: 0, or 1 with a complaint."""
    parser = _parser()
    if not argv or "-h" in argv or "--help" in argv:
        parser.print_help()
        return 0 if argv else 1
    # Ours first: -p, -s and others mean something else to daemons, and the configuration knows it.
    args, others = parser.parse_known_args(argv)
    loaded = load(others, defaults={"log_to_stderr": "false"})
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    words = loaded.args.rest
    if not words or words[0] not in COMMANDS:
        named = f"unrecognized command {words[0]}" if words else "no command"
        print(f"{named}; -h or --help for usage", file=sys.stderr)
        return 1
    context = Context(args, words[1:])
    try:
        asyncio.run(_run(context, Settings.of(loaded.config), words[0]))
    except Failed as failed:
        if str(failed):
            context.complain(str(failed))
        return 1
    except Usage as usage:
        print(f"{words[0]}: {usage} (-h or --help for usage)", file=sys.stderr)
        return 1
    except Error as error:
        raise CephError.from_errno(error.errno or 22, _plain(error)) from error
    finally:
        context.out.flush()
    return 0


def _plain(error: Error) -> str:
    """What happened, without the number, which is told anyway."""
    cause = error.__cause__
    if isinstance(cause, CephError) and cause.message:
        return cause.message
    return os.strerror(error.errno) if error.errno else str(error)
