"""The OSD map service: the committed map, the pending change, and who deals with what.

Handlers of messages and commands are plain functions in the modules beside this one; they are given
the service, read `osdmap` and change `pending`. Called by `mon.monitor`. Follows upstream
`src/mon/OSDMonitor.{h,cc}`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from spirula.crush.build import finalize
from spirula.crush.check import check_named
from spirula.crush.wire import CrushWrapper
from spirula.errors import InvariantBroken, NotFound
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.dump.summary import print_oneline_summary
from spirula.maps.features import map_features
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.query import find_pool
from spirula.maps.state import OSDState, is_in, is_up
from spirula.messages.base import Message
from spirula.messages.mon_client import MMonGetOSDMap, MMonGetPurgedSnaps, MPoolOp
from spirula.messages.osd_mon import (
    MOSDAlive,
    MOSDBeacon,
    MOSDBoot,
    MOSDFailure,
    MOSDFull,
    MOSDMarkMeDead,
    MOSDMarkMeDown,
    MOSDPGCreated,
    MOSDPGReadyToMerge,
    MOSDPGTemp,
    MRemoveSnaps,
)
from spirula.mon.request import Request
from spirula.mon.services.base import PaxosService
from spirula.mon.services.osdmap import (
    blocklist,
    commit,
    encoding,
    finish,
    flags,
    initial,
    pruning,
    requirements,
    show,
    stretch,
    ticking,
)
from spirula.mon.services.osdmap.clean_epochs import LastEpochClean
from spirula.mon.services.osdmap.crush import classes as crush_classes
from spirula.mon.services.osdmap.crush import maps as crush_maps
from spirula.mon.services.osdmap.crush import places as crush_places
from spirula.mon.services.osdmap.crush import rules as crush_rules
from spirula.mon.services.osdmap.crush import show as crush_show
from spirula.mon.services.osdmap.crush import weights as crush_weights
from spirula.mon.services.osdmap.osds import boot, creation, failure, reports, states
from spirula.mon.services.osdmap.osds import show as show_osds
from spirula.mon.services.osdmap.osds.failure import Failure
from spirula.mon.services.osdmap.pgs import creating, exceptions
from spirula.mon.services.osdmap.pools import change as pools
from spirula.mon.services.osdmap.pools import create as pools_create
from spirula.mon.services.osdmap.pools import profiles, tiers
from spirula.mon.services.osdmap.pools import set as pools_set
from spirula.mon.services.osdmap.pools import show as pools_show
from spirula.mon.services.osdmap.pruning import OSDMapManifest
from spirula.mon.services.osdmap.publish import Publisher
from spirula.mon.services.osdmap.snaps import commands as snapshots
from spirula.mon.services.osdmap.snaps import messages as snap_messages
from spirula.types.creating_pgs import CreatingPGs
from spirula.types.entity import EntityType
from spirula.types.log import LogLevel
from spirula.types.pg import PGId
from spirula.types.pool import PGPool

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.session import MonSession, Subscription
    from spirula.mon.store import Transaction
    from spirula.types.pgmap import PGMapDigest

OSDMAP, PG_CREATES = "osdmap", "osd_pg_creates"
_MOST_STEPS = 100
"""Whoever is behind by more epochs than these reads the newest full map instead."""


class Handler(NamedTuple):
    """How a message is dealt with: without a change if `preprocess` can, else by `prepare`."""

    preprocess: Callable[[OSDMapService, Request], bool]
    prepare: Callable[[OSDMapService, Request], None]


def _nothing(service: OSDMapService, request: Request) -> None:
    """For messages that never take a change."""


HANDLERS: dict[type[Message], Handler] = {
    MOSDBoot: Handler(boot.preprocess, boot.prepare),
    MOSDFailure: Handler(failure.preprocess, failure.prepare),
    MOSDMarkMeDown: Handler(reports.preprocess_mark_me_down, reports.prepare_mark_me_down),
    MOSDMarkMeDead: Handler(reports.preprocess_mark_me_dead, reports.prepare_mark_me_dead),
    MOSDFull: Handler(reports.preprocess_full, reports.prepare_full),
    MOSDAlive: Handler(reports.preprocess_alive, reports.prepare_alive),
    MOSDPGCreated: Handler(reports.preprocess_pg_created, reports.prepare_pg_created),
    MOSDPGReadyToMerge: Handler(reports.preprocess_ready_to_merge, reports.prepare_ready_to_merge),
    MOSDPGTemp: Handler(reports.preprocess_pgtemp, reports.prepare_pgtemp),
    MOSDBeacon: Handler(reports.preprocess_beacon, reports.prepare_beacon),
    MMonGetOSDMap: Handler(reports.preprocess_get_osdmap, _nothing),
    MRemoveSnaps: Handler(
        snap_messages.preprocess_remove_snaps, snap_messages.prepare_remove_snaps
    ),
    MMonGetPurgedSnaps: Handler(snap_messages.preprocess_get_purged_snaps, _nothing),
    MPoolOp: Handler(snapshots.preprocess_pool_op, snapshots.prepare_pool_op),
}


class OSDMapService(PaxosService):
    """The committed OSD map and the change that is pending.

    `osdmap` is never changed in place; `pending` is what the next epoch will change, and commands
    change it (through the helpers below where there is one). At the leader: `failures` by the OSD
    that is reported, `down_pending_out` (since when OSDs that are in are down), `last_osd_report`
    (time and interval of beacons), both by the monotonic clock, and `osd_epochs` (maps that OSDs
    have).
    """

    NAME = "osdmap"
    COMMANDS = (
        show.commands,
        show_osds.commands,
        states.commands,
        flags.commands,
        creation.commands,
        exceptions.commands,
        blocklist.commands,
        requirements.commands,
        stretch.commands,
        crush_show.commands,
        crush_places.commands,
        crush_maps.commands,
        crush_weights.commands,
        crush_classes.commands,
        crush_rules.commands,
        profiles.commands,
        pools.commands,
        pools_create.commands,
        pools_set.commands,
        pools_show.commands,
        snapshots.commands,
        tiers.commands,
    )
    MESSAGES = tuple(HANDLERS)
    SUBSCRIPTIONS = {OSDMAP: ("osd", "r"), PG_CREATES: ("osd", "w")}  # noqa: RUF012 - as declared

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.osdmap = OSDMap()
        self.publisher = Publisher(self)
        self.manifest = OSDMapManifest()
        self.creating = CreatingPGs()
        self._creating_bytes: bytes | None = None
        self.creating_by_osd: creating.ByOSD = {}
        self.creating_places = creating.Places()
        self.failures: dict[int, Failure] = {}
        self.down_pending_out: dict[int, float] = {}
        self.last_osd_report: dict[int, tuple[float, int]] = {}
        self.osd_epochs: dict[int, int] = {}
        self.last_epoch_clean = LastEpochClean()
        self.leading_since: float | None = None
        self.stretch_recovery_since: float | None = None
        self._proposed: commit.Encoded | None = None
        self._verified = 0
        self._told = 0
        self._clear_pending()

    def _clear_pending(self) -> None:
        self.pending: Incremental = pending_incremental(self.osdmap)
        self.pending_metadata: dict[int, dict[str, str]] = {}
        self.pending_metadata_rm: set[int] = set()
        self.pending_pseudo_purged_snaps: dict[int, set[int]] = {}
        self.pending_created_pgs: list[PGId] = []

    # --- what is committed

    @property
    def epoch(self) -> int:
        """The committed epoch."""
        return self.osdmap.epoch

    @property
    def digest(self) -> PGMapDigest | None:
        """What the manager tells of PGs and pools; None before it has."""
        mgrstat = self.monitor.mgrstat
        return mgrstat.digest if mgrstat.is_readable else None

    def get_pool_by_name(self, name: str) -> tuple[int, PGPool]:
        """Number and settings of a committed pool. NotFound, in upstream's words."""
        number = find_pool(self.osdmap, name)
        if number is None:
            raise NotFound(f"unrecognized pool '{name}'")
        return number, self.osdmap.pools[number]

    # --- what is pending

    def pending_pool(self, pool_id: int) -> PGPool:
        """The pending settings of a pool, to be changed in place. NotFound if there is none."""
        pool: PGPool | None = self.pending.new_pools.get(pool_id)
        if pool is None:
            known = self.osdmap.pools.get(pool_id)
            if known is None:
                raise NotFound(f"there is no pool {pool_id}")
            pool = self.pending.new_pools[pool_id] = copy.deepcopy(known)
        return pool

    def pending_crush(self) -> CrushWrapper:
        """A private copy of the CRUSH map as it is pending; see `set_pending_crush`."""
        made = CrushWrapper.decode(self.pending.crush or self.osdmap.crush.encode())
        finalize(made)
        return made

    def set_pending_crush(self, crush: CrushWrapper) -> None:
        """Make an edited copy the pending CRUSH map. Raises InvalidArgument for empty names."""
        check_named(crush)
        self.pending.crush = crush.encode()

    def pending_map(self) -> OSDMap:
        """The map as it will be, by what is pending now."""
        return apply_incremental(self.osdmap, self.pending)

    def after_commit(self, request: Request, done: Callable[[], None]) -> None:
        """Call `done` when what is pending is committed; if that fails, begin with the request
        anew.
        """
        self.monitor.when_committed(done, lambda: self.dispatch(request))

    # --- Paxos

    def create_initial(self) -> None:
        """The first map, as a full one within the first incremental."""
        monitor = self.monitor
        given = monitor.store.get(commit.MKFS, commit.MKFS_KEY)
        made = initial.initial_map(monitor.config, monitor.monmap.fsid, finish.stamp(self), given)
        self.pending.fullmap = made.encode()
        self.pending.fsid = monitor.monmap.fsid

    def create_pending(self) -> None:
        """Nothing changes yet, but for ratios that the map must have."""
        self._clear_pending()
        self.pending.fsid = self.monitor.monmap.fsid
        if self.epoch:
            names = ("backfillfull_ratio", "full_ratio", "nearfull_ratio")
            config = self.monitor.config
            finish.default_ratios(
                self, {name: initial.ratio(config, f"mon_osd_{name}") for name in names}
            )

    def encode_pending(self, transaction: Transaction) -> None:
        """See `commit`."""
        for number in self.pending.old_pools:
            self.last_epoch_clean.remove_pool(number)
        self._proposed = commit.encode_pending(self, transaction)

    def update(self) -> None:
        """Take over new epochs, tell subscribers, and see who went down."""
        self._load_manifest()
        self._load_creating()
        version = self.last_committed
        if version == self.epoch:
            return
        before = self.osdmap
        self._load_map(version)
        self._watch_down()
        self._sort_creating()
        self._require_features()
        self.notify_subscribers()
        self._share_with_random_osd()
        self._tell_who_went_down(before)
        failure.process(self)

    def _load_manifest(self) -> None:
        encoded = self.get_value(pruning.KEY)
        self.manifest = OSDMapManifest.decode(encoded) if encoded else OSDMapManifest()

    def _load_creating(self) -> None:
        encoded = self.monitor.store.get(creating.PREFIX, creating.KEY) or b""
        if encoded != self._creating_bytes:
            self._creating_bytes = encoded
            if self._proposed is not None and self._proposed.creating_bytes == encoded:
                self.creating = self._proposed.creating
            else:
                self.creating = CreatingPGs.decode(encoded) if encoded else CreatingPGs()

    def _load_map(self, version: int) -> None:
        if self.epoch > version or version - self.epoch > _MOST_STEPS or not self.epoch:
            self._load_full(version)
        while self.epoch < version:
            self._apply(self.epoch + 1)

    def _load_full(self, version: int) -> None:
        """The newest full map that there is, up to `version`."""
        for epoch in range(version, max(self.first_committed, 1) - 1, -1):
            encoded = self.get_full(epoch)
            if encoded is not None:
                self.osdmap = OSDMap.decode(encoded)
                return
        self.osdmap = OSDMap()

    def _apply(self, epoch: int) -> None:
        encoded = self.get_version(epoch)
        if encoded is None:
            raise InvariantBroken(f"osdmap: epoch {epoch} is missing in the store")
        inc = Incremental.decode(encoded)
        proposed, self._proposed = self._proposed, None
        if proposed is not None and proposed.inc == encoded:
            self.osdmap = proposed.osdmap
        else:
            self.osdmap = apply_incremental(self.osdmap, inc)
        for osd, bits in inc.new_state.items():
            if bits & OSDState.UP:
                self.last_osd_report.pop(osd, None)
        for osd, weight in inc.new_weight.items():
            if not weight:
                self.osd_epochs.pop(osd, None)

    def _require_features(self) -> None:
        """From now on, only peers may connect that understand the map."""
        for kind in (EntityType.OSD, EntityType.CLIENT, EntityType.MDS, EntityType.MON):
            found = map_features(self.osdmap, kind)
            self.monitor.messenger.require_features(kind, found.features, found.mask)

    def _verify(self) -> None:
        """The map that was put together here must be the leader's, byte by byte."""
        osdmap = self.osdmap
        if self._verified == self.epoch or not self.epoch:
            return
        self._verified = self.epoch
        stored = self.get_full(self.epoch)
        features = encoding.encoding_features(osdmap) | encoding.RESERVED
        if stored is not None and osdmap.encode(features) != stored:
            self.monitor.log(0, f"osdmap e{self.epoch} is not the leader's: taking over that one")
            self.osdmap = OSDMap.decode(stored)

    def _watch_down(self) -> None:
        """Note since when OSDs are down that are in."""
        osdmap, now = self.osdmap, self.monitor.now()
        for osd in range(osdmap.max_osd):
            if is_up(osdmap, osd):
                self.down_pending_out.pop(osd, None)
            elif is_in(osdmap, osd):
                self.down_pending_out.setdefault(osd, now)

    def on_active(self) -> None:
        """The committed map may be told; a leader says so in the log."""
        if self.monitor.is_leader:
            if self.leading_since is None:
                self.leading_since = self.monitor.now()
            if self._told != self.epoch:
                self._told = self.epoch
                text = f"osdmap {print_oneline_summary(self.osdmap)}"
                self.monitor.clog(LogLevel.DEBUG, text)
        else:
            self.leading_since = None
            self._pass_on_failures()

    def _pass_on_failures(self) -> None:
        """Failures were reported to us while we led: the leader must hear of them."""
        failures, self.failures = self.failures, {}
        for one in failures.values():
            for request in one.requests.values():
                if request.session.proxy is None and not request.session.closed:
                    self.dispatch(request)

    def on_restart(self) -> None:
        """Another quorum begins: beacons are counted anew."""
        self.last_osd_report.clear()
        self.leading_since = None
        # What was changed here and never committed is not so.
        self._clear_pending()
        self._creating_bytes = None

    def tick(self) -> None:
        """Time has gone by."""
        if not self.monitor.is_leader:
            self._verify()
        if self.monitor.is_leader and self.is_writeable and self.epoch:
            ticking.tick(self)
            stretch.tick(self)

    # --- messages

    def preprocess(self, request: Request) -> bool:
        """See `HANDLERS`."""
        return HANDLERS[type(request.message)].preprocess(self, request)

    def prepare(self, request: Request) -> None:
        """See `HANDLERS`."""
        HANDLERS[type(request.message)].prepare(self, request)

    # --- telling others

    def send_incremental(self, session: MonSession, first: int) -> None:
        """Send a client the maps from an epoch on."""
        self.publisher.send_from(session, first)

    def on_subscribe(self, session: MonSession, subscription: Subscription) -> None:
        """Who asks for epochs before the newest that it was sent wants them again."""
        if subscription.what == OSDMAP and session.osd_epoch > subscription.next:
            session.osd_epoch = 0
        super().on_subscribe(session, subscription)

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        """Send maps, or PGs to create."""
        if subscription.what == PG_CREATES:
            self._send_creates(session, subscription)
        elif self.epoch and subscription.next <= self.epoch:
            if subscription.next:
                self.publisher.send_from(
                    session, subscription.next, onetime=subscription.incremental_onetime
                )
            else:
                self.monitor.send(session, self.publisher.latest_full(session.features))
            if subscription.onetime:
                self.monitor.sessions.unsubscribe(session, subscription.what)
            else:
                subscription.next = self.epoch + 1

    def _send_creates(self, session: MonSession, subscription: Subscription) -> None:
        name = session.name
        if name.type != EntityType.OSD or not is_up(self.osdmap, name.num):
            return
        mine = self.creating_by_osd.get(name.num)
        if mine:
            message, subscription.next = creating.create_message(
                self.creating, self.epoch, mine, subscription.next
            )
            if message is not None:
                self.monitor.send(session, message)

    def _sort_creating(self) -> None:
        self.creating_by_osd = creating.sort_by_osd(
            self.creating, self.osdmap, self.creating_by_osd
        )

    def _share_with_random_osd(self) -> None:
        """One OSD hears of each epoch at once, and tells the others."""
        osds = [
            session
            for session in self.monitor.sessions
            if session.name.type == EntityType.OSD and is_up(self.osdmap, session.name.num)
        ]
        if osds:
            at = int.from_bytes(self.monitor.random_bytes(4), "little") % len(osds)
            session = osds[at]
            message = self.publisher.incrementals(self.epoch - 1, self.epoch, session.features)
            self.monitor.send(session, message)

    def _tell_who_went_down(self, before: OSDMap) -> None:
        """OSDs that live and are down by the new map hear of it, from whoever they speak with.

        Upstream leaves that to the peers that their pings reach; when the last OSDs go down
        together, no peer is left that knows better.
        """
        for session in self.monitor.sessions:
            name = session.name
            if name.type != EntityType.OSD or is_up(self.osdmap, name.num):
                continue
            if is_up(before, name.num) and before.epoch >= self.first_committed:
                message = self.publisher.incrementals(before.epoch, self.epoch, session.features)
                self.monitor.send(session, message)

    # --- trimming

    def trim_to(self) -> int:
        """Epochs before all PGs were clean may go, but for the newest few hundred."""
        config = self.monitor.config
        if self.creating.pgs or config.get_bool("mon_debug_block_osdmap_trim"):
            return 0
        floor = self.min_last_epoch_clean()
        forced = config.get_int("mon_osd_force_trim_to")
        if 0 < forced < self.last_committed:
            floor = forced
        keep = config.get_int("mon_min_osdmap_epochs")
        floor = min(floor, max(self.last_committed - keep, 0))
        return floor if floor > self.first_committed else 0

    def min_last_epoch_clean(self) -> int:
        """The oldest epoch that somebody may still need."""
        return min([self.last_epoch_clean.lower_bound(self.osdmap), *self.osd_epochs.values()])

    def encode_trim(self, transaction: Transaction, first: int) -> None:
        """The oldest epoch that stays needs its full map."""
        full = self.publisher.full(first, -1)
        if full is not None:
            transaction.put(self.NAME, f"full_{first}", full)
        if self.manifest.pinned and first > self.manifest.first:
            pruning.encode_trimmed(transaction, self.NAME, self.manifest, first)
