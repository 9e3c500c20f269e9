"""`devicehealth`: has disks asked how they are, and takes those that will fail soon out of use.

Daemons run smartctl (their command `smart`); what it says is kept in a pool. How long a device may
live is told by people (`device set-life-expectancy`) or by other modules. Commands, options,
checks and texts: upstream `src/pybind/mgr/devicehealth/module.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from errno import EPERM
from typing import TYPE_CHECKING, Any

from spirula import rados
from spirula.commands.arguments import text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.errors import InputOutput, InvalidArgument, NotFound, SpirulaError, TryAgain
from spirula.maps.query import find_pool, up_osds
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.devicehealth import samples
from spirula.mgr_modules.module import Module, Outcome
from spirula.mgr_modules.options import Option

if TYPE_CHECKING:
    from spirula.rados import Ioctx

Document = dict[str, Any]
_DAY_S = 86400
_ASK_TIMEOUT_S = 60
"""How long a daemon may take to ask its disks."""
_LAST = "last_scrape"
_NO_MODEL = "unable to enable any disk prediction model[local/cloud]"
_NO_PLUGIN = "unable to invoke diskprediction local or remote plugin"


class DeviceHealth(Module):
    """The module `devicehealth`."""

    COMMANDS = Commands("mgr")
    OPTIONS = (
        Option("enable_monitoring", default=True, help="Whether disks are asked at all"),
        Option("scrape_frequency", _DAY_S, "How often disks are asked", kind="secs"),
        Option("pool_name", "device_health_metrics", "The pool of what they say"),
        Option("retention_period", 180 * _DAY_S, "How long that is kept", kind="secs"),
        Option("mark_out_threshold", 28 * _DAY_S, "Below this an OSD is marked out", kind="secs"),
        Option("warn_threshold", 84 * _DAY_S, "Below this health warns", kind="secs"),
        Option("self_heal", default=True, help="Whether OSDs are marked out at all"),
        Option("sleep_interval", 600, "How often expectancies are looked at", kind="secs"),
    )
    NOTIFY_TYPES = frozenset({"osd_map"})

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._pool_is_made = False

    def serve(self) -> None:
        """Looks at expectancies, and asks all disks when it is time."""
        while True:
            if self.option("enable_monitoring"):
                self._make_pool()
                self.check_health()
                now = self.host.now()
                if now >= self._next_scrape():
                    self._scrape_and_predict()
                    self.host.store_set(_LAST, samples.key_at(now))
            if not self.wait(self.option("sleep_interval") or 60):
                return

    def notify(self, kind: str, ident: str) -> None:
        """OSDs have come: there may be enough for the pool now."""
        if not self._pool_is_made and self.option("enable_monitoring"):
            self._make_pool()

    def _next_scrape(self) -> float:
        last = samples.time_of(self.host.store_get(_LAST) or "")
        if last is None:
            return 0.0
        period = self.option("scrape_frequency") or _DAY_S
        return last - last % period + period

    def _scrape_and_predict(self) -> None:
        try:
            self._scrape(self._all_daemons())
        except SpirulaError as error:
            self.log.info("disks are not asked: %s", error)
        self._predict("predict_all_devices")

    # ------------------------------------------------------------------------------------ the pool

    def _make_pool(self) -> bool:
        """Whether there is a pool; it is made once there are enough OSDs for it."""
        with self.lock:
            if self._pool_is_made:
                return True
            osdmap, name = self.host.osd_map(), self.option("pool_name")
            if find_pool(osdmap, name) is None:
                if len(up_osds(osdmap)) < int(self.host.option("osd_pool_default_size")):
                    return False
                made = self.ask("osd pool create", pool=name, pg_num=1, pg_num_min=1, pg_num_max=32)
                if made.r == 0:
                    app = "mgr_devicehealth"
                    made = self.ask("osd pool application enable", pool=name, app=app)
                if made.r < 0:
                    self.log.error("pool %s cannot be made: %s", name, made.status)
                    return False
            self._pool_is_made = True
            return True

    @contextmanager
    def _pool(self) -> Iterator[Ioctx]:
        """The pool. InputOutput where the cluster refuses what is done with it."""
        try:
            with self.cluster().open_ioctx(self.option("pool_name")) as ioctx:
                yield ioctx
        except rados.Error as error:
            raise InputOutput(f"pool {self.option('pool_name')}: {error}") from None

    # ----------------------------------------------------------------------------------- scraping

    def _all_daemons(self) -> list[str]:
        up = [f"osd.{osd}" for osd in up_osds(self.host.osd_map())]
        return [*up, *(f"mon.{one['name']}" for one in self.host.get("mon_map").get("mons", ()))]

    def _scrape(self, daemons: Iterable[str], devid: str = "") -> None:
        """Asks daemons for samples of their devices and keeps them. TryAgain, InputOutput."""
        if not self._make_pool():
            raise TryAgain("device_health_metrics pool not yet available")
        told: dict[str, Document] = {}
        for daemon in daemons:
            told = self._ask_disks(daemon, devid) | told
        kept = {ident: one for ident, one in told.items() if ident and one}
        if not kept:
            return
        with self._pool() as ioctx:
            for ident, sample in kept.items():
                now = self.host.now()
                samples.put(ioctx, ident, sample, now, self.option("retention_period"))
                worn = samples.wear_level(sample)
                if worn is not None:
                    self.host.set_wear_level(ident, worn)

    def _ask_disks(self, daemon: str, devid: str = "") -> Document:
        """What smartctl says of each device of a daemon, by the device's id."""
        asked = {"devid": devid} if devid else {}
        outcome = self.tell(daemon, "smart", timeout_s=_ASK_TIMEOUT_S, format="json", **asked)
        try:
            return dict(json.loads(outcome.check()))
        except (SpirulaError, TypeError, ValueError) as error:
            self.log.warning("%s does not say how its devices are: %s", daemon, error)
            return {}

    @COMMANDS.add(
        "device query-daemon-health-metrics",
        who=text(),
        perm="r",
        help="ask a daemon how its devices are",
    )
    def query(self, request: Request, who: str) -> Reply:
        """What it says, which is not kept."""
        asked = self.tell(_daemon(who), "smart", timeout_s=_ASK_TIMEOUT_S, format="json")
        return Reply(asked.status, asked.out.encode(), asked.r)

    @COMMANDS.add(
        "device scrape-daemon-health-metrics",
        who=text(),
        perm="r",
        help="ask a daemon how its devices are, and keep it",
    )
    def scrape_daemon(self, request: Request, who: str) -> Reply:
        """One daemon."""
        self._scrape([_daemon(who)])
        return Reply()

    @COMMANDS.add(
        "device scrape-health-metrics",
        devid=text(required=False),
        perm="r",
        help="have all devices or one asked how they are, and keep it",
    )
    def scrape(self, request: Request, devid: str | None = None) -> Reply:
        """All daemons, or one of those that use a device."""
        if devid is None:
            self._scrape(self._all_daemons())
            return Reply()
        daemons = self._device(devid)["daemons"]
        if not daemons:
            raise TryAgain(f"device {devid} not claimed by any active daemons")
        # Monitors of ours do not ask their disks.
        chosen = min(daemons, key=lambda one: (not one.startswith("osd."), one))
        self._scrape([chosen], devid)
        return Reply()

    @COMMANDS.add(
        "device get-health-metrics",
        devid=text(),
        sample=text(required=False),
        perm="r",
        help="show what a device has told so far",
    )
    def show(self, request: Request, devid: str, sample: str = "") -> Reply:
        """All samples, or that of a time."""
        self._device(devid)
        found = self.get_recent_device_metrics(devid, "", sample)
        return Reply(data=json.dumps(found, indent=4, sort_keys=True).encode())

    def get_recent_device_metrics(
        self, devid: str, min_sample: str, sample: str = ""
    ) -> dict[str, Document]:
        """Samples of a device by time, later than one; for other modules, too."""
        if find_pool(self.host.osd_map(), self.option("pool_name")) is None:
            return {}
        with self._pool() as ioctx:
            return samples.get(ioctx, devid, sample, min_sample)

    def get_time_format(self) -> str:
        """How the times of samples are written, for other modules."""
        return samples.TIME_FORMAT

    def _device(self, devid: str) -> Document:
        found = self.host.get(f"device {devid}")
        if not found:
            raise NotFound(f"device {devid} not found")
        return dict(found["device"])

    # --------------------------------------------------------------------------------- monitoring

    @COMMANDS.add("device monitoring on", perm="rw", help="have disks asked how they are")
    def turn_on(self, request: Request) -> Reply:
        """From now on."""
        self.set_option("enable_monitoring", True)
        self.wake()
        return Reply()

    @COMMANDS.add("device monitoring off", perm="rw", help="leave disks alone")
    def turn_off(self, request: Request) -> Reply:
        """Nothing is asked, and health says nothing of devices."""
        self.set_option("enable_monitoring", False)
        self.host.set_health_checks({})
        return Reply()

    @COMMANDS.add(
        "device check-health", perm="rw", help="see now which devices are expected to fail"
    )
    def check(self, request: Request) -> Reply:
        """What is done now and then anyway."""
        self.check_health()
        return Reply()

    def check_health(self) -> None:
        """Warns of devices that are expected to fail, and marks their OSDs out."""
        now = self.host.now()
        failing: list[str] = []
        ending: dict[int, float] = {}
        for device in self.host.get("devices")["devices"]:
            end = _end_of(device)
            if end is None or not device["daemons"]:
                continue
            if end - now <= self.option("mark_out_threshold") and self.option("self_heal"):
                names = [one for one in device["daemons"] if one.startswith("osd.")]
                ending |= {int(one.removeprefix("osd.")): end for one in names}
            if end - now <= self.option("warn_threshold"):
                failing.append(_warning(device))
        osds = {one["osd"]: bool(one["in"]) for one in self.host.get("osd_map")["osds"]}
        too_many = self._mark_out({osd: at for osd, at in ending.items() if osds.get(osd)}, osds)
        in_use = self._still_used([osd for osd in ending if osds.get(osd) is False])
        checks = {
            "DEVICE_HEALTH": (f"{len(failing)} device(s) expected to fail soon", failing),
            "DEVICE_HEALTH_IN_USE": (
                f"{len(in_use)} daemon(s) expected to fail soon and still contain data",
                in_use,
            ),
            "DEVICE_HEALTH_TOOMANY": ("Too many daemons are expected to fail soon", too_many),
        }
        self.host.set_health_checks(
            {
                code: {
                    "severity": "warning",
                    "summary": summary,
                    "count": len(lines),
                    "detail": lines,
                }
                for code, (summary, lines) in checks.items()
                if lines
            }
        )

    def _still_used(self, osds: Iterable[int]) -> list[str]:
        """OSDs that are out may still have PGs."""
        stats = {one["osd"]: one["num_pgs"] for one in self.host.get("osd_stats")["osd_stats"]}
        return [
            f"osd.{osd} is marked out but still has {stats[osd]} PG(s)"
            for osd in osds
            if stats.get(osd, 0) > 0
        ]

    def _mark_out(self, ending: dict[int, float], osds: dict[int, bool]) -> list[str]:
        """Marks OSDs out, the first to fail first; says when too few would be left in."""
        least = float(self.host.option("mon_osd_min_in_ratio"))
        count_in, count = sum(osds.values()), len(osds)
        out: list[int] = []
        too_many: list[str] = []
        for osd in sorted(ending, key=lambda one: (ending[one], one)):
            if (count_in - len(out) - 1) / count < least:
                left = (count_in - len(ending)) / count
                too_many.append(
                    f"{len(ending) - len(out)} OSDs with failing device(s) would bring"
                    f' "in" ratio to {left:f} < mon_osd_min_in_ratio {least:f}'
                )
                break
            out.append(osd)
        if out:
            self.log.warning("marking out OSDs whose devices will fail: %s", out)
            self._told(self.ask("osd out", ids=[str(osd) for osd in out]))
            for osd in out:
                self._told(self.ask("osd primary-affinity", id=osd, weight=0.0))
        return too_many

    def _told(self, outcome: Outcome) -> None:
        if outcome.r < 0:
            self.log.warning("the monitors refuse: %s", outcome.status)

    # --------------------------------------------------------------------------------- prediction

    @COMMANDS.add(
        "device predict-life-expectancy",
        devid=text(),
        perm="r",
        help="have the prediction module say how long a device may live",
    )
    def predict(self, request: Request, devid: str) -> Reply:
        """What that module answers, where one is chosen and there."""
        return self._predict("predict_life_expectancy", devid=devid)

    def _predict(self, method: str, **arguments: str) -> Reply:
        if str(self.host.option("device_failure_prediction_mode")).lower() != "local":
            return Reply(_NO_MODEL, rc=-EPERM)
        plugin = "diskprediction_local"
        try:
            can_run, _ = self.remote(plugin, "can_run")
            if not can_run:
                return Reply(f"{plugin} is not available", rc=-EPERM)
            r, out, status = self.remote(plugin, method, **arguments)
        except (ImportError, NameError):
            return Reply(_NO_PLUGIN, rc=-EPERM)
        return Reply(status, out.encode(), r)


def _daemon(who: str) -> str:
    if who.partition(".")[0] not in ("osd", "mon") or not who.partition(".")[2]:
        raise InvalidArgument("not a valid mon or osd daemon name")
    return who


def _end_of(device: Document) -> float | None:
    """When a device is expected to have failed at the latest; None where nobody expects it."""
    stamp = device.get("life_expectancy_max", "")
    try:
        return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    except ValueError:
        return None


def _warning(device: Document) -> str:
    places = ",".join(f"{one['host']}:{one['dev']}" for one in device["location"])
    least, most = device.get("life_expectancy_min", "unknown"), device["life_expectancy_max"]
    return (
        f"{device['devid']} ({places}); daemons {','.join(device['daemons'])};"
        f" life expectancy between {least} and {most}"
    )
