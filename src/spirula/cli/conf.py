"""`spirula conf`: what a configuration file says, as upstream's `ceph-conf` tells it.

Options, outputs and exit codes are those of src/tools/ceph_conf.cc in 16.2; the tests run both side
by side. Nothing imports this module but the dispatcher.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import spirula
from spirula.conf.args import UsageError, Words
from spirula.conf.config import Config
from spirula.conf.file import ConfSyntaxError
from spirula.conf.formatter import FORMATS, render
from spirula.conf.load import Loaded, find_first, load
from spirula.errors import CephError, NotFound

USAGE = """\
usage: spirula conf [flags] [action]

actions (without one: --lookup)
  -L, --list-all-sections       names of all sections
  -l, --list-sections PREFIX    names of the sections that begin so
      --filter-key KEY          of those only sections that set this
      --filter-key-value K=V    of those only sections that set this to that value
      --lookup KEY              a setting in the file; exit status 1 if there is none
  -D, --dump-all                all settings in force
      --show-config-value KEY   one setting in force, defaults included

flags
  -c, --conf FILE               configuration file, or several, parted by commas
  -n, --name TYPE.ID            whose configuration
  -s, --section SECTION         look here first; may be repeated
      --resolve-search          take the value as a list of files: the first that can be read
      --format FORMAT           of --dump-all: plain, json, json-pretty, xml ...
      --pid PID                 what $pid stands for
      --cluster NAME            what $cluster stands for
  -h, --help
"""


@dataclass(slots=True)
class _Request:
    """What the arguments ask for."""

    action: str = ""
    key: str = ""
    prefix: str = ""
    format: str = ""
    resolve: bool = False
    sections: list[str] = field(default_factory=list)
    with_keys: list[str] = field(default_factory=list)
    with_values: dict[str, str] = field(default_factory=dict)


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    try:
        words, environ = _take_pid(argv, os.environ)
        loaded = load(words, daemon=True, defaults={"log_to_file": "false"}, environ=environ)
        shown = _general(loaded, argv)
        if shown is not None:
            return shown
        for warning in loaded.warnings:
            print(warning.rstrip(), file=sys.stderr)
        request = _parse(loaded.args.rest, argv)
    except (UsageError, ConfSyntaxError, CephError) as error:
        print(_one_line(error), file=sys.stderr)
        return 1
    return _run(loaded.config, request)


def _one_line(error: CephError) -> str:
    if isinstance(error, ConfSyntaxError):
        return f"error reading config file: {error}"
    return error.message


def _take_pid(argv: list[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """`--pid` must be known before anything is expanded."""
    changed = dict(environ)
    words = Words(argv)
    while words:
        pid = words.value("--pid")
        if pid is None:
            words.keep()
        else:
            changed["PID"] = pid
            words.keep_all()
    return words.left, changed


def _general(loaded: Loaded, argv: list[str]) -> int | None:
    """What upstream's start-up code answers by itself, before the command looks at anything."""
    config, args = loaded.config, loaded.args
    if loaded.early.show_version:
        print(f"spirula {spirula.__version__}")
        return 0
    if loaded.early.show_args:
        print(f"args: {' '.join(argv)}")
    if args.show_conf:
        sys.stderr.write(config.file.render() + "\n")
        return 0
    if args.show_config:
        _print_settings(config)
        return 0
    if args.show_config_value:
        name = args.show_config_value
        try:
            option = config.option(name)
        except NotFound:
            print(f"failed to get config option '{name}': option not found", file=sys.stderr)
            return 1
        value, complaints = config.expanded(option.name)
        sys.stderr.write("".join(complaints))
        print(config.get_str(option.name) if not isinstance(value, str) else value)
        return 0
    return None


def _parse(rest: list[str], argv: list[str]) -> _Request:
    request = _Request()
    words = Words(rest)
    while words:
        if words.peek() == "--":
            break
        if (text := words.value("-s", "--section")) is not None:
            request.sections.append(text)
        elif words.flag("-r", "--resolve_search"):
            request.resolve = True
        elif words.flag("-h", "--help"):
            request.action = "help"
        elif (text := words.value("--lookup")) is not None:
            request.action, request.key = "lookup", text
        elif words.flag("-L", "--list_all_sections"):
            request.action, request.prefix = "list-sections", ""
        elif (text := words.value("-l", "--list_sections")) is not None:
            request.action, request.prefix = "list-sections", text
        elif (text := words.value("--filter_key")) is not None:
            request.with_keys.append(text)
        elif (text := words.value("--filter_key_value")) is not None:
            key, equals, value = text.partition("=")
            if not equals:
                raise UsageError(
                    f"expecting argument like 'key=value' for --filter-key-value (not '{text}')"
                    f"\n{USAGE}"
                )
            request.with_values[key] = value
        elif words.flag("-D", "--dump_all"):
            request.action = "dumpall"
        elif (text := words.value("--format")) is not None:
            request.format = text
        elif request.action in ("", "lookup") and not request.key:
            request.action, request.key = "lookup", words.words.pop(0)
        else:
            raise UsageError(f"unable to parse option: '{words.peek()}'\n{USAGE}")
    return request


def _run(config: Config, request: _Request) -> int:
    match request.action:
        case "help":
            sys.stdout.write(USAGE)
            return 0
        case "list-sections":
            return _list_sections(config, request)
        case "lookup":
            return _lookup(config, request)
        case "dumpall":
            return _dump_all(config, request.format)
        case _:
            print("name an action, such as --lookup or -L; see --help", file=sys.stderr)
            return 1


def _list_sections(config: Config, request: _Request) -> int:
    conf = config.file
    for section in conf.section_names():
        if (
            section.startswith(request.prefix)
            and all(conf.get(section, key) is not None for key in request.with_keys)
            and all(conf.get(section, k) == v for k, v in request.with_values.items())
        ):
            print(section)
    return 0


def _lookup(config: Config, request: _Request) -> int:
    value = config.lookup_file(request.key, request.sections)
    if value is None:
        return 1
    if not request.resolve:
        print(value.partition("\0")[0])  # upstream prints a C string
        return 0
    try:
        print(find_first(value))
    except CephError:
        # Upstream, too, stays silent and says that all is well.
        return 0
    return 0


def _dump_all(config: Config, fmt: str) -> int:
    if fmt in ("", "plain"):
        _print_settings(config)
        return 0
    if fmt not in FORMATS:
        print(f"format '{fmt}' not recognized.\n{USAGE}", file=sys.stderr)
        return 1
    sys.stdout.write(render(config.show(), fmt, "ceph-conf"))
    return 0


def _print_settings(config: Config) -> None:
    for name, value in config.show().items():
        print(f"{name} = {value}")
