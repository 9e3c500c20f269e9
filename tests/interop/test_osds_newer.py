"""Our OSDs and the `rados` of a newer release."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.interop import newer
from tests.interop.spirulacluster import our_cluster
from tests.interop.test_monitors_newer import Client

pytestmark = pytest.mark.skipif(newer.why_not() is not None, reason=str(newer.why_not()))


def test_a_newer_rados_stores_and_finds_its_data() -> None:
    with (
        our_cluster(1, osds=3) as ours,
        tempfile.TemporaryDirectory(dir=Path(newer.ROOT) / "tmp") as folder,
    ):
        ours.ceph("osd", "pool", "create", "data", "8")
        client = Client(ours, Path(folder))

        def rados(*words: str, data: str = "") -> str:
            ended = client.run("rados", "-p", "data", *words, data=data)
            assert ended.returncode == 0, (words, ended.stderr)
            return ended.stdout

        rados("put", "one", "-", data="of a newer release")
        rados("append", "one", "-", data=", and more")
        rados("setxattr", "one", "color", "blue")
        rados("setomapval", "one", "key", "value")
        rados("mksnap", "before")
        rados("put", "one", "-", data="other")
        assert rados("get", "one", "-") == "other"
        was = rados("-s", "before", "get", "one", "-")
        assert was.endswith("of a newer release, and more")
        assert rados("getxattr", "one", "color") == "blue"
        assert rados("listomapkeys", "one").split() == ["key"]
        rados("bench", "1", "write", "-b", "4096", "-t", "8")
        assert rados("ls").split() == ["one"]
