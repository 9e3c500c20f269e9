"""`spirula objectstore-tool --op dump-export`: what a file of an exported PG holds, as a document.

No store is needed for it. Where upstream repeats a member for each piece of data or omap, there is
one for all of them: parsers of JSON would see the last one only.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from spirula.cli.objectstore_tool.request import Refused
from spirula.cli.store.opened import reading
from spirula.conf.formatter import render
from spirula.errors import WireError
from spirula.maps.dump.document import osdmap_document
from spirula.printing import Items
from spirula.store.osd_meta import features_text
from spirula.store.tools.dump_format import (
    AttrSection,
    DataSection,
    DumpReader,
    Metadata,
    ObjectBegin,
    OmapHeaderSection,
    OmapSection,
    PGBegin,
    SectionType,
)
from spirula.store.tools.show_object import object_info_document, snapset_document
from spirula.store.tools.show_pg import info_document, log_document, missing_document
from spirula.types.hobject import NO_GEN
from spirula.types.snap import SnapSet


def run(words: argparse.Namespace) -> int:
    """Prints the document."""
    with reading(words.file or "-") as stream:
        reader = DumpReader(stream)
        try:
            reader.start()
            document = _document(reader)
        except WireError as error:
            print(error, file=sys.stderr)
            raise Refused("dump-export: (14) Bad address") from None
    text = render(document, words.format, "Export")
    print(text, end="" if text.endswith("\n") else "\n")
    return 0


def _document(reader: DumpReader) -> dict[str, Any]:
    kind, body = reader.section()
    if kind != SectionType.PG_BEGIN:
        raise Refused(f"Invalid first section type {kind}")
    begin = PGBegin.decode(body)
    shown: dict[str, Any] = {
        "pgid": str(begin.spgid),
        "cluster_fsid": str(UUID(bytes=begin.superblock.cluster_fsid)),
        "features": features_text(begin.superblock.compat_features),
    }
    objects: list[dict[str, Any]] = []
    for kind, body in reader.sections(SectionType.PG_END):
        if kind == SectionType.OBJECT_BEGIN:
            objects.append(_object(body, reader.sections(SectionType.OBJECT_END)))
        elif kind == SectionType.PG_METADATA:
            shown["metadata_section"] = _metadata(body)
        else:
            print("Skipping unknown section type", file=sys.stderr)
    if "metadata_section" not in shown:
        raise Refused("Missing metadata section\ndump-export: (14) Bad address")
    if objects:
        shown["objects"] = Items("object", objects)
    return shown


def _metadata(body: bytes) -> dict[str, Any]:
    found, osdmap = Metadata.decode(body)
    log = log_document(found.log, found.missing)["pg_log_t"]
    return {
        "pg_disk_version": found.struct_v,
        "map_epoch": found.epoch,
        "OSDMap": osdmap_document(osdmap),
        "info": info_document(found.info),
        "log": log,
        "pg_missing_t": missing_document(found.missing),
    }


def _object(body: bytes, sections: Iterable[tuple[int, bytes]]) -> dict[str, Any]:
    begin = ObjectBegin.decode(body)
    oid = begin.oid
    shown: dict[str, Any] = {"oid": oid.plain(), "object_info": object_info_document(begin.info)}
    for kind, part in sections:
        if kind == SectionType.DATA:
            data = DataSection.decode(part)
            block = shown.setdefault("data_block", {"offset": data.offset, "len": 0})
            block["len"] = data.offset + data.length - block["offset"]
        elif kind == SectionType.ATTRS:
            attrs = AttrSection.decode(part).attrs
            if oid.generation == NO_GEN and oid.hobj.is_head:
                shown["snapset"] = _snapset(attrs)
            shown["attrs"] = _attrs(attrs)
        elif kind == SectionType.OMAP_HDR:
            header = OmapHeaderSection.decode(part).header
            shown["omap_header"] = {"value": bytes(header).decode("utf-8", "replace")}
        elif kind == SectionType.OMAP:
            entries = OmapSection.decode(part).entries
            omaps = shown.setdefault("omaps", {"count": 0, "data": Items("omap")})
            omaps["data"] += [{"name": name, **_value(value)} for name, value in entries.items()]
            omaps["count"] = len(omaps["data"])
    return shown


def _snapset(attrs: dict[str, bytes]) -> dict[str, Any]:
    raw = attrs.get("snapset")
    return {"error": "missing SS_ATTR"} if raw is None else snapset_document(SnapSet.decode(raw))


def _attrs(attrs: dict[str, bytes]) -> dict[str, Any]:
    users = {name[1:]: value for name, value in attrs.items() if name[0] == "_" and len(name) > 1}
    others = [name for name in attrs if name[0] != "_" or len(name) == 1]
    return {
        "user": [{"name": name, **_value(value)} for name, value in sorted(users.items())],
        "system": [{"name": name} for name in sorted(others)],
    }


def _value(raw: bytes) -> dict[str, Any]:
    """As text, or in base64 where there is a control character in it."""
    data = bytes(raw)
    if any(byte < 32 or byte == 127 for byte in data):
        return {"value": base64.b64encode(data).decode(), "Base64": True}
    return {"value": data.decode("utf-8", "replace"), "Base64": False}
