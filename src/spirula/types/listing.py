"""What listing a pool's objects answers, PG by PG, and where the next request continues.

Formats: upstream `src/osd/osd_types.h` (pg_nls_response_t, pg_ls_response_t).
"""

from __future__ import annotations

from spirula.denc import Pair, Struct, Vec, default, string, struct, u8
from spirula.errors import IncompatibleVersion
from spirula.types.hobject import HObject


@struct
class ListedObject(Struct):
    """An object of a listing; `locator` is its key, empty when the name placed it."""

    nspace: string
    oid: string
    locator: string


@struct(name="pg_nls_response_t", version=1, compat=1)
class PGNLSResponse(Struct):
    """What `pgnls` answers.

    Objects, and `handle` to go on from (the end when there are no more).
    """

    handle: HObject
    entries: Vec[ListedObject]


@struct(name="pg_ls_response_t")
class PGLSResponse(Struct):
    """What `pgls` answers, the listing of one namespace in old clients: names with their keys."""

    version: u8 = default(1)
    handle: HObject
    entries: Vec[Pair[string, string]]

    def __post_init__(self) -> None:
        if self.version != 1:
            raise IncompatibleVersion(f"listing of version {self.version}, this one knows 1")
