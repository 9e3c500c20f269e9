"""The stage of `spirula crushtool` that shows a map, checks it and tests it.

Called by the command. What is printed is, on stdout, byte for byte what upstream prints.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from spirula.cli.crushtool.edits import PROGRAM, Failure, read_map
from spirula.cli.crushtool.options import Request
from spirula.conf.formatter import render
from spirula.crush.check import check_names, overlapping_rules
from spirula.crush.dump import dump
from spirula.crush.lookup import find_item, full_location, leaves
from spirula.crush.tester import compare_maps, run_test
from spirula.crush.text import decompile_map
from spirula.crush.tree import print_tree
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, NotFound

DATA_HELP = """\
Tables that --output-csv writes, a file for each rule and table:
  absolute_weights        each OSD and its weight
  proportional_weights, proportional_weights_all
                          each OSD and its share of all weights; only OSDs with weight, or all
  placement_information   each input and the OSDs that it is mapped to
  device_utilization, device_utilization_all
                          each OSD, how many inputs it got and how many it should get; only OSDs
                          that got some, or all
  batch_device_utilization_all, batch_device_expected_utilization_all
                          with --batches: each batch and what each OSD got of it (in both)
"""


def _say(text: str) -> None:
    sys.stdout.write(text)


def _warn(text: str) -> None:
    sys.stderr.write(text)


def display(crush: CrushWrapper, request: Request) -> None:
    """Show what was asked for. Raises Failure."""
    if request.show_location >= 0:
        _show_location(crush, request.show_location)
    try:
        if request.tree:
            _say(print_tree(crush, shadow=True))
        if request.bucket_tree:
            _bucket_tree(crush, request.bucket_name)
        if request.dump:
            _say(render(dump(crush), request.format, "crush_map") + "\n")
    except CephError as error:
        raise Failure(f"{PROGRAM}: the map cannot be shown: {error.message}") from error
    if request.decompile:
        _decompile(crush, request)
    if request.check:
        _check(crush, request.max_id)
    try:
        if request.test:
            _test(crush, request)
        if request.compare:
            other = read_map(request.compare)
            if not compare_maps(crush, other, request.run, _say, _warn):
                raise Failure("")
    except CephError as error:
        raise Failure(f"{PROGRAM}: {error.message}") from error
    except OSError as error:
        raise Failure(f"{PROGRAM}: {error.filename}: {error.strerror}") from error


def _show_location(crush: CrushWrapper, device: int) -> None:
    with contextlib.suppress(NotFound):
        for type, name in sorted(dict(reversed(full_location(crush, device))).items()):
            _say(f"{type}\t{name}\n")


def _bucket_tree(crush: CrushWrapper, name: str) -> None:
    if not name:
        print(": error bucket_name is empty", file=sys.stderr)
        return
    id = find_item(crush, name)
    with contextlib.suppress(NotFound):
        for device in sorted(leaves(crush, id)) if id is not None else ():
            _say(f"osd.{device}\n")


def _decompile(crush: CrushWrapper, request: Request) -> None:
    try:
        text = decompile_map(crush, newer=request.newer)
    except CephError as error:
        raise Failure(f"{PROGRAM}: {request.infn} has no text: {error.message}") from error
    shown = text.encode("utf-8", "surrogateescape")
    if not request.outfn:
        sys.stdout.flush()
        sys.stdout.buffer.write(shown)
        return
    try:
        Path(request.outfn).write_bytes(shown)
    except OSError as error:
        raise Failure(f"{PROGRAM}: error writing '{request.outfn}': {error.strerror}") from error


def _check(crush: CrushWrapper, max_id: int) -> None:
    for number, names in overlapping_rules(crush):
        _say(f"overlapped rules in ruleset {number}: {', '.join(names)}\n")
    if max_id >= 0:
        try:
            check_names(crush, max_id)
        except CephError as error:
            _say(f"{error.message}\n")
            raise Failure("") from error


def _test(crush: CrushWrapper, request: Request) -> None:
    shows = request.run.shows
    if shows.utilization or shows.utilization_all:
        shows.statistics = True
    run_test(crush, request.run, _say, _warn)
