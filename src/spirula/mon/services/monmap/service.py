"""MonMapService: the monitor map, agreed on like everything else.

A new map takes effect on every monitor as soon as it is committed, and calls an election. The
leader adds monitors that ask to join, and raises the features and the release that the map requires
once all monitors of a full quorum have them. Called by `monitor`. Follows upstream
`src/mon/MonmapMonitor.cc`; the store holds each map under its epoch.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from spirula.messages.mon_client import MMonMap
from spirula.messages.quorum import MMonJoin
from spirula.mon.services.base import PaxosService
from spirula.mon.services.monmap import commands, edit, show, stretch
from spirula.mon.store import MONITOR, Transaction
from spirula.types.base import UTime
from spirula.types.log import LogLevel
from spirula.types.mon import MonMap
from spirula.types.service import HealthCheck, HealthStatus

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession, Subscription

FINGERPRINT = "cluster_fingerprint"
"""Key of the cluster's second identity, made at its birth; `ceph report` shows it."""


class MonMapService(PaxosService):
    """The monitor map of one monitor. `pending` is what the leader will propose."""

    NAME = "monmap"
    COMMANDS = (commands.commands, stretch.commands)
    MESSAGES = (MMonJoin,)
    SUBSCRIPTIONS = {"monmap": None}  # noqa: RUF012 - ClassVar of the base

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.pending = MonMap()
        self._told = 0
        self._logged = 0

    @property
    def monmap(self) -> MonMap:
        """The map in use."""
        return self.monitor.monmap

    # --- Paxos

    def create_initial(self) -> None:
        self.pending.epoch = 1
        # A map that everybody holds at mkfs has been agreed on by nobody yet: who is who by name
        # and address stays, what the cluster requires is what 16.2 requires of a new one.
        edit.add_features(self.pending, edit.SUPPORTED)
        self.pending.min_mon_release = edit.release_of(edit.SUPPORTED)

    def update(self) -> None:
        version = self.last_committed
        if version > self.monmap.epoch or (version and not self._told):
            encoded = self.get_version(version)
            if encoded is not None and version >= self.monmap.epoch:
                self.monitor.on_monmap(MonMap.decode(encoded))
        if self._told != self.monmap.epoch:
            self._told = self.monmap.epoch
            self.notify_subscribers()

    def create_pending(self) -> None:
        self.pending = edit.copy(self.monmap)
        self.pending.epoch = self.last_committed + 1
        self.pending.last_changed = self.stamp()
        self.pending.removed_ranks = set()

    def stamp(self) -> UTime:
        """Now."""
        return UTime.at(self.monitor.wall())

    def encode_pending(self, transaction: Transaction) -> None:
        pending = self.pending
        self.put_version(transaction, pending.epoch, pending.encode())
        if pending.epoch == 1:
            identity = uuid.UUID(bytes=self.monitor.random_bytes(16), version=4)
            transaction.put(MONITOR, FINGERPRINT, identity.bytes)
        self.encode_health(transaction, self.gather_health())

    def gather_health(self) -> dict[str, HealthCheck]:
        if not self.pending.stretch_mode_enabled:
            return {}
        homeless = [name for name, info in self.pending.mon_info.items() if not info.crush_loc]
        if not homeless:
            return {}
        return {
            "MON_LOCATION_NOT_SET": HealthCheck(
                HealthStatus.WARN,
                f"{len(homeless)} monitor(s) have no location set while in stretch mode; this may "
                "cause issues with failover, OSD connections, netsplit handling, etc",
                [f"mon {name} has no location set while in stretch mode" for name in homeless],
                len(homeless),
            )
        }

    def on_restart(self) -> None:
        self._logged = 0

    def on_active(self) -> None:
        monitor = self.monitor
        if not monitor.is_leader:
            return
        if self._logged != self.monmap.epoch:
            self._logged = self.monmap.epoch
            monitor.clog(LogLevel.DEBUG, f"monmap {show.summary(self.monmap)}")
        self._require_what_all_have()

    def _require_what_all_have(self) -> None:
        state = self.monitor.member.state
        if not self.have_pending or len(state.quorum) < len(self.monmap.ranks):
            return
        pending = self.pending
        features = state.quorum_mon_features & edit.SUPPORTED
        missing = features & ~pending.persistent_features.features
        release = edit.release_of(features)
        if missing or release > pending.min_mon_release:
            edit.add_features(pending, missing)
            pending.min_mon_release = max(pending.min_mon_release, release)
            self.propose()

    def tick(self) -> None:
        if self.is_writeable and not self.monmap.created:
            # Maps made by very old tools lack it; the oldest change that is known stands for it.
            self.pending.created = self._first_change() or self.stamp()
            self.propose()

    def _first_change(self) -> UTime | None:
        for version in range(max(self.first_committed, 1), self.last_committed + 1):
            encoded = self.get_version(version)
            if encoded is not None and (changed := MonMap.decode(encoded).last_changed):
                return changed
        return None

    def changed(self) -> None:
        """`pending` was changed: propose it at once."""
        self.pending.last_changed = self.stamp()
        self.propose()

    # --- monitors that join

    def preprocess(self, request: Request) -> bool:
        join = request.message
        if not isinstance(join, MMonJoin) or not request.session.is_capable(
            "mon", write=True, execute=True
        ):
            request.no_reply()
            return True
        monmap = self.pending if self.have_pending else self.monmap
        known = monmap.mon_info.get(join.name)
        blank = known is None or all(addr.is_blank_ip for addr in known.public_addrs.addrs[:1])
        if known is not None and not blank and not _moves(join, known.crush_loc):
            request.no_reply()
            return True
        at = edit.name_at(monmap, join.addrs)
        homeless = not join.crush_loc and (at is None or not monmap.mon_info[at].crush_loc)
        if monmap.stretch_mode_enabled and homeless:
            self.monitor.clog(
                LogLevel.INFO,
                f"{join.name} attempted to join from {join.name} {join.addrs}; "
                "but lacks a crush_location for stretch mode",
            )
            request.no_reply()
            return True
        return False

    def prepare(self, request: Request) -> None:
        join = request.message
        request.no_reply()
        if not isinstance(join, MMonJoin) or join.fsid != self.monmap.fsid:
            return
        self.monitor.log(0, f"mon.{join.name} at {join.addrs} joins the monitors")
        pending, location = self.pending, {}
        at = edit.name_at(pending, join.addrs)
        if at is not None:
            location = pending.mon_info[at].crush_loc
        for name in {at, join.name} & set(pending.mon_info):
            edit.remove(pending, str(name))
        if join.force_loc or not location:
            location = join.crush_loc
        edit.add(pending, join.name, join.addrs, location)
        self.changed()

    # --- subscriptions

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        epoch = self.monmap.epoch
        if subscription.next > epoch:
            return
        self.monitor.send(session, MMonMap(self.monmap.encode(session.features)))
        if subscription.onetime:
            self.monitor.sessions.unsubscribe(session, subscription.what)
        else:
            subscription.next = epoch + 1


def _moves(join: MMonJoin, location: dict[str, str]) -> bool:
    """Whether a monitor that is in the map asks for another place."""
    return join.force_loc and join.crush_loc != location
