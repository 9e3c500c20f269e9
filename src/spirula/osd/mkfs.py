"""Makes an OSD's store: its words, the meta collection, the superblock.

Called by `spirula osd --mkfs` and by `spirula up`. Format: upstream `src/osd/OSD.cc` (OSD::mkfs,
write_meta).
"""

from __future__ import annotations

import uuid

from spirula.errors import CephError, InvalidArgument
from spirula.osd.superblock import MAGIC, put_superblock
from spirula.store.objectstore import ObjectStore
from spirula.store.osd_meta import META, PURGED_SNAPS, SNAPMAPPER, initial_features, read_superblock
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.transaction import Transaction


def make_store(
    store: ObjectStore,
    *,
    cluster_fsid: bytes,
    osd_fsid: bytes,
    whoami: int,
    key: str = "",
    osdspec_affinity: str = "",
) -> None:
    """Make an empty store that of osd.`whoami`; one that was made before must be the same OSD's.

    The store is mounted and unmounted here. Raises InvalidArgument if it is another one's, and
    the store's errors.
    """
    store.mount()
    try:
        if store.collection_exists(META):
            _check_same(read_superblock(store), cluster_fsid, whoami)
        else:
            _write_first(store, cluster_fsid, osd_fsid, whoami)
    finally:
        # Also makes durable what was queued.
        store.umount()
    words = {
        "magic": MAGIC,
        "whoami": str(whoami),
        "ceph_fsid": str(uuid.UUID(bytes=cluster_fsid)),
        "fsid": str(uuid.UUID(bytes=osd_fsid)),
    }
    if key:
        words["osd_key"] = key
    if osdspec_affinity:
        words["osdspec_affinity"] = osdspec_affinity
    for word, value in words.items():
        store.write_meta(word, value)
    # The last of all: a store without it was only half made.
    store.write_meta("ready", "ready")


def _check_same(superblock: OSDSuperblock, cluster_fsid: bytes, whoami: int) -> None:
    if superblock.whoami != whoami:
        raise InvalidArgument(
            f"provided osd id {whoami} != superblock's {superblock.whoami}: name another folder"
        )
    if superblock.cluster_fsid != cluster_fsid:
        raise InvalidArgument(
            f"provided cluster fsid {uuid.UUID(bytes=cluster_fsid)} != superblock's "
            f"{uuid.UUID(bytes=bytes(superblock.cluster_fsid))}: name another folder"
        )


def _write_first(store: ObjectStore, cluster_fsid: bytes, osd_fsid: bytes, whoami: int) -> None:
    superblock = OSDSuperblock(
        cluster_fsid=cluster_fsid,
        whoami=whoami,
        compat_features=initial_features(),
        osd_fsid=osd_fsid,
    )
    transaction = Transaction()
    transaction.create_collection(META, 0)
    put_superblock(transaction, superblock)
    transaction.touch(META, SNAPMAPPER)
    transaction.touch(META, PURGED_SNAPS)
    failed: list[CephError | None] = []
    store.queue_transactions(META, [transaction], on_commit=failed.append)
