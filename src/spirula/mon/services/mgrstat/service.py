"""MgrStatService: the sums, services, progress and health checks that the active manager reports.

Every version replaces the last; monitors answer from it what clients ask of usage. Called by
`monitor`. Store format: upstream `src/mon/MgrStatMonitor.cc` (digest, service map and progress
events, one behind the other, under each version).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.denc import Map, Struct, string, struct
from spirula.errors import WireError
from spirula.maps.query import find_pool
from spirula.messages.mgr import MMonMgrReport, MServiceMap
from spirula.messages.mon_client import (
    MGetPoolStats,
    MGetPoolStatsReply,
    MStatfs,
    MStatfsReply,
)
from spirula.mon.services.base import PaxosService
from spirula.pgmap import usage
from spirula.types.base import UTime
from spirula.types.pgmap import PGMapDigest
from spirula.types.service import HealthCheck, ProgressEvent, ServiceMap

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession, Subscription
    from spirula.mon.store import Transaction

_KEPT = 5


@struct
class Report(Struct):
    """What is kept of a manager's report."""

    digest: PGMapDigest
    services: ServiceMap
    progress: Map[string, ProgressEvent]


@struct
class ReportBeforeProgress(Struct):
    """Likewise, as monitors before 14.2 kept it."""

    digest: PGMapDigest
    services: ServiceMap


class MgrStatService(PaxosService):
    """The last report that was committed, and what is pending."""

    NAME = "mgrstat"
    MESSAGES = (MMonMgrReport, MStatfs, MGetPoolStats)
    SUBSCRIPTIONS = {"servicemap": None}  # noqa: RUF012 - ClassVar of the base

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.version = 0
        self.report_kept = Report()
        self.pending = Report()
        self.pending_health: dict[str, HealthCheck] = {}

    # --- what others ask

    @property
    def digest(self) -> PGMapDigest:
        """Sums over PGs and OSDs."""
        return self.report_kept.digest

    @property
    def service_map(self) -> ServiceMap:
        """Daemons that registered with the manager."""
        return self.report_kept.services

    @property
    def progress(self) -> dict[str, ProgressEvent]:
        """What goes on for long, by an id of the manager's."""
        return self.report_kept.progress

    def df_plain(self, *, detail: bool) -> str:
        """`ceph df`."""
        return usage.plain(self.digest, self.monitor.osdmap.osdmap, detail=detail)

    def df_document(self, *, detail: bool) -> dict[str, object]:
        """`ceph df -f json`."""
        return usage.document(self.digest, self.monitor.osdmap.osdmap, detail=detail)

    def service_metadata(self) -> dict[str, list[dict[str, str]]]:
        """What registered daemons tell of themselves, by service."""
        return {
            name: [one.metadata for _, one in sorted(service.daemons.items())]
            for name, service in sorted(self.service_map.services.items())
        }

    # --- Paxos

    def create_initial(self) -> None:
        self.pending.services.epoch = 1
        self.pending.services.modified = UTime.at(self.monitor.wall())

    def update(self) -> None:
        if self.version == self.last_committed:
            return
        self.version = self.last_committed
        encoded = self.get_version(self.version)
        if encoded is not None:
            self.report_kept = _decode(encoded)
            self.notify_subscribers()

    def create_pending(self) -> None:
        kept = self.report_kept
        self.pending = Report(kept.digest, kept.services, kept.progress)
        if not self.last_committed:
            self.pending = Report()
        self.pending_health = self.health.checks

    def encode_pending(self, transaction: Transaction) -> None:
        self.put_version(transaction, self.last_committed + 1, self.pending.encode())
        self.encode_health(transaction, self.gather_health())

    def gather_health(self) -> dict[str, HealthCheck]:
        return self.pending_health

    def trim_to(self) -> int:
        return max(self.last_committed - _KEPT, 0)

    # --- messages

    def preprocess(self, request: Request) -> bool:
        message = request.message
        if isinstance(message, MMonMgrReport):
            # Reports are not answered; that they come from a manager, the caps tell.
            if request.session.is_capable("mgr", execute=True):
                return False
        elif isinstance(message, MStatfs):
            self._on_statfs(request, message)
        elif isinstance(message, MGetPoolStats):
            self._on_pool_stats(request, message)
        request.no_reply()
        return True

    def prepare(self, request: Request) -> None:
        message = request.message
        request.no_reply()
        if not isinstance(message, MMonMgrReport):
            return
        active = self.monitor.mgrmap.pending.active_gid
        if message.gid and message.gid != active:
            self.monitor.log(10, f"report of manager {message.gid}, which is not active")
            return
        try:
            digest = PGMapDigest.decode(message.data)
            services = self.pending.services
            if message.service_map_bl:
                services = ServiceMap.decode(message.service_map_bl)
        except WireError as error:
            self.monitor.log(0, f"the manager's report cannot be read: {error}")
            return
        self.pending = Report(digest, services, message.progress_events)
        self.pending_health = message.health_checks.checks
        self.propose(self.damped())

    def _on_statfs(self, request: Request, message: MStatfs) -> None:
        monitor, session = self.monitor, request.session
        osdmap = monitor.osdmap.osdmap
        if not session.is_capable("pg", read=True) or message.fsid != monitor.monmap.fsid:
            return
        number = message.data_pool
        if number is not None and number not in osdmap.pools:
            # The answer has no room for an error, so that there is none.
            return
        digest = self.digest
        space, objects = digest.osd_sum.statfs, digest.pg_sum.stats.sum.num_objects
        total, used, free = space.total >> 10, space.used_raw >> 10, space.available >> 10
        if number is not None and number in digest.pg_pool_sum:
            pool = osdmap.pools[number]
            held = digest.pg_pool_sum[number].stats.sum
            rate = usage.raw_used_rate(osdmap, pool)
            avail = usage.raw_avail(digest, osdmap, pool)
            used, objects = held.num_bytes >> 10, held.num_objects
            free = int(avail / rate) >> 10 if rate else 0
            total = used + free
        reply = MStatfsReply(
            fsid=message.fsid,
            map_version=self.last_committed,
            kb=total,
            kb_used=used,
            kb_avail=free,
            num_objects=objects,
        )
        request.reply(reply)

    def _on_pool_stats(self, request: Request, message: MGetPoolStats) -> None:
        monitor, session = self.monitor, request.session
        if not session.is_capable("pg", read=True) or message.fsid != monitor.monmap.fsid:
            return
        found = {}
        for name in message.pools:
            number = find_pool(monitor.osdmap.osdmap, name)
            stat = None if number is None else self.digest.pg_pool_sum.get(number)
            if stat is not None:
                found[name] = stat
        reply = MGetPoolStatsReply(
            version=self.last_committed,
            fsid=message.fsid,
            pool_stats=found,
            per_pool=usage.per_pool(self.digest),
        )
        request.reply(reply)

    # --- subscriptions

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        epoch = self.service_map.epoch
        if not epoch or subscription.next > epoch:
            return
        self.monitor.send(session, MServiceMap(service_map=self.service_map))
        if subscription.onetime:
            self.monitor.sessions.unsubscribe(session, subscription.what)
        else:
            subscription.next = epoch + 1


def _decode(encoded: bytes) -> Report:
    try:
        return Report.decode(encoded)
    except WireError:
        older = ReportBeforeProgress.decode(encoded)
        return Report(older.digest, older.services)
