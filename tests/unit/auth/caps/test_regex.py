"""Regular expressions of constraints: what they match, and that nobody can make them expensive."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.auth.caps import regex


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("abc", ["abc"], ["ab", "abcd", "xabc", ""]),
        ("", [""], ["a"]),
        ("a*", ["", "a", "aaa"], ["b", "ab"]),
        ("a+b?", ["a", "aab"], ["", "b", "abb"]),
        ("a{2}", ["aa"], ["a", "aaa"]),
        ("a{2,}", ["aa", "aaaa"], ["a"]),
        ("a{0,2}", ["", "a", "aa"], ["aaa"]),
        ("(ab|c)+", ["ab", "cab", "c"], ["", "a"]),
        ("a||b", ["a", "", "b"], ["ab"]),
        ("^a$", ["a"], ["", "^a$"]),
        ("a^b", [], ["ab", "a^b"]),
        ("(^|x)a", ["a", "xa"], ["ya"]),
        ("(^)*$", [""], ["a"]),
        (".", ["a", "\n", " "], ["", "\0", "ab"]),
        ("..", ["é"], ["e"]),
        (r"\.\*", [".*"], ["xx"]),
        (r"\d", ["d"], ["1"]),
        ("[abc]x", ["ax", "cx"], ["dx", "x"]),
        ("[^abc]", ["d", "\n"], ["a", ""]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[^]a]", ["b"], ["]", "a"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[-a]", ["-", "a"], ["b"]),
        (r"[\.]", ["\\", "."], ["x"]),
        ("[0-9a-f]+", ["09af"], ["g", ""]),
        ("[[:digit:][:upper:]_]+", ["1A_"], ["a"]),
        ("[[:ALPHA:]]", ["a", "Z"], ["1"]),
        ("[[.a.]]", ["a"], ["b"]),
        ("]}", ["]}"], ["]"]),
    ],
)
def test_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    for subject in matching:
        assert regex.matches(pattern, subject), subject
    for subject in others:
        assert not regex.matches(pattern, subject), subject


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "(a", "a)", "[", "[a", "[]", "[z-a]", "*", "a|*", "^*", "+a", "?", "{2}"),
        *("a{", "a{x}", "a{2", "a{2,1}", "a{,2}", "a{999999}", "\\", "[[:nope:]]", "[[:alpha:]"),
        *("[a-c-e]", "[[:digit:]-z]", "[a-[:digit:]]", "[[=a=]]", "[[.space.]]", "[[.-.]]"),
        *("(" * 40 + ")" * 40, "a" + "*" * 60, "a" * 2000, "a{999}{999}", "(){999}{999}"),
        *("((a{99}){99}){99}", "|" * 1500),
    ],
)
def test_what_is_malformed_or_too_large_matches_nothing(pattern: str) -> None:
    assert regex.compiled(pattern) is None
    for subject in ("", "a", pattern):
        assert not regex.matches(pattern, subject)


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        ("(a*)*b", "a" * 60000),
        ("(a|a)*b", "a" * 60000),
        ("(a|aa)+$", "a" * 60000 + "b"),
        ("(x+x+)+y", "x" * 60000),
        ("(.*)(.*)(.*)(.*)(.*)[^a]", "a" * 60000),
        ("[ab]*a[ab]{400}", "ab" * 30000),
    ],
)
@pytest.mark.timeout(5)
def test_hostile_patterns_end_soon(pattern: str, subject: str) -> None:
    assert not regex.matches(pattern, subject)


def test_bounds_refuse_rather_than_allow() -> None:
    assert regex.matches("a*", "a" * regex.MAX_SUBJECT)
    assert not regex.matches("a*", "a" * (regex.MAX_SUBJECT + 1))
    # Every step meets a set of states not seen before, each as large as the automaton.
    costly = "(" + "|".join(f"[ab]*a[ab]{{{n}}}" for n in range(100, 104)) + ")"
    subject = "".join(random.Random(7).choices("ab", k=20000))
    assert regex.compiled(costly) is not None
    assert not regex.matches(costly, subject + "a" + "b" * 100)
    assert regex.matches(costly, "a" + "b" * 100)


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "(a|b)", "(ab)", "(a|)", "c"])
PATTERNS = st.lists(
    st.tuples(ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}"])), max_size=6
).map(lambda parts: "".join(atom + count for atom, count in parts))


@given(PATTERNS, st.lists(st.text("abc", max_size=6), min_size=1, max_size=8))
def test_agrees_with_another_matcher(pattern: str, subjects: list[str]) -> None:
    for subject in subjects:
        assert regex.matches(pattern, subject) == bool(re.fullmatch(pattern, subject, re.DOTALL))
