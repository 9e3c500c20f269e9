"""Documents of an object's metadata, of a store's space and of who the OSD is, as upstream's JSON.

For `spirula objectstore-tool`. Fields: upstream `src/osd/osd_types.cc` (the `dump` functions).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from spirula.printing import Items
from spirula.types.mon import FeatureSet
from spirula.types.object_info import ManifestType, ObjectFlag, ObjectInfo, ObjectManifest
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.pg_stats import StoreStatfs
from spirula.types.snap import SnapSet


def object_info_document(info: ObjectInfo) -> dict[str, Any]:
    """What an OSD knows of an object."""
    shown = info.plain()
    shown["mtime"], shown["local_mtime"] = str(info.mtime), str(info.local_mtime)
    shown["flags"] = Items("flags", shown["flags"])
    shown["manifest"] = _manifest(info.manifest)
    members = {}
    for name, value in shown.items():
        if name == "flags":
            members["lost"] = int(bool(info.flags & ObjectFlag.LOST))
        members[name] = value
    return members


def _manifest(manifest: ObjectManifest) -> dict[str, Any]:
    shown = manifest.plain()
    kept: dict[str, Any] = {"type": shown["type"]}
    if manifest.type == ManifestType.REDIRECT:
        kept["redirect_target"] = shown["redirect_target"]
    elif manifest.type == ManifestType.CHUNKED:
        kept["chunk_map"] = shown["chunk_map"]
    return kept


def snapset_document(snapset: SnapSet) -> dict[str, Any]:
    """The clones of an object."""
    clones = []
    for clone in snapset.clones:
        row: dict[str, Any] = {"snap": clone, "size": snapset.clone_size.get(clone, "????")}
        overlap = snapset.clone_overlap.get(clone)
        row["overlap"] = "????" if overlap is None else str(overlap)
        if clone in snapset.clone_snaps:
            row["snaps"] = Items("snap", snapset.clone_snaps[clone])
        clones.append(row)
    return {"seq": snapset.seq, "clones": Items("clone", clones)}


def superblock_document(found: OSDSuperblock) -> dict[str, Any]:
    """Who an OSD is, and which maps it has."""
    compat = found.compat_features
    return {
        "cluster_fsid": str(UUID(bytes=found.cluster_fsid)),
        "osd_fsid": str(UUID(bytes=found.osd_fsid)),
        "whoami": found.whoami,
        "current_epoch": found.current_epoch,
        "oldest_map": found.oldest_map,
        "newest_map": found.newest_map,
        "weight": found.weight,
        "compat": {
            "compat": _features(compat.compat),
            "ro_compat": _features(compat.ro_compat),
            "incompat": _features(compat.incompat),
        },
        "clean_thru": found.clean_thru,
        "last_epoch_mounted": found.mounted,
        "purged_snaps_last": found.purged_snaps_last,
        "last_purged_snaps_scrub": str(found.last_purged_snaps_scrub),
        "cluster_osdmap_trim_lower_bound": found.cluster_osdmap_trim_lower_bound,
    }


def _features(features: FeatureSet) -> dict[str, object]:
    return {f"feature_{number}": name for number, name in sorted(features.names.items())}


def statfs_document(found: StoreStatfs) -> dict[str, int]:
    """The space of a store."""
    return {
        "total": found.total,
        "available": found.available,
        "internally_reserved": found.internally_reserved,
        "allocated": found.allocated,
        "data_stored": found.data_stored,
        "data_compressed": found.data_compressed,
        "data_compressed_allocated": found.data_compressed_allocated,
        "data_compressed_original": found.data_compressed_original,
        "omap_allocated": found.omap_allocated,
        "internal_metadata": found.internal_metadata,
    }
