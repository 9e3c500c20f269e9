"""An OSD's superblock and the words of its store: reading them with every check, writing them.

For mkfs, boot and `maps`; the names of objects are in `store.osd_meta`. Behaviour: upstream
`src/osd/OSD.cc` (write_superblock, read_superblock, peek_meta).
"""

from __future__ import annotations

from spirula.errors import InvalidArgument, NotFound, NotSupported
from spirula.store.objectstore import ObjectStore
from spirula.store.osd_meta import (
    META,
    SUPERBLOCK,
    known_features,
    read_superblock,
    unsupported,
)
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.transaction import Transaction

MAGIC = "ceph osd volume v026"
"""What the store's word `magic` says of every OSD's store."""


def put_superblock(transaction: Transaction, superblock: OSDSuperblock) -> None:
    """Has the transaction write the superblock."""
    data = superblock.encode()
    transaction.write(META, SUPERBLOCK, 0, data)
    transaction.truncate(META, SUPERBLOCK, len(data))


def open_superblock(store: ObjectStore, whoami: int) -> OSDSuperblock:
    """The superblock of a mounted store that this OSD is to work on.

    NotFound and InputOutput as `read_superblock`, NotSupported for what a newer OSD wrote,
    InvalidArgument for another OSD's.
    """
    superblock = read_superblock(store)
    strange = unsupported(known_features(), superblock.compat_features)
    names = [*strange.incompat.names.values(), *strange.ro_compat.names.values()]
    if names:
        raise NotSupported(f"the store needs an OSD that knows {', '.join(names)}")
    if superblock.whoami != whoami:
        raise InvalidArgument(f"the store is that of osd.{superblock.whoami}, not of osd.{whoami}")
    return superblock


def peek(store: ObjectStore) -> dict[str, str]:
    """The words of a store, mounted or not. NotFound where it was not made (completely)."""
    found: dict[str, str] = {}
    for word in ("magic", "ceph_fsid", "fsid", "whoami", "ready"):
        try:
            found[word] = store.read_meta(word)
        except NotFound:
            raise NotFound(f"the store has no {word}: make it with --mkfs first") from None
    if found["magic"] != MAGIC:
        raise InvalidArgument(f"the store holds {found['magic']!r}, not {MAGIC!r}")
    return found


def check_words(words: dict[str, str], whoami: int, cluster_fsid: str = "") -> None:
    """Whether the store is that of this OSD of this cluster; InvalidArgument if not."""
    if words["whoami"] != str(whoami):
        raise InvalidArgument(f"OSD id {words['whoami']} != my id {whoami}: name its own folder")
    if cluster_fsid and words["ceph_fsid"] != cluster_fsid:
        raise InvalidArgument(
            f"the store belongs to cluster {words['ceph_fsid']}, not to {cluster_fsid}"
        )
