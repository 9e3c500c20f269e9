"""What monitors say among themselves: probing, elections, Paxos, store synchronisation, scrub,
clocks, and the forwarding of clients' messages from a peon to the leader and back.

Formats: upstream `src/messages/MMonProbe.h`, `MMonElection.h`, `MMonPaxos.h`, `MMonSync.h`,
`MMonScrub.h`, `MMonPing.h`, `MMonJoin.h`, `MTimeCheck2.h`, `MForward.h`, `MRoute.h`,
`MMonHealth.h`, `MMonHealthChecks.h`.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import (
    Map,
    Opt,
    Pair,
    Set,
    blob,
    boolean,
    default,
    f64,
    removed,
    s32,
    since,
    string,
    u8,
    u32,
    u64,
    uuid_d,
)
from spirula.messages.base import Message, PaxosServiceMessage, message
from spirula.messages.carried import CarriedMessage
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.caps import MonCap
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityInst
from spirula.types.mon import DataStats, ElectionStrategy, MonFeatures, ScrubResult
from spirula.types.service import HealthCheckMap


class ProbeOp(IntEnum):
    """What an MMonProbe is."""

    PROBE = 1
    REPLY = 2
    SLURP = 3
    SLURP_LATEST = 4
    DATA = 5
    MISSING_FEATURES = 6


class ElectionOp(IntEnum):
    """What an MMonElection is."""

    PROPOSE = 1
    ACK = 2
    NAK = 3
    VICTORY = 4


class PaxosOp(IntEnum):
    """What an MMonPaxos is."""

    COLLECT = 1
    LAST = 2
    BEGIN = 3
    ACCEPT = 4
    COMMIT = 5
    LEASE = 6
    LEASE_ACK = 7


class SyncOp(IntEnum):
    """What an MMonSync is."""

    GET_COOKIE_FULL = 1
    GET_COOKIE_RECENT = 2
    COOKIE = 3
    GET_CHUNK = 4
    CHUNK = 5
    LAST_CHUNK = 6
    NO_COOKIE = 8


class ScrubOp(IntEnum):
    """What an MMonScrub is."""

    SCRUB = 1
    RESULT = 2


class PingOp(IntEnum):
    """What an MMonPing is."""

    PING = 1
    PING_REPLY = 2


class TimeCheckOp(IntEnum):
    """What an MTimeCheck2 is."""

    PING = 1
    PONG = 2
    REPORT = 3


@message(67, version=8, compat=5)
class MMonProbe(Message):
    """Who is there, who is in the quorum, how far each one's store goes (a ProbeOp)."""

    fsid: uuid_d
    op: s32
    name: string
    quorum: Set[s32]
    monmap_bl: blob
    has_ever_joined: boolean
    paxos_first_version: u64
    paxos_last_version: u64
    required_features: u64 = since(6)
    mon_release: u8 = since(7)
    leader: s32 = since(8, default=-1)


@message(65, version=9, compat=5)
class MMonElection(Message):
    """A step of an election (an ElectionOp).

    `sharing_bl` is the leader's command table, `scoring_bl` an encoded ConnectionTracker,
    `strategy` an ElectionStrategy.
    """

    fsid: uuid_d
    op: s32
    epoch: u32
    monmap_bl: blob
    quorum: Set[s32]
    quorum_features: u64
    old_paxos_first: u64 = removed()
    old_paxos_last: u64 = removed()
    sharing_bl: blob
    mon_features: MonFeatures = since(6)
    metadata: Map[string, string] = since(7)
    mon_release: u8 = since(8)
    scoring_bl: blob = since(9)
    strategy: u8 = since(9, default=ElectionStrategy.CLASSIC)


@message(66, version=4, compat=3)
class MMonPaxos(Message):
    """A step of Paxos (a PaxosOp).

    `pn` is the proposal number, `values` holds transactions by version; a LAST with a value that
    was accepted and not committed tells its proposal in `uncommitted_pn`.
    """

    epoch: u32
    op: s32
    first_committed: u64
    last_committed: u64
    pn_from: u64
    pn: u64
    uncommitted_pn: u64
    lease_timestamp: UTime
    sent_timestamp: UTime
    latest_version: u64
    latest_value: blob
    values: Map[u64, blob]
    feature_map: blob = since(4)


@message(69, version=2, compat=2)
class MMonSync(Message):
    """A step of copying a store (a SyncOp); chunks are encoded store transactions."""

    op: u32
    cookie: u64
    last_committed: u64
    last_key: Pair[string, string]
    chunk_bl: blob
    reply_to: EntityInst


@message(64, version=2, compat=2)
class MMonScrub(Message):
    """Check up to `num_keys` keys from `key` on at a version of the store, or what came of it."""

    op: u8 = default(ScrubOp.SCRUB)
    version: u64
    result: ScrubResult
    num_keys: s32
    key: Pair[string, string]


@message(140)
class MMonPing(Message):
    """Measures whether a monitor is reachable; `padding` (zeros) makes it as large as real traffic.

    `tracker_bl` is the sender's encoded ConnectionTracker.
    """

    op: u8
    stamp: UTime
    tracker_bl: blob
    padding: blob


@message(0x609)
class MTimeCheck2(Message):
    """Measures clocks (a TimeCheckOp): skews and latencies in seconds by rank."""

    op: s32
    epoch: u64
    round: u64
    timestamp: UTime
    skews: Map[s32, f64]
    latencies: Map[s32, f64]


@message(68, version=3, compat=2)
class MMonJoin(PaxosServiceMessage):
    """A monitor asks to be in the monitor map under this name and these addresses."""

    fsid: uuid_d
    name: string
    addrs: EntityAddrVec
    crush_loc: Map[string, string] = since(3)
    force_loc: boolean = since(3)


@message(46, version=4, compat=4)
class MForward(Message):
    """A client's message on its way from a peon to the leader.

    `forward_tid` (upstream `tid`) comes back in the MRoute; `con_features` are the client's, `msg`
    is encoded for what both the client and the leader have.
    """

    forward_tid: u64
    client_type: u8
    client_addrs: EntityAddrVec
    client_socket_addr: EntityAddr
    client_caps: MonCap
    msg: CarriedMessage
    con_features: u64
    entity_name: PrincipalName


@message(47, version=3, compat=3)
class MRoute(Message):
    """The leader's answer on its way to the client through the peon that has its session.

    `msg` None means that there is no answer; `send_osdmap_first`, unless 0, is the epoch from
    which on to send OSD maps before it.
    """

    session_mon_tid: u64
    dest: EntityInst = removed()
    msg: Opt[CarriedMessage]
    send_osdmap_first: u32


@message(0x601)
class MMonHealth(Message):
    """A monitor's disk usage, as monitors before 13.2 told one another."""

    epoch: u32
    round: u64
    service_type: s32
    service_op: s32
    data_stats: DataStats


@message(0x608)
class MMonHealthChecks(PaxosServiceMessage):
    """A monitor's own health checks, told to the leader."""

    health_checks: HealthCheckMap
