"""Ceph's encoding: declare a type once, get compiled encode and decode functions.

Annotations name wire formats and are ordinary types to a type checker: `u32` is an int, `string` a
str (UTF-8, other bytes survive as surrogates), `blob` bytes, `Vec[T]` a list, `Map[K, V]` a dict
(encoded in key order; `HashMap` keeps insertion order), `Set[T]` a set, `Pair[A, B]` a tuple,
`Opt[T]` a value or None behind a flag byte, `Nested[T]` a value inside a blob. Further ones are
written `Annotated[bytes, Raw(16)]`, `Annotated[list[int], ArrayOf(u32, 9)]`, `Annotated[list[int],
Sequence(u8, count="H")]`. See `declare` for the decorator and `docs/ARCHITECTURE.md` for how it is
compiled.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from spirula.denc.codecs import (
    ArrayOf,
    Blob,
    Boolean,
    Codec,
    Either,
    HashMapOf,
    MapOf,
    NestedIn,
    Number,
    OptionalOf,
    Raw,
    Sequence,
    SetOf,
    String,
    TupleOf,
    Via,
)
from spirula.denc.declare import (
    REGISTRY,
    Struct,
    default,
    irregular,
    removed,
    since,
    struct,
    tail,
    until,
    when,
)

_A = TypeVar("_A")
_B = TypeVar("_B")

u8 = Annotated[int, Number("B")]
u16 = Annotated[int, Number("H")]
u32 = Annotated[int, Number("I")]
u64 = Annotated[int, Number("Q")]
s8 = Annotated[int, Number("b")]
s16 = Annotated[int, Number("h")]
s32 = Annotated[int, Number("i")]
s64 = Annotated[int, Number("q")]
f32 = Annotated[float, Number("f", zero=0.0)]
f64 = Annotated[float, Number("d", zero=0.0)]
boolean = Annotated[bool, Boolean()]
string = Annotated[str, String()]
blob = Annotated[bytes, Blob()]
uuid_d = Annotated[bytes, Raw(16)]

Vec = Annotated[list[_A], Sequence]
Set = Annotated[set[_A], SetOf]
Map = Annotated[dict[_A, _B], MapOf]
HashMap = Annotated[dict[_A, _B], HashMapOf]
Pair = Annotated[tuple[_A, _B], TupleOf]
Opt = Annotated[_A | None, OptionalOf]
Nested = Annotated[_A, NestedIn]

__all__ = [
    "REGISTRY",
    "ArrayOf",
    "Blob",
    "Codec",
    "Either",
    "HashMap",
    "HashMapOf",
    "Map",
    "MapOf",
    "Nested",
    "NestedIn",
    "Number",
    "Opt",
    "OptionalOf",
    "Pair",
    "Raw",
    "Sequence",
    "Set",
    "SetOf",
    "String",
    "Struct",
    "TupleOf",
    "Vec",
    "Via",
    "blob",
    "boolean",
    "default",
    "f32",
    "f64",
    "irregular",
    "removed",
    "s8",
    "s16",
    "s32",
    "s64",
    "since",
    "string",
    "struct",
    "tail",
    "u8",
    "u16",
    "u32",
    "u64",
    "until",
    "uuid_d",
    "when",
]
