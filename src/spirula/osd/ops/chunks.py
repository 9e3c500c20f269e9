"""What an object's manifest refers to: references to chunks and targets, and which of them end.

Only heads refer to chunks, each chunk with one reference that the class `cas` keeps with the chunk.
References are taken before an object's manifest says so and dropped after it does no more, so that
a failure in between leaves one too many. Called by handlers of operations, `prepare` and
`osd.pg.pipeline`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (refcount_manifest,
dec_all_refcount_manifest, dec_refcount_by_dirty).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spirula.osd.ops.context import SentAs
from spirula.types.cls.cas import GetRefOp, PutRefOp
from spirula.types.object_info import (
    ChunkFlag,
    ChunkInfo,
    ManifestType,
    ObjectFlag,
    ObjectInfo,
    ObjectManifest,
)
from spirula.types.osd_op import OSDOp, RequestFlag
from spirula.types.snap import SnapContext

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.hobject import HObject

REMOTE_FLAGS: Final = int(
    RequestFlag.IGNORE_CACHE | RequestFlag.IGNORE_OVERLAY | RequestFlag.RWORDERED
)
_MISSING: Final = int(ChunkFlag.MISSING)
_OF_MANIFEST: Final = int(ObjectFlag.MANIFEST | ObjectFlag.REDIRECT_HAS_REFERENCE)
_HAS_REFERENCE: Final = int(ObjectFlag.REDIRECT_HAS_REFERENCE)


def missing_chunks(info: ObjectInfo) -> dict[int, ChunkInfo]:
    """Bytes that are only in chunks, by their offset."""
    if info.manifest.type != ManifestType.CHUNKED:
        return {}
    return {at: chunk for at, chunk in info.manifest.chunk_map.items() if chunk.flags & _MISSING}


def marked(info: ObjectInfo, *, missing: bool) -> ObjectManifest:
    """The manifest with every chunk's bytes being gone from the object itself, or being there."""
    chunks = {
        at: ChunkInfo(
            chunk.offset,
            chunk.length,
            chunk.oid,
            chunk.flags | _MISSING if missing else chunk.flags & ~_MISSING,
        )
        for at, chunk in info.manifest.chunk_map.items()
    }
    return ObjectManifest(ManifestType.CHUNKED, chunk_map=chunks)


def take_ref(ctx: OpContext, target: HObject) -> None:
    """Has `target` know that the object refers to it; the request goes on, or fails, then."""

    def done(result: int, ops: list[OSDOp], version: int) -> None:
        del ops, version
        if result < 0:
            ctx.failed = result
        if ctx.resume is not None:
            ctx.resume()

    call = OSDOp.call("cas", "chunk_get_ref", GetRefOp(ctx.soid.head()).encode())
    ctx.pg.remote_op(target, [call], REMOTE_FLAGS, done, _as_own(ctx))


def put_refs(ctx: OpContext) -> None:
    """What the request made the object not refer to any more learns of that; it is on disk."""
    call_input = PutRefOp(ctx.soid.head()).encode()
    for target in ctx.put_refs or ():
        call = OSDOp.call("cas", "chunk_put_ref", call_input)
        ctx.pg.remote_op(target, [call], REMOTE_FLAGS, _ignore, _as_own(ctx))


def _as_own(ctx: OpContext) -> SentAs:
    return SentAs(SnapContext(), ctx.obc.info.mtime)


def _ignore(result: int, ops: list[OSDOp], version: int) -> None:
    """A reference that is not dropped keeps a chunk too long, and does no other harm."""


def drop_manifest(ctx: OpContext) -> None:
    """The object stands for itself from now on."""
    info = ctx.info
    if not info.flags & _OF_MANIFEST:
        return
    manifest = info.manifest
    refs = ctx.put_refs = ctx.put_refs or []
    if manifest.type == ManifestType.CHUNKED:
        refs += [chunk.oid for chunk in manifest.chunk_map.values()]
    elif info.flags & _HAS_REFERENCE:
        refs.append(manifest.redirect_target)
    info.flags &= ~_OF_MANIFEST
    info.manifest = ObjectManifest()
    ctx.delta.num_objects_manifest -= 1


def drop_changed_chunks(ctx: OpContext) -> None:
    """Chunks whose bytes the request changed are the object's no more."""
    info = ctx.info
    if info.manifest.type != ManifestType.CHUNKED:
        return
    kept: dict[int, ChunkInfo] = {}
    dropped = []
    for at, chunk in info.manifest.chunk_map.items():
        end = at + chunk.length
        if any(at < start + length and start < end for start, length in ctx.dirty):
            dropped.append(chunk.oid)
        else:
            kept[at] = chunk
    if not kept:
        drop_manifest(ctx)
    elif dropped:
        ctx.put_refs = [*(ctx.put_refs or ()), *dropped]
        info.manifest = ObjectManifest(ManifestType.CHUNKED, chunk_map=kept)
