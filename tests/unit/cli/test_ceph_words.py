"""What is typed behind `spirula ceph`: commands, complaints, help, completion, figures."""

from __future__ import annotations

import json

import pytest

from spirula.cli.ceph.descriptions import Flag, parse_descriptions
from spirula.cli.ceph.helping import command_table, completions
from spirula.cli.ceph.matching import NoSuchCommand, find_command
from spirula.cli.ceph.options import level_of, make_parser, separate_injected
from spirula.cli.ceph.performance import compact, parse_request
from spirula.cli.ceph.targets import Target, find_target
from spirula.errors import InvalidArgument

POOL = {"name": "pool", "type": "CephPoolname"}
SIZE = {"name": "size", "type": "CephInt", "range": "0|10", "req": "false"}
COMMANDS = parse_descriptions(
    json.dumps(
        {
            "cmd000": {"sig": ["pool", "make", POOL, SIZE], "help": "make a pool", "flags": 0},
            "cmd001": {
                "sig": [
                    "pool",
                    "get",
                    POOL,
                    {"name": "var", "type": "CephChoices", "strings": "a|ab"},
                ],
                "help": "get a value",
                "flags": int(Flag.MGR),
            },
            "cmd002": {"sig": ["pool", "rm", {**POOL, "n": "N"}], "help": "remove", "flags": 0},
            "cmd003": {"sig": ["pool", "old", POOL], "help": "x", "flags": int(Flag.OBSOLETE)},
        }
    ).encode()
)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("pool make p", {"prefix": "pool make", "pool": "p"}),
        ("pool make p 3", {"prefix": "pool make", "pool": "p", "size": 3}),
        ("pool make --size=3 p", {"prefix": "pool make", "pool": "p", "size": 3}),
        ("pool make p --size 0x3", {"prefix": "pool make", "pool": "p", "size": 3}),
        (
            "pool get p ab",
            {"prefix": "pool get", "pool": "p", "var": "ab", "target": ("mon-mgr", "")},
        ),
        ("pool rm p q r", {"prefix": "pool rm", "pool": ["p", "q", "r"]}),
    ],
)
def test_words_become_a_command(line: str, command: dict[str, object]) -> None:
    assert find_command(COMMANDS, line.split()) == command


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("pool make", "Invalid command: missing required parameter pool(<poolname>)"),
        ("pool make p 11", "11 not valid:  11 not in range [0, 10]"),
        ("pool make p --sise 3", "Invalid command: Unexpected argument '--sise'"),
        ("pool get p c", "Invalid command: c not in a|ab"),
        ("pool old p", "no valid command found; 3 closest matches:"),
        ("dance", "no valid command found; 3 closest matches:"),
    ],
)
def test_what_does_not_fit_is_told(line: str, first: str) -> None:
    with pytest.raises(NoSuchCommand) as caught:
        find_command(COMMANDS, line.split())
    assert caught.value.lines[0] == first


def test_help_and_completion() -> None:
    lines = command_table(COMMANDS, "pool g").splitlines()
    assert lines[0].split() == ["pool", "get", "<pool>", "a|ab", "get", "a", "value"]
    assert completions(COMMANDS, ["pool", ""]) == ["get", "make", "rm"]
    assert completions(COMMANDS, ["pool", "get", "p", "a"]) == ["a", "ab"]
    assert completions(COMMANDS, ["pool", "make", "p", ""])[1:] == ["#make a pool"]


def test_descriptions_that_are_none_are_refused() -> None:
    for data in (b"", b"[]", b'{"cmd0": {}}', b'{"cmd0": {"sig": [{"name": "x"}]}}'):
        with pytest.raises(InvalidArgument):
            parse_descriptions(data)


def test_whom_it_is_for() -> None:
    assert find_target(["tell", "osd.3", "version"]) == Target("osd", "3")
    assert find_target(["tell", "mgr", "version"]) == Target("mgr", None)
    assert find_target(["tell", "3.1f", "query"]) == Target("pg", "3.1f")
    assert find_target(["pg", "3.1f", "query"]) == Target("pg", "3.1f")
    assert find_target(["pg", "stat"]) == Target("mon")


def test_options() -> None:
    parser = make_parser()
    assert level_of(parser.parse_args([])) is None
    assert level_of(parser.parse_args(["-w"])) == "info"
    assert level_of(parser.parse_args(["-W", "audit", "--watch-debug"])) == "debug"
    assert separate_injected(["tell", "osd.0", "injectargs", "--", "--x=1"]) == (
        ["tell", "osd.0"],
        ["injectargs", "--x=1"],
    )


def test_figures_fit_their_columns() -> None:
    assert [compact(value, 5) for value in (0, 999, 12345, 5_000_000)] == [
        "   0 ",
        " 999 ",
        "12.3k",
        "5000k",
    ]
    request = parse_request(["ls", "crit", "osd.*,x", "2", "3"])
    assert (request.is_list, request.priority, request.patterns) == (True, 10, ["osd.*", "x"])
    assert (request.interval_s, request.count) == (2.0, 3)
    with pytest.raises(InvalidArgument):
        parse_request(["-1"])
