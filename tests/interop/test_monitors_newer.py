"""Our monitors and the clients of a newer release: its `ceph` command and its librados."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import newer
from tests.interop.realcluster import ENVIRONMENT
from tests.interop.spirulacluster import OurCluster, our_cluster, wait_until

pytestmark = pytest.mark.skipif(newer.why_not() is not None, reason=str(newer.why_not()))

LIBRADOS = """
import json, rados, sys
with rados.Rados(conffile=sys.argv[1]) as cluster:
    def ask(**words):
        code, out, status = cluster.mon_command(json.dumps(words), b"", timeout=60)
        return code, out.decode(), status
    said = {
        "fsid": cluster.get_fsid(),
        "pools": cluster.list_pools(),
        "status": ask(prefix="status", format="json"),
        "create": ask(prefix="osd pool create", pool="from-librados", pg_num=8),
        "refused": ask(prefix="osd pool get", pool="nowhere", var="size"),
        "unknown": ask(prefix="no such command"),
        "config": ask(prefix="config-key set", key="a/b", val="c"),
    }
    cluster.wait_for_latest_osdmap()
    print(json.dumps(said | {"after": cluster.list_pools()}))
"""


class Client:
    """Programs of the newer release, with a configuration that they see inside their root."""

    def __init__(self, ours: OurCluster, folder: Path) -> None:
        self.ours, self.folder = ours, folder
        self.conf = newer.inside(str(folder / "ceph.conf"))
        keyring = shutil.copy(ours.folder / "keyring", folder / "keyring")
        text = ours.conf.read_text()
        for path in (ours.folder / "keyring", ours.folder / "run"):
            text = text.replace(str(path), newer.inside(str(folder / path.name)))
        assert keyring.exists()
        (folder / "ceph.conf").write_text(text)

    def run(self, *command: str, data: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["chroot", newer.ROOT, "env", f"CEPH_CONF={self.conf}", *command],
            env=ENVIRONMENT,
            input=data,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ceph(self, *words: str, data: str = "") -> str:
        """What `ceph WORDS...` prints; it must work."""
        ended = self.run("ceph", "--connect-timeout", "20", *words, data=data)
        assert ended.returncode == 0, (words, ended.stderr)
        return ended.stdout

    def json(self, *words: str):
        return json.loads(self.ceph(*words, "--format", "json"))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    place = Path(newer.ROOT, "tmp")
    with our_cluster(3) as ours, tempfile.TemporaryDirectory(prefix="sp-", dir=place) as folder:
        yield Client(ours, Path(folder))


def test_it_is_newer(client: Client) -> None:
    release = client.ceph("--version").split()[2].split(".")
    assert int(release[0]) >= 18


def test_status_and_health(client: Client) -> None:
    wait_until(lambda: "mon: 3 daemons, quorum a,b,c" in client.ceph("-s"))
    status = client.json("status")
    assert status["quorum_names"] == ["a", "b", "c"]
    assert status["health"]["status"] in {"HEALTH_OK", "HEALTH_WARN"}
    assert client.ceph("health", "detail").startswith("HEALTH_")
    assert client.json("quorum_status")["quorum_leader_name"] == "a"
    # The others tell the leader of themselves when they acknowledge its next lease.
    wait_until(lambda: set(client.json("versions")["overall"].values()) == {3})
    wait_until(lambda: client.json("features")["mon"][0]["num"] == 3)


def test_monitor_map(client: Client) -> None:
    assert [mon["name"] for mon in client.json("mon", "dump")["mons"]] == ["a", "b", "c"]
    assert client.json("mon", "stat")["leader"] == "a"
    wait_until(lambda: len(client.json("mon", "metadata")) == 3)


def test_osd_map(client: Client) -> None:
    assert client.json("osd", "dump")["fsid"] == client.ceph("fsid").strip()
    assert client.json("osd", "tree")["nodes"][0]["name"] == "default"
    assert client.ceph("osd", "stat").startswith("0 osds")
    client.ceph("osd", "set", "noout")
    assert "noout" in client.json("osd", "dump")["flags_set"]
    client.ceph("osd", "unset", "noout")
    new = "11111111-2222-3333-4444-555555555555"
    assert client.ceph("osd", "new", new).strip() == "0"
    client.ceph("osd", "crush", "add", "osd.0", "1.5", "host=here", "root=default")
    names = {node["name"] for node in client.json("osd", "tree")["nodes"]}
    assert names == {"default", "here", "osd.0"}
    client.ceph("osd", "crush", "rm", "osd.0")
    client.ceph("osd", "rm", "0")
    assert client.json("osd", "ls") == []


def test_pools(client: Client) -> None:
    client.ceph("osd", "pool", "create", "p", "16")
    client.ceph("osd", "pool", "set", "p", "pg_num_min", "4")
    assert client.json("osd", "pool", "get", "p", "pg_num_min")["pg_num_min"] == 4
    client.ceph("osd", "pool", "application", "enable", "p", "rbd")
    detail = client.json("osd", "pool", "ls", "detail")
    assert next(pool for pool in detail if pool["pool_name"] == "p")["pg_num_target"] == 16
    client.ceph("osd", "pool", "rename", "p", "q")
    client.ceph("config", "set", "mon", "mon_allow_pool_delete", "true")
    sure = "--yes-i-really-really-mean-it"
    ended = client.run("ceph", "osd", "pool", "delete", "q", "q", sure)
    assert ended.returncode == 0, ended.stderr
    assert "q" not in client.json("osd", "pool", "ls")
    ended = client.run("ceph", "osd", "pool", "get", "nowhere", "size")
    assert (ended.returncode, "unrecognized pool 'nowhere'" in ended.stderr) == (2, True)


def test_configuration(client: Client) -> None:
    client.ceph("config", "set", "osd", "osd_max_backfills", "3")
    shown = {row["name"]: row["value"] for row in client.json("config", "dump")}
    assert shown["osd_max_backfills"] == "3"
    assert client.ceph("config", "get", "osd.7", "osd_max_backfills").strip() == "3"
    client.ceph("config", "rm", "osd", "osd_max_backfills")
    client.ceph("config-key", "set", "k", "v")
    assert client.ceph("config-key", "get", "k").strip() == "v"


def test_keys(client: Client) -> None:
    words = ("mon", "allow r", "osd", "allow rw pool=p")
    made = client.ceph("auth", "get-or-create", "client.x", *words)
    assert made.startswith("[client.x]\n\tkey = ")
    assert client.json("auth", "get", "client.x")[0]["caps"]["mon"] == "allow r"
    (client.folder / "client.x").write_text(made)
    keyring = newer.inside(str(client.folder / "client.x"))
    as_x = ("ceph", "--connect-timeout", "20", "-n", "client.x", "--keyring", keyring)
    assert client.run(*as_x, "osd", "dump").returncode == 0
    assert client.run(*as_x, "osd", "set", "noout").returncode == 13
    client.ceph("auth", "rm", "client.x")


def test_one_monitor_alone(client: Client) -> None:
    assert client.json("tell", "mon.a", "mon_status")["name"] == "a"
    assert "16." in client.ceph("tell", "mon.b", "version")
    assert client.json("tell", "mon.c", "config", "show")["name"] == "mon.c"


def test_log(client: Client) -> None:
    client.ceph("log", "a line of a newer client")
    wait_until(
        lambda: "a line of a newer client" in client.ceph("log", "last", "20", "info", "cluster")
    )


def test_maps_are_files_for_the_newer_programs(client: Client) -> None:
    path = newer.inside(str(client.folder / "osdmap"))
    client.ceph("osd", "getmap", "-o", path)
    printed = client.run("osdmaptool", "--print", path)
    assert printed.returncode == 0, printed.stderr
    assert f"fsid {client.ceph('fsid').strip()}" in printed.stdout
    path = newer.inside(str(client.folder / "monmap"))
    client.ceph("mon", "getmap", "-o", path)
    assert "mon.c" in client.run("monmaptool", "--print", path).stdout


def test_librados(client: Client) -> None:
    found = client.run("python3", "-c", LIBRADOS, client.conf)
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert said["fsid"] == client.ceph("fsid").strip()
    assert said["status"][0] == said["create"][0] == said["config"][0] == 0
    assert said["refused"][0] == -2
    assert (said["unknown"][0], said["unknown"][2]) == (-22, "command not known")
    assert "from-librados" in said["after"]
