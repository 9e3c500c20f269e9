"""What operators ask of the monitor map, and change in it: `ceph mon ...`.

Checks are made against the committed map, changes to the pending one. Stretch mode is in `stretch`,
what the monitors know of themselves (`mon metadata`) in the monitor's own commands. Texts and
order: upstream `src/mon/MonmapMonitor.cc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, integer, ip_addr, text
from spirula.commands.reply import Reply, committed, lines, said
from spirula.commands.table import CommandFlag, Commands
from spirula.errors import Busy, Exists, InvalidArgument, NotFound, NotPermitted, NotSupported
from spirula.mon.services.monmap import edit, show
from spirula.printing import Items
from spirula.types.entity import EntityAddr, EntityAddrVec
from spirula.types.mon import MON_FEATURE_NAMES, ElectionStrategy, MonFeature, MonMap

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.monmap.service import MonMapService

commands = Commands("mon")

LOCATION = "[A-Za-z0-9-_.=]"
_STRATEGIES = {
    "classic": ElectionStrategy.CLASSIC,
    "disallow": ElectionStrategy.DISALLOW,
    "connectivity": ElectionStrategy.CONNECTIVITY,
}


# --- asking


def _at_epoch(service: MonMapService, epoch: int) -> MonMap:
    if not epoch:
        return service.monmap
    encoded = service.get_version(epoch)
    if encoded is None:
        raise NotFound(f"there is no map for epoch {epoch}")
    return MonMap.decode(encoded)


@commands.add(
    "mon dump",
    epoch=integer(0, required=False),
    perm="r",
    help="show the monitor map, or that of an epoch",
)
def dump(service: MonMapService, request: Request, epoch: int = 0) -> Reply:
    """Shows a map; NotFound for an epoch that is not kept."""
    monmap = _at_epoch(service, epoch)
    outs = f"dumped monmap epoch {monmap.epoch}"
    if request.is_plain:
        return said(outs, show.plain(monmap))
    quorum = Items("mon", sorted(service.monitor.member.state.quorum))
    document = {**show.document(monmap), "quorum": quorum}
    return said(outs, lines(request.render(document, "monmap")))


@commands.add(
    "mon getmap",
    epoch=integer(0, required=False),
    perm="r",
    help="get the encoded monitor map, or that of an epoch",
)
def getmap(service: MonMapService, request: Request, epoch: int = 0) -> Reply:
    """Gives a map as bytes, as `monmaptool` and `ceph-mon --inject-monmap` read it."""
    monmap = _at_epoch(service, epoch)
    return said(f"got monmap epoch {monmap.epoch}", monmap.encode(request.session.features))


@commands.add("mon stat", perm="r", help="the monitors and their quorum in a line")
def stat(service: MonMapService, request: Request) -> Reply:
    """Shows monitors, leader and quorum."""
    state, monmap = service.monitor.member.state, service.monmap
    quorum = sorted(state.quorum)
    leader = monmap.ranks[state.leader] if state.leader >= 0 else ""
    if not request.is_plain:
        members = [{"rank": rank, "name": monmap.ranks[rank]} for rank in quorum]
        document = {
            **show.summary_document(monmap),
            "leader": leader,
            "quorum": Items("mon", members),
        }
        return said("", lines(request.render(document, "monmap")))
    names = show.joined(monmap.ranks[rank] for rank in quorum)
    return said(
        "",
        f"{show.summary(monmap)}, election epoch {service.monitor.member.epoch}, "
        f"leader {state.leader} {leader}, quorum {show.joined(quorum)} {names}\n",
    )


@commands.add(
    "mon feature ls",
    with_value=choices("--with-value", required=False),
    perm="r",
    help="list the features that monitors agree on",
)
def feature_ls(service: MonMapService, request: Request, with_value: str = "") -> Reply:
    """Shows what this release knows, and what the map requires of every monitor."""
    monmap, numbered = service.monmap, bool(with_value)
    required = edit.required_features(monmap)
    persistent = monmap.persistent_features.features
    if request.is_plain:
        all_of_them = show.features_text(edit.SUPPORTED, with_value=numbered)
        return said(
            "",
            f"all features\n\tsupported: {all_of_them}\n\tpersistent: {all_of_them}\n"
            f"on current monmap (epoch {monmap.epoch})\n"
            f"\tpersistent: {show.features_text(persistent, with_value=numbered)}\n"
            f"\trequired: {show.features_text(required, with_value=numbered)}\n",
        )

    def names(features: int) -> Items:
        return show.feature_list(features, with_value=numbered)

    document = {
        "all": {"supported": names(edit.SUPPORTED), "persistent": names(edit.SUPPORTED)},
        "monmap": {
            "persistent": names(persistent),
            "optional": names(monmap.optional_features.features),
            "required": names(required),
        },
    }
    return said("", lines(request.render(document, "features")))


@commands.add(
    "mon ok-to-stop",
    ids=text(repeated=True),
    perm="r",
    help="tell whether a quorum would remain without these monitors",
)
def ok_to_stop(service: MonMapService, request: Request, ids: list[str]) -> Reply:
    """Busy unless a quorum would remain; names that are no monitors do not matter."""
    monmap = service.monmap
    quorum = {monmap.ranks[rank] for rank in service.monitor.member.state.quorum}
    left = sorted(quorum - set(ids))
    stopped = f"[{show.joined(ids)}]"
    if len(left) < edit.min_quorum(len(monmap.ranks)):
        raise Busy(
            f"not enough monitors would be available ({show.joined(left)}) "
            f"after stopping mons {stopped}"
        )
    return said(f"quorum should be preserved ({show.joined(left)}) after stopping {stopped}")


@commands.add(
    "mon ok-to-add-offline",
    perm="r",
    help="tell whether a quorum would remain if a monitor were added that does not run",
)
def ok_to_add_offline(service: MonMapService, request: Request) -> Reply:
    """Busy unless the present quorum would be one of a larger map, too."""
    quorum = service.monitor.member.state.quorum
    if len(quorum) < edit.min_quorum(len(service.monmap.ranks) + 1):
        raise Busy("adding a monitor may break quorum (until that monitor starts)")
    return said("adding another mon that is not yet online will not break quorum")


@commands.add(
    "mon ok-to-rm", id=text(), perm="r", help="tell whether a quorum would remain without it"
)
def ok_to_rm(service: MonMapService, request: Request, id: str) -> Reply:
    """Busy if the others of the quorum would be none of the smaller map."""
    monmap, quorum = service.monmap, service.monitor.member.state.quorum
    if id not in monmap.mon_info:
        return said(f"mon.{id} does not exist")
    left = len(quorum) - 1
    if monmap.rank_of(id) in quorum and left < edit.min_quorum(len(monmap.ranks) - 1):
        raise Busy(f"removing mon.{id} would break quorum")
    return said(f"safe to remove mon.{id}")


# --- adding and removing


def all_have_pinging(service: MonMapService, what: str) -> None:
    """Raises NotSupported while monitors older than 16.2 are in the quorum."""
    if not service.monitor.member.state.quorum_mon_features & MonFeature.PINGING:
        raise NotSupported(f"Not all monitors support {what}; please upgrade first!")


def _location(words: list[str]) -> dict[str, str]:
    location = edit.parse_location(words)
    if words and not location:
        raise InvalidArgument(_no_location(words))
    return location


def _no_location(words: list[str]) -> str:
    return (
        f"We could not parse your input location to anything real; [{show.joined(words)}] "
        "turned into an empty map!"
    )


@commands.add(
    "mon add",
    name=text(),
    addr=ip_addr(),
    location=text(required=False, repeated=True, goodchars=LOCATION),
    perm="rw",
    help="add a monitor to the map, at an address and perhaps a CRUSH location",
)
def add(
    service: MonMapService, request: Request, name: str, addr: str, location: list[str]
) -> Reply:
    """Adds a monitor, of the last rank. It may ask for ports by giving none."""
    monmap = service.monmap
    if location:
        all_have_pinging(service, "adding monitors with a location")
    where = _location(location)
    if monmap.stretch_mode_enabled and not where:
        raise InvalidArgument(
            "We are in stretch mode and new monitors must have a location, but could not parse "
            f"your input location to anything real; [{show.joined(location)}] turned into an "
            "empty map!"
        )
    given = EntityAddr.parse(addr)
    addrs = edit.addrs_of_new(given)
    if name in monmap.mon_info:
        known = monmap.mon_info[name].public_addrs
        if known == addrs:
            return said(f"mon.{name} at {addrs} already exists")
        raise Exists(f"mon.{name} already exists at address {known}")
    other = edit.name_at(monmap, addrs)
    if other is not None:
        raise Exists(f"mon.{other} already exists at address {given}")
    edit.add(service.pending, name, addrs, where)
    service.changed()
    return committed(f"adding mon.{name} at {addrs}")


@commands.add("mon rm", name=text(), perm="rw", help="remove a monitor from the map")
def rm(service: MonMapService, request: Request, name: str) -> Reply:
    """Removes a monitor; it stops when it learns of that."""
    monmap, pending = service.monmap, service.pending
    if name not in monmap.mon_info:
        return said(f"mon.{name} does not exist or has already been removed")
    if len(monmap.ranks) == 1:
        raise InvalidArgument(f"error: refusing removal of last monitor {name}")
    if pending.stretch_mode_enabled and name == pending.tiebreaker_mon:
        raise InvalidArgument("you cannot remove stretch mode's tiebreaker monitor")
    addrs = monmap.mon_info[name].public_addrs
    edit.remove(pending, name)
    service.changed()
    return committed(f"removing mon.{name} at {addrs}, there will be {len(pending.ranks)} monitors")


commands.add(
    "mon remove",
    name=text(),
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="remove a monitor from the map",
)(rm)


# --- properties of a monitor


@commands.add(
    "mon set-rank", name=text(), rank=integer(), perm="rw", help="give a monitor another rank"
)
def set_rank(service: MonMapService, request: Request, name: str, rank: int) -> Reply:
    """Moves a monitor; the lower its rank, the more likely it leads."""
    if name not in service.pending.mon_info:
        raise NotFound(f"mon.{name} does not exist in monmap")
    edit.set_rank(service.pending, name, rank)
    service.changed()
    return committed()


def _must_exist(service: MonMapService, name: str) -> None:
    if name not in service.pending.mon_info:
        raise NotFound(f"mon.{name} does not exist")


@commands.add(
    "mon set-addrs",
    name=text(),
    addrs=text(),
    perm="rw",
    help="set the addresses that a monitor listens at",
)
def set_addrs(service: MonMapService, request: Request, name: str, addrs: str) -> Reply:
    """Gives a monitor other addresses, which take effect when it is started anew."""
    _must_exist(service, name)
    try:
        parsed = EntityAddrVec.parse(addrs)
    except ValueError:
        raise InvalidArgument(f"failed to parse addrs '{addrs[:100]}'") from None
    if not parsed:
        raise InvalidArgument(f"failed to parse addrs '{addrs[:100]}'")
    listening = [addr.with_nonce(0) for addr in parsed.addrs]
    for addr in listening:
        if not addr.port:
            raise InvalidArgument(f"monitor must bind to a non-zero port, not {addr}")
    service.pending.mon_info[name].public_addrs = EntityAddrVec(listening)
    service.changed()
    return committed()


@commands.add(
    "mon set-weight",
    name=text(),
    weight=integer(0, 65535),
    perm="rw",
    help="set how often clients choose a monitor, among those of equal priority",
)
def set_weight(service: MonMapService, request: Request, name: str, weight: int) -> Reply:
    """Sets a monitor's share of new clients; 0 for all means equal shares."""
    _must_exist(service, name)
    service.pending.mon_info[name].weight = weight
    service.changed()
    return committed()


@commands.add(
    "mon set_location",
    name=text(),
    args=text(repeated=True, goodchars=LOCATION),
    perm="rw",
    help="say where a monitor stands, by names of CRUSH buckets",
)
def set_location(service: MonMapService, request: Request, name: str, args: list[str]) -> Reply:
    """Says in which buckets of the CRUSH hierarchy a monitor stands."""
    all_have_pinging(service, "monitor locations")
    _must_exist(service, name)
    where = _location(args)
    if not where:
        raise InvalidArgument(_no_location(args))
    service.pending.mon_info[name].crush_loc = where
    service.changed()
    return committed()


# --- how they elect, and what they must be able to do


@commands.add(
    "mon enable-msgr2",
    perm="rw",
    help="let monitors with the old default port listen for msgr2 on port 3300, too",
)
def enable_msgr2(service: MonMapService, request: Request) -> Reply:
    """Gives port 3300 to those that listen at 6789 for the old protocol only."""
    if not edit.required_features(service.monmap) & MonFeature.NAUTILUS:
        raise NotPermitted("all monitors must be running nautilus to enable v2", errno=13)
    if not edit.enable_msgr2(service.pending):
        return said()
    service.changed()
    return committed()


@commands.add(
    "mon feature set",
    feature_name=text(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="require a feature of all monitors, for ever",
)
def feature_set(
    service: MonMapService,
    request: Request,
    feature_name: str,
    yes_i_really_mean_it: bool = False,
) -> Reply:
    """Requires a feature, which nothing can take back."""
    feature = next((bit for bit, name in MON_FEATURE_NAMES.items() if name == feature_name), None)
    if feature is None or not (feature & edit.SUPPORTED or feature == MonFeature.RESERVED):
        raise NotFound(f"unknown feature '{feature_name}'")
    shown = f"mon_feature_t({show.features_text(feature)})"
    if not yes_i_really_mean_it:
        raise NotPermitted(
            "please specify '--yes-i-really-mean-it' if you really, **really** want to set "
            f"feature '{shown}' in the monmap."
        )
    supported = service.monitor.member.state.quorum_mon_features
    if not supported & feature:
        raise InvalidArgument(
            f"current quorum does not support feature '{shown}'; supported features: "
            f"mon_feature_t({show.features_text(supported)})"
        )
    outs = f"setting feature '{shown}'"
    if service.monmap.persistent_features.features & feature:
        return said(outs)
    edit.add_features(service.pending, feature)
    service.changed()
    return committed(outs)


@commands.add(
    "mon set election_strategy",
    strategy=text(),
    perm="rw",
    help="choose how monitors elect their leader: classic, disallow, connectivity",
)
def set_election_strategy(service: MonMapService, request: Request, strategy: str) -> Reply:
    """Chooses among the strategies of `mon.quorum.election`."""
    all_have_pinging(service, "changing election strategies")
    if strategy not in _STRATEGIES:
        raise InvalidArgument
    service.pending.strategy = _STRATEGIES[strategy]
    service.changed()
    return committed()


def _may_disallow(service: MonMapService, name: str) -> None:
    all_have_pinging(service, "changing election strategies")
    if service.pending.strategy == ElectionStrategy.CLASSIC:
        raise InvalidArgument("You cannot disallow monitors in your current election mode")
    _must_exist(service, name)


@commands.add(
    "mon add disallowed_leader", name=text(), perm="rw", help="never let this monitor lead"
)
def add_disallowed_leader(service: MonMapService, request: Request, name: str) -> Reply:
    """Keeps a monitor from leading, unless nobody else is allowed to."""
    _may_disallow(service, name)
    pending = service.pending
    if name in pending.disallowed_leaders:
        return said(f"mon.{name} is already disallowed")
    if len(pending.disallowed_leaders) == len(pending.ranks) - 1:
        raise InvalidArgument(f"mon.{name} is the only remaining allowed leader!")
    pending.disallowed_leaders.add(name)
    service.changed()
    return committed()


@commands.add(
    "mon rm disallowed_leader", name=text(), perm="rw", help="let this monitor lead again"
)
def rm_disallowed_leader(service: MonMapService, request: Request, name: str) -> Reply:
    """Takes that back."""
    _may_disallow(service, name)
    if name not in service.pending.disallowed_leaders:
        return said(f"mon.{name} is already allowed")
    service.pending.disallowed_leaders.discard(name)
    service.changed()
    return committed()
