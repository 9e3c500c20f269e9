"""The object class `cas`: chunks of a deduplicated pool, that live as long as objects use them.

References are kept in the attribute `chunk_refs`. Clients: OSDs (manifests), ceph-dedup-tool.
Behaviour: upstream `src/cls/cas/cls_cas.cc`, `cls_cas_internal.h`.
"""

from __future__ import annotations

import errno
from bisect import bisect_left, insort
from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, decoded, getxattr_if_set
from spirula.errors import CephError, NotFound
from spirula.types.cls.cas import (
    FLAG_VERIFY,
    AnyRefs,
    ChunkRefs,
    ChunkRefsByHash,
    ChunkRefsByObject,
    ChunkRefsByPool,
    CreateOrGetRefOp,
    GetRefOp,
    PutRefOp,
    ReferencesChunkOp,
)
from spirula.types.hobject import HObject

ATTRIBUTE: Final = "chunk_refs"
_U64: Final = 0xFFFFFFFFFFFFFFFF


def add_ref(refs: AnyRefs, source: HObject) -> None:
    """Counts a reference from `source`."""
    if isinstance(refs, ChunkRefsByObject):
        insort(refs.by_object, source)
        return
    refs.total = refs.total + 1 & _U64
    if isinstance(refs, ChunkRefsByHash):
        key = source.pool, source.hash & ((1 << refs.hash_bits) - 1)
        refs.by_hash[key] = refs.by_hash.get(key, 0) + 1 & _U64
    elif isinstance(refs, ChunkRefsByPool):
        refs.by_pool[source.pool] = refs.by_pool.get(source.pool, 0) + 1 & _U64


def drop_ref(refs: AnyRefs, source: HObject) -> bool:
    """Takes back a reference from `source`; False if there is none."""
    if isinstance(refs, ChunkRefsByObject):
        place = bisect_left(refs.by_object, source)
        if place == len(refs.by_object) or refs.by_object[place] != source:
            return False
        del refs.by_object[place]
        return True
    if isinstance(refs, ChunkRefsByHash):
        key = source.pool, source.hash & ((1 << refs.hash_bits) - 1)
        if not _count_down(refs.by_hash, key):
            return False
    elif isinstance(refs, ChunkRefsByPool):
        if not _count_down(refs.by_pool, source.pool):
            return False
    elif not refs.total:
        return False
    refs.total = refs.total - 1 & _U64
    return True


def _count_down(counts: dict, key: object) -> bool:  # type: ignore[type-arg]  # of either kind
    if key not in counts:
        return False
    counts[key] = counts[key] - 1 & _U64
    if not counts[key]:
        del counts[key]
    return True


def _is_empty(refs: AnyRefs) -> bool:
    return not (refs.by_object if isinstance(refs, ChunkRefsByObject) else refs.total)


def _read(handle: ObjectHandle) -> ChunkRefs:
    stored = getxattr_if_set(handle, ATTRIBUTE)
    return ChunkRefs() if stored is None else decoded(handle, ChunkRefs, stored, ATTRIBUTE)


@method("chunk_create_or_get_ref", read=True, write=True)
def chunk_create_or_get_ref(handle: ObjectHandle, request: CreateOrGetRefOp) -> None:
    """Makes the chunk, or counts one more reference; ENOMSG if it was to be the same and is not."""
    try:
        held = _read(handle)
    except NotFound:
        held = ChunkRefs()
        handle.write_full(request.data)
    else:
        if request.flags & FLAG_VERIFY and handle.read(0, 0) != request.data:
            raise CephError.from_errno(errno.ENOMSG, "the chunk holds other data")
    add_ref(held.refs, request.source)
    handle.setxattr(ATTRIBUTE, held.encode())


@method("chunk_get_ref", read=True, write=True)
def chunk_get_ref(handle: ObjectHandle, request: GetRefOp) -> None:
    """Counts one more reference to a chunk that exists."""
    held = _read(handle)
    add_ref(held.refs, request.source)
    handle.setxattr(ATTRIBUTE, held.encode())


@method("chunk_put_ref", read=True, write=True)
def chunk_put_ref(handle: ObjectHandle, request: PutRefOp) -> None:
    """Drops a reference, and with the last one the chunk; ENOLINK if there is none."""
    held = _read(handle)
    if not drop_ref(held.refs, request.source):
        raise CephError.from_errno(errno.ENOLINK, "the chunk is not referred to from there")
    if _is_empty(held.refs):
        handle.remove()
    else:
        handle.setxattr(ATTRIBUTE, held.encode())


@method("references_chunk", read=True)
def references_chunk(handle: ObjectHandle, request: ReferencesChunkOp) -> None:
    """Whether the object refers to a chunk; ENOLINK if not."""
    if not handle.has_chunk(request.fp_oid):
        raise CephError.from_errno(errno.ENOLINK, "the object does not refer to this chunk")
