"""The module `balancer`: its options, its commands, and what it does by itself.

Every `sleep_interval` seconds, within the times that are allowed, it makes a plan and carries it
out; with `balancer off` people make plans (`optimize`), look at them (`show`) and carry them out
(`execute`). Names and answers: upstream `src/pybind/mgr/balancer`.
"""

from __future__ import annotations

import errno
import json
import random
import time
from datetime import timedelta
from typing import Any, ClassVar

from spirula.commands.reply import said
from spirula.errors import CephError, InvalidArgument, NotFound, NotPermitted
from spirula.maps.osdmap import OSDMap
from spirula.maps.query import find_pool
from spirula.maps.state import Release
from spirula.mgr_modules import Commands, Host, Module, Option, Reply, Request, choices, text
from spirula.mgr_modules.balancer.compat import CompatSettings
from spirula.mgr_modules.balancer.optimize import MODES, Settings, optimize
from spirula.mgr_modules.balancer.placed import Loads, place
from spirula.mgr_modules.balancer.plan import Plan, command_text
from spirula.mgr_modules.balancer.score import evaluate
from spirula.types.pg import PGId

COMMANDS = Commands("mgr")
SUCCESS = "Optimization plan created successfully"
IN_PROGRESS = "in progress"
_ALL_METRICS = "pgs,objects,bytes"


class Balancer(Module):
    """The balancer. `plans` are by name; what `status` shows of the last attempt is beside them."""

    COMMANDS: ClassVar[Commands] = COMMANDS
    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("active", default=True, help="automatically balance PGs across cluster"),
        Option("begin_time", "0000", "beginning time of day to automatically balance (HHMM)"),
        Option("end_time", "2400", "ending time of day to automatically balance (HHMM)"),
        Option(
            "begin_weekday",
            0,
            "balance on this day of the week or later; 0 or 7 is Sunday",
            "uint",
            0,
            7,
        ),
        Option("end_weekday", 7, "balance on days of the week before this one", "uint", 0, 7),
        Option(
            "crush_compat_max_iterations", 25, "most steps in search of weights", "uint", 1, 250
        ),
        Option("crush_compat_metrics", _ALL_METRICS, "by what an OSD's load is measured"),
        Option("crush_compat_step", 0.5, "how far a step goes", "float", 0.001, 0.999),
        Option("min_score", 0.0, "a score that is good enough", "float"),
        Option("mode", "upmap", "Balancer mode", choices=MODES),
        Option("sleep_interval", 60, "seconds between attempts", "secs"),
        Option("upmap_max_optimizations", 10, "most exceptions made in one attempt", "uint"),
        Option("upmap_max_deviation", 5, "PGs that an OSD may be off its share", "int", 1),
        Option("pool_ids", "", "pools which the automatic balancing will be limited to"),
    )

    def __init__(self, name: str, host: Host, rng: random.Random | None = None) -> None:
        super().__init__(name, host)
        self.rng = rng or random.Random()
        self.plans: dict[str, Plan] = {}
        self.active = bool(self.option("active"))
        self.optimizing = False
        self.nothing_to_do = False
        self.last_started = ""
        self.last_duration = ""
        self.result = ""

    # ------------------------------------------------------------------------------- by itself

    def serve(self) -> None:
        """Balances from time to time."""
        while True:
            self.active = bool(self.option("active"))
            if self.active and self.may_run(time.localtime(self.host.now())):
                self.balance()
            if not self.wait(float(self.option("sleep_interval"))):
                return

    def may_run(self, now: time.struct_time) -> bool:
        """Whether options allow balancing at this time of day and on this day of the week."""
        clock = f"{now.tm_hour:02d}{now.tm_min:02d}"
        weekday = (now.tm_wday + 1) % 7
        return _within(
            clock, str(self.option("begin_time")), str(self.option("end_time"))
        ) and _within(weekday, int(self.option("begin_weekday")), int(self.option("end_weekday")))

    def balance(self) -> None:
        """Makes a plan, says what it does, and carries it out."""
        stamp = time.strftime("%Y-%m-%d_%H:%M:%S", time.gmtime(self.host.now()))
        self.optimizing = True
        try:
            plan = self.make_plan(f"auto_{stamp}", self.chosen_pools())
            for line in plan.explain():
                self.log.info("%s: %s", plan.name, line.removeprefix("# "))
            self.execute(plan)
        except CephError as error:
            self.log.info("%s", error.message)
        finally:
            self.optimizing = False

    def chosen_pools(self) -> list[str]:
        """Names of the pools in `pool_ids`, of those that there are; others are dropped from it."""
        told = str(self.option("pool_ids"))
        numbers = [int(word) for word in told.split(",") if word.strip().isdecimal()]
        names = self.host.osd_map().pool_name
        left = [number for number in numbers if number in names]
        if left != numbers:
            self.set_option("pool_ids", ",".join(map(str, left)))
        return [names[number] for number in left]

    def gather_telemetry(self) -> dict[str, object]:
        """What the report of `telemetry` says of it."""
        return {"active": self.option("active"), "mode": self.option("mode")}

    # --------------------------------------------------------------------------------- plans

    def settings(self) -> Settings:
        """The options that plans depend on."""
        words = str(self.option("crush_compat_metrics")).split(",")
        return Settings(
            max_misplaced=float(self.host.option("target_max_misplaced_ratio") or 0.0),
            upmap_max_optimizations=int(self.option("upmap_max_optimizations")),
            upmap_max_deviation=int(self.option("upmap_max_deviation")),
            crush=CompatSettings(
                max_iterations=int(self.option("crush_compat_max_iterations")),
                step=float(self.option("crush_compat_step")),
                metrics=tuple(word.strip() for word in words),
                min_score=float(self.option("min_score")),
            ),
        )

    def loads(self) -> Loads:
        """Objects and bytes of each PG, as last reported."""
        told = self.host.get("pg_stats") or {}
        return {
            PGId.parse(one["pgid"]): (
                int(one["stat_sum"]["num_objects"]),
                int(one["stat_sum"]["num_bytes"]),
            )
            for one in told.get("pg_stats", ())
        }

    def make_plan(self, name: str, pools: list[str]) -> Plan:
        """A plan by the mode that is set. Raises why there is none, which `status` shows."""
        started = time.monotonic()
        self.last_started = time.asctime(time.localtime(self.host.now()))
        self.result = IN_PROGRESS
        mode = str(self.option("mode"))
        plan = Plan(name, mode, self.host.osd_map(), self.loads(), pools)
        try:
            optimize(plan, self.host.get("pg_status"), self.settings(), self.rng)
        except CephError as error:
            self.result = error.message
            self.nothing_to_do = error.errno == errno.EALREADY
            raise
        finally:
            self.last_duration = str(timedelta(seconds=time.monotonic() - started))
        self.result, self.nothing_to_do = SUCCESS, False
        return plan

    def plan(self, name: str) -> Plan:
        """A plan that was made. NotFound."""
        found = self.plans.get(name)
        if found is None:
            raise NotFound(f"plan {name} not found")
        return found

    def execute(self, plan: Plan) -> None:
        """Has the monitors carry a plan out. Raises what the first refused command ended with."""
        for command in plan.commands():
            self.log.info("%s", command_text(command))
            arguments = {key: value for key, value in command.items() if key != "prefix"}
            self.ask(command["prefix"], timeout_s=60.0, **arguments).check()

    def refuse_while_active(self, what: str) -> None:
        """By hand only what the automatic balancer does not do at the same time."""
        if self.active:
            raise InvalidArgument(f"Balancer enabled, disable to {what}")
        if self.optimizing:
            raise InvalidArgument("Balancer finishing up....try again")

    def set_active(self, active: bool) -> None:
        """`balancer on` and `balancer off`."""
        if self.active != active:
            self.set_option("active", active)
            self.active = active
        self.wake()


def _within(value: Any, begin: Any, end: Any) -> bool:
    """Whether a value is in a span that may go round the end of the day or week."""
    inside: bool = begin <= value < end if begin <= end else value >= begin or value < end
    return inside


def _document(value: object) -> Reply:
    return said(data=json.dumps(value, indent=4, sort_keys=True))


# ------------------------------------------------------------------------------------- commands


@COMMANDS.add("balancer status", perm="r", help="Show balancer status")
def status(module: Balancer, request: Request) -> Reply:
    """Whether it is on, its mode, and how the last attempt went."""
    return _document(
        {
            "plans": list(module.plans),
            "active": module.active,
            "last_optimize_started": module.last_started,
            "last_optimize_duration": module.last_duration,
            "optimize_result": module.result,
            "no_optimization_needed": module.nothing_to_do,
            "mode": module.option("mode"),
        }
    )


@COMMANDS.add("balancer mode", mode=choices(*MODES), perm="rw", help="Set balancer mode")
def set_mode(module: Balancer, request: Request, mode: str) -> Reply:
    """Sets the mode; upmap needs clients that know exceptions for PGs."""
    osdmap = module.host.osd_map()
    if mode == "upmap" and osdmap.require_min_compat_client < Release.LUMINOUS:
        name = Release.name_of(osdmap.require_min_compat_client)
        raise NotPermitted(
            f'min_compat_client "{name}" < "luminous", which is required for pg-upmap. '
            'Try "ceph osd set-require-min-compat-client luminous" before enabling this mode'
        )
    module.set_option("mode", mode)
    return Reply()


@COMMANDS.add("balancer on", perm="rw", help="Enable automatic balancing")
def turn_on(module: Balancer, request: Request) -> Reply:
    """The module balances by itself."""
    module.set_active(True)
    return Reply()


@COMMANDS.add("balancer off", perm="rw", help="Disable automatic balancing")
def turn_off(module: Balancer, request: Request) -> Reply:
    """The module does only what it is told."""
    module.set_active(False)
    return Reply()


@COMMANDS.add(
    "balancer pool ls",
    perm="r",
    help="List automatic balancing pools. Note that empty list means all existing pools will be "
    "automatic balancing targets, which is the default behaviour of balancer.",
)
def pool_ls(module: Balancer, request: Request) -> Reply:
    """The pools that are balanced automatically; nothing where that is all."""
    chosen = module.chosen_pools()
    return _document(sorted(chosen)) if module.option("pool_ids") else Reply()


@COMMANDS.add(
    "balancer pool add",
    pools=text(repeated=True),
    perm="rw",
    help="Enable automatic balancing for specific pools",
)
def pool_add(module: Balancer, request: Request, pools: list[str]) -> Reply:
    """From now on these and those that were named before are balanced, and no others."""
    osdmap = module.host.osd_map()
    unknown = [name for name in pools if find_pool(osdmap, name) is None]
    if unknown:
        raise InvalidArgument(f"pool(s) {unknown} not found")
    _change_pools(module, osdmap, add=pools, remove=[])
    return Reply()


@COMMANDS.add(
    "balancer pool rm",
    pools=text(repeated=True),
    perm="rw",
    help="Disable automatic balancing for specific pools",
)
def pool_rm(module: Balancer, request: Request, pools: list[str]) -> Reply:
    """These are not named any more; where none is left all are balanced."""
    _change_pools(module, module.host.osd_map(), add=[], remove=pools)
    return Reply()


def _change_pools(module: Balancer, osdmap: OSDMap, add: list[str], remove: list[str]) -> None:
    names = [one for one in [*module.chosen_pools(), *add] if one not in remove]
    numbers = sorted({number for name in names if (number := find_pool(osdmap, name)) is not None})
    module.set_option("pool_ids", ",".join(map(str, numbers)))


@COMMANDS.add(
    "balancer eval",
    option=text(required=False),
    perm="r",
    help="Evaluate data distribution for the current cluster or specific pool or specific plan",
)
def eval_short(module: Balancer, request: Request, option: str = "") -> Reply:
    """How even the cluster, a pool, or what a plan would make of it is."""
    return _eval(module, option, verbose=False)


@COMMANDS.add(
    "balancer eval-verbose",
    option=text(required=False),
    perm="r",
    help="Evaluate data distribution for the current cluster or specific pool or specific plan "
    "(verbosely)",
)
def eval_verbose(module: Balancer, request: Request, option: str = "") -> Reply:
    """The same, with all figures."""
    return _eval(module, option, verbose=True)


def _eval(module: Balancer, option: str, *, verbose: bool) -> Reply:
    osdmap, pools, told = module.host.osd_map(), [], "current cluster"
    plan = module.plans.get(option)
    if plan is not None:
        osdmap, pools, told = plan.result(), plan.pools, f"plan {plan.name} final"
    elif option:
        if find_pool(osdmap, option) is None:
            raise InvalidArgument(f'option "{option}" not a plan or a pool')
        pools, told = [option], f'pool "{option}"'
    placed = place(told, osdmap, module.loads())
    score = evaluate(placed, pools, module.settings().crush.metrics)
    return said(data=score.show(verbose=verbose))


@COMMANDS.add(
    "balancer optimize",
    plan=text(),
    pools=text(required=False, repeated=True),
    perm="rw",
    help="Run optimizer to create a new plan",
)
def make(module: Balancer, request: Request, plan: str, pools: list[str]) -> Reply:
    """Makes a plan, and changes nothing."""
    module.refuse_while_active("optimize manually")
    osdmap = module.host.osd_map()
    unknown = [name for name in pools if find_pool(osdmap, name) is None]
    if unknown:
        raise InvalidArgument(f"pools {unknown} not found")
    module.plans[plan] = module.make_plan(plan, pools)
    return Reply()


@COMMANDS.add("balancer show", plan=text(), perm="r", help="Show details of an optimization plan")
def show(module: Balancer, request: Request, plan: str) -> Reply:
    """What a plan would do, and the commands that do it."""
    return said(data=module.plan(plan).show())


@COMMANDS.add("balancer rm", plan=text(), perm="rw", help="Discard an optimization plan")
def rm(module: Balancer, request: Request, plan: str) -> Reply:
    """Forgets a plan, if there is one of that name."""
    module.plans.pop(plan, None)
    return Reply()


@COMMANDS.add("balancer reset", perm="rw", help="Discard all optimization plans")
def reset(module: Balancer, request: Request) -> Reply:
    """Forgets all plans."""
    module.plans.clear()
    return Reply()


@COMMANDS.add("balancer dump", plan=text(), perm="r", help="Show an optimization plan")
def dump(module: Balancer, request: Request, plan: str) -> Reply:
    """The change of the map that a plan is."""
    return said(data=module.plan(plan).dump())


@COMMANDS.add("balancer ls", perm="r", help="List all plans")
def ls(module: Balancer, request: Request) -> Reply:
    """Names of plans."""
    return _document(list(module.plans))


@COMMANDS.add("balancer execute", plan=text(), perm="rw", help="Execute an optimization plan")
def run(module: Balancer, request: Request, plan: str) -> Reply:
    """Carries a plan out, and forgets it."""
    module.refuse_while_active("execute a plan")
    chosen = module.plan(plan)
    try:
        module.execute(chosen)
    finally:
        module.plans.pop(plan, None)
    return Reply()
