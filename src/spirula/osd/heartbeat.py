"""Heartbeats between OSDs: whom we ping, who answers, whom we report.

Each peer is pinged at its back (cluster) and front (public) address every few seconds; whoever does
not answer both within the grace is reported to the monitors (`reports`), and the report is taken
back when it does. Pings also carry map epochs and what leases need to compare clocks. Behaviour:
upstream `src/osd/OSD.cc` (heartbeat, handle_osd_ping, maybe_update_heartbeat_peers).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import ECONNREFUSED
from typing import TYPE_CHECKING

from spirula.crush.lookup import (
    leaves,
    subtree_contains,
    type_id,
)
from spirula.errors import CephError, NotConnected, SpirulaError
from spirula.maps.query import identify_osd, up_osds
from spirula.maps.state import exists, is_up
from spirula.messages.osd_ping import MOSDPing, PingOp
from spirula.msgr.connection import Connection
from spirula.osd.peers import cluster_connection, share_map
from spirula.osd.ping_times import PERIOD_S, PingTimesRecord
from spirula.osd.session import session_of
from spirula.osd.state import OSD, Phase, subscribe_maps
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityType
from spirula.types.wrappers import Timespan

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap

_BOTH = 2
_Key = tuple[int, int]


@dataclass(slots=True)
class Stamps:
    """How far another OSD's clock is from ours: it reads between ours + `lb` and ours + `ub`.

    None: not known. `up_from` is the newest life of that OSD that was heard of.
    """

    osd: int
    lb: float | None = None
    ub: float | None = None
    up_from: int = 0

    def for_ping(self) -> float | None:
        """What the peer may take as the upper bound of how far our clock is ahead of its own."""
        return None if self.lb is None else -self.lb

    def got_ping(self, up_from: int, now: float, sent: float, ub: float | None) -> float:
        """A ping came that was sent at `sent` by the peer's clock; gives what the answer says."""
        if up_from < self.up_from:
            return 0.0
        self.up_from = up_from
        self.lb, self.ub = sent - now, ub
        return now - sent

    def got_reply(self, now: float, sent: float, ub: float | None) -> None:
        """An answer came."""
        self.lb, self.ub = sent - now, ub


@dataclass(slots=True)
class _Pending:
    """A ping that not both have answered: by when they must, and how many are left."""

    deadline: float
    left: int = _BOTH


@dataclass(slots=True, eq=False)
class Peer:
    """An OSD that we ping. Times are the loop's; 0 means never."""

    osd: int
    back: Connection
    front: Connection
    epoch: int = 0
    first_tx: float = 0.0
    last_tx: float = 0.0
    last_rx_back: float = 0.0
    last_rx_front: float = 0.0
    pending: dict[_Key, _Pending] = field(default_factory=dict)
    times: PingTimesRecord = field(default_factory=PingTimesRecord)

    def oldest_deadline(self) -> float | None:
        """By when the oldest ping should have been answered; None when all were."""
        return next(iter(self.pending.values())).deadline if self.pending else None

    def is_unhealthy(self, now: float) -> bool:
        """Whether an answer is overdue."""
        deadline = self.oldest_deadline()
        return deadline is not None and now > deadline

    def is_healthy(self, now: float) -> bool:
        """Whether both have answered before, and nothing is overdue."""
        return bool(self.last_rx_back and self.last_rx_front) and not self.is_unhealthy(now)

    def mark_down(self) -> None:
        """End both connections."""
        self.back.mark_down()
        self.front.mark_down()


@dataclass(slots=True)
class Heartbeats:
    """All of an OSD's heartbeats. `stale`: the set of peers has to be chosen anew.

    `failure_queue`: OSDs to report, and since when they are silent. `failure_pending`: those that
    were reported, since when, and where they were.
    """

    peers: dict[int, Peer] = field(default_factory=dict)
    stamps: dict[int, Stamps] = field(default_factory=dict)
    stale: bool = True
    last_resample: float = 0.0
    failure_queue: dict[int, float] = field(default_factory=dict)
    failure_pending: dict[int, tuple[float, EntityAddrVec]] = field(default_factory=dict)

    def stamps_of(self, osd: int) -> Stamps:
        """What is known of an OSD's clock."""
        found = self.stamps.get(osd)
        if found is None:
            found = self.stamps[osd] = Stamps(osd)
        return found


# --------------------------------------------------------------------------------------- choosing


def update_peers(osd: OSD) -> None:
    """Choose whom to ping, if that is due: those who share PGs, neighbours, other subtrees."""
    beats, now = osd.heartbeats, osd.now()
    if osd.phase in (Phase.WAITING_FOR_HEALTHY, Phase.ACTIVE):
        if not beats.last_resample:
            beats.last_resample = now
            beats.stale = True
        elif not beats.stale and now - beats.last_resample > osd.config.get_int(
            "osd_heartbeat_grace"
        ):
            beats.stale = True
            beats.last_resample = now
            reset_peers(osd, everyone=osd.phase is Phase.WAITING_FOR_HEALTHY)
    if not beats.stale:
        return
    beats.stale = False
    osdmap = osd.maps.current
    if osd.is_active:
        for other in osd.pgs.heartbeat_peers():
            if is_up(osdmap, other):
                _add(osd, other)
    want = _neighbours(osdmap, osd.whoami)
    want |= _other_subtrees(osd, want)
    least = osd.config.get_int("osd_heartbeat_min_peers")
    extras: set[int] = set()
    for other in sorted(want):
        extras.add(other)
        _add(osd, other)
    for other, peer in list(beats.peers.items()):
        if not is_up(osdmap, other):
            _remove(osd, other)
        elif peer.epoch < osdmap.epoch:
            extras.add(other)
    for other in _after(up_osds(osdmap), osd.whoami):
        if len(beats.peers) >= least:
            break
        if other not in extras:
            extras.add(other)
            _add(osd, other)
    for other in sorted(extras - want):
        if len(beats.peers) <= least:
            break
        if other in beats.peers:
            _remove(osd, other)
    for other in [other for other in beats.failure_pending if other not in beats.peers]:
        osd.reports.send_still_alive(osd, other)


def _after(osds: list[int], whoami: int) -> list[int]:
    """These OSDs in a circle that begins behind us, without us."""
    return [o for o in osds if o > whoami] + [o for o in osds if o < whoami]


def _neighbours(osdmap: OSDMap, whoami: int) -> set[int]:
    """The next and the previous OSD that are up: everybody is pinged by somebody."""
    circle = _after(up_osds(osdmap), whoami)
    return {circle[0], circle[-1]} if circle else set()


def _other_subtrees(osd: OSD, skip: set[int]) -> set[int]:
    """OSDs of other hosts (or whatever the monitors count reporters by), one of each."""
    config, crush, osdmap = osd.config, osd.maps.current.crush, osd.maps.current
    limit = max(
        config.get_int("mon_osd_min_down_reporters"), config.get_int("osd_heartbeat_min_peers")
    )
    level = type_id(crush, config.get_str("mon_osd_reporter_subtree_level"))
    if level is None or level < 1:
        return set()
    trees = [bucket.id for bucket in crush.buckets if bucket is not None and bucket.type == level]
    trees.sort(key=lambda _: osd.ports.random_bytes(4))
    found: set[int] = set()
    for tree in trees:
        if len(found) >= limit:
            break
        if subtree_contains(crush, tree, osd.whoami):
            continue
        up = sorted(one for one in leaves(crush, tree) if is_up(osdmap, one) and one not in skip)
        if up:
            found.add(up[osd.whoami % len(up)])
    return found


def _add(osd: OSD, other: int) -> None:
    peers, osdmap = osd.heartbeats.peers, osd.maps.current
    if other == osd.whoami:
        return
    peer = peers.get(other)
    if peer is None:
        pair = _connect(osd, other, osdmap.epoch)
        if pair is None:
            return
        peer = peers[other] = Peer(other, *pair)
        peer.times.begin(osd.now())
    peer.epoch = osdmap.epoch


def _connect(osd: OSD, other: int, epoch: int) -> tuple[Connection, Connection] | None:
    """Connections to ping an OSD at, back and front; None if it is not there any more."""
    osdmap = osd.maps.current
    if not is_up(osdmap, other) or osdmap.osd_info[other].up_from > epoch:
        return None
    messenger = osd.messengers.hb_client
    try:
        back, front = (
            messenger.get_connection(EntityType.OSD, addrs)
            for addrs in (osdmap.hb_back_addrs[other], osdmap.hb_front_addrs[other])
        )
    except (ValueError, NotConnected) as error:
        osd.log(1, f"osd.{other} cannot be pinged: {error}")
        return None
    return back, front


def _remove(osd: OSD, other: int) -> None:
    osd.heartbeats.peers.pop(other).mark_down()


def reset_peers(osd: OSD, *, everyone: bool) -> None:
    """Forget peers that have been silent for very long, or all: they are connected to anew."""
    beats, now = osd.heartbeats, osd.now()
    limit = now - osd.config.get_int("osd_heartbeat_stale")
    for other, peer in list(beats.peers.items()):
        deadline = peer.oldest_deadline()
        if everyone or (deadline is not None and deadline <= limit):
            peer.mark_down()
            beats.failure_queue.pop(other, None)
            del beats.peers[other]


# ---------------------------------------------------------------------------------------- pinging


def beat(osd: OSD) -> None:
    """Ping all peers, and do so again after a while that chance makes shorter than the interval."""
    wait: float = osd.config.get_int("osd_heartbeat_interval")
    if not osd.config.get_bool("debug_disable_randomized_ping"):
        wait = 0.5 + wait * (osd.ports.random_bytes(1)[0] % 10) / 10
    osd.call_later("heartbeat", wait, lambda: beat(osd))
    send_pings(osd)


def send_pings(osd: OSD) -> None:
    """Ping all peers now."""
    beats, now = osd.heartbeats, osd.now()
    grace = osd.config.get_int("osd_heartbeat_grace")
    stamp = UTime.at(osd.ports.wall())
    mono = Timespan.of(osd.mono())
    for other, peer in beats.peers.items():
        peer.last_tx = now
        peer.first_tx = peer.first_tx or now
        peer.pending[stamp.sec, stamp.nsec] = _Pending(now + grace)
        delta = beats.stamps_of(other).for_ping()
        for connection in (peer.back, peer.front):
            connection.send_message(_ping(osd, PingOp.PING, stamp, mono, mono, delta))
    osd.counters.heartbeat_to_peers.value = len(beats.peers)
    if (
        not beats.peers
        and osd.is_active
        and now - osd.last_mon_heartbeat > osd.config.get_int("osd_mon_heartbeat_interval")
    ):
        # Alone: nobody but the monitors will tell of newer maps.
        osd.last_mon_heartbeat = now
        subscribe_maps(osd, osd.maps.epoch + 1)


def _ping(
    osd: OSD, op: PingOp, stamp: UTime, asked: Timespan, sent: Timespan, delta: float | None
) -> MOSDPing:
    return MOSDPing(
        osd.superblock.cluster_fsid,
        osd.maps.epoch,
        op,
        stamp,
        asked,
        sent,
        None if delta is None else Timespan.of(delta),
        osd.up_epoch,
        osd.config.get_int("osd_heartbeat_min_size"),
    )


def on_ping(osd: OSD, connection: Connection, message: MOSDPing) -> None:
    """A ping, an answer to one, or that we are taken for dead."""
    if message.fsid != osd.superblock.cluster_fsid or osd.is_stopping:
        return
    if connection.peer_type != EntityType.OSD:
        return
    other = connection.peer_name.num
    if message.op == PingOp.PING:
        _on_ask(osd, connection, other, message)
    elif message.op == PingOp.PING_REPLY:
        _on_reply(osd, connection, other, message)
    elif message.op == PingOp.YOU_DIED:
        subscribe_maps(osd, osd.maps.epoch + 1)


def _delta(message: MOSDPing) -> float | None:
    return None if message.delta_ub is None else float(message.delta_ub)


def _on_ask(osd: OSD, connection: Connection, other: int, message: MOSDPing) -> None:
    now = osd.mono()
    sent, mono = Timespan.of(now), message.mono_ping_stamp
    delta = osd.heartbeats.stamps_of(other).got_ping(
        message.up_from, now, float(message.mono_send_stamp), _delta(message)
    )
    connection.send_message(_ping(osd, PingOp.PING_REPLY, message.ping_stamp, mono, sent, delta))
    osdmap = osd.maps.current
    if other < osdmap.max_osd and is_up(osdmap, other):
        _share_map(osd, other, message.map_epoch)
    elif not exists(osdmap, other) or osdmap.osd_info[other].down_at > message.map_epoch:
        answer = _ping(osd, PingOp.YOU_DIED, message.ping_stamp, mono, sent, None)
        connection.send_message(answer)


def _share_map(osd: OSD, other: int, epoch: int) -> None:
    if osd.is_active and epoch < osd.maps.epoch:
        connection = cluster_connection(osd, other, osd.maps.epoch)
        if connection is not None:
            share_map(osd, session_of(connection), epoch)


def _on_reply(osd: OSD, connection: Connection, other: int, message: MOSDPing) -> None:
    beats, now = osd.heartbeats, osd.now()
    peer = beats.peers.get(other)
    stamp = message.ping_stamp
    pending = peer.pending.get((stamp.sec, stamp.nsec)) if peer is not None else None
    if peer is not None and pending is not None:
        if connection is peer.back:
            peer.last_rx_back = now
            pending.left -= 1
        if connection is peer.front:
            peer.last_rx_front = now
            pending.left -= 1
        if pending.left <= 0:
            _answered(osd, peer, stamp, pending)
        if peer.is_healthy(now):
            beats.failure_queue.pop(other, None)
            if other in beats.failure_pending:
                osd.reports.send_still_alive(osd, other)
    if message.map_epoch and other < osd.maps.current.max_osd and is_up(osd.maps.current, other):
        _share_map(osd, other, message.map_epoch)
    beats.stamps_of(other).got_reply(osd.mono(), float(message.mono_send_stamp), _delta(message))


def _answered(osd: OSD, peer: Peer, stamp: UTime, pending: _Pending) -> None:
    """Both answers to a ping are there: it and all before it are settled."""
    sent = pending.deadline - osd.config.get_int("osd_heartbeat_grace")
    times = peer.times.add(
        osd.now(),
        osd.ports.wall(),
        peer.last_rx_back - sent,
        peer.last_rx_front - sent,
        osd.config.get_int("debug_heartbeat_testing_span") or PERIOD_S,
    )
    if times is not None:
        osd.reports.stat.hb_pingtime[peer.osd] = times
    key = stamp.sec, stamp.nsec
    for older in list(peer.pending):
        del peer.pending[older]
        if older == key:
            break


# --------------------------------------------------------------------------------------- checking


def check(osd: OSD) -> None:
    """Queue a report of each peer whose answers are overdue."""
    beats, now = osd.heartbeats, osd.now()
    for other, peer in beats.peers.items():
        if not peer.first_tx or not peer.is_unhealthy(now):
            continue
        silent = min(peer.last_rx_back, peer.last_rx_front)
        if other not in beats.failure_queue and other not in beats.failure_pending:
            since = f"for {now - silent:.0f} s" if silent else "ever on either front or back"
            where = peer.front.peer_addrs
            osd.log(0, f"heartbeat_check: no reply from osd.{other} at {where} {since}")
        beats.failure_queue[other] = silent or peer.first_tx


def is_healthy(osd: OSD) -> bool:
    """Whether enough of our peers answer for us to call ourselves up."""
    if osd.phase is not Phase.WAITING_FOR_HEALTHY or not osd.markdowns:
        return True
    now, peers = osd.now(), osd.heartbeats.peers.values()
    up = sum(peer.is_healthy(now) for peer in peers)
    ratio = osd.config.get_float("osd_heartbeat_min_healthy_ratio")
    if up < len(peers) * ratio:
        osd.log(1, f"not healthy: only {up} of {len(peers)} peers answer")
        return False
    return True


def on_reset(osd: OSD, connection: Connection) -> None:
    """A connection for pings broke: connect anew, where the peer still is a peer."""
    for peer in osd.heartbeats.peers.values():
        if connection is peer.back or connection is peer.front:
            for other in (peer.back, peer.front):
                if other is not connection:
                    other.mark_down()
            pair = _connect(osd, peer.osd, peer.epoch)
            if pair is None:
                del osd.heartbeats.peers[peer.osd]
            else:
                peer.back, peer.front = pair
                peer.pending.clear()
            return


def on_refused(osd: OSD, connection: Connection, error: SpirulaError) -> None:
    """Nobody listens where an OSD was: it is dead, and need not be waited for."""
    if not isinstance(error, CephError) or error.errno != ECONNREFUSED or osd.is_stopping:
        return
    if connection.peer_type != EntityType.OSD:
        return
    if not osd.config.get_bool("osd_fast_fail_on_connection_refused"):
        return
    osdmap = osd.maps.current
    addrs = connection.peer_addrs.addrs
    found = (identify_osd(osdmap, addr, heartbeats=True) for addr in addrs)
    other = next((one for one in found if one >= 0), -1)
    if other >= 0 and other != osd.whoami and is_up(osdmap, other):
        osd.reports.send_dead(osd, other)
