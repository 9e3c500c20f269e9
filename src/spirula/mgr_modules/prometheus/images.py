"""Metrics of single RBD images, for pools that the option `rbd_stats_pools` names.

OSDs count by image while they are asked to (a query by the names of objects); images' names are
read from their pools' directories. Names: upstream `src/pybind/mgr/prometheus` (get_rbd_stats),
objects: upstream `src/cls/rbd/cls_rbd.cc`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from spirula.mgr_modules.host import Host
from spirula.mgr_modules.prometheus.families import Family
from spirula.rados import Error, Ioctx, ObjectNotFound, Rados, ReadOpCtx

_COUNTERS = {
    "write_ops": "RBD image writes count",
    "read_ops": "RBD image reads count",
    "write_bytes": "RBD image bytes written",
    "read_bytes": "RBD image bytes read",
    "write_latency": "RBD image writes latency (msec)",
    "read_latency": "RBD image reads latency (msec)",
}
"""What OSDs count, in the order in which they tell it."""
_LABELS = ("pool", "namespace", "image")
_OBJECT = r"^(?:rbd|journal)_data\.(?:([0-9]+)\.)?([^.]+)\."
"""Names of objects with data: the id of the image's pool where that is another one, the image's."""
_DIRECTORY, _BY_ID = "rbd_directory", "id_"
_NAMESPACES, _BY_NAME = "rbd_namespace", "name_"
_AT_ONCE = 1024
_LENGTH = struct.Struct("<I")

ImageKey = tuple[int, str, str]
"""An image: its pool, namespace and id."""


def wanted_pools(option: str, rbd_pools: list[str]) -> dict[str, set[str]]:
    """The pools that an option like `a, b/space, */*` means, of those for RBD.

    With the namespaces of each that are meant, none for all.
    """
    wanted: dict[str, set[str]] = {}
    whole: set[str] = set()
    for word in re.split(r"[\s,]+", option):
        name, _, namespace = word.partition("/")
        for pool in rbd_pools if name == "*" else [name] if name in rbd_pools else []:
            spaces = wanted.setdefault(pool, set())
            if namespace in ("", "*"):
                whole.add(pool)
            else:
                spaces.add(namespace)
    return {pool: set() if pool in whole else spaces for pool, spaces in wanted.items()}


@dataclass(slots=True)
class ImageStats:
    """What is known of images: names, and what was counted so far (value and times, by counter)."""

    host: Host
    cluster: Callable[[], Rados]
    log: Callable[[str], None]
    names: dict[ImageKey, tuple[str, str]] = field(default_factory=dict)
    """Names of pools and images."""
    counted: dict[ImageKey, list[list[float]]] = field(default_factory=dict)
    pools: dict[str, set[str]] = field(default_factory=dict)
    listed_at: float = 0.0
    query: dict[str, Any] = field(default_factory=dict)
    ident: int | None = None

    def collect(self, option: str, refresh_s: float) -> Iterator[Family]:
        """The metrics of images in the pools that the option means."""
        osdmap = self.host.osd_map()
        ids = {name: number for number, name in osdmap.pool_name.items()}
        rbd_pools = [
            name
            for name, number in ids.items()
            if "rbd" in osdmap.pools[number].application_metadata
        ]
        wanted = wanted_pools(option, rbd_pools)
        now = self.host.now()
        if wanted != self.pools or (wanted and now >= self.listed_at + refresh_s):
            self._list(wanted, ids)
            self.pools, self.listed_at = wanted, now
        self._ask({ids[name]: spaces for name, spaces in wanted.items()})
        if self.ident is not None:
            self._count()
        yield from self._families()

    def _list(self, wanted: dict[str, set[str]], ids: dict[str, int]) -> None:
        """Reads the images' names anew; of images that are gone nothing is kept."""
        names: dict[ImageKey, tuple[str, str]] = {}
        for pool, spaces in wanted.items():
            try:
                with self.cluster().open_ioctx(pool) as ioctx:
                    there = {"", *(key for key, _ in _entries(ioctx, _NAMESPACES, _BY_NAME))}
                    for space in sorted(spaces & there if spaces else there):
                        ioctx.set_namespace(space)
                        for ident, value in _entries(ioctx, _DIRECTORY, _BY_ID):
                            names[ids[pool], space, ident] = pool, _text(value)
            except Error as error:
                self.log(f"images of pool {pool} cannot be listed: {error}")
        self.names = names
        self.counted = {key: told for key, told in self.counted.items() if key in names}

    def _ask(self, pools: dict[int, set[str]]) -> None:
        """Has OSDs count for these pools, and no longer for others."""
        query: dict[str, Any] = {}
        if pools:
            spaces = set[str]().union(*pools.values()) if all(pools.values()) else set()
            numbers = "|".join(map(str, sorted(pools)))
            inside = "|".join(map(re.escape, sorted(spaces))) if spaces else ".*"
            query = {
                "key_descriptor": [
                    {"type": "pool_id", "regex": f"^({numbers})$"},
                    {"type": "namespace", "regex": f"^({inside})$"},
                    {"type": "object_name", "regex": _OBJECT},
                ],
                "performance_counter_descriptors": list(_COUNTERS),
            }
        if query == self.query:
            return
        self.close()
        self.query = query
        if query:
            self.ident = self.host.add_osd_query(query)

    def _count(self) -> None:
        found = self.host.osd_query_counters(self.ident) if self.ident is not None else None
        for one in (found or {}).get("counters", ()):
            pool, space, (other, image) = one["k"][0][0], one["k"][1][0], one["k"][2][:2]
            key = (int(other or pool), space, image)
            if key not in self.names:
                continue  # it is new, or not asked for
            known = self.counted.setdefault(key, [[0, 0] for _ in _COUNTERS])
            for total, (value, times) in zip(known, one["c"], strict=False):
                total[0] += value
                total[1] += times

    def _families(self) -> Iterator[Family]:
        for at, (name, told) in enumerate(_COUNTERS.items()):
            parts = [(f"rbd_{name}", told, 0)]
            if name.endswith("latency"):
                parts = [
                    (f"rbd_{name}_sum", f"{told} Total", 0),
                    (f"rbd_{name}_count", f"{told} Count", 1),
                ]
            for metric, words, which in parts:
                family = Family(metric, "counter", words, _LABELS)
                for key, (pool, image) in self.names.items():
                    counted = self.counted.get(key)
                    family.set(counted[at][which] if counted else 0, pool, key[1], image)
                if family.values:
                    yield family

    def close(self) -> None:
        """OSDs need not count any more."""
        if self.ident is not None:
            self.host.remove_osd_query(self.ident)
        self.ident, self.query = None, {}


def _entries(ioctx: Ioctx, name: str, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Entries of an object's omap whose keys begin so, without that; none without the object."""
    after = ""
    while True:
        with ReadOpCtx() as op:
            told, _ = ioctx.get_omap_vals(op, after, prefix, _AT_ONCE)
            try:
                ioctx.operate_read_op(op, name)
            except ObjectNotFound:
                return
            some = [(str(key), bytes(value or b"")) for key, value in told]
        yield from ((key.removeprefix(prefix), value) for key, value in some)
        if len(some) < _AT_ONCE:
            return
        after = some[-1][0]


def _text(value: bytes) -> str:
    """A string as classes of objects keep it: its length before it."""
    (length,) = _LENGTH.unpack_from(value) if len(value) >= _LENGTH.size else (0,)
    return value[_LENGTH.size : _LENGTH.size + length].decode("utf-8", "replace")
