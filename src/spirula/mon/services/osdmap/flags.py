"""Commands that set wishes of operators: for the whole cluster, for OSDs, buckets, device classes.

Texts: upstream `src/mon/OSDMonitor.cc`, prepare_command_impl and prepare_set_flag.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, text
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import CommandFlag, Commands
from spirula.crush.classes import class_id
from spirula.crush.lookup import find_item
from spirula.denc.features import OSD_PGLOG_HARDLIMIT, has
from spirula.errors import InvalidArgument, NotPermitted
from spirula.maps.features import up_osd_features
from spirula.maps.query import all_osds, up_osds
from spirula.maps.state import OSDMapFlag, OSDState, Release, exists, flag_string
from spirula.mon.services.osdmap.osds.ids import UnreadableId, parse_osd_id

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_PAUSE = OSDMapFlag.PAUSERD | OSDMapFlag.PAUSEWR
_FLAGS = {
    "pause": _PAUSE,
    "noup": OSDMapFlag.NOUP,
    "nodown": OSDMapFlag.NODOWN,
    "noout": OSDMapFlag.NOOUT,
    "noin": OSDMapFlag.NOIN,
    "nobackfill": OSDMapFlag.NOBACKFILL,
    "norebalance": OSDMapFlag.NOREBALANCE,
    "norecover": OSDMapFlag.NORECOVER,
    "noscrub": OSDMapFlag.NOSCRUB,
    "nodeep-scrub": OSDMapFlag.NODEEP_SCRUB,
    "notieragent": OSDMapFlag.NOTIERAGENT,
    "nosnaptrim": OSDMapFlag.NOSNAPTRIM,
}
# "full" was a flag once, and clients are still told of it.
_KEYS = ("full", *_FLAGS)
_WISHES = {
    "noup": OSDState.NOUP,
    "nodown": OSDState.NODOWN,
    "noin": OSDState.NOIN,
    "noout": OSDState.NOOUT,
}
NO_OSDS_UP = (
    "Not advisable to continue since no OSDs are up. Pass --yes-i-really-mean-it if you really"
    " wish to continue."
)


# ------------------------------------------------------------------------------- the whole cluster


@commands.add("osd pause", perm="rw", help="stop reads and writes of all clients")
def pause(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd pause`."""
    return _change(service, _PAUSE, on=True)


@commands.add("osd unpause", perm="rw", help="let clients read and write again")
def unpause(service: OSDMapService, request: Request) -> Reply:
    """`ceph osd unpause`."""
    return _change(service, _PAUSE, on=False)


@commands.add(
    "osd set",
    key=choices(*_KEYS, "pglog_hardlimit"),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="set a flag for the whole cluster",
)
def set_flag(
    service: OSDMapService, request: Request, key: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd set`."""
    if key == "pglog_hardlimit":
        return _limit_pg_logs(service, sure=yes_i_really_mean_it)
    return _change(service, _known_flag(key), on=True)


@commands.add("osd unset", key=choices(*_KEYS), perm="rw", help="unset a flag of the cluster")
def unset_flag(service: OSDMapService, request: Request, key: str) -> Reply:
    """`ceph osd unset`."""
    return _change(service, _known_flag(key), on=False)


def _known_flag(key: str) -> OSDMapFlag:
    found = _FLAGS.get(key)
    if found is None:
        raise InvalidArgument(f"unrecognized flag '{key}'")
    return found


def _limit_pg_logs(service: OSDMapService, *, sure: bool) -> Reply:
    osdmap = service.osdmap
    if not up_osds(osdmap) and not sure:
        raise NotPermitted(NO_OSDS_UP)
    able = has(up_osd_features(osdmap), OSD_PGLOG_HARDLIMIT)
    if osdmap.require_osd_release < Release.LUMINOUS or not (able or sure):
        raise NotPermitted("not all up OSDs have OSD_PGLOG_HARDLIMIT feature")
    return _change(service, OSDMapFlag.PGLOG_HARDLIMIT, on=True)


def _change(service: OSDMapService, bits: OSDMapFlag, *, on: bool) -> Reply:
    inc = service.pending
    flags = inc.new_flags if inc.new_flags >= 0 else service.osdmap.flags
    inc.new_flags = int(flags | bits if on else flags & ~bits)
    service.propose()
    return committed(f"{flag_string(bits)} is {'set' if on else 'unset'}")


# ------------------------------------------------------------------------------------ some of them


@commands.add(
    "osd set-group",
    flags_=text(),
    who=text(repeated=True),
    perm="rw",
    help="set flags (noup, nodown, noin, noout, with commas) for OSDs, buckets or device classes",
)
def set_group(service: OSDMapService, request: Request, flags: str, who: list[str]) -> Reply:
    """`ceph osd set-group`."""
    return _change_group(service, _parse_flags(flags), who, on=True)


@commands.add(
    "osd unset-group",
    flags_=text(),
    who=text(repeated=True),
    perm="rw",
    help="unset flags (noup, nodown, noin, noout, with commas) of OSDs, buckets or device classes",
)
def unset_group(service: OSDMapService, request: Request, flags: str, who: list[str]) -> Reply:
    """`ceph osd unset-group`."""
    return _change_group(service, _parse_flags(flags), who, on=False)


def _declare(wish: str, bits: OSDState) -> None:
    """Declares `osd add-noup` and its like, the older names of the same."""
    for verb, on in (("add", True), ("rm", False)):

        @commands.add(
            f"osd {verb}-{wish}",
            ids=text(repeated=True),
            perm="rw",
            flags=CommandFlag.DEPRECATED,
            help=f"{'set' if on else 'unset'} {wish} for OSDs, buckets or device classes",
        )
        def change(
            service: OSDMapService, request: Request, ids: list[str], *, on: bool = on
        ) -> Reply:
            """`ceph osd add-noup` and the like."""
            return _change_group(service, bits, ids, on=on)


for _wish, _bits in _WISHES.items():
    _declare(_wish, _bits)


def _parse_flags(words: str) -> OSDState:
    found = OSDState(0)
    for word in words.split(","):
        if word not in _WISHES:
            raise InvalidArgument(
                f"unrecognized flag '{word}', must be one of {{noup,nodown,noin,noout}}"
            )
        found |= _WISHES[word]
    return found


def _change_group(service: OSDMapService, bits: OSDState, who: list[str], *, on: bool) -> Reply:
    if not who:
        raise InvalidArgument("must specify at least one or more targets to set/unset")
    osds, nodes, classes, said_of = _targets(service, who)
    if not (osds or nodes or classes):
        raise InvalidArgument(said_of)
    osdmap, inc = service.osdmap, service.pending
    changed = False
    for osd in sorted(osds):
        if not exists(osdmap, osd):
            said_of += f"osd.{osd} does not exist. "
            continue
        before = inc.new_state.get(osd, 0)
        # Bits of the change flip those of the map.
        flips = (bits & ~osdmap.osd_state[osd]) if on else (bits & osdmap.osd_state[osd])
        after = int(before & ~bits | flips)
        if after != before:
            changed = True
            inc.new_state[osd] = after
    for ids, new, known in (
        (nodes, inc.new_crush_node_flags, osdmap.crush_node_flags),
        (classes, inc.new_device_class_flags, osdmap.device_class_flags),
    ):
        for id in ids:
            flags = new.get(id, 0) | known.get(id, 0)
            new[id] = int(flags | bits if on else flags & ~bits)
            changed = True
    if not changed:
        return said(said_of)
    service.propose()
    return committed(said_of)


def _targets(service: OSDMapService, who: list[str]) -> tuple[set[int], set[int], set[int], str]:
    """OSDs, buckets and device classes that are meant, and what could not be read."""
    crush = service.osdmap.crush
    osds: set[int] = set()
    nodes: set[int] = set()
    classes: set[int] = set()
    unread: list[str] = []
    for word in who:
        if word in ("any", "all", "*"):
            osds.update(all_osds(service.osdmap))
            break
        with contextlib.suppress(UnreadableId):
            osds.add(parse_osd_id(word))
            continue
        node, number = find_item(crush, word), class_id(crush, word)
        if node is not None:
            nodes.add(node)
        elif number is not None:
            classes.add(number)
        else:
            unread.append(f'unable to parse osd id or crush node or device class: "{word}". ')
    return osds, nodes, classes, "".join(unread)
