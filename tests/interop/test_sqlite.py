"""A database in RADOS: Debian's libsqlite3-mod-ceph (locks, striping, classes) on our OSDs."""

from __future__ import annotations

import ctypes.util
import shutil
from pathlib import Path

import pytest

from tests.interop.spirulacluster import our_cluster

LIBRARY = ctypes.util.find_library("cephsqlite")
FILL = """
create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t(b) select printf('row %d of a table that is larger than one object', i) from n;
delete from t where a % 3 = 0;
"""
LOOK = "select count(*), sum(a), max(b) from t; pragma integrity_check;"


@pytest.mark.skipif(
    LIBRARY is None or shutil.which("sqlite3") is None,
    reason="needs Debian's libsqlite3-mod-ceph and sqlite3",
)
def test_a_database_is_written_and_found_again(tmp_path: Path) -> None:
    with our_cluster(1, osds=3) as cluster:
        cluster.ceph("osd", "pool", "create", "data", "8")

        def sqlite(uri: str, script: str) -> str:
            opening = f".load libcephsqlite.so\n.open {uri}\n"
            return cluster.run("sqlite3", data=(opening + script).encode(), timeout_s=150)

        place = "file:///data:/test.db?vfs=ceph"
        sqlite(place, FILL)
        plain = f"file://{tmp_path}/plain.db"
        sqlite(plain, FILL)
        assert sqlite(place, LOOK) == sqlite(plain, LOOK)
        assert "ok" in sqlite(place, LOOK)
        assert cluster.run("rados", "-p", "data", "ls").startswith("test.db.")
