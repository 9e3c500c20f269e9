"""The sub-commands of `spirula rados` about cache tiers and objects that stand for others.

What each prints and complains is upstream's, word by word. On pools that are no tier the OSDs
refuse the cache's commands.
"""

from __future__ import annotations

from spirula.cli.rados_context import Context, Failed
from spirula.rados.aio import Ioctx, ReadOp
from spirula.rados.constants import LIBRADOS_SNAP_HEAD
from spirula.rados.errors import Error
from spirula.types.hobject import SNAPDIR
from spirula.types.osd_op import CopyFromArgs, OpCode, OpFlag, OSDOp, RequestFlag
from spirula.types.osd_op_payload import SetChunkInput, SetRedirectInput
from spirula.types.snap import CloneInfo

_PAST_THE_CACHE = int(RequestFlag.IGNORE_CACHE | RequestFlag.IGNORE_OVERLAY)
_WITHOUT_LOCKS = _PAST_THE_CACHE | int(RequestFlag.SKIPRWLOCKS)
_FLAGS = {
    OpCode.CACHE_FLUSH: _PAST_THE_CACHE,
    OpCode.CACHE_TRY_FLUSH: _WITHOUT_LOCKS,
    OpCode.CACHE_EVICT: _WITHOUT_LOCKS,
    OpCode.TIER_FLUSH: _PAST_THE_CACHE,
    OpCode.TIER_EVICT: _PAST_THE_CACHE,
}


async def _ask(ioctx: Ioctx, oid: str, code: OpCode) -> None:
    await ioctx.request("error", oid, [OSDOp.make(code)], write=False, flags=_FLAGS[code])


async def _clones(ioctx: Ioctx, oid: str) -> list[CloneInfo]:
    whole = ioctx.dup()
    whole.set_read(SNAPDIR)
    op = ReadOp()
    step = op.list_snaps()
    await whole.operate_read(oid, op)
    return list(step.value.clones)


async def _cache(context: Context, code: OpCode, name: str) -> None:
    (oid,) = context.take("object name")
    ioctx = context.ioctx
    if not context.args.with_clones:
        with context.failing(f"error from {name} {oid}"):
            await _ask(ioctx, oid, code)
        return
    with context.failing(f"error listing snapshots {context.pool}/{oid}"):
        clones = await _clones(ioctx, oid)
    newest = ioctx.read_snap
    for clone in clones:
        if newest != LIBRADOS_SNAP_HEAD and clone.cloneid > newest:
            break
        ioctx.set_read(clone.cloneid)
        with context.failing(f"error from {name} {oid}"):
            await _ask(ioctx, oid, code)


async def cache_flush(context: Context) -> None:
    """Have a cache write an object to its base pool."""
    await _cache(context, OpCode.CACHE_FLUSH, "cache-flush")


# Upstream says cache-flush in the complaints of these two as well.
async def cache_try_flush(context: Context) -> None:
    """The same, if nothing is in the way."""
    await _cache(context, OpCode.CACHE_TRY_FLUSH, "cache-flush")


async def cache_evict(context: Context) -> None:
    """Have a cache forget an object that its base pool has."""
    await _cache(context, OpCode.CACHE_EVICT, "cache-flush")


async def cache_flush_evict_all(context: Context) -> None:
    """Flush and evict all objects."""
    await _evict_all(context, OpCode.CACHE_FLUSH, "cache-flush-evict-all")


async def cache_try_flush_evict_all(context: Context) -> None:
    """Flush what can be flushed at once, and evict it."""
    await _evict_all(context, OpCode.CACHE_TRY_FLUSH, "cache-try-flush-evict-all")


async def _evict_all(context: Context, flush: OpCode, name: str) -> None:
    failed = False
    async for listed in context.everything():
        context.say(f"{listed.nspace}\t{listed.oid}\t{listed.locator}")
        ioctx = context.place(listed)
        try:
            clones = [clone.cloneid for clone in await _clones(ioctx, listed.oid)]
        except Error as error:
            failed = True
            where = f"{listed.nspace}/{listed.oid}"
            context.complain(f"error listing snap shots {where}: {context.reason(error)}")
            continue
        for snap in clones or [LIBRADOS_SNAP_HEAD]:
            ioctx.set_read(snap)
            if not await _flush_and_evict(context, ioctx, listed.oid, flush):
                failed = True
                break
    if failed:
        raise Failed(f"{name} finished with errors")


async def _flush_and_evict(context: Context, ioctx: Ioctx, oid: str, flush: OpCode) -> bool:
    for code, verb in ((flush, "flush"), (OpCode.CACHE_EVICT, "evict")):
        try:
            await _ask(ioctx, oid, code)
        except Error as error:
            context.complain(f"failed to {verb} {ioctx.nspace}/{oid}: {context.reason(error)}")
            return False
    return True


# -------------------------------------------------------------------- objects that stand for others


async def set_redirect(context: Context) -> None:
    """Have an object stand for another one."""
    (oid,) = context.take("object name")
    pool = context.args.target_pool or context.pool
    if len(context.words) < 2 and pool == context.pool:
        raise Failed("cannot copy object into itself")
    target = context.words[1] if len(context.words) > 1 else oid
    other = await context.other_pool(pool)
    op = OSDOp.make(
        OpCode.SET_REDIRECT,
        CopyFromArgs(LIBRADOS_SNAP_HEAD),
        SetRedirectInput(target, other.locator).encode(),
        OpFlag.WITH_REFERENCE if context.args.with_reference else 0,
    )
    where = f"{context.pool}/{oid} => {pool}/{target}"
    with context.failing(f"error set-redirect {where}"):
        await context.ioctx.request("set-redirect", oid, [op], write=True)


async def set_chunk(context: Context) -> None:
    """Say which bytes of an object are in another one."""
    oid, *numbers, target, last = context.take(
        "object name", "offset", "length", "target object", "its offset"
    )
    offset, length, at = (_number(word) for word in (*numbers, last))
    pool = context.args.target_pool or context.pool
    other = await context.other_pool(pool)
    op = OSDOp.make(
        OpCode.SET_CHUNK,
        None,
        SetChunkInput(offset, length, other.locator, target, at).encode(),
        OpFlag.WITH_REFERENCE,
    )
    what = (
        f"error set-chunk {context.pool}/{oid}  offset {offset} length {length} "
        f"target_pool {pool}tgt_offset: {at} "
    )
    with context.failing(what):
        await context.ioctx.request("set-chunk", oid, [op], write=False)


def _number(word: str) -> int:
    if not word.isdecimal():
        raise Failed(f"Invalid value for size: '{word}'")
    return int(word)


async def _change(context: Context, code: OpCode, name: str) -> None:
    (oid,) = context.take("object name")
    with context.failing(f"error {name} {context.pool}/{oid} "):
        await context.ioctx.request(name, oid, [OSDOp.make(code)], write=True)


async def tier_promote(context: Context) -> None:
    """Bring what an object stands for into it."""
    await _change(context, OpCode.TIER_PROMOTE, "tier-promote")


async def unset_manifest(context: Context) -> None:
    """Have an object stand for nothing but itself."""
    await _change(context, OpCode.UNSET_MANIFEST, "unset-manifest")


async def _move(context: Context, code: OpCode, name: str) -> None:
    (oid,) = context.take("object name")
    with context.failing(f"error {name} {context.pool}/{oid} "):
        await _ask(context.ioctx, oid, code)


async def tier_flush(context: Context) -> None:
    """Write an object's chunks to where they belong."""
    await _move(context, OpCode.TIER_FLUSH, "tier-flush")


async def tier_evict(context: Context) -> None:
    """Drop bytes that are in chunks."""
    await _move(context, OpCode.TIER_EVICT, "tier-evict")
