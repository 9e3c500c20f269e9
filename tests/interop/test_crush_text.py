"""CRUSH maps as text, shadow trees and simple rules against Debian's crushtool: byte for byte.

Random maps both ways, maps that people might write, texts that must be refused, and (where
SPIRULA_CRUSH_MAPS names a folder with files of upstream's src/test/cli/crushtool) published maps.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from spirula.cli.crushtool import main as crushtool_main
from spirula.crush.build import finalize, settle_choose_args
from spirula.crush.classes import get_or_create_class, rebuild_roots_with_classes
from spirula.crush.rules import add_simple_rule, remove_rule
from spirula.crush.text import CrushTextError, compile_map, decompile_map
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError
from tests.interop import newer
from tests.interop.crushtool_batch import Ran, batch, crushtool
from tests.interop.realcluster import RealCluster
from tests.unit.crush.bad_texts import REFUSED, WRAPPED
from tests.unit.crush.random_maps import CLASSES, random_map
from tests.unit.crush.sound_texts import HEAD, HOST, SOUND

MAPS = 500
MSR = f"""tunable msr_descents 55
{HEAD}{HOST}
rule msr {{
    id 2
    type msr_indep
    step set_msr_descents 3
    step set_msr_collision_tries 4
    step take h class ssd
    step choosemsr 2 type host
    step choosemsr 2 type osd
    step emit
}}
"""
PUBLISHED = os.environ.get("SPIRULA_CRUSH_MAPS", "")

pytestmark = pytest.mark.skipif(
    shutil.which("crushtool") is None, reason="Debian's crushtool is absent"
)


def folder_of(base: Path, name: str) -> Path:
    made = base / name
    made.mkdir()
    return made


def ours(text: bytes) -> Ran:
    try:
        return Ran(0, compile_map(text.decode("utf-8", "surrogateescape")).encode())
    except CrushTextError:
        return Ran(1, b"")


def test_random_maps_both_ways(tmp_path: Path) -> None:
    maps = [random_map(seed, tree_shadows=False) for seed in range(MAPS)]
    texts = batch(folder_of(tmp_path, "d"), "-d IN -o OUT", (crush.encode() for crush in maps))
    for seed, (crush, text) in enumerate(zip(maps, texts, strict=True)):
        assert text.status == 0
        assert decompile_map(crush).encode() == text.out, seed
    compiled = batch(folder_of(tmp_path, "c"), "-c IN -o OUT", (text.out for text in texts))
    for seed, (text, theirs) in enumerate(zip(texts, compiled, strict=True)):
        made = ours(text.out)
        if theirs.status == 134:  # it aborts where a uniform bucket's weight rounds to zero
            assert made.status == 1, seed
        else:
            assert made == theirs, seed
    assert sum(theirs.status == 0 for theirs in compiled) > MAPS * 0.95


def test_sound_texts(tmp_path: Path) -> None:
    compiled = batch(tmp_path, "-c IN -o OUT", (text.encode() for text in SOUND.values()))
    for name, theirs in zip(SOUND, compiled, strict=True):
        assert theirs.status == 0, name
        assert ours(SOUND[name].encode()) == theirs, name


def test_weights_are_rounded_alike(tmp_path: Path) -> None:
    rng = random.Random("weights")
    written = [f"{rng.uniform(0, top):.{rng.randint(0, 9)}f}" for top in (2, 300, 65000) * 400]
    # Half-way between two C floats, a hair above and below it: a double cannot tell them apart.
    for base in (256, 1024, 2048.25, 16384):
        spacing = 2.0 ** (int(base).bit_length() - 24)
        for tail in ("", "00000000000000000000000001"):
            written += [f"{base + spacing / 2:.20f}{tail}", f"{base + 1.5 * spacing:.20f}{tail}"]
    items = [f"host h{n} {{ alg straw2 }}\n" for n in range(len(written))]
    roots = [
        f"root r{n} {{ alg straw2 item h{n} weight {weight} }}\n"
        for n, weight in enumerate(written)
    ]
    text = "".join(["type 0 osd\ntype 1 host\ntype 2 root\n", *items, *roots]).encode()
    (theirs,) = batch(tmp_path, "-c IN -o OUT", [text])
    assert theirs.status == 0
    assert ours(text) == theirs


def test_bad_texts_are_refused_alike(tmp_path: Path) -> None:
    texts = {**REFUSED, **WRAPPED}
    refused = batch(tmp_path, "-c IN -o OUT", (bad.text.encode() for bad in texts.values()))
    for (name, bad), theirs in zip(texts.items(), refused, strict=True):
        assert ours(bad.text.encode()).status == 1, name
        assert theirs.status == (1 if name in REFUSED else 0), name


def test_mutilated_texts_are_judged_alike(tmp_path: Path) -> None:
    """A line is dropped, doubled, moved or cut: the same verdicts, and the same bytes."""
    rng = random.Random("mutilated")
    texts = []
    while len(texts) < 80:
        lines = decompile_map(random_map(rng.randrange(MAPS), tree_shadows=False)).splitlines()
        # Sizes of rules may be left out here, as releases from 18.2 do, but not in 16.2.
        at = rng.choice([n for n, line in enumerate(lines) if "_size" not in line])
        to = rng.randrange(len(lines))
        match rng.choice(("drop", "double", "move", "cut")):
            case "drop":
                del lines[at]
            case "double":
                lines.insert(to, lines[at])
            case "move":
                lines.insert(to, lines.pop(at))
            case "cut":
                lines[at] = lines[at][: rng.randint(0, len(lines[at]))]
        texts.append("\n".join(lines).encode())
    judged = batch(tmp_path, "-c IN -o OUT", texts)
    for text, theirs in zip(texts, judged, strict=True):
        if theirs.status in (0, 1):
            assert ours(text) == theirs, text.decode()
    assert {theirs.status for theirs in judged} >= {0, 1}


def test_class_roots_are_rebuilt_alike(tmp_path: Path) -> None:
    rng = random.Random("class roots")
    maps = []
    seeds = iter(range(MAPS))
    while len(maps) < 80:
        crush = random_map(next(seeds), tree_shadows=False)
        if not crush.class_bucket:
            continue
        for id in crush.item_names:
            if id >= 0 and rng.random() < 0.3:
                crush.device_classes[id] = get_or_create_class(crush, rng.choice((*CLASSES, "new")))
            elif id >= 0 and rng.random() < 0.2:
                crush.device_classes.pop(id, None)
        maps.append(crush)
    encoded = [crush.encode() for crush in maps]
    rebuilt = batch(tmp_path, "-i IN --rebuild-class-roots -o OUT", encoded)
    for crush, theirs in zip(maps, rebuilt, strict=True):
        settle_choose_args(crush)
        rebuild_roots_with_classes(crush)
        finalize(crush)
        assert theirs.status == 0
        assert crush.encode() == theirs.out


def test_rules_by_failure_domain_are_alike(tmp_path: Path) -> None:
    rng = random.Random("simple rules")
    maps = [random_map(seed, tree_shadows=False) for seed in range(60)]
    asked = []
    for number, crush in enumerate(maps, 1):
        root = rng.choice([*crush.item_names.values(), "nowhere"])
        while "~" in root:
            root = rng.choice(list(crush.item_names.values()))
        domain = rng.choice([*crush.type_names.values(), "nothing"])
        mode, device_class = rng.choice(("firstn", "indep", "some")), rng.choice(("", *CLASSES))
        wanted = ["--create-simple-rule", "made", root, domain, mode]
        wanted += ["--device-class", device_class] if device_class else []
        (tmp_path / f"{number}.args").write_text(" ".join(wanted))
        asked.append((root, domain, mode, device_class))
    encoded = [crush.encode() for crush in maps]
    made = batch(tmp_path, "-i IN -o OUT $(cat $n.args)", encoded)
    for crush, (root, domain, mode, device_class), theirs in zip(maps, asked, made, strict=True):
        settle_choose_args(crush)
        try:
            add_simple_rule(crush, "made", root, domain, mode=mode, device_class=device_class)
        except CephError:
            assert theirs.status == 1, (root, domain, mode, device_class)
        else:
            assert theirs == Ran(0, crush.encode()), (root, domain, mode, device_class)
    assert {theirs.status for theirs in made} == {0, 1}


def test_rules_are_removed_alike(tmp_path: Path) -> None:
    maps = [random_map(seed, tree_shadows=False) for seed in range(60)]
    maps = [crush for crush in maps if crush.rule_names]
    for number, crush in enumerate(maps, 1):
        name = crush.rule_names[min(crush.rule_names)]
        (tmp_path / f"{number}.args").write_text(f"--remove-rule {name}")
    encoded = [crush.encode() for crush in maps]
    removed = batch(tmp_path, "-i IN -o OUT $(cat $n.args)", encoded)
    for crush, theirs in zip(maps, removed, strict=True):
        settle_choose_args(crush)
        remove_rule(crush, min(crush.rule_names))
        finalize(crush)
        assert theirs == Ran(0, crush.encode())


def test_the_map_of_a_real_cluster(real_cluster: RealCluster, tmp_path: Path) -> None:
    binary, text = tmp_path / "map", tmp_path / "text"
    real_cluster.ceph("osd", "getcrushmap", "-o", str(binary))
    assert crushtool_main(["-d", str(binary), "-o", str(text)]) == 0
    (theirs,) = batch(folder_of(tmp_path, "d"), "-d IN -o OUT", [binary.read_bytes()])
    assert text.read_bytes() == theirs.out
    assert crushtool_main(["-c", str(text), "-o", str(tmp_path / "again")]) == 0
    (theirs,) = batch(folder_of(tmp_path, "c"), "-c IN -o OUT", [text.read_bytes()])
    assert (tmp_path / "again").read_bytes() == theirs.out


@pytest.mark.skipif(newer.why_not() is not None, reason=newer.why_not() or "")
def test_texts_of_a_newer_release() -> None:
    """20.2.4 writes the same texts with `newer`, and makes the same maps of them."""
    with tempfile.TemporaryDirectory(prefix="sp-", dir=Path(newer.ROOT, "tmp")) as name:
        folder = Path(name)
        program = ["chroot", newer.ROOT, "crushtool"]
        there = newer.inside(name)
        maps = [random_map(seed, tree_shadows=False) for seed in range(15)]
        maps.append(compile_map(MSR))
        for number, crush in enumerate(maps):
            (folder / "map").write_bytes(crush.encode())
            subprocess.run([*program, "-d", f"{there}/map", "-o", f"{there}/text"], check=True)
            text = (folder / "text").read_text()
            assert decompile_map(crush, newer=True) == text, number
            subprocess.run([*program, "-c", f"{there}/text", "-o", f"{there}/out"], check=True)
            theirs = CrushWrapper.decode((folder / "out").read_bytes())
            assert compile_map(text).encode() == theirs.encode(), number


@pytest.mark.skipif(not PUBLISHED, reason="SPIRULA_CRUSH_MAPS names no folder of published maps")
def test_published_maps(tmp_path: Path) -> None:
    files = sorted(
        path for path in Path(PUBLISHED).rglob("*") if path.is_file() and path.suffix != ".t"
    )
    assert files
    contents = [path.read_bytes() for path in files]
    texts = batch(folder_of(tmp_path, "d"), "-d IN -o OUT", contents)
    for number, (path, theirs) in enumerate(zip(files, texts, strict=True)):
        if theirs.status == 0:
            crush = CrushWrapper.decode(contents[number])
            assert decompile_map(crush).encode() == theirs.out, path.name
            contents[number] = theirs.out
    compiled = batch(folder_of(tmp_path, "c"), "-c IN -o OUT", contents)
    for path, content, theirs in zip(files, contents, compiled, strict=True):
        assert ours(content) == theirs, path.name
    assert sum(theirs.status == 0 for theirs in compiled) > len(files) / 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-d", "absent"],
        ["-c", "absent", "-o", "out"],
        ["-c", "text", "-d", "map"],
        ["-c"],
        ["-o", "out"],
        ["-c", "text", "more"],
        ["-d", "text"],
        ["-d", "map"],
        ["--decompile=map"],
        ["-d", "map", "-o", "out"],
        ["-d", "map", "--outfn", "absent/out"],
        ["-c", "text"],
        ["--compile", "text", "-o", "out"],
        ["-c", "text", "-o", "absent/out"],
        ["-c", "bad"],
    ],
    ids=" ".join,
)
def test_the_command(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    crush = random_map(0, tree_shadows=False)
    (tmp_path / "map").write_bytes(crush.encode())
    (tmp_path / "text").write_text(decompile_map(crush))
    (tmp_path / "bad").write_text("nonsense\n")
    monkeypatch.chdir(tmp_path)
    theirs = crushtool(arguments)
    expected = Path("out").read_bytes() if Path("out").exists() else None
    Path("out").unlink(missing_ok=True)
    status = crushtool_main(arguments)
    shown = capfdbinary.readouterr()
    assert (status, shown.out) == (theirs.returncode, theirs.stdout)
    assert bool(shown.err) == bool(theirs.stderr)
    assert (Path("out").read_bytes() if Path("out").exists() else None) == expected
