"""Until when a PG may answer reads: leases that the primary renews.

A primary that is cut off must not answer reads after others have taken over. So it answers only
while all replicas have promised not to (`readable_until`), and a new primary waits until what an
earlier interval was promised is over (`prior_readable_until_ub`, the state WAIT). Times are seconds
of this OSD's monotonic clock; those of others are converted by what heartbeats tell. Called by
`pipeline` and `peering`. Upstream: `src/osd/PeeringState.cc` (renew_lease, proc_lease).
"""

from __future__ import annotations

from errno import EAGAIN
from typing import TYPE_CHECKING

from spirula.messages.osd_peering import MOSDPGLease, MOSDPGLeaseAck
from spirula.osd.pg.admission import Refused
from spirula.types.pg import NO_OSD, PGShard, PGState, SPGId
from spirula.types.pg_info import PGLease, PGLeaseAck
from spirula.types.pool import PoolOpt
from spirula.types.wrappers import Timespan

if TYPE_CHECKING:
    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.pg.state import PG

_NOT_READABLE = int(PGState.WAIT | PGState.LAGGY)


def check_readable(pg: PG, request: MOSDOp) -> bool:
    """Whether the lease holds; else the request waits. Raises Refused on a replica without one."""
    if not pg.state & _NOT_READABLE:
        if pg.shared.mono() <= pg.readable_until:
            return True
        if not pg.is_primary:
            raise Refused("the lease of this replica is over", errno=EAGAIN)
        pg.set_state(on=PGState.LAGGY)
    pg.waiting.for_readable.append(request)
    return False


def recheck(pg: PG) -> None:
    """Lets requests go on if now the lease holds and no earlier one does."""
    now = pg.shared.mono()
    if pg.state & PGState.WAIT and now >= pg.prior_readable_until_ub:
        clear_prior(pg)
        pg.set_state(off=PGState.WAIT)
    elif pg.state & PGState.WAIT:
        if pg.readable_timer is not None:
            pg.readable_timer.cancel()
        _look_again(pg)  # a loop's timers may be early
    if pg.state & PGState.LAGGY and now < pg.readable_until:
        pg.set_state(off=PGState.LAGGY)
    if not pg.state & _NOT_READABLE and pg.waiting.for_readable:
        waiting = list(pg.waiting.for_readable)
        pg.waiting.for_readable.clear()
        pg.requeue(waiting)


def clear_prior(pg: PG) -> None:
    """No earlier interval answers reads any more."""
    pg.prior_readable_until_ub = 0.0
    pg.info.history.prior_readable_until_ub = Timespan()


def interval_s(pg: PG) -> float:
    """For how long the pool's leases are given, in seconds."""
    own = pg.pool.opts.opts.get(PoolOpt.READ_LEASE_INTERVAL)
    if own is not None:
        return float(own)
    options = pg.options
    return options.osd_heartbeat_grace * options.osd_pool_default_read_lease_ratio


def reset(pg: PG) -> None:
    """A new interval begins: nothing is promised in it, and what was promised is remembered."""
    now = pg.shared.mono()
    pg.prior_readable_until_ub = max(pg.prior_readable_until_ub, pg.readable_until_ub)
    history = pg.info.history
    left = max(pg.prior_readable_until_ub - now, float(history.prior_readable_until_ub), 0.0)
    pg.prior_readable_until_ub = now + left if left else 0.0
    history.prior_readable_until_ub = Timespan.of(left)
    pg.readable_until = pg.readable_until_ub = pg.readable_until_ub_sent = 0.0
    pg.readable_until_ub_from_primary = 0.0
    pg.acting_readable_until_ub = {}
    stop(pg)


def refresh_history(pg: PG) -> None:
    """Brings up to date how long from now an earlier interval may still answer reads."""
    left = max(pg.prior_readable_until_ub - pg.shared.mono(), 0.0)
    pg.info.history.prior_readable_until_ub = Timespan.of(left)


def stop(pg: PG) -> None:
    """Renews no more."""
    for timer in (pg.lease_timer, pg.readable_timer):
        if timer is not None:
            timer.cancel()
    pg.lease_timer = pg.readable_timer = None


def renew(pg: PG) -> None:
    """Promises the next span, from now on; counts once the replicas have acknowledged it."""
    pg.readable_until_ub_sent = pg.shared.mono() + interval_s(pg)
    if pg.readable_until_ub == pg.readable_until:
        _recalculate(pg)


def current(pg: PG) -> PGLease:
    """The lease as it is sent to replicas."""
    return PGLease(
        Timespan.of(pg.readable_until),
        Timespan.of(pg.readable_until_ub_sent),
        Timespan.of(interval_s(pg)),
    )


def acknowledgement(pg: PG) -> PGLeaseAck:
    """What a replica answers: the latest promise that it knows of, by the primary's clock."""
    return PGLeaseAck(Timespan.of(pg.readable_until_ub_from_primary))


def start_renewing(pg: PG) -> None:
    """Renews and sends the lease, and goes on doing so until the interval ends."""
    renew(pg)
    epoch = pg.osdmap.epoch
    lease = current(pg)
    for osd in pg.acting:
        if osd not in (NO_OSD, pg.whoami.osd):
            spgid = SPGId(pg.pgid.pgid, pg.pgid.shard)
            pg.services.send_osd(osd, MOSDPGLease(epoch, spgid, lease), epoch)
    if pg.lease_timer is not None:
        pg.lease_timer.cancel()
    delay = interval_s(pg) / 2
    pg.lease_timer = pg.services.loop.call_later(delay, start_renewing, pg)


def wait_for_prior(pg: PG) -> None:
    """Waits, if an earlier interval may still answer reads, until that is over."""
    if pg.prior_readable_until_ub > pg.shared.mono():
        pg.set_state(on=PGState.WAIT)
        _look_again(pg)


def _look_again(pg: PG) -> None:
    delay = max(pg.prior_readable_until_ub - pg.shared.mono(), 0.001)
    pg.readable_timer = pg.services.loop.call_later(delay, recheck, pg)


def _recalculate(pg: PG) -> None:
    least = pg.readable_until_ub_sent
    for osd in pg.acting:
        if osd not in (NO_OSD, pg.whoami.osd):
            least = min(least, pg.acting_readable_until_ub.get(osd, 0.0))
    pg.readable_until = pg.readable_until_ub = least


def on_lease(pg: PG, lease: PGLease) -> None:
    """The primary promises; a replica answers reads so long, and remembers it for later."""
    if not pg.is_nonprimary:
        return
    until_ub = float(lease.readable_until_ub)
    pg.readable_until_ub_from_primary = max(pg.readable_until_ub_from_primary, until_ub)
    least, most = pg.shared.clock_delta(pg.primary.osd)
    until = float(lease.readable_until)
    if until and most is not None:
        pg.readable_until = max(pg.readable_until, until - most)
    unknown_ub = pg.shared.mono() + float(lease.interval)
    ub = unknown_ub if least is None else until_ub - least
    pg.readable_until_ub = max(pg.readable_until_ub, ub)


def send_ack(pg: PG) -> None:
    """Tells the primary what a replica knows of its lease."""
    epoch = pg.osdmap.epoch
    spgid = SPGId(pg.pgid.pgid, pg.primary.shard)
    ack = MOSDPGLeaseAck(epoch, spgid, acknowledgement(pg))
    pg.services.send_osd(pg.primary.osd, ack, epoch)


def on_ack(pg: PG, sender: PGShard, ack: PGLeaseAck) -> None:
    """A replica knows of a lease: with the last of them it counts."""
    osd, until = sender.osd, float(ack.readable_until_ub)
    known = pg.acting_readable_until_ub.get(osd, 0.0)
    if osd not in pg.acting or until <= known:
        return
    was_least = known == pg.readable_until
    pg.acting_readable_until_ub[osd] = until
    if was_least:
        old = pg.readable_until
        _recalculate(pg)
        if pg.shared.mono() < pg.readable_until or old != pg.readable_until:
            recheck(pg)
