"""`spirula osdmaptool`: OSD maps made, changed, shown, tested and balanced, as upstream does it.

Options, files, printed lines and exit codes are those of src/tools/osdmaptool.cc in 16.2; the tests
run both side by side. What follows one another: input, changes in memory, balancing, CRUSH in and
out, tests, output. Called by the dispatcher only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from spirula.cli.osdmaptool.balancing import balance, even_out_reads
from spirula.cli.osdmaptool.changes import change, create, export_crush, import_crush
from spirula.cli.osdmaptool.options import PROGRAM, Failure, Request, parse, usage
from spirula.cli.osdmaptool.placing import test_crush, test_map_object, test_map_pg, test_map_pgs
from spirula.conf.args import UsageError
from spirula.conf.config import Config
from spirula.conf.formatter import FORMATS, render
from spirula.conf.load import Loaded, load
from spirula.errors import CephError, WireError
from spirula.maps.dump.document import osdmap_document
from spirula.maps.dump.plain import print_osdmap
from spirula.maps.dump.tree import print_tree, tree_document
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import check_sizes
from spirula.mon.services.osdmap.health import check_map
from spirula.types.service import HealthStatus

FAILED = 255
"""What upstream's programs return from `main` where it is -1."""


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    if not argv:
        print(f"{PROGRAM}: -h or --help for usage", file=sys.stderr)
        return 1
    if "-h" in argv or "--help" in argv:
        print(usage(), end="")
        return 1
    try:
        loaded = _load(argv)
        request = parse(loaded.args.rest)
        if request.range_first >= 0 and request.range_last >= 0:
            return _read_range(request)
        _run(request, loaded)
    except Failure as failure:
        sys.stdout.flush()
        print(failure.line, file=sys.stderr)
        if failure.usage:
            print(usage(), end="")
        return failure.status
    return 0


def _load(argv: list[str]) -> Loaded:
    """The configuration. No file is read that nobody named."""
    words = argv if "CEPH_CONF" in os.environ else ["--no-config-file", *argv]
    try:
        loaded = load(words)
    except (UsageError, CephError) as error:
        raise Failure(error.message) from error
    for warning in loaded.warnings:
        print(warning.rstrip(), file=sys.stderr)
    return loaded


def _read_range(request: Request) -> int:
    """Reads the maps of many epochs from a folder; says how large they are."""
    for epoch in range(request.range_first, request.range_last + 1):
        path = f"{request.path}/{epoch}"
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise Failure(f"unable to read {path}: {_reason(error)}") from error
        print(f"{path} got {len(raw)} bytes")
        _decode(raw, path)
    return 0


def _reason(error: OSError) -> str:
    """The errno's number and text, as upstream's programs print them."""
    return f"({error.errno}) {os.strerror(error.errno or 5)}"


def _decode(raw: bytes, path: str) -> OSDMap:
    try:
        made = OSDMap.decode(raw)
        check_sizes(made)
    except WireError as error:
        raise Failure(f"{PROGRAM}: error decoding osdmap '{path}'", FAILED) from error
    return made


def _input(request: Request, loaded: Loaded) -> OSDMap:
    path = request.path
    print(f"{PROGRAM}: osdmap file '{path}'", file=sys.stderr, flush=True)
    creating = request.create_simple is not None or request.create_from_conf
    if not creating and request.clobber:
        return OSDMap(pool_max=0)
    if not creating:
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            reason = f"can't open {path}: {_reason(error)}"
            raise Failure(f"{PROGRAM}: couldn't open {path}: {reason}", FAILED) from error
        return _decode(raw, path)
    if not request.clobber and Path(path).exists():
        raise Failure(f"{PROGRAM}: {path} exists, --clobber to overwrite", FAILED)
    return create(request, loaded.config)


def _run(request: Request, loaded: Loaded) -> None:
    osdmap = _input(request, loaded)
    modified = request.create_simple is not None or request.create_from_conf
    osdmap, changed = change(request, osdmap)
    modified |= changed
    if request.upmap_cleanup or request.upmap:
        osdmap, changed = balance(request, osdmap, loaded.config)
        modified |= changed
    if request.read:
        osdmap, changed = even_out_reads(request, osdmap)
        modified |= changed
    if request.import_crush:
        osdmap = import_crush(request.import_crush, osdmap)
        modified = True
    if request.export_crush:
        export_crush(request.export_crush, osdmap)
    if request.test_object:
        test_map_object(request, osdmap)
    if request.test_pg:
        test_map_pg(request, osdmap)
    if request.maps_pgs:
        test_map_pgs(request, osdmap)
    if request.test_crush:
        test_crush(osdmap)
    if not request.acts and not modified:
        raise Failure(f"{PROGRAM}: no action specified?", usage=True)
    if modified:
        osdmap.epoch += 1
    _show(request, osdmap, loaded.config)
    if modified:
        _write(request.path, osdmap)


def _show(request: Request, osdmap: OSDMap, config: Config) -> None:
    if request.health:
        print(render(_health(osdmap, config), "json-pretty"), end="")
    if request.dump == "plain":
        print(print_osdmap(osdmap), end="")
    elif request.dump is not None:
        fmt = request.dump if request.dump in FORMATS else "json"
        print(render(osdmap_document(osdmap), fmt, "osdmap"), end="")
    if request.tree == "plain":
        print(print_tree(osdmap), end="")
    elif request.tree is not None:
        fmt = request.tree if request.tree in FORMATS else "json"
        print(render(tree_document(osdmap), fmt, "tree"))


def _health(osdmap: OSDMap, config: Config) -> dict[str, object]:
    return {
        code: {
            "severity": f"HEALTH_{HealthStatus(check.severity).name}",
            "summary": {"message": check.summary, "count": check.count},
            "detail": [{"message": line} for line in check.detail],
        }
        for code, check in sorted(check_map(osdmap, config).items())
    }


def _write(path: str, osdmap: OSDMap) -> None:
    print(f"{PROGRAM}: writing epoch {osdmap.epoch} to {path}")
    try:
        Path(path).write_bytes(osdmap.encode())
    except OSError as error:
        raise Failure(f"{PROGRAM}: error writing to '{path}': {_reason(error)}") from error
