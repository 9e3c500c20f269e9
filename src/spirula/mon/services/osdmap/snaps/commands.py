"""Snapshots of pools by command and by message, and pools that clients create and delete.

A pool has either snapshots of its own, or self-managed ones, whose ids clients ask for (RBD and
CephFS do). Upstream: `src/mon/OSDMonitor.cc` (osd pool mksnap, preprocess_pool_op,
prepare_pool_op).
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from spirula.auth.caps import InvalidCaps
from spirula.auth.caps import osd as osd_caps
from spirula.auth.caps.grammar import WRITE
from spirula.auth.caps.osd_grant import OsdGrant
from spirula.commands.arguments import pool_name, text
from spirula.commands.reply import Reply, Retry, said
from spirula.commands.table import Commands
from spirula.errors import CephError, InvalidArgument, WireError
from spirula.maps.query import find_pool
from spirula.maps.snaps import add_snap, add_unmanaged_snap, find_snap, remove_unmanaged_snap
from spirula.maps.snaps import remove_snap as forget_snap
from spirula.maps.state import Release
from spirula.messages.mon_client import (
    POOL_OP_AUID_CHANGE,
    POOL_OP_CREATE,
    POOL_OP_CREATE_SNAP,
    POOL_OP_CREATE_UNMANAGED_SNAP,
    POOL_OP_DELETE,
    POOL_OP_DELETE_SNAP,
    POOL_OP_DELETE_UNMANAGED_SNAP,
    MPoolOp,
    MPoolOpReply,
)
from spirula.mon.services.osdmap.crush.checks import proposed
from spirula.mon.services.osdmap.finish import stamp
from spirula.mon.services.osdmap.pools.change import remove_pool
from spirula.mon.services.osdmap.pools.checks import find_committed, is_tier
from spirula.mon.services.osdmap.pools.create import Wanted, new_pool
from spirula.mon.services.osdmap.snaps.messages import is_pending_removed_snap, is_removed_snap
from spirula.types.interval_set import IntervalSet
from spirula.types.pool import PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_UNMANAGED = (POOL_OP_CREATE_UNMANAGED_SNAP, POOL_OP_DELETE_UNMANAGED_SNAP)
_KNOWN = (
    *_UNMANAGED,
    POOL_OP_CREATE,
    POOL_OP_DELETE,
    POOL_OP_CREATE_SNAP,
    POOL_OP_DELETE_SNAP,
    POOL_OP_AUID_CHANGE,
)
_SNAPID = struct.Struct("<Q")


# ---------------------------------------------------------------------------------------- settings


def _add_snap(service: OSDMapService, number: int, name: str) -> None:
    pool = service.pending_pool(number)
    add_snap(pool, name, stamp(service))
    pool.snap_epoch = service.pending.epoch


def _remove_snap(service: OSDMapService, number: int, snap: int) -> None:
    """The OSDs are told to purge it, as they are by either way to remove one."""
    pool = service.pending_pool(number)
    forget_snap(pool, snap)
    pool.snap_epoch = service.pending.epoch
    service.pending.new_removed_snaps.setdefault(number, IntervalSet()).insert(snap)


def _before_octopus(service: OSDMapService) -> bool:
    release: int = service.osdmap.require_osd_release
    return release < Release.OCTOPUS


def _add_unmanaged_snap(service: OSDMapService, number: int) -> int:
    """A new id for a self-managed snapshot."""
    pool = service.pending_pool(number)
    pool.snap_epoch = service.pending.epoch
    return add_unmanaged_snap(pool, pre_octopus=_before_octopus(service))


def _remove_unmanaged_snap(service: OSDMapService, number: int, snap: int) -> None:
    pool, pending = service.pending_pool(number), service.pending
    remove_unmanaged_snap(pool, snap, pre_octopus=_before_octopus(service))
    pool.snap_epoch = pending.epoch
    pending.new_removed_snaps.setdefault(number, IntervalSet()).insert(snap)
    # The number that the removal took is purged as well: no gap remains between ranges.
    service.pending_pseudo_purged_snaps.setdefault(number, set()).add(pool.snap_seq)


# ---------------------------------------------------------------------------------------- commands


@commands.add(
    "osd pool mksnap", pool=pool_name(), snap=text(), perm="rw", help="make a snapshot of a pool"
)
def make_snap(service: OSDMapService, request: Request, pool: str, snap: str) -> Reply:
    """Not where clients manage snapshots themselves."""
    number, settings = find_committed(service, pool)
    there = f"pool {pool} snap {snap} already exists"
    _check_managed(pool, settings)
    if find_snap(settings, snap):
        return said(there)
    if is_tier(settings):
        raise InvalidArgument(f"pool {pool} is a cache tier")
    changing = service.pending.new_pools.get(number, settings)
    _check_managed(pool, changing)
    if find_snap(changing, snap):
        return proposed(service, there)
    _add_snap(service, number, snap)
    return proposed(service, f"created pool {pool} snap {snap}")


def _check_managed(pool: str, settings: PGPool) -> None:
    if settings.has_flag(PoolFlag.SELFMANAGED_SNAPS):
        raise InvalidArgument(f"pool {pool} is in unmanaged snaps mode")


@commands.add(
    "osd pool rmsnap", pool=pool_name(), snap=text(), perm="rw", help="remove a pool's snapshot"
)
def remove_snap(service: OSDMapService, request: Request, pool: str, snap: str) -> Reply:
    """Whether there is one or not."""
    number, settings = find_committed(service, pool)
    _check_managed(pool, settings)
    if not find_snap(settings, snap):
        return said(f"pool {pool} snap {snap} does not exist")
    found = find_snap(service.pending.new_pools.get(number, settings), snap)
    if not found:
        return proposed(service, f"already removed pool {pool} snap {snap}")
    _remove_snap(service, number, found)
    return proposed(service, f"removed pool {pool} snap {snap}")


# ---------------------------------------------------------------------------------------- messages


def _answer(
    service: OSDMapService, request: Request, rc: int, epoch: int = 0, data: bytes | None = None
) -> None:
    message = request.message
    if isinstance(message, MPoolOp):
        request.reply(
            MPoolOpReply(
                version=service.last_committed,
                fsid=message.fsid,
                reply_code=rc,
                epoch=epoch or service.epoch,
                response_data=data,
            )
        )


def _may_write(grant: OsdGrant, pool: str | None) -> bool:
    """Whether a grant lets write to the pool, or (None) to any; only pools named count here."""
    return bool(grant.allow & WRITE) and (
        grant.is_match_all or (pool is not None and grant.pool == pool)
    )


def _may_manage_snaps(service: OSDMapService, request: Request, pool: str | None) -> bool:
    """Who may write to the pool may ask for ids of snapshots (CVE-2018-10861: nobody else)."""
    session = request.session
    arguments = {} if pool is None else {"poolname": pool}
    if session.may_run("osd", "osd pool op unmanaged-snap", arguments, "w"):
        return True
    try:
        caps = osd_caps.parse(service.monitor.auth.entity_caps(session.entity).get("osd", ""))
    except (InvalidCaps, WireError):
        return False
    if caps.is_allow_all():
        return True
    return any(_may_write(one, pool) for grant in caps.grants for one in grant.implied())


def preprocess_pool_op(service: OSDMapService, request: Request) -> bool:
    """Who may not is told so; what is done already or cannot be is answered at once."""
    message, osdmap = request.message, service.osdmap
    if not isinstance(message, MPoolOp):
        return True
    rc = _refusal(service, request, message)
    if rc is None and message.op == POOL_OP_CREATE:
        rc = None if find_pool(osdmap, message.name) is None else 0
    elif rc is None:
        pool = osdmap.pools.get(message.pool)
        if pool is None:
            rc = 0 if message.op == POOL_OP_DELETE else -errno.ENOENT
        else:
            rc = _outcome(service, message, pool)
    if rc is None:
        return False
    _answer(service, request, rc)
    return True


def _refusal(service: OSDMapService, request: Request, message: MPoolOp) -> int | None:
    if message.op in _UNMANAGED:
        allowed = _may_manage_snaps(service, request, service.osdmap.pool_name.get(message.pool))
    else:
        allowed = request.session.is_capable("osd", write=True)
    if not allowed:
        return -errno.EPERM
    if message.fsid != service.monitor.monmap.fsid or message.op not in _KNOWN:
        return -errno.EINVAL
    return -errno.EOPNOTSUPP if message.op == POOL_OP_AUID_CHANGE else None


def _outcome(service: OSDMapService, message: MPoolOp, pool: PGPool) -> int | None:
    """How an operation on that pool ends, if nothing is to be changed for that."""
    there = find_snap(pool, message.name)
    unmanaged = pool.has_flag(PoolFlag.SELFMANAGED_SNAPS)
    match message.op:
        case op if op == POOL_OP_CREATE_SNAP:
            if unmanaged or is_tier(pool):
                return -errno.EINVAL
            return 0 if there else None
        case op if op == POOL_OP_DELETE_SNAP:
            if unmanaged:
                return -errno.EINVAL
            return None if there else 0
        case op if op in _UNMANAGED:
            if pool.has_flag(PoolFlag.POOL_SNAPS):
                return -errno.EINVAL
            if op == POOL_OP_CREATE_UNMANAGED_SNAP:
                return None
            if is_removed_snap(service, message.pool, message.snapid):
                return 0
            return None if unmanaged else -errno.EOPNOTSUPP
    return None


def prepare_pool_op(service: OSDMapService, request: Request) -> None:
    """At the leader: the change, and the answer when it is committed."""
    message = request.message
    if not isinstance(message, MPoolOp):
        return
    data: bytes | None = None
    rc = 0
    try:
        if message.op == POOL_OP_CREATE:
            new_pool(service, Wanted(message.name, rule=message.crush_rule, fast_read=False))
        elif message.op == POOL_OP_DELETE:
            remove_pool(service, message.pool, fake=True)
        else:
            rc, data = _change_snaps(service, message)
    except Retry:
        service.after_commit(request, lambda: service.dispatch(request))
        return
    except CephError as error:
        rc = -error.errno
    epoch = service.pending.epoch
    service.after_commit(request, lambda: _answer(service, request, rc, epoch, data))
    service.propose()


def _change_snaps(service: OSDMapService, message: MPoolOp) -> tuple[int, bytes | None]:
    """What is pending decides: the two kinds of snapshots exclude one another."""
    number = message.pool
    pool = service.pending.new_pools.get(number, service.osdmap.pools.get(number))
    if pool is None or number in service.pending.old_pools:
        return -errno.ENOENT, None
    other = PoolFlag.POOL_SNAPS if message.op in _UNMANAGED else PoolFlag.SELFMANAGED_SNAPS
    if pool.has_flag(other):
        return -errno.EINVAL, None
    there = find_snap(pool, message.name)
    if message.op == POOL_OP_CREATE_SNAP:
        if not there:
            _add_snap(service, number, message.name)
    elif message.op == POOL_OP_DELETE_SNAP:
        if there:
            _remove_snap(service, number, there)
    elif message.op == POOL_OP_CREATE_UNMANAGED_SNAP:
        return 0, _SNAPID.pack(_add_unmanaged_snap(service, number))
    else:
        snap = message.snapid
        if is_removed_snap(service, number, snap) or is_pending_removed_snap(service, number, snap):
            return 0, None
        if snap > pool.snap_seq:
            return -errno.ENOENT, None
        _remove_unmanaged_snap(service, number, snap)
    return 0, None
