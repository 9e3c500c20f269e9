"""What is not a map is refused: with place and reason, soon, and never by a traceback."""

from __future__ import annotations

import random

import pytest

from spirula.cli.crushtool import main as crushtool
from spirula.crush.text import CrushTextError, compile_map, decompile_map
from spirula.errors import InvalidArgument
from tests.unit.crush.bad_texts import ABORTED, HEAD, HOST, REFUSED, RULE, WRAPPED, Bad
from tests.unit.crush.random_maps import random_map

ALL = {**REFUSED, **WRAPPED, **ABORTED}


@pytest.mark.parametrize("bad", ALL.values(), ids=ALL)
def test_the_place_and_the_reason(bad: Bad) -> None:
    with pytest.raises(CrushTextError) as caught:
        compile_map(bad.text, "a/file")
    error = caught.value
    assert (error.line, error.column) == (bad.line, bad.column)
    assert bad.reason in error.reason
    assert error.message == f"a/file:{bad.line}:{bad.column}: {error.reason}"


def test_the_command_says_it_in_one_line(tmp_path, capsys) -> None:
    (tmp_path / "map").write_text(HEAD + "host h {\n\talg strw\n}\n")
    assert crushtool(["-c", str(tmp_path / "map"), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/map:7:6: expected an algorithm: uniform, list, tree, straw, straw2\n"
    )
    assert not (tmp_path / "out").exists()


def deep(levels: int) -> str:
    """A chain of buckets, each in the next."""
    text = [HEAD, "host b0 { alg straw2 item osd.1 }\n"]
    text += [f"host b{n} {{ alg straw2 item b{n - 1} }}\n" for n in range(1, levels)]
    return "".join(text) + RULE.replace("take h", f"take b{levels - 1} class ssd")


@pytest.mark.timeout(20)
def test_depth_takes_no_stack() -> None:
    crush = compile_map(deep(5000))
    assert decompile_map(crush).count("host b") == 5000
    assert sum(bucket is not None for bucket in crush.buckets) == 15000 - 5000


LONG = {
    "devices": "device 0 a class " * 50_000,
    "braces": "{" * 300_000,
    "rules": "rule r { id 0 " * 50_000,
    "a bucket": HEAD + "host h { alg list " + "item osd.0 " * 50_000,
    "choose_args": HEAD + HOST + RULE + "choose_args 1 { " + "{ bucket_id -1 ids [ " * 50_000,
    "a tunable": "tunable choose_total_tries " + "9" * 500_000,
    "a weight of many nines": HEAD
    + "host h { alg list item osd.0 weight 0."
    + "9" * 500_000
    + "e }",
    "a weight of many ones": HEAD + "host h { alg list item osd.0 weight " + "1" * 500_000 + " }",
    "a comment": "#" * 500_000 + "\n!",
    "zero bytes": "\0" * 500_000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_nonsense_ends_soon(text: str) -> None:
    with pytest.raises(CrushTextError):
        compile_map(text)


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("links", [1, 30])
def test_a_small_text_cannot_ask_for_very_many_shadows(links: int) -> None:
    """Each class doubles each bucket: the product of both is bounded, not only their numbers."""
    classes = "".join(f"device {n} osd.{n} class c{n}\n" for n in range(500))
    hosts = "".join(f"host h{n} {{ alg straw2 }}\n" for n in range(600))
    root = "host r { alg straw2 " + "".join(f"item h{n} " for n in range(600)) * links + " }\n"
    text = classes + "type 1 host\n" + hosts + root + RULE.replace("take h", "take r")
    with pytest.raises(CrushTextError, match=r"more than 1048576 items|between -1 and -262144"):
        compile_map(text)


def test_mutated_texts_give_maps_or_errors(pytestconfig: pytest.Config) -> None:
    """Characters, words and lines are changed at random: nothing but the one error comes out."""
    rng = random.Random("mutated")
    refused = 0
    rounds = 400 * pytestconfig.getoption("--scale")
    for seed in range(rounds):
        text = decompile_map(random_map(seed % 60, tree_shadows=False))
        for _ in range(rng.randint(1, 4)):
            a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
            b = min(b, a + rng.choice((0, 1, 1, 5, 40)))
            middle = rng.choice(("", text[a:b] * 2, "{", "}", "-", "9" * 25, "class x", "\0", "#"))
            text = text[:a] + middle + text[b:]
        try:
            decompile_map(compile_map(text))
        except CrushTextError as error:
            refused += 1
            assert 1 <= error.line <= text.count("\n") + 2
        except InvalidArgument as error:
            assert "contains itself" in error.message
    assert refused > rounds / 4
