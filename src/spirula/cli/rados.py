"""`spirula rados`: objects from the command line, as upstream's `rados` does it.

Sub-commands, output, complaints and exit codes are upstream's (`src/tools/rados/rados.cc`); which
of them there are, `--help` tells. What each does stands in `rados_objects`, `rados_pool`,
`rados_copy`, `rados_bench`, `rados_load`, `rados_stats`, `rados_tiers`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from errno import EINVAL
from pathlib import Path

from spirula.cli import (
    rados_bench,
    rados_copy,
    rados_load,
    rados_objects,
    rados_pool,
    rados_stats,
    rados_tiers,
)
from spirula.cli.rados_context import Context, Failed, Usage
from spirula.cli.rados_options import BadOption, make_parser, read_values
from spirula.conf.load import load
from spirula.errors import CephError
from spirula.rados.aio import Cluster
from spirula.rados.errors import Error
from spirula.rados.settings import Settings
from spirula.types.pg import PGId

Run = Callable[[Context], Awaitable[None]]

COMMANDS: dict[str, tuple[Run, str]] = {
    "lspools": (rados_pool.lspools, "names of the pools"),
    "cppool": (rados_copy.cppool, "POOL TARGET: copy the objects of a pool"),
    "purge": (
        rados_copy.purge,
        f"POOL {rados_copy.VERY_SURE}: remove all its objects",
    ),
    "df": (rados_stats.df, "what pools hold, and how full the cluster is"),
    "ls": (rados_objects.ls, "names of the objects"),
    "get": (rados_objects.get, "OBJECT FILE: fetch an object"),
    "put": (rados_objects.put, "OBJECT FILE [--offset BYTES]: write an object"),
    "append": (rados_objects.append, "OBJECT FILE: write behind an object's end"),
    "truncate": (rados_objects.truncate, "OBJECT SIZE"),
    "create": (rados_objects.create, "OBJECT: make an empty object"),
    "rm": (rados_objects.rm, "OBJECT... [--force-full]: remove objects"),
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
    "bench": (rados_bench.bench, "SECONDS write|seq|rand: how fast a pool is"),
    "cleanup": (rados_bench.cleanup, "remove what benchmarks left"),
    "load-gen": (rados_load.load_gen, "make load on the cluster"),
    "watch": (rados_pool.watch, "OBJECT: tell of notifications, until enter is pressed"),
    "notify": (rados_pool.notify, "OBJECT MESSAGE"),
    "listwatchers": (rados_pool.listwatchers, "OBJECT"),
    "set-redirect": (rados_tiers.set_redirect, "OBJECT [TARGET]: have it stand for another"),
    "set-chunk": (rados_tiers.set_chunk, "OBJECT OFFSET LENGTH TARGET ITS-OFFSET"),
    "tier-promote": (rados_tiers.tier_promote, "OBJECT"),
    "unset-manifest": (rados_tiers.unset_manifest, "OBJECT"),
    "tier-flush": (rados_tiers.tier_flush, "OBJECT"),
    "tier-evict": (rados_tiers.tier_evict, "OBJECT"),
    "export": (rados_copy.export, "[FILE]: write all objects to a file"),
    "import": (rados_copy.import_, "[--dry-run] [--no-overwrite] FILE: read them from it"),
    "lock": (rados_pool.lock, "get|info|break OBJECT LOCK, list OBJECT, break OBJECT LOCK CLIENT"),
    "list-inconsistent-pg": (rados_stats.list_inconsistent_pg, "POOL"),
    "list-inconsistent-obj": (rados_stats.list_inconsistent_obj, "PG"),
    "list-inconsistent-snapset": (rados_stats.list_inconsistent_snapset, "PG"),
    "cache-flush": (rados_tiers.cache_flush, "OBJECT"),
    "cache-try-flush": (rados_tiers.cache_try_flush, "OBJECT"),
    "cache-evict": (rados_tiers.cache_evict, "OBJECT"),
    "cache-flush-evict-all": (rados_tiers.cache_flush_evict_all, ""),
    "cache-try-flush-evict-all": (rados_tiers.cache_try_flush_evict_all, ""),
}
_NO_POOL = frozenset(
    {
        "lspools",
        "df",
        "cppool",
        "purge",
        "list-inconsistent-pg",
        "list-inconsistent-obj",
        "list-inconsistent-snapset",
    }
)
_BAD_OPTION = 234
"""What a shell sees of upstream's -EINVAL for an option's value."""


async def _run(context: Context, settings: Settings, name: str) -> None:
    async with Cluster(settings) as cluster:
        context.cluster = cluster
        args = context.args
        if args.create:
            if args.pool is None:
                raise Failed("--create-pool requested but pool_name was not specified!")
            with context.failing(f"error creating pool {args.pool}"):
                await cluster.create_pool(args.pool)
        if args.pgid is not None:
            context.pgid = await _pgid(cluster, args.pgid, args.pool)
        if args.pool is not None:
            with context.failing(f"error opening pool {args.pool}"):
                context.open(await cluster.open_ioctx(args.pool))
        elif context.pgid is not None:
            pool = context.pgid.pool
            with context.failing(f"error opening pool with id {pool}"):
                context.open(await cluster.open_ioctx(pool))
        elif name not in _NO_POOL:
            raise Usage("pool name was not specified")
        if args.pool is not None:
            context.choose_snapshot()
        await COMMANDS[name][0](context)


async def _pgid(cluster: Cluster, text: str, pool: str | None) -> PGId:
    try:
        found = PGId.parse(text)
    except ValueError:
        raise Failed("invalid pgid") from None
    if pool is not None and await cluster.pool_lookup(pool) != found.pool:
        raise Failed("invalid pgid")
    return found


def main(argv: list[str]) -> int:
    """Run one command: 0, or 1 with a complaint."""
    parser = make_parser({name: text for name, (_, text) in COMMANDS.items()})
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
    name, *rest = words
    context = Context(args, rest)
    try:
        read_values(args)
        if args.obj_name_file is not None:
            context.words.insert(0, _content(args.obj_name_file))
        asyncio.run(_run(context, Settings.of(loaded.config), name))
    except BadOption as bad:
        print(bad, file=sys.stderr)
        return _BAD_OPTION
    except Failed as failed:
        if str(failed):
            context.complain(str(failed))
        return 1
    except Usage as usage:
        print(f"{name}: {usage} (-h or --help for usage)", file=sys.stderr)
        return 1
    except Error as error:
        raise CephError.from_errno(error.errno or EINVAL, _plain(error)) from error
    finally:
        context.out.flush()
    return 0


def _content(path: str) -> str:
    """A name that stands in a file, byte for byte."""
    try:
        return Path(path).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise Failed(f"can't open {path}: ({error.errno}) {error.strerror}") from error


def _plain(error: Error) -> str:
    """What happened, without the number, which is told anyway."""
    cause = error.__cause__
    if isinstance(cause, CephError) and cause.message:
        return cause.message
    return os.strerror(error.errno) if error.errno else str(error)
