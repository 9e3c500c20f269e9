"""What the verbs of `spirula store` share: a verb, an opened store, names, files.

For the modules of this package.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from spirula.errors import InvalidArgument, InvariantBroken, NotFound
from spirula.maps.strhash import StringHash, str_hash
from spirula.store.disk.medium import FolderMedium, Medium
from spirula.store.disk.read_only import ReadOnlyMedium
from spirula.store.disk.store import DiskObjectStore
from spirula.store.objectstore import ObjectStore, list_all
from spirula.store.osd_meta import meta_object
from spirula.store.tools.queueing import Changes, Pump
from spirula.types.hobject import NO_GEN, NO_SHARD, GHObject, HObject
from spirula.types.pg import Coll, SPGId
from spirula.types.transaction import Transaction

READ_ONLY_HELP = "change no file, and look into a store that is too damaged to be mounted, too"
PIECE = 1 << 20
"""Bytes that are read and written at a time."""

Argument = tuple[str, dict[str, Any]]


@dataclass(slots=True, frozen=True)
class Verb:
    """A verb: its arguments behind DIR, and what carries it out. `reads`: it changes nothing."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: tuple[Argument, ...] = ()
    reads: bool = False
    more: str | None = field(default=None)


COLL: Argument = ("coll", {"metavar": "COLL", "help": "meta, a PG, or a collection"})
OBJECT: Argument = ("object", {"metavar": "OBJECT", "help": "the object's name"})
KEY: Argument = ("key", {"metavar": "KEY"})


def out_file(default: str | None = "-") -> Argument:
    """A file that is written; standard output unless told."""
    return _file("write to", default)


def in_file(default: str | None = "-") -> Argument:
    """A file that is read; standard input unless told."""
    return _file("read from", default)


def _file(what: str, default: str | None) -> Argument:
    options: dict[str, Any] = {"metavar": "FILE", "help": f"{what} this file (- is the default)"}
    if default is None:
        return "file", {"metavar": "FILE", "help": f"{what} this file, or -"}
    return "file", options | {"nargs": "?", "default": default}


@dataclass(slots=True)
class Opened:
    """A mounted store, and what carries out its calls."""

    store: DiskObjectStore
    pump: Pump

    def change(self, cid: Coll, txn: Transaction, size: int = 0) -> None:
        """Carry out a transaction; durable on return."""
        changes = Changes(self.store, self.pump, cid)
        changes.queue(txn, size)
        changes.finish()


@contextmanager
def opened(request: argparse.Namespace) -> Iterator[Opened]:
    """The store in DIR, mounted, and let go of at the end."""
    path = Path(request.dir)
    if not path.is_dir():
        raise NotFound(f"there is no folder {path}: `spirula store mkfs` makes a store")
    reads_only = getattr(request, "read_only", False)
    medium: Medium = ReadOnlyMedium(path) if reads_only else FolderMedium(path)
    pump = Pump()
    store = DiskObjectStore(medium, pump.defer)
    store.mount()
    try:
        yield Opened(store, pump)
    except InvariantBroken as error:
        # What a user can ask wrongly is only a bug when an OSD asks it.
        raise InvalidArgument(str(error)) from error
    finally:
        store.umount()


# --- names ---


def pg_of(text: str) -> SPGId:
    """A PG from its id, or from its collection. InvalidArgument otherwise."""
    try:
        return SPGId.parse(text.removesuffix("_head"))
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def collection_of(store: ObjectStore, text: str) -> Coll:
    """A collection that is there. NotFound if it is not, InvalidArgument for what names none."""
    cid = Coll() if text == "meta" else Coll.of(pg_of(text))
    if not store.collection_exists(cid):
        raise NotFound(f"there is no collection {cid} in this store: `spirula store ls` lists them")
    return cid


def object_of(store: ObjectStore, cid: Coll, text: str, *, make: bool = False) -> GHObject:
    """An object by any of its names; with `make` also one that is not there.

    NotFound if there is none of a plain name, InvalidArgument if there are several.
    """
    if not text:
        if cid.is_meta:
            raise InvalidArgument("'' is the object of a PG; the meta collection has none")
        return cid.pgid.pgmeta()
    if text[0] in "[{":
        return _from_json(text)
    if "#" in text:
        try:
            return GHObject.parse(text)
        except ValueError:
            pass  # a plain name may have a # in it
    found = [oid for oid in list_all(store, cid) if oid.hobj.oid == text]
    if make:
        heads = [oid for oid in found if oid.hobj.is_head or cid.is_meta]
        found = heads or [_new_object(store, cid, text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"no object in {cid} has the name {text!r}")
    names = ", ".join(map(str, found[:5])) + (" ..." if len(found) > 5 else "")
    raise InvalidArgument(f"{len(found)} objects have the name {text!r}; name one: {names}")


def _new_object(store: ObjectStore, cid: Coll, name: str) -> GHObject:
    if cid.is_meta:
        return meta_object(name)
    hashed = str_hash(StringHash.RJENKINS, name.encode("utf-8", "surrogateescape"))
    hobj = HObject.of(cid.pgid.pool, name, hashed)
    bits = store.collection_bits(cid)
    if not hobj.matches(bits, cid.pgid.seed):
        seed = hashed & ((1 << bits) - 1)
        raise InvalidArgument(
            f"an object {name!r} would be of another PG than {cid.pgid}: its hash "
            f"{hashed:#010x} ends in {seed:#x}"
        )
    return GHObject(hobj, NO_GEN, cid.pgid.shard)


def _from_json(text: str) -> GHObject:
    """What `ls --json` and upstream's tool print: an object, or a collection and an object."""
    try:
        value = json.loads(text)
        if isinstance(value, list):
            _, value = value
        hobj = HObject.of(
            value["pool"],
            value["oid"],
            value["hash"],
            snap=value["snapid"] % (1 << 64),
            nspace=value.get("namespace", ""),
            key=value.get("key", ""),
        )
        return GHObject(hobj, value.get("generation", NO_GEN), value.get("shard_id", NO_SHARD))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            f"{text} is not an object as `ls --json` prints it ({error!r})"
        ) from None


# --- files and output ---


@contextmanager
def reading(path: str) -> Iterator[IO[bytes]]:
    """A file to read from, - for standard input. Raises OSError."""
    if path == "-":
        yield sys.stdin.buffer
        return
    with Path(path).open("rb") as stream:
        yield stream


@contextmanager
def writing(path: str) -> Iterator[IO[bytes]]:
    """A file to write to, - for standard output; it is there only if all went well.

    Raises OSError.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:  # a pipe or a device
            yield stream
        return
    partial = target.with_name(f"{target.name}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def tell(text: str) -> None:
    """A line for people; standard output may be a file's."""
    print(text, file=sys.stderr)


def print_json(document: object) -> None:
    """One line of JSON."""
    print(json.dumps(document))


def text_of(data: bytes) -> str:
    """Bytes in print: as text if they are, in hexadecimal with 0x otherwise."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    return text if text.isprintable() else f"0x{data.hex()}"
