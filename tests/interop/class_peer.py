"""Calls methods of object classes on a real cluster, run by the Python that has python3-rados.

Reads scripts as JSON from stdin, `{name: [[what, ...], ...]}`, bytes in base64; writes for each
step the return code, the output, the object afterwards, and what the step depended on: the time and
the newest version of the pool's PG. Not run as a test; see `class_scripts`.
"""

from __future__ import annotations

import base64
import json
import sys
import time

import rados

MOST = 10_000
LONGEST = 1 << 20


def enc(data):
    return base64.b64encode(data).decode()


dec = base64.b64decode


def state(ioctx, name):
    """The object as it is: None, or data, attributes and omap."""
    try:
        size, _ = ioctx.stat(name)
    except rados.ObjectNotFound:
        return None
    xattrs = {key: enc(value) for key, value in ioctx.get_xattrs(name)}
    with rados.ReadOpCtx() as op:
        entries, _ = ioctx.get_omap_vals(op, "", "", MOST)
        ioctx.operate_read_op(op, name)
        omap = [[enc(key.encode()), enc(value or b"")] for key, value in entries]
    return {"data": enc(ioctx.read(name, size)), "xattrs": xattrs, "omap": omap}


def step(ioctx, name, what, words):
    """One step; its return code and output."""
    if what == "call":
        return ioctx.execute(name, words[0], words[1], dec(words[2]), LONGEST)
    if what == "create":
        ioctx.write(name, b"")
    elif what == "data":
        ioctx.write_full(name, dec(words[0]))
    elif what == "xattr":
        ioctx.set_xattr(name, words[0], dec(words[1]))
    elif what == "omap":
        with rados.WriteOpCtx() as op:
            ioctx.set_omap(op, (words[0],), (dec(words[1]),))
            ioctx.operate_write_op(op, name)
    elif what == "remove":
        ioctx.remove_object(name)
    else:
        raise ValueError(what)
    return 0, b""


def run(ioctx, name, steps):
    """All steps of one script, on one object."""
    rows = []
    newest = run.newest
    for what, *words in steps:
        now = time.time()
        try:
            code, output = step(ioctx, name, what, words)
        except rados.Error as error:
            code, output = -error.errno, b""
        rows.append({"code": code, "output": enc(output), "now": now, "version": newest})
        run.newest = newest = max(newest, ioctx.get_last_version())
        rows[-1]["state"] = state(ioctx, name)
    return rows


run.newest = 0


def main():
    conf, keyring, pool = sys.argv[1:]
    scripts = json.load(sys.stdin)
    with (
        rados.Rados(conffile=conf, conf={"keyring": keyring}) as cluster,
        cluster.open_ioctx(pool) as ioctx,
    ):
        rows = {name: run(ioctx, name, steps) for name, steps in scripts.items()}
        client = {"id": cluster.get_instance_id(), "address": cluster.get_addrs()}
        print(json.dumps({**client, "rows": rows}))


main()
