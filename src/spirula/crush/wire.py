"""The CRUSH map in bytes: decode and encode, as upstream's CrushWrapper does.

Hand-written, since the layout has no envelope: what comes after the names is there only if bytes
are left. Format: upstream `src/crush/CrushWrapper.cc`, encode and decode.
"""

from __future__ import annotations

import dataclasses
import struct as _struct
from typing import Any, Self

from spirula.crush.features import has_nondefault_tunables_msr
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap, Rule, RuleOp, Step, Tunables
from spirula.denc import Struct, irregular
from spirula.denc.features import (
    CRUSH_CHOOSE_ARGS,
    CRUSH_MSR,
    CRUSH_TUNABLES5,
    SERVER_LUMINOUS,
    has,
)
from spirula.errors import LimitExceeded, Truncated, WireError
from spirula.records import dataclass

MAGIC = 0x00010000
_BUCKET = _struct.Struct("<iHBBII")
_STEP = _struct.Struct("<Iii")
_U32 = _struct.Struct("<I")
_MSR_OPS = (RuleOp.SET_MSR_DESCENTS, RuleOp.SET_MSR_COLLISION_TRIES, RuleOp.CHOOSE_MSR)


class _Reader:
    """A position in a buffer, with the few shapes that the map is made of."""

    def __init__(self, buf: bytes, pos: int, end: int) -> None:
        self.buf, self.pos, self.end = buf, pos, end

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return self.end - self.pos

    def take(self, layout: _struct.Struct) -> tuple[Any, ...]:
        """The next values of that layout."""
        if layout.size > self.left:
            raise Truncated("ends inside the map", offset=self.pos, path="CrushWrapper")
        values = layout.unpack_from(self.buf, self.pos)
        self.pos += layout.size
        return values

    def u32(self) -> int:
        """The next u32."""
        return int(self.take(_U32)[0])

    def count(self, item_size: int) -> int:
        """The next u32 as a count of items of at least that size, all of which must be there."""
        number = self.u32()
        if number * item_size > self.left:
            raise LimitExceeded(
                f"count {number} is larger than the bytes left allow",
                offset=self.pos,
                path="CrushWrapper",
                limit=self.left // item_size,
            )
        return number

    def numbers(self, code: str, count: int) -> list[int]:
        """`count` numbers of that struct code."""
        if count * 4 > self.left:
            raise Truncated(f"{count} numbers do not fit", offset=self.pos, path="CrushWrapper")
        return list(self.take(_struct.Struct(f"<{count}{code}")))

    def text(self, size: int) -> str:
        """`size` bytes of text."""
        if size > self.left:
            raise Truncated("ends inside a name", offset=self.pos, path="CrushWrapper")
        self.pos += size
        return str(self.buf[self.pos - size : self.pos], "utf-8", "surrogateescape")

    def names(self) -> dict[int, str]:
        """A map from s32 to text. Very old encoders wrote 64-bit keys: then the length reads 0."""
        named = {}
        for _ in range(self.count(8)):
            (key,) = self.take(_struct.Struct("<i"))
            size = self.u32() or self.u32()
            named[key] = self.text(size)
        return named

    def pairs(self) -> dict[int, int]:
        """A map from s32 to s32."""
        flat = self.numbers("i", 2 * self.count(8))
        return dict(zip(flat[::2], flat[1::2], strict=True))


@irregular("CrushWrapper")
@dataclass(slots=True)
class CrushWrapper(CrushMap, Struct):
    """A CRUSH map that can be sent and stored."""

    def _enc(self, out: bytearray, features: int) -> None:
        out += _struct.pack("<IiIi", MAGIC, len(self.buckets), len(self.rules), self.max_devices)
        compat_weights: dict[int, ChooseArg] = {}
        if self.choose_args and not has(features, CRUSH_CHOOSE_ARGS):
            # a peer that knows no choose_args gets the (only) weight set as the weights proper
            compat_weights = self.choose_args[min(self.choose_args)]
        for index, bucket in enumerate(self.buckets):
            _encode_bucket(bucket, out, compat_weights.get(index))
        for rule in self.rules:
            _encode_rule(rule, out)
        for names in (self.type_names, self.item_names, self.rule_names):
            _encode_names(names, out)
        t = self.tunables
        out += _struct.pack(
            "<IIIIBBI",
            t.choose_local_tries,
            t.choose_local_fallback_tries,
            t.choose_total_tries,
            t.chooseleaf_descend_once,
            t.chooseleaf_vary_r,
            t.straw_calc_version,
            t.allowed_bucket_algs,
        )
        if has(features, CRUSH_TUNABLES5):
            out.append(t.chooseleaf_stable)
        if has(features, SERVER_LUMINOUS):
            _encode_pairs(self.device_classes, out)
            _encode_names(self.class_names, out)
            out += _U32.pack(len(self.class_bucket))
            for bucket_id in sorted(self.class_bucket):
                out += _struct.pack("<i", bucket_id)
                _encode_pairs(self.class_bucket[bucket_id], out)
            _encode_choose_args(self.choose_args, out)
        if has(features, CRUSH_MSR) or has_nondefault_tunables_msr(self) or self._uses_msr():
            # Releases before 19.2 know nothing of these. Maps that need them stay whole in stores
            # and files; peers without the feature are not let in to them (`maps.features`).
            out += _struct.pack("<II", t.msr_descents, t.msr_collision_tries)

    def _uses_msr(self) -> bool:
        return any(step.op in _MSR_OPS for rule in self.rules if rule for step in rule.steps)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        r = _Reader(buf, pos, end)
        magic, max_buckets, max_rules, max_devices = r.take(_struct.Struct("<IiIi"))
        if magic != MAGIC:
            raise WireError(f"bad magic number {magic:#x}", offset=pos, path="CrushWrapper")
        if max_buckets < 0 or (max_buckets + max_rules) * 4 > r.left:
            raise LimitExceeded(
                f"{max_buckets} buckets and {max_rules} rules do not fit",
                offset=pos,
                path="CrushWrapper",
                limit=r.left // 4,
            )
        made = cls(max_devices=max_devices)
        made.buckets = [_decode_bucket(r) for _ in range(max_buckets)]
        made.rules = [_decode_rule(r) for _ in range(max_rules)]
        made.type_names, made.item_names, made.rule_names = r.names(), r.names(), r.names()
        made.tunables = _decode_tunables(r)
        if r.left:
            made.device_classes, made.class_names = r.pairs(), r.names()
            keys = range(r.count(8))
            made.class_bucket = {r.take(_struct.Struct("<i"))[0]: r.pairs() for _ in keys}
        if r.left:
            made.choose_args = _decode_choose_args(r)
        if r.left:
            made.tunables.msr_descents, made.tunables.msr_collision_tries = r.take(
                _struct.Struct("<II")
            )
        return made, r.end

    def plain(self) -> Any:
        """The map as JSON can hold it."""
        return dataclasses.asdict(self)


def _decode_bucket(r: _Reader) -> Bucket | None:
    if not r.u32():
        return None
    at = r.pos
    number, kind, alg, hash_, weight, size = r.take(_BUCKET)
    bucket = Bucket(number, kind, alg, hash_, weight, r.numbers("i", size))
    match alg:
        case BucketAlg.UNIFORM:
            bucket.item_weights = r.numbers("I", 1)
        case BucketAlg.LIST | BucketAlg.STRAW:
            both = r.numbers("I", 2 * size)
            bucket.item_weights, bucket.derived = both[::2], both[1::2]
        case BucketAlg.TREE:
            # num_nodes is one byte in releases up to Nautilus and in their successors alike
            (nodes,) = r.take(_struct.Struct("<B"))
            bucket.derived = r.numbers("I", nodes)
        case BucketAlg.STRAW2:
            bucket.item_weights = r.numbers("I", size)
        case _:
            raise WireError(f"unsupported bucket algorithm {alg}", offset=at, path="CrushWrapper")
    return bucket


def _encode_bucket(bucket: Bucket | None, out: bytearray, instead: ChooseArg | None) -> None:
    if bucket is None:
        out += _U32.pack(0)
        return
    size = len(bucket.items)
    out += _U32.pack(bucket.alg)
    out += _BUCKET.pack(bucket.id, bucket.type, bucket.alg, bucket.hash, bucket.weight, size)
    out += _struct.pack(f"<{size}i", *bucket.items)
    weights = bucket.item_weights
    match bucket.alg:
        case BucketAlg.LIST | BucketAlg.STRAW:
            both = [n for pair in zip(weights, bucket.derived, strict=True) for n in pair]
            out += _struct.pack(f"<{2 * size}I", *both)
        case BucketAlg.TREE:
            out += _struct.pack(f"<B{len(bucket.derived)}I", len(bucket.derived), *bucket.derived)
        case BucketAlg.STRAW2 if instead and instead.weight_sets:
            out += _struct.pack(f"<{size}I", *instead.weight_sets[0])
        case _:
            out += _struct.pack(f"<{len(weights)}I", *weights)


def _decode_rule(r: _Reader) -> Rule | None:
    if not r.u32():
        return None
    length = r.u32()
    ruleset, kind, least, most = r.take(_struct.Struct("<BBBB"))
    if length * _STEP.size > r.left:
        raise Truncated(f"{length} steps do not fit", offset=r.pos, path="CrushWrapper")
    return Rule([Step(*r.take(_STEP)) for _ in range(length)], ruleset, kind, least, most)


def _encode_rule(rule: Rule | None, out: bytearray) -> None:
    if rule is None:
        out += _U32.pack(0)
        return
    mask = (rule.ruleset, rule.type, rule.min_size, rule.max_size)
    out += _struct.pack("<IIBBBB", 1, len(rule.steps), *mask)
    for step in rule.steps:
        out += _STEP.pack(step.op, step.arg1, step.arg2)


def _decode_tunables(r: _Reader) -> Tunables:
    t = Tunables()
    if r.left:
        t.choose_local_tries, t.choose_local_fallback_tries, t.choose_total_tries = r.take(
            _struct.Struct("<III")
        )
    for name, code in (
        ("chooseleaf_descend_once", "I"),
        ("chooseleaf_vary_r", "B"),
        ("straw_calc_version", "B"),
        ("allowed_bucket_algs", "I"),
        ("chooseleaf_stable", "B"),
    ):
        if r.left:
            setattr(t, name, r.take(_struct.Struct("<" + code))[0])
    return t


def _encode_names(names: dict[int, str], out: bytearray) -> None:
    out += _U32.pack(len(names))
    for key in sorted(names):
        text = names[key].encode("utf-8", "surrogateescape")
        out += _struct.pack("<iI", key, len(text)) + text


def _encode_pairs(pairs: dict[int, int], out: bytearray) -> None:
    out += _U32.pack(len(pairs))
    for key in sorted(pairs):
        out += _struct.pack("<ii", key, pairs[key])


def _decode_choose_args(r: _Reader) -> dict[int, dict[int, ChooseArg]]:
    sets: dict[int, dict[int, ChooseArg]] = {}
    for _ in range(r.count(12)):
        (key,) = r.take(_struct.Struct("<q"))
        args: dict[int, ChooseArg] = {}
        for _ in range(r.count(12)):
            index = r.u32()
            positions = r.count(4)
            weights = [r.numbers("I", r.count(4)) for _ in range(positions)]
            args[index] = ChooseArg(weights, r.numbers("i", r.count(4)))
        sets[key] = args
    return sets


def _encode_choose_args(sets: dict[int, dict[int, ChooseArg]], out: bytearray) -> None:
    out += _U32.pack(len(sets))
    for key in sorted(sets):
        args = {i: arg for i, arg in sets[key].items() if arg.weight_sets or arg.ids}
        out += _struct.pack("<qI", key, len(args))
        for index in sorted(args):
            arg = args[index]
            out += _struct.pack("<II", index, len(arg.weight_sets))
            for weights in arg.weight_sets:
                out += _struct.pack(f"<I{len(weights)}I", len(weights), *weights)
            out += _struct.pack(f"<I{len(arg.ids)}i", len(arg.ids), *arg.ids)
