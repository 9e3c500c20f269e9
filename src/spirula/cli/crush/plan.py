"""`spirula crush plan`: how many PGs and bytes a change would move, before it is made.

Called by `spirula crush`. Where PGs should be is compared by the two maps; how full disks are and
what moves meanwhile is not looked at.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from spirula.cli.crush.files import read_bytes, read_hierarchy, read_osdmap, read_sizes
from spirula.conf.formatter import render
from spirula.crush.build import set_tunables
from spirula.crush.edit import create_or_move_item, move_bucket, remove_item
from spirula.crush.lookup import find_item, item_class, parse_location
from spirula.crush.weights import adjust_item_weight, adjust_subtree_weight, fixed
from spirula.crush.wire import CrushWrapper
from spirula.errors import InvalidArgument, NotFound
from spirula.maps.osdmap import OSDMap
from spirula.maps.plan import OSDShare, Plan, edited, plan, with_changes
from spirula.maps.state import OSD_IN, exists
from spirula.printing import TextTable, size_text

HELP: Final[dict[str, Any]] = {
    "help": "tell what a change would move",
    "description": "Tell how many PGs and bytes a change of the hierarchy or of weights would move,"
    " and each OSD's share before and after. The map is not changed.",
    "epilog": "Save the map with `ceph osd getmap -o FILE`, the bytes with `ceph df -f json`"
    " or, PG by PG, `ceph pg dump -f json`. Edits are made in the order of this list.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `plan` takes."""
    parser.add_argument("osdmap", help="the OSD map as it is (- is standard input)")
    parser.add_argument("--crush", metavar="FILE", help="another CRUSH map, or its text")
    parser.add_argument("--tunables", metavar="PROFILE", help="as `ceph osd crush tunables`")
    parser.add_argument(
        "--move",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "TYPE=BUCKET"),
        help="as `ceph osd crush move`, for OSDs as well",
    )
    parser.add_argument(
        "--remove", action="append", default=[], metavar="NAME", help="as `ceph osd crush rm`"
    )
    parser.add_argument(
        "--crush-reweight",
        action="append",
        default=[],
        metavar="NAME=WEIGHT",
        help="as `ceph osd crush reweight`; of a bucket, each OSD in it",
    )
    parser.add_argument(
        "--reweight",
        action="append",
        default=[],
        metavar="OSD=SHARE",
        help="as `ceph osd reweight`: 0 to 1",
    )
    parser.add_argument("--out", nargs="+", action="extend", default=[], metavar="OSD")
    parser.add_argument("--in", nargs="+", action="extend", default=[], metavar="OSD", dest="back")
    parser.add_argument("--stats", metavar="FILE", help="bytes: JSON of `ceph df` or `pg dump`")
    parser.add_argument("--all", action="store_true", help="OSDs that nothing changes for as well")
    parser.add_argument("-f", "--format", choices=("plain", "json", "json-pretty"), default="plain")


def run(request: argparse.Namespace) -> int:
    """Prints what would move."""
    osdmap = read_osdmap(read_bytes(request.osdmap), request.osdmap)
    sizes = read_sizes(request.stats) if request.stats else None
    weights = _weights(request, osdmap)
    crush = _hierarchy(request, osdmap)
    if crush is None and not weights:
        raise InvalidArgument("nothing to plan: name an edit, such as --out 3")
    after = with_changes(osdmap, crush, weights)
    made = plan(osdmap, after, sizes)
    if request.format == "plain":
        print(_text(made, after, everybody=request.all), end="")
    else:
        print(render(_document(made), request.format).rstrip("\n"))
    return 0


# ------------------------------------------------------------------------------------ the edits


def _osd(text: str, osdmap: OSDMap) -> int:
    digits = text.removeprefix("osd.")
    if not digits.isdecimal():
        raise InvalidArgument(f"{text!r} is not an OSD like osd.3 or 3")
    if not exists(osdmap, int(digits)):
        raise NotFound(f"there is no osd.{digits} in the map")
    return int(digits)


def _assignment(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not equals or not 0 <= number < 1 << 15:
        raise InvalidArgument(f"{text!r} is not NAME=NUMBER, such as osd.3=0.5")
    return name, number


def _weights(request: argparse.Namespace, osdmap: OSDMap) -> dict[int, int]:
    """The new weights of OSDs (16.16), as `osd reweight`, `out` and `in` set them."""
    weights = {}
    for text in request.reweight:
        name, number = _assignment(text)
        if number > 1:
            raise InvalidArgument(f"{text!r}: shares lie between 0 and 1")
        weights[_osd(name, osdmap)] = int(number * OSD_IN)
    weights.update((_osd(text, osdmap), 0) for text in request.out)
    weights.update((_osd(text, osdmap), OSD_IN) for text in request.back)
    return weights


def _hierarchy(request: argparse.Namespace, osdmap: OSDMap) -> CrushWrapper | None:
    """The hierarchy after the edits; None when there are none."""
    crush = edited(osdmap)
    if request.crush:
        crush = read_hierarchy(request.crush).crush
        if crush.max_devices > osdmap.max_osd:
            raise InvalidArgument(
                f"{request.crush} has {crush.max_devices} devices, the OSD map room for"
                f" {osdmap.max_osd}"
            )
    if request.tunables:
        set_tunables(crush.tunables, request.tunables)
    for name, *location in request.move:
        _move(crush, name, location)
    for name in request.remove:
        remove_item(crush, _item(crush, name))
    for text in request.crush_reweight:
        name, number = _assignment(text)
        item = _item(crush, name)
        if item < 0:
            adjust_subtree_weight(crush, item, fixed(number))
        else:
            adjust_item_weight(crush, item, fixed(number))
    asked = request.crush or request.tunables or request.move or request.remove
    return crush if asked or request.crush_reweight else None


def _item(crush: CrushWrapper, name: str) -> int:
    found = find_item(crush, name)
    if found is None:
        raise NotFound(f"there is no bucket or OSD {name!r} in the hierarchy")
    return found


def _move(crush: CrushWrapper, name: str, words: list[str]) -> None:
    location = parse_location(words)
    if not location:
        raise InvalidArgument(f"--move {name}: say where to, such as root=default")
    item = _item(crush, name)
    if item < 0:
        move_bucket(crush, item, location)
    else:
        create_or_move_item(crush, item, 0.0, name, location)


# ------------------------------------------------------------------------------------ the output


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _bytes(size: int | None) -> str:
    return "?" if size is None else size_text(size)


def _summary(made: Plan) -> str:
    pools = made.pools.values()
    places, moved = sum(p.places for p in pools), sum(p.moved_places for p in pools)
    text = (
        f"{sum(p.changed_pgs for p in pools)} of {sum(p.pgs for p in pools)} PGs change;"
        f" {moved} of {places} replicas and shards move ({_percent(moved, places)})"
    )
    if made.knows_bytes:
        text += f", {size_text(sum(p.moved_bytes or 0 for p in pools))}"
    lines = [text]
    if made.upmaps_dropped > 0:
        lines.append(f"{made.upmaps_dropped} upmaps become wrong or useless and are dropped")
    lost, unplaced = sum(p.lost for p in pools), sum(p.unplaced for p in pools)
    if lost:
        lines.append(f"WARNING: {lost} replicas and shards find no place any more")
    if unplaced > lost:
        lines.append(f"{unplaced - lost} replicas and shards have no place, as before")
    return "".join(f"{line}\n" for line in lines)


def _text(made: Plan, osdmap: OSDMap, *, everybody: bool) -> str:
    names = ["PGS", "CHANGE", "MOVE", "OF", "SHARE", *(["BYTES"] if made.knows_bytes else [])]
    pools = TextTable((("POOL", ">"), ("NAME", "<"), *((name, ">") for name in names)))
    for number, pool in made.pools.items():
        row: list[object] = [number, pool.name, pool.pgs, pool.changed_pgs, pool.moved_places]
        row += [pool.places, _percent(pool.moved_places, pool.places)]
        pools.add(*row, *([_bytes(pool.moved_bytes)] if made.knows_bytes else []))
    columns = ["BEFORE", "AFTER", "SHARE", "SHARE AFTER", "IN", "OUT"]
    if made.knows_bytes:
        columns += ["BYTES", "BYTES AFTER", "BYTES IN"]
    osds = TextTable((("OSD", ">"), ("CLASS", "<"), *((name, ">") for name in columns)))
    before, after = (
        sum(getattr(share, name) for share in made.osds.values())
        for name in ("pgs_before", "pgs_after")
    )
    for osd, share in sorted(made.osds.items()):
        if not everybody and not share.pgs_in and not share.pgs_out:
            continue
        row = [osd, item_class(osdmap.crush, osd) or "", share.pgs_before, share.pgs_after]
        row += [_percent(share.pgs_before, before), _percent(share.pgs_after, after)]
        row += [share.pgs_in, share.pgs_out]
        if made.knows_bytes:
            row += map(size_text, (share.bytes_before, share.bytes_after, share.bytes_in))
        osds.add(*row)
    shown = f"{pools}\n{osds}\n" if osds.rows else f"{pools}\n"
    return shown + _summary(made)


def _document(made: Plan) -> dict[str, object]:
    pools = []
    for number, pool in made.pools.items():
        entry: dict[str, object] = {
            "pool": number,
            "pool_name": pool.name,
            "pgs": pool.pgs,
            "changed_pgs": pool.changed_pgs,
            "places": pool.places,
            "moved_places": pool.moved_places,
            "unplaced": pool.unplaced,
            "lost": pool.lost,
        }
        if pool.moved_bytes is not None:
            entry["moved_bytes"] = pool.moved_bytes
        pools.append(entry)
    return {
        "pools": pools,
        "osds": [_share(osd, share, made) for osd, share in sorted(made.osds.items())],
        "upmaps_dropped": made.upmaps_dropped,
    }


def _share(osd: int, share: OSDShare, made: Plan) -> dict[str, object]:
    names = [f"pgs_{what}" for what in ("before", "after", "in", "out")]
    if made.knows_bytes:
        names += [name.replace("pgs", "bytes") for name in names]
    return {"osd": osd, **{name: getattr(share, name) for name in names}}
