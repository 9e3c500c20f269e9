"""The stages of `spirula crushtool` that make a map or change it.

Called by the command. Each edit tells whether the map has changed; a refusal ends the command with
upstream's line on stderr, and the reason after it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from spirula.cli.crushtool.options import Request
from spirula.crush.build import get_bucket
from spirula.crush.check import check_map
from spirula.crush.classes import rebuild_roots_with_classes
from spirula.crush.device_classes import set_subtree_class
from spirula.crush.edit import (
    add_bucket,
    create_or_move_item,
    insert_item,
    move_bucket,
    remove_item,
    update_item,
)
from spirula.crush.layers import build_layers, root_name, stray_roots
from spirula.crush.lookup import find_item, rule_id, show_location, weight_at
from spirula.crush.reclassify import reclassify
from spirula.crush.rules import add_simple_rule, remove_rule
from spirula.crush.text import CrushTextError, compile_map
from spirula.crush.weights import adjust_item_weight, fixed, reweight
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, Exists, NotFound, WireError
from spirula.printing import general

PROGRAM = "crushtool"


class Failure(Exception):
    """Ends the command with a line on stderr."""

    def __init__(self, line: str, status: int = 1) -> None:
        super().__init__(line)
        self.line = line
        self.status = status


def errno_failure(error: CephError) -> Failure:
    """A refused edit, as upstream ends with it: the status is the negative errno."""
    reason = f": {error.message}" if error.message else ""
    return Failure(
        f"{PROGRAM} ({error.errno}) {os.strerror(error.errno)}{reason}", -error.errno & 0xFF
    )


# --------------------------------------------------------------------------------------- input


def read_map(path: str) -> CrushWrapper:
    """The map in a file; `-` is standard input."""
    if path == "-":
        if sys.stdin.isatty():
            raise Failure("stdin must not be from a tty")
        raw = sys.stdin.buffer.read()
    else:
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise Failure(f"{PROGRAM}: error reading '{path}': {error.strerror}") from error
    try:
        crush = CrushWrapper.decode(raw)
        check_map(crush)
    except (WireError, CephError) as error:
        raise Failure(f"{PROGRAM}: unable to decode {path}: {error}") from error
    return crush


def compile_text(path: str) -> CrushWrapper:
    """The map that the text in a file describes."""
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise Failure(f"input file {path} not found", 256 - errno.ENOENT) from error
    except OSError as error:
        raise Failure(f"{PROGRAM}: error reading '{path}': {error.strerror}") from error
    try:
        crush = compile_map(raw.decode("utf-8", "surrogateescape"), path)
        check_map(crush)
    except CrushTextError as error:
        raise Failure(error.message) from error
    except CephError as error:
        raise Failure(f"{path}: {error.message}") from error
    return crush


def build(request: Request) -> CrushWrapper:
    """The map of the layers that were asked for."""
    if not request.layers:
        raise Failure(f"{PROGRAM}: must specify at least one layer")
    try:
        crush = build_layers(request.num_osds, request.layers)
        check_map(crush)
    except CephError as error:
        raise Failure(error.message) from error
    roots = stray_roots(crush)
    if roots > 1:
        print(
            f"The crush rulesets will use the root {root_name(request.layers)}\n"
            "and ignore the others.\n"
            f"There are {roots} roots, they can be\n"
            "grouped into a single root by appending something like:\n"
            "  root straw 0\n",
            file=sys.stderr,
        )
    return crush


# --------------------------------------------------------------------------------------- edits


def edit(crush: CrushWrapper, request: Request) -> bool:
    """All edits, in the order of upstream's; gives whether there was one."""
    changed = False
    for stage in _STAGES:
        changed |= stage(crush, request)
    return changed


def _tunables(crush: CrushWrapper, request: Request) -> bool:
    bytes_only = ("chooseleaf_vary_r", "chooseleaf_stable", "straw_calc_version")
    for name, value in request.tunables.items():
        if name == "chooseleaf_descend_once":
            setattr(crush.tunables, name, int(value != 0))
        else:
            setattr(crush.tunables, name, value & 0xFF if name in bytes_only else value)
    return bool(request.tunables)


def _reweight_item(crush: CrushWrapper, request: Request) -> bool:
    if request.reweight_item is None or not request.reweight_item[0]:
        return False
    name, weight = request.reweight_item
    print(f"{PROGRAM} reweighting item {name} to {general(weight)}", flush=True)
    id = _known(crush, name)
    try:
        adjust_item_weight(crush, id, fixed(weight))
    except CephError as error:
        raise errno_failure(error) from error
    return True


def _known(crush: CrushWrapper, name: str) -> int:
    id = find_item(crush, name)
    if id is None:
        print(f" name {name} dne", file=sys.stderr)
        raise errno_failure(NotFound())
    return id


def _remove_item(crush: CrushWrapper, request: Request) -> bool:
    if not request.remove_item:
        return False
    print(f"{PROGRAM} removing item {request.remove_item}", flush=True)
    id = _known(crush, request.remove_item)
    try:
        remove_item(crush, id)
    except CephError as error:
        raise errno_failure(error) from error
    return True


def _add_item(crush: CrushWrapper, request: Request) -> bool:
    if request.add_item is None or request.add_item[0] < 0:
        return False
    place: Callable[..., object] = update_item if request.update_item else insert_item
    try:
        place(crush, *request.add_item, request.location)
    except CephError as error:
        raise errno_failure(error) from error
    return True


def _add_bucket(crush: CrushWrapper, request: Request) -> bool:
    if request.add_bucket is None:
        return False
    name, type_name = request.add_bucket
    try:
        id = add_bucket(crush, name, type_name)
    except CephError as error:
        raise Failure(f"{PROGRAM} {error.message}", -error.errno & 0xFF) from error
    if request.location and weight_at(crush, id, request.location) is None:
        try:
            move_bucket(crush, id, request.location)
        except CephError as error:
            raise Failure(
                f"{PROGRAM} error moving bucket '{name}' to"
                f" {show_location(request.location)}: {error.message}",
                -error.errno & 0xFF,
            ) from error
    return True


def _move(crush: CrushWrapper, request: Request) -> bool:
    if request.move is None:
        return False
    name, location = request.move, request.location
    id = find_item(crush, name)
    if id is None:
        raise Failure(f"{PROGRAM} item '{name}' does not exist", 256 - errno.ENOENT)
    if not location:
        raise Failure(
            f"{PROGRAM} expecting additional --loc argument to --move", 256 - errno.EINVAL
        )
    if weight_at(crush, id, location) is not None:
        raise Failure(f"{PROGRAM} item '{name}' already at {show_location(location)}")
    try:
        if id < 0:
            get_bucket(crush, id)
            move_bucket(crush, id, location)
        else:
            create_or_move_item(crush, id, 0.0, name, location)
    except CephError as error:
        raise errno_failure(error) from error
    return True


def _add_rule(crush: CrushWrapper, request: Request) -> bool:
    if request.add_rule is None:
        return False
    name, root, type, mode = request.add_rule
    try:
        if rule_id(crush, name) is not None:
            raise Exists(f"rule {name} already exists")
        add_simple_rule(crush, name, root, type, device_class=request.device_class, mode=mode)
    except CephError as error:
        raise Failure(error.message) from error
    return True


def _remove_rule(crush: CrushWrapper, request: Request) -> bool:
    if request.remove_rule is None:
        return False
    id = rule_id(crush, request.remove_rule)
    if id is None:
        raise Failure(f"rule {request.remove_rule} does not exist", 0)
    try:
        remove_rule(crush, id)
    except CephError as error:
        raise Failure(f"fail to remove rule {request.remove_rule}: {error.message}") from error
    return True


def _reweight(crush: CrushWrapper, request: Request) -> bool:
    if request.reweight:
        try:
            reweight(crush)
        except CephError as error:
            raise errno_failure(error) from error
    return request.reweight


def _rebuild_class_roots(crush: CrushWrapper, request: Request) -> bool:
    if request.rebuild_class_roots:
        try:
            rebuild_roots_with_classes(crush)
        except CephError as error:
            raise Failure(f"failed to rebuild roots with classes: {error.message}") from error
    return request.rebuild_class_roots


def _set_subtree_class(crush: CrushWrapper, request: Request) -> bool:
    for root, name in sorted(request.set_subtree_class.items()):
        # upstream goes on without a word where there is no such bucket
        with contextlib.suppress(NotFound):
            set_subtree_class(crush, root, name)
    return bool(request.set_subtree_class)


def _reclassify(crush: CrushWrapper, request: Request) -> bool:
    if request.reclassify:
        said: list[str] = []
        try:
            reclassify(crush, request.reclassify_root, request.reclassify_bucket, said.append)
        except CephError as error:
            known = any(error.message in line for line in said)
            reason = "" if known else f": {error.message}"
            raise Failure(f"failed to reclassify map{reason}") from error
        finally:
            print("".join(f"{line}\n" for line in said), end="", flush=True)
    return request.reclassify


_STAGES = (
    _tunables,
    _reweight_item,
    _remove_item,
    _add_item,
    _add_bucket,
    _move,
    _add_rule,
    _remove_rule,
    _reweight,
    _rebuild_class_roots,
    _set_subtree_class,
    _reclassify,
)
