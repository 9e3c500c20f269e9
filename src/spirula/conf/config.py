"""The configuration in force: one value per option and source, the strongest wins.

Pure: files, environment and host name are read in `spirula.conf.load`, which fills a `Config`.
Daemons and clients read options with `get` and its typed twins, and watch them with `observe`.
The order of sources is upstream's (src/common/config.h): the monitors' database lies below the
local file. Masks (`host:x`, `class:ssd`) are resolved by the monitor before values get here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum

from spirula.conf.expand import Expander, Identity
from spirula.conf.file import ConfFile, normalize_name
from spirula.conf.option import Option, OptionFlag
from spirula.conf.options import schema as full_schema
from spirula.conf.values import EMPTY, BadValue, Value, to_text
from spirula.errors import InvalidArgument, InvariantBroken, NotFound, NotPermitted


class Source(IntEnum):
    """Where a value comes from, weakest first; the numbers go over the wire in daemon reports."""

    DEFAULT = 0
    MON = 1
    FILE = 2
    ENV = 3
    CMDLINE = 4
    OVERRIDE = 5

    @property
    def label(self) -> str:
        """Upstream's word for it: `default`, `mon`, `file`, `env`, `cmdline`, `override`."""
        return self.name.lower()


Observer = Callable[[frozenset[str]], None]
"""Called with the names that changed, out of those it watches."""


class Config:
    """All options of one daemon or client.

    Reading is by name (`osd_max_backfills`; blanks count as underscores). Values are expanded and
    cached until anything changes. Not thread-safe: an event loop owns it.
    """

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        daemon: bool = False,
        schema: Mapping[str, Option] | None = None,
    ) -> None:
        self.identity = identity or Identity()
        self.daemon = daemon
        self.schema: Mapping[str, Option] = full_schema() if schema is None else schema
        self.file = ConfFile()
        self.started = False
        self.ignored_mon_values: dict[str, str] = {}
        self._values: dict[str, dict[Source, Value]] = {}
        self._final: dict[str, Value] = {}
        self._observers: dict[str, list[Observer]] = {}
        self._changed: set[str] = set()
        for option in self.schema.values():
            # A default that its own validator writes differently counts as set (`config diff`).
            if option.validator is not None:
                text = to_text(option.default_for(daemon=daemon))
                value = option.parse(text)
                if to_text(value) != text:
                    self._values[option.name] = {Source.DEFAULT: value}

    # -- reading

    def option(self, name: str) -> Option:
        """The option called `name`; raises NotFound."""
        found = self.schema.get(name) or self.schema.get(normalize_name(name))
        if found is None:
            raise NotFound(f"Configuration option not found: '{name}'")
        return found

    def get(self, name: str) -> Value:
        """The value in force, metavariables expanded. Raises NotFound for an unknown name."""
        try:
            return self._final[name]
        except KeyError:
            value = self.expanded(name)[0]
            self._final[normalize_name(name)] = value
            return value

    def get_str(self, name: str) -> str:
        """A string or address option's value; of any other its printed form."""
        value = self.get(name)
        return value if isinstance(value, str) else to_text(value)

    def get_int(self, name: str) -> int:
        """An integer, size, seconds or milliseconds option's value."""
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvariantBroken(f"option {name} is not an integer")
        return value

    def get_float(self, name: str) -> float:
        """A number, as float."""
        value = self.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvariantBroken(f"option {name} is not a number")
        return float(value)

    def get_bool(self, name: str) -> bool:
        """A bool option's value."""
        value = self.get(name)
        if not isinstance(value, bool):
            raise InvariantBroken(f"option {name} is not a bool")
        return value

    def get_uuid(self, name: str) -> uuid.UUID:
        """A UUID option's value; all zero when it is not set."""
        value = self.get(name)
        if not isinstance(value, uuid.UUID):
            raise InvariantBroken(f"option {name} is not a UUID")
        return value

    def raw(self, name: str) -> Value:
        """The value in force before expansion."""
        option = self.option(name)
        levels = self._values.get(option.name)
        return levels[max(levels)] if levels else option.default_for(daemon=self.daemon)

    def source(self, name: str) -> Source:
        """Where the value in force comes from."""
        levels = self._values.get(self.option(name).name)
        return max(levels) if levels else Source.DEFAULT

    def values_by_source(self, name: str) -> dict[Source, Value]:
        """Every value that was set, by source; the compiled-in default is not among them."""
        return dict(sorted(self._values.get(self.option(name).name, {}).items()))

    def expanded(self, name: str) -> tuple[Value, list[str]]:
        """The value in force with metavariables replaced, and complaints about loops."""
        option = self.option(name)
        value = self.raw(option.name)
        if not isinstance(value, str) or "$" not in value:
            return value, []
        expander = self._expander()
        return expander.expand(value, option.name), expander.complaints

    def expand(self, text: str) -> str:
        """Any text with its metavariables replaced (a path of the search order, for instance)."""
        return self._expander().expand(text)

    def _expander(self) -> Expander:
        def raw(name: str) -> tuple[str, object] | None:
            option = self.schema.get(name)
            return None if option is None else (option.name, self.raw(option.name))

        return Expander(self.identity, raw)

    def lookup_file(
        self, name: str, sections: Iterable[str] = (), *, expand: bool = True
    ) -> str | None:
        """What the configuration file says about `name`, known option or not: in `sections`, then
        in our own. None where it says nothing.
        """
        text = self.file.lookup([*sections, *self.identity.sections()], name)
        return self.expand(text) if expand and text is not None else text

    # -- changing

    def set(self, name: str, text: str, source: Source = Source.OVERRIDE) -> bool:
        """Gives `name` a value from text; True when the value in force may have changed.

        Raises NotFound, BadValue, or NotPermitted when the daemon has started and the option
        neither can change at runtime nor is watched. Observers hear of it at `apply_changes`.
        """
        option = self.option(name)
        value = option.parse(text)
        if (
            self.started
            and not option.can_update_at_runtime
            and option.name not in self._observers
            and value != self.raw(option.name)
        ):
            raise NotPermitted(
                f"Configuration option '{option.name}' may not be modified at runtime"
            )
        return self._put(option, value, source)

    def _put(self, option: Option, value: Value, source: Source) -> bool:
        levels = self._values.setdefault(option.name, {})
        if source in levels and levels[source] == value:
            return False
        levels[source] = value
        if max(levels) > source:
            return False
        self._touch(option.name)
        return True

    def set_default(self, name: str, text: str) -> None:
        """Replaces the compiled-in default, for this process only."""
        option = self.option(name)
        self._put(option, option.parse(text), Source.DEFAULT)

    def rm(self, name: str, source: Source = Source.OVERRIDE) -> bool:
        """Takes the value from `source` away; True when there was one. Raises NotFound."""
        option = self.option(name)
        levels = self._values.get(option.name)
        if not levels or source not in levels:
            return False
        in_force = max(levels) == source
        del levels[source]
        if not levels:
            del self._values[option.name]
        if in_force:
            self._touch(option.name)
        return True

    def _touch(self, name: str) -> None:
        self._final.clear()
        self._changed.add(name)

    def set_file(self, conf: ConfFile) -> list[str]:
        """Takes the values of a parsed configuration file over. Gives a complaint for every value
        that its option refuses; those keep their default.
        """
        self.file = conf
        complaints: list[str] = []
        sections = [
            conf.sections[name] for name in self.identity.sections() if name in conf.sections
        ]
        names = {name for section in sections for name in section} & self.schema.keys()
        for name in sorted(names):
            text = next(section[name].value for section in sections if name in section)
            try:
                self._put(self.schema[name], self.schema[name].parse(text), Source.FILE)
            except BadValue as error:
                complaints.append(f'parse error setting "{name}" to "{text}" ({error.message})')
        return complaints

    def set_mon(self, values: Mapping[str, str]) -> list[str]:
        """Takes the monitors' values over: all of them, so what is absent is removed.

        Gives a complaint for every value that is refused. Values of options that a monitor must
        not change, and refused ones, are kept in `ignored_mon_values`.
        """
        self.ignored_mon_values = {}
        complaints: list[str] = []
        for name, text in values.items():
            option = self.schema.get(name)
            if option is None:
                continue
            if option.flags & OptionFlag.NO_MON_UPDATE:
                self.ignored_mon_values[name] = text
                continue
            try:
                self.set(name, text, Source.MON)
            except (BadValue, NotPermitted) as error:
                self.ignored_mon_values[name] = text
                complaints.append(f"failed to set {name} = {text}: {error.message}")
        for name in [n for n, levels in self._values.items() if Source.MON in levels]:
            if name not in values:
                self.rm(name, Source.MON)
        return complaints

    # -- watching

    def observe(self, names: Iterable[str], on_change: Observer) -> None:
        """Calls `on_change` at `apply_changes` when one of `names` has changed."""
        for name in names:
            self._observers.setdefault(self.option(name).name, []).append(on_change)

    def unobserve(self, on_change: Observer) -> None:
        """Stops watching."""
        for name, watching in list(self._observers.items()):
            watching[:] = [one for one in watching if one != on_change]
            if not watching:
                del self._observers[name]

    def apply_changes(self) -> str:
        """Tells observers what changed since the last call. Gives upstream's text about it."""
        changed, self._changed = sorted(self._changed), set()
        told: list[str] = []
        calls: dict[int, tuple[Observer, set[str]]] = {}
        for name in changed:
            watching = self._observers.get(name, [])
            if not self.schema[name].subsystem:
                told.append(f"{name} = '{self.get_str(name)}' ")
                if not watching:
                    told.append("(not observed, change may require restart) ")
            for observer in watching:
                calls.setdefault(id(observer), (observer, set()))[1].add(name)
        for observer, names in calls.values():
            observer(frozenset(names))
        return "".join(told)

    def start(self) -> None:
        """From now on options change only as a running daemon's may; observers hear their first
        values.
        """
        self.started = True
        self._changed = set()
        calls: dict[int, tuple[Observer, set[str]]] = {}
        for name, watching in self._observers.items():
            for observer in watching:
                calls.setdefault(id(observer), (observer, set()))[1].add(name)
        for observer, names in calls.values():
            observer(frozenset(names))

    # -- showing

    def show(self) -> dict[str, str]:
        """`config show`: name and cluster, then every option's value as text, sorted by name."""
        out = {"name": self.identity.name, "cluster": self.identity.cluster}
        for name in sorted(self.schema):
            out[name] = self.get_str(name)
        return out

    def diff(self) -> dict[str, dict[str, object]]:
        """`config diff`: of each option that was set, its default, each source's value, and
        `final`, the one in force.
        """
        out: dict[str, dict[str, object]] = {}
        for name in sorted(self._values):
            option = self.schema[name]
            levels = self._values[name]
            entry: dict[str, object] = {}
            if Source.DEFAULT not in levels:
                entry["default"] = option.dumped(option.default_for(daemon=self.daemon))
            for source in sorted(levels):
                entry[source.label] = option.dumped(levels[source])
            entry["final"] = option.dumped(self.get(name))
            out[name] = entry
        return out

    def reported_values(self) -> dict[str, dict[int, str]]:
        """What a daemon reports to the manager: name to source number to text. `fsid` and `host`
        are left out; ignored values of the monitors appear with the default that holds instead.
        """
        out: dict[str, dict[int, str]] = {}
        for name in sorted(self._values):
            if name not in ("fsid", "host"):
                levels = self._values[name]
                out[name] = {int(source): to_text(levels[source]) for source in sorted(levels)}
        for name in sorted(self.ignored_mon_values):
            if name not in out and name not in ("fsid", "host") and name in self.schema:
                default = self.schema[name].default_for(daemon=self.daemon)
                out[name] = {int(Source.DEFAULT): to_text(default)}
        return out

    def reported_defaults(self) -> dict[str, str]:
        """Every option's default as text, for the manager."""
        out: dict[str, str] = {}
        for name in sorted(self.schema):
            levels = self._values.get(name, {})
            default = self.schema[name].default_for(daemon=self.daemon)
            out[name] = to_text(levels.get(Source.DEFAULT, default))
        return out


def check_schema(schema: Mapping[str, Option]) -> None:
    """Raises InvalidArgument where the table contradicts itself: a name that is not its own key,
    a default outside of its bounds, a `see_also` that names no option.
    """
    for name, option in schema.items():
        if option.name != name or normalize_name(name) != name:
            raise InvalidArgument(f"option {name}: bad name {option.name!r}")
        for other in option.see_also:
            if other not in schema:
                raise InvalidArgument(f"option {name}: see_also names {other}, no such option")
        for daemon in (False, True):
            default = option.default_for(daemon=daemon)
            if default != EMPTY[option.type]:
                option.parse(to_text(default))
