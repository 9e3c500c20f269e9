"""Which texts are caps: the same ones that a real monitor accepts, and the same replies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spirula.auth.caps import InvalidCaps, parse
from spirula.auth.caps.grammar import MAX_TEXT
from spirula.errors import InvalidArgument

VERDICTS = json.loads(Path(__file__).with_name("verdicts.json").read_text())["verdicts"]


@pytest.mark.parametrize(("service", "text", "reply"), VERDICTS)
def test_accepts_and_refuses_what_a_real_monitor_does(
    service: str, text: str, reply: str | None
) -> None:
    if reply is None:
        caps = parse(service, text)
        assert caps.grants
        assert caps.text == text
    else:
        with pytest.raises(InvalidCaps) as refused:
            parse(service, text)
        assert refused.value.reply == reply


@pytest.mark.parametrize(("service", "text", "reply"), VERDICTS)
def test_accepted_caps_read_back_from_their_own_text(
    service: str, text: str, reply: str | None
) -> None:
    if reply is None:
        caps = parse(service, text)
        assert parse(service, caps.to_text()) == caps


@pytest.mark.parametrize(
    ("service", "text", "position", "expected"),
    [
        ("mon", "allow q", 6, "'*'"),
        ("mon", "allow rw,", 9, "'allow'"),
        ("mon", "allow r foo", 8, "'network'"),
        ("mon", "allow service mon", 17, "a space"),
        ("mgr", "allow module 'x rw", 18, "a closing '"),
        ("osd", "allow rw pool ''", 15, "a character inside the quotes"),
        ("osd", "allow rw tag a k v", 17, "'='"),
        ("mds", "allow rw uid=x", 13, "a number"),
        ("mds", "allow rw fsname='a'", 16, "a file system name"),
    ],
)
def test_a_refusal_names_the_place_and_what_was_expected_there(
    service: str, text: str, position: int, expected: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse(service, text)
    assert isinstance(refused.value, InvalidCaps)
    assert refused.value.position == position
    assert expected in refused.value.expected
    assert f"{expected}" in str(refused.value)
    assert f"at character {position}" in str(refused.value)


def test_caps_for_an_unknown_kind_of_daemon_are_refused() -> None:
    with pytest.raises(InvalidCaps, match="unknown cap type 'rgw'"):
        parse("rgw", "allow *")


@pytest.mark.parametrize("service", ["mon", "osd", "mds", "mgr"])
def test_text_has_a_length_limit(service: str) -> None:
    grant = "allow r, "
    longest = grant * ((MAX_TEXT - 7) // len(grant)) + "allow r"
    assert parse(service, longest).grants
    with pytest.raises(InvalidCaps, match="longer than"):
        parse(service, longest + " " * len(grant))
