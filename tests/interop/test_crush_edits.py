"""Edits of CRUSH maps, builds and reports against Debian's crushtool: byte for byte.

And edits that crushtool does not have, against a real monitor's commands.
"""

from __future__ import annotations

import random
import shlex
import shutil
from pathlib import Path

import pytest

from spirula.cli.crushtool import main as crushtool_main
from spirula.crush.build import set_tunables
from spirula.crush.map import BucketAlg, CrushMap
from tests.interop.crushtool_batch import HUNG, batch, crushtool
from tests.unit.crush.random_edits import random_edit, random_weight_sets
from tests.unit.crush.random_maps import random_map

EDITS = 150
CRASHED = (134, 139)
"""Failed assertions and broken memory, as a shell shows them."""

pytestmark = pytest.mark.skipif(
    shutil.which("crushtool") is None, reason="Debian's crushtool is absent"
)

Shown = pytest.CaptureFixture[bytes]


def has_trees(crush: CrushMap) -> bool:
    """crushtool leaves parts of edited tree buckets uninitialized."""
    return any(bucket and bucket.alg == BucketAlg.TREE for bucket in crush.buckets)


@pytest.mark.parametrize("weight_sets", [False, True], ids=["plain", "weight sets"])
def test_edits_are_alike(
    weight_sets: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: Shown,
) -> None:
    rng = random.Random(f"edits {weight_sets}")
    maps = (random_map(seed, tree_shadows=False) for seed in range(10_000))
    chosen = [crush for crush in (next(maps) for _ in range(2 * EDITS)) if not has_trees(crush)]
    edits = []
    for number, crush in enumerate(chosen[:EDITS], 1):
        if weight_sets:
            random_weight_sets(rng, crush)
        edits.append(random_edit(rng, crush))
        (tmp_path / f"{number}.args").write_text(shlex.join(edits[-1]))
    encoded = [crush.encode() for crush in chosen[:EDITS]]
    ran = batch(tmp_path, "-i IN -o OUT $(cat $n.args)", encoded)
    monkeypatch.chdir(tmp_path)
    compared = 0
    for number, (edit, theirs) in enumerate(zip(edits, ran, strict=True), 1):
        Path("ours").unlink(missing_ok=True)
        status = crushtool_main(["-i", f"{number}.in", "-o", "ours", *edit])
        shown = capfdbinary.readouterr()
        if theirs.status in (HUNG, *CRASHED) or b"uniform" in shown.err:
            continue  # crushtool writes maps whose shadow trees of uniform buckets it cannot make
        made = Path("ours").read_bytes() if Path("ours").exists() else b""
        assert (status, made) == (theirs.status, theirs.out), edit
        assert shown.out == Path(f"{number}.log").read_bytes(), edit
        compared += 1
    assert compared > len(edits) * 0.8
    assert sum(theirs.status == 0 for theirs in ran) > len(edits) * 0.4


TESTS = (
    "--test --show-mappings --num-rep 3",
    "--test --show-mappings --show-bad-mappings --num-rep 5 --x 123456",
    "--test --show-statistics --show-bad-mappings --min-x 5 --max-x 30",
    "--test --show-utilization --num-rep 2 --weight 0 0 --weight 1 0.3",
    "--test --show-utilization-all --max-x 300 --min-x 0 --rule 1",
    "--test --show-mappings --pool-id 7 --min-rule 0 --max-rule 2 --num-rep 4 --ruleset 1",
    "--test --show-choose-tries --num-rep 3",
    "--test --simulate --show-mappings --num-rep 3 --min-x 0 --max-x 40",
    "--test --show-mappings --num-rep 2 --output-csv --output-name t --batches 3 -v",
    "--test --num-rep 3 --output-csv",
    "--test --num-rep 3",
    "--compare other --num-rep 3 --min-x 0 --max-x 200",
    "--compare map --num-rep 2",
    "--tree",
    "--dump",
    "--dump -f xml-pretty",
    "--dump --format html",
    "--dump -f table",
    "--check",
    "--check 0",
    "--check 4",
    "--show-location 2",
    "--bucket-tree -b root0",
    "--bucket-tree",
    "--set-choose-total-tries 77 --set-straw-calc-version 0 --tree -o out",
    "--create-replicated-rule again root0 host -o out",
)


@pytest.mark.parametrize("seed", [7, 13])
@pytest.mark.parametrize("arguments", TESTS)
def test_reports_are_alike(
    seed: int,
    arguments: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: Shown,
) -> None:
    monkeypatch.chdir(tmp_path)
    crush = random_map(seed, tree_shadows=False)
    Path("map").write_bytes(crush.encode())
    set_tunables(crush.tunables, "argonaut")
    Path("other").write_bytes(crush.encode())
    both_say(["-i", "map", *arguments.split()], capfdbinary)


BUILDS = (
    "--num_osds 25 node straw 5 rack straw 1 root straw 0",
    "--num_osds 25 node straw2 5 rack list 2 root straw2 0 --tree",
    "--num_osds 11 node uniform 3 rack tree 2",
    "--num_osds 7 a-name-that-is-far-too-long straw2 2 root straw2 0 --tree -v",
    "--num_osds 0 root straw2 0",
    "--num_osds 5 root straw3 0",
    "--num_osds 5 root straw2",
    "--num_osds 5",
    "--num_osds five root straw2 0",
)


@pytest.mark.parametrize("arguments", BUILDS)
def test_builds_are_alike(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Shown
) -> None:
    monkeypatch.chdir(tmp_path)
    both_say(["--build", "-o", "out", *arguments.split()], capfdbinary)


RECLASSIFY = (
    "--reclassify-root root hdd",
    "--reclassify-bucket %-ssd ssd root --reclassify-bucket root-ssd ssd root",
    "--reclassify-root root hdd --reclassify-bucket %-ssd ssd root --set-subtree-class root hdd",
    "--reclassify-bucket absent ssd nowhere",
    "--reclassify-root nowhere hdd",
)
LEGACY = (
    ("--build --num_osds 6 node straw2 2 root straw2 0", ""),
    *((f"--add-bucket {name} {kind}", "") for name, kind in (("root-ssd", "root"),)),
    *(
        (f"--add-item {10 + number} 1.5 osd.{10 + number}", f"node node{number}-ssd root root-ssd")
        for number in range(4)
    ),
    ("--create-replicated-rule fast root-ssd node", ""),
)


@pytest.mark.parametrize("arguments", RECLASSIFY)
def test_legacy_maps_are_reclassified_alike(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Shown
) -> None:
    monkeypatch.chdir(tmp_path)
    for step, location in LEGACY:
        source = [] if step.startswith("--build") else ["-i", "map"]
        places = location.split()
        pairs = zip(places[::2], places[1::2], strict=True)
        where = [word for pair in pairs for word in ("--loc", *pair)]
        assert crushtool_main([*source, "-o", "map", *step.split(), *where]) == 0
    capfdbinary.readouterr()
    both_say(["-i", "map", "-o", "out", "--reclassify", *arguments.split()], capfdbinary)


def both_say(arguments: list[str], capfdbinary: Shown) -> None:
    """Runs both; status, stdout and files must be the same, and both complain or neither."""
    before = set(Path().iterdir())
    theirs = crushtool(arguments)
    expected = taken_files(before)
    status = crushtool_main(arguments)
    shown = capfdbinary.readouterr()
    assert (status, shown.out) == (theirs.returncode, theirs.stdout)
    assert taken_files(before) == expected
    assert bool(shown.err) == bool(theirs.stderr)


def taken_files(before: set[Path]) -> dict[str, bytes]:
    """The files that were not there before; they are removed."""
    made = {path.name: path.read_bytes() for path in set(Path().iterdir()) - before}
    for name in made:
        Path(name).unlink()
    return made
