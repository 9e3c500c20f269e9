"""What scrubs found, as documents: `list-inconsistent-obj` and `list-inconsistent-snapset`.

Shapes and names: upstream `src/tools/rados/rados.cc` (dump_inconsistent, dump_shard).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from spirula.printing import Items
from spirula.store.tools.show_object import object_info_document, snapset_document
from spirula.types.hobject import NO_SHARD, NOSNAP, SNAPDIR
from spirula.types.inconsistency import (
    InconsistentObject,
    InconsistentSnapSet,
    ObjectError,
    ObjectId,
    ShardError,
    ShardInfo,
    SnapSetError,
)
from spirula.types.object_info import ObjectInfo
from spirula.types.snap import SnapSet

_INFO, _SNAPSET, _HINFO = "_", "snapset", "hinfo_key"
_SHARD_ERRORS = {
    ShardError.MISSING: "missing",
    ShardError.STAT_ERROR: "stat_error",
    ShardError.READ_ERROR: "read_error",
    ShardError.DATA_DIGEST_MISMATCH_INFO: "data_digest_mismatch_info",
    ShardError.OMAP_DIGEST_MISMATCH_INFO: "omap_digest_mismatch_info",
    ShardError.SIZE_MISMATCH_INFO: "size_mismatch_info",
    ShardError.EC_HASH_MISMATCH: "ec_hash_error",
    ShardError.EC_SIZE_MISMATCH: "ec_size_error",
    ShardError.INFO_MISSING: "info_missing",
    ShardError.INFO_CORRUPTED: "info_corrupted",
    ShardError.OBJ_SIZE_INFO_MISMATCH: "obj_size_info_mismatch",
    ShardError.SNAPSET_MISSING: "snapset_missing",
    ShardError.SNAPSET_CORRUPTED: "snapset_corrupted",
    ShardError.HINFO_MISSING: "hinfo_missing",
    ShardError.HINFO_CORRUPTED: "hinfo_corrupted",
}
_OBJECT_ERRORS = {
    ObjectError.OBJECT_INFO_INCONSISTENCY: "object_info_inconsistency",
    ObjectError.DATA_DIGEST_MISMATCH: "data_digest_mismatch",
    ObjectError.OMAP_DIGEST_MISMATCH: "omap_digest_mismatch",
    ObjectError.SIZE_MISMATCH: "size_mismatch",
    ObjectError.ATTR_VALUE_MISMATCH: "attr_value_mismatch",
    ObjectError.ATTR_NAME_MISMATCH: "attr_name_mismatch",
    ObjectError.SNAPSET_INCONSISTENCY: "snapset_inconsistency",
    ObjectError.HINFO_INCONSISTENCY: "hinfo_inconsistency",
    ObjectError.SIZE_TOO_LARGE: "size_too_large",
}
_SNAPSET_ERRORS = {
    SnapSetError.SNAPSET_MISSING: "snapset_missing",
    SnapSetError.SNAPSET_CORRUPTED: "snapset_corrupted",
    SnapSetError.INFO_MISSING: "info_missing",
    SnapSetError.INFO_CORRUPTED: "info_corrupted",
    SnapSetError.SNAP_ERROR: "snapset_error",
    SnapSetError.HEADLESS_CLONE: "headless",
    SnapSetError.SIZE_MISMATCH: "size_mismatch",
    SnapSetError.EXTRA_CLONES: "extra_clones",
    SnapSetError.CLONE_MISSING: "clone_missing",
}
# Which errors of any copy have a kind of attribute shown for all of them, and which hide it.
_SHOWN_INFO = ShardError.INFO_MISSING | ShardError.INFO_CORRUPTED
_SHOWN_SNAPSET = ShardError.SNAPSET_MISSING | ShardError.SNAPSET_CORRUPTED
_SHOWN_HINFO = ShardError.HINFO_MISSING | ShardError.HINFO_CORRUPTED


def _errors(bits: int, names: Mapping[int, str]) -> Items:
    return Items("error", [name for bit, name in names.items() if bits & bit])


def _shard_errors(bits: int) -> Items:
    return _errors(bits, {int(bit): name for bit, name in _SHARD_ERRORS.items()})


def _named(found: ObjectId) -> dict[str, object]:
    special: dict[int, object] = {NOSNAP: "head", SNAPDIR: "snapdir"}
    return {
        "name": found.name,
        "nspace": found.nspace,
        "locator": found.locator,
        "snap": special.get(found.snap, found.snap),
    }


def inconsistent_object(found: InconsistentObject) -> dict[str, object]:
    """An object whose copies differ."""
    document: dict[str, object] = {
        "object": {**_named(found.object), "version": found.version},
        "errors": _errors(found.errors, {int(bit): name for bit, name in _OBJECT_ERRORS.items()}),
        "union_shard_errors": _shard_errors(found.union_errors),
    }
    selected = [shard for shard in found.shards.values() if shard.selected_oi]
    if selected:
        document["selected_object_info"] = _info(selected[0])
    document["shards"] = Items(
        "shard",
        [
            {
                "osd": where.osd,
                "primary": shard.primary,
                **({} if where.shard == NO_SHARD else {"shard": where.shard}),
                **_shard(found, shard),
            }
            for where, shard in found.shards.items()
        ],
    )
    return document


def _info(shard: ShardInfo) -> dict[str, object]:
    return dict(object_info_document(ObjectInfo.decode(bytes(shard.attrs[_INFO]))))


def _shard(found: InconsistentObject, shard: ShardInfo) -> dict[str, object]:
    shown: dict[str, object] = {"errors": _shard_errors(shard.errors)}
    if shard.errors & ShardError.MISSING:
        return shown
    if not shard.errors & ShardError.STAT_ERROR:
        shown["size"] = shard.size
    if shard.omap_digest_present:
        shown["omap_digest"] = f"0x{shard.omap_digest:08x}"
    if shard.data_digest_present:
        shown["data_digest"] = f"0x{shard.data_digest:08x}"
    wanted = (
        found.union_errors & _SHOWN_INFO
        or found.errors & ObjectError.OBJECT_INFO_INCONSISTENCY
        or shard.errors & ShardError.OBJ_SIZE_INFO_MISMATCH
    )
    if wanted and not shard.errors & ShardError.INFO_MISSING:
        damaged = shard.errors & ShardError.INFO_CORRUPTED
        shown["object_info"] = _printable(shard.attrs[_INFO])[0] if damaged else _info(shard)
    wanted = found.union_errors & _SHOWN_SNAPSET or found.errors & ObjectError.SNAPSET_INCONSISTENCY
    if wanted and not shard.errors & ShardError.SNAPSET_MISSING:
        raw = bytes(shard.attrs[_SNAPSET])
        damaged = shard.errors & ShardError.SNAPSET_CORRUPTED
        shown["snapset"] = _printable(raw)[0] if damaged else snapset_document(SnapSet.decode(raw))
    wanted = found.union_errors & _SHOWN_HINFO or found.errors & ObjectError.HINFO_INCONSISTENCY
    if wanted and not shard.errors & ShardError.HINFO_MISSING:
        shown["hashinfo"] = _printable(shard.attrs[_HINFO])[0]
    if found.errors & (ObjectError.ATTR_NAME_MISMATCH | ObjectError.ATTR_VALUE_MISMATCH):
        shown["attrs"] = Items("attr", [_attr(name, shard.attrs[name]) for name in _own(shard)])
    return shown


def _own(shard: ShardInfo) -> list[str]:
    """The attributes that users set."""
    return [name for name in shard.attrs if name.startswith("_") and name != _INFO]


def _attr(name: str, raw: bytes) -> dict[str, object]:
    text, is_base64 = _printable(raw)
    return {"name": name[1:], "value": text, "Base64": is_base64}


def _printable(raw: bytes) -> tuple[str, bool]:
    """Text as it is, anything else in base64, and whether it is that."""
    data = bytes(raw)
    if all(0x20 <= byte < 0x7F for byte in data):
        return data.decode("ascii"), False
    return base64.b64encode(data).decode("ascii"), True


def inconsistent_snapset(found: InconsistentSnapSet) -> dict[str, object]:
    """A head or clone that does not fit the object's snapshots."""
    document = _named(found.object)
    if found.snapset:
        document["snapset"] = snapset_document(SnapSet.decode(bytes(found.snapset)))
    document["errors"] = _errors(
        found.errors, {int(bit): name for bit, name in _SNAPSET_ERRORS.items()}
    )
    if found.errors & SnapSetError.EXTRA_CLONES:
        document["extra clones"] = Items("snap", found.clones)
    if found.errors & SnapSetError.CLONE_MISSING:
        document["missing"] = Items("snap", found.missing)
    return document
