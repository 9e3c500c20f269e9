"""`osd ...`: how full and fast OSDs are, whether they can be stopped or destroyed, scrubs.

Behaviour and shapes: upstream `src/mgr/DaemonServer.cc` (_handle_command).
"""

from __future__ import annotations

from errno import EAGAIN, EBUSY
from typing import TYPE_CHECKING, Any

from spirula.commands.arguments import choices, flag, integer, osd_name, text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.errors import CephError, InvalidArgument
from spirula.maps.query import all_osds, up_osds
from spirula.maps.state import exists, is_up
from spirula.mgr.commands import offline, scrub
from spirula.mgr.commands.pgs import answer
from spirula.pgmap import tables, utilization
from spirula.printing import Items
from spirula.types.pg import PGState

if TYPE_CHECKING:
    from spirula.mgr.commands.dispatch import Request
    from spirula.mgr.state import Manager

COMMANDS = Commands("osd")
_EVERYBODY = ("any", "all", "*")
_CLEAN = PGState.ACTIVE | PGState.CLEAN


@COMMANDS.add("osd perf", perm="r", help="show latencies of OSDs")
def perf(manager: Manager, request: Request) -> Reply:
    """How long OSDs take to commit and to apply."""
    infos = [
        {"id": osd, "perf_stats": stat.os_perf_stat.plain()}
        for osd, stat in sorted(manager.pgmap.osd_stat.items())
    ]
    document = {"osdstats": {"osd_perf_infos": Items("osd", infos)}}
    return answer(manager, request, tables.perf_table(manager.pgmap), document)


@COMMANDS.add("osd blocked-by", perm="r", help="show which OSDs keep PGs from peering")
def blocked_by(manager: Manager, request: Request) -> Reply:
    """How many PGs wait for which OSD."""
    infos = [
        {"id": osd, "num_blocked": count} for osd, count in sorted(manager.pgmap.blocked_by.items())
    ]
    document = {"osd_blocked_by": {"osd_blocked_by_infos": Items("osd", infos)}}
    return answer(manager, request, tables.blocked_by_table(manager.pgmap), document)


@COMMANDS.add(
    "osd df",
    output_method=choices("plain", "tree", required=False),
    filter_by=choices("class", "name", required=False),
    filter=text(required=False),
    perm="r",
    help="show how full OSDs are",
)
def df(
    manager: Manager,
    request: Request,
    output_method: str = "plain",
    filter_by: str = "",
    filter: str = "",
) -> Reply:
    """How full OSDs are, those of a class, below a bucket or of a pool's rule only."""
    del filter_by  # the name says what it is
    utilization.check_filter(manager.osdmap, filter)
    found = utilization.measure(
        manager.osdmap, manager.pgmap, tree=output_method == "tree", only=filter
    )
    if request.is_plain:
        return Reply(data=utilization.table(found).encode())
    return Reply(data=request.show(utilization.document(found), "df"))


# ------------------------------------------------------------------------ to be stopped, destroyed


def _numbers(manager: Manager, words: list[str]) -> list[int]:
    if words and words[0] in _EVERYBODY:
        return all_osds(manager.osdmap)
    numbers = [_number(word, "osd id") for word in words]
    if not numbers:
        raise InvalidArgument("must specify one or more OSDs")
    return sorted(set(numbers))


def _number(word: str, what: str) -> int:
    """The number in `osd.3` or `3`; InvalidArgument in upstream's words."""
    digits = word.removeprefix("osd.")
    if not (digits.isascii() and digits.isdigit()):
        text = f"Expected option value to be integer, got '{digits}'invalid {what} '{word}'"
        raise InvalidArgument(text)
    return int(digits)


def _list(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def _refuse_unknown(manager: Manager) -> None:
    unknown = manager.pgmap.num_pg_unknown
    if unknown:
        text = f"{unknown} pgs have unknown state; cannot draw any conclusions"
        raise CephError.from_errno(EAGAIN, text)


class _Verdict:
    """Which OSDs are needed, as far as can be known."""

    def __init__(self, manager: Manager, numbers: list[int]) -> None:
        pgmap, osdmap = manager.pgmap, manager.osdmap
        clean = sum(
            count for state, count in pgmap.num_pg_by_state.items() if state & _CLEAN == _CLEAN
        )
        self.safe: list[int] = []
        self.active: list[int] = []
        self.unknown: list[int] = []
        self.stored: list[int] = []
        self.affected = 0
        for osd in numbers:
            count = pgmap.num_pg_by_osd.get(osd)
            stat = pgmap.osd_stat.get(osd)
            if not exists(osdmap, osd):
                self.safe.append(osd)
            elif count is not None and count.acting + count.up_not_acting > 0:
                self.active.append(osd)
                self.affected += count.acting + count.up_not_acting
            elif clean < pgmap.num_pg and (stat is None or not is_up(osdmap, osd)):
                self.unknown.append(osd)
            elif clean < pgmap.num_pg and stat is not None and stat.num_pgs > 0:
                self.stored.append(osd)
            else:
                self.safe.append(osd)

    @property
    def rc(self) -> int:
        if self.active or self.stored:
            return -EBUSY
        return -EAGAIN if self.unknown else 0

    def text(self) -> str:
        told = ""
        if self.safe:
            told += f"OSD(s) {_list(self.safe)} are safe to destroy without reducing data"
            told += " durability. "
        if self.active:
            told += f"OSD(s) {_list(self.active)} have {self.affected} pgs currently mapped to"
            told += " them. "
        if self.unknown:
            told += f"OSD(s) {_list(self.unknown)} have no reported stats, and not all PGs are"
            told += " active+clean; we cannot draw any conclusions. "
        if self.stored:
            told += f"OSD(s) {_list(self.stored)} last reported they still store some PG data, and"
            told += " not all PGs are active+clean; we cannot be sure they aren't still needed."
        return told

    def document(self) -> dict[str, Any]:
        return {
            "safe_to_destroy": Items("osd", self.safe),
            "active": Items("osd", self.active),
            "missing_stats": Items("osd", self.unknown),
            "stored_pgs": Items("osd", self.stored),
        }


@COMMANDS.add(
    "osd safe-to-destroy",
    ids=text(repeated=True),
    perm="r",
    help="tell whether OSDs can be destroyed without making data less durable",
)
def safe_to_destroy(manager: Manager, request: Request, ids: list[str]) -> Reply:
    """Whether nobody needs what these OSDs hold."""
    numbers = _numbers(manager, ids)
    _refuse_unknown(manager)
    verdict = _Verdict(manager, numbers)
    if not request.is_plain:
        return Reply(data=request.show(verdict.document(), "osd_status"))
    if verdict.rc:
        return Reply(verdict.text(), rc=verdict.rc)
    return Reply(f"OSD(s) {_list(numbers)} are safe to destroy without reducing data durability.")


def _add_ending(what: str, help_text: str) -> None:
    @COMMANDS.add(
        f"osd {what}",
        id=osd_name(),
        force=flag(),
        yes_i_really_mean_it=flag(),
        perm="rw",
        help=help_text,
    )
    async def end_osd(
        manager: Manager,
        request: Request,
        id: str,
        force: bool = False,
        yes_i_really_mean_it: bool = False,
    ) -> Reply:
        """The monitors do it, unless the OSD is still needed."""
        number = _number(id, "osd id")
        told, rc = "", 0
        if manager.pgmap.num_pg_unknown:
            rc = -EAGAIN
            told = (
                f"{manager.pgmap.num_pg_unknown} pgs have unknown state; cannot draw any"
                " conclusions"
            )
        else:
            verdict = _Verdict(manager, [number])
            told, rc = (verdict.text(), verdict.rc) if verdict.rc else ("", 0)
        if rc and not (force or yes_i_really_mean_it):
            told += (
                "\nYou can proceed by passing --force, but be warned that this will likely mean"
                " real, permanent data loss."
            )
            return Reply(told, rc=rc)
        command = {"prefix": f"osd {what}-actual", "id": number, "yes_i_really_mean_it": True}
        done = await manager.session.command(command)
        return Reply(done.status, done.output, done.result)


_add_ending("destroy", "mark an OSD as destroyed: its number stays, its keys go")
_add_ending("purge", "remove all that the monitors know of an OSD")


@COMMANDS.add(
    "osd ok-to-stop",
    ids=text(repeated=True),
    max=integer(required=False),
    perm="r",
    help="tell whether all PGs would stay active without these OSDs",
)
def ok_to_stop(manager: Manager, request: Request, ids: list[str], max: int = 1) -> Reply:
    """Whether all PGs stay active without these OSDs, and others beside them up to `max`."""
    numbers = set(_numbers(manager, ids))
    verdict = offline.widen(manager.osdmap, manager.pgmap, numbers, max)
    shown = request.show(verdict.document(), "ok_to_stop") + b"\n"
    if verdict.unknown:
        text = f"{len(verdict.unknown)} pgs have unknown state; cannot draw any conclusions"
        return Reply(text, shown, -EAGAIN)
    if not verdict.is_ok:
        text = (
            f"unsafe to stop osd(s) at this time ({len(verdict.not_ok)} PGs are or would become"
            " offline)"
        )
        return Reply(text, shown, -EBUSY)
    return Reply(data=shown)


# ------------------------------------------------------------------------------------------ scrubs


def _add_scrub(what: str, help_text: str) -> None:
    @COMMANDS.add(f"osd {what}", who=text(), perm="rw", help=help_text)
    def scrub_osd(manager: Manager, request: Request, who: str) -> Reply:
        if who in _EVERYBODY:
            return scrub.osds(manager, up_osds(manager.osdmap), what)
        number = _number(who, "osd")
        if not is_up(manager.osdmap, number):
            raise CephError.from_errno(EAGAIN, f"osd.{number} is not up")
        return scrub.osds(manager, [number], what)


_add_scrub("scrub", "scrub all PGs that an OSD leads, or all PGs with `all`")
_add_scrub("deep-scrub", "likewise, with all data")
_add_scrub("repair", "likewise, and mend what is damaged")
