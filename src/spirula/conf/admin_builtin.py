"""The commands that every daemon's admin socket has: version, help, config, perf, log.

`register_builtin` is called once by each daemon when it makes its command table. Names, arguments
and replies are upstream's (src/common/ceph_context.cc, admin_socket.cc); `config diff get` answers
with the one setting that was asked for, where upstream 16.2 ignores the name.
"""

from __future__ import annotations

from dataclasses import dataclass

from spirula.conf.admin_commands import SOCKET_VERSION, Call, CommandTable, Reply, Section
from spirula.conf.args import inject_args
from spirula.conf.config import Config
from spirula.conf.file import normalize_name
from spirula.conf.log import Log
from spirula.conf.perf import PerfCollection
from spirula.errors import CephError, InvalidArgument, NotFound
from spirula.printing import Items

MAX_SHOWN = 4095
"""Longest value that `config get` shows."""


@dataclass(frozen=True, slots=True)
class Version:
    """What `version` and `git_version` answer."""

    version: str
    release: str
    release_type: str = "stable"
    git: str = ""


@dataclass(slots=True)
class _Builtin:
    config: Config
    log: Log
    perf: PerfCollection
    version: Version
    table: CommandTable

    def get_version(self, call: Call) -> Reply:
        known = self.version
        return {
            "version": known.version,
            "release": known.release,
            "release_type": known.release_type,
        }

    def git_version(self, call: Call) -> Reply:
        return Section("version", {"git_version": self.version.git})

    def config_show(self, call: Call) -> Reply:
        return dict(self.config.show())

    def config_get(self, call: Call) -> Reply:
        name = call.text("var")
        try:
            text = self.config.get_str(name)
        except NotFound as error:
            raise _failed(f"getting '{name}'", error) from None
        return {name: text[:MAX_SHOWN]}

    def config_set(self, call: Call) -> Reply:
        name, text = call.text("var"), " ".join(call.texts("val"))
        if "val" not in call.args:
            raise InvalidArgument
        try:
            self.config.set(name, text)
        except CephError as error:
            raise _failed(f"setting '{name}' to '{text}'", error) from None
        return {"success": self.config.apply_changes()}

    def config_unset(self, call: Call) -> Reply:
        name = call.text("var")
        try:
            self.config.rm(name)
        except NotFound:
            raise _failed(f"unsetting '{name}'", InvalidArgument()) from None
        self.config.apply_changes()
        return None

    def config_help(self, call: Call) -> Reply:
        if "var" not in call.args:
            options = [one for one in self.config.schema.values() if not one.subsystem]
            return {"options": Items("option", [one.as_dict() for one in options])}
        name = normalize_name(call.text("var"))
        option = self.config.schema.get(name)
        if option is None:
            raise NotFound(f"Setting not found: '{name}'")
        return {"option": option.as_dict()}

    def config_diff(self, call: Call) -> Reply:
        return {"diff": self.config.diff()}

    def config_diff_get(self, call: Call) -> Reply:
        name = normalize_name(call.text("var"))
        found = {key: value for key, value in self.config.diff().items() if key == name}
        return {"diff": found}

    def injectargs(self, call: Call) -> Reply:
        good, text = inject_args(self.config, " ".join(call.texts("injected_args")))
        if not good:
            raise InvalidArgument(text)
        return None

    def perf_dump(self, call: Call) -> Reply:
        return self._perf(call, schema=False, histograms=False)

    def perf_schema(self, call: Call) -> Reply:
        return self._perf(call, schema=True, histograms=False)

    def perf_histogram_dump(self, call: Call) -> Reply:
        return self._perf(call, schema=False, histograms=True)

    def perf_histogram_schema(self, call: Call) -> Reply:
        return self._perf(call, schema=True, histograms=True)

    def _perf(self, call: Call, *, schema: bool, histograms: bool) -> Reply:
        return Section(
            "perfcounter_collection",
            self.perf.dump(
                logger=call.text("logger"),
                counter=call.text("counter"),
                schema=schema,
                histograms=histograms,
            ),
        )

    def perf_reset(self, call: Call) -> Reply:
        name = call.text("var")
        if not self.perf.reset(name):
            return {"error": f"Not find: {name}"}
        return {"success": f"perf reset {name}"}

    def log_flush(self, call: Call) -> Reply:
        self.log.flush()
        return None

    def log_dump(self, call: Call) -> Reply:
        self.log.dump_recent()
        return None

    def log_reopen(self, call: Call) -> Reply:
        self.log.reopen()
        return None


def _failed(what: str, error: CephError) -> CephError:
    strerror = str(CephError.from_errno(error.errno)).partition(": ")[2]
    return CephError.from_errno(error.errno, f"error {what}: ({error.errno}) {strerror}")


_OPTIONAL = "name=logger,type=CephString,req=false name=counter,type=CephString,req=false"
_VAR = "name=var,type=CephString"


def register_builtin(
    table: CommandTable, *, config: Config, log: Log, perf: PerfCollection, version: Version
) -> None:
    """Adds the commands that every daemon has to `table`."""
    own = _Builtin(config, log, perf, version, table)
    add = table.register
    add("0", lambda call: SOCKET_VERSION)
    add("version", own.get_version, "version of this daemon")
    add("git_version", own.git_version, "revision that this daemon was built from")
    add("help", lambda call: table.helps(), "list the commands")
    add(
        "get_command_descriptions",
        lambda call: Section("command_descriptions", table.descriptions()),
        "list the commands with their arguments",
    )
    add("1", own.perf_dump)
    add("2", own.perf_schema)
    add("perfcounters_dump", own.perf_dump)
    add("perfcounters_schema", own.perf_schema)
    add(f"perf dump {_OPTIONAL}", own.perf_dump, "values of the performance counters")
    add("perf schema", own.perf_schema, "types and descriptions of the performance counters")
    add(f"perf histogram dump {_OPTIONAL}", own.perf_histogram_dump, "values of the histograms")
    add("perf histogram schema", own.perf_histogram_schema, "descriptions of the histograms")
    add(f"perf reset {_VAR}", own.perf_reset, "perf reset <name>: set counters to zero; or all")
    add("config show", own.config_show, "all settings in force")
    add(f"config help {_VAR},req=false", own.config_help, "describe one option or all")
    add(
        f"config set {_VAR} name=val,type=CephString,n=N",
        own.config_set,
        "config set <option> <value> [<value> ...]: change a setting",
    )
    add(f"config unset {_VAR}", own.config_unset, "config unset <option>: undo config set")
    add(f"config get {_VAR}", own.config_get, "config get <option>: a setting in force")
    add("config diff", own.config_diff, "settings that differ from their defaults, and why")
    add(f"config diff get {_VAR}", own.config_diff_get, "the same of one setting")
    add(
        "injectargs name=injected_args,type=CephString,n=N",
        own.injectargs,
        "change settings, given as on the command line",
    )
    add("log flush", own.log_flush, "write what is buffered to the log")
    add("log dump", own.log_dump, "write the recent entries to the log")
    add("log reopen", own.log_reopen, "open the log file anew")
