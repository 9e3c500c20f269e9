"""Commands that change options: `config set`, `rm`, `reset`, `assimilate-conf`.

Status lines follow upstream `src/mon/ConfigMonitor.cc` (prepare_command). Called through the
command table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import flag, integer, text
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import Commands
from spirula.conf.file import ConfSyntaxError, normalize_name, parse_conf
from spirula.conf.option import OptionFlag
from spirula.conf.values import BadValue, to_text
from spirula.errors import InvalidArgument
from spirula.mon.services.config.config_map import make_key, parse_mask
from spirula.mon.services.config.show import change_set

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.config.service import ConfigService

commands = Commands("config")

_NOT_ASSIMILATED = OptionFlag.NO_MON_UPDATE | OptionFlag.CLUSTER_CREATE


@commands.add(
    "config set",
    who=text(),
    name=text(),
    value=text(),
    force=flag(),
    perm="rw",
    help="set an option for an entity, a kind of entities or all",
)
def set_option(
    service: ConfigService,
    request: Request,
    who: str,
    name: str,
    value: str,
    *,
    force: bool = False,
) -> Reply:
    """Sets an option. With `force` it need not be known, nor the value good."""
    name = normalize_name(name)
    if not force:
        value = _checked(service, name, value)
    return _change(service, who, name, _bytes(value))


def _checked(service: ConfigService, name: str, value: str) -> str:
    """The value as it is kept. Raises InvalidArgument."""
    option = service.find_option(name)
    if option is None:
        raise InvalidArgument(f"unrecognized config option '{name}'")
    try:
        kept = to_text(option.parse(value))
    except BadValue as error:
        raise InvalidArgument(f"error parsing value: {error.message}") from None
    if option.flags & OptionFlag.NO_MON_UPDATE:
        raise InvalidArgument(f"{name} is special and cannot be stored by the mon")
    return kept


@commands.add(
    "config rm",
    who=text(),
    name=text(),
    perm="rw",
    help="no longer set an option for an entity, a kind of entities or all",
)
def remove(service: ConfigService, request: Request, who: str, name: str) -> Reply:
    """Removes what is set; what is not set is no error."""
    return _change(service, who, normalize_name(name), None)


def _change(service: ConfigService, who: str, name: str, value: bytes | None) -> Reply:
    target = parse_mask(who)
    if target is None:
        raise InvalidArgument(f"unrecognized config target '{who}'")
    changed = service.change({make_key(*target, name): value})
    return committed() if changed else said()


@commands.add(
    "config reset", num=integer(0), perm="rw", help="go back to what was set at a version"
)
def reset(service: ConfigService, request: Request, num: int) -> Reply:
    """Undoes all changes after a version."""
    if num > service.last_committed:
        raise InvalidArgument(
            "must specify a valid historical version to revert to; see 'ceph config log' for a "
            "list of avialable configuration historical versions"
        )
    undone: dict[str, bytes | None] = {}
    for version in range(service.last_committed, num, -1):
        for key, (before, _) in change_set(service, version).diff.items():
            undone[key] = None if before is None else _bytes(before)
    changed = service.change(undone, f"reset to {num}")
    return committed() if changed else said()


@commands.add(
    "config assimilate-conf",
    perm="rw",
    help="take over the options of a ceph.conf given with -i, and print what has to stay in it",
)
def assimilate(service: ConfigService, request: Request) -> Reply:
    """Takes over what is known, may be kept here, and contradicts nothing that is set."""
    try:
        given = parse_conf(request.data)
    except ConfSyntaxError as error:
        where = f"in line {error.line} at position {error.column}"
        raise InvalidArgument(f"parse error: {error.reason} {where}\n") from None
    taken: dict[str, bytes | None] = {}
    left: list[str] = []
    for section in given.section_names():
        stays: list[str] = []
        settings = given.sections[section]
        for name in sorted(settings, key=_bytes):
            if not name:
                continue
            value = _assimilated(service, section, name, settings[name].value)
            if value is None:
                stays.append(f"\t{name} = {settings[name].value}\n")
            else:
                taken[f"{section}/{name}"] = _bytes(value)
        if stays:
            left += [f"\n[{section}]\n", *stays]
    changed = service.change(taken)
    return committed("", "".join(left)) if changed else said("", "".join(left))


def _assimilated(service: ConfigService, section: str, name: str, value: str) -> str | None:
    """The value as it is kept, or None if it has to stay in the file."""
    option = service.find_option(name)
    if option is None or option.flags & _NOT_ASSIMILATED:
        return None
    try:
        kept = to_text(option.parse(value))
    except BadValue:
        return None
    there = next((one for one in service.map.section(section) if one.name == name), None)
    return kept if there is None or there.value == kept else None


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
