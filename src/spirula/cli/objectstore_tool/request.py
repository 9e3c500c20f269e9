"""The arguments of `spirula objectstore-tool`, and the objects that they name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from spirula.cli.store.opened import Opened, pg_of, reading
from spirula.conf.formatter import render
from spirula.errors import CephError, NotFound, SpirulaError
from spirula.store.objectstore import list_all
from spirula.types.hobject import NO_GEN, NO_SHARD, GHObject, HObject
from spirula.types.pg import Coll, SPGId

POSITIONALS = """
Positional syntax:

spirula objectstore-tool ... <object> (get|set)-bytes [file]
spirula objectstore-tool ... <object> set-(attr|omap) <key> [file]
spirula objectstore-tool ... <object> (get|rm)-(attr|omap) <key>
spirula objectstore-tool ... <object> get-omaphdr
spirula objectstore-tool ... <object> set-omaphdr [file]
spirula objectstore-tool ... <object> list-attrs
spirula objectstore-tool ... <object> list-omap
spirula objectstore-tool ... <object> remove|removeall
spirula objectstore-tool ... <object> dump
spirula objectstore-tool ... <object> set-size
spirula objectstore-tool ... <object> clear-data-digest
spirula objectstore-tool ... <object> remove-clone-metadata <cloneid>

<object> can be a JSON object description as displayed by --op list, an object's name, which is
looked up in all PGs of the OSD, or the empty string (''), which with --pgid is the object in which
a PG keeps its info and log.

The optional [file] is read from standard input, or written to standard output, if it is not there
or -.
"""
_OPTIONS = (
    ("--type", "kind of store; it is known from the store"),
    ("--data-path", "path to object store, mandatory"),
    ("--pgid", "PG id, mandatory for ops on one PG"),
    ("--op", "what to do: see below for objects"),
    ("--file", "path of file to export, import, get or set"),
    ("--fsid", "fsid for new store created by mkfs"),
    ("--target-data-path", "path of target object store (for --op dup)"),
    ("--namespace", "specify namespace when searching for objects"),
    ("--rmtype", "remove only 'snapmap' or 'nosnapmap' of an object: for tests"),
)
_FLAGS = (
    ("--help", "produce help message"),
    ("--debug", "enable diagnostic output to stderr"),
    ("--no-mon-config", "monitors are not asked in any case"),
    ("--no-superblock", "do not read superblock"),
    ("--force", "ignore some types of errors: USE WITH CAUTION"),
    ("--skip-journal-replay", "there is no journal of that kind"),
    ("--skip-mount-omap", "omap entries are there in any case"),
    ("--head", "find head when searching for objects by name"),
    ("--dry-run", "don't modify the objectstore"),
    ("--tty", "treat stdout as a tty (no binary data)"),
)


class Refused(SpirulaError):
    """It cannot be done; the text is for the user, as it is. `shows_usage`: with all arguments."""

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.shows_usage = usage


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(prog="spirula objectstore-tool", add_help=False)
    for name, text in _OPTIONS:
        made.add_argument(name, help=text)
    for name, text in _FLAGS:
        made.add_argument(name, help=text, action="store_true")
    made.add_argument("--epoch", type=int, default=0, help="epoch of a map, the newest otherwise")
    made.add_argument("--slow-omap-threshold", type=int, default=16, help="seconds")
    made.add_argument("--format", default="json-pretty", help="json, json-pretty, xml, xml-pretty")
    for name in ("object", "objcmd", "arg1", "arg2"):
        made.add_argument(name, nargs="?", help=argparse.SUPPRESS)
    return made


@dataclass(slots=True)
class Job:
    """One run: the arguments, and the store."""

    words: argparse.Namespace
    here: Opened

    @property
    def pgid(self) -> SPGId:
        """The PG that is named."""
        return pg_of(self.words.pgid)

    def show(self, document: object, name: str = "") -> int:
        """Prints a document in the format that is asked for."""
        text = render(document, self.words.format, name)
        print(text, end="" if text.endswith("\n") else "\n")
        return 0

    def out(self, data: bytes) -> int:
        """Writes a value to standard output: on a terminal so that it does no harm."""
        if sys.stdout.isatty() or self.words.tty:
            print(data.decode("utf-8", "backslashreplace"))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        return 0


def input_of(path: str | None) -> bytes:
    """All of a file, or of standard input."""
    if path in (None, "-") and sys.stdin.isatty():
        raise Refused("stdin is a tty and no file specified")
    stream: IO[bytes]
    with reading(path or "-") as stream:
        return stream.read()


def objects_in(job: Job, cid: Coll) -> Iterator[GHObject]:
    """The objects of a collection but the PG's own."""
    pgmeta = None if cid.is_meta else cid.pgid.pgmeta()
    return (oid for oid in list_all(job.here.store, cid, 256) if oid != pgmeta)


def pg_collections(job: Job) -> list[Coll]:
    """Those of the PG that is named, or of all."""
    if job.words.pgid:
        cid = Coll() if job.words.pgid == "meta" else Coll.of(job.pgid)
        if not job.here.store.collection_exists(cid):
            raise NotFound(f"there is no {cid}")
        return [cid]
    return [cid for cid in job.here.store.list_collections() if not cid.is_meta]


def matches(job: Job, oid: GHObject, *, head: bool) -> bool:
    """Whether an object is one that is looked for by name."""
    words, hobj = job.words, oid.hobj
    if head and not hobj.is_head:
        return False
    if words.object and hobj.oid != words.object:
        return False
    return words.namespace is None or hobj.nspace == words.namespace


def find_object(job: Job) -> tuple[Coll, GHObject]:
    """The one object that is meant, and where it is; Refused if there is none, or several."""
    words = job.words
    text: str = words.object
    if not text:
        if not words.pgid:
            raise Refused("Must provide pgid", usage=True)
        return Coll.of(job.pgid), job.pgid.pgmeta()
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, list | dict):
        return _from_json(job, text, value)
    head = words.head or words.objcmd == "remove-clone-metadata"
    found = [
        (cid, oid)
        for cid in pg_collections(job)
        for oid in objects_in(job, cid)
        if matches(job, oid, head=head)
    ]
    if not found:
        raise Refused(f"No object id '{text}' found or invalid JSON specified")
    if len(found) > 1:
        raise Refused(
            f"Found {len(found)} objects with id '{text}', "
            "please use a JSON spec from --op list instead"
        )
    return found[0]


def _from_json(job: Job, text: str, value: Any) -> tuple[Coll, GHObject]:
    words = job.words
    where = words.pgid
    if not where and not isinstance(value, list):
        raise Refused(f"Without --pgid the object '{text}' must be a JSON array")
    if isinstance(value, list):
        if len(value) != 2:
            raise Refused(f"Object '{text}' must be a JSON array with 2 elements")
        named, value = value
        if not isinstance(named, str):
            raise Refused(f"Object '{text}' must be a JSON array with the first element a string")
        if where and where != named:
            raise Refused(f"object '{text}' has a pgid different from the --pgid={where} option")
        where = named
    try:
        oid = _object(value)
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"Decode object JSON error: {error}") from None
    if where == "meta":
        return Coll(), oid
    try:
        pgid = pg_of(where)
    except CephError:
        raise Refused(f"Invalid pgid '{where}' specified") from None
    cid, store = Coll.of(pgid), job.here.store
    if pgid.pgid.pool != oid.hobj.pool:
        raise Refused("Object pool and pgid pool don't match")
    if not store.collection_exists(cid):
        raise Refused(f"PG '{pgid}' not found")
    if not oid.hobj.matches(store.collection_bits(cid), pgid.pgid.seed):
        raise Refused(f"object {oid} not contained by pg {pgid}")
    return cid, oid


def _object(value: dict[str, Any]) -> GHObject:
    hobj = HObject.of(
        value["pool"],
        value["oid"],
        value["hash"],
        snap=value["snapid"] % (1 << 64),
        nspace=value.get("namespace", ""),
        key=value.get("key", ""),
    )
    return GHObject(hobj, value.get("generation", NO_GEN), value.get("shard_id", NO_SHARD))
