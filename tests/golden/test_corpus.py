"""Every declared type against objects that real Ceph encoded, release by release.

The archive is the object corpus that upstream publishes, laid out RELEASE/TYPE/HASH. It is looked
for at `SPIRULA_CORPUS` and then beside the checkout; where it is in neither place, these tests are
skipped.
"""

from __future__ import annotations

import functools
import os
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

import spirula.crush.wire
import spirula.maps.osdmap
from spirula.denc import REGISTRY
from spirula.denc.features import PACIFIC
from spirula.types import load_all

load_all()
_ = (spirula.crush.wire, spirula.maps.osdmap)

BESIDE = Path(__file__).parents[3] / "shared" / "corpus" / "ceph-objects.tar.xz"
ARCHIVE = Path(os.environ.get("SPIRULA_CORPUS", BESIDE))
BASELINE = "16.2"
AT_LEAST = 250

DIFFERENT_ON_PURPOSE: dict[str, str] = {
    "OSDSuperblock": "the archive has version 9; later point releases of 16.2 write version 10",
}
"""Types of the baseline whose objects do not come out byte for byte, with the reason."""

LONGER_THAN_THEIR_VALUE = {
    # 13 bytes stand behind the end of the envelope: left over from the program that wrote the file.
    "MgrMap::ModuleOption/f97d85482139c3de61f9ec00522b6bd6",
}
"""Objects of the archive with bytes behind the value, which are not compared."""

ENCODED_FOR_NO_FEATURES = {
    "file_layout_t/4fcc2ecdac88971e097c7403ca035074",
    "pg_missing_item/e665e73b8575b4ec96651f94bf5299ce",
}
"""Objects of the archive that were encoded for a peer that announces no features at all."""

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"no object corpus at {ARCHIVE.name}"),
]


@functools.cache
def corpus() -> dict[tuple[str, str], dict[str, bytes]]:
    """The objects by (release, type), then by hash."""
    objects: dict[tuple[str, str], dict[str, bytes]] = defaultdict(dict)
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if member.isfile():
                *_, release, kind, name = member.name.split("/")
                content = archive.extractfile(member)
                assert content is not None
                objects[release, kind][name] = content.read()
    return objects


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_objects_of_all_releases_decode_and_those_of_the_baseline_come_out_again(name: str) -> None:
    kind = REGISTRY[name]
    for (release, of), objects in sorted(corpus().items()):
        if of != name:
            continue
        for digest, data in objects.items():
            longer = f"{name}/{digest}" in LONGER_THAN_THEIR_VALUE
            value, used = kind.decode_from(data)
            assert (used < len(data)) == longer, f"{release}/{name}/{digest}"
            if release == BASELINE and name not in DIFFERENT_ON_PURPOSE:
                features = 0 if f"{name}/{digest}" in ENCODED_FOR_NO_FEATURES else PACIFIC
                encoded = value.encode(features)
                assert encoded.hex() == data[:used].hex(), f"{release}/{name}/{digest}"


def test_enough_types_of_the_baseline_are_declared() -> None:
    there = {kind for release, kind in corpus() if release == BASELINE}
    assert len(there & set(REGISTRY)) >= AT_LEAST


@pytest.mark.parametrize("name", sorted(DIFFERENT_ON_PURPOSE))
def test_types_said_to_differ_do_differ(name: str) -> None:
    objects = corpus()[BASELINE, name].values()
    assert any(REGISTRY[name].decode(data).encode() != data for data in objects)
