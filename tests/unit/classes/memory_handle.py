"""An object in memory and an ObjectHandle on it, as the tests of classes use them.

It behaves like an OSD with a replicated pool: what is read is what was stored before the call, but
for the object's existence and size; what a call changes is applied if it succeeds, else dropped.
"""

from __future__ import annotations

import errno
import functools
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from spirula.classes.declare import MethodFlag, Reply
from spirula.classes.handle import ObjectSize
from spirula.classes.registry import ClassRegistry
from spirula.denc import features
from spirula.errors import CephError, Exists, NotFound
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityInst, EntityName

MAX_OMAP_ENTRIES = 1024
MAX_XATTR_BYTES = 65536
MAX_OBJECT_BYTES = 128 << 20
NOW = UTime(1_600_000_000, 0)
CLIENT = EntityInst.decode(
    EntityInst(EntityName(8, 4123), EntityAddr.parse("v1:127.0.0.1:0/77")).encode()
)


def key_bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


@dataclass
class StoredObject:
    exists: bool = False
    data: bytes = b""
    xattrs: dict[str, bytes] = field(default_factory=dict)
    omap: dict[str, bytes] = field(default_factory=dict)
    header: bytes = b""
    version: int = 0


@dataclass
class MemoryHandle:
    """One operation on `stored`; `pending` is the object as it will be."""

    stored: StoredObject
    now: UTime = NOW
    origin: EntityInst = CLIENT
    random: Random = field(default_factory=lambda: Random(1))
    registry: ClassRegistry = field(default_factory=ClassRegistry)
    client_features: int = features.PACIFIC
    min_alloc_size: int = 4096
    stripe_width: int = 0
    chunks: set[str] = field(default_factory=set)
    subop: int = 0
    num_read: int = 0
    num_write: int = 0
    logged: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self):
        self.pending = deepcopy(self.stored)

    # --- the object and its data ---

    def create(self, exclusive):
        self.num_write += 1
        if self.pending.exists and exclusive:
            raise Exists
        self.pending.exists = True

    def remove(self):
        self.num_write += 1
        self._must_exist()
        self.pending = StoredObject(version=self.pending.version)

    def stat(self):
        self._must_exist()
        return ObjectSize(len(self.pending.data), self.now)

    def read(self, offset, length, op_flags=0):
        self.num_read += 1
        end = min(offset + length, len(self.pending.data)) if length else len(self.pending.data)
        return self.stored.data[offset:end]

    def write(self, offset, data, op_flags=0):
        self.num_write += 1
        if offset + len(data) > MAX_OBJECT_BYTES:
            raise CephError.from_errno(errno.EFBIG)
        self.pending.exists = True
        if data:
            old = self.pending.data.ljust(offset, b"\0")
            self.pending.data = old[:offset] + data + old[offset + len(data) :]

    def write_full(self, data):
        self.num_write += 1
        self.pending.exists = True
        self.pending.data = bytes(data)

    def replace(self, offset, data):
        self.truncate(0)
        self.write(offset, data)

    def truncate(self, size):
        self.num_write += 1
        if self.pending.exists:
            self.pending.data = self.pending.data[:size].ljust(size, b"\0")

    def write_zero(self, offset, length):
        self.num_write += 1
        if length == 0:
            raise CephError.from_errno(errno.EINVAL)
        data = self.pending.data
        if offset + length >= len(data):
            self.pending.data = data[:offset]  # upstream makes a truncation of it
        else:
            self.pending.data = data[:offset] + bytes(length) + data[offset + length :]

    def snap_revert(self, snapid):
        raise CephError.from_errno(errno.EOPNOTSUPP, "no snapshots here")

    # --- attributes ---

    def getxattr(self, name):
        self.num_read += 1
        self._must_be_stored()
        if name not in self.stored.xattrs:
            raise CephError.from_errno(errno.ENODATA)
        return self.stored.xattrs[name]

    def getxattrs(self):
        self.num_read += 1
        self._must_be_stored()
        return dict(sorted(self.stored.xattrs.items()))

    def setxattr(self, name, value):
        self.num_write += 1
        if len(value) > MAX_XATTR_BYTES:
            raise CephError.from_errno(errno.EFBIG)
        if len(name) > 100:
            raise CephError.from_errno(errno.ENAMETOOLONG)
        self.pending.exists = True
        self.pending.xattrs[name] = bytes(value)

    # --- the omap ---

    def _keys(self, start_after="", prefix=""):
        return sorted(
            (
                key
                for key in self.stored.omap
                if key_bytes(key) > key_bytes(start_after) and key.startswith(prefix)
            ),
            key=key_bytes,
        )

    def map_get_keys(self, start_after, max_to_get):
        self.num_read += 1
        most = min(max_to_get, MAX_OMAP_ENTRIES)
        keys = self._keys(start_after)
        return keys[:most], len(keys) > most

    def map_get_vals(self, start_after, filter_prefix, max_to_get):
        self.num_read += 1
        most = min(max_to_get, MAX_OMAP_ENTRIES)
        keys = self._keys(start_after, filter_prefix)
        return {key: self.stored.omap[key] for key in keys[:most]}, len(keys) > most

    def map_get_all_vals(self):
        return self.map_get_vals("", "", MAX_OMAP_ENTRIES)

    def map_get_val(self, key):
        self.num_read += 1
        if key not in self.stored.omap:
            raise NotFound
        return self.stored.omap[key]

    def map_get_vals_by_keys(self, keys):
        self.num_read += 1
        return {key: self.stored.omap[key] for key in keys if key in self.stored.omap}

    def map_read_header(self):
        self.num_read += 1
        return self.stored.header

    def map_set_val(self, key, value):
        self.map_set_vals({key: value})

    def map_set_vals(self, entries):
        self.num_write += 1
        self.pending.exists = True
        self.pending.omap.update((key, bytes(value)) for key, value in entries.items())

    def map_write_header(self, header):
        self.num_write += 1
        self.pending.exists = True
        self.pending.header = bytes(header)

    def map_remove_key(self, key):
        self.num_write += 1
        self._must_exist()
        self.pending.omap.pop(key, None)

    def map_remove_range(self, key_begin, key_end):
        self.num_write += 1
        self._must_exist()
        first, end = key_bytes(key_begin), key_bytes(key_end)
        for key in [key for key in self.pending.omap if first <= key_bytes(key) < end]:
            del self.pending.omap[key]

    def map_clear(self):
        self.num_write += 1
        self._must_exist()
        self.pending.omap.clear()
        self.pending.header = b""

    # --- who asks, the cluster, the rest ---

    def get_request_origin(self):
        return self.origin

    def list_watchers(self):
        self.num_read += 1
        return []

    def get_client_features(self):
        return self.client_features

    def current_version(self):
        return self.stored.version

    def current_subop_num(self):
        return self.subop

    def get_features(self):
        return features.PACIFIC

    def get_required_osd_release(self):
        return 16

    def get_min_compatible_client(self):
        return 12

    def get_snapset_seq(self):
        self._must_exist()
        return 0

    def get_osd_min_alloc_size(self):
        return self.min_alloc_size

    def get_pool_stripe_width(self):
        return self.stripe_width

    def call(self, cls, method, indata):
        reply = self.registry.open(cls).method(method).call(self, indata)
        if reply.code < 0:
            raise CephError.from_errno(reply.code)
        return reply.data

    def chunk_write_and_set(self, offset, data, op_flags, set_indata):
        self.write(offset, data, op_flags)
        self.call("cas", "chunk_set", set_indata)

    def has_chunk(self, fp_oid):
        return fp_oid in self.chunks

    def gen_random_bytes(self, size):
        return self.random.randbytes(size)

    def log(self, level, message):
        self.logged.append((level, message))

    def _must_exist(self):
        if not self.pending.exists:
            raise NotFound

    def _must_be_stored(self):
        if not self.stored.exists:
            raise NotFound


def _counted(operation):
    """An operation of a handle, counted as one (`current_subop_num`) once it has succeeded."""

    @functools.wraps(operation)
    def counted(self, *args, **kwargs):
        result = operation(self, *args, **kwargs)
        self.subop += 1
        return result

    return counted


OPERATIONS = """
    create remove stat read write write_full truncate write_zero getxattr getxattrs setxattr
    map_get_keys map_get_vals map_get_val map_get_vals_by_keys map_read_header map_set_vals
    map_write_header map_remove_key map_remove_range map_clear list_watchers call
"""
for _name in OPERATIONS.split():
    setattr(MemoryHandle, _name, _counted(getattr(MemoryHandle, _name)))


def execute(stored, cls, method, indata=b"", *, registry=None, **facts):
    """One call as a client sees it: code, data, and the handle for a look; changes `stored`."""
    registry = registry or ClassRegistry()
    handle = MemoryHandle(stored, registry=registry, **facts)
    try:
        found = registry.open(cls).method(method)
    except CephError as error:
        return Reply(code=-error.errno), handle
    writes = bool(found.flags & MethodFlag.WRITE)
    if not writes and not stored.exists:
        return Reply(code=-errno.ENOENT), handle
    reply = found.call(handle, indata)
    if reply.code < 0:
        return reply, handle
    if writes and handle.num_write:
        vars(stored).update(vars(handle.pending))
        stored.version += 1
        # Without RETURNVEC, as of librados' exec, clients learn neither data nor codes of changes.
        return Reply(), handle
    return reply, handle
