"""Logs in to monitors as several entities and tells what each may do and is sent.

Run by the system's Python, which has Ceph's `rados` module: `python3 keys_peer.py CONF MON_HOST`,
the latter one monitor's addresses. Prints a JSON document. Called by `test_keys_live`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import rados

CONF, MON_HOST = sys.argv[1:]
SECRET = "dm-crypt/osd/1/luks"
PATIENCE_S = 60.0


def connect(entity: str, key: str = "") -> Any:
    client = rados.Rados(conffile=CONF, rados_id=entity.removeprefix("client."))
    client.conf_set("mon_host", MON_HOST)
    if key:
        client.conf_set("key", key)
        client.conf_set("keyring", "")
    client.connect(timeout=60)
    return client


def ask(client: Any, prefix: str, **arguments: object) -> tuple[int, str]:
    command = json.dumps({"prefix": prefix, **arguments})
    rc, output, _ = client.mon_command(command, b"", timeout=60)
    return rc, output.decode()


def login(entity: str, key: str) -> str:
    try:
        connect(entity, key).shutdown()
    except rados.Error as error:
        return type(error).__name__
    return "logged in"


def settles(client: Any, name: str, value: str) -> str:
    """An option's value as soon as it is the one expected, or after a while."""
    end = time.monotonic() + PATIENCE_S
    while client.conf_get(name) != value and time.monotonic() < end:
        time.sleep(0.01)
    return str(client.conf_get(name))


admin = connect("client.admin")
found: dict[str, object] = {}
ask(admin, "config-key set", key=SECRET, val="secret")
_, made = ask(admin, "auth get-or-create-key", entity="client.r", caps=["mon", "allow r"])
key = made.strip()
reader = connect("client.r", key)
found["ids"] = [admin.get_instance_id(), reader.get_instance_id()]
found["reader"] = {
    "osd dump": ask(reader, "osd dump")[0],
    "config-key get": ask(reader, "config-key get", key=SECRET)[0],
    "config-key dump": ask(reader, "config-key dump")[0],
    "auth get": ask(reader, "auth get", entity="client.admin")[0],
    "config set": ask(reader, "config set", who="osd", name="debug_osd", value="1")[0],
}
box = f'allow command "config-key get" with key="{SECRET}"'
_, made = ask(admin, "auth get-or-create-key", entity="client.box", caps=["mon", box])
lockbox = connect("client.box", made.strip())
found["lockbox"] = {
    "its own": ask(lockbox, "config-key get", key=SECRET),
    "another": ask(lockbox, "config-key get", key="config/x")[0],
}
ask(admin, "config set", who="client", name="rbd_cache_size", value="64M")
ask(admin, "config set", who="client.r", name="rbd_cache", value="false")
found["told"] = [
    settles(reader, "rbd_cache_size", "67108864"),
    settles(reader, "rbd_cache", "false"),
]
ask(admin, "config rm", who="client.r", name="rbd_cache")
found["told back"] = settles(reader, "rbd_cache", "true")
ask(admin, "auth caps", entity="client.r", caps=["mon", "allow *"])
promoted = connect("client.r", key)
found["promoted"] = ask(promoted, "config-key get", key=SECRET)
ask(admin, "auth rm", entity="client.r")
found["removed"] = login("client.r", key)
found["wrong key"] = login("client.admin", key)
for client in (admin, reader, lockbox, promoted):
    client.shutdown()
json.dump(found, sys.stdout)
