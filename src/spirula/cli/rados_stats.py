"""The sub-commands of `spirula rados` that tell what pools hold and what scrubs found: `df`,
`list-inconsistent-pg`, `list-inconsistent-obj`, `list-inconsistent-snapset`.

Shapes: upstream `src/tools/rados/rados.cc`.
"""

from __future__ import annotations

from errno import EAGAIN, ENOENT

from spirula.cli.rados_context import Context, Failed
from spirula.cli.rados_inconsistent import inconsistent_object, inconsistent_snapset
from spirula.messages.mon_client import MGetPoolStatsReply
from spirula.printing import Items, TextTable, size_text
from spirula.rados.aio import Cluster, Ioctx
from spirula.rados.errors import Error, make_error
from spirula.types.inconsistency import InconsistentObject, InconsistentSnapSet
from spirula.types.osd_op import OpCode, OSDOp
from spirula.types.osd_op_payload import ScrubListInput, ScrubListReply
from spirula.types.pg import PGId
from spirula.types.pg_stats import PoolStat

_COLUMNS = (
    "POOL_NAME",
    "USED",
    "OBJECTS",
    "CLONES",
    "COPIES",
    "MISSING_ON_PRIMARY",
    "UNFOUND",
    "DEGRADED",
    "RD_OPS",
    "RD",
    "WR_OPS",
    "WR",
    "USED COMPR",
    "UNDER COMPR",
)
_AT_A_TIME = 32


async def df(context: Context) -> None:
    """What is in the pools, or in the one that is named, and how full the cluster is."""
    cluster = context.connected
    names = [context.args.pool] if context.args.pool else await cluster.list_pools()
    with context.failing("error fetching pool stats"):
        answer = await _pool_stats(cluster, names)
    rows = {name: _counters(found, answer) for name, found in sorted(answer.pool_stats.items())}
    with context.failing("error getting total cluster usage"):
        total = await cluster.stats()
    if context.args.format:
        pools = Items("pool")
        for name, row in rows.items():
            pools.append({"name": name, "id": await cluster.pool_lookup(name), **row})
        document = {
            "pools": pools,
            "total_objects": total["num_objects"],
            "total_used": total["kb_used"],
            "total_avail": total["kb_avail"],
            "total_space": total["kb"],
        }
        context.show("stats", document)
        return
    table = TextTable(
        [(name, "<" if name == "POOL_NAME" else ">") for name in _COLUMNS],
        "<" + ">" * (len(_COLUMNS) - 1),
    )
    for name, row in rows.items():
        table.add(name, *_cells(row))
    context.say(str(table), end="")
    context.say(f"\ntotal_objects    {total['num_objects']}")
    for label, key in (("used", "kb_used"), ("avail", "kb_avail"), ("space", "kb")):
        context.say(f"total_{label:<11}{size_text(total[key] << 10)}")


async def _pool_stats(cluster: Cluster, names: list[str]) -> MGetPoolStatsReply:
    for name in names:
        if await cluster.pool_lookup(name) is None:
            raise make_error(ENOENT, f"there is no pool {name}")
    return await cluster.session.monitors.pool_stats(names, cluster.mon_timeout_s)


def _counters(found: PoolStat, answer: MGetPoolStatsReply) -> dict[str, int]:
    counted, store = found.stats.sum, found.store_stats
    if answer.per_pool:
        size = store.allocated + store.omap_allocated
    else:
        size = counted.num_bytes + counted.num_bytes_hit_set_archive + counted.num_omap_bytes
    return {
        "size_bytes": size,
        "size_kb": -(-size // 1024),
        "num_objects": counted.num_objects,
        "num_object_clones": counted.num_object_clones,
        "num_object_copies": counted.num_object_copies,
        "num_objects_missing_on_primary": counted.num_objects_missing_on_primary,
        "num_objects_unfound": counted.num_objects_unfound,
        "num_objects_degraded": counted.num_objects_degraded,
        "read_ops": counted.num_rd,
        "read_bytes": counted.num_rd_kb << 10,
        "write_ops": counted.num_wr,
        "write_bytes": counted.num_wr_kb << 10,
        "compress_bytes_used": store.data_compressed_allocated,
        "compress_under_bytes": store.data_compressed_original,
    }


def _cells(row: dict[str, int]) -> list[object]:
    hidden = {"size_kb"}
    return [
        size_text(value) if "bytes" in name else value
        for name, value in row.items()
        if name not in hidden
    ]


# ------------------------------------------------------------------------------- what scrubs found


async def list_inconsistent_pg(context: Context) -> None:
    """PGs of a pool whose copies differ."""
    (name,) = context.take("pool name")
    pool = await context.connected.pool_lookup(name)
    if pool is None:
        raise Failed(f'pool "{name}" not found\nerror 2: (2) No such file or directory')
    try:
        found = await context.connected.inconsistent_pgs(pool)
    except Error as error:
        raise Failed(f"error {error.errno}: {context.reason(error)}") from error
    context.show("pgs", Items("pg", found), default="json")
    context.say("")


async def list_inconsistent_obj(context: Context) -> None:
    """Objects of a PG whose copies differ."""
    await _list_inconsistent(context, snapsets=False)


async def list_inconsistent_snapset(context: Context) -> None:
    """Objects of a PG whose snapshots do not fit."""
    await _list_inconsistent(context, snapsets=True)


async def _list_inconsistent(context: Context, *, snapsets: bool) -> None:
    (word,) = context.take("PG")
    try:
        pg = PGId.parse(word)
    except ValueError:
        context.complain(f"bad pg: {word}")
        return  # with 0, as upstream
    rows = Items("inconsistent")
    asked = ScrubListInput(0, int(snapsets), "", "", 0, _AT_A_TIME)
    try:
        ioctx = await context.connected.open_ioctx(pg.pool)
        while True:
            reply = await _scrub_page(ioctx, pg, asked)
            asked.interval = reply.interval
            for data in reply.vals:
                if snapsets:
                    snapset = InconsistentSnapSet.decode(bytes(data))
                    last, row = snapset.object, inconsistent_snapset(snapset)
                else:
                    found = InconsistentObject.decode(bytes(data))
                    last, row = found.object, inconsistent_object(found)
                rows.append(row)
                asked.start_after_name, asked.start_after_nspace = last.name, last.nspace
                asked.start_after_snap = last.snap
            if len(reply.vals) < _AT_A_TIME:
                break
    except Error as error:
        told = {
            EAGAIN: f"interval#{asked.interval} expired.\n",
            ENOENT: f"No scrub information available for pg {pg}\n",
        }.get(error.errno or 0, "")
        raise Failed(f"{told}error {error.errno}: {context.reason(error)}") from error
    context.show("info", {"epoch": asked.interval, "inconsistents": rows}, default="json")


async def _scrub_page(ioctx: Ioctx, pg: PGId, asked: ScrubListInput) -> ScrubListReply:
    op = OSDOp.make(OpCode.SCRUBLS, None, asked.encode())
    outcome = await ioctx.operate_pg(pg.seed, [op])
    if outcome.result < 0:
        raise make_error(outcome.result, f"error listing what scrubs of {pg} found")
    return ScrubListReply.decode(bytes(outcome.ops[0].outdata))
