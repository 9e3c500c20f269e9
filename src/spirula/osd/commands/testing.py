"""Commands for tests of what goes wrong: a full disk, objects changed behind the PG's back.

They change one OSD's store alone, which is damage. Texts: upstream `src/osd/OSD.cc`
(TestOpsSocketHook).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

from spirula.conf.admin_commands import Call, CommandTable, Outcome, Reply
from spirula.errors import CephError, InvalidArgument, NotFound, NotSupported
from spirula.maps.placement import hash_key, raw_pg_to_pg
from spirula.maps.query import find_pool
from spirula.osd import reports
from spirula.osd.reports import FULL_NAMES
from spirula.osd.state import OSD
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.pg import Coll, PGId, SPGId
from spirula.types.transaction import Transaction

_OBJECT = "name=pool,type=CephString name=objname,type=CephObjectname"


def register(table: CommandTable, osd: OSD) -> None:
    """Adds these commands."""
    add = table.register
    add(
        "injectfull name=type,type=CephString,req=false name=count,type=CephInt,req=false",
        lambda call: _inject_full(osd, call),
        "act as if the disk were full (so many times)",
    )
    for signature, doing in (
        ("debug kick_recovery_wq name=delay,type=CephInt,range=0", "kicking recovery queue."),
        ("set_recovery_delay name=utime,type=CephInt,req=false", "set_recovery_delay:"),
    ):
        add(
            signature,
            partial(_delay_recovery, osd, doing),
            "begin to recover objects so many seconds from now",
        )
    add(
        f"setomapval {_OBJECT} name=key,type=CephString name=val,type=CephString",
        lambda call: _change(osd, call, _set_value),
        "set an entry of an object's omap",
    )
    add(
        f"rmomapkey {_OBJECT} name=key,type=CephString",
        lambda call: _change(osd, call, _remove_key),
        "remove an entry of an object's omap",
    )
    add(
        f"setomapheader {_OBJECT} name=header,type=CephString",
        lambda call: _change(osd, call, _set_header),
        "set the header of an object's omap",
    )
    add(
        f"truncobj {_OBJECT} name=len,type=CephInt",
        lambda call: _change(osd, call, _truncate),
        "cut an object",
    )
    for prefix, mark, text in (
        ("injectdataerr", lambda store, oid: store.inject_data_error(oid), "data"),
        ("injectmdataerr", lambda store, oid: store.inject_metadata_error(oid), "attributes"),
    ):
        add(
            f"{prefix} {_OBJECT} name=shardid,type=CephInt,req=false,range=0|255",
            partial(_inject_error, osd, mark),
            f"let reads of an object's {text} fail here",
        )
    add(f"getomap {_OBJECT}", lambda call: _get_omap(osd, call), "an object's whole omap")


def _delay_recovery(osd: OSD, doing: str, call: Call) -> Reply:
    option = "osd_recovery_delay_start"
    seconds = call.number("utime", call.number("delay", 0))
    osd.config.set(option, str(seconds))
    osd.config.apply_changes()
    return Outcome(0, f"{doing} set {option} to {seconds}")


def _inject_full(osd: OSD, call: Call) -> Reply:
    name = call.text("type", "full")
    if name not in FULL_NAMES:
        raise InvalidArgument(f"Bad state '{name}': one of {', '.join(FULL_NAMES)}")
    osd.reports.injected = FULL_NAMES[name]
    osd.reports.inject_count = call.number("count", -1) if FULL_NAMES[name] else 0
    reports.refresh_statfs(osd)
    return b""


def _find(osd: OSD, call: Call) -> tuple[Coll, GHObject]:
    """The object of a command, which must be led by this OSD."""
    osdmap, text = osd.maps.current, call.text("pool")
    pool = find_pool(osdmap, text)
    if pool is None and text.isdecimal():
        pool = int(text)
    if pool is None or pool not in osdmap.pools:
        raise NotFound(f"Invalid pool '{text}'")
    nspace, slash, name = call.text("objname").rpartition("/")
    nspace = nspace if slash else ""
    hashed = hash_key(osdmap.pools[pool], name, nspace)
    pgid = raw_pg_to_pg(osdmap.pools[pool], PGId(pool, hashed))
    spgid = next((one for one in osd.pgs.by_id if one.pgid == pgid), SPGId(pgid))
    if spgid not in osd.pgs.by_id:
        raise InvalidArgument(f"Invalid namespace/objname: pg {pgid} is not on this OSD")
    hobj = HObject.of(pool, name, hashed, nspace=nspace)
    return Coll.of(spgid), GHObject(hobj, NO_GEN, spgid.shard)


def _set_value(transaction: Transaction, cid: Coll, oid: GHObject, call: Call) -> None:
    value = call.text("val").encode("utf-8", "surrogateescape")
    transaction.omap_setkeys(cid, oid, {call.text("key"): value})


def _remove_key(transaction: Transaction, cid: Coll, oid: GHObject, call: Call) -> None:
    transaction.omap_rmkeys(cid, oid, [call.text("key")])


def _set_header(transaction: Transaction, cid: Coll, oid: GHObject, call: Call) -> None:
    transaction.omap_setheader(cid, oid, call.text("header").encode("utf-8", "surrogateescape"))


def _truncate(transaction: Transaction, cid: Coll, oid: GHObject, call: Call) -> None:
    transaction.truncate(cid, oid, call.number("len"))


_How = Callable[[Transaction, Coll, GHObject, Call], None]


def _change(osd: OSD, call: Call, how: _How) -> Reply:
    cid, oid = _find(osd, call)
    if not osd.store.exists(cid, oid):
        raise NotFound(f"there is no object {oid}")
    transaction = Transaction()
    how(transaction, cid, oid, call)
    osd.store.queue_transactions(cid, [transaction])
    return "ok"


@runtime_checkable
class Faulty(Protocol):
    """A store that can be made to fail."""

    def inject_data_error(self, oid: GHObject) -> None:
        """Reads of the object's data fail from now on."""

    def inject_metadata_error(self, oid: GHObject) -> None:
        """Reads of its attributes fail from now on."""


def _inject_error(osd: OSD, mark: Callable[[Faulty, GHObject], None], call: Call) -> Reply:
    _, oid = _find(osd, call)
    if not isinstance(osd.store, Faulty):
        raise NotSupported("the store of this OSD cannot be made to fail")
    mark(osd.store, oid)
    return "ok"


def _get_omap(osd: OSD, call: Call) -> Reply:
    cid, oid = _find(osd, call)
    try:
        header, entries = osd.store.omap_get(cid, oid)
    except NotFound:
        raise CephError.from_errno(2, f"error getting omap of {oid}") from None
    lines = [f"header={header.decode('utf-8', 'replace')}"]
    lines += [
        f" key={key} val={value.decode('utf-8', 'replace')}" for key, value in entries.items()
    ]
    return "\n".join(lines)
