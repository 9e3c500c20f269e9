"""`service ...` and `config show`: who serves beside Ceph's own daemons, and options in use."""

from __future__ import annotations

from errno import ENOENT
from typing import TYPE_CHECKING, Any

from spirula.commands.arguments import Argument, text
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.conf.config import Source
from spirula.errors import InvalidArgument, NotFound
from spirula.mgr.daemons.index import DaemonKey, DaemonState
from spirula.pgmap import services
from spirula.printing import Items, TextTable
from spirula.types.base import UTime

if TYPE_CHECKING:
    from spirula.mgr.commands.dispatch import Request
    from spirula.mgr.state import Manager

SERVICE = Commands("service")
CONFIG = Commands("mgr")
_PRETTY = "json-pretty"


def _optional(argument: Argument) -> Argument:
    """Optional, in the words that upstream uses here."""
    return Argument(argument.kind, argument.check, False, False, (("req", "False"),))


def parse_daemon(word: str) -> DaemonKey:
    """`osd.3` as a key. InvalidArgument."""
    kind, dot, name = word.partition(".")
    if not (kind and dot and name):
        raise InvalidArgument(f"{word} is not a valid daemon name")
    return DaemonKey(kind, name)


@SERVICE.add("service dump", perm="r", help="show the services' map")
def dump(manager: Manager, request: Request) -> Reply:
    """All services and their daemons."""
    document = services.document(manager.service_map)
    return Reply(data=_pretty(request, document, "service_map"))


def _pretty(request: Request, document: object, name: str) -> bytes:
    if request.is_plain:
        request.given["format"] = _PRETTY
    return request.show(document, name)


@SERVICE.add("service status", perm="r", help="show what services say of themselves")
def status(manager: Manager, request: Request) -> Reply:
    """What the daemons of services last said of themselves."""
    shown: dict[str, Any] = {}
    for kind, service in sorted(manager.pending_services.services.items()):
        known = {}
        for name in sorted(service.daemons):
            state = manager.daemons.get(DaemonKey(kind, name))
            if state is not None and state.is_service:
                known[name] = {
                    "status_stamp": str(UTime.at(state.status_stamp)),
                    "last_beacon": str(UTime.at(state.last_beacon)),
                    "status": dict(sorted(state.status.items())),
                }
        if known:
            shown[kind] = known
    return Reply(data=_pretty(request, shown, "service_status"))


# --------------------------------------------------------------------------------------- options


def _state(manager: Manager, who: str) -> DaemonState:
    key = parse_daemon(who)
    state = manager.daemons.get(key)
    if state is None:
        raise NotFound(f"no config state for daemon {who}")
    return state


@CONFIG.add(
    "config show",
    who=text(),
    key=_optional(text()),
    perm="r",
    help="show the options that a running daemon uses",
)
def config_show(manager: Manager, request: Request, who: str, key: str = "") -> Reply:
    """The options that somebody has set, or the value of one."""
    state = _state(manager, who)
    if not key:
        names = [name for name, values in sorted(state.config.items()) if values]
        return _options(request, state, names)
    if key == "fsid":
        return Reply(data=f"{manager.fsid_text}\n".encode())
    values = state.config.get(key)
    if values:
        return Reply(data=f"{values[max(values)]}\n".encode())
    if key in state.defaults:
        return Reply(data=f"{state.defaults[key]}\n".encode())
    return Reply(rc=-ENOENT)


@CONFIG.add(
    "config show-with-defaults",
    who=text(),
    perm="r",
    help="likewise, with those that nobody set",
)
def config_show_with_defaults(manager: Manager, request: Request, who: str) -> Reply:
    """All options."""
    state = _state(manager, who)
    return _options(request, state, sorted(state.defaults))


def _options(request: Request, state: DaemonState, names: list[str]) -> Reply:
    if not state.defaults:
        return Reply()
    columns = ("NAME", "VALUE", "SOURCE", "OVERRIDES", "IGNORES")
    table = TextTable([(name, "<") for name in columns])
    shown = Items("value")
    for name in names:
        values = state.config.get(name) or {Source.DEFAULT: state.defaults.get(name, "")}
        source = max(values)
        weaker = [level for level in sorted(values, reverse=True) if level != source]
        ignored = name in state.ignored_mon_config
        table.add(
            name,
            values[source],
            Source(source).label,
            " ".join(_override(level, values, source) for level in reversed(weaker)),
            "mon" if ignored else "",
        )
        one: dict[str, Any] = {
            "name": name,
            "value": values[source],
            "source": Source(source).label,
        }
        if weaker:
            overridden = [
                {"source": Source(level).label, "value": values[level]}
                for level in reversed(weaker)
            ]
            one["overrides"] = Items("value", overridden)
        if ignored:
            one["ignores"] = "mon"
        shown.append(one)
    if request.is_plain:
        return Reply(data=str(table).encode())
    return Reply(data=request.show(shown, "config"))


def _override(level: int, values: dict[int, str], source: int) -> str:
    text = f"{Source(level).label}[{values[level]}]"
    return f"({text})" if values[level] == values[source] else text
