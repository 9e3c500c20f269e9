"""Commands that show options: `config get`, `dump`, `help`, `ls`, `log`, `generate-minimal-conf`.

Outputs follow upstream `src/mon/ConfigMonitor.cc` (preprocess_command) and `src/common/options.cc`
(Option::print). Called through the command table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from spirula.commands.arguments import Argument, integer, text
from spirula.commands.reply import Reply, said
from spirula.commands.table import Commands
from spirula.conf.file import normalize_name
from spirula.conf.option import OptionFlag
from spirula.conf.values import to_text
from spirula.errors import InvalidArgument, NotFound
from spirula.mon.services.config import history
from spirula.mon.services.config.config_map import GLOBAL, Place
from spirula.printing import Items, TextTable
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.conf.option import Option
    from spirula.mon.request import Request
    from spirula.mon.services.config.config_map import MaskedOption
    from spirula.mon.services.config.service import ConfigService

commands = Commands("config")

DEFAULT_LOG = 10
"""Change sets that `config log` shows unless told otherwise."""


def _left_out(argument: Argument) -> Argument:
    """The argument as upstream describes these few: `req=False`, with a capital."""
    details = (*argument.details, ("req", "False"))
    return Argument(argument.kind, argument.check, required=False, details=details)


def _entity(who: str) -> PrincipalName:
    for word in (who, f"{who}."):
        try:
            return PrincipalName.parse(word)
        except ValueError:
            continue
    raise InvalidArgument(f"unrecognized entity '{who}'")


def _place(service: ConfigService, entity: PrincipalName) -> Place:
    if entity.type == EntityType.OSD and entity.id.isdecimal():
        return service.place_of(osd=int(entity.id))
    return Place()


def _table(rows: list[tuple[str, MaskedOption]]) -> str:
    columns = ("WHO", "MASK", "LEVEL", "OPTION", "VALUE", "RO")
    table = TextTable([(heading, "<") for heading in columns])
    for who, value in rows:
        fixed = "" if value.can_update_at_runtime else "*"
        table.add(who, str(value.mask), value.level, value.name, value.value, fixed)
    return str(table)


@commands.add(
    "config get",
    who=text(),
    key=_left_out(text()),
    perm="r",
    help="show the options that hold for an entity, or one of them",
)
def get(service: ConfigService, request: Request, who: str, key: str | None = None) -> Reply:
    """What is set for an entity; with a key its value, or the default."""
    entity = _entity(who)
    found = service.map.for_entity(str(entity), _place(service, entity), service.crush_types())
    if key is not None:
        key = normalize_name(key)
        return said("", _value(service, entity, key, found.get(key)) + "\n")
    if request.is_plain:
        return said("", _table([(value.section, value) for value in found.values()]))
    document = {
        name: {
            "value": value.value,
            "section": value.section,
            "mask": value.mask.as_dict(),
            "can_update_at_runtime": value.can_update_at_runtime,
        }
        for name, value in found.items()
    }
    return said("", request.render(document, "config"))


def _value(
    service: ConfigService, entity: PrincipalName, key: str, found: MaskedOption | None
) -> str:
    option = service.find_option(key)
    if option is None:
        raise NotFound(f"unrecognized key '{key}'")
    if option.flags & OptionFlag.NO_MON_UPDATE:
        if key == "fsid":
            return str(UUID(bytes=service.monitor.monmap.fsid))
        raise InvalidArgument(f"{key} is special and cannot be stored by the mon")
    if found is not None:
        return found.value
    return to_text(option.default_for(daemon=entity.type != EntityType.CLIENT))


@commands.add("config dump", module="mon", perm="r", help="show all options that are set")
def dump(service: ConfigService, request: Request) -> Reply:
    """All values of all sections."""
    values = service.map.ordered()
    if request.is_plain:
        return said("", _table([(_indented(value.section), value) for value in values]))
    documents = [
        {
            "section": value.section,
            "name": value.name,
            "value": value.value,
            "level": value.level,
            "can_update_at_runtime": value.can_update_at_runtime,
            "mask": str(value.mask),
            **value.mask.as_dict(),
        }
        for value in values
    ]
    return said("", request.render(Items("option", documents), "config"))


def _indented(section: str) -> str:
    if section == GLOBAL:
        return section
    return f"    {section}" if "." in section else f"  {section}"


@commands.add("config help", key=text(), perm="r", help="describe an option")
def describe(service: ConfigService, request: Request, key: str) -> Reply:
    """What is known of an option."""
    option = service.find_option(normalize_name(key))
    if option is None:
        raise NotFound
    if not request.is_plain:
        return said("", request.render(option.as_dict(), "option"))
    return said("", _described(option))


def _described(option: Option) -> str:
    default = to_text(option.default_for(daemon=False))
    lines = [f"{option.name} - {option.desc}", f"  ({option.type.value}, {option.level.value})"]
    if option.daemon_default is None:
        lines.append(f"  Default: {default}")
    else:
        lines.append(f"  Default (non-daemon): {default}")
        lines.append(f"  Default (daemon): {to_text(option.daemon_default)}")
    if option.enum_values:
        lines.append("  Possible values: " + "".join(f" {word}" for word in option.enum_values))
    if option.min is not None:
        lines.append(f"  Minimum: {to_text(option.min)}")
        lines.append(f"  Maximum: {to_text(option.max)}")
    lines.append(f"  Can update at runtime: {to_text(option.can_update_at_runtime)}")
    for heading, words in (
        ("Services", option.services),
        ("Tags", option.tags),
        ("See also", option.see_also),
    ):
        if words:
            lines.append(f"  {heading}: [{','.join(words)}]")
    if option.long_desc:
        lines += ["", option.long_desc]
    return "".join(f"{line}\n" for line in lines)


@commands.add("config ls", perm="r", help="list the names of all options")
def list_names(service: ConfigService, request: Request) -> Reply:
    """The daemons' options, then those of the manager's modules."""
    names = [*service.monitor.config.schema, *service.module_options()]
    if request.is_plain:
        return said("", "".join(f"{name}\n" for name in names))
    return said("", request.render(Items("option", names), "options"))


@commands.add("config log", num=_left_out(integer()), perm="r", help="show what was changed lately")
def log(service: ConfigService, request: Request, num: int = DEFAULT_LOG) -> Reply:
    """The latest change sets, newest first."""
    version = service.last_committed
    # A negative number is a very large one to upstream.
    count = version if num < 0 else min(version, num)
    sets = [change_set(service, one) for one in range(version, version - count, -1)]
    if request.is_plain:
        return said("", "".join(map(str, sets)))
    documents = [one.as_dict() for one in sets]
    return said("", request.render(Items("changeset", documents), "changesets"))


def change_set(service: ConfigService, version: int) -> history.ChangeSet:
    """What a version changed."""
    return history.read(version, service.monitor.kv.items(history.prefix_of(version)))


@commands.add(
    "config generate-minimal-conf", perm="r", help="print a ceph.conf that suffices for clients"
)
def minimal_conf(service: ConfigService, request: Request) -> Reply:
    """The cluster's id, its monitors, and options that monitors cannot tell."""
    monmap = service.monitor.monmap
    fsid = UUID(bytes=monmap.fsid)
    addrs = " ".join(str(monmap.mon_info[name].public_addrs) for name in sorted(monmap.mon_info))
    lines = [
        f"# minimal ceph.conf for {fsid}",
        "[global]",
        f"\tfsid = {fsid}",
        f"\tmon_host = {addrs}",
        *_minimal(service.map.section(GLOBAL)),
    ]
    for section in service.map.sections():
        values = _minimal(service.map.section(section))
        if values:
            lines += ["", f"[{section}]", *values]
    return said("", "".join(f"{line}\n" for line in lines))


def _minimal(values: list[MaskedOption]) -> list[str]:
    return [
        f"\t{value.name} = {value.value}"
        if not value.mask
        else f"\t# masked option excluded: {value.name} = {value.value}"
        for value in values
        if value.has_flag(OptionFlag.NO_MON_UPDATE | OptionFlag.MINIMAL_CONF)
    ]
