"""Failures that OSDs report of one another: when enough of them say so for long enough, it is down.

How long is the heartbeat's grace, and more for an OSD that was slow before and for reporters that
were; how many is counted by subtree, so that one rack's bad switch convinces nobody. Upstream:
`src/mon/OSDMonitor.cc` (preprocess_failure, prepare_failure, check_failure, process_failures).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.conf.config import Config
from spirula.maps.state import exists, is_down, is_up
from spirula.messages.osd_mon import FailureFlag, MOSDFailure
from spirula.mon.services.osdmap.osds.judgement import can_mark_down, is_pending_down, mark_down
from spirula.mon.services.osdmap.osds.sources import is_at, may_speak, osd_of
from spirula.mon.services.osdmap.places import location, location_text
from spirula.types.entity import EntityType
from spirula.types.log import LogLevel
from spirula.types.osd_info import OsdXInfo

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

_FULL_PROBABILITY = 0xFFFFFFFF
_THRESHOLD_HALFLIVES = 48
"""After so many half-lives without a failure, what is known of slowness is forgotten."""


@dataclass(slots=True)
class Failure:
    """Who says of one OSD that it has failed, and since when (seconds since 1970)."""

    reporters: dict[int, float] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)

    @property
    def since(self) -> float:
        """The last moment at which all reporters agree that it had failed."""
        return max(self.reporters.values(), default=0.0)


def laggy_threshold(config: Config) -> int:
    """Seconds after which an OSD's slowness is forgotten."""
    return config.get_int("mon_osd_laggy_halflife") * _THRESHOLD_HALFLIVES


def laggy_grace(config: Config, info: OsdXInfo, seconds: float) -> float:
    """How much longer to wait for an OSD with that past, `seconds` after it."""
    halflife = config.get_int("mon_osd_laggy_halflife")
    decay = math.exp(seconds * math.log(0.5) / halflife) if halflife else 0.0
    return decay * info.laggy_interval * (info.laggy_probability / _FULL_PROBABILITY)


# ------------------------------------------------------------------------------------- messages


def preprocess(service: OSDMapService, request: Request) -> bool:
    """A report; one that is outdated is answered with newer maps."""
    message = request.message
    if not isinstance(message, MOSDFailure):
        return True
    if not may_speak(request, message.fsid):
        request.no_reply()
        return True
    osdmap, target, publisher = service.osdmap, message.target_osd, service.publisher
    failed = bool(message.flags & FailureFlag.FAILED)
    if request.session.name.type == EntityType.OSD:
        reporter = osd_of(request)
        if (
            not exists(osdmap, reporter)
            or not is_at(osdmap, reporter, request.session.addrs)
            or (is_down(osdmap, reporter) and failed)
        ):
            publisher.reply_from(request, message.epoch + 1)
            request.no_reply()
            return True
    if (
        is_down(osdmap, target)
        or osdmap.client_addrs[target] != message.target_addrs
        or osdmap.osd_info[target].up_from > message.epoch
    ):
        if message.epoch < osdmap.epoch:
            publisher.reply_from(request, message.epoch + 1)
        request.no_reply()
        return True
    if not can_mark_down(service, target):
        request.no_reply()
        return True
    request.hold()
    return False


def prepare(service: OSDMapService, request: Request) -> None:
    """A report, or that it was wrong, counts at the leader.

    A report is answered when the OSD is down or the report withdrawn: the next leader wants it,
    too, and those who reported to peons do so once.
    """
    message = request.message
    if not isinstance(message, MOSDFailure):
        return
    monitor, target, reporter = service.monitor, message.target_osd, osd_of(request)
    if not message.flags & FailureFlag.FAILED:
        monitor.clog(
            LogLevel.DEBUG, f"osd.{target} failure report canceled by {request.session.name}"
        )
        cancel_report(service, target, reporter)
        request.no_reply()
        return
    if message.flags & FailureFlag.IMMEDIATE:
        monitor.clog(
            LogLevel.DEBUG,
            f"osd.{target} reported immediately failed by {request.session.name}",
        )
        _force(service, target, reporter)
        service.after_commit(request, request.no_reply)
        service.propose(service.damped())
        return
    monitor.clog(LogLevel.DEBUG, f"osd.{target} reported failed by {request.session.name}")
    failure = service.failures.setdefault(target, Failure())
    failure.reporters.setdefault(reporter, request.received - message.failed_for)
    _forget_request(failure, reporter)
    failure.requests[reporter] = request
    if check(service, target, failure):
        service.propose(service.damped())


def cancel_report(service: OSDMapService, target: int, reporter: int) -> None:
    """A reporter hears of the OSD again."""
    failure = service.failures.get(target)
    if failure is not None:
        failure.reporters.pop(reporter, None)
        _forget_request(failure, reporter)
        if not failure.reporters:
            del service.failures[target]


def _forget_request(failure: Failure, reporter: int) -> None:
    request = failure.requests.pop(reporter, None)
    if request is not None and not request.is_stale:  # else the peon has passed it on anew
        request.no_reply()


def _force(service: OSDMapService, target: int, reporter: int) -> None:
    """The reporter knows for sure: nobody listens where the OSD was."""
    if is_pending_down(service, target):
        return
    mark_down(service, target)
    inc = service.pending
    info = copy.copy(inc.new_xinfo.get(target, service.osdmap.osd_xinfo[target]))
    info.dead_epoch = inc.epoch
    inc.new_xinfo[target] = info
    service.monitor.clog(
        LogLevel.INFO,
        f"osd.{target} failed ({location_text(service.osdmap.crush, target)})"
        f" (connection refused reported by osd.{reporter})",
    )


# ------------------------------------------------------------------------------------ judgement


def check_all(service: OSDMapService) -> bool:
    """Look at all reported OSDs again, for time has passed; whether any is down now."""
    found = False
    for target, failure in list(service.failures.items()):
        if can_mark_down(service, target) and check(service, target, failure):
            found = True
        elif service.monitor.wall() - failure.since >= _keeps_s(service):
            # Some who reported it are gone themselves, or it would be down or they had withdrawn.
            for reporter in list(failure.reporters):
                cancel_report(service, target, reporter)
    return found


def _keeps_s(service: OSDMapService) -> int:
    """Seconds after which reports that too few share are forgotten."""
    config = service.monitor.config
    return config.get_int("osd_heartbeat_grace") + config.get_int("osd_heartbeat_stale")


def check(service: OSDMapService, target: int, failure: Failure) -> bool:
    """Mark the OSD down if enough reporters say so for long enough; whether it is (going) down."""
    if is_pending_down(service, target):
        return True
    osdmap, config, now = service.osdmap, service.monitor.config, service.monitor.wall()
    if is_down(osdmap, target):
        return False
    for reporter in [one for one in failure.reporters if not exists(osdmap, one)]:
        cancel_report(service, target, reporter)
    if not failure.reporters:
        return False
    level = config.get_str("mon_osd_reporter_subtree_level")
    subtrees = set()
    for reporter in failure.reporters:
        around = location(osdmap.crush, reporter)
        subtrees.add(around.get(level, f"osd.{reporter}"))
    failed_for = now - failure.since
    grace = _grace(service, target, failure, now, failed_for)
    if failed_for < grace or len(subtrees) < config.get_int("mon_osd_min_down_reporters"):
        return False
    mark_down(service, target)
    who = f"{len(subtrees)} reporters from different {level}"
    service.monitor.clog(
        LogLevel.INFO,
        f"osd.{target} failed ({location_text(osdmap.crush, target)}) ({who}"
        f" after {failed_for:.6f} >= grace {grace:.6f})",
    )
    return True


def _grace(
    service: OSDMapService, target: int, failure: Failure, now: float, failed_for: float
) -> float:
    """Seconds without an answer that an OSD is given."""
    config, infos = service.monitor.config, service.osdmap.osd_xinfo
    grace = float(config.get_int("osd_heartbeat_grace"))
    if not config.get_bool("mon_osd_adjust_heartbeat_grace"):
        return grace
    grace += laggy_grace(config, infos[target], failed_for)
    # Reporters that are slow themselves stand for a part of the cluster that is.
    slow = [
        laggy_grace(config, infos[one], now - float(infos[one].down_stamp))
        for one in failure.reporters
    ]
    return grace + sum(slow) / len(slow)


def process(service: OSDMapService) -> None:
    """The map is new: those who reported OSDs that are down by now get it."""
    for target in [osd for osd in service.failures if not is_up(service.osdmap, osd)]:
        failure = service.failures.pop(target)
        for request in failure.requests.values():
            message = request.message
            if isinstance(message, MOSDFailure) and not request.is_stale:
                service.publisher.reply_from(request, message.epoch + 1)
            request.no_reply()
