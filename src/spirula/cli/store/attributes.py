"""Verbs about what objects have beside data: attributes, omap entries, the omap's header.

For `spirula store`. Names are those of ceph-objectstore-tool.
"""

from __future__ import annotations

import argparse

from spirula.cli.store.opened import (
    COLL,
    KEY,
    OBJECT,
    Opened,
    Verb,
    collection_of,
    in_file,
    object_of,
    opened,
    out_file,
    print_json,
    reading,
    writing,
)
from spirula.errors import NotFound
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction

_PAGE = 1000


def _find(here: Opened, request: argparse.Namespace) -> tuple[Coll, GHObject]:
    cid = collection_of(here.store, request.coll)
    return cid, object_of(here.store, cid, request.object)


def _existing(here: Opened, request: argparse.Namespace) -> tuple[Coll, GHObject]:
    """An object that is there: changing another would be a bug of an OSD."""
    cid, oid = _find(here, request)
    if not here.store.exists(cid, oid):
        raise NotFound(f"there is no object {oid} in {cid}")
    return cid, oid


def _read(request: argparse.Namespace) -> bytes:
    with reading(request.file) as stream:
        return stream.read()


def _write(request: argparse.Namespace, value: bytes) -> int:
    with writing(request.file) as stream:
        stream.write(value)
    return 0


def _print_keys(request: argparse.Namespace, keys: list[str]) -> None:
    if request.json:
        print_json(keys)
        return
    for key in keys:
        print(key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


# --- attributes ---


def _list_attrs(request: argparse.Namespace) -> int:
    with opened(request) as here:
        names = list(here.store.getattrs(*_find(here, request)))
    _print_keys(request, names)
    return 0


def _get_attr(request: argparse.Namespace) -> int:
    with opened(request) as here:
        value = here.store.getattr(*_find(here, request), request.key)
    return _write(request, value)


def _set_attr(request: argparse.Namespace) -> int:
    value = _read(request)
    with opened(request) as here:
        cid, oid = _existing(here, request)
        txn = Transaction()
        txn.setattr(cid, oid, request.key, value)
        here.change(cid, txn, len(value))
    return 0


def _rm_attr(request: argparse.Namespace) -> int:
    with opened(request) as here:
        cid, oid = _existing(here, request)
        here.store.getattr(cid, oid, request.key)  # tells if there is none
        txn = Transaction()
        txn.rmattr(cid, oid, request.key)
        here.change(cid, txn)
    return 0


# --- omap ---


def _list_omap(request: argparse.Namespace) -> int:
    with opened(request) as here:
        page: list[str] = []
        for key, _ in here.store.omap_iterate(*_find(here, request)):
            page.append(key)
            if len(page) == _PAGE and not request.json:
                _print_keys(request, page)
                page.clear()
        _print_keys(request, page)
    return 0


def _value(here: Opened, cid: Coll, oid: GHObject, key: str) -> bytes:
    found = here.store.omap_get_values(cid, oid, [key])
    if key not in found:
        raise NotFound(f"the omap of {oid} has no key {key!r}")
    return found[key]


def _get_omap(request: argparse.Namespace) -> int:
    with opened(request) as here:
        value = _value(here, *_find(here, request), request.key)
    return _write(request, value)


def _set_omap(request: argparse.Namespace) -> int:
    value = _read(request)
    with opened(request) as here:
        cid, oid = _existing(here, request)
        txn = Transaction()
        txn.omap_setkeys(cid, oid, {request.key: value})
        here.change(cid, txn, len(value))
    return 0


def _rm_omap(request: argparse.Namespace) -> int:
    with opened(request) as here:
        cid, oid = _existing(here, request)
        _value(here, cid, oid, request.key)  # tells if there is none
        txn = Transaction()
        txn.omap_rmkeys(cid, oid, [request.key])
        here.change(cid, txn)
    return 0


def _get_omaphdr(request: argparse.Namespace) -> int:
    with opened(request) as here:
        value = here.store.omap_get_header(*_find(here, request))
    return _write(request, value)


def _set_omaphdr(request: argparse.Namespace) -> int:
    value = _read(request)
    with opened(request) as here:
        cid, oid = _existing(here, request)
        txn = Transaction()
        txn.omap_setheader(cid, oid, value)
        here.change(cid, txn, len(value))
    return 0


_ONE = (COLL, OBJECT)
VERBS = (
    Verb("list-attrs", "print the names of an object's attributes", _list_attrs, _ONE, reads=True),
    Verb("get-attr", "print an attribute", _get_attr, (*_ONE, KEY, out_file()), reads=True),
    Verb("set-attr", "set an attribute", _set_attr, (*_ONE, KEY, in_file())),
    Verb("rm-attr", "remove an attribute", _rm_attr, (*_ONE, KEY)),
    Verb("list-omap", "print the keys of an object's omap", _list_omap, _ONE, reads=True),
    Verb("get-omap", "print an omap entry", _get_omap, (*_ONE, KEY, out_file()), reads=True),
    Verb("set-omap", "set an omap entry", _set_omap, (*_ONE, KEY, in_file())),
    Verb("rm-omap", "remove an omap entry", _rm_omap, (*_ONE, KEY)),
    Verb("get-omaphdr", "print the omap's header", _get_omaphdr, (*_ONE, out_file()), reads=True),
    Verb("set-omaphdr", "set the omap's header", _set_omaphdr, (*_ONE, in_file())),
)
