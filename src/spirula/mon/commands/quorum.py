"""Commands about the quorum and this monitor's part in it, most of them for one monitor alone.

Documents have upstream's fields (`src/mon/Monitor.cc`: get_mon_status, _quorum_status,
do_admin_command). Declared here, listed by `commands.cluster`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, ip_addr, text
from spirula.commands.reply import Reply, said
from spirula.commands.table import CommandFlag, Commands, obsolete
from spirula.denc import features as feature_bits
from spirula.errors import (
    NotPermitted,
    NotSupported,
)
from spirula.mon.quorum import status
from spirula.mon.quorum.bootstrap import hint_of, hint_of_vector
from spirula.mon.services.monmap.show import addrs_document
from spirula.mon.services.monmap.show import document as monmap_document
from spirula.mon.store import Transaction
from spirula.printing import Unquoted
from spirula.types.entity import TYPE_NAMES, EntityAddrVec
from spirula.types.mon import FeatureMap

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession

TELL = CommandFlag.TELL
commands = Commands("mon")


def seconds(value: float) -> Unquoted:
    """A time as upstream's JSON shows it."""
    return Unquoted(f"{value:.9g}")


# ---------------------------------------------------------------------------------------- documents


def quorum_status(monitor: Monitor) -> dict[str, object]:
    """`quorum_status`."""
    return status.quorum_status(monitor.member, monitor.now(), monmap_document(monitor.monmap))


def mon_status(monitor: Monitor) -> dict[str, object]:
    """`mon_status`."""
    features = features_document(feature_map(monitor))
    monmap = monmap_document(monitor.monmap)
    return status.mon_status(monitor.member, monitor.now(), monmap, features)


# --------------------------------------------------------------------------------- sessions,
# features


def feature_map(monitor: Monitor) -> FeatureMap:
    """The features of this monitor's sessions, and of itself."""
    found: dict[int, Counter[int]] = {}
    own = monitor.local_session
    for session in (own, *monitor.sessions):
        if session is own or not session.is_mon:
            found.setdefault(session.name.type, Counter())[session.features] += 1
    return FeatureMap({kind: dict(counts) for kind, counts in found.items()})


def features_document(found: FeatureMap) -> dict[str, object]:
    """`features`."""
    return {
        TYPE_NAMES.get(kind, str(kind)): [
            {"features": f"{bits:#x}", "release": feature_bits.release_of(bits), "num": count}
            for bits, count in sorted(counts.items())
        ]
        for kind, counts in sorted(found.m.items())
    }


def combined_features(monitor: Monitor) -> FeatureMap:
    """The features of the sessions of all monitors of the quorum, as the leader knows them."""
    total: dict[int, Counter[int]] = {}
    others = [FeatureMap.decode(bl) for bl in monitor.member.paxos.feature_maps.values() if bl]
    for one in (feature_map(monitor), *others):
        for kind, counts in one.m.items():
            total.setdefault(kind, Counter()).update(counts)
    return FeatureMap({kind: dict(counts) for kind, counts in total.items()})


def _session_document(session: MonSession) -> dict[str, object]:
    auth = session.auth
    return {
        "name": str(session.name),
        "entity_name": str(session.entity) if not session.is_mon else "",
        "addrs": addrs_document(session.addrs),
        "socket_addr": session.socket_addr.plain(),
        "con_type": TYPE_NAMES.get(session.name.type, "unknown"),
        "con_features": session.features,
        "con_features_hex": f"{session.features:x}",
        "con_features_release": feature_bits.release_of(session.features),
        "open": not session.closed,
        "caps": {"text": session.caps.to_text()},
        "authenticated": True,
        "global_id": session.global_id,
        "global_id_status": auth.status.value if auth is not None else "none",
        "osd_epoch": session.osd_epoch,
        "remote_host": session.remote_host,
    }


# ----------------------------------------------------------------------------------------- commands


@commands.add("quorum_status", perm="r", help="show who is in the quorum, and the monitor map")
def _show_quorum_status(monitor: Monitor, request: Request) -> Reply:
    document = quorum_status(monitor)
    return said(data=request.render(document, "quorum_status", fallback="json"))


@commands.add("mon_status", perm="r", flags=TELL, help="show this monitor's state")
def _show_mon_status(monitor: Monitor, request: Request) -> Reply:
    return said(data=request.render(mon_status(monitor), "mon_status"))


@commands.add("sessions", perm="r", flags=TELL, help="list the sessions of this monitor's clients")
def _show_sessions(monitor: Monitor, request: Request) -> Reply:
    listed = [monitor.local_session, *monitor.sessions]
    return said(data=request.render([_session_document(one) for one in listed], "sessions"))


@commands.add("features", perm="r", writes=True, help="count connected clients by their features")
def _show_features(monitor: Monitor, request: Request) -> Reply:
    document = features_document(combined_features(monitor))
    return said(data=request.render(document, "features"))


@commands.add("time-sync-status", perm="r", writes=True, help="show how far the clocks are apart")
def _show_time_sync(monitor: Monitor, request: Request) -> Reply:
    check = monitor.member.timecheck
    document: dict[str, object] = {}
    found = check.status()
    if found:
        document["time_skew_status"] = {
            one.name: {
                "skew": seconds(one.skew),
                "latency": seconds(one.latency),
                "health": "HEALTH_WARN" if one.details else "HEALTH_OK",
                **({"details": one.details} if one.details else {}),
            }
            for one in found
        }
    document["timechecks"] = {
        "epoch": monitor.member.epoch,
        "round": check.round,
        "round_status": "on-going" if check.ongoing else "finished",
    }
    return said(data=request.render(document, "time_sync"))


commands.add("scrub", perm="rw", flags=CommandFlag.OBSOLETE, help="obsolete: use `mon scrub`")(
    obsolete
)


@commands.add("mon scrub", perm="rw", help="compare the stores of all monitors")
def _scrub(monitor: Monitor, request: Request) -> Reply:
    monitor.member.scrub(monitor.now(), monitor.wall())
    monitor.driver.pump()
    return said()


@commands.add("quorum enter", perm="rw", flags=TELL, help="take part in the quorum again")
def _quorum_enter(monitor: Monitor, request: Request) -> Reply:
    monitor.member.rejoin(monitor.now(), monitor.wall())
    monitor.driver.pump()
    return said(data="started responding to quorum, initiated new election")


@commands.add("quorum exit", perm="rw", flags=TELL, help="leave the quorum until `quorum enter`")
def _quorum_exit(monitor: Monitor, request: Request) -> Reply:
    monitor.member.step_aside("quorum exit", monitor.now(), monitor.wall())
    monitor.driver.pump()
    return said(data="stopped responding to quorum, initiated new election")


@commands.add(
    "sync_force",
    validate=choices("--yes-i-really-mean-it", required=False),
    perm="rw",
    flags=TELL,
    help="let this monitor copy the others' store anew at its next start",
)
def _sync_force(monitor: Monitor, request: Request, validate: str = "") -> Reply:
    if not validate:
        raise NotPermitted(
            "are you SURE? this will mean the monitor store will be erased the next time the "
            "monitor is restarted.  pass '--yes-i-really-mean-it' if you really do."
        )
    monitor.member.force_sync(monitor.now(), monitor.wall())
    monitor.driver.pump()
    return said(data=request.render(status.SYNC_FORCED, "sync_force"))


@commands.add("compact", perm="rw", flags=TELL, help="give back the room of what was removed")
def _compact(monitor: Monitor, request: Request) -> Reply:
    began = monitor.now()
    monitor.driver.persist(Transaction().compact("paxos"))
    took = seconds(monitor.now() - began)
    return said(data=f"compacted sqlite in {took} seconds")


def _hint(monitor: Monitor, addrs: EntityAddrVec) -> Reply:
    if not monitor.member.add_peer_hint(addrs, monitor.now(), monitor.wall()):
        return said(data="mon already active; ignoring bootstrap hint")
    return said(data=f"adding peer {addrs} to list")


@commands.add(
    "add_bootstrap_peer_hint",
    addr=ip_addr(),
    perm="rw",
    flags=TELL,
    help="tell where another monitor may be found",
)
def _add_bootstrap_peer_hint(monitor: Monitor, request: Request, addr: str) -> Reply:
    return _hint(monitor, hint_of(addr))


@commands.add(
    "add_bootstrap_peer_hintv",
    addrv=text(),
    perm="rw",
    flags=TELL,
    help="tell at which addresses another monitor may be found",
)
def _add_bootstrap_peer_hintv(monitor: Monitor, request: Request, addrv: str) -> Reply:
    return _hint(monitor, hint_of_vector(addrv))


@commands.add(
    "connection scores dump", perm="rwx", flags=TELL, help="show how well monitors are connected"
)
def _scores_dump(monitor: Monitor, request: Request) -> Reply:
    return said(data=request.render(monitor.member.scores_document(), "scores"))


@commands.add(
    "connection scores reset", perm="rwx", flags=TELL, help="forget how well monitors are connected"
)
def _scores_reset(monitor: Monitor, request: Request) -> Reply:
    monitor.member.reset_scores(monitor.now(), monitor.wall())
    monitor.driver.pump()
    return said()


@commands.add(
    "heap",
    heapcmd=choices("dump", "start_profiler", "stop_profiler", "release", "stats"),
    value=text(required=False),
    perm="rw",
    flags=TELL,
    help="profile memory; only for daemons that use tcmalloc, which this one does not",
)
def _heap(monitor: Monitor, request: Request, heapcmd: str, value: str = "") -> Reply:
    raise NotSupported("could not issue heap profiler command -- not using tcmalloc!")
