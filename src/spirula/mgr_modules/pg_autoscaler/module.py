"""The module `pg_autoscaler`: its commands, and the changes that it makes by itself.

Every `sleep_interval` seconds it has the monitors set `pg_num` of pools in mode `on` that are off
by more than a factor of three; it says which and why first. Names and answers: upstream
`src/pybind/mgr/pg_autoscaler`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar
from uuid import uuid4

from spirula.commands.reply import Reply, said
from spirula.commands.table import Commands
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import Release
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.host import Host
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option
from spirula.mgr_modules.pg_autoscaler.checks import health_checks
from spirula.mgr_modules.pg_autoscaler.targets import (
    Subtree,
    Target,
    find_subtrees,
    find_targets,
)
from spirula.mgr_modules.tables import Table, short_bytes

COMMANDS = Commands("mgr")
_ANSWER_S = 60.0


@dataclass(slots=True)
class Change:
    """A change of a pool that is under way; `ident` is what progress knows it by."""

    ident: str
    pg_num: int
    pg_num_target: int

    def message(self, pool: int) -> str:
        """What `ceph progress` shows."""
        way = "increasing" if self.pg_num < self.pg_num_target else "decreasing"
        return f"PG autoscaler {way} pool {pool} PGs from {self.pg_num} to {self.pg_num_target}"

    def progress(self, pg_num: int) -> float:
        """How far it is, from 0 to 1, with so many PGs."""
        return (self.pg_num - pg_num) / (self.pg_num - self.pg_num_target)


class PGAutoscaler(Module):
    """The autoscaler."""

    COMMANDS: ClassVar[Commands] = COMMANDS
    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("sleep_interval", 60, "seconds between looks at all pools", "secs"),
        Option("noautoscale", default=False, help="global autoscale flag"),
    )

    def __init__(self, name: str, host: Host) -> None:
        super().__init__(name, host)
        self.changes: dict[int, Change] = {}

    def serve(self) -> None:
        """Looks at all pools from time to time."""
        while True:
            if not self.option("noautoscale"):
                self.adjust()
                self.report_progress()
            if not self.wait(float(self.option("sleep_interval"))):
                return

    # ------------------------------------------------------------------------------ what is wrong

    def look(self, osdmap: OSDMap) -> tuple[list[Target], dict[int, Subtree]]:
        """What each pool should have, and the subtrees."""
        stats = self.host.get("osd_stats")["osd_stats"]
        capacities = {int(one["osd"]): int(one["kb"]) * 1024 for one in stats}
        usage = self.host.get("df")["pools"]
        stored = {int(one["id"]): int(one["stats"]["stored"]) for one in usage}
        per_osd = float(self.host.option("mon_target_pg_per_osd") or 0)
        subtrees, overlapping = find_subtrees(osdmap, capacities, per_osd)
        if overlapping:
            self.log.warning("pools below roots that overlap are left alone: %s", overlapping)
        return find_targets(osdmap, stored, subtrees, overlapping), subtrees

    # -------------------------------------------------------------------------------- what is done

    def adjust(self) -> None:
        """Changes what is to be changed, and tells in health what only people may change."""
        osdmap = self.host.osd_map()
        if osdmap.require_osd_release < Release.NAUTILUS:
            return
        targets, subtrees = self.look(osdmap)
        for target in targets:
            if target.would_adjust:
                self.log.info("%s", target.explain())
                self._change(osdmap, target)
        self.host.set_health_checks(health_checks(osdmap, targets, subtrees))

    def _change(self, osdmap: OSDMap, target: Target) -> None:
        pool, final = target.pool_id, target.pg_num_final
        outcome = self.ask(
            "osd pool set",
            pool=target.pool_name,
            var="pg_num",
            val=str(final),
            timeout_s=_ANSWER_S,
        )
        if outcome.r < 0:
            self.log.error("pg_num of %s stays as it is: %s", target.pool_name, outcome.status)
            return
        before = self.changes.get(pool)
        change = Change(before.ident if before else str(uuid4()), osdmap.pools[pool].pg_num, final)
        self.changes[pool] = change
        self._tell_progress(pool, change, 0.0)

    def report_progress(self) -> None:
        """Tells the module `progress` how far changes are."""
        pools = self.host.osd_map().pools
        for number, change in list(self.changes.items()):
            pool = pools.get(number)
            if (
                pool is None
                or pool.pg_num == pool.pg_num_target
                or change.pg_num == change.pg_num_target
            ):
                self._end(number)
            else:
                self._tell_progress(number, change, change.progress(pool.pg_num))

    def _tell_progress(self, pool: int, change: Change, progress: float) -> None:
        try:
            self.remote(
                "progress",
                "update",
                change.ident,
                ev_msg=change.message(pool),
                ev_progress=progress,
                refs=[("pool", pool)],
            )
        except ImportError as error:
            self.log.debug("progress is not shown: %s", error)

    def _end(self, pool: int) -> None:
        change = self.changes.pop(pool)
        try:
            self.remote("progress", "complete", change.ident)
        except ImportError as error:
            self.log.debug("progress is not shown: %s", error)

    def switch(self, *, off: bool) -> None:
        """Turns the autoscaler on or off for all pools, and for those that will be made."""
        mode = "off" if off else "on"
        self.set_option("noautoscale", off)
        self.ask(
            "config set",
            who="global",
            name="osd_pool_default_pg_autoscale_mode",
            value=mode,
            timeout_s=_ANSWER_S,
        ).check()
        for name in list(self.host.osd_map().pool_name.values()):
            self.ask(
                "osd pool set", pool=name, var="pg_autoscale_mode", val=mode, timeout_s=_ANSWER_S
            ).check()
        if off:
            for pool in list(self.changes):
                self._end(pool)


# ----------------------------------------------------------------------------------- commands

_HEADINGS = (
    "POOL",
    "SIZE",
    "TARGET SIZE",
    "RATE",
    "RAW CAPACITY",
    "RATIO",
    "TARGET RATIO",
    "EFFECTIVE RATIO",
    "BIAS",
    "PG_NUM",
    "NEW PG_NUM",
    "AUTOSCALE",
    "BULK",
)
_SIDES = "lrrrrrrrrrcll"
_WIDTH = 6


def table_of(targets: list[Target]) -> str:
    """The plain output of `osd pool autoscale-status`."""
    table = Table(_HEADINGS, _SIDES)
    for one in targets:
        table.add(
            one.pool_name,
            short_bytes(one.logical_used, _WIDTH),
            short_bytes(one.target_bytes, _WIDTH) if one.target_bytes > 0 else "",
            one.raw_used_rate,
            short_bytes(one.subtree_capacity, _WIDTH),
            f"{one.capacity_ratio:.4f}",
            f"{one.target_ratio:.4f}" if one.target_ratio > 0 else "",
            f"{one.effective_target_ratio:.4f}" if one.effective_target_ratio > 0 else "",
            one.bias,
            one.pg_num_target,
            one.pg_num_final if one.would_adjust else "",
            one.pg_autoscale_mode,
            one.bulk,
        )
    return str(table)


@COMMANDS.add(
    "osd pool autoscale-status",
    perm="r",
    help="report on pool pg_num sizing recommendation and intent",
)
def status(module: PGAutoscaler, request: Request) -> Reply:
    """What each pool has and should have."""
    targets, _ = module.look(module.host.osd_map())
    if request.format in ("json", "json-pretty"):
        documents = [one.document() for one in targets]
        return said(data=json.dumps(documents, indent=4, sort_keys=True))
    return said(data=table_of(targets))


@COMMANDS.add(
    "osd pool autoscale-explain",
    perm="r",
    help="say how many PGs each pool should have, why, and what will be done about it",
)
def explain(module: PGAutoscaler, request: Request) -> Reply:
    """A sentence for each pool. Not upstream's."""
    osdmap = module.host.osd_map()
    targets, _ = module.look(osdmap)
    lines = [one.explain() for one in targets]
    if module.option("noautoscale"):
        lines.append("noautoscale is on: nothing is changed")
    told = {one.pool_id for one in targets}
    lines += [
        f"pool '{name}' is left alone: its root overlaps with another, has no space, or nothing "
        "was reported of the pool yet"
        for number, name in sorted(osdmap.pool_name.items())
        if number not in told
    ]
    return said(data="".join(f"{line}\n" for line in lines))


@COMMANDS.add(
    "osd pool get noautoscale",
    perm="w",
    help="Get the noautoscale flag to see if all pools are setting the autoscaler on or off as "
    "well as newly created pools in the future.",
)
def get_flag(module: PGAutoscaler, request: Request) -> Reply:
    """Whether it is off for all."""
    return said(f"noautoscale is {'on' if module.option('noautoscale') else 'off'}")


@COMMANDS.add(
    "osd pool unset noautoscale",
    perm="w",
    help="Unset the noautoscale flag so all pools will have autoscale enabled (including newly "
    "created pools in the future).",
)
def unset_flag(module: PGAutoscaler, request: Request) -> Reply:
    """On for all pools."""
    if not module.option("noautoscale"):
        return said("noautoscale is already unset!")
    module.switch(off=False)
    return said("noautoscale is unset, all pools now have autoscale on")


@COMMANDS.add(
    "osd pool set noautoscale",
    perm="w",
    help="set the noautoscale for all pools (including newly created pools in the future) and "
    "complete all on-going progress events regarding PG-autoscaling.",
)
def set_flag(module: PGAutoscaler, request: Request) -> Reply:
    """Off for all pools."""
    if module.option("noautoscale"):
        return said("noautoscale is already set!")
    module.switch(off=True)
    return said("noautoscale is set, all pools now have autoscale off")
