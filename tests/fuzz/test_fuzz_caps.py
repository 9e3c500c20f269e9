"""Fuzz target: caps texts and regular expressions from anybody.

A text either parses, and then reads back from its own printed form, or raises InvalidCaps; a
pattern either compiles or raises InvalidPattern. Nothing else is raised and nothing takes long.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.auth.caps import Caps, InvalidCaps, parse
from spirula.auth.caps.mds import MdsCaps
from spirula.auth.caps.mgr import MgrCaps
from spirula.auth.caps.mon import MonCaps
from spirula.auth.caps.osd import ClassCall, OsdCaps
from spirula.auth.caps.regex import InvalidPattern, Pattern
from spirula.types.entity import EntityAddr

SERVICES = st.sampled_from(["mon", "osd", "mds", "mgr"])

WORDS = st.sampled_from(
    [
        *("allow", "profile", "service", "module", "command", "with", "prefix", "regex"),
        *("network", "fsname", "pool", "namespace", "object_prefix", "tag", "class", "path"),
        *("uid", "gids", "root_squash", "class-read", "class-write", "rbd", "osd", "crash"),
        *("*", "all", "r", "rw", "rwx", "rwps", "x", "=", ",", ";", "1", "2,3", "k=v", "k = v"),
        *("10.0.0.0/8", "[::1]/64", "''", "'a b'", '"c\'d"', "'open", "a.b/c-d", "é", "\udcff"),
    ]
)
SPACES = st.sampled_from([" ", " ", " ", "", "  ", "\t", "\n", "\v", "\0", ", ", " ; ", "="])
TEXTS = st.lists(st.tuples(WORDS, SPACES), max_size=14).map(
    lambda pairs: "".join(word + space for word, space in pairs)
)

GRANTS = {
    "mon": [
        "allow rw network 10.0.0.0/8 fsname=a",
        "profile rbd",
        "allow service 'a b' x",
        "allow command c with a=b d prefix 'e f' g regex \"^h'*$\"",
    ],
    "osd": [
        "allow rwx pool p namespace=n* object_prefix 'o \"'",
        "allow r class-read namespace '' tag cephfs 'allx'=*",
        "allow pool p class c m network ::1/128",
        "profile rbd pool='a,b' namespace n",
    ],
    "mds": ["allow rw fsname=a path='/x \"y' root_squash", "allow rwfps path=/a uid=1 gids=2,1"],
    "mgr": ["profile rbd pool = a namespace prefix b", "allow module m with a='b\"' rw"],
}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """Valid caps with a few characters removed, inserted or replaced."""
    service = draw(SERVICES)
    grants = draw(st.lists(st.sampled_from(GRANTS[service]), min_size=1, max_size=3))
    text = draw(st.sampled_from([", ", ";", " , "])).join(grants)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 2))
        text = text[:at] + draw(st.one_of(st.just(""), WORDS, SPACES)) + text[at + cut :]
    return service, text


def exercise(service: str, text: str) -> None:
    try:
        caps = parse(service, text)
    except InvalidCaps as error:
        refused = error
    else:
        accept(service, text, caps)
        return
    assert 0 <= refused.stopped <= refused.position <= len(text)


def accept(service: str, text: str, caps: Caps) -> None:
    assert caps.grants
    assert str(caps)
    assert parse(service, caps.to_text()) == caps
    address = EntityAddr.of("10.0.0.1", 0)
    if isinstance(caps, MonCaps):
        caps.is_capable("osd.1", "mon", "c", {"a": "b", "g": "h"}, read=True, address=address)
    elif isinstance(caps, MgrCaps):
        caps.is_capable("mgr", "m", "", {"a": "b", "pool": "p"}, read=True, address=address)
    elif isinstance(caps, OsdCaps):
        calls = [ClassCall("c", "m", read=True, write=True, allowed=True)]
        tags = {"cephfs": {"allx": "y"}}
        got = caps.is_capable("p", "n", tags, "o", True, True, calls, address)
        assert got or not caps.is_allow_all() or "network" in text
    elif isinstance(caps, MdsCaps):
        caps.is_capable("x", 0, 0, 0o777, 1, 2, (3,), 0xFF, address=address)


@given(SERVICES, st.text(max_size=60))
def test_arbitrary_text(service: str, text: str) -> None:
    exercise(service, text)


@given(SERVICES, TEXTS)
def test_words_of_the_language_in_any_order(service: str, text: str) -> None:
    exercise(service, text)


@given(mutated())
def test_valid_text_with_damage(case: tuple[str, str]) -> None:
    exercise(*case)


@pytest.mark.parametrize("service", ["mon", "osd", "mds", "mgr"])
@pytest.mark.parametrize(
    "unit",
    [
        "allow r,",
        "allow command a with b=c ",
        "allow command a with " + "b=c " * 50,
        "'",
        '"',
        " ",
        "allow ",
        "allow rw uid=1 gids=" + "1," * 50,
        "profile rbd pool=",
        "9" * 50,
        "0" * 50,
    ],
)
@pytest.mark.timeout(10)
def test_long_texts_take_time_in_proportion(service: str, unit: str) -> None:
    for text in (unit * (60000 // len(unit)), "allow rw uid=" + unit * (60000 // len(unit))):
        exercise(service, text)


PATTERN_BYTES = st.lists(
    st.one_of(
        st.sampled_from([b"(", b")", b"[", b"]", b"[^", b"*", b"+", b"?", b"|", b"^", b"$", b"."]),
        st.sampled_from(
            [b"{2}", b"{1,3}", b"{9999}", b"{0,}", b"[:alpha:]", b"[.a.]", b"-", b"\\"]
        ),
        st.binary(min_size=1, max_size=2),
    ),
    max_size=25,
).map(b"".join)


@given(PATTERN_BYTES, st.lists(st.binary(max_size=20), max_size=4))
def test_arbitrary_patterns(pattern: bytes, subjects: list[bytes]) -> None:
    try:
        compiled = Pattern(pattern)
    except InvalidPattern:
        return
    for subject in subjects:
        assert compiled.matches(subject) in (True, False)
