"""The object store of an OSD's folder: which kind, how it is opened, what it tells of itself.

On disk, unless `osd_objectstore = memstore` has everything kept in memory: the folder holds who the
OSD is, and its objects are gone when it ends. For tests, and clusters that live for an hour.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from spirula.cli.host import turns
from spirula.conf.config import Config
from spirula.errors import CephError, InvalidArgument, NotFound
from spirula.osd.mkfs import make_store
from spirula.store.checksums import ChecksumType
from spirula.store.disk.compression import (
    MAX_BLOB_SIZE,
    Compression,
    parse_algorithm,
    parse_mode,
)
from spirula.store.disk.folder import BLOCK
from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.mkfs import TYPE, mkfs
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from spirula.store.keyvalue import Done
from spirula.store.memory import MemoryObjectStore
from spirula.store.objectstore import ObjectStore
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction

_MEMSTORE_BYTES = "memstore_device_bytes"
MEMORY, DISK = "memstore", TYPE
"""The word `type` of a store."""
Notify = Callable[[Callable[[], None]], object]


class Store(ObjectStore, Protocol):
    """A store with a folder."""

    def mount_made(self, words: dict[str, str], whoami: int) -> None:
        """Mount the store, which has these words."""

    def metadata(self) -> dict[str, str]:
        """What the monitors are told of it."""

    def close(self) -> None:
        """Let go of its files."""


class MemoryStore(MemoryObjectStore):
    """A store in memory whose words are files of a folder."""

    def __init__(self, folder: Path, notify: Notify, capacity: int) -> None:
        super().__init__(notify, capacity)
        self.folder = folder

    def write_meta(self, key: str, value: str) -> None:
        """Keep a word, as upstream's stores do, in a file of its own."""
        (self.folder / key).write_text(value + "\n")

    def read_meta(self, key: str) -> str:
        """A word. NotFound if there is none."""
        try:
            return (self.folder / key).read_text().removesuffix("\n")
        except FileNotFoundError:
            raise NotFound(f"the store in {self.folder} has no {key}") from None

    def mount_made(self, words: dict[str, str], whoami: int) -> None:
        """What was in memory is gone: begin with a store that has just been made."""
        make_store(
            self,
            cluster_fsid=uuid.UUID(words["ceph_fsid"]).bytes,
            osd_fsid=uuid.UUID(words["fsid"]).bytes,
            whoami=whoami,
        )
        self.mount()

    def metadata(self) -> dict[str, str]:
        """As upstream's store in memory says it."""
        return {"rotational": "0", "journal_rotational": "0", "default_device_class": "ssd"}

    def close(self) -> None:
        """There are no files."""


_EVERY = 16


class DiskStore(DiskObjectStore):
    """A store on disk, in the OSD's folder, that measures how long commits take."""

    _queued = 0
    _measured = 0
    _measured_s = 0.0
    _last_mean_s = 0.0
    rotational = (False, False)
    """Whether data, and whether the journal, lie on hard disks."""

    def queue_transactions(
        self,
        cid: Coll,
        transactions: Sequence[Transaction],
        on_applied: Callable[[], None] | None = None,
        on_commit: Done | None = None,
    ) -> None:
        """As the store does it; one commit of many is timed."""
        self._queued += 1
        if self._queued % _EVERY == 0:
            on_commit = self._timed(on_commit)
        super().queue_transactions(cid, transactions, on_applied, on_commit)

    def _timed(self, on_commit: Done | None) -> Done:
        began = time.monotonic()

        def done(error: CephError | None) -> None:
            self._measured += 1
            self._measured_s += time.monotonic() - began
            if on_commit is not None:
                on_commit(error)

        return done

    def commit_latency_s(self) -> float:
        """The mean of the commits since the last call; the one before if there were none."""
        if self._measured:
            self._last_mean_s = self._measured_s / self._measured
            self._measured, self._measured_s = 0, 0.0
        return self._last_mean_s

    def mount_made(self, words: dict[str, str], whoami: int) -> None:
        """Everything is where it was left."""
        del words, whoami
        self.mount()

    def metadata(self) -> dict[str, str]:
        """What its devices are: an OSD on hard disks moves less at a time, and rests."""
        data, journal = self.rotational
        return {
            "rotational": str(int(data)),
            "journal_rotational": str(int(journal)),
            "default_device_class": "hdd" if data else "ssd",
        }

    def close(self) -> None:
        """Files are let go of when it is unmounted."""


_KINDS = {"bluestore": DISK, "spirula": DISK, "memstore": MEMORY}


def store_type(config: Config) -> str:
    """The kind of store that `osd_objectstore` asks for. InvalidArgument for one that is not known.

    `bluestore`, the default of upstream, stands for our own store on disk.
    """
    wanted = config.get_str("osd_objectstore")
    if wanted not in _KINDS:
        raise InvalidArgument(f"osd_objectstore {wanted!r} is none of {', '.join(_KINDS)}")
    return _KINDS[wanted]


def make_folder(config: Config, folder: Path, identity: uuid.UUID) -> None:
    """Make the files of a store in a folder; what is there already stays. Raises as `mkfs`."""
    kind = store_type(config)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if kind == DISK:
        mkfs(folder, size=config.get_int("bluestore_block_size"), fsid=identity)
    else:
        (folder / "type").write_text(kind + "\n")


def known_fsid(folder: Path) -> uuid.UUID | None:
    """The identity of the OSD whose folder this is; None if it was not made yet."""
    try:
        return uuid.UUID(_word(folder, "fsid"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise InvalidArgument(f"{folder / 'fsid'} holds no UUID") from None


def _word(folder: Path, name: str) -> str:
    """A word of a store whose kind is not known yet; behind it may be a checksum."""
    return (folder / name).read_text().partition("\n")[0].strip()


def open_store(config: Config, folder: Path, notify: Notify, *, threaded: bool = True) -> Store:
    """The store of a folder, unmounted.

    NotFound if the folder is not there, InvalidArgument if it is not of the kind that the
    configuration asks for.
    """
    kind = store_type(config)
    try:
        made = _word(folder, "type")
    except OSError:
        raise NotFound(f"{folder} holds no OSD: have you run '--mkfs'?") from None
    if made != kind:
        raise InvalidArgument(f"{folder} holds a store of type {made}, not {kind}")
    if kind == DISK:
        options = Options(waits_for_writers=False)
        store = DiskStore(FolderMedium(folder), notify, options, threaded=threaded)
        _follow(config, options)
        store.rotational = turns(folder / BLOCK), turns(folder)
        return store
    return MemoryStore(folder, notify, config.get_int(_MEMSTORE_BYTES))


_OPTIONS = (
    "bluestore_csum_type",
    "bluestore_compression_mode",
    "bluestore_compression_algorithm",
    "bluestore_compression_required_ratio",
    "bluestore_compression_min_blob_size",
    "bluestore_compression_max_blob_size",
)


def _follow(config: Config, options: Options) -> None:
    """Let the options of a store on disk be what the configuration says, now and later."""

    def read() -> None:
        algorithm = config.get_str("bluestore_compression_algorithm")
        mode = config.get_str("bluestore_compression_mode") if algorithm else "none"
        options.checksums = ChecksumType.parse(config.get_str("bluestore_csum_type"))
        options.compression = Compression(
            parse_mode(mode),
            parse_algorithm(algorithm or "snappy"),
            config.get_float("bluestore_compression_required_ratio"),
            config.get_int("bluestore_compression_min_blob_size") or MAX_BLOB_SIZE,
            config.get_int("bluestore_compression_max_blob_size") or MAX_BLOB_SIZE,
        )

    def on_change(_changed: frozenset[str]) -> None:
        # An option that cannot be had was refused at the start; later it changes nothing.
        with suppress(InvalidArgument):
            read()

    read()
    config.observe(_OPTIONS, on_change)
