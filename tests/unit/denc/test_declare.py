"""What a declaration means: layouts byte by byte, versions, features, limits, errors that name the
place.
"""

from __future__ import annotations

import json
import struct as pystruct
from typing import Annotated

import pytest

from spirula.denc import (
    REGISTRY,
    ArrayOf,
    HashMap,
    Map,
    Nested,
    Opt,
    Pair,
    Raw,
    Sequence,
    Set,
    Struct,
    Vec,
    Via,
    blob,
    boolean,
    default,
    removed,
    s32,
    s64,
    since,
    string,
    struct,
    tail,
    u8,
    u16,
    u32,
    u64,
    until,
    when,
)
from spirula.denc.features import PACIFIC, SERVER_MIMIC, SERVER_OCTOPUS
from spirula.errors import IncompatibleVersion, LimitExceeded, Truncated, WireError


@struct(frozen=True)
class Version(Struct):
    version: u64
    epoch: u32


@struct(version=6, compat=3)
class Locator(Struct):
    pool: s64
    preferred: s32 = removed(-1)
    key: string
    nspace: string = since(5)
    hash: s64 = since(6, -1)


@struct(version=2, compat=1)
class Everything(Struct):
    numbers: Vec[u32]
    by_number: Map[u32, string]
    versions: Vec[Version]
    names: Set[string]
    locator: Opt[Locator]
    pair: Pair[u8, Version]
    inside: Nested[Locator]
    by_version: Map[Version, u64]
    flag: boolean
    list_inside: Nested[Vec[u32]]
    extra: u32 = when("flag and numbers")
    blob: blob
    fixed: Annotated[bytes, Raw(3)]
    array: Annotated[list[int], ArrayOf(u16, 2)]
    short: Annotated[list[str], Sequence(string, count="H")]
    order: HashMap[u8, Vec[string]]
    later: Version = since(2)


@struct
class Nothing(Struct):
    pass


@struct
class Many(Struct):
    items: Vec[Nothing]


def everything() -> Everything:
    return Everything(
        numbers=[1, 2],
        by_number={3: "x", 1: "y\udcff"},
        versions=[Version(1, 2), Version(3, 4)],
        names={"b", "a"},
        locator=Locator(pool=3, key="k"),
        pair=(1, Version(3, 4)),
        inside=Locator(nspace="n"),
        by_version={Version(1, 2): 3},
        flag=True,
        list_inside=[5],
        extra=9,
        blob=b"\0\xff",
        fixed=b"abc",
        array=[7, 8],
        short=["a", ""],
        order={2: ["z"], 1: []},
        later=Version(7, 7),
    )


def test_envelope_and_fields_are_laid_out_as_upstream_does() -> None:
    body = pystruct.pack("<qi", 3, -1) + b"\x01\0\0\0k" + b"\x02\0\0\0ns" + pystruct.pack("<q", -1)
    assert (
        Locator(pool=3, key="k", nspace="ns").encode()
        == b"\x06\x03" + pystruct.pack("<I", len(body)) + body
    )


def test_every_kind_of_field_comes_back() -> None:
    value = everything()
    assert Everything.decode(value.encode(), exact=True) == value


def test_maps_and_sets_go_out_in_key_order() -> None:
    again = everything()
    again.by_number = {1: "y\udcff", 3: "x"}
    again.names = {"a", "b"}
    assert again.encode() == everything().encode()


def test_hash_maps_keep_the_order_of_insertion() -> None:
    assert list(Everything.decode(everything().encode()).order) == [2, 1]


@pytest.mark.parametrize("size", range(len(everything().encode())))
def test_truncated_anywhere_is_an_error_that_names_the_type(size: int) -> None:
    with pytest.raises(WireError, match="Everything"):
        Everything.decode(everything().encode()[:size])


def test_an_error_names_the_field_and_the_offset() -> None:
    data = bytearray(Locator(key="key").encode())
    data[18] = 200
    with pytest.raises(
        Truncated, match=r"Locator\.key: length runs past the end at byte 22"
    ) as caught:
        Locator.decode(data)
    assert (caught.value.offset, caught.value.limit) == (22, len(data))


def test_an_error_in_an_inner_type_names_the_way_there() -> None:
    data = Everything(locator=Locator(key="key")).encode()
    at = data.index(b"\x03\0\0\0key")
    with pytest.raises(WireError, match=r"Everything\.locator > Locator\.key"):
        Everything.decode(data[:at] + b"\xff\xff\0\0" + data[at + 4 :])


def test_older_versions_give_defaults() -> None:
    body = pystruct.pack("<qi", 3, -1) + b"\x01\0\0\0k"
    data = b"\x04\x03" + pystruct.pack("<I", len(body)) + body
    assert Locator.decode(data) == Locator(pool=3, key="k", nspace="", hash=-1)


def test_newer_tails_are_skipped_and_the_next_value_is_found() -> None:
    data = bytearray(Locator(key="k").encode())
    data[0] = 9
    data[2:6] = pystruct.pack("<I", len(data) - 6 + 5)
    value, after = Locator.decode_from(bytes(data) + b"later" + b"next", 0)
    assert value == Locator(key="k")
    assert after == len(data) + 5


def test_a_newer_compat_is_refused() -> None:
    data = b"\x08\x07" + Locator().encode()[2:]
    with pytest.raises(IncompatibleVersion, match="needs a reader of 7, this one knows 6"):
        Locator.decode(data)


@pytest.mark.parametrize("count", [2, 1000, 0xFFFFFFFF])
def test_a_count_is_checked_before_memory_is_taken(count: int) -> None:
    data = bytearray(Everything().encode())
    pystruct.pack_into("<I", data, 6, min(count + len(data), 0xFFFFFFFF))
    with pytest.raises(LimitExceeded, match=r"Everything\.numbers"):
        Everything.decode(data)


def test_items_without_bytes_have_a_bound_of_their_own() -> None:
    assert len(Many.decode(pystruct.pack("<I", 65536)).items) == 65536
    with pytest.raises(LimitExceeded):
        Many.decode(pystruct.pack("<I", 65537))


def test_stray_bytes_are_an_error_only_where_asked() -> None:
    data = Version(1, 2).encode() + b"!"
    assert Version.decode(data) == Version(1, 2)
    with pytest.raises(WireError, match="1 stray bytes"):
        Version.decode(data, exact=True)


def test_features_choose_the_version_and_its_fields() -> None:
    @struct(version=1, compat=1, by_feature=((SERVER_OCTOPUS, 3, 2), (SERVER_MIMIC, 2, 1)))
    class Grown(Struct):
        a: u8
        b: u8 = since(2)
        c: u8 = since(3)

    value = Grown(a=1, b=2, c=3)
    assert value.encode(PACIFIC) == b"\x03\x02\x03\0\0\0\x01\x02\x03"
    assert value.encode(SERVER_MIMIC) == b"\x02\x01\x02\0\0\0\x01\x02"
    assert value.encode(0) == b"\x01\x01\x01\0\0\0\x01"
    assert Grown.decode(value.encode(0)) == Grown(a=1)


def test_a_value_can_raise_its_version() -> None:
    @struct(version=1, compat=1, raised=("extra", 2, 2))
    class Raised(Struct):
        a: u8
        extra: u8 = since(2)

    assert Raised(a=1).encode() == b"\x01\x01\x01\0\0\0\x01"
    assert Raised(a=1, extra=5).encode() == b"\x02\x02\x02\0\0\0\x01\x05"
    assert Raised.decode(Raised(a=1, extra=5).encode()) == Raised(a=1, extra=5)


def test_fields_that_went_away_are_read_from_old_encodings_only() -> None:
    @struct(version=3, compat=1)
    class Shrunk(Struct):
        a: u8
        gone: u8 = until(3)
        b: u8

    assert Shrunk.decode(b"\x02\x01\x03\0\0\0\x01\x02\x03") == Shrunk(a=1, gone=2, b=3)
    assert Shrunk(a=1, gone=2, b=3).encode() == b"\x03\x01\x02\0\0\0\x01\x03"


def test_legacy_envelopes_grow_compat_and_length_later() -> None:
    @struct(version=4, compat=3, legacy=(2, 3))
    class Old(Struct):
        a: u8
        b: u8 = since(2, 7)

    assert Old.decode_from(b"\x01\x05rest", 0) == (Old(a=5, b=7), 2)
    assert Old.decode_from(b"\x02\x02\x05\x06rest", 0) == (Old(a=5, b=6), 4)
    assert Old.decode_from(b"\x03\x02\x03\0\0\0\x05\x06\x09rest", 0) == (Old(a=5, b=6), 9)
    assert Old(a=5, b=6).encode() == b"\x04\x03\x02\0\0\0\x05\x06"


def test_a_bare_version_stands_alone() -> None:
    @struct(version=2, bare_version="H")
    class Bare(Struct):
        a: u8
        b: u8 = since(2, 7)

    assert Bare(a=1, b=2).encode() == b"\x02\0\x01\x02"
    assert Bare.decode(b"\x01\0\x01") == Bare(a=1, b=7)


def test_a_tail_field_is_read_where_bytes_are_left() -> None:
    @struct(version=1, compat=1)
    class Tailed(Struct):
        a: u8
        b: u8 = tail(9)

    assert Tailed.decode(b"\x01\x01\x01\0\0\0\x05") == Tailed(a=5, b=9)
    assert Tailed.decode(b"\x01\x01\x02\0\0\0\x05\x06") == Tailed(a=5, b=6)


def test_values_convert_through_via() -> None:
    @struct
    class Halves(Struct):
        value: Annotated[float, Via(u32, lambda n: n / 2, lambda x: int(x * 2), 0.0)]

    assert Halves(value=1.5).encode() == b"\x03\0\0\0"
    assert Halves.decode(b"\x03\0\0\0").value == 1.5


def test_encoding_what_the_format_cannot_hold_names_the_type() -> None:
    with pytest.raises(WireError, match=r"Version.*cannot encode"):
        Version(version=-1).encode()
    with pytest.raises(WireError, match="cannot encode: 1 items where the format has 2"):
        Everything(array=[1]).encode()


def test_defaults_are_not_shared() -> None:
    @struct
    class Holder(Struct):
        items: Vec[u32] = default([1])
        version: Version = default(Version(1, 1))

    one, two = Holder(), Holder()
    one.items.append(2)
    assert two.items == [1]
    assert two.version == Version(1, 1)


def test_keys_are_hashable_and_ordered_by_their_fields() -> None:
    assert sorted([Version(5, 2), Version(1, 9), Version(1, 3)]) == [
        Version(1, 3),
        Version(1, 9),
        Version(5, 2),
    ]
    assert {Version(1, 2): "x"}[Version(1, 2)] == "x"


def test_a_name_is_given_once() -> None:
    @struct(name="test_a_name_is_given_once")
    class First(Struct):
        a: u8

    with pytest.raises(TypeError, match="declared twice"):

        @struct(name="test_a_name_is_given_once")
        class Second(Struct):
            a: u8

    del REGISTRY["test_a_name_is_given_once"]


def test_plain_is_what_json_can_hold() -> None:
    shown = json.loads(json.dumps(everything().plain()))
    assert shown["locator"]["pool"] == 3
    assert shown["blob"] == "00ff"
    assert shown["numbers"] == [1, 2]
