"""What the parts of a quorum member share: settings, phase, clocks, timers, and what is to be done.

Not a part by itself: probing, election, Paxos and synchronisation read and change this record and
ask its `conductor` (the `Member`) for what crosses from one to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from spirula.denc import features as feature_bits
from spirula.messages.base import Message
from spirula.mon.store import Transaction
from spirula.store.keyvalue import KeyValueStore
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonCommandList, MonFeature, MonMap

PACIFIC_RELEASE = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of monitors that matter here, by upstream's names and with its defaults.

    Times in seconds. `lease_promise_s` is ours (see `leases`), no option, and the same on all
    monitors. `sync_prefixes` are the prefixes of the store that a synchronisation copies and a
    scrub compares, `metadata` what a monitor tells of itself, `commands_bl` an encoded
    MonCommandList of what it would accept as leader (real peons refuse all else, and die of what
    they cannot read), `compat_bl` an encoded CompatSet.
    """

    mon_lease: float = 5.0
    mon_lease_renew_interval_factor: float = 0.6
    mon_lease_ack_timeout_factor: float = 2.0
    mon_accept_timeout_factor: float = 2.0
    mon_election_timeout: float = 5.0
    mon_probe_timeout: float = 2.0
    mon_sync_timeout: float = 60.0
    mon_sync_max_payload_size: int = 1 << 20
    mon_sync_max_payload_keys: int = 2000
    mon_elector_ping_timeout: float = 2.0
    mon_elector_ping_divisor: int = 2
    mon_elector_ignore_propose_margin: float = 0.0005
    mon_con_tracker_score_halflife: float = 12 * 3600.0
    mon_con_tracker_persist_interval: int = 10
    paxos_max_join_drift: int = 10
    paxos_min: int = 500
    paxos_trim_min: int = 250
    paxos_trim_max: int = 500
    mon_timecheck_interval: float = 300.0
    mon_timecheck_skew_interval: float = 30.0
    mon_clock_drift_allowed: float = 0.05
    mon_clock_drift_warn_backoff: float = 5.0
    mon_scrub_interval: float = 86400.0
    mon_scrub_timeout: float = 300.0
    mon_scrub_max_keys: int = 100
    lease_promise_s: float = 3.2
    sync_prefixes: tuple[str, ...] = ("paxos",)
    mon_release: int = PACIFIC_RELEASE
    mon_features: int = sum(bit for bit in MonFeature if bit <= MonFeature.PINGING)
    features: int = feature_bits.PACIFIC
    required_features: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    commands_bl: bytes = MonCommandList().encode()
    compat_bl: bytes = bytes(36)


_FEATURES_OF = {
    MonFeature.KRAKEN: feature_bits.SERVER_KRAKEN,
    MonFeature.LUMINOUS: feature_bits.SERVER_LUMINOUS,
    MonFeature.MIMIC: feature_bits.SERVER_MIMIC,
    MonFeature.NAUTILUS: feature_bits.SERVER_NAUTILUS | feature_bits.CEPHX_V2,
    MonFeature.OCTOPUS: feature_bits.SERVER_OCTOPUS,
    MonFeature.PACIFIC: feature_bits.SERVER_PACIFIC,
}


class Phase(Enum):
    """What a monitor is doing (upstream's names of states).

        PROBING ---------> ELECTING -----> LEADER, PEON
          ^  |                ^               |   |
          |  +-> SYNCHRONIZING|               |   |
          |          |        +-- a proposal -+   |
          +----------+----------- a timeout ------+

    Every state returns to PROBING by `bootstrap`. A monitor that is ASIDE takes no part until it is
    told to (upstream calls it electing). STOPPED is for good: see `Stopped`.
    """

    PROBING = "probing"
    SYNCHRONIZING = "synchronizing"
    ELECTING = "electing"
    LEADER = "leader"
    PEON = "peon"
    ASIDE = "aside"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Joined:
    """A quorum has formed and this monitor is in it, as its leader or not; nothing is readable yet.

    `metadata` is what each member told of itself; only a leader knows.
    """

    epoch: int
    leader: int
    quorum: frozenset[int]
    metadata: dict[int, dict[str, str]]
    quorum_features: int
    mon_features: int
    commands_bl: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """This monitor is in no quorum any more."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """The store has changed under the services, up to this version: read it anew."""

    last_committed: int


@dataclass(frozen=True, slots=True)
class Active:
    """Paxos is active: what waited for it to be readable or writeable may try."""


@dataclass(frozen=True, slots=True)
class MonMapLearned:
    """Another monitor had a newer monitor map; it is in use from now on."""

    monmap: MonMap


@dataclass(frozen=True, slots=True)
class ClusterLog:
    """A line for the cluster log, of a level of its own: `debug`, `info`, `warn` or `error`."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """This monitor cannot go on, for this reason; it must be ended by whoever drives it."""

    reason: str


@dataclass(frozen=True, slots=True)
class SteppedAside:
    """Another monitor says that it takes no part for the time being, and why."""

    name: str
    reason: str


Event = Joined | Left | Refresh | Active | MonMapLearned | SteppedAside | ClusterLog | Stopped


@dataclass(frozen=True, slots=True)
class Send:
    """A message for the monitor at these addresses."""

    to: EntityAddrVec
    message: Message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a proposal.

    `version` is the version that holds it. None: it was not committed as far as this monitor knows,
    and whether it ever will be is unknown (upstream answers -EAGAIN).
    """

    token: object
    version: int | None


@dataclass(slots=True)
class Ready:
    """What is to be done now, in this order.

    First `events` are handled (they concern this process alone). If `persist` is set, the store is
    then asked to commit what was staged. `messages` and `outcomes`, and whatever else leaves this
    process, wait until that commit and all before it are durable, and leave in order.
    """

    persist: bool = False
    events: list[Event] = field(default_factory=list)
    messages: list[Send] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


class Conductor(Protocol):
    """What the parts ask of the whole."""

    @property
    def epoch(self) -> int:
        """The epoch of elections."""

    def bootstrap(self) -> None:
        """Leave everything, and probe."""

    def start_election(self) -> None:
        """Leave the quorum, if in one, and call an election."""

    def join_election(self) -> None:
        """Leave the quorum: somebody called an election."""

    def win_election(self, quorum: set[int], joined: Joined) -> None:
        """Lead this quorum."""

    def lose_election(self, quorum: set[int], joined: Joined) -> None:
        """Follow the leader of this quorum."""

    def peer_probes(self, rank: int) -> None:
        """A peer of the map has asked who there is: it has just started, or lost its quorum."""

    def saw_stamp(self, rank: int, sent_wall: float) -> None:
        """A message of Paxos tells the time of a peer's clock."""

    def spoke_in(self, rank: int, epoch: int) -> None:
        """A peer took part in the election of that epoch."""

    def reload(self) -> None:
        """Read anew what the store holds: it was changed otherwise than by Paxos."""

    def learn_monmap(self, monmap: MonMap, *, persist: bool) -> None:
        """Use another monitor's map, and bootstrap with it."""


@dataclass(slots=True)
class QuorumState:
    """The record. `now` is monotonic and `wall` since 1970, both as of the present call."""

    name: str
    addrs: EntityAddrVec
    monmap: MonMap
    store: KeyValueStore
    settings: Settings
    conductor: Conductor
    now: float = 0.0
    wall: float = 0.0
    rank: int = -1
    phase: Phase = Phase.PROBING
    quorum: set[int] = field(default_factory=set)
    leader: int = -1
    quorum_since: float = 0.0
    quorum_features: int = 0
    quorum_mon_features: int = 0
    has_ever_joined: bool = False
    absent: dict[str, str] = field(default_factory=dict)
    ready: Ready = field(default_factory=Ready)
    timers: dict[str, tuple[float, Callable[[], None]]] = field(default_factory=dict)

    @property
    def fsid(self) -> bytes:
        """The cluster's identity."""
        return self.monmap.fsid

    def size(self) -> int:
        """How many monitors the map holds."""
        return len(self.monmap.ranks)

    def required_mon_features(self) -> int:
        """Monitor features that all members must have (bits of MonFeature), as the map says."""
        return self.monmap.persistent_features.features | self.monmap.optional_features.features

    def required_features(self) -> int:
        """Features that connections of members must have, following from those of the map."""
        needed = self.settings.required_features
        features = self.required_mon_features()
        if features:
            needed |= feature_bits.OSDMAP_ENC
        for feature, bits in _FEATURES_OF.items():
            if features & feature:
                needed |= bits
        return needed

    def peers(self) -> Iterable[int]:
        """Ranks of the other members of the quorum, in order."""
        return (rank for rank in sorted(self.quorum) if rank != self.rank)

    def names(self, ranks: Iterable[int]) -> frozenset[str]:
        """Names of the monitors of these ranks."""
        return frozenset(self.monmap.ranks[rank] for rank in ranks)

    def rank_of(self, addrs: EntityAddrVec) -> int:
        """The rank of the monitor that listens at one of these addresses; -1 if there is none."""
        for rank, name in enumerate(self.monmap.ranks):
            known = self.monmap.mon_info[name].public_addrs
            if known == addrs or any(addr in known.addrs for addr in addrs.addrs):
                return rank
        return -1

    def send(self, to: EntityAddrVec, message: Message) -> None:
        """Send, once what was staged so far is durable."""
        self.ready.messages.append(Send(to, message))

    def send_rank(self, rank: int, message: Message) -> None:
        """Likewise, to a monitor of the map."""
        self.send(self.monmap.addrs(rank), message)

    def persist(self, transaction: Transaction) -> None:
        """Make a transaction visible now, and durable before anything that is sent from here on."""
        if transaction:
            self.store.stage(transaction.value)
            self.ready.persist = True

    def emit(self, event: Event) -> None:
        """Tell whoever drives this member."""
        self.ready.events.append(event)

    def set_timer(self, name: str, after_s: float, action: Callable[[], None]) -> None:
        """Call `action` after that time; a timer of the same name is replaced."""
        self.timers[name] = (self.now + after_s, action)

    def cancel_timer(self, *names: str) -> None:
        """Forget timers, if they are set."""
        for name in names:
            self.timers.pop(name, None)
