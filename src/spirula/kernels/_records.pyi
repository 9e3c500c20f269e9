from array import array

from typing_extensions import Buffer

def object_key(
    prefix: bytes,
    shard: int,
    pool: int,
    hash: int,
    nspace: str,
    key: str,
    name: str,
    snap: int,
    generation: int,
    /,
) -> bytes: ...
def onode_record(
    flags: int,
    nid: int,
    size: int,
    stored: int,
    omap_id: int,
    omap_bytes: int,
    hint: tuple[int, int, int],
    present: bytes,
    header: bytes,
    attrs: dict[str, bytes],
    shard: bytes,
    /,
) -> bytes: ...
def pack_changes(
    changes: dict[bytes, bytes | None],
    ranges: list[tuple[bytes, bytes]],
    into: Buffer,
    at: int,
    /,
) -> int: ...
def shard_record(
    kind: int, width: int, blobs: int, addresses: array[int], sums: array[int], /
) -> bytes: ...
