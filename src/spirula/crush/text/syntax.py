"""Tokens to statements: the grammar. What the statements mean is the compiler's business.

Each `_name` below reads one construct or gives None and leaves the scanner where it was. Choices
are tried in order and the first that fits is taken, as in upstream's `src/crush/grammar.h`:

    map     = *(tunable | device | type) *(bucket | rule) *choose_args
    tunable = "tunable" NAME NUMBER
    device  = "device" NUMBER NAME ["class" NAME]
    type    = "type" NUMBER NAME
    bucket  = NAME NAME "{" *("id" NEGATIVE ["class" NAME]) "alg" NAME
              *("hash" (INTEGER | "rjenkins1")) *("item" NAME ["weight" REAL] ["pos" NUMBER]) "}"
    rule    = "rule" [NAME] "{" ("id" | "ruleset") NUMBER "type" KIND
              ["min_size" NUMBER] ["max_size" NUMBER] +("step" step) "}"
    choose_args = "choose_args" NUMBER "{" *("{" "bucket_id" NEGATIVE
              ["weight_set" "[" *("[" *REAL "]") "]"] ["ids" "[" *INTEGER "]"] "}") "}"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from spirula.crush.text.scanner import (
    INTEGER,
    NAME,
    NEGATIVE,
    POSITIVE,
    REAL,
    CrushTextError,
    Scanner,
    Token,
)

RULE_TYPES = ("replicated", "erasure", "msr_firstn", "msr_indep")
SET_STEPS = (
    "set_choose_tries",
    "set_choose_local_tries",
    "set_choose_local_fallback_tries",
    "set_chooseleaf_tries",
    "set_chooseleaf_vary_r",
    "set_chooseleaf_stable",
    "set_msr_descents",
    "set_msr_collision_tries",
)


@dataclass(slots=True)
class Tunable:
    """A line `tunable NAME VALUE`."""

    name: Token
    value: Token


@dataclass(slots=True)
class Device:
    """A line `device ID NAME class CLASS`."""

    id: Token
    name: Token
    device_class: Token | None


@dataclass(slots=True)
class TypeName:
    """A line `type ID NAME`."""

    id: Token
    name: Token


@dataclass(slots=True)
class Item:
    """A line `item NAME weight WEIGHT pos POSITION`."""

    name: Token
    weight: Token | None
    position: Token | None


@dataclass(slots=True)
class BucketText:
    """The block `TYPE NAME { ... }`; `ids` with the class that each one is for."""

    type: Token
    name: Token
    ids: list[tuple[Token, Token | None]]
    alg: Token
    hashes: list[Token]
    items: list[Item]


@dataclass(slots=True)
class StepText:
    """One step of a rule: its first word, and for choose steps the mode, then its arguments."""

    word: Token
    mode: str = ""
    name: Token | None = None
    number: Token | None = None
    device_class: Token | None = None


@dataclass(slots=True)
class RuleText:
    """The block `rule NAME { ... }`; `word` is where it begins."""

    word: Token
    name: Token | None
    id: Token
    type: Token
    min_size: Token | None
    max_size: Token | None
    steps: list[StepText]


@dataclass(slots=True)
class ChooseArgText:
    """The block `{ bucket_id ID weight_set [ ... ] ids [ ... ] }`; what is left out is None."""

    bucket: Token
    weight_sets: list[tuple[Token, list[Token]]] | None
    ids: list[Token] | None


@dataclass(slots=True)
class ChooseArgsText:
    """The block `choose_args KEY { ... }`."""

    key: Token
    args: list[ChooseArgText] = field(default_factory=list)


Statement = Tunable | Device | TypeName | BucketText | RuleText | ChooseArgsText
_T = TypeVar("_T")


def parse(scanner: Scanner) -> Iterator[Statement]:
    """The statements of a whole map, in order. Raises CrushTextError where it cannot go on."""
    sections = ((_tunable, _device, _type), (_bucket, _rule), (_choose_args,))
    for choices in sections:
        while found := _first(scanner, *choices):
            yield found
    if not scanner.at_end():
        raise _complaint(scanner)


def _complaint(s: Scanner) -> CrushTextError:
    """What is wrong with the statement here, as its first word tells what it was meant to be."""
    start = s.position
    word = s.take(NAME)
    if word is None:
        return s.dead_end()
    meant = _KEYWORDS.get(word.text, _bucket)
    s.go_back(start)
    if meant(s):
        what = "a bucket" if meant == _bucket else f"`{word.text}`"
        before = "choose_args" if meant in (_bucket, _rule) else "buckets, rules and choose_args"
        return s.error(word.at, f"{what} must stand before all {before}")
    return s.dead_end()


def _first(s: Scanner, *choices: Callable[[Scanner], _T | None]) -> _T | None:
    start = s.position
    for choice in choices:
        found = choice(s)
        if found is not None:
            return found
        s.position = start
    return None


def _many(s: Scanner, choice: Callable[[Scanner], _T | None]) -> list[_T]:
    found = []
    while (one := _first(s, choice)) is not None:
        found.append(one)
    return found


def _tunable(s: Scanner) -> Tunable | None:
    if s.word("tunable") and (name := s.take(NAME)) and (value := s.take(POSITIVE)):
        return Tunable(name, value)
    return None


def _class(s: Scanner) -> Token | None:
    return s.take(NAME) if s.word("class") else None


def _device(s: Scanner) -> Device | None:
    if s.word("device") and (id := s.take(POSITIVE)) and (name := s.take(NAME)):
        return Device(id, name, _first(s, _class))
    return None


def _type(s: Scanner) -> TypeName | None:
    if s.word("type") and (id := s.take(POSITIVE)) and (name := s.take(NAME)):
        return TypeName(id, name)
    return None


# ------------------------------------------------------------------------------------- buckets


def _bucket(s: Scanner) -> BucketText | None:
    type, name = s.take(NAME), s.take(NAME)
    if not (type and name and s.word("{")):
        return None
    ids = _many(s, _bucket_id)
    if not (s.word("alg") and (alg := s.take(NAME))):
        return None
    hashes, items = _many(s, _hash), _many(s, _item)
    return BucketText(type, name, ids, alg, hashes, items) if s.word("}") else None


def _bucket_id(s: Scanner) -> tuple[Token, Token | None] | None:
    if s.word("id") and (id := s.take(NEGATIVE)):
        return id, _first(s, _class)
    return None


def _hash(s: Scanner) -> Token | None:
    return s.take(INTEGER) or s.word("rjenkins1") if s.word("hash") else None


def _item(s: Scanner) -> Item | None:
    if s.word("item") and (name := s.take(NAME)):
        return Item(name, _first(s, _weight), _first(s, _position))
    return None


def _weight(s: Scanner) -> Token | None:
    return s.take(REAL) if s.word("weight") else None


def _position(s: Scanner) -> Token | None:
    return s.take(POSITIVE) if s.word("pos") else None


# --------------------------------------------------------------------------------------- rules


def _rule(s: Scanner) -> RuleText | None:
    word = s.word("rule")
    if word is None:
        return None
    name = s.take(NAME)
    if not (
        s.word("{")
        and s.one_of("id", "ruleset")
        and (id := s.take(POSITIVE))
        and s.word("type")
        and (type := s.one_of(*RULE_TYPES))
    ):
        return None
    least, most = _first(s, _min_size), _first(s, _max_size)
    steps = _many(s, _step)
    return RuleText(word, name, id, type, least, most, steps) if steps and s.word("}") else None


def _min_size(s: Scanner) -> Token | None:
    return s.take(POSITIVE) if s.word("min_size") else None


def _max_size(s: Scanner) -> Token | None:
    return s.take(POSITIVE) if s.word("max_size") else None


def _step(s: Scanner) -> StepText | None:
    return _first(s, _take, _set, _choose, _choosemsr, _emit) if s.word("step") else None


def _take(s: Scanner) -> StepText | None:
    if (word := s.word("take")) and (name := s.take(NAME)):
        return StepText(word, name=name, device_class=_first(s, _class))
    return None


def _set(s: Scanner) -> StepText | None:
    if (word := s.one_of(*SET_STEPS)) and (number := s.take(POSITIVE)):
        return StepText(word, number=number)
    return None


def _choose(s: Scanner) -> StepText | None:
    return _first(s, lambda s: _choose_with(s, "choose"), lambda s: _choose_with(s, "chooseleaf"))


def _choose_with(s: Scanner, first: str) -> StepText | None:
    if not ((word := s.word(first)) and (mode := s.one_of("indep", "firstn"))):
        return None
    if (number := s.take(INTEGER)) and s.word("type") and (name := s.take(NAME)):
        return StepText(word, mode.text, name, number)
    return None


def _choosemsr(s: Scanner) -> StepText | None:
    if not ((word := s.word("choosemsr")) and (number := s.take(INTEGER))):
        return None
    return (
        StepText(word, name=name, number=number)
        if s.word("type") and (name := s.take(NAME))
        else None
    )


def _emit(s: Scanner) -> StepText | None:
    word = s.word("emit")
    return StepText(word) if word else None


# --------------------------------------------------------------------------------- choose_args


def _choose_args(s: Scanner) -> ChooseArgsText | None:
    if s.word("choose_args") and (key := s.take(POSITIVE)) and s.word("{"):
        args = _many(s, _choose_arg)
        return ChooseArgsText(key, args) if s.word("}") else None
    return None


def _choose_arg(s: Scanner) -> ChooseArgText | None:
    if s.word("{") and s.word("bucket_id") and (bucket := s.take(NEGATIVE)):
        weights, ids = _first(s, _weight_set), _first(s, _ids)
        return ChooseArgText(bucket, weights, ids) if s.word("}") else None
    return None


def _weight_set(s: Scanner) -> list[tuple[Token, list[Token]]] | None:
    if s.word("weight_set") and s.word("["):
        rows = _many(s, _weights)
        return rows if s.word("]") else None
    return None


def _weights(s: Scanner) -> tuple[Token, list[Token]] | None:
    if opening := s.word("["):
        weights = _many(s, lambda s: s.take(REAL))
        return (opening, weights) if s.word("]") else None
    return None


def _ids(s: Scanner) -> list[Token] | None:
    if s.word("ids") and s.word("["):
        ids = _many(s, lambda s: s.take(INTEGER))
        return ids if s.word("]") else None
    return None


_KEYWORDS: dict[str, Callable[[Scanner], Statement | None]] = {
    "tunable": _tunable,
    "device": _device,
    "type": _type,
    "rule": _rule,
    "choose_args": _choose_args,
}
