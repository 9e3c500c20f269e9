"""The options of `spirula rados`: names and meanings of upstream's `rados`.

They may stand anywhere on the line. What is not here is a word of the command, or an option of the
configuration.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from spirula.conf.formatter import FORMATS
from spirula.conf.values import BadValue, parse_size

DEFAULT_OP_SIZE = 4 << 20
# What upstream calls each of these in its complaints; the value takes K, M, G and so on.
SIZES = {
    "concurrent_ios": "concurrent-ios",
    "block_size": "block-size",
    "object_size": "object-size",
    "max_objects": "max-objects",
    "offset": "offset",
    "snapid": "snapid",
    "min_object_size": "min-object-size",
    "max_object_size": "max-object-size",
    "min_op_len": "min-op-len",
    "max_op_len": "max-op-len",
    "max_ops": "max-ops",
    "max_backlog": "max-backlog",
    "target_throughput": "target-throughput",
    "read_percent": "read-percent",
    "num_objects": "num-objects",
    "run_length": "run-length",
    "offset_align": "offset_align",
}


class BadOption(Exception):
    """An option's value is none."""


def make_parser(commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser; `commands` are told by `--help`."""
    width = max(map(len, commands))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, text in commands.items())
    parser = argparse.ArgumentParser(
        prog="spirula rados",
        usage="spirula rados [options] COMMAND ...",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Objects of a Ceph or Spirula cluster. Options of the configuration\n"
        "(-c, -n, -m, --keyring, --NAME VALUE) are taken as well. Sizes and numbers take\n"
        "K, M, G, T.",
        epilog=f"commands:\n{listing}",
    )
    _add_places(parser.add_argument_group("where"))
    _add_contents(parser.add_argument_group("what"))
    _add_locks(parser.add_argument_group("locks"))
    _add_bench(parser.add_argument_group("bench, cleanup"))
    _add_load(parser.add_argument_group("load-gen"))
    return parser


def _add_places(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-p", "--pool", help="the pool, by name")
    add("-C", "--create", "--create-pool", action="store_true", help="make that pool first")
    add("--pgid", metavar="PG", help="ls: of this PG alone")
    add("-N", "--namespace", metavar="NAME", help="look in this namespace")
    add("-A", "--all", action="store_true", help="ls, cleanup: in all namespaces")
    add("--default", action="store_true", help="ls: in the default one, in spite of --all")
    add("-s", "--snap", metavar="NAME", help="read at this snapshot of the pool")
    add("-S", "--snapid", metavar="ID", help="the same, by its id")
    add("--object-locator", default="", metavar="KEY", help="place objects by it")
    add("--target-pool", metavar="POOL", help="cp, set-redirect, set-chunk: the other object's")
    add("--target-locator", default="", metavar="KEY", help="likewise")
    add("--target-nspace", default="", metavar="NAME", help="likewise")
    add("--obj-name-file", metavar="FILE", help="the object's name, in place of a word")
    add("--striper", action="store_true", help="objects in stripes, as libradosstriper has them")


def _add_contents(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-f", "--format", metavar="FORMAT", help="df, ls, bench, list-inconsistent-*: json, ...")
    add("--pretty-format", action="store_true", help="over several lines")
    add("-o", "--output", metavar="FILE", help="ls, bench: write it there")
    add("--offset", metavar="BYTES", help="put: where to begin")
    add("-b", "--block-size", metavar="BYTES", help="get, put, bench: so much at a time (4 MiB)")
    add("-O", "--object-size", metavar="BYTES", help="bench: size of objects")
    add("--input-file", metavar="FILE", help="setomapval: the value")
    add("--omap-key-file", metavar="FILE", help="getomapval, setomapval, rmomapkey: the key")
    add("--force-full", action="store_true", help="rm: though the cluster is full")
    add("--with-clones", action="store_true", help="cache-*: of all snapshots")
    add("--with-reference", action="store_true", help="set-redirect: the other object knows of it")
    add("--dry-run", action="store_true", help="import: tell what would be done")
    add("--no-overwrite", action="store_true", help="import: leave what is there")
    add("--workers", metavar="N", help="taken, as by upstream, and of no meaning")
    add("-d", "--delete-after", action="store_true", help=argparse.SUPPRESS)


def _add_locks(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--lock-cookie", default="", metavar="TEXT")
    add("--lock-tag", default="", metavar="TEXT")
    add("--lock-type", default="exclusive", metavar="exclusive|shared")
    add("--lock-description", default="", metavar="TEXT")
    add("--lock-duration", type=float, default=0, metavar="SECONDS")


def _add_bench(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-t", "--concurrent-ios", default="16", metavar="N", help="so many at a time (16)")
    add("--max-objects", default="0", metavar="N", help="write no more than so many")
    add("--no-cleanup", action="store_true", help="leave the objects, for seq and rand")
    add("--no-hints", action="store_true", help="do not tell how objects are used")
    add("--reuse-bench", action="store_true", help="write over the objects of the last run")
    add("--no-verify", action="store_true", help="do not look at what is read")
    add("--run-name", metavar="NAME", help="keep the record of the run there")
    add("--prefix", metavar="TEXT", help="cleanup: objects whose names begin so")
    add("--show-time", action="store_true", help="tell when")
    add("--write-object", action="store_true", help="write data (unless another is said)")
    add("--write-omap", action="store_true", help="write an omap")
    add("--write-xattr", action="store_true", help="write attributes")


def _add_load(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--num-objects", metavar="N", help="so many objects (200)")
    add("--min-object-size", metavar="BYTES", help="1 KiB")
    add("--max-object-size", metavar="BYTES", help="5 GiB")
    add("--min-op-len", metavar="BYTES", help="1 KiB")
    add("--max-op-len", metavar="BYTES", help="2 MiB")
    add("--max-ops", metavar="N", help="so many at a time (16)")
    add("--max-backlog", metavar="BYTES", help="twice the throughput")
    add("--target-throughput", metavar="BYTES", help="in a second: 5 MiB")
    add("--read-percent", metavar="N", help="how many of a hundred read: 80")
    add("--run-length", metavar="SECONDS", help="60")
    add("--offset-align", metavar="BYTES", help="begin at multiples of it")


def read_values(args: argparse.Namespace) -> None:
    """Turn sizes and numbers into integers, and check the format. Raises BadOption."""
    for name, shown in SIZES.items():
        text = getattr(args, name)
        if text is None:
            continue
        try:
            setattr(args, name, parse_size(text, signed=True))
        except BadValue as error:
            raise BadOption(f"Invalid value for {shown}: {error.message}") from error
    if args.format is not None and args.format not in FORMATS:
        raise BadOption(f"unrecognized format: {args.format}")
