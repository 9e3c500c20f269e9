"""What a member tells of itself, as documents with upstream's fields in their order.

For `quorum_status`, `mon_status`, `time-sync-status`, `connection scores dump` and `sync_force`;
the daemon's commands print them. Documents of maps are handed in, as their shape is not known here.
Shapes: upstream `src/mon/Monitor.cc` (_quorum_status, get_mon_status), `ConnectionTracker.cc`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spirula.mon.quorum.state import Phase
from spirula.printing import Fields, Items
from spirula.types.base import UTime
from spirula.types.mon import ConnectionReport, FeatureMap, MonFeatures

if TYPE_CHECKING:
    from spirula.mon.quorum.member import Member

Document = dict[str, object]

STATE_NAMES = {Phase.ASIDE: "electing", Phase.STOPPED: "shutdown"}
"""Upstream's names of states, where they are not ours."""


class RepeatedName(str):
    """A name that may stand in one document several times, as some of upstream's do."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _repeat(name: str, values: Iterable[object]) -> Document:
    return {RepeatedName(name): value for value in values}


def state_name(member: Member) -> str:
    """`leader`, `peon`, `probing` and so on."""
    phase = member.state.phase
    return STATE_NAMES.get(phase, phase.value)


def _names(features: int) -> Items:
    return Items("feature", MonFeatures(features).names())


def _quorum(member: Member, now: float) -> Document:
    """How long there has been a quorum, in whole seconds, if there is one."""
    return {"quorum_age": int(now - member.state.quorum_since)} if member.state.quorum else {}


def quorum_status(member: Member, now: float, monmap: object) -> Document:
    """`quorum_status`. `now` is monotonic, `monmap` the document of the monitor map."""
    state = member.state
    return {
        "election_epoch": member.epoch,
        "quorum": Items("mon", sorted(state.quorum)),
        "quorum_names": Items("mon", [state.monmap.ranks[rank] for rank in sorted(state.quorum)]),
        "quorum_leader_name": state.monmap.ranks[state.leader] if state.quorum else "",
        **_quorum(member, now),
        "features": {
            "quorum_con": str(state.quorum_features),
            "quorum_mon": _names(state.quorum_mon_features),
        },
        "monmap": monmap,
    }


def mon_status(member: Member, now: float, monmap: object, feature_map: object) -> Document:
    """`mon_status`. `feature_map` is the document of this monitor's own sessions."""
    state, sync = member.state, member.sync
    providers: list[tuple[str, object]] = []
    for cookie, provided in sync.provided():
        expires = UTime.at(state.wall + provided.expires - now)
        providers += [
            ("cookie", cookie),
            ("addrs", provided.addrs.plain()),
            ("timeout", str(expires)),
            ("last_committed", provided.last_committed),
            ("last_key", ",".join(provided.last_key)),
        ]
    status: Document = {
        "name": state.name,
        "rank": state.rank,
        "state": state_name(member),
        "election_epoch": member.epoch,
        "quorum": Items("mon", sorted(state.quorum)),
        **_quorum(member, now),
        "features": {
            "required_con": str(state.required_features()),
            "required_mon": _names(state.required_mon_features()),
            "quorum_con": str(state.quorum_features),
            "quorum_mon": _names(state.quorum_mon_features),
        },
        "outside_quorum": Items("mon", sorted(member.probing.outside_quorum)),
        "extra_probe_peers": Items("peer", [a.plain() for a in member.probing.extra_peers]),
        "sync_provider": Fields(providers),
    }
    if state.phase is Phase.SYNCHRONIZING:
        status["sync"] = {
            "sync_provider": str(sync.provider or ""),
            "sync_cookie": sync.cookie,
            "sync_start_version": sync.start_version,
        }
    return status | {
        "monmap": monmap,
        "feature_map": feature_map,
        "stretch_mode": state.monmap.stretch_mode_enabled,
    }


def time_sync_status(member: Member) -> Document:
    """`time-sync-status`."""
    check = member.timecheck
    skews: Document = {}
    for skew in check.status():
        health = "HEALTH_WARN" if skew.details else "HEALTH_OK"
        entry: Document = {"skew": skew.skew, "latency": skew.latency, "health": health}
        if skew.details:
            entry["details"] = skew.details
        skews[skew.name] = entry
    status: Document = {"time_skew_status": skews} if skews else {}
    return status | {
        "timechecks": {
            "epoch": member.epoch,
            "round": check.round,
            "round_status": "on-going" if check.ongoing else "finished",
        }
    }


def _report(report: ConnectionReport) -> Document:
    peers: list[Document] = [
        {
            "peer_rank": rank,
            "peer_score": score,
            "peer_alive": bool(report.current.get(rank, False)),
        }
        for rank, score in sorted(report.history.items())
    ]
    return {
        "rank": report.rank,
        "epoch": report.epoch,
        "version": report.epoch_version,
        "peer_scores": _repeat("peer", peers),
    }


def connection_scores(member: Member) -> Document:
    """`connection scores dump`; in upstream's JSON, too, names stand in it several times."""
    tracker = member.elector.scores.tracker
    reports = [_report(tracker.peer_reports[rank]) for rank in sorted(tracker.peer_reports)]
    return {
        "rank": tracker.rank,
        "epoch": tracker.epoch,
        "version": tracker.version,
        "half_life": tracker.half_life,
        "persist_interval": member.state.settings.mon_con_tracker_persist_interval,
        "reports": _repeat("report", reports),
    }


SYNC_FORCED: Document = {"ret": 0, "msg": "forcing store sync the next time the monitor starts"}
"""The answer to `sync_force`, once `Member.force_sync` was called."""


def combined_feature_map(member: Member) -> FeatureMap:
    """Sessions by their features, of this monitor and of what its peons last told (`features`)."""
    total: dict[int, dict[int, int]] = {}
    for encoded in (member.paxos.feature_map, *member.paxos.feature_maps.values()):
        for kind, counts in FeatureMap.decode(encoded).m.items():
            known = total.setdefault(kind, {})
            for features, count in counts.items():
                known[features] = known.get(features, 0) + count
    return FeatureMap(total)
