"""Compares what all OSDs of a PG have of each object: who is right, who is not, and in what.

No input or output: scrub maps in, findings and lines for the cluster log out. Called by `machine`
for each chunk. What counts as an error and its words: upstream `src/osd/PGBackend.cc`
(be_select_auth_object, be_compare_scrubmaps, be_omap_checks). Which copies may be taken for a
repair is stricter than upstream: see `_believed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spirula.errors import WireError
from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR, USER_ATTR_PREFIX
from spirula.types.base import EVersion
from spirula.types.ec_sub import HashInfo
from spirula.types.hobject import HObject
from spirula.types.inconsistency import (
    DEEP_SHARD_ERRORS,
    InconsistentObject,
    ObjectError,
    ObjectId,
    OSDShard,
    ShardError,
    ShardInfo,
)
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.pg import PGShard
from spirula.types.scrub import ScrubObject
from spirula.types.snap import SnapSet

HINFO_ATTR = "hinfo_key"
"""The attribute that has the checksums of an erasure-coded shard."""
_SHOWN_FLAGS = (
    ObjectFlag.LOST,
    ObjectFlag.WHITEOUT,
    ObjectFlag.DIRTY,
    ObjectFlag.USES_TMAP,
    ObjectFlag.OMAP,
    ObjectFlag.DATA_DIGEST,
    ObjectFlag.OMAP_DIGEST,
    ObjectFlag.CACHE_PIN,
    ObjectFlag.MANIFEST,
    ObjectFlag.REDIRECT_HAS_REFERENCE,
)
_DATA, _OMAP = int(ObjectFlag.DATA_DIGEST), int(ObjectFlag.OMAP_DIGEST)

Maps = Mapping[PGShard, Mapping[HObject, ScrubObject]]
"""What each OSD has."""
Digests = tuple[int | None, int | None]
"""Of data and omap, where they are known."""


@dataclass(slots=True)
class Terms:
    """By what is compared. `pgid` is the PG as the log names it, `spgid` with its shard.

    `now` seconds since 1970; `digest_min_age` seconds without a change before digests are kept;
    `stored_size` gives an object's bytes on disk (less than all of it in erasure-coded pools).
    """

    pgid: str
    spgid: str
    me: PGShard
    is_erasure: bool = False
    repair: bool = False
    max_object_size: int = 128 << 20
    digest_min_age: int = 7200
    now: float = 0.0
    stored_size: Callable[[int], int] = lambda size: size


@dataclass(slots=True)
class Compared:
    """What comparing has found so far.

    `missing`, `inconsistent`: OSDs whose copy is not there or not right. `authoritative`: for each
    such object OSDs whose copy agrees with the one that was chosen, the chosen version, and
    whether it is known to be the right one (else it must not overwrite others). `digests` are to
    be stored with the object.
    """

    shallow: int = 0
    deep: int = 0
    missing: dict[HObject, set[PGShard]] = field(default_factory=dict)
    inconsistent: dict[HObject, set[PGShard]] = field(default_factory=dict)
    authoritative: dict[HObject, Authority] = field(default_factory=dict)
    digests: dict[HObject, Digests] = field(default_factory=dict)
    objects: list[InconsistentObject] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def count(self, *, deep: bool, shallow: bool) -> None:
        """An error, that is deep if it is both."""
        if deep:
            self.deep += 1
        elif shallow:
            self.shallow += 1


@dataclass(slots=True, frozen=True)
class Authority:
    """Whose copies agree with the chosen one, its version, and whether it is surely right."""

    shards: tuple[PGShard, ...]
    version: EVersion
    known: bool


@dataclass(slots=True)
class _Chosen:
    shard: PGShard
    object: ScrubObject
    info: ObjectInfo


@dataclass(slots=True)
class _Seen:
    """How the copies of one object compare with the chosen one.

    `wrong` ones are so by themselves, `differing` ones are sound but not the same.
    """

    errors: InconsistentObject
    agreeing: list[PGShard] = field(default_factory=list)
    differing: list[PGShard] = field(default_factory=list)
    missing: set[PGShard] = field(default_factory=set)
    wrong: set[PGShard] = field(default_factory=set)
    fix_digest: bool = False


def compare_maps(terms: Terms, maps: Maps, found: Compared) -> None:
    """Compares all objects that anybody has; adds to `found`."""
    for hoid in sorted({hoid for objects in maps.values() for hoid in objects}):
        _compare(terms, maps, hoid, found)


def _in_order(shards: Maps) -> list[PGShard]:
    return sorted(shards, key=lambda each: (each.osd, each.shard))


def _compare(terms: Terms, maps: Maps, hoid: HObject, found: Compared) -> None:
    shards: dict[PGShard, ShardInfo] = {}
    errors = InconsistentObject(object=ObjectId.of(hoid))
    chosen, digest_match = _choose(terms, maps, hoid, shards, found)
    if chosen is None:
        _note_without_authority(terms, maps, hoid, shards, errors, found)
        return
    errors.version = chosen.info.user_version
    seen = _Seen(errors)
    for shard in _in_order(maps):
        info = shards.setdefault(shard, ShardInfo())
        if shard == chosen.shard:
            info.selected_oi = True
        theirs = maps[shard].get(hoid)
        if theirs is None:
            seen.missing.add(shard)
            info.errors |= ShardError.MISSING
            info.primary = shard == terms.me
            found.shallow += 1
            found.lines.append(f"{terms.spgid} shard {shard} {hoid} : missing")
            _add_shard(errors, shard, info)
            continue
        _describe(info, theirs)
        texts = _differences(terms, chosen, theirs, info, errors, hoid)
        alone = int(ShardError.DATA_DIGEST_MISMATCH_INFO)
        if (
            terms.repair
            and not terms.is_erasure
            and shard == chosen.shard
            and len(shards) > 1
            and digest_match
            and info.errors == alone
            and chosen.object.digest_present
        ):
            # all copies agree: it is the recorded digest that is wrong
            seen.fix_digest = True
            info.errors = 0
            found.lines.append(f"{terms.spgid} soid {hoid} : repairing object info data_digest")
        if info.errors:
            seen.wrong.add(shard)
            found.count(deep=bool(info.errors & DEEP_SHARD_ERRORS), shallow=True)
            if texts:
                found.lines.append(f"{terms.spgid} shard {shard} soid {hoid} : {', '.join(texts)}")
        elif texts:
            seen.differing.append(shard)
            found.lines.append(f"{terms.spgid} soid {hoid} : {', '.join(texts)}")
        else:
            seen.agreeing.append(shard)
        _add_shard(errors, shard, info)
    _conclude(terms, maps, hoid, chosen, seen, found)
    found.count(deep=errors.is_deep, shallow=errors.is_shallow)
    if errors.errors or errors.union_errors:
        found.objects.append(errors)


def _conclude(
    terms: Terms, maps: Maps, hoid: HObject, chosen: _Chosen, seen: _Seen, found: Compared
) -> None:
    """Whom to believe, and what to do about the others."""
    agreeing, wrong = seen.agreeing, seen.wrong
    believed, known = _believed(maps, hoid, chosen, seen)
    if not believed:
        if not agreeing and not seen.differing:
            found.lines.append(f"{terms.pgid} soid {hoid} : failed to pick suitable auth object")
            return
        believed = agreeing or [
            chosen.shard if chosen.shard in seen.differing else seen.differing[0]
        ]
    wrong |= {shard for shard in (*agreeing, *seen.differing) if shard not in believed}
    if seen.missing:
        found.missing[hoid] = seen.missing
    if wrong:
        found.inconsistent[hoid] = wrong
    if seen.fix_digest:
        omap = chosen.object.omap_digest if chosen.object.omap_digest_present else None
        found.digests[hoid] = chosen.object.digest, omap
    if seen.missing or wrong:
        version = _version(maps[believed[0]][hoid])
        found.authoritative[hoid] = Authority(tuple(believed), version, known)
    elif not seen.fix_digest and not terms.is_erasure:
        _want_digests(terms, chosen, hoid, found)


def _believed(
    maps: Maps, hoid: HObject, chosen: _Chosen, seen: _Seen
) -> tuple[list[PGShard], bool]:
    """The copies that are surely right, and whether there are any.

    Copies that are wrong by themselves (unreadable, of an earlier version, or not what the
    object's own checksum says) prove nothing. Where sound ones differ, recorded checksums decide;
    else more than half of them must be the same. (Upstream takes the primary's.)
    """
    if not seen.differing:
        return seen.agreeing, True
    doubts = seen.errors.errors
    info, copy = chosen.info, chosen.object
    if info.flags & _DATA and copy.digest_present and copy.digest == info.data_digest:
        doubts &= ~ObjectError.DATA_DIGEST_MISMATCH
    if info.flags & _OMAP and copy.omap_digest_present and copy.omap_digest == info.omap_digest:
        doubts &= ~ObjectError.OMAP_DIGEST_MISMATCH
    if not doubts:
        return seen.agreeing, bool(seen.agreeing)
    groups: dict[object, list[PGShard]] = {}
    count = 0
    for shard in (*seen.agreeing, *seen.differing):
        theirs = maps[shard][hoid]
        if _version(theirs) == info.version:
            count += 1
            groups.setdefault(_contents(theirs), []).append(shard)
    largest = max(groups.values(), key=len, default=[])
    if 2 * len(largest) > count:
        return largest, True
    return [], False


def _version(theirs: ScrubObject) -> EVersion:
    return ObjectInfo.decode(theirs.attrs[INFO_ATTR]).version


def _contents(theirs: ScrubObject) -> object:
    """All that is known of a copy, to find those that are the same."""
    attrs = tuple(sorted(theirs.attrs.items()))
    digest = theirs.digest if theirs.digest_present else None
    omap = theirs.omap_digest if theirs.omap_digest_present else None
    return theirs.size, digest, omap, attrs


def _add_shard(errors: InconsistentObject, shard: PGShard, info: ShardInfo) -> None:
    errors.union_errors |= info.errors
    errors.shards[OSDShard(shard.osd, shard.shard)] = info


def _describe(info: ShardInfo, theirs: ScrubObject) -> None:
    info.attrs = dict(theirs.attrs)
    info.size = theirs.size
    if theirs.omap_digest_present:
        info.omap_digest_present, info.omap_digest = True, theirs.omap_digest
    if theirs.digest_present:
        info.data_digest_present, info.data_digest = True, theirs.digest


def _note_without_authority(
    terms: Terms,
    maps: Maps,
    hoid: HObject,
    shards: dict[PGShard, ShardInfo],
    errors: InconsistentObject,
    found: Compared,
) -> None:
    """No copy can be believed."""
    for shard in _in_order(maps):
        info = shards.setdefault(shard, ShardInfo())
        info.primary = shard == terms.me
        theirs = maps[shard].get(hoid)
        if theirs is None:
            info.errors |= ShardError.MISSING
        else:
            _describe(info, theirs)
        deep = bool(info.errors & DEEP_SHARD_ERRORS)
        found.count(deep=deep, shallow=bool(info.errors))
        _add_shard(errors, shard, info)
    found.objects.append(errors)
    found.lines.append(f"{terms.pgid} soid {hoid} : failed to pick suitable object info")


# -------------------------------------------------------------------------------- whom to believe


def _choose(
    terms: Terms, maps: Maps, hoid: HObject, shards: dict[PGShard, ShardInfo], found: Compared
) -> tuple[_Chosen | None, bool]:
    """The copy with the newest version among those that are sound by themselves.

    The primary's before others. Also whether the data of all of them is the same.
    """
    chosen: _Chosen | None = None
    digest_match = True
    others = [shard for shard in _in_order(maps) if shard != terms.me]
    for shard in [terms.me, *others]:
        theirs = maps.get(shard, {}).get(hoid)
        if theirs is None:
            continue
        info = shards.setdefault(shard, ShardInfo())
        info.primary = shard == terms.me
        oi, texts = _check_alone(terms, hoid, theirs, info)
        if (
            oi is not None
            and chosen is not None
            and chosen.object.digest_present
            and theirs.digest_present
            and chosen.object.digest != theirs.digest
        ):
            digest_match = False
        if oi is not None and not info.errors and _is_better(oi, chosen):
            chosen = _Chosen(shard, theirs, oi)
        if texts:
            found.lines.append(f"{terms.pgid} shard {shard} soid {hoid} : {', '.join(texts)}")
    return chosen, digest_match


def _is_better(oi: ObjectInfo, chosen: _Chosen | None) -> bool:
    if chosen is None or oi.version > chosen.info.version:
        return True
    return oi.version == chosen.info.version and _digest_count(oi) > _digest_count(chosen.info)


def _digest_count(oi: ObjectInfo) -> int:
    return bool(oi.flags & _DATA) + bool(oi.flags & _OMAP)


def _check_alone(
    terms: Terms, hoid: HObject, theirs: ScrubObject, info: ShardInfo
) -> tuple[ObjectInfo | None, list[str]]:
    """What is wrong with a copy by itself; its info if that can be read."""
    texts: list[str] = []

    def wrong(error: ShardError, text: str) -> None:
        info.errors |= error
        texts.append(f"candidate had {text}")

    if theirs.read_error:
        wrong(ShardError.READ_ERROR, "a read error")
    if theirs.ec_hash_mismatch:
        wrong(ShardError.EC_HASH_MISMATCH, "an ec hash mismatch")
    if theirs.ec_size_mismatch:
        wrong(ShardError.EC_SIZE_MISMATCH, "an ec size mismatch")
    if theirs.stat_error:
        wrong(ShardError.STAT_ERROR, "a stat error")
        return None, texts
    if hoid.is_head:
        raw = theirs.attrs.get(SNAPSET_ATTR)
        if raw is None:
            wrong(ShardError.SNAPSET_MISSING, "a missing snapset key")
        elif not _decodes(SnapSet, raw):
            wrong(ShardError.SNAPSET_CORRUPTED, "a corrupt snapset")
    if terms.is_erasure:
        raw = theirs.attrs.get(HINFO_ATTR)
        if raw is None:
            wrong(ShardError.HINFO_MISSING, "a missing hinfo key")
        elif not _decodes(HashInfo, raw):
            wrong(ShardError.HINFO_CORRUPTED, "a corrupt hinfo")
    raw = theirs.attrs.get(INFO_ATTR)
    if raw is None:
        wrong(ShardError.INFO_MISSING, "a missing info key")
        return None, texts
    try:
        oi = ObjectInfo.decode(raw)
    except WireError:
        wrong(ShardError.INFO_CORRUPTED, "a corrupt info")
        return None, texts
    if theirs.size != terms.stored_size(oi.size):
        info.errors |= ShardError.OBJ_SIZE_INFO_MISMATCH
        texts.append(f"candidate size {theirs.size} info size {oi.size} mismatch")
    return oi, texts


def _decodes(kind: type[SnapSet | HashInfo], raw: bytes) -> bool:
    try:
        kind.decode(raw)
    except WireError:
        return False
    return True


# ------------------------------------------------------------------------------------- differences

_OWN_ATTRS = (
    (
        INFO_ATTR,
        int(ShardError.INFO_MISSING | ShardError.INFO_CORRUPTED),
        ObjectError.OBJECT_INFO_INCONSISTENCY,
        "object info",
    ),
    (
        SNAPSET_ATTR,
        int(ShardError.SNAPSET_MISSING | ShardError.SNAPSET_CORRUPTED),
        ObjectError.SNAPSET_INCONSISTENCY,
        "snapset",
    ),
    (
        HINFO_ATTR,
        int(ShardError.HINFO_MISSING | ShardError.HINFO_CORRUPTED),
        ObjectError.HINFO_INCONSISTENCY,
        "hinfo",
    ),
)
"""What the OSD itself keeps as attributes, and what tells that a copy's cannot be read."""


def _differences(
    terms: Terms,
    chosen: _Chosen,
    theirs: ScrubObject,
    info: ShardInfo,
    errors: InconsistentObject,
    hoid: HObject,
) -> list[str]:
    """In what a copy differs from the chosen one, in words; sets the bits that say so."""
    auth, oi = chosen.object, chosen.info
    texts: list[str] = []

    def differs(error: ObjectError, text: str) -> None:
        errors.errors |= error
        texts.append(text)

    source = f"from shard {chosen.shard}"
    if auth.digest_present and theirs.digest_present and auth.digest != theirs.digest:
        differs(
            ObjectError.DATA_DIGEST_MISMATCH,
            f"data_digest 0x{theirs.digest:x} != data_digest 0x{auth.digest:x} {source}",
        )
    if (
        auth.omap_digest_present
        and theirs.omap_digest_present
        and auth.omap_digest != theirs.omap_digest
    ):
        differs(
            ObjectError.OMAP_DIGEST_MISMATCH,
            f"omap_digest 0x{theirs.omap_digest:x} != omap_digest 0x{auth.omap_digest:x} {source}",
        )
    if not terms.is_erasure:
        _compare_recorded(oi, theirs, info, texts)
    if theirs.stat_error:
        return texts
    for name, unreadable, error, what in _OWN_ATTRS:
        if (name == SNAPSET_ATTR and not hoid.is_head) or (
            name == HINFO_ATTR and not terms.is_erasure
        ):
            continue
        if not info.errors & unreadable and theirs.attrs.get(name) != auth.attrs.get(name):
            differs(error, f"{what} inconsistent ")
    expected = terms.stored_size(oi.size)
    if expected != theirs.size:
        info.errors |= ShardError.SIZE_MISMATCH_INFO
        texts.append(f"size {theirs.size} != size {expected} from auth oi {info_text(oi)}")
    if auth.size != theirs.size:
        differs(ObjectError.SIZE_MISMATCH, f"size {theirs.size} != size {auth.size} {source}")
    if theirs.size > terms.max_object_size and not errors.errors & ObjectError.SIZE_TOO_LARGE:
        differs(
            ObjectError.SIZE_TOO_LARGE,
            f"size {theirs.size} > {terms.max_object_size} is too large",
        )
    for name in _user_attrs(auth):
        value = theirs.attrs.get(name)
        if value is None:
            differs(ObjectError.ATTR_NAME_MISMATCH, f"attr name mismatch '{name}'")
        elif value != auth.attrs[name]:
            differs(ObjectError.ATTR_VALUE_MISMATCH, f"attr value mismatch '{name}'")
    for name in _user_attrs(theirs):
        if name not in auth.attrs:
            differs(ObjectError.ATTR_NAME_MISMATCH, f"attr name mismatch '{name}'")
    return texts


def _compare_recorded(
    oi: ObjectInfo, theirs: ScrubObject, info: ShardInfo, texts: list[str]
) -> None:
    """With the checksums that are recorded in the object's info."""
    if oi.flags & _DATA and theirs.digest_present and oi.data_digest != theirs.digest:
        info.errors |= ShardError.DATA_DIGEST_MISMATCH_INFO
        texts.append(
            f"data_digest 0x{theirs.digest:x} != data_digest 0x{oi.data_digest:x} "
            f"from auth oi {info_text(oi)}"
        )
    if oi.flags & _OMAP and theirs.omap_digest_present and oi.omap_digest != theirs.omap_digest:
        info.errors |= ShardError.OMAP_DIGEST_MISMATCH_INFO
        texts.append(
            f"omap_digest 0x{theirs.omap_digest:x} != omap_digest 0x{oi.omap_digest:x} "
            f"from auth oi {info_text(oi)}"
        )


def _user_attrs(each: ScrubObject) -> list[str]:
    """Names of clients' attributes; what the OSD itself keeps is looked at by itself."""
    return sorted(
        name for name in each.attrs if name != INFO_ATTR and name.startswith(USER_ATTR_PREFIX)
    )


def _want_digests(terms: Terms, chosen: _Chosen, hoid: HObject, found: Compared) -> None:
    """All copies agree: their checksums are to be recorded, once nobody changes the object."""
    oi, copy = chosen.info, chosen.object
    wanted = (copy.digest_present and not oi.flags & _DATA) or (
        copy.omap_digest_present and not oi.flags & _OMAP
    )
    if wanted and terms.now - float(oi.local_mtime) > terms.digest_min_age:
        found.digests[hoid] = (
            copy.digest if copy.digest_present else None,
            copy.omap_digest if copy.omap_digest_present else None,
        )


def info_text(oi: ObjectInfo) -> str:
    """An object's info in one line, as upstream prints it."""
    flags = "|".join(flag.name.lower() for flag in _SHOWN_FLAGS if flag.name and oi.flags & flag)
    parts = [f"{oi.soid}({oi.version} {oi.last_reqid}"]
    if flags:
        parts.append(flags)
    parts.append(f"s {oi.size} uv {oi.user_version}")
    if oi.flags & _DATA:
        parts.append(f"dd {oi.data_digest:x}")
    if oi.flags & _OMAP:
        parts.append(f"od {oi.omap_digest:x}")
    hint = f"{oi.expected_object_size} {oi.expected_write_size} {oi.alloc_hint_flags}"
    return " ".join([*parts, f"alloc_hint [{hint}])"])
