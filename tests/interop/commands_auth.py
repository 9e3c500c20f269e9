"""Commands about principals and config-key, as operators and deployment tools use them."""

from __future__ import annotations

from tests.interop.command_steps import BOTH, PLAIN, Step

KEY = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyA=="
OTHER_KEY = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyQ=="


def _ring(name: str, *caps: str, key: str = KEY) -> bytes:
    lines = [f"[{name}]", f"\tkey = {key}", *(f"\tcaps {cap}" for cap in caps)]
    return "".join(f"{line}\n" for line in lines).encode()


def _auth(verb: str, entity: str, *caps: str, data: bytes = b"", formats=PLAIN, **more) -> Step:
    arguments: dict[str, object] = {"entity": entity}
    if caps:
        arguments["caps"] = list(caps)
    return Step(f"auth {verb}", arguments, data, formats, **more)


def _import(data: bytes, **more) -> Step:
    return Step("auth import", data=data, formats=PLAIN, **more)


def _kv(verb: str, key: str, val: str | None = None, data: bytes = b"", formats=PLAIN) -> Step:
    arguments = {"key": key} if val is None else {"key": key, "val": val}
    return Step(f"config-key {verb}", arguments, data, formats)


IMPORTED = _ring("client.imp", 'mon = "allow r"', 'osd = "allow rw pool=x"')

KEYS = [
    _import(IMPORTED),
    *(_auth(verb, "client.imp", formats=BOTH) for verb in ("get", "get-key", "print-key")),
    *(_auth(verb, "client.imp", formats=BOTH) for verb in ("print_key", "export")),
    *(_auth(verb, "client.nosuch") for verb in ("get", "get-key", "print-key", "export")),
    *(_auth(verb, "nonsense") for verb in ("get", "get-key", "export", "rm", "add")),
    _auth("get", "foo.bar"),
    _import(b""),
    _import(_ring("client.nocap")),
    _import(b"garbage"),
    _import(b"[client.x]\n\tkey = !!!\n", compare_text=False),
    _import(b"[x]\n\tkey = abc\n"),
    _import(_ring("client.badcap", 'mon = "nonsense here"')),
    _auth("get", "client.badcap", formats=BOTH),
    _auth("rm", "client.badcap"),
    _auth("rm", "client.badcap"),
    _auth("del", "client.badcap"),
    _auth("add", "client.a1", "mon", "allow r", "osd", "allow rwx pool=rbd"),
    _auth("add", "client.a1", "mon", "allow r", "osd", "allow rwx pool=rbd"),
    _auth("add", "client.a1", "mon", "allow r"),
    _auth("add", "client.a1", "mon", "allow r", "osd", "allow r"),
    _auth("add", "client.a2", "mon"),
    _auth("add", "client.a2", "mon", "allow z"),
    _auth("add", "client.a2", "foo", "allow r"),
    _auth("add", "client.imp", data=IMPORTED),
    _auth("add", "client.imp", "mon", "allow r", data=IMPORTED),
    _auth("add", "client.other", data=IMPORTED),
    _auth("add", "client.other", data=b"garbage"),
    _auth("add", "client.imp", data=IMPORTED.replace(KEY.encode(), OTHER_KEY.encode())),
    _auth("add", "client.bare"),
    _auth("get", "client.bare", formats=BOTH),
    _auth("get-or-create", "client.imp", formats=BOTH),
    _auth("get-or-create", "client.imp", "mon", "allow r", formats=BOTH),
    _auth("get-or-create", "client.imp", "mon", "allow rw"),
    _auth("get-or-create", "client.imp", "mgr", "allow r"),
    _auth("get-or-create-key", "client.imp", formats=BOTH),
    _auth("get-or-create-key", "client.imp", "mon", "allow *"),
    _auth("get-or-create", "client.q", "mon", "allow r", "osd", 'allow rwx pool="a b"'),
    _auth("get-or-create", "client.q1", "mds", "allow rw path=/x", "mgr", "allow r", formats=BOTH),
    _auth("get-or-create", "client.q2", "mgr", "profile bogus"),
    _auth("get-or-create", "client.q2", "mds", "allow bogus"),
    _auth("get-or-create", "client.q2", "osd", "allow bogus"),
    _auth("get-or-create", "client.q2", "mon", "profile bogus"),
    _auth("get-or-create", "client.q2", "mon", "allow r", "osd"),
    _auth("get-or-create", "client.q3"),
    _auth("get", "client.q3", formats=BOTH),
    _auth("get-or-create-key", "client.q4", "mon", "allow r"),
    _auth("get-or-create-key", "client.q5", "mon", "allow r", formats=("json",)),
    _auth("caps", "client.q", "mon", "allow *"),
    _auth("get", "client.q", formats=BOTH),
    _auth("caps", "client.nosuch", "mon", "allow r"),
    _auth("caps", "client.q", "mon", "allow bla"),
    _auth("caps", "client.q", "mon"),
    Step("auth caps", {"entity": "client.q", "caps": []}, formats=PLAIN),
    _auth("get", "client.q", formats=BOTH),
    _auth("get", "mon.", formats=BOTH),
    _auth("get-key", "mon."),
    _auth("export", "mon."),
    Step("auth ls"),
    Step("auth list"),
    Step("auth export"),
    _auth("get-or-create-pending", "client.imp"),
]

CONFIG_KEYS = [
    _kv("set", "a/b", "x y"),
    _kv("get", "a/b", formats=BOTH),
    _kv("exists", "a/b"),
    _kv("exists", "a/c"),
    _kv("get", "a/c"),
    _kv("set", "a/bin", data=b"\x00\x01bin\xff"),
    _kv("get", "a/bin"),
    _kv("dump", "a/", formats=BOTH),
    _kv("put", "a/p"),
    _kv("get", "a/p"),
    _kv("set", "a/both", "from val", b"from data"),
    _kv("get", "a/both"),
    _kv("set", "a/big", data=b"x" * 65537),
    _kv("set", "a/big", data=b"x" * 65536),
    _kv("rm", "a/big"),
    _kv("del", "a/p"),
    _kv("rm", "a/p"),
    _kv("dump", "a/b", formats=BOTH),
    _kv("dump", "nosuch", formats=BOTH),
    _kv("set", "", "x"),
    _kv("get", ""),
    _kv("rm", ""),
    _kv("set", "uml\u00e4ut", "\u00e4"),
    _kv("dump", "uml", formats=BOTH),
    _kv("get", "uml\u00e4ut"),
]
