"""`osd pool ...`: what goes on in pools; scrubs and forced recovery of all their PGs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spirula.commands.arguments import pool_name
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.errors import NotFound
from spirula.maps.query import find_pool
from spirula.mgr.commands import force, scrub
from spirula.pgmap.deltas import Rate
from spirula.pgmap.traffic import Traffic, trouble_numbers, trouble_texts
from spirula.printing import Items
from spirula.types.pg import PGId

if TYPE_CHECKING:
    from spirula.mgr.commands.dispatch import Request
    from spirula.mgr.state import Manager

COMMANDS = Commands("osd")


@COMMANDS.add(
    "osd pool stats",
    pool_name=pool_name(required=False),
    perm="r",
    help="show what goes on in pools",
)
def stats(manager: Manager, request: Request, pool_name: str = "") -> Reply:
    """What clients and recovery do in a pool, or in each."""
    pools = sorted(manager.osdmap.pools)
    if pool_name:
        number = find_pool(manager.osdmap, pool_name)
        if number is None:
            raise NotFound(f"unrecognized pool '{pool_name}'")
        pools = [number]
    if request.is_plain:
        if not pools:
            return Reply("there are no pools!")
        return Reply(data="".join(_text(manager, pool) for pool in pools).encode())
    return Reply(data=request.show(documents(manager, pools), "pool_stats"))


def documents(manager: Manager, pools: list[int] | None = None) -> Items:
    """What goes on in these pools, or in all."""
    chosen = sorted(manager.osdmap.pools) if pools is None else pools
    return Items("pool", [_document(manager, pool) for pool in chosen])


def _traffic(manager: Manager, pool: int) -> Traffic:
    rate = manager.pgmap.pool_rate.get(pool, Rate())
    return Traffic.of(rate.total, rate.seconds)


def _text(manager: Manager, pool: int) -> str:
    total, traffic = manager.pgmap.sum_of_pool(pool).stats.sum, _traffic(manager, pool)
    lines = [f"  {trouble}" for trouble in trouble_texts(total)]
    for what, text in (
        ("recovery io", traffic.recovery_text()),
        ("client io", traffic.clients_text()),
        ("cache tier io", traffic.cache_text() if _is_tier(manager, pool) else ""),
    ):
        if text:
            lines.append(f"  {what} {text}")
    lines = lines or ["  nothing is going on"]
    head = f"pool {manager.osdmap.pool_name[pool]} id {pool}"
    return "\n".join([head, *lines]) + "\n\n"


def _is_tier(manager: Manager, pool: int) -> bool:
    return manager.osdmap.pools[pool].tier_of >= 0


def _document(manager: Manager, pool: int) -> dict[str, Any]:
    total, traffic = manager.pgmap.sum_of_pool(pool).stats.sum, _traffic(manager, pool)
    shown = {
        "pool_name": manager.osdmap.pool_name[pool],
        "pool_id": pool,
        "recovery": trouble_numbers(total),
        "recovery_rate": traffic.recovery(),
        "client_io_rate": traffic.clients(),
    }
    if _is_tier(manager, pool):
        shown["cache_io_rate"] = {name: value for name, value, _ in traffic.cache()}
    return shown


def _add_scrub(what: str, help_text: str) -> None:
    @COMMANDS.add(f"osd pool {what}", who=pool_name(repeated=True), perm="rw", help=help_text)
    def scrub_pools(manager: Manager, request: Request, who: list[str]) -> Reply:
        return scrub.pools(manager, who, what)


_add_scrub("scrub", "compare the copies of all PGs of pools")
_add_scrub("deep-scrub", "likewise, with all data")
_add_scrub("repair", "likewise, and mend what is damaged")


def _add_force(what: str, help_text: str) -> None:
    @COMMANDS.add(f"osd pool {what}", who=pool_name(repeated=True), perm="rw", help=help_text)
    def force_pools(manager: Manager, request: Request, who: list[str]) -> Reply:
        pgs = []
        for name in who:
            number = find_pool(manager.osdmap, name)
            if number is None:
                raise NotFound(f"unrecognized pool '{name}'")
            seeds = range(manager.osdmap.pools[number].pg_num)
            pgs += [PGId(number, seed) for seed in seeds]
        return force.force(manager, what, pgs)


_add_force("force-recovery", "recover pools before others")
_add_force("force-backfill", "backfill pools before others")
_add_force("cancel-force-recovery", "recover pools in turn again")
_add_force("cancel-force-backfill", "backfill pools in turn again")
