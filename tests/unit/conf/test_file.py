"""Configuration texts: what is read, and where a text is refused."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from spirula.conf import file as conf_file
from spirula.conf.file import ConfSyntaxError, dump_conf, normalize_name, parse_conf
from spirula.errors import InvalidArgument

REFUSED = {
    "backslash_end",
    "bad_utf8",
    "blank_first_line",
    "bom",
    "brackets_in_name",
    "continuation",
    "heading_comment",
    "heading_empty",
    "heading_open",
    "heading_tail",
    "indented_heading",
    "no_equals",
    "no_line_end",
    "no_name",
    "no_section_two",
    "quote_hash",
    "quote_open",
    "quote_tail",
    "tabs",
}


def values(text: str, section: str = "global") -> dict[str, str]:
    return {name: found.value for name, found in parse_conf(text).sections[section].items()}


def test_blanks_in_names_count_as_underscores():
    assert values("[global]\n  mon \t host = a\nlog_file=b\n") == {"mon_host": "a", "log_file": "b"}
    assert parse_conf("[global]\nmon host = a\n").get("global", " mon  host ") == "a"
    assert normalize_name(" a \v b ") == "a_b"


def test_dashes_in_names_do_not_count_as_underscores():
    assert values("[global]\nmon-host = a\n") == {"mon-host": "a"}


def test_comments_quotes_escapes_and_continued_lines():
    text = (
        '# before\n[global] ; heading\na = 1 # tail\nb = \\#kept\nc = "x;"\n'.replace(';"', '\\;"')
        + "d = one \\\n two\ne = 'it \"is\"'\nf = \\\\\ng =\n"
    )
    assert values(text) == {
        "a": "1",
        "b": "#kept",
        "c": "x;",
        "d": "one  two",
        "e": 'it "is"',
        "f": "\\",
        "g": "",
    }


def test_the_last_of_two_wins_also_across_sections_of_one_name():
    conf = parse_conf("[osd]\na = 1\n[mon]\na = 2\n[osd]\na = 3\nb = 4\n")
    assert conf.get("osd", "a") == "3"
    assert conf.lookup(["mon", "osd"], "a") == "2"
    assert conf.lookup(["mon", "osd"], "b") == "4"
    assert conf.lookup(["mon"], "b") is None
    assert conf.section_names() == ["mon", "osd"]


def test_one_setting_without_a_section_is_global():
    assert values("mon host = a\n") == {"mon_host": "a"}


def test_settings_know_their_line():
    conf = parse_conf("[global]\n\n# x\na = 1\nb = \\\n 2\nc = 3\n")
    assert [found.line for found in conf.sections["global"].values()] == [4, 5, 7]


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("[global]\na = 1", 2, 6, "end of the line"),
        ('[global]\na = "x\n', 2, 7, 'closing "'),
        ("[global]\na = 'x # y'\n", 2, 8, "closing '"),
        ("[global]\n[mon\n", 2, 5, "']'"),
        ("[]\n", 1, 2, "name"),
        ("  [global]\n", 1, 1, "a section"),
        ("a = 1\nb = 2\n", 2, 1, "a section"),
        ("[global] a = 1\n", 1, 9, "end of the line"),
        (b"[global]\nab = \xff\n", 2, 6, "UTF-8"),
        ("\ufeff[global]\n", 1, 1, "a section"),
    ],
)
def test_a_bad_text_is_refused_with_its_place(text, line, column, reason):
    with pytest.raises(ConfSyntaxError) as caught:
        parse_conf(text, "/etc/x.conf")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"/etc/x.conf:{line}:{column}: ")


def test_sizes_are_bounded(monkeypatch):
    monkeypatch.setattr(conf_file, "MAX_CONF_BYTES", 20)
    for text in ("[global]\n" + "#" * 12, b"[global]\n" + b"#" * 12):
        with pytest.raises(ConfSyntaxError, match="larger than 20"):
            parse_conf(text)
    monkeypatch.undo()
    with pytest.raises(ConfSyntaxError, match="line longer than"):
        parse_conf("[global]\na = " + "x" * conf_file.MAX_LINE_BYTES + "\n")


@pytest.mark.parametrize("piece", [" ", "\t", "\\\n", "a ", " \t", "[x]\n", "\\x", "# \n", "a=\n"])
def test_reading_takes_time_in_proportion_to_the_text(piece):
    text = "[global]\na = " + piece * 40_000 + "\n"
    start = time.perf_counter()
    for tail in ("", "b" + piece * 40_000 + "= c\n"):
        with contextlib.suppress(ConfSyntaxError):
            parse_conf(text + tail)
    assert time.perf_counter() - start < 4


def test_what_is_written_is_read_back():
    sections = {"global": {"a": "x # y; z\\", "b": '"quoted"', "c": ""}, "mon.]a": {"d": "'"}}
    text = dump_conf(sections)
    read = parse_conf(text)
    assert {
        name: {key: found.value for key, found in settings.items()}
        for name, settings in read.sections.items()
    } == sections


@pytest.mark.parametrize(
    "sections",
    [{"": {}}, {"a": {"b": "c\nd"}}, {"a": {"b": " c"}}, {"a": {"b c": "d"}}, {"a": {"b=": "d"}}],
)
def test_what_a_file_cannot_carry_is_not_written(sections):
    with pytest.raises(InvalidArgument):
        dump_conf(sections)


def test_headings_that_lack_a_period_are_found():
    conf = parse_conf("[osd0]\n[osd.1]\n[mon]\n[client]\n[monkey]\n")
    assert conf.old_style_sections() == ["monkey", "osd0"]


def test_the_sample_files_that_are_refused_are_these():
    refused = set()
    for path in (Path(__file__).parent / "files").glob("*.conf"):
        try:
            parse_conf(path.read_bytes(), path.name)
        except ConfSyntaxError:
            refused.add(path.stem)
    assert refused == REFUSED
