"""Commands of the config-key store.

Outputs and status lines follow upstream `src/mon/KVMonitor.cc`. Called through the command table.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from spirula.commands.arguments import text
from spirula.commands.reply import Reply, committed, lines, said
from spirula.commands.table import CommandFlag, Commands
from spirula.errors import CephError, NotFound
from spirula.printing import Items

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.kv.service import KVService

commands = Commands("config-key")

_PRINTABLE = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A}


@commands.add("config-key get", key=text(), perm="r", help="print the value of a key")
def get(service: KVService, request: Request, key: str) -> Reply:
    """A value, byte for byte."""
    value = service.read(key)
    if value is None:
        raise NotFound
    return said("", value)


@commands.add("config-key exists", key=text(), perm="r", help="tell whether a key is there")
def exists(service: KVService, request: Request, key: str) -> Reply:
    """0, or ENOENT."""
    if service.read(key) is None:
        raise NotFound(f"key '{key}' doesn't exist")
    return said(f"key '{key}' exists")


@commands.add("config-key list", perm="r", flags=CommandFlag.DEPRECATED, help="list all keys")
@commands.add("config-key ls", perm="r", help="list all keys")
def list_keys(service: KVService, request: Request) -> Reply:
    """All keys."""
    keys = Items("key", [key for key, _ in service.items()])
    return said("", lines(request.render(keys, "keys")))


@commands.add(
    "config-key dump",
    key=text(required=False),
    perm="r",
    help="print keys and values, all or those that begin so",
)
def dump(service: KVService, request: Request, key: str = "") -> Reply:
    """Keys and values; of values that are no text, the length."""
    document = {name: _shown(value) for name, value in service.items(key)}
    return said("", lines(request.render(document, "config-key store")))


def _shown(value: bytes) -> str:
    if _PRINTABLE.issuperset(value):
        return value.decode("ascii")
    return f"<<< binary blob of length {len(value)} >>>"


@commands.add(
    "config-key set",
    key=text(),
    val=text(required=False),
    perm="rw",
    help="set a key to a value, or to the input given with -i",
)
@commands.add(
    "config-key put",
    key=text(),
    val=text(required=False),
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="set a key to a value, or to the input given with -i",
)
def put(service: KVService, request: Request, key: str, val: str | None = None) -> Reply:
    """Sets a key; without a value and without input it becomes empty."""
    value = request.data if val is None else val.encode("utf-8", "surrogateescape")
    limit = service.monitor.config.get_int("mon_config_key_max_entry_size")
    if len(value) > limit:
        raise CephError(
            f"error: entry size limited to {limit} bytes. "
            "Use 'mon config key max entry size' to manually adjust",
            errno=errno.EFBIG,
        )
    service.put(key, value)
    service.propose()
    return committed(f"set {key}")


@commands.add(
    "config-key del", key=text(), perm="rw", flags=CommandFlag.DEPRECATED, help="remove a key"
)
@commands.add("config-key rm", key=text(), perm="rw", help="remove a key")
def remove(service: KVService, request: Request, key: str) -> Reply:
    """Removes a key, if it is there."""
    service.remove(key)
    service.propose()
    return committed("key deleted")
