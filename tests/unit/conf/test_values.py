"""Texts of values: what each type takes, refuses and prints."""

from __future__ import annotations

import uuid

import pytest

from spirula.conf.subsys import normalize_levels, parse_levels
from spirula.conf.values import BadValue, OptionType, parse_value, to_text

INT, UINT, FLOAT, BOOL = OptionType.INT, OptionType.UINT, OptionType.FLOAT, OptionType.BOOL
SIZE, SECS, MILLISECS = OptionType.SIZE, OptionType.SECS, OptionType.MILLISECS
ADDR, ADDRVEC, UUID = OptionType.ADDR, OptionType.ADDRVEC, OptionType.UUID


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (INT, "-12", -12),
        (INT, "10K", 10_000),
        (INT, "+3M", 3_000_000),
        (INT, " 5K", 5000),
        (UINT, "9E", 9 * 10**18),
        (SIZE, "10K", 10_240),
        (SIZE, "10Ki", 10_240),
        (SIZE, "2G", 2 << 30),
        (SIZE, "15B", 15),
        (FLOAT, ".5", 0.5),
        (FLOAT, "1e3", 1000.0),
        (FLOAT, "0x1p4", 16.0),
        (FLOAT, "-inf", float("-inf")),
        (BOOL, "TRUE", True),
        (BOOL, "0", False),
        (BOOL, "-7", True),
        (SECS, "2h 3m", 7380),
        (SECS, "1week", 604800),
        (SECS, "90", 90),
        (SECS, " 1 y ", 31536000),
        (SECS, "", 0),
        (MILLISECS, "250", 250),
        (
            UUID,
            "{C6DC2736828E41649A03D5312A8C3029}",
            uuid.UUID(int=0xC6DC2736828E41649A03D5312A8C3029),
        ),
        (ADDR, "10.0.0.1", "v2:10.0.0.1:0/0"),
        (ADDR, "v1:[fe80::1]:6800/5", "v1:[fe80::1]:6800/5"),
        (ADDR, "any:1.2.3.4:5", "1.2.3.4:5/0"),
        (ADDR, "-", "-"),
        (ADDR, "::ffff:1", "v2:[::255.255.0.1]:0/0"),
        (ADDRVEC, "[v2:1.2.3.4:1/0,v1:1.2.3.4:2/0]", "[v2:1.2.3.4:1/0,v1:1.2.3.4:2/0]"),
        (ADDRVEC, "::1", "v2:[::1]:0/0"),
    ],
)
def test_a_good_text_gives_its_value(kind, text, value):
    assert parse_value(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((INT, text) for text in ("", "x", "1.5", "5KK", "K", "5B", "0x10", "9999E", "1" * 5000)),
        *((UINT, text) for text in ("-1", "5 ", "100E")),
        *((SIZE, text) for text in ("", "-1", "5Bi", "5KiB", "x", "K", "99999999E", " 5")),
        *((FLOAT, text) for text in ("", "x", "1x", "1e999", "1e-320", "1e-999", "0x1p9999")),
        *((BOOL, text) for text in ("yes", "", "99999999999", "tru")),
        *((SECS, text) for text in ("h", "2 parsecs", "2h-", "5y!", "9" * 40)),
        *((MILLISECS, text) for text in ("", "x", "1.5", "5s", "9" * 30)),
        *((UUID, text) for text in ("", "x", "{c6dc2736828e41649a03d5312a8c3029", "c6dc-2736")),
        *(
            (ADDR, text)
            for text in ("", "host", "1.2.3", "[1.2.3.4", "1.2.3.4:70000", "v1:v2:1.2.3.4")
        ),
        *((ADDRVEC, text) for text in ("", "[", "[v1:1.2.3.4:5/6", "[x]")),
    ],
)
def test_a_bad_text_is_refused(kind, text):
    with pytest.raises(BadValue):
        parse_value(kind, text)


def test_values_are_printed_as_upstream_prints_them():
    assert to_text(0.05) == "0.050000"
    assert to_text(True) == "true"
    assert to_text(1 << 30) == "1073741824"
    assert to_text(None) == ""


def test_levels():
    assert parse_levels("1/5") == (1, 5)
    assert parse_levels("7") == (7, 7)
    assert normalize_levels("7") == "7/7"
    assert normalize_levels("1/5") == "1/5"
    for text in ("", "x", "100", "1/100", "-1", "9" * 50):
        with pytest.raises(BadValue):
            parse_levels(text)
