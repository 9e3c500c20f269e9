"""Principals and config-key, as operators and deployment tools use them.

Not here: an `auth import` of which a part is refused. Ours imports nothing; a real monitor keeps
the other part in what is pending.
"""

from __future__ import annotations

from tests.interop.compared import Step

KEY = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyA=="
OTHER_KEY = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyQ=="


def _ring(name: str, *caps: str, key: str = KEY) -> bytes:
    lines = [f"[{name}]", f"\tkey = {key}", *(f"\tcaps {cap}" for cap in caps)]
    return "".join(f"{line}\n" for line in lines).encode()


def _auth(verb: str, entity: str, *caps: str, data: bytes = b"", **more: object) -> Step:
    given = {"caps": list(caps)} if caps else {}
    return Step(f"auth {verb}", data, entity=entity, **given, **more)


def _shown(verb: str, entity: str, *caps: str) -> list[Step]:
    """In plain, and as a document."""
    return [_auth(verb, entity, *caps), _auth(verb, entity, *caps, format="json")]


def _kv(verb: str, key: str, val: str | None = None, data: bytes = b"") -> list[Step]:
    given = {} if val is None else {"val": val}
    return [Step(f"config-key {verb}", data, key=key, **given)]


def _kv_shown(verb: str, key: str) -> list[Step]:
    return [Step(f"config-key {verb}", key=key), Step(f"config-key {verb}", key=key, format="json")]


IMPORTED = _ring("client.imp", 'mon = "allow r"', 'osd = "allow rw pool=x"')

KEYS = [
    Step("auth import", IMPORTED),
    *_shown("get", "client.imp"),
    *_shown("get-key", "client.imp"),
    *_shown("print-key", "client.imp"),
    *_shown("print_key", "client.imp"),
    *_shown("export", "client.imp"),
    *(_auth(verb, "client.nosuch") for verb in ("get", "get-key", "print-key", "export")),
    *(_auth(verb, "nonsense") for verb in ("get", "get-key", "export", "rm", "add")),
    _auth("get", "foo.bar"),
    Step("auth import"),
    Step("auth import", _ring("client.nocap")),
    Step("auth import", b"garbage"),
    Step("auth import", b"[client.x]\n\tkey = !!!\n", outs=False),
    Step("auth import", b"[x]\n\tkey = abc\n"),
    Step("auth import", _ring("client.badcap", 'mon = "nonsense here"')),
    *_shown("get", "client.badcap"),
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
    *_shown("get", "client.bare"),
    *_shown("get-or-create", "client.imp"),
    *_shown("get-or-create", "client.imp", "mon", "allow r"),
    _auth("get-or-create", "client.imp", "mon", "allow rw"),
    _auth("get-or-create", "client.imp", "mgr", "allow r"),
    *_shown("get-or-create-key", "client.imp"),
    _auth("get-or-create-key", "client.imp", "mon", "allow *"),
    _auth("get-or-create", "client.q", "mon", "allow r", "osd", 'allow rwx pool="a b"'),
    *_shown("get-or-create", "client.q1", "mds", "allow rw path=/x", "mgr", "allow r"),
    _auth("get-or-create", "client.q2", "mgr", "profile bogus"),
    _auth("get-or-create", "client.q2", "mds", "allow bogus"),
    _auth("get-or-create", "client.q2", "osd", "allow bogus"),
    _auth("get-or-create", "client.q2", "mon", "profile bogus"),
    _auth("get-or-create", "client.q2", "mon", "allow r", "osd"),
    _auth("get-or-create", "client.q3"),
    *_shown("get", "client.q3"),
    _auth("get-or-create-key", "client.q4", "mon", "allow r"),
    _auth("get-or-create-key", "client.q5", "mon", "allow r", format="json"),
    _auth("caps", "client.q", "mon", "allow *"),
    *_shown("get", "client.q"),
    _auth("caps", "client.nosuch", "mon", "allow r"),
    _auth("caps", "client.q", "mon", "allow bla"),
    _auth("caps", "client.q", "mon"),
    Step("auth caps", entity="client.q", caps=[]),
    *_shown("get", "client.q"),
    *_shown("get", "mon."),
    _auth("get-key", "mon."),
    _auth("export", "mon."),
    # What the clusters themselves began with differs.
    *(_auth("rm", entity, outs=False) for entity in ("mgr.x", "osd.0", "osd.1", "osd.2")),
    *(Step(f"auth {verb}") for verb in ("ls", "list", "export")),
    *(Step(f"auth {verb}", format="json") for verb in ("ls", "list", "export")),
    _auth("get-or-create-pending", "client.imp"),
]

CONFIG_KEYS = [
    *_kv("set", "a/b", "x y"),
    *_kv("get", "a/b"),
    *_kv("exists", "a/b"),
    *_kv("exists", "a/c"),
    *_kv("get", "a/c"),
    *_kv("set", "a/bin", data=b"\x00\x01bin\xff"),
    *_kv("get", "a/bin"),
    *_kv_shown("dump", "a/"),
    *_kv("put", "a/p"),
    *_kv("get", "a/p"),
    *_kv("set", "a/both", "from val", b"from data"),
    *_kv("get", "a/both"),
    *_kv("set", "a/big", data=b"x" * 65537),
    *_kv("set", "a/big", data=b"x" * 65536),
    *_kv("rm", "a/big"),
    *_kv("del", "a/p"),
    *_kv("rm", "a/p"),
    *_kv_shown("dump", "a/b"),
    *_kv_shown("dump", "nosuch"),
    *_kv("set", "", "x"),
    *_kv("get", ""),
    *_kv("rm", ""),
    *_kv("set", "uml\u00e4ut", "\u00e4"),
    *_kv_shown("dump", "uml"),
    *_kv("get", "uml\u00e4ut"),
]

STEPS = [*KEYS, *CONFIG_KEYS]
