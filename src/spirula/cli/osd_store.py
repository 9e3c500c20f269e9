"""The object store of an OSD's folder: which kind, how it is opened, what it tells of itself.

`osd_objectstore = memstore` keeps everything in memory: the folder holds who the OSD is, and its
objects are gone when it ends. For tests and clusters that live for an hour.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from spirula.conf.config import Config
from spirula.errors import InvalidArgument, NotFound
from spirula.osd.mkfs import make_store
from spirula.store.memory import MemoryObjectStore
from spirula.store.objectstore import ObjectStore

_MEMSTORE_BYTES = "memstore_device_bytes"
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


def open_store(config: Config, folder: Path, notify: Notify, *, make: bool = False) -> Store:
    """The store of a folder, unmounted. `make`: it is to be made.

    NotFound if the folder is not there, InvalidArgument for a kind that is not known or not that
    of the folder.
    """
    kind = config.get_str("osd_objectstore")
    if not folder.is_dir():
        raise NotFound(f"OSD data directory {folder} does not exist: have you run '--mkfs'?")
    known = folder / "type"
    if known.exists():
        made = known.read_text().strip()
        if made != kind:
            raise InvalidArgument(f"{folder} holds a {made}, and osd_objectstore says {kind}")
    if kind != "memstore":
        raise InvalidArgument(f"osd_objectstore {kind!r} is none of: memstore")
    if make:
        known.write_text(kind + "\n")
    return MemoryStore(folder, notify, config.get_int(_MEMSTORE_BYTES))
