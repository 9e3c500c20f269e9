"""The module `prometheus`: collects from time to time, answers over HTTP, and has a few commands.

Options, commands and answers: upstream `src/pybind/mgr/prometheus`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

from spirula.commands.reply import Reply, said
from spirula.commands.table import Commands
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.host import Host
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option
from spirula.mgr_modules.prometheus import cluster, daemons
from spirula.mgr_modules.prometheus.counters import KINDS, counters
from spirula.mgr_modules.prometheus.families import Family, exposition
from spirula.mgr_modules.prometheus.history import History
from spirula.mgr_modules.prometheus.images import ImageStats
from spirula.mgr_modules.prometheus.options import OPTIONS, localized, place_of
from spirula.mgr_modules.prometheus.server import (
    HTML,
    TEXT,
    Page,
    PageServer,
    front_page,
)
from spirula.mgr_modules.prometheus.standby import PrometheusStandby
from spirula.types.service import PRIO_USEFUL

COMMANDS = Commands("mgr")
_HISTORY = "health_history"
_RETURN = "return"
_ANY = ("::", "0.0.0.0")  # noqa: S104 - words of an option


class Prometheus(Module):
    """The module.

    `cached` is what was collected last, `took_s` how long that took; `spent` how long and how often
    each part was collected, under upstream's names for the parts.
    """

    COMMANDS: ClassVar[Commands] = COMMANDS
    OPTIONS: ClassVar[tuple[Option, ...]] = OPTIONS
    STANDBY = PrometheusStandby

    def __init__(self, name: str, host: Host) -> None:
        super().__init__(name, host)
        self.cached = ""
        self.took_s = 0.0
        self.spent: dict[str, tuple[float, int]] = {}
        self.server: PageServer | None = None
        self.images = ImageStats(host, self.cluster, self.log.warning)
        self.history = self._load_history()

    # ---------------------------------------------------------------------------------- serving

    def serve(self) -> None:
        """Listens, and collects from time to time. OSError when the port is taken."""
        try:
            while True:
                self._listen()
                if localized(self, "cache") and self.host.have_mon_connection():
                    self.refresh()
                interval = float(localized(self, "scrape_interval"))
                if not self.wait(max(interval - self.took_s, 0.0)):
                    return
        finally:
            if self.server is not None:
                self.server.close()
            self.images.close()

    def _listen(self) -> None:
        """Opens the server where options say, and closes the one that was open elsewhere."""
        address, port = place_of(self)
        if self.server is not None:
            if (self.server.address, self.server.port) == (address, port):
                return
            self.server.close()
            self.server = None
        self.server = PageServer(address, port, self.respond)
        if address in _ANY:
            ips = (self.host.get("mgr_ips") or {}).get("ips") or [address]
            address = str(ips[0])
        shown = f"[{address}]" if ":" in address else address
        self.host.set_uri(f"http://{shown}:{self.server.port}/")

    def respond(self, path: str) -> Page:
        """A page; whatever is no page of its own is the front page."""
        if path.rstrip("/") != "/metrics":
            return front_page("/metrics")
        if not localized(self, "cache"):
            return Page(self.collect(), TEXT)
        if not self.cached:
            return Page("No cached data available yet", HTML, 503)
        interval = float(localized(self, "scrape_interval"))
        if self.took_s >= interval and localized(self, "stale_cache_strategy") != _RETURN:
            text = (
                f"Gathering data took {self.took_s:.2f} seconds, metrics are stale for "
                f'{self.took_s - interval:.2f} seconds, returning "service unavailable".'
            )
            self.log.error("%s", text)
            return Page(text, HTML, 503)
        return Page(self.cached, TEXT)

    # -------------------------------------------------------------------------------- collecting

    def refresh(self) -> None:
        """Collects for those who ask later."""
        started = time.monotonic()
        text = self.collect()
        self.cached, self.took_s = text, time.monotonic() - started

    def collect(self) -> str:
        """All metrics, in print."""
        with self.lock:
            return exposition(self._families())

    def _families(self) -> Iterator[Family]:
        host = self.host
        where = self._locate()
        parts: list[tuple[str, Callable[[], Iterator[Family]]]] = [
            ("get_health", self._health),
            ("get_df", lambda: cluster.space(host.get("df"))),
            ("get_pool_stats", lambda: cluster.recovery(host.get("osd_pool_stats"))),
            ("get_fs", lambda: daemons.file_systems(host.get("fs_map"), where)),
            ("get_osd_stats", lambda: daemons.osd_latencies(host.get("osd_stats"))),
            (
                "get_quorum_status",
                lambda: cluster.monitors(json.loads(host.get("mon_status")["json"]), where),
            ),
            (
                "get_mgr_status",
                lambda: cluster.managers(host.get("mgr_map"), host.release_name(), where),
            ),
            ("get_metadata_and_osd_status", lambda: self._osds(where)),
            ("get_pg_status", lambda: cluster.pgs(host.get("pg_summary"))),
            ("get_pool_repaired_objects", lambda: cluster.repaired(host.get("pool_stats"))),
            ("get_daemon_health", lambda: daemons.health_metrics(host.health_metrics())),
            ("get_rbd_stats", self._images),
            (
                "get_all_perf_counters",
                lambda: counters(host.latest_counters(KINDS, PRIO_USEFUL)),
            ),
        ]
        for name, part in parts:
            started = time.monotonic()
            yield from list(part())
            total, count = self.spent.get(name, (0.0, 0))
            self.spent[name] = total + time.monotonic() - started, count + 1
        yield from self._durations()

    def _durations(self) -> Iterator[Family]:
        name = "prometheus_collect_duration_seconds"
        total = Family(
            f"{name}_sum",
            "counter",
            "The sum of seconds took to collect all metrics of this exporter",
            ("method",),
        )
        count = Family(
            f"{name}_count",
            "counter",
            "The amount of metrics gathered for this exporter",
            ("method",),
        )
        for method, (seconds, times) in self.spent.items():
            total.set(seconds, method)
            count.set(times, method)
        yield total
        yield count

    def _health(self) -> Iterator[Family]:
        document = json.loads(self.host.get("health")["json"] or "{}")
        if self.history.note(document.get("checks", {}), self.host.now()):
            self._keep_history()
        return cluster.health(document, self.history.seen)

    def _osds(self, where: cluster.Where) -> Iterator[Family]:
        osdmap = self.host.get("osd_map")
        devices = self.host.get("osd_map_crush")["devices"]
        yield from daemons.osds(osdmap, devices, self.host.get("osd_metadata"), where)
        yield from daemons.pools(osdmap)
        others = (
            (one["type"], one["id"])
            for server in self.host.server(None)
            for one in server["services"]
            if one["type"] in ("rgw", "rbd-mirror")
        )
        yield from daemons.services(
            (kind, name, self.host.metadata(kind, name) or {}) for kind, name in others
        )

    def _images(self) -> Iterator[Family]:
        pools = str(localized(self, "rbd_stats_pools"))
        return self.images.collect(
            pools, float(localized(self, "rbd_stats_pools_refresh_interval"))
        )

    def _locate(self) -> cluster.Where:
        known = {
            (one["type"], one["id"]): (server["hostname"], one.get("ceph_version", ""))
            for server in self.host.server(None)
            for one in server["services"]
        }
        return lambda kind, name: known.get((kind, name), ("", ""))

    # ----------------------------------------------------------------------------------- history

    def _load_history(self) -> History:
        try:
            return History.parse(self.host.store_get(_HISTORY))
        except ValueError as error:
            self.log.warning("the history of health checks begins anew: %s", error)
            return History()

    def _keep_history(self) -> None:
        self.host.store_set(_HISTORY, json.dumps(self.history.document()))

    def forget_history(self) -> None:
        """Nothing was ever wrong."""
        with self.lock:
            self.history = History()
            self._keep_history()


# ------------------------------------------------------------------------------------- commands


@COMMANDS.add(
    "prometheus file_sd_config",
    perm="r",
    help="Return file_sd compatible prometheus config for mgr cluster",
)
def file_sd_config(module: Prometheus, request: Request) -> Reply:
    """Where all managers answer, as Prometheus reads it from a file."""
    host = module.host
    targets = [
        f"{server['hostname']}:{_port_of(module, one['id'])}"
        for server in host.server(None)
        for one in server["services"]
        if one["type"] == "mgr"
    ]
    return said(data=json.dumps([{"targets": targets, "labels": {}}]))


def _port_of(module: Prometheus, manager: str) -> int:
    found = module.host.module_option(module.name, "server_port", manager)
    return int(module.option("server_port") if found is None else found)


@COMMANDS.add("healthcheck history ls", perm="r", help="List all the healthchecks being tracked")
def history_ls(module: Prometheus, request: Request) -> Reply:
    """Which checks have not passed, and when."""
    with module.lock:
        if request.is_plain:
            return said(data=module.history.table())
        return said(data=request.show(module.history.document()))


@COMMANDS.add("healthcheck history clear", perm="w", help="Clear the healthcheck history")
def history_clear(module: Prometheus, request: Request) -> Reply:
    """Begins the history anew."""
    module.forget_history()
    return said(data="healthcheck history cleared")
