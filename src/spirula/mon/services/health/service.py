"""HealthService: every monitor's own checks, the leader's, and the mutes, in Paxos like the rest.

At each tick a monitor looks at itself and tells the leader what has changed; the leader looks at
the quorum as well. The checks of other services are theirs: they store them with what they commit,
and `all_checks` puts all together. Called by `monitor`. Store format: upstream
`src/mon/HealthMonitor.cc` (keys `quorum`, `leader`, `mutes` under the prefix `health`).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from spirula.auth.cephx.service import GlobalIdStatus
from spirula.denc import Map, Struct, s32, string, struct
from spirula.messages.quorum import MMonHealthChecks
from spirula.mon import metadata
from spirula.mon.op_tracker import describe
from spirula.mon.quorum.absence import REFUSED
from spirula.mon.services.base import PaxosService
from spirula.mon.services.health import checks, commands, history, mutes, show
from spirula.mon.services.mgrmap.active import all_names
from spirula.mon.services.osdmap.metadata import by_version
from spirula.types.log import LogLevel
from spirula.types.service import HealthCheck, HealthCheckMap, HealthMute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.store import Transaction

_KEPT = 5
_LONGEST_LINE = 300
"""Characters of a request's description in the log."""


@struct
class QuorumChecks(Struct):
    """What each monitor found of itself, by rank."""

    by_rank: Map[s32, HealthCheckMap]


@struct
class Mutes(Struct):
    """Mutes by the code of the check."""

    by_code: Map[string, HealthMute]


class HealthService(PaxosService):
    """The health service of one monitor.

    `quorum_checks` are the monitors' own by rank, `leader_checks` the leader's; at the leader they
    are ahead of what is committed.
    """

    NAME = "health"
    COMMANDS = (commands.commands,)
    MESSAGES = (MMonHealthChecks,)

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.quorum_checks: dict[int, HealthCheckMap] = {}
        self.leader_checks: dict[str, HealthCheck] = {}
        self.mutes: dict[str, HealthMute] = {}
        self.pending_mutes: dict[str, HealthMute] = {}
        self.history = history.History()
        self._leading = False
        self._told = False
        self._older_since: float | None = None

    # --- what others ask

    def all_checks(self) -> dict[str, HealthCheck]:
        """All committed checks of all services, by code."""
        together: dict[str, HealthCheck] = {}
        for service in self.monitor.services:
            checks.merge(together, service.health.checks)
        return together

    def document(self, *, detail: bool) -> dict[str, object]:
        """The health as a section of another document."""
        return {"health": self.gather(detail=detail)}

    def gather(self, *, detail: bool) -> dict[str, object]:
        """The health as a document."""
        return show.document(self.all_checks(), self.mutes, detail=detail)

    def plain(self, *, detail: bool = False, first: str = " ", between: str = "; ") -> str:
        """The health in print, with a line break at its end."""
        return show.plain(
            self.all_checks(),
            self.mutes,
            self.monitor.wall(),
            detail=detail,
            first=first,
            between=between,
        )

    # --- Paxos

    def update(self) -> None:
        encoded = self.get_value("quorum")
        self.quorum_checks = QuorumChecks.decode(encoded).by_rank if encoded else {}
        encoded = self.get_value("leader")
        self.leader_checks = HealthCheckMap.decode(encoded).checks if encoded else {}
        encoded = self.get_value("mutes")
        self.mutes = Mutes.decode(encoded).by_code if encoded else {}
        history.look(self)

    def create_pending(self) -> None:
        self.pending_mutes = copy.deepcopy(self.mutes)

    def encode_pending(self, transaction: Transaction) -> None:
        self.put_last(transaction, self.last_committed + 1)
        transaction.put(self.NAME, "quorum", QuorumChecks(self.quorum_checks).encode())
        transaction.put(self.NAME, "leader", HealthCheckMap(self.leader_checks).encode())
        transaction.put(self.NAME, "mutes", Mutes(self.pending_mutes).encode())
        self.encode_health(transaction, self.gather_health())

    def gather_health(self) -> dict[str, HealthCheck]:
        found = checks.combine(self.quorum_checks, self.monitor.monmap)
        checks.merge(found, self.leader_checks)
        return found

    def trim_to(self) -> int:
        return max(self.last_committed - _KEPT, 0)

    def on_restart(self) -> None:
        self._leading = False

    def on_active(self) -> None:
        if not self.monitor.is_leader or not self.is_writeable:
            return
        if not self._leading:
            self._leading = True
            self._told = False
            self._check()
        if not self._told and self.due is None:
            # What this leader sees is committed, so that the log is told what is true now.
            self._told = True
            history.on_lead(self)

    # --- looking

    def tick(self) -> None:
        monitor = self.monitor
        if not monitor.is_leader:
            self._check_member()
        elif self.is_writeable:
            self._check()
            history.tick(self)

    def _check(self) -> None:
        """At the leader: look at everything, and propose what has changed."""
        changed = self._check_member()
        members = self.monitor.member.state.quorum
        for rank in set(self.quorum_checks) - members:
            del self.quorum_checks[rank]
            changed = True
        found = self._check_quorum()
        if found != self.leader_checks:
            self.leader_checks = found
            changed = True
        muted, ended = mutes.expire(self.pending_mutes, self.all_checks(), self.monitor.wall())
        for line in ended:
            self.monitor.clog(LogLevel.INFO, line)
        if changed or muted:
            self.propose()

    def _check_member(self) -> bool:
        """Look at this monitor. True if the leader, this one, has to propose; others tell it."""
        monitor = self.monitor
        config, name = monitor.config, monitor.name
        found = checks.disk_checks(
            name,
            monitor.ports.disk(),
            warn=config.get_int("mon_data_avail_warn"),
            crit=config.get_int("mon_data_avail_crit"),
            big=config.get_int("mon_data_size_warn"),
        )
        if (
            config.get_bool("mon_warn_on_osd_down_out_interval_zero")
            and config.get_int("mon_osd_down_out_interval") == 0
        ):
            found |= checks.no_down_out_interval(name)
        if config.get_bool("auth_allow_insecure_global_id_reclaim"):
            found |= self._check_reclaims()
        count, oldest_s, op = monitor.ops.slow(monitor.wall())
        if op is not None:
            text = f"{count} slow requests, the oldest is {describe(op.message)}"
            monitor.log(-1, text[:_LONGEST_LINE])
        found |= checks.slow_ops(name, count, oldest_s)
        known = self.quorum_checks.get(monitor.rank, HealthCheckMap({}))
        if known.checks == found:
            return False
        mine = HealthCheckMap(found)
        if monitor.is_leader:
            self.quorum_checks[monitor.rank] = mine
            return True
        monitor.send_to_rank(monitor.member.state.leader, MMonHealthChecks(health_checks=mine))
        return False

    def _check_reclaims(self) -> dict[str, HealthCheck]:
        monitor = self.monitor
        found: dict[str, HealthCheck] = {}
        if monitor.config.get_bool("mon_warn_on_insecure_global_id_reclaim"):
            clients = [
                f"{session.entity} at {session.addrs}"
                for session in monitor.sessions
                if session.auth is not None
                and session.auth.status is GlobalIdStatus.RECLAIM_INSECURE
            ]
            found |= checks.insecure_reclaims(
                clients, monitor.config.get_int("mon_health_max_detail")
            )
        if monitor.config.get_bool("mon_warn_on_insecure_global_id_reclaim_allowed"):
            found |= checks.insecure_reclaim_allowed(monitor.name)
        return found

    def _check_quorum(self) -> dict[str, HealthCheck]:
        monitor = self.monitor
        config, monmap = monitor.config, monitor.monmap
        found: dict[str, HealthCheck] = {}
        if config.get_bool("mon_warn_on_older_version"):
            found |= self._check_versions()
        born = float(monmap.created)
        if monitor.wall() > born + config.get_int("mon_down_mkfs_grace"):
            absent = monitor.member.state.absent
            reasons = {name: why for name, why in absent.items() if why != REFUSED}
            found |= checks.mon_down(monmap, monitor.member.state.quorum, reasons)
        clocks = monitor.member.timecheck
        found |= checks.clock_skew(
            monmap,
            {rank: (skew, clocks.latencies.get(rank, 0.0)) for rank, skew in clocks.skews.items()},
            config.get_float("mon_clock_drift_allowed"),
        )
        if config.get_bool("mon_warn_on_msgr2_not_enabled") and config.get_bool("ms_bind_msgr2"):
            found |= checks.msgr2_missing(monmap)
        return found

    def _check_versions(self) -> dict[str, HealthCheck]:
        """Warn of old daemons only when an upgrade should be over."""
        monitor = self.monitor
        versions = by_version(monitor.store, monitor.osdmap.osdmap)
        for name, about in self._all_metadata():
            version = about.get("ceph_version_short")
            if version is not None:
                versions.setdefault(version, []).append(name)
        if len(versions) < 2:
            self._older_since = None
            return {}
        if self._older_since is None:
            self._older_since = monitor.now()
        delay = monitor.config.get_int("mon_warn_older_version_delay")
        if monitor.now() - self._older_since <= delay:
            return {}
        return checks.old_versions(versions)

    def _all_metadata(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Names of monitors and managers, and what each tells of itself."""
        monitor = self.monitor
        ranks = monitor.monmap.ranks
        for rank, about in metadata.load(monitor.store).items():
            if rank < len(ranks):
                yield f"mon.{ranks[rank]}", about
        for name in all_names(monitor.mgrmap.map):
            yield f"mgr.{name}", monitor.mgrmap.metadata(name) or {}

    # --- messages

    def preprocess(self, request: Request) -> bool:
        if request.session.is_mon and isinstance(request.message, MMonHealthChecks):
            return False
        request.no_reply()
        return True

    def prepare(self, request: Request) -> None:
        message = request.message
        request.no_reply()
        rank = self.monitor.member.state.rank_of(request.session.addrs)
        if isinstance(message, MMonHealthChecks) and rank in self.monitor.member.state.quorum:
            self.quorum_checks[rank] = message.health_checks
            self.propose()
