"""One program of `rados`, four ways: our module and Debian's, on our cluster and on a real one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interop import newer
from tests.interop.realcluster import ENVIRONMENT, real_cluster_of, why_not
from tests.interop.spirulacluster import our_cluster

BODY = Path(__file__).with_name("rados_body.py")
SOURCES = Path(__file__).parents[2] / "src"
PYTHON = {"rados": "/usr/bin/python3", "spirula.rados": sys.executable}
DELETABLE = {"mon_allow_pool_delete": "true", "osd_pool_default_size": "2"}


def run(module: str, conf: Path) -> list[str]:
    ended = subprocess.run(
        [PYTHON[module], str(BODY), module, str(conf)],
        env={**ENVIRONMENT, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    # The one place where Debian's module names a type by its module.
    lines = ended.stdout.replace("expected rados.WriteOp", "expected WriteOp").splitlines()
    assert lines[-1:] == ["that is all"], (module, lines[-3:], ended.stderr[-2000:])
    return lines


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[tuple[str, str], list[str]]]:
    """What each of the four prints; the two on each cluster run one after the other."""
    if reason := why_not():
        pytest.skip(reason)
    if subprocess.run([PYTHON["rados"], "-c", "import rados"], check=False).returncode:
        pytest.skip("no python3-rados here: install what requirements/debian.txt lists")
    words = [word for name, value in DELETABLE.items() for word in ("-o", f"{name}={value}")]
    found: dict[tuple[str, str], list[str]] = {}

    def both(name: str, conf: Path) -> None:
        for module in PYTHON:
            found[module, name] = run(module, conf)

    real = real_cluster_of(osds=2, managers=False, options=DELETABLE)
    with real as one, our_cluster(1, "--osds", "2", *words) as other, ThreadPoolExecutor() as pool:
        list(pool.map(both, ("real", "ours"), (one.conf, other.conf)))
        yield found


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "which", [("spirula.rados", "real"), ("rados", "ours"), ("spirula.rados", "ours")]
)
def test_it_is_all_the_same(
    answers: dict[tuple[str, str], list[str]], which: tuple[str, str]
) -> None:
    expected = answers["rados", "real"]
    different = [
        f"{theirs}\n  {' on '.join(which)}: {ours}"
        for theirs, ours in zip(expected, answers[which], strict=True)
        if theirs != ours
    ]
    assert not different, "\n".join(different)
    assert len(expected) > 250


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_is_all_the_same_on_a_newer_release(tmp_path: Path) -> None:
    """Our module and the newer release's own on its cluster, and that one on ours."""
    if reason := newer.why_not():
        pytest.skip(reason)
    words = [word for name, value in DELETABLE.items() for word in ("-o", f"{name}={value}")]
    with newer.newer_cluster_of(osds=2, managers=False, options=DELETABLE) as cluster:
        outside = tmp_path / "ceph.conf"
        folder = str(cluster.folder)
        outside.write_text(cluster.conf.read_text().replace(newer.inside(folder), folder))
        ours = run("spirula.rados", outside)
        body = shutil.copy(BODY, cluster.folder)

        def theirs(conf: Path) -> list[str]:
            command = ["chroot", newer.ROOT, "python3", *map(newer.inside, (body, "rados"))]
            ended = subprocess.run(
                [*command, newer.inside(str(conf))],
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
            lines = ended.stdout.replace("expected rados.WriteOp", "expected WriteOp").splitlines()
            assert lines[-1:] == ["that is all"], ended.stderr[-2000:]
            return lines

        expected = theirs(cluster.conf)
        assert ours == expected
        with our_cluster(1, "--osds", "2", *words) as other:
            conf, keyring = cluster.folder / "ours.conf", cluster.folder / "ours.keyring"
            shutil.copy(other.conf.parent / "keyring", keyring)
            text = other.conf.read_text().replace(str(other.conf.parent / "keyring"), str(keyring))
            conf.write_text(newer.inside(text))
            assert theirs(conf) == expected
