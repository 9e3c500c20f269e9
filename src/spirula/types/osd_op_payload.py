"""What operations read from their input and write to their output, for those that have a format.

The OSD decodes inputs and encodes outputs, clients do the reverse. Plain data (read, write) and
object classes have no type here. Formats: upstream `src/osd/PrimaryLogPG.cc`,
`src/osdc/Objecter.h`, `src/common/scrub_types.cc`.
"""

from __future__ import annotations

from spirula.denc import (
    Map,
    Pair,
    Set,
    Struct,
    Vec,
    blob,
    boolean,
    s32,
    string,
    struct,
    tail,
    u32,
    u64,
)
from spirula.types.base import UTime
from spirula.types.hobject import HObject
from spirula.types.object_info import ObjectLocator
from spirula.types.recovery import ObjectCopyCursor


@struct
class StatReply(Struct):
    """`stat`: the object's size in bytes and when it changed."""

    size: u64
    mtime: UTime


@struct
class SparseReadReply(Struct):
    """`sparse-read`: which ranges (offset: length) hold data, and that data one after another."""

    extents: Map[u64, u64]
    data: blob


@struct
class MapExtReply(Struct):
    """`mapext`: which ranges (offset: length) hold data."""

    extents: Map[u64, u64]


@struct
class OmapGetKeysInput(Struct):
    """`omap-get-keys`: keys after this one, at most so many."""

    start_after: string
    max_return: u64


@struct
class OmapGetKeysReply(Struct):
    """`omap-get-keys`: the keys, and whether there are more."""

    keys: Set[string]
    truncated: boolean = tail(default=False)


@struct
class OmapGetValsInput(Struct):
    """`omap-get-vals`: entries after this key whose keys begin with the prefix, at most so many."""

    start_after: string
    max_return: u64
    filter_prefix: string = tail()


@struct
class OmapGetValsReply(Struct):
    """`omap-get-vals`: the entries, and whether there are more."""

    entries: Map[string, blob]
    truncated: boolean = tail(default=False)


@struct
class OmapKeys(Struct):
    """`omap-get-vals-by-keys` and `omap-rm-keys`: keys."""

    keys: Set[string]


@struct
class OmapEntries(Struct):
    """`omap-set-vals` and the answers of `omap-get-vals-by-keys` and `getxattrs`: entries."""

    entries: Map[string, blob]


@struct
class OmapRmKeyRangeInput(Struct):
    """`omap-rm-key-range`: the first key, and the one before which to stop."""

    key_begin: string
    key_end: string


@struct
class OmapCmpInput(Struct):
    """`omap-cmp`: key -> (value, CmpXattrOp) that must hold."""

    assertions: Map[string, Pair[blob, s32]]


@struct
class NotifyInput(Struct):
    """`notify`: seconds to wait for acknowledgements (0: the OSD's default), and what to tell."""

    version: u32
    timeout: u32
    payload: blob


@struct
class NotifyReply(Struct):
    """What a notifier is told in the end: who answered what, and who did not answer.

    Watchers are (client, cookie) pairs; one that answered twice is there twice.
    """

    acks: Vec[Pair[Pair[u64, u64], blob]]
    missed: Vec[Pair[u64, u64]]


@struct
class NotifyAckInput(Struct):
    """`notify-ack`: which notification by which watch, and what to answer the notifier."""

    notify_id: u64
    watch_cookie: u64
    reply: blob = tail()


@struct
class CopyFromInput(Struct):
    """`copy-from`: the source object."""

    src_name: string
    src_oloc: ObjectLocator


@struct
class CopyFrom2Input(Struct):
    """`copy-from2`: the source object, and how to truncate the copy."""

    src_name: string
    src_oloc: ObjectLocator
    truncate_seq: u32
    truncate_size: u64


@struct
class CopyGetInput(Struct):
    """`copy-get`: where to go on, and at most how many bytes to answer."""

    cursor: ObjectCopyCursor
    max: u64


@struct
class SetRedirectInput(Struct):
    """`set-redirect`: the object that stands for this one."""

    target_name: string
    target_oloc: ObjectLocator


@struct
class SetChunkInput(Struct):
    """`set-chunk`: which bytes of this object are kept where in another."""

    src_offset: u64
    src_length: u64
    tgt_oloc: ObjectLocator
    tgt_name: string
    tgt_offset: u64


@struct
class ListInput(Struct):
    """`pgls` and `pgnls`: where to go on."""

    handle: HObject


@struct
class ChecksumReply(Struct):
    """`checksum` with CRC-32C or XXHASH32: one per chunk."""

    checksums: Vec[u32]


@struct
class Checksum64Reply(Struct):
    """`checksum` with XXHASH64: one per chunk."""

    checksums: Vec[u64]


@struct(version=1, compat=1)
class ScrubListInput(Struct):
    """`scrubls`: which scrub's findings, and after which object to go on."""

    interval: u32
    get_snapsets: u32
    start_after_name: string
    start_after_nspace: string
    start_after_snap: u64
    max_return: u64


@struct(version=1, compat=1)
class ScrubListReply(Struct):
    """`scrubls`: encoded findings; `interval` tells whether the PG's interval is still that one."""

    interval: u32
    vals: Vec[blob]
