"""What an OSD keeps in the meta collection of its store: superblock, maps, snapshots, history.

The names of those objects, how to read them, and the features of an OSD's store. For the OSD, and
for tools that work on the store of a stopped one. Names: upstream `src/osd/OSD.h`, their hashes
`src/include/object.h`; features: `src/osd/osd_types.h`, `src/include/CompatSet.h`.
"""

from __future__ import annotations

from spirula.errors import InputOutput, NotFound, WireError
from spirula.maps.strhash import linux
from spirula.store.objectstore import ObjectStore
from spirula.types.hobject import NOSNAP, POOL_META, GHObject, HObject
from spirula.types.mon import CompatSet, FeatureSet
from spirula.types.osd_superblock import OSDSuperblock, PoolPGNumHistory
from spirula.types.pg import Coll

META = Coll()
"""The collection that is the OSD's own."""


_MASK = (1 << 64) - 1


def _mixed(number: int) -> int:
    """A 64-bit number, hashed (upstream rjhash64)."""
    number = (~number + (number << 21)) & _MASK
    number ^= number >> 24
    number = number * 265 & _MASK
    number ^= number >> 14
    number = number * 21 & _MASK
    number ^= number >> 28
    return (number + (number << 31)) & _MASK


def meta_object(name: str, snap: int = 0) -> GHObject:
    """An object of the OSD's own: its hash is of name and snapshot."""
    hashed = (linux(name.encode()) ^ _mixed(snap)) & 0xFFFFFFFF
    return GHObject(HObject.of(POOL_META, name, hashed, snap=snap))


SUPERBLOCK = meta_object("osd_superblock")
SNAPMAPPER = meta_object("snapmapper")
PURGED_SNAPS = meta_object("purged_snaps")
PG_NUM_HISTORY = meta_object("pg_num_history", NOSNAP)

FEATURE_SHARDS = 11
"""Objects have shards; exports of replicated PGs do not ask for it."""
INCOMPAT_FEATURES = {
    1: "initial feature set(~v.18)",
    2: "pginfo object",
    3: "object locator",
    4: "last_epoch_clean",
    5: "categories",
    6: "hobjectpool",
    7: "biginfo",
    8: "leveldbinfo",
    9: "leveldblog",
    10: "snapmapper",
    FEATURE_SHARDS: "sharded objects",
    12: "transaction hints",
    13: "pg meta object",
    14: "explicit missing set",
    15: "fastinfo pg attr",
    16: "deletes in missing set",
    17: "new snapmapper key structure",
}
"""What a reader of an OSD's store must know, by number."""


def osdmap_object(epoch: int) -> GHObject:
    """Where the full map of an epoch is."""
    return meta_object(f"osdmap.{epoch}")


def inc_osdmap_object(epoch: int) -> GHObject:
    """Where the incremental map to an epoch is."""
    return meta_object(f"inc_osdmap.{epoch}")


def final_pool_object(pool: int) -> GHObject:
    """Where the last description of a pool that was deleted is."""
    return meta_object(f"final_pool_{pool}", NOSNAP)


def initial_features() -> CompatSet:
    """The features of a new OSD's store."""
    first = {number: name for number, name in INCOMPAT_FEATURES.items() if number != FEATURE_SHARDS}
    return _compat(first)


def known_features() -> CompatSet:
    """The features that we know."""
    return _compat(INCOMPAT_FEATURES)


def _compat(incompat: dict[int, str]) -> CompatSet:
    return CompatSet(FeatureSet.of({}), FeatureSet.of({}), FeatureSet.of(incompat))


def unsupported(known: CompatSet, wanted: CompatSet) -> CompatSet:
    """The features of `wanted` that are not in `known`."""
    pairs = zip(_sets(known), _sets(wanted), strict=True)
    return CompatSet(*(_without(theirs, ours) for ours, theirs in pairs))


def without_feature(features: CompatSet, number: int) -> CompatSet:
    """The same set of features without one that readers must know."""
    dropped = FeatureSet.of({number: ""})
    return CompatSet(features.compat, features.ro_compat, _without(features.incompat, dropped))


def _sets(features: CompatSet) -> tuple[FeatureSet, FeatureSet, FeatureSet]:
    return features.compat, features.ro_compat, features.incompat


def _without(features: FeatureSet, others: FeatureSet) -> FeatureSet:
    mask = features.mask & ~others.mask  # what may be damaged has names with numbers beyond reason
    numbers = (number for number in range(1, 64) if mask >> number & 1)
    return FeatureSet.of({number: features.names.get(number, "") for number in numbers})


def features_text(features: CompatSet) -> str:
    """As upstream prints it: `compat={},rocompat={},incompat={1=initial feature set(~v.18)}`."""
    shown = []
    for label, kept in zip(("compat", "rocompat", "incompat"), _sets(features), strict=True):
        names = ",".join(f"{number}={name}" for number, name in sorted(kept.names.items()))
        shown.append(f"{label}={{{names}}}")
    return ",".join(shown)


def read_superblock(store: ObjectStore) -> OSDSuperblock:
    """Who the OSD of this store is. NotFound if there is none, InputOutput if it is damaged."""
    try:
        raw = store.read(META, SUPERBLOCK)
    except NotFound:
        text = "the store has no superblock of an OSD: is it one, and was it made with mkfs?"
        raise NotFound(text) from None
    try:
        return OSDSuperblock.decode(raw)
    except WireError as error:
        raise InputOutput(f"the superblock of the OSD is damaged: {error}") from error


def read_osdmap(store: ObjectStore, epoch: int) -> bytes:
    """The full map of an epoch, encoded. NotFound if the store has it not."""
    try:
        raw = store.read(META, osdmap_object(epoch))
    except NotFound:
        raw = b""
    if not raw:
        raise NotFound(f"the store has no OSD map of epoch {epoch}")
    return raw


def read_pg_num_history(store: ObjectStore) -> PoolPGNumHistory:
    """How pools' numbers of PGs changed; empty if nothing is kept."""
    try:
        raw = store.read(META, PG_NUM_HISTORY)
    except NotFound:
        raw = b""
    try:
        return PoolPGNumHistory.decode(raw) if raw else PoolPGNumHistory()
    except WireError as error:
        raise InputOutput(f"the history of pg_num is damaged: {error}") from error
