"""What a method of an object class may do with its object: the interface that OSDs provide.

The functions are those of upstream's `src/objclass/objclass.h` (without `cls_` and `cls_cxx_`),
with the results and errors that `src/osd/objclass.cc` gives them. All concern the one object on
which the method was called. Implemented by the OSD's operations, by `worker.RemoteHandle` in the
process of users' classes, and in memory for tests.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol, TypeVar

from spirula.denc import Struct
from spirula.errors import CephError, InputOutput, WireError
from spirula.types.base import UTime
from spirula.types.entity import EntityInst
from spirula.types.object_info import WatchItem

_S = TypeVar("_S", bound=Struct)

ALL = 0xFFFF_FFFF_FFFF_FFFF
"""As `max_to_get`: as many as the OSD gives at once (osd_max_omap_entries_per_request)."""


class ObjectSize(NamedTuple):
    """What `stat` tells: the size in bytes, and when the object was last changed."""

    size: int
    mtime: UTime


class ObjectHandle(Protocol):
    """An object as a method sees it.

    Changes gather in the transaction of the client's operation and take effect with it. As with
    upstream's replicated pools, what is read is what was stored before the operation; only whether
    the object exists and its size (`stat`, the bounds of `read`) know what the operation has done
    already. Every function may raise CephError; a method that does not handle it passes it on to
    the client, and the transaction is dropped.
    """

    now: UTime
    """The OSD's clock."""

    @property
    def num_read(self) -> int:
        """How often the operation has read the object (all that is read but `stat` counts)."""

    @property
    def num_write(self) -> int:
        """How often the operation has changed the object."""

    # --- the object and its data ---

    def create(self, exclusive: bool) -> None:
        """Makes the object; Exists if `exclusive` and it is there."""

    def remove(self) -> None:
        """Removes the object; NotFound if there is none."""

    def stat(self) -> ObjectSize:
        """Size and time of change; NotFound if there is no object."""

    def read(self, offset: int, length: int, op_flags: int = 0) -> bytes:
        """At most `length` bytes (0: all) from `offset` on.

        Empty at the end and where there is no object. `op_flags` are OpFlags (fadvise).
        """

    def write(self, offset: int, data: bytes, op_flags: int = 0) -> None:
        """Writes `data` at `offset`; makes the object where there is none."""

    def write_full(self, data: bytes) -> None:
        """Replaces all data."""

    def replace(self, offset: int, data: bytes) -> None:
        """Truncates to nothing, then writes `data` at `offset`."""

    def truncate(self, size: int) -> None:
        """Cuts or extends the data to `size` bytes; does nothing where there is no object."""

    def write_zero(self, offset: int, length: int) -> None:
        """Zeroes a range; does nothing where there is no object, or behind its end.

        A range that reaches the end, or beyond, is cut off: the object ends where it began.
        """

    def snap_revert(self, snapid: int) -> None:
        """Gives the object the state that it had at a snapshot."""

    # --- attributes ---

    def getxattr(self, name: str) -> bytes:
        """An attribute; CephError with ENODATA if there is none, NotFound without the object."""

    def getxattrs(self) -> dict[str, bytes]:
        """All attributes, sorted by name."""

    def setxattr(self, name: str, value: bytes) -> None:
        """Sets an attribute; makes the object where there is none."""

    # --- the omap: keys are ordered by their bytes ---

    def map_get_keys(self, start_after: str, max_to_get: int) -> tuple[list[str], bool]:
        """Keys after `start_after`, in order, and whether there are more."""

    def map_get_vals(
        self, start_after: str, filter_prefix: str, max_to_get: int
    ) -> tuple[dict[str, bytes], bool]:
        """Entries after `start_after` whose keys begin so, in order; and whether there are more."""

    def map_get_all_vals(self) -> tuple[dict[str, bytes], bool]:
        """All entries, in order; and whether there are more than fit into an answer."""

    def map_get_val(self, key: str) -> bytes:
        """The value of a key; NotFound if there is none."""

    def map_get_vals_by_keys(self, keys: Collection[str]) -> dict[str, bytes]:
        """The entries of those keys that are there."""

    def map_read_header(self) -> bytes:
        """The omap's header, empty if there is none."""

    def map_set_val(self, key: str, value: bytes) -> None:
        """Sets an entry; makes the object where there is none."""

    def map_set_vals(self, entries: Mapping[str, bytes]) -> None:
        """Sets entries; makes the object where there is none."""

    def map_write_header(self, header: bytes) -> None:
        """Sets the omap's header; makes the object where there is none."""

    def map_remove_key(self, key: str) -> None:
        """Removes an entry, if it is there; NotFound if there is no object."""

    def map_remove_range(self, key_begin: str, key_end: str) -> None:
        """Removes the entries from `key_begin` on and before `key_end`; NotFound if no object."""

    def map_clear(self) -> None:
        """Removes the omap with its header; NotFound if there is no object."""

    # --- who asks, and when ---

    def get_request_origin(self) -> EntityInst:
        """The client whose request this is."""

    def list_watchers(self) -> list[WatchItem]:
        """Who watches the object."""

    def get_client_features(self) -> int:
        """The feature bits of the client's connection."""

    def current_version(self) -> int:
        """The version that clients last saw in the object's PG (last_user_version)."""

    def current_subop_num(self) -> int:
        """How many operations were done for the client's request so far.

        What methods do counts as well: each function of the handle that is an operation of its own
        (not the facts about client and cluster) by one, `replace` by two.
        """

    # --- the cluster ---

    def get_features(self) -> int:
        """The feature bits that all running OSDs have."""

    def get_required_osd_release(self) -> int:
        """The OSD map's require_osd_release, by number (16 is pacific)."""

    def get_min_compatible_client(self) -> int:
        """The OSD map's require_min_compat_client, by number."""

    def get_snapset_seq(self) -> int:
        """The newest snapshot that the object knows of; NotFound if there is no object."""

    def get_osd_min_alloc_size(self) -> int:
        """The smallest number of bytes that the OSD's store allocates."""

    def get_pool_stripe_width(self) -> int:
        """Bytes in a stripe of the pool; 0 for pools that are not erasure coded."""

    # --- further ---

    def call(self, cls: str, method: str, indata: bytes) -> bytes:
        """Calls a method of another class on the object, in the same transaction."""

    def chunk_write_and_set(
        self, offset: int, data: bytes, op_flags: int, set_indata: bytes
    ) -> None:
        """Writes a chunk of a deduplicated pool, and calls `cas.chunk_set` with `set_indata`."""

    def has_chunk(self, fp_oid: str) -> bool:
        """Whether the object's manifest refers to the chunk of this name."""

    def gen_random_bytes(self, size: int) -> bytes:
        """Random bytes."""

    def log(self, level: int, message: str) -> None:
        """Logs for the subsystem objclass; level 0 is an error, 20 is a detail."""


def subop_version(handle: ObjectHandle) -> str:
    """A text that no other operation on the PG's objects has: `VERSION.SUBOP`."""
    return f"{handle.current_version()}.{handle.current_subop_num()}"


def getxattr_if_set(handle: ObjectHandle, name: str) -> bytes | None:
    """An attribute, None if the object has none of this name; NotFound without the object."""
    try:
        return handle.getxattr(name)
    except CephError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def decoded(handle: ObjectHandle, kind: type[_S], data: bytes, what: str) -> _S:
    """What a class stored earlier; InputOutput (EIO) if it cannot be read."""
    try:
        return kind.decode(data)
    except WireError as error:
        handle.log(0, f"cannot decode {what}: {error}")
        raise InputOutput(f"{what} is damaged") from error
