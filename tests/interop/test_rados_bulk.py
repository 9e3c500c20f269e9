"""What `spirula rados` does to many objects, and what Debian's `rados` makes of it, and back."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from spirula.cli.main import main
from tests.interop.realcluster import ENVIRONMENT, RealCluster
from tests.interop.spirulacluster import wait_until

SURE = "--yes-i-really-really-mean-it"


@pytest.fixture
def pools(real_cluster: RealCluster):
    for pool in ("bulk", "copy"):
        real_cluster.run("ceph", "osd", "pool", "create", pool, "4", "4")
    yield real_cluster
    for pool in ("bulk", "copy"):
        real_cluster.run("ceph", "osd", "pool", "rm", pool, pool, SURE)


class Programs:
    """`rados` and ours, on one cluster."""

    def __init__(self, cluster: RealCluster, capture) -> None:
        self.conf = ["-c", str(cluster.conf)]
        self.capture = capture

    def theirs(self, *words: str) -> tuple[int, str]:
        ended = subprocess.run(
            ["rados", *self.conf, *words],
            capture_output=True,
            env=ENVIRONMENT,
            timeout=150,
            check=False,
        )
        return ended.returncode, ended.stdout.decode("utf-8", "replace")

    def ours(self, *words: str) -> tuple[int, str]:
        code = main(["rados", *self.conf, *words])
        return code, self.capture.readouterr().out.decode("utf-8", "replace")


@pytest.fixture
def both(pools: RealCluster, capfdbinary) -> Programs:
    return Programs(pools, capfdbinary)


def fill(both: Programs, folder: Path) -> None:
    large, small = folder / "large", folder / "small"
    large.write_bytes(bytes(range(256)) * 20_000)
    small.write_bytes(b"small")
    both.ours("-p", "bulk", "put", "large", str(large))
    for number in range(12):
        both.ours("-p", "bulk", "-N", f"space{number % 3}", "put", f"small{number}", str(small))
    both.ours("-p", "bulk", "--object-locator", "key", "put", "located", str(small))
    for number in range(3):
        both.ours("-p", "bulk", "setomapval", "omap", f"key{number}", f"value{number}")
        both.ours("-p", "bulk", "setxattr", "large", f"attr{number}", f"value{number}")
    both.ours("-p", "bulk", "setomapheader", "omap", "head")


@pytest.mark.slow
def test_exports_are_the_same_bytes_and_are_read_by_either(both: Programs, tmp_path: Path) -> None:
    fill(both, tmp_path)
    files = {name: str(tmp_path / name) for name in ("theirs", "ours", "again", "back")}
    assert both.theirs("-p", "bulk", "export", files["theirs"])[0] == 0
    assert both.ours("-p", "bulk", "export", files["ours"])[0] == 0
    assert Path(files["ours"]).read_bytes() == Path(files["theirs"]).read_bytes()
    told = [
        sorted(run("-p", "copy", "import", "--dry-run", files["ours"])[1].splitlines())
        for run in (both.theirs, both.ours)
    ]
    assert told[0] == told[1]
    for importer in (both.ours, both.theirs):
        assert importer("-p", "copy", "import", files["ours"])[0] == 0
        assert both.theirs("-p", "copy", "export", files["again"])[0] == 0
        sizes = [Path(files[name]).stat().st_size for name in ("again", "ours")]
        assert sizes[0] == sizes[1]
    assert both.ours("-p", "copy", "get", "large", files["back"])[0] == 0
    assert Path(files["back"]).read_bytes() == (tmp_path / "large").read_bytes()
    code, told_of = both.ours("purge", "copy", SURE)
    assert (code, "Removed 15 objects" in told_of) == (0, True)
    assert both.theirs("-p", "copy", "ls", "--all") == (0, "")


def shape(text: str) -> list[str]:
    """Lines without their numbers; how many seconds there were does not count."""
    lines = [re.sub(r"[\d.e+-]+", "N", re.sub(r" +", " ", line)) for line in text.splitlines()]
    lines = [re.sub(r"benchmark_data_\S+", "PREFIX", line) for line in lines]
    return [line for line in lines if not re.fullmatch(r"[ N-]+", line)]


def without_heading(text: str) -> list[str]:
    """The real one has no time for the heading if it is done at once, and repeats it, under a line
    of the latencies so far, if it takes long."""
    return [line for line in shape(text) if "Cur ops" not in line and "min lat:" not in line]


def headings(*texts: str) -> set[str]:
    return {line for text in texts for line in text.splitlines() if "Cur ops" in line}


@pytest.mark.slow
def test_benchmarks_look_alike_and_find_each_others_objects(both: Programs) -> None:
    write = ("-p", "bulk", "bench", "60", "write", "-b", "4096", "-O", "8192", "-t", "4")
    told = [run(*write, "--no-cleanup", "--max-objects", "20") for run in (both.theirs, both.ours)]
    assert [code for code, _ in told] == [0, 0]
    shapes = [without_heading(text) for _, text in told]
    assert shapes[0] == shapes[1]
    assert len(headings(*(text for _, text in told))) == 1
    assert "Total writes made:      40" in told[1][1]
    for verb in ("seq", "rand"):
        read = [
            run("-p", "bulk", "bench", "1", verb, "-t", "4") for run in (both.theirs, both.ours)
        ]
        assert [code for code, _ in read] == [0, 0], read
        shapes = [without_heading(text) for _, text in read]
        assert shapes[0] == shapes[1]
    documents = []
    for run in (both.theirs, both.ours):
        code, output = run("-p", "bulk", "bench", "1", "rand", "-t", "4", "-f", "json")
        assert code == 0
        documents.append(json.loads(output.partition("\n")[2]))
    assert list(documents[0]) == list(documents[1])
    assert list(documents[0]["datas"][0]) == list(documents[1]["datas"][0])
    # The record is of our run, whose objects are removed; those of the other by their prefix.
    assert both.theirs("-p", "bulk", "cleanup") == (0, "Removed 20 objects\n")
    code, output = both.ours("-p", "bulk", "cleanup")
    assert (code, output) == (0, "Warning: using slow linear search\nRemoved 20 objects\n")
    assert both.theirs("-p", "bulk", "ls") == (0, "")


@pytest.mark.slow
def test_df_and_load(both: Programs) -> None:
    for words in (["df", "-p", "bulk"], ["df", "-p", "bulk", "-f", "json"]):
        told: list[str] = []

        def same(words: list[str] = words, told: list[str] = told) -> bool:
            """The manager tells of the new pools when it likes: perhaps between the two."""
            told[:] = [run(*words)[1].partition("total")[0] for run in (both.theirs, both.ours)]
            return told[0] == told[1]

        wait_until(same)
    load = ("load-gen", "--num-objects", "3", "--max-object-size", "64K", "--max-op-len", "4K")
    done: set[str] = set()

    def loaded() -> bool:
        """In a second there may be so few requests that all are of one kind."""
        code, output = both.ours("-p", "bulk", *load, "--run-length", "1", "--read-percent", "50")
        assert code == 0
        done.update(line.partition(" ")[0] for line in output.splitlines())
        return {"READ", "WRITE"} <= done

    wait_until(loaded)
    assert both.ours("-p", "bulk", "ls") == (0, "")
