"""`spirula store`: looks into the object store of a stopped OSD, changes it, and moves PGs.

What `ceph-objectstore-tool` and `ceph-bluestore-tool` do for real OSDs, for stores on disk of ours;
files of exported PGs are theirs. Each verb is in a module of its family. Called by the dispatcher.
"""

from __future__ import annotations

import argparse

from spirula.cli.store import attributes, objects, pgs, power_cut, whole
from spirula.cli.store.opened import READ_ONLY_HELP

_EPILOG = """\
DIR is the folder of a store that no OSD uses. COLL is `meta`, a PG (`2.1f`, `2.1fs0`) or a
collection (`2.1f_head`). OBJECT is a name as `ls` prints it (`#2:c0371625:::name:head#`), the JSON
of `ls --json` or of ceph-objectstore-tool, or a plain name if COLL has one object of that name; ''
is the object in which a PG keeps its info and log. FILE may be - for standard input or output.
"""


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    parser = argparse.ArgumentParser(
        prog="spirula store",
        description="Look into the object store of a stopped OSD, change it, and move PGs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
    for family in (whole, objects, attributes, pgs, power_cut):
        for verb in family.VERBS:
            added = verbs.add_parser(
                verb.name,
                help=verb.help,
                description=f"{verb.help[0].upper()}{verb.help[1:]}.",
                epilog=verb.more,
                allow_abbrev=False,
            )
            added.add_argument("dir", metavar="DIR", help="the folder of the store")
            for name, options in verb.arguments:
                added.add_argument(name, **options)
            added.add_argument("--json", action="store_true", help="print one line of JSON")
            if verb.reads:
                added.add_argument("--read-only", action="store_true", help=READ_ONLY_HELP)
            added.set_defaults(run=verb.run)
    try:
        request = parser.parse_args(argv)
    except SystemExit as end:  # argparse has printed what there is to say
        return end.code if isinstance(end.code, int) else 2
    status: int = request.run(request)
    return status
