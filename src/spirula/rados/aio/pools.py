"""Pools as wholes: made, removed, looked up; their snapshots, applications and counters.

Called by `Cluster` and `Ioctx`. What monitors are asked, and what is told from the map that is at
hand, is as in upstream `src/librados/RadosClient.cc` and `src/osdc/Objecter.cc`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from errno import EEXIST, EINVAL, ENOENT
from typing import TYPE_CHECKING, NamedTuple

from spirula.errors import SpirulaError
from spirula.messages.mon_client import (
    POOL_OP_CREATE,
    POOL_OP_CREATE_SNAP,
    POOL_OP_CREATE_UNMANAGED_SNAP,
    POOL_OP_DELETE,
    POOL_OP_DELETE_SNAP,
    POOL_OP_DELETE_UNMANAGED_SNAP,
)
from spirula.rados.errors import from_spirula, make_error
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.pool import PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.rados.aio.cluster import Cluster

KIB = 1024


class PoolSnap(NamedTuple):
    """A snapshot of a pool: its id, its name, when it was made (seconds since 1970)."""

    snap_id: int
    name: str
    stamp: float


def the_map(cluster: Cluster) -> OSDMap:
    """The newest map that was seen."""
    return cluster.session.objecter.maps.osdmap


def pool_of(cluster: Cluster, pool_id: int) -> PGPool:
    """A pool of the map. ObjectNotFound where it is gone."""
    pool = the_map(cluster).pools.get(pool_id)
    if pool is None:
        raise make_error(ENOENT, f"there is no pool {pool_id}")
    return pool


async def find(cluster: Cluster, name: str) -> int | None:
    """The id of a pool, also of one that has just been made; None where there is none."""
    for _ in range(2):
        for pool_id, pool_name in the_map(cluster).pool_name.items():
            if pool_name == name:
                return pool_id
        await cluster.wait_for_latest_osdmap()
    return None


async def find_name(cluster: Cluster, pool_id: int) -> str | None:
    """The name of a pool, also of one that has just been made; None where there is none."""
    if pool_id not in the_map(cluster).pool_name:
        await cluster.wait_for_latest_osdmap()
    return the_map(cluster).pool_name.get(pool_id)


async def _pool_op(
    cluster: Cluster,
    what: str,
    op: int,
    pool: int,
    name: str = "",
    snap_id: int = 0,
    rule: int = -1,
) -> bytes:
    """Ask the monitors; on return the map shows it."""
    session = cluster.session
    timeout_s = cluster.mon_timeout_s
    try:
        data, epoch = await session.monitors.pool_op(
            op, pool, name, snap_id, timeout_s, crush_rule=rule
        )
    except SpirulaError as error:
        raise from_spirula(error, what) from error
    await session.objecter.wait_for_map(epoch)
    return data


async def create(cluster: Cluster, name: str, crush_rule: int | None) -> None:
    """Make a pool with the cluster's defaults."""
    what = f"error creating pool '{name}'"
    if name in the_map(cluster).pool_name.values():
        raise make_error(EEXIST, what)
    rule = -1 if crush_rule is None else crush_rule
    await _pool_op(cluster, what, POOL_OP_CREATE, 0, name, rule=rule)


async def delete(cluster: Cluster, name: str) -> None:
    """Remove a pool with all that is in it."""
    what = f"error deleting pool '{name}'"
    pool_id = await find(cluster, name)
    if pool_id is None:
        raise make_error(ENOENT, what)
    await _pool_op(cluster, what, POOL_OP_DELETE, pool_id)


def base_tier(cluster: Cluster, pool_id: int) -> int:
    """The pool that this one is a tier of; itself where it is none."""
    pool = the_map(cluster).pools.get(pool_id)
    if pool is None:
        raise make_error(ENOENT, f"get_pool_base_tier({pool_id})")
    return pool.tier_of if pool.tier_of >= 0 else pool_id


def alignment(cluster: Cluster, pool_id: int) -> int | None:
    """See `Ioctx.alignment`."""
    pool = pool_of(cluster, pool_id)
    if not pool.is_erasure or pool.has_flag(PoolFlag.EC_OVERWRITES):
        return None
    return pool.stripe_width


# ------------------------------------------------------------------------------------- snapshots


async def create_snap(cluster: Cluster, pool_id: int, name: str) -> None:
    """See `Ioctx.create_snap`."""
    what = f"Failed to create snap {name}"
    if any(snap.name == name for snap in list_snaps(cluster, pool_id)):
        raise make_error(EEXIST, what)
    await _pool_op(cluster, what, POOL_OP_CREATE_SNAP, pool_id, name)


async def remove_snap(cluster: Cluster, pool_id: int, name: str) -> None:
    """See `Ioctx.remove_snap`."""
    what = f"Failed to remove snap {name}"
    if not any(snap.name == name for snap in list_snaps(cluster, pool_id)):
        raise make_error(ENOENT, what)
    await _pool_op(cluster, what, POOL_OP_DELETE_SNAP, pool_id, name)


def list_snaps(cluster: Cluster, pool_id: int) -> list[PoolSnap]:
    """See `Ioctx.list_snaps`."""
    snaps = pool_of(cluster, pool_id).snaps
    return [PoolSnap(key, info.name, float(info.stamp)) for key, info in sorted(snaps.items())]


async def create_self_managed_snap(cluster: Cluster, pool_id: int) -> int:
    """See `Ioctx.create_self_managed_snap`."""
    what = "Failed to create self-managed snapshot"
    data = await _pool_op(cluster, what, POOL_OP_CREATE_UNMANAGED_SNAP, pool_id)
    return int.from_bytes(data[:8], "little")


async def remove_self_managed_snap(cluster: Cluster, pool_id: int, snap_id: int) -> None:
    """See `Ioctx.remove_self_managed_snap`."""
    what = "Failed to remove self-managed snapshot"
    op = POOL_OP_DELETE_UNMANAGED_SNAP
    await _pool_op(cluster, what, op, pool_id, snap_id=snap_id)


# ---------------------------------------------------------------------------------- applications


async def enable_application(cluster: Cluster, pool_name: str, app: str, *, force: bool) -> None:
    """Say what a pool is for; a second application needs `force`."""
    command = {"prefix": "osd pool application enable", "pool": pool_name, "app": app}
    told = {**command, "yes_i_really_mean_it": True} if force else command
    await _change(cluster, told, "error enabling application")


async def set_application_metadata(
    cluster: Cluster, pool_name: str, app: str, key: str, value: str
) -> None:
    """Keep something that an application wants to know of its pool."""
    command = {"prefix": "osd pool application set", "pool": pool_name, "app": app, "key": key}
    await _change(cluster, {**command, "value": value}, "error setting application metadata")


async def remove_application_metadata(cluster: Cluster, pool_name: str, app: str, key: str) -> None:
    """Forget that."""
    command = {"prefix": "osd pool application rm", "pool": pool_name, "app": app, "key": key}
    await _change(cluster, command, "error removing application metadata")


def applications(cluster: Cluster, pool_id: int) -> dict[str, dict[str, str]]:
    """The applications of a pool, and what each keeps there."""
    return {
        app: dict(sorted(kept.items()))
        for app, kept in sorted(pool_of(cluster, pool_id).application_metadata.items())
    }


async def _change(cluster: Cluster, command: Mapping[str, object], what: str) -> None:
    reply = await cluster.mon_command(json.dumps(command))
    if reply.result < 0:
        raise make_error(reply.result, what)
    await cluster.wait_for_latest_osdmap()


# -------------------------------------------------------------------------------------- counters


async def pool_stats(cluster: Cluster, pool_name: str) -> dict[str, int]:
    """See `Ioctx.get_stats`."""
    what = f"Ioctx.get_stats({pool_name}): get_stats failed"
    try:
        answer = await cluster.session.monitors.pool_stats([pool_name], cluster.mon_timeout_s)
    except SpirulaError as error:
        raise from_spirula(error, what) from error
    found = answer.pool_stats.get(pool_name)
    counted = found.stats.sum if found is not None else ObjectStatSum()
    size = counted.num_bytes
    return {
        "num_bytes": size,
        "num_kb": -(-size // KIB),
        "num_objects": counted.num_objects,
        "num_object_clones": counted.num_object_clones,
        "num_object_copies": counted.num_object_copies,
        "num_objects_missing_on_primary": counted.num_objects_missing_on_primary,
        "num_objects_unfound": counted.num_objects_unfound,
        "num_objects_degraded": counted.num_objects_degraded,
        "num_rd": counted.num_rd,
        "num_rd_kb": counted.num_rd_kb,
        "num_wr": counted.num_wr,
        "num_wr_kb": counted.num_wr_kb,
    }


async def cluster_stats(cluster: Cluster) -> dict[str, int]:
    """How full the cluster is, in KiB, and how many objects it has."""
    try:
        answer = await cluster.session.monitors.statfs(cluster.mon_timeout_s)
    except SpirulaError as error:
        raise from_spirula(error, "Rados.get_cluster_stats failed") from error
    return {
        "kb": answer.kb,
        "kb_used": answer.kb_used,
        "kb_avail": answer.kb_avail,
        "num_objects": answer.num_objects,
    }


async def inconsistent_pgs(cluster: Cluster, pool_id: int) -> list[str]:
    """PGs of a pool whose copies differ, as scrubs found."""
    command = {"prefix": "pg ls", "pool": pool_id, "states": ["inconsistent"], "format": "json"}
    reply = await cluster.mgr_command(json.dumps(command))
    what = f"error listing the inconsistent PGs of pool {pool_id}"
    if reply.result < 0:
        raise make_error(reply.result, what)
    if not reply.output.strip():
        return []
    try:
        told = json.loads(reply.output)
        # Where there are none, managers leave the list out.
        rows = told.get("pg_stats", []) if isinstance(told, dict) else told
        return [row["pgid"] for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise make_error(EINVAL, what) from error
