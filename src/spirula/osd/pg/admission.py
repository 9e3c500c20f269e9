"""Whether a client's request may be carried out at all, looked at before anything is touched.

Requests that the client sends again by itself are dropped; others get an error. Called by
`pipeline` and `dispatch`. Upstream: `src/osd/PG.cc` (can_discard_op), `PrimaryLogPG.cc` (do_op).
"""

from __future__ import annotations

from errno import EINVAL, ENAMETOOLONG, EPERM, ESHUTDOWN
from typing import TYPE_CHECKING

from spirula.denc.features import SERVER_NAUTILUS, has
from spirula.errors import CephError, InvariantBroken
from spirula.osd.ops import caps
from spirula.types.entity import AddrType, EntityType
from spirula.types.hobject import NOSNAP, SNAPDIR
from spirula.types.log import LogLevel
from spirula.types.osd_op import OpCode, RequestFlag

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.ops.caps import OpNeeds
    from spirula.osd.ops.context import ClientSession
    from spirula.osd.pg.state import PG
    from spirula.types.entity import EntityAddr
    from spirula.types.hobject import HObject

EBLOCKLISTED = ESHUTDOWN
"""What clients on the blocklist are answered (upstream's name for the number)."""
OSD_WRITETOOBIG = 90
"""What a write with too much data is answered (EMSGSIZE)."""
_LIST_SNAPS = int(OpCode.LIST_SNAPS)
_REPLICA_READ = int(RequestFlag.BALANCE_READS | RequestFlag.LOCALIZE_READS)
_FULL_ANYWAY = int(RequestFlag.FULL_TRY | RequestFlag.FULL_FORCE)


class Refused(CephError):
    """The request is answered with this errno, and nothing else happens."""


def is_outdated(pg: PG, request: MOSDOp, session: ClientSession) -> bool:
    """The client sends the request again, for it was sent by an older map than matters here."""
    epoch, history, pool = request.epoch, pg.info.history, pg.pool
    if epoch < history.same_primary_since or epoch < history.last_epoch_split:
        return True
    if request.flags & _REPLICA_READ and not pg.is_primary and epoch < history.same_interval_since:
        return True
    if has(session.features, SERVER_NAUTILUS):
        return epoch < pool.last_force_op_resend
    return epoch < pool.last_force_op_resend_prenautilus


def is_of_pg(pg: PG, hobj: HObject) -> bool:
    """The PG can have the object; a client who thinks so wrongly will see it by a newer map."""
    pgid = pg.pgid.pgid
    if hobj.pool == pgid.pool and hobj.matches(pg.bits, pgid.seed):
        return True
    pg.services.clog(LogLevel.WARN, f"{pgid} does not contain {hobj.head()}")
    return False


def may_come_here(pg: PG, request: MOSDOp, needs: OpNeeds) -> bool:
    """The request came to the right OSD; else its client learns that from the next map."""
    if pg.is_primary:
        return True
    plain_read = needs.may_read and not needs.may_write and not needs.may_cache
    return bool(request.flags & _REPLICA_READ) and plain_read and pg.is_nonprimary


def check(pg: PG, request: MOSDOp, needs: OpNeeds, session: ClientSession) -> None:
    """Raises Refused for a request on an object that is answered with an error at once."""
    options, hobj = pg.options, request.hobj
    name = hobj.oid
    longest = options.osd_max_object_name_len
    # lengths are of bytes; a character has at least one and at most four
    if len(name) * 4 > longest and len(name.encode("utf-8", "surrogateescape")) > longest:
        raise Refused(f"the object's name has more than {longest} bytes", errno=ENAMETOOLONG)
    if hobj.key and len(hobj.key.encode("utf-8", "surrogateescape")) > longest:
        raise Refused(f"the locator key has more than {longest} bytes", errno=ENAMETOOLONG)
    longest = options.osd_max_object_namespace_len
    if hobj.nspace and len(hobj.nspace.encode("utf-8", "surrogateescape")) > longest:
        raise Refused(f"the namespace has more than {longest} bytes", errno=ENAMETOOLONG)
    if not name:
        raise Refused("an object needs a name", errno=EINVAL)
    if is_blocklisted(pg.osdmap, session.addr):
        raise Refused("the client is blocklisted", errno=EBLOCKLISTED)


def check_write(pg: PG, request: MOSDOp) -> None:
    """Raises Refused for a write that no object can take."""
    if request.hobj.snap != NOSNAP:
        raise Refused("a snapshot cannot be written", errno=EINVAL)
    largest = pg.options.osd_max_write_size
    if largest and len(request.data) > largest:
        raise Refused(f"more than {largest} bytes in one write", errno=OSD_WRITETOOBIG)


def check_snapdir(request: MOSDOp) -> None:
    """Raises Refused unless listing snapshots, and only that, is asked of `snapdir`."""
    on_snapdir = request.hobj.snap == SNAPDIR
    for op in request.ops:
        if (op.op == _LIST_SNAPS) != on_snapdir:
            raise Refused("list-snaps goes to snapdir, and nothing else does", errno=EINVAL)


def check_caps(pg: PG, request: MOSDOp, needs: OpNeeds, session: ClientSession) -> None:
    """Raises Refused unless the client's caps allow it."""
    if session.caps.allow_everything:
        return
    name = pg.osdmap.pool_name.get(pg.pgid.pgid.pool, "")
    if not caps.allowed(session.caps, needs, request, pg.pool, name, session.addr):
        raise Refused("the client's caps do not allow it", errno=EPERM)


def was_sent_before_full(pg: PG, request: MOSDOp, session: ClientSession) -> bool:
    """The write was sent before the cluster or pool was marked full: dropped, and sent again."""
    return (
        pg.info.history.last_epoch_marked_full > request.epoch
        and not request.flags & _FULL_ANYWAY
        and session.name.type != EntityType.MDS
    )


def is_blocklisted(osdmap: OSDMap, addr: EntityAddr) -> bool:
    """Whether the map keeps clients of this address out: this one, or all of the host."""
    if not osdmap.blocklist and not osdmap.range_blocklist:
        return False
    addr = addr.with_type(AddrType.ANY)
    if addr in osdmap.blocklist:
        return True
    if not addr.is_ip:
        return False
    host = addr.with_port(0).with_nonce(0)
    if host in osdmap.blocklist:
        return True
    return any(_is_in_range(host, network) for network in osdmap.range_blocklist)


def _is_in_range(addr: EntityAddr, network: EntityAddr) -> bool:
    """Whether an address is of a network, whose nonce is its number of bits."""
    if addr.family != network.family:
        return False
    if not addr.is_ip:
        raise InvariantBroken(f"{addr} is compared with a network")
    size = 4 if len(addr.host.split(".")) == 4 and ":" not in addr.host else 16
    start = 2 if size == 4 else 6
    left = int.from_bytes(addr.sockaddr[start : start + size], "big")
    right = int.from_bytes(network.sockaddr[start : start + size], "big")
    shift = max(8 * size - network.nonce, 0)
    return left >> shift == right >> shift
