"""Commands that change the state of OSDs: in, out, down, stop, lost, and their weights.

Texts: upstream `src/mon/OSDMonitor.cc`, prepare_command_impl.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from spirula.commands.arguments import flag, integer, number, osd_name, osd_number, text
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import CommandFlag, Commands
from spirula.errors import Busy, InvalidArgument, NotFound, NotPermitted, OutOfRange
from spirula.maps.query import all_osds, out_osds
from spirula.maps.state import (
    DEFAULT_PRIMARY_AFFINITY,
    OSD_IN,
    OSDState,
    Release,
    exists,
    is_down,
    is_in,
    is_out,
    is_up,
)
from spirula.mon.services.osdmap.osds.ids import UnreadableId, parse_osd_id
from spirula.mon.services.osdmap.osds.removal import remove_osd
from spirula.printing import general
from spirula.types.log import LogLevel
from spirula.types.osd_info import OsdXInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")
_EVERYBODY = ("any", "all", "*")
_MOST_WEIGHT = 0xFFFFFFFF


class _Said:
    """The status line of a command about several OSDs, and whether it changed anything."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.changed = False
        self.error: InvalidArgument | Busy | None = None
        self.verbose = True

    def add(self, text: str) -> None:
        self.parts.append(text)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.parts)


def _for_each(
    service: OSDMapService,
    ids: list[str],
    everybody: list[int],
    change: Callable[[OSDMapService, int, _Said], None],
) -> Reply:
    """Do it to each OSD that is named; the answer is about all of them.

    A name that cannot be read makes it an error, but what can is done all the same.
    """
    answer = _Said()
    if ids[:1] and ids[0] in _EVERYBODY:
        answer.verbose = False
        for osd in everybody:
            change(service, osd, answer)
    else:
        for word in ids:
            try:
                osd = parse_osd_id(word)
            except UnreadableId as error:
                answer.add(f"{error.message}invalid osd id{error.printed}")
                answer.error = InvalidArgument()
                continue
            if exists(service.osdmap, osd):
                change(service, osd, answer)
            else:
                answer.add(f"osd.{osd} does not exist. ")
    if answer.changed:
        service.propose()
        reply = committed(answer.text)
    else:
        reply = said(answer.text)
    if answer.error is not None:
        reply.rc = -answer.error.errno
    return reply


def changing_xinfo(service: OSDMapService, osd: int) -> OsdXInfo:
    """What the pending change makes of an OSD's further data, to be changed."""
    inc = service.pending
    found: OsdXInfo | None = inc.new_xinfo.get(osd)
    if found is None:
        found = inc.new_xinfo[osd] = copy.copy(service.osdmap.osd_xinfo[osd])
    return found


def _set_state(service: OSDMapService, osd: int, bits: OSDState) -> None:
    state = service.pending.new_state
    state[osd] = int(state.get(osd, 0) | bits)


# ------------------------------------------------------------------------------- up, down, in, out


@commands.add(
    "osd down",
    ids=text(repeated=True),
    definitely_dead=flag(),
    perm="rw",
    help="mark OSDs (or `all`) down; one that runs comes up again by itself",
)
def down(
    service: OSDMapService, request: Request, ids: list[str], *, definitely_dead: bool = False
) -> Reply:
    """`ceph osd down`."""

    def change(service: OSDMapService, osd: int, answer: _Said) -> None:
        if is_down(service.osdmap, osd):
            if answer.verbose:
                answer.add(f"osd.{osd} is already down. ")
        else:
            _set_state(service, osd, OSDState.UP)
            answer.add(f"marked down osd.{osd}. ")
            answer.changed = True
        if definitely_dead:
            known = changing_xinfo(service, osd)
            answer.changed |= known.dead_epoch < service.pending.epoch
            known.dead_epoch = service.pending.epoch

    return _for_each(service, ids, all_osds(service.osdmap), change)


@commands.add(
    "osd out", ids=text(repeated=True), perm="rw", help="mark OSDs (or `all`) out: no data for them"
)
def out(service: OSDMapService, request: Request, ids: list[str]) -> Reply:
    """`ceph osd out`."""

    def change(service: OSDMapService, osd: int, answer: _Said) -> None:
        osdmap, monitor = service.osdmap, service.monitor
        if is_out(osdmap, osd):
            if answer.verbose:
                answer.add(f"osd.{osd} is already out. ")
            return
        service.pending.new_weight[osd] = 0
        changing_xinfo(service, osd).old_weight = osdmap.osd_weight[osd]
        answer.add(f"marked out osd.{osd}. ")
        answer.changed = True
        if is_up(osdmap, osd):
            when = "while it was still marked up"
        else:
            since = monitor.now() - service.down_pending_out.get(osd, monitor.now())
            when = f"after it was down for {int(since)} seconds"
        monitor.clog(LogLevel.INFO, f"Client {request.session.entity} marked osd.{osd} out, {when}")

    return _for_each(service, ids, all_osds(service.osdmap), change)


@commands.add(
    "osd in", ids=text(repeated=True), perm="rw", help="mark OSDs (or `all` that are out) in"
)
def in_(service: OSDMapService, request: Request, ids: list[str]) -> Reply:
    """`ceph osd in`: with the weight that they had."""

    def change(service: OSDMapService, osd: int, answer: _Said) -> None:
        osdmap = service.osdmap
        if is_in(osdmap, osd):
            if answer.verbose:
                answer.add(f"osd.{osd} is already in. ")
            return
        before = osdmap.osd_xinfo[osd].old_weight
        service.pending.new_weight[osd] = before or OSD_IN
        if before:
            changing_xinfo(service, osd).old_weight = 0
        answer.add(f"marked in osd.{osd}. ")
        answer.changed = True

    return _for_each(service, ids, out_osds(service.osdmap), change)


@commands.add(
    "osd stop", ids=text(repeated=True), perm="rw", help="tell the processes of OSDs to end"
)
def stop(service: OSDMapService, request: Request, ids: list[str]) -> Reply:
    """`ceph osd stop`."""

    def change(service: OSDMapService, osd: int, answer: _Said) -> None:
        osdmap = service.osdmap
        if osdmap.osd_state[osd] & OSDState.STOP:
            if answer.verbose:
                answer.add(f"osd.{osd} is already stopped. ")
            return
        if is_down(osdmap, osd):
            _set_state(service, osd, OSDState.STOP)
            answer.add(f"stop down osd.{osd}. ")
        else:
            _set_state(service, osd, OSDState.UP | OSDState.STOP)
            answer.add(f"stop osd.{osd}. ")
        answer.changed = True

    return _for_each(service, ids, all_osds(service.osdmap), change)


@commands.add(
    "osd rm",
    ids=text(repeated=True),
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="remove OSDs (or `all`) that are down from the map",
)
def rm(service: OSDMapService, request: Request, ids: list[str]) -> Reply:
    """`ceph osd rm`."""

    def change(service: OSDMapService, osd: int, answer: _Said) -> None:
        if is_up(service.osdmap, osd):
            if answer.changed:
                answer.add(", ")
            answer.add(f"osd.{osd} is still up; must be down before removal. ")
            answer.error = Busy()
            return
        remove_osd(service, osd)
        answer.add(f", osd.{osd}" if answer.changed else f"removed osd.{osd}")
        answer.changed = True
        answer.error = None

    return _for_each(service, ids, all_osds(service.osdmap), change)


@commands.add(
    "osd lost",
    id=osd_name(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="give up the data of an OSD that is down for good",
)
def lost(
    service: OSDMapService, request: Request, id: str, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd lost`."""
    if not yes_i_really_mean_it:
        raise NotPermitted(
            "are you SURE?  this might mean real, permanent data loss.  pass"
            " --yes-i-really-mean-it if you really do."
        )
    osd = _existing(service, id)
    if not is_down(service.osdmap, osd):
        raise Busy(f"osd.{osd} is not down")
    epoch = service.osdmap.osd_info[osd].down_at
    service.pending.new_lost[osd] = epoch
    service.propose()
    return committed(f"marked osd lost in epoch {epoch}")


def _existing(service: OSDMapService, id: str) -> int:
    osd = osd_number(id)
    if not exists(service.osdmap, osd):
        raise NotFound(f"osd.{osd} does not exist")
    return osd


# ---------------------------------------------------------------------------------------- weights


@commands.add(
    "osd reweight",
    id=osd_name(),
    weight=number(0.0, 1.0),
    perm="rw",
    help="let an OSD have a share (0.0 to 1.0) of the data that its place would give it",
)
def reweight(service: OSDMapService, request: Request, id: str, weight: float) -> Reply:
    """`ceph osd reweight`."""
    osd, share = _existing(service, id), int(OSD_IN * weight)
    service.pending.new_weight[osd] = share
    service.propose()
    return committed(f"reweighted osd.{osd} to {general(weight)} ({share:x})")


@commands.add(
    "osd reweightn",
    weights=text(),
    perm="rw",
    help="reweight several OSDs by a JSON object of ids and weights (of 65536)",
)
def reweightn(service: OSDMapService, request: Request, weights: str) -> Reply:
    """`ceph osd reweightn`."""
    service.pending.new_weight |= {
        osd: share
        for osd, share in _parse_weights(service, weights).items()
        if osd not in service.pending.new_weight
    }
    service.propose()
    return committed()


def _parse_weights(service: OSDMapService, given: str) -> dict[int, int]:
    wrong = f"unable to parse 'weights' value '{given}'"
    try:
        pairs = json.loads(given.replace("'", '"'))
        if not all(isinstance(value, str) for value in pairs.values()):
            raise InvalidArgument(wrong)
        found = {int(key): int(value) for key, value in pairs.items()}
    except (ValueError, AttributeError, TypeError):
        raise InvalidArgument(wrong) from None
    for osd, share in found.items():
        if not exists(service.osdmap, osd):
            raise NotFound(wrong)
        if not 0 <= share <= _MOST_WEIGHT:
            raise InvalidArgument(wrong)
    return found


@commands.add(
    "osd primary-affinity",
    id=osd_name(),
    weight=number(0.0, 1.0),
    perm="rw",
    help="say how willingly (0.0 to 1.0) an OSD leads PGs",
)
def primary_affinity(service: OSDMapService, request: Request, id: str, weight: float) -> Reply:
    """`ceph osd primary-affinity`."""
    osd, least = osd_number(id), service.osdmap.require_min_compat_client
    if Release.UNKNOWN < least < Release.FIREFLY:
        raise NotPermitted(
            f"require_min_compat_client {Release.name_of(least)} < firefly,"
            " which is required for primary-affinity"
        )
    _existing(service, id)
    affinity = int(DEFAULT_PRIMARY_AFFINITY * weight)
    service.pending.new_primary_affinity[osd] = affinity
    service.propose()
    # Upstream prints the flag for hexadecimal (8) and then the number in decimal.
    return committed(f"set osd.{osd} primary-affinity to {general(weight)} (8{affinity}2)")


@commands.add(
    "osd setmaxosd", newmax=integer(0), perm="rw", help="make room in the map for so many OSDs"
)
def setmaxosd(service: OSDMapService, request: Request, newmax: int) -> Reply:
    """`ceph osd setmaxosd`."""
    most = service.monitor.config.get_int("mon_max_osd")
    if newmax > most:
        raise OutOfRange(f"cannot set max_osd to {newmax} which is > conf.mon_max_osd ({most})")
    for osd in range(newmax, service.osdmap.max_osd):
        if exists(service.osdmap, osd):
            raise Busy(
                f"cannot shrink max_osd to {newmax} because osd.{osd} (and possibly others)"
                " still in use"
            )
    service.pending.new_max_osd = newmax
    service.propose()
    return committed(f"set new max_osd = {newmax}")
