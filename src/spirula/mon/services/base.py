"""What all services of a monitor share: versions in the store, pending changes, waiting, trimming.

A service lives through this, again and again:

    refresh          the store has changed: read the committed state (on every monitor)
    create_pending   at the leader: begin a change on top of it
    prepare          a message or command changes what is pending, and calls `propose`
    encode_pending   the change is written into a transaction, and agreed on with those of the
                     other services in one proposal; then it is committed, and all begins anew

While a proposal is under way nothing can be prepared (requests wait), but the committed state can
be read. Called by `monitor`. Follows upstream `src/mon/PaxosService.{h,cc}`; what differs: all
services propose together, so that a change which touches several of them is atomic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from spirula.messages.base import Message
from spirula.mon.store import Transaction, get_number, get_version
from spirula.types.service import HealthCheck, HealthCheckMap

if TYPE_CHECKING:
    from spirula.commands.table import Commands
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession, Subscription

HEALTH = "health"
"""Prefix of the health checks of all services, each under the service's name."""
FIRST, LAST = "first_committed", "last_committed"
FULL = "full"

SOON = 0.0
"""Delay of `propose` for what somebody waits for."""


class PaxosService:
    """Base of all services. `NAME` is the prefix in the store (upstream service_name).

    `MESSAGES` are those it is given, `SUBSCRIPTIONS` what clients may subscribe to here, each with
    the caps that this takes as (service, letters), or None.
    """

    NAME: ClassVar[str] = ""
    COMMANDS: ClassVar[tuple[Commands, ...]] = ()
    MESSAGES: ClassVar[tuple[type[Message], ...]] = ()
    SUBSCRIPTIONS: ClassVar[Mapping[str, tuple[str, str] | None]] = {}

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.first_committed = 0
        self.last_committed = 0
        self.have_pending = False
        self.due: float | None = None
        """When the pending change is to be proposed, by the monotonic clock; None: it is empty."""
        self.health = HealthCheckMap({})
        """The committed health checks of this service."""

    # --- for the services to fill in

    def create_initial(self) -> None:
        """At the first leader ever: put version 1 into what is pending."""

    def update(self) -> None:
        """Read the committed state from the store; versions are up to date already."""

    def create_pending(self) -> None:
        """Begin an empty change on top of the committed state."""

    def encode_pending(self, transaction: Transaction) -> None:
        """Write the pending change into a transaction: see `put_version`, `encode_health`."""

    def on_active(self) -> None:
        """The committed state is current and may be told; the leader may prepare changes."""

    def on_restart(self) -> None:
        """The quorum is lost or a new one begins; what was pending is gone."""

    def tick(self) -> None:
        """A few seconds have gone by (`mon_tick_interval`); this monitor is in a quorum."""

    def preprocess(self, request: Request) -> bool:
        """Deal with a message without changing anything; False if it takes a change.

        The committed state is readable.
        """
        return False

    def prepare(self, request: Request) -> None:
        """At the leader: change what is pending because of this message, and `propose`.

        Whoever needs no change answers, or says `request.no_reply()`.
        """

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        """Send what this client wants and does not have yet.

        Called when it subscribes, and by `notify_subscribers`.
        """

    def on_subscribe(self, session: MonSession, subscription: Subscription) -> None:
        """A client has subscribed (again): look at it as soon as the state can be told."""

        def look() -> None:
            if session.subscriptions.get(subscription.what) is subscription:
                self.check_subscription(session, subscription)

        if self.is_readable:
            look()
        else:
            self.monitor.wait_readable(look, (self, 0))

    def trim_to(self) -> int:
        """The first version to keep, of those up to `last_committed`; 0: keep all."""
        return 0

    def encode_trim(self, transaction: Transaction, first: int) -> None:
        """Remove what else goes with the versions before `first`."""

    def gather_health(self) -> dict[str, HealthCheck]:
        """At the leader: the health checks that fail by what is pending (see `encode_health`)."""
        return {}

    # --- what is provided

    @property
    def is_readable(self) -> bool:
        """Whether the committed state may be told to clients now."""
        return self.last_committed > 0 and self.monitor.is_readable()

    @property
    def is_writeable(self) -> bool:
        """Whether a change may be prepared now."""
        return self.have_pending and self.monitor.is_writeable()

    def propose(self, delay: float = SOON) -> None:
        """What is pending is to be committed, within this time in seconds.

        All services propose together, so it may well be sooner. Requests of one turn of the event
        loop go into one proposal even without delay.
        """
        due = self.monitor.now() + delay
        if self.due is None or due < self.due:
            self.due = due
        self.monitor.schedule_proposal()

    def damped(self) -> float:
        """The delay for reports that come in bunches: as upstream, at most about one proposal in
        `paxos_propose_interval`, but the first one at once (after `paxos_min_wait`).
        """
        config = self.monitor.config
        if self.last_committed <= 1:
            return SOON
        interval = config.get_float("paxos_propose_interval")
        since = self.monitor.now() - self.monitor.last_commit_at
        return config.get_float("paxos_min_wait") if since > interval else interval - since

    def when_committed(self, done: Callable[[], None]) -> None:
        """Call this when what is pending now has been committed and can be read.

        Not called at all if that fails: whoever asked asks again, as peons do for their clients.
        """
        self.monitor.when_committed(done)

    def get_version(self, version: int) -> bytes | None:
        """What was stored as this version by `put_version`."""
        return get_version(self.monitor.store, self.NAME, version)

    def get_full(self, version: int) -> bytes | None:
        """What was stored by `put_full`."""
        return self.monitor.store.get(self.NAME, f"{FULL}_{version}")

    def get_value(self, key: str) -> bytes | None:
        """Any other key of this service."""
        return self.monitor.store.get(self.NAME, key)

    def put_version(self, transaction: Transaction, version: int, value: bytes) -> None:
        """Store a version and make it the last committed one."""
        transaction.put(self.NAME, version, value)
        self.put_last(transaction, version)

    def put_last(self, transaction: Transaction, version: int) -> None:
        """Make a version the last committed one, for services that keep nothing under it."""
        transaction.put(self.NAME, LAST, version)
        if not self.first_committed:
            transaction.put(self.NAME, FIRST, version)

    def put_full(self, transaction: Transaction, version: int, value: bytes) -> None:
        """Store the full state as of a version."""
        transaction.put(self.NAME, f"{FULL}_{version}", value)
        transaction.put(self.NAME, f"{FULL}_latest", version)

    def encode_health(self, transaction: Transaction, checks: dict[str, HealthCheck]) -> None:
        """Store this service's health checks (within `encode_pending`)."""
        transaction.put(HEALTH, self.NAME, HealthCheckMap(checks).encode())

    def notify_subscribers(self) -> None:
        """Look at every subscription to this service's maps: there is something new."""
        sessions = self.monitor.sessions
        for what in self.SUBSCRIPTIONS:
            for session, subscription in sessions.subscribers(what):
                self.check_subscription(session, subscription)

    # --- for the monitor

    def refresh(self) -> None:
        """The store has changed."""
        store = self.monitor.store
        self.first_committed = get_number(store, self.NAME, FIRST)
        self.last_committed = get_number(store, self.NAME, LAST)
        encoded = store.get(HEALTH, self.NAME)
        self.health = HealthCheckMap.decode(encoded) if encoded else HealthCheckMap({})
        self.update()

    def restart(self) -> None:
        """The quorum is lost or a new one begins."""
        self.have_pending = False
        self.due = None
        self.on_restart()

    def activate(self) -> None:
        """Paxos is active, and no proposal under way."""
        if self.monitor.is_leader and not self.have_pending:
            self.create_pending()
            self.have_pending = True
            if not self.last_committed:
                self.create_initial()
                self.propose()
                return
        self.on_active()

    def dispatch(self, request: Request) -> None:
        """A message for this service: answered here, forwarded, prepared, or put off."""
        monitor = self.monitor
        if request.is_stale:
            return
        version = getattr(request.message, "version", 0)
        if not self.is_readable or (version > self.last_committed and not monitor.is_leader):
            request.mark(f"{self.NAME}:wait_for_readable")
            monitor.wait_readable(lambda: monitor.dispatch(request), (self, version))
        elif self.preprocess(request):
            return
        elif not monitor.is_leader:
            monitor.forward(request)
        elif not self.is_writeable:
            request.mark(f"{self.NAME}:wait_for_writeable")
            monitor.wait_writeable(lambda: monitor.dispatch(request))
        else:
            request.mark(f"{self.NAME}:prepare_update")
            self.prepare(request)

    def encode_trim_all(self, transaction: Transaction) -> bool:
        """Trim old versions, if enough of them have gathered; whether there was anything."""
        config = self.monitor.config
        least = config.get_int("paxos_service_trim_min")
        most = config.get_int("paxos_service_trim_max")
        first, to = self.first_committed, self.trim_to()
        if to <= first or to - first < least:
            return False
        if most and to - first > most:
            to = first + most
        for version in range(first, to):
            transaction.erase(self.NAME, version)
            if self.monitor.store.get(self.NAME, f"{FULL}_{version}") is not None:
                transaction.erase(self.NAME, f"{FULL}_{version}")
        transaction.put(self.NAME, FIRST, to)
        self.encode_trim(transaction, to)
        return True
