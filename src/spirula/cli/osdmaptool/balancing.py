"""`spirula osdmaptool`: upmaps that even out PGs and reads, printed as commands.

Called by the command itself. Upstream: `src/tools/osdmaptool.cc`.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from spirula.cli.osdmaptool.options import Failure, Request
from spirula.conf.config import Config
from spirula.errors import CephError
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.balance.reads import balance_reads
from spirula.maps.balance.shares import count_shares
from spirula.maps.balance.upmaps import calc_pg_upmaps
from spirula.maps.clean import clean_pg_upmaps
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.query import find_pool
from spirula.printing import as_f32, general
from spirula.types.pg import PGId


def _order(pg: PGId) -> tuple[int, int]:
    return pg.pool, pg.seed


def upmap_commands(inc: Incremental) -> list[str]:
    """The commands that make the upmaps of an incremental."""
    made: list[tuple[str, PGId, Iterable[object]]] = []
    made += [("rm-pg-upmap", pg, ()) for pg in sorted(inc.old_pg_upmap, key=_order)]
    for pg in sorted(inc.new_pg_upmap, key=_order):
        made.append(("pg-upmap", pg, inc.new_pg_upmap[pg]))
    made += [("rm-pg-upmap-items", pg, ()) for pg in sorted(inc.old_pg_upmap_items, key=_order)]
    for pg in sorted(inc.new_pg_upmap_items, key=_order):
        made.append(("pg-upmap-items", pg, chain.from_iterable(inc.new_pg_upmap_items[pg])))
    made += [("rm-pg-upmap-primary", pg, ()) for pg in sorted(inc.old_pg_upmap_primary, key=_order)]
    for pg in sorted(inc.new_pg_upmap_primary, key=_order):
        made.append(("pg-upmap-primary", pg, (inc.new_pg_upmap_primary[pg],)))
    return [" ".join(["ceph osd", verb, str(pg), *map(str, rest)]) for verb, pg, rest in made]


class _Output:
    """Where commands go: a file that begins empty, or standard output."""

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        if path == "-":
            return
        try:
            Path(path).write_bytes(b"")
        except OSError as error:
            reason = f"({error.errno}) {os.strerror(error.errno or 5)}"
            raise Failure(f"error opening {path}: {reason}") from error
        print(f"writing {what} command output to: {path}")

    def write(self, inc: Incremental) -> None:
        """Appends the commands of an incremental."""
        text = "".join(f"{line}\n" for line in upmap_commands(inc))
        if self.path == "-":
            print(text, end="")
            return
        try:
            with Path(self.path).open("a") as stream:
                stream.write(text)
        except OSError as error:
            raise Failure(f"error writing output: {error.strerror}") from error


def balance(request: Request, osdmap: OSDMap, config: Config) -> tuple[OSDMap, bool]:
    """Cleans upmaps up and, if asked for, makes better ones; the map with them, and whether it is
    to be written.
    """
    output = _Output(request.upmap_file, "upmap")
    print("checking for upmap cleanups")
    inc = pending_incremental(osdmap)
    if clean_pg_upmaps(osdmap, inc):
        output.write(inc)
        osdmap = apply_incremental(osdmap, inc)
    if not request.upmap:
        return osdmap, False
    print(f"upmap, max-count {request.upmap_max}, max deviation {request.upmap_deviation}")
    pools = []
    for name in sorted(request.upmap_pools):
        number = find_pool(osdmap, name)
        if number is None:
            raise Failure(f" pool {name} does not exist")
        pools.append(number)
    if pools:
        shown = ",".join(sorted(request.upmap_pools))
        print(f" limiting to pools {shown} ([{','.join(map(str, pools))}])")
    else:
        pools = sorted(osdmap.pools)
    if not pools:
        print("No pools available")
        return osdmap, False
    return _rounds(request, osdmap, pools, output, config)


def _rounds(
    request: Request, osdmap: OSDMap, pools: list[int], output: _Output, config: Config
) -> tuple[OSDMap, bool]:
    """One round, or with `--upmap-active` as many as bring something."""
    chance = random.Random()
    aggressive = config.get_bool("osd_calc_pg_upmaps_aggressively")
    retries = config.get_int("osd_calc_pg_upmaps_local_fallback_retries")
    only = set(pools) if request.upmap_pools else set()
    start, rounds, modified = time.monotonic(), 0, False
    while True:
        chance.shuffle(pools)
        names = (osdmap.pool_name.get(number, "") for number in pools)
        print("pools " + "".join(f"{name} " for name in names))
        inc = pending_incremental(osdmap)
        began, left = time.monotonic(), request.upmap_max
        if left <= 0:
            print("calc_pg_upmaps abort due to max <= 0", file=sys.stderr)
        for number in pools:
            if left <= 0:
                break
            left -= calc_pg_upmaps(
                osdmap,
                inc,
                max_deviation=request.upmap_deviation,
                max_changes=left,
                pools=[number],
                rng=chance if aggressive else None,
                retries=retries,
            )
        did = request.upmap_max - left
        ended = time.monotonic()
        print(f"prepared {did}/{request.upmap_max} changes")
        if request.upmap_active:
            print(f"Time elapsed {general(as_f32(ended - began))} secs")
        if not did:
            print("Unable to find further optimization, or distribution is already perfect")
            if request.upmap_active:
                _print_shares(osdmap, only)
                seconds = general(as_f32(ended - start))
                print(f"Total time elapsed {seconds} secs, {rounds} rounds")
            return osdmap, modified
        output.write(inc)
        if request.save or request.upmap_active:
            osdmap = apply_incremental(osdmap, inc)
            modified = request.save
        rounds += 1
        if not request.upmap_active:
            return osdmap, modified


def _print_shares(osdmap: OSDMap, pools: set[int]) -> None:
    shares = count_shares(osdmap, pools)
    for osd in sorted(shares.pgs):
        if shares.pgs[osd]:
            print(f"osd.{osd} pgs {len(shares.pgs[osd])}")


def even_out_reads(request: Request, osdmap: OSDMap) -> tuple[OSDMap, bool]:
    """Primaries that even out reads of a pool, as `osdmaptool --read` of 19.2 finds them."""
    output = _Output(request.read_file, "upmap")
    number = find_pool(osdmap, request.read_pool)
    if number is None:
        raise Failure(f" pool {request.read_pool} does not exist")
    inc = pending_incremental(osdmap)
    try:
        result = balance_reads(osdmap, number, inc)
    except CephError as error:
        raise Failure(f"ERROR: {error.message}") from error
    print()
    print("---------- BEFORE ------------")
    _print_primaries(result.before)
    print()
    print(f"read_balance_score of '{request.read_pool}': {general(result.score_before)}\n")
    if not result.changes:
        print("Unable to find further optimization, or distribution is already perfect")
        return osdmap, False
    print()
    print("---------- AFTER ------------")
    _print_primaries(result.after)
    print()
    print(f"read_balance_score of '{request.read_pool}': {general(result.score_after)}\n\n")
    print(f"num changes: {result.changes}")
    output.write(inc)
    if request.save:
        return apply_incremental(osdmap, inc), True
    return osdmap, False


def _print_primaries(primaries: dict[int, int]) -> None:
    for osd, count in sorted(primaries.items()):
        print(f"osd.{osd} | primary affinity: 1 | number of prims: {count}")
