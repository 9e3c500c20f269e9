"""Pools and snapshots that clients ask for by messages: librados on a real cluster and on ours.

Who may have ids of self-managed snapshots is decided by a client's caps (CVE-2018-10861).
"""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.interop.realcluster import ENVIRONMENT, RealCluster
from tests.interop.spirulacluster import our_cluster, settings
from tests.interop.test_commands_compared import OPTIONS

CLIENT = r"""
import json, rados, sys

conf, keyring = sys.argv[1:]
told = []


def cluster_of(name, key=None):
    options = {"keyring": keyring} if key is None else {"key": key}
    cluster = rados.Rados(conffile=conf, name=name, conf=options)
    cluster.connect(timeout=60)
    return cluster


def tell(what, call, *arguments):
    try:
        result = call(*arguments)
        told.append([what, "ok", result if isinstance(result, int) else None])
        return result
    except rados.Error as error:
        told.append([what, type(error).__name__, error.errno])


def command(cluster, prefix, **arguments):
    rc, out, outs = cluster.mon_command(json.dumps({"prefix": prefix, **arguments}), b"")
    assert rc == 0, (prefix, rc, outs)
    return out


admin = cluster_of("client.admin")
tell("create", admin.create_pool, "one")
tell("create again", admin.create_pool, "one")
tell("create with a rule", admin.create_pool, "two", 0)
tell("create with a rule that is not there", admin.create_pool, "three", 77)
pools = {name: admin.open_ioctx(name) for name in ("one", "two")}
tell("snapshot", pools["one"].create_snap, "s1")
tell("snapshot again", pools["one"].create_snap, "s1")
tell("lookup", pools["one"].lookup_snap, "nope")
tell("remove", pools["one"].remove_snap, "s1")
tell("remove again", pools["one"].remove_snap, "s1")
tell("self-managed id where the pool has snapshots", pools["one"].create_self_managed_snap)
first = tell("self-managed id", pools["two"].create_self_managed_snap)
tell("next self-managed id", pools["two"].create_self_managed_snap)
tell("remove id", pools["two"].remove_self_managed_snap, first)
tell("remove id again", pools["two"].remove_self_managed_snap, first)
tell("remove id of the future", pools["two"].remove_self_managed_snap, 99)
tell("snapshot where ids are self-managed", pools["two"].create_snap, "s2")
users = {
    "all": ["mon", "allow r", "osd", "allow *"],
    "writer": ["mon", "allow r", "osd", "allow rw pool=two"],
    "elsewhere": ["mon", "allow r", "osd", "allow rw pool=one"],
    "reader": ["mon", "allow r", "osd", "allow r pool=two"],
    "anywhere": ["mon", "allow r", "osd", "allow rw"],
    "tagged": ["mon", "allow r", "osd", "allow rw tag rbd data=two"],
    "namespaced": ["mon", "allow r", "osd", "allow rw namespace=x"],
    "rbd": ["mon", "profile rbd", "osd", "profile rbd pool=two"],
    "rbdro": ["mon", "profile rbd-read-only", "osd", "profile rbd-read-only pool=two"],
    "monitor": ["mon", "allow rw", "osd", "allow r"],
    "command": [
        "mon",
        'allow r, allow command "osd pool op unmanaged-snap" with poolname=two',
        "osd",
        "allow r",
    ],
}
for name, caps in users.items():
    out = command(admin, "auth get-or-create", entity="client." + name, caps=caps, format="json")
    user = cluster_of("client." + name, json.loads(out)[0]["key"])
    pool = user.open_ioctx("two")
    tell(name + " asks for an id", pool.create_self_managed_snap)
    tell(name + " removes an id", pool.remove_self_managed_snap, 3)
    tell(name + " makes a snapshot", pool.create_snap, "s3")
    tell(name + " makes a pool", user.create_pool, "of-" + name)
    tell(name + " deletes a pool", user.delete_pool, "of-" + name)
    user.shutdown()
tell("delete", admin.delete_pool, "one")
admin.wait_for_latest_osdmap()
document = json.loads(command(admin, "osd dump", format="json"))
told.append([
    [pool["pool_name"], pool["snap_seq"], pool["flags_names"], pool["snap_mode"]]
    for pool in document["pools"]
])
told.append(document["removed_snaps_queue"])
admin.shutdown()
print(json.dumps(told))
"""


def run_client(conf, keyring):
    ended = subprocess.run(
        ["/usr/bin/python3", "-c", CLIENT, str(conf), str(keyring)],
        capture_output=True,
        text=True,
        timeout=170,
        env=ENVIRONMENT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout)


@pytest.mark.interop
def test_pool_operations_end_as_on_a_real_cluster(tmp_path):
    real = RealCluster(tmp_path, mons=1, osds=0, managers=False, options=OPTIONS)
    try:
        real.start()
        expected = run_client(real.conf, real.keyring)
    finally:
        real.stop()
    with our_cluster(1, *settings(OPTIONS)) as ours:
        keyring = ours.run("ceph-conf", "--show-config-value", "keyring").strip()
        assert run_client(ours.conf, keyring) == expected
