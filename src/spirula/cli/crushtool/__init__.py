"""`spirula crushtool`: CRUSH maps made, changed, shown and tested, as upstream does it.

Options, files, printed lines and exit codes are those of src/tools/crushtool.cc in 16.2; the tests
run both side by side. Five stages follow one another: input, tunables, edits, display, output. On
stderr refusals give their reason as well. Called by the dispatcher only.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from spirula.cli.crushtool.display import DATA_HELP, display
from spirula.cli.crushtool.edits import PROGRAM, Failure, build, compile_text, edit, read_map
from spirula.cli.crushtool.options import Request, parse
from spirula.conf.args import UsageError
from spirula.crush.build import finalize
from spirula.crush.layers import new_map
from spirula.crush.wire import CrushWrapper

USAGE = """\
usage: spirula crushtool [options] action...

input: one of these; without it the map is empty
  -i, --infn FILE         the map in FILE (- is standard input)
  -c, --compile FILE      the map that the text in FILE describes
  -d, --decompile FILE    the map in FILE; it is shown as text
      --build --num_osds N LAYER...
                          a map of N devices; a LAYER is NAME, ALGORITHM (uniform,
                          list, tree, straw, straw2) and SIZE, 0 for one bucket of all

tunables
      --set-choose-local-tries N, --set-choose-local-fallback-tries N,
      --set-choose-total-tries N, --set-chooseleaf-descend-once 0|1,
      --set-chooseleaf-vary-r N, --set-chooseleaf-stable 0|1,
      --set-straw-calc-version 0|1, --set-allowed-bucket-algs BITS

edits
      --reweight-item NAME WEIGHT
      --remove-item NAME
      --add-item ID WEIGHT NAME [--loc TYPE NAME]...
      --update-item ID WEIGHT NAME [--loc TYPE NAME]...
      --add-bucket NAME TYPE [--loc TYPE NAME]...
      --move NAME --loc TYPE NAME [--loc TYPE NAME]...
      --create-simple-rule NAME ROOT TYPE firstn|indep [--device-class CLASS]
      --create-replicated-rule NAME ROOT TYPE [--device-class CLASS]
      --remove-rule NAME
      --reweight          weigh all buckets anew from their devices up
      --rebuild-class-roots
                          make the shadow trees of device classes anew
      --set-subtree-class BUCKET CLASS
      --reclassify        turn legacy hierarchies into device classes
      --reclassify-root BUCKET CLASS
      --reclassify-bucket PATTERN CLASS DEFAULT-PARENT

display
      --show-location ID  where a device is
      --tree              the hierarchy, with shadow trees
      --bucket-tree -b BUCKET
                          the devices below a bucket
      --dump [-f FORMAT]  the whole map: json, json-pretty, xml, xml-pretty, html,
                          html-pretty, table, table-kv
      --check [MAX-ID]    rules that overlap, and with MAX-ID names that are missing
      --test              map inputs by rules, with some of these:
          --show-mappings --show-bad-mappings --show-statistics
          --show-utilization --show-utilization-all --show-choose-tries
          --x N, --min-x N, --max-x N, --rule N, --min-rule N, --max-rule N,
          --ruleset N, --num-rep N, --pool-id N, --batches N
          --weight ID WEIGHT (0 to 1), --mark-down-ratio R,
          --mark-down-bucket-ratio R
          --simulate      places by chance instead of CRUSH
          --output-csv, --output-name PREFIX
                          tables for spreadsheets; see --help-output
      --compare FILE      place the same inputs by the map in FILE, and count differences

output
  -o, --outfn FILE        where the map or the text goes; without it a text is
                          printed, and a map is checked and thrown away
      --newer             write the text as releases from 18.2 do: five digits
                          of weights, and rules without sizes
  -v, --verbose           say what was written
  -h, --help
"""


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    if not argv:
        print(f"{PROGRAM}: -h or --help for usage", file=sys.stderr)
        return 1
    if "-h" in argv or "--help" in argv:
        print(USAGE, end="")
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        # names are bytes, whatever they mean
        sys.stdout.reconfigure(errors="surrogateescape")
    announced: list[str] = []
    try:
        try:
            request = parse(argv, announced)
        finally:
            for line in announced:
                print(line)
        if request.help_output:
            print(DATA_HELP, end="")
        else:
            _run(request)
    except UsageError as error:
        print(error.message, file=sys.stderr)
        return 1
    except Failure as failure:
        if failure.line:
            print(failure.line, file=sys.stderr)
        return failure.status
    return 0


def _run(request: Request) -> None:
    if request.test and not (
        request.check or request.run.shows.any() or request.run.csv or request.compare
    ):
        print("WARNING: no output selected; use --output-csv or --show-X", file=sys.stderr)
    crush = new_map()
    if request.infn:
        crush = read_map(request.infn)
        finalize(crush)
    changed = False
    if request.compile:
        crush, changed = compile_text(request.compile), True
    if request.build:
        crush, changed = build(request), True
    changed |= edit(crush, request)
    display(crush, request)
    if changed:
        finalize(crush)
        _write(crush, request)


def _write(crush: CrushWrapper, request: Request) -> None:
    if not request.outfn:
        print(f"{PROGRAM} successfully built or modified map.  Use '-o <file>' to write it out.")
        return
    try:
        Path(request.outfn).write_bytes(crush.encode())
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Failure(
            f"{PROGRAM}: error writing '{request.outfn}': ({error.errno}) {reason}"
        ) from error
    if request.verbose:
        print(f"wrote crush map to {request.outfn}")
