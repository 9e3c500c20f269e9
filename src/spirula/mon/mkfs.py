"""What stands in a monitor's store before its first quorum, and what it finds there at its start.

`make_store` is `spirula mon --mkfs`: magic, the compatible set, the monitor map, and what the
services make their first versions of (keyring, OSD map). Prefixes, keys and values are upstream's
(`src/mon/ Monitor.cc` mkfs, `src/ceph_mon.cc`). Called by the command and by tests.
"""

from __future__ import annotations

import uuid

from spirula.errors import InvalidArgument, NotFound
from spirula.mon.store import MON_SYNC, MONITOR, MONMAP, Transaction, get_number
from spirula.store.keyvalue import KeyValueStore
from spirula.types.mon import CompatSet, FeatureSet, MonMap, StoreTransaction

MAGIC = b"ceph mon volume v012\n"
MKFS = "mkfs"
"""Prefix of what the first quorum starts from: `monmap`, `keyring`, `osdmap`."""

_INCOMPAT = {
    1: "initial feature set (~v.18)",
    3: "single paxos with k/v store (v0.?)",
    4: "support erasure code pools",
    5: "new-style osdmap encoding",
    6: "support isa/lrc erasure code",
    7: "support shec erasure code",
    8: "support monmap features",
    9: "luminous ondisk layout",
    10: "mimic ondisk layout",
    11: "nautilus ondisk layout",
    12: "octopus ondisk layout",
    13: "pacific ondisk layout",
}


def compat_set() -> CompatSet:
    """What a reader of our stores must know, as 16.2's."""
    return CompatSet(FeatureSet.of({}), FeatureSet.of({}), FeatureSet.of(_INCOMPAT))


def make_store(monmap: MonMap, keyring: bytes, osdmap: bytes = b"") -> StoreTransaction:
    """What to put into an empty store. `keyring` in text; all but `mon.` become principals."""
    transaction = Transaction()
    transaction.put(MONITOR, "magic", MAGIC)
    transaction.put(MONITOR, "feature_set", compat_set().encode())
    transaction.put(MONITOR, "cluster_uuid", f"{uuid.UUID(bytes=bytes(monmap.fsid))}\n".encode())
    transaction.put(MKFS, "monmap", monmap.encode())
    if osdmap:
        transaction.put(MKFS, "osdmap", osdmap)
    if keyring:
        transaction.put(MKFS, "keyring", keyring)
    return transaction.value


def is_made(store: KeyValueStore) -> bool:
    """Whether `make_store` was here. InvalidArgument if somebody else was."""
    magic = store.get(MONITOR, "magic")
    if magic is not None and magic != MAGIC:
        raise InvalidArgument(f"the monitor store begins with {magic[:40]!r}, not with {MAGIC!r}")
    return magic is not None


def find_monmap(store: KeyValueStore) -> MonMap:
    """The newest monitor map that the store knows of.

    One kept by a synchronisation or because of new addresses counts before the committed one, as
    upstream's obtain_monmap. NotFound where there is none.
    """
    newest = get_number(store, MONMAP, "last_committed")
    found: bytes | None = None
    if newest:
        found = store.get(MONMAP, str(newest))
    for key in ("temp_newer_monmap", "latest_monmap"):
        kept = store.get(MON_SYNC, key)
        if kept is not None and (found is None or MonMap.decode(kept).epoch > newest):
            found = kept
            newest = MonMap.decode(kept).epoch
    if found is not None:
        return MonMap.decode(found)
    first = store.get(MKFS, "monmap")
    if first is None:
        raise NotFound("the monitor store holds no monitor map")
    monmap = MonMap.decode(first)
    # Whatever its number was: nobody has agreed on it yet.
    monmap.epoch = 0
    return monmap
