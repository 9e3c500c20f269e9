"""`spirula monmaptool`: monitor maps made, changed and shown, as upstream does it.

Options, files, printed lines and exit codes are those of src/tools/monmaptool.cc in 16.2; the tests
run both side by side. Called by the dispatcher only.
"""

from __future__ import annotations

import os
import re
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from spirula.cli.resolve import resolve
from spirula.client.mon_hosts import PORT_LEGACY
from spirula.conf.args import UsageError, Words
from spirula.conf.config import Config
from spirula.conf.load import Loaded, load
from spirula.errors import CephError, InvalidArgument, NotFound, WireError
from spirula.maps.state import Release
from spirula.mon.services.monmap import edit, show
from spirula.mon.services.monmap.initial import build_initial, set_initial_members
from spirula.types.base import UTime
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec
from spirula.types.mon import MON_FEATURE_NAMES, MonFeature, MonFeatures, MonMap

PROGRAM = "monmaptool"
FAILED = 255
"""What upstream's programs return from `main` where it is -1."""
HELP = f"{PROGRAM} -h for usage"
USAGE = """\
usage: monmaptool [--print] [--create [--clobber] [--fsid uuid]]
        [--enable-all-features]
        [--generate] [--set-initial-members]
        [--add name 1.2.3.4:567] [--rm name]
        [--addv name [v2:1.2.4.5:567,v1:1.2.3.4:568]]
        [--feature-list [plain|parseable]]
        [--feature-set <value> [--optional|--persistent]]
        [--feature-unset <value> [--optional|--persistent]]
        [--set-min-mon-release <release-major-number>]
        <mapfilename>
"""
_NAMED = (edit.SUPPORTED & ~MonFeature.PINGING) | MonFeature.RESERVED
"""Features that may be named: one of those that 16.2 supports may not."""
_MASK = (1 << 64) - 1


class Failure(Exception):
    """Ends the command with lines on stderr."""

    def __init__(self, *lines: str, status: int = 1) -> None:
        super().__init__(*lines)
        self.lines, self.status = lines, status


def _wrong(*lines: str) -> NoReturn:
    """The command line or the map does not allow this."""
    raise Failure(*lines, HELP)


@dataclass(slots=True)
class _FeatureStep:
    """One `--feature-...`: what it does, with which features, to which set."""

    action: str
    features: int = 0
    optional: bool = False


@dataclass(slots=True)
class _Request:
    """The arguments."""

    path: str = ""
    flags: set[str] = field(default_factory=set)
    min_mon_release: int = 0
    add: dict[str, EntityAddr] = field(default_factory=dict)
    addv: dict[str, EntityAddrVec] = field(default_factory=dict)
    rm: list[str] = field(default_factory=list)
    features: list[_FeatureStep] = field(default_factory=list)
    shows_features: bool = False


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    if not argv:
        print(f"{PROGRAM}: -h or --help for usage", file=sys.stderr)
        return 1
    if "-h" in argv or "--help" in argv:
        print(USAGE, end="")
        return 0
    try:
        loaded = _load(argv)
        _run(_parse(loaded.args.rest), loaded.config)
    except Failure as failure:
        sys.stdout.flush()
        for line in failure.lines:
            print(line, file=sys.stderr)
        return failure.status
    return 0


def _load(argv: list[str]) -> Loaded:
    """The configuration. No file is read that nobody named."""
    words = argv if "CEPH_CONF" in os.environ else ["--no-config-file", *argv]
    try:
        loaded = load(words)
    except (UsageError, CephError) as error:
        raise Failure(error.message) from error
    for warning in loaded.warnings:
        print(warning.rstrip(), file=sys.stderr)
    return loaded


# ---------------------------------------------------------------------------------------- arguments

_FLAGS = ("--create", "--enable-all-features", "--clobber", "--generate", "--set-initial-members")


def _parse(argv: Sequence[str]) -> _Request:
    request, words = _Request(), Words(argv)
    while words:
        if words.peek() == "--":
            words.words.pop(0)
            words.keep_all()
        elif not _take(words, request):
            words.keep()
    if not words.left:
        _wrong(f"{PROGRAM}: must specify monmap filename")
    if len(words.left) > 1:
        _wrong(f"{PROGRAM}: too many arguments")
    request.path = words.left[0]
    return request


def _take(words: Words, request: _Request) -> bool:
    """Takes one option; False when the word is none."""
    if words.flag("-p", "--print"):
        request.flags.add("--print")
        return True
    for flag in _FLAGS:
        if words.flag(flag):
            request.flags.add(flag)
            return True
    try:
        return _take_monitor(words, request) or _take_feature(words, request)
    except UsageError as error:
        raise Failure(error.message) from error


def _take_monitor(words: Words, request: _Request) -> bool:
    if (text := words.value("--set-min-mon-release")) is not None:
        request.min_mon_release = _release(text)
    elif words.flag("--add"):
        name, text = _pair(words)
        try:
            request.add[name] = EntityAddr.parse(text)
        except ValueError:
            raise Failure(f"{PROGRAM}: invalid ip:port '{text}'", status=FAILED) from None
    elif words.flag("--addv"):
        name, text = _pair(words)
        request.addv[name] = _vector(text)
    elif (text := words.value("--rm")) is not None:
        request.rm.append(text)
    else:
        return False
    return True


def _release(name: str) -> int:
    """The number of a release that 16.2 knows by name; 0 for others, which changes nothing."""
    known = {Release.name_of(number): number for number in range(1, Release.PACIFIC + 1)}
    return known.get(name, 0)


def _pair(words: Words) -> tuple[str, str]:
    if len(words.words) < 2:
        _wrong()
    return words.words.pop(0), words.words.pop(0)


def _vector(text: str) -> EntityAddrVec:
    # Without brackets only the first address counts.
    shown = text if text.startswith("[") else text.partition(",")[0]
    try:
        addrs = EntityAddrVec.parse(shown)
        if not addrs.addrs:
            raise ValueError(text)
    except ValueError:
        raise Failure(f"{PROGRAM}: invalid ip:port '{text}'", status=FAILED) from None
    return addrs


def _take_feature(words: Words, request: _Request) -> bool:
    steps = request.features
    if words.flag("--feature-list"):
        plain = not (words and words.peek() == "parseable")
        if words and words.peek() in ("plain", "parseable"):
            words.words.pop(0)
        steps.append(_FeatureStep("plain" if plain else "parseable"))
        request.shows_features = True
    elif (text := words.value("--feature-set")) is not None:
        steps.append(_FeatureStep("set", _feature(text)))
    elif (text := words.value("--feature-unset")) is not None:
        steps.append(_FeatureStep("unset", _feature(text)))
    elif words.peek() in ("--optional", "--persistent"):
        if not steps:
            _wrong()
        steps[-1].optional = words.words.pop(0) == "--optional"
    else:
        return False
    return True


def _feature(text: str) -> int:
    """A feature by its name or by the number of its bit (or of several)."""
    for bit, name in MON_FEATURE_NAMES.items():
        if name == text and bit & _NAMED:
            return int(bit)
    if not re.fullmatch(r"\s*[+-]?\d+", text):
        reason = f"Expected option value to be integer, got '{text}'"
    elif not -(1 << 63) <= int(text[:30]) < 1 << 63:
        reason = f"The option value '{text}' seems to be invalid"
    else:
        return int(text) & _MASK
    _wrong(f"unknown features name '{text}' or unable to parse value: {reason}")


# --------------------------------------------------------------------------------------------- work


def _run(request: _Request, config: Config) -> None:
    flags = request.flags
    print(f"{PROGRAM}: monmap file {request.path}", flush=True)
    monmap = _input(request, config)
    modified = bool({"--create", "--enable-all-features", "--set-initial-members"} & flags)
    if "--enable-all-features" in flags:
        monmap.persistent_features = MonFeatures(edit.SUPPORTED)
    if "--generate" in flags:
        _generate(monmap, config)
    if request.min_mon_release:
        monmap.min_mon_release = request.min_mon_release
        print(f"setting min_mon_release = {Release.name_of(request.min_mon_release)}")
        modified = True
    if "--set-initial-members" in flags:
        _filter(monmap, config)
    fsid = config.get_uuid("fsid")
    if fsid.int:
        monmap.fsid = fsid.bytes
        print(f"{PROGRAM}: set fsid to {fsid}")
        modified = True
    modified |= _change_monitors(request, monmap)
    modified |= _change_features(request, monmap)
    if "--print" not in flags and not modified and not request.shows_features:
        _wrong("no action specified")
    if "--print" in flags:
        print(show.plain(monmap), end="")
    if modified:
        _write(request.path, monmap)


def _input(request: _Request, config: Config) -> MonMap:
    path, flags = request.path, request.flags
    monmap = None
    if not {"--create", "--clobber"} <= flags:
        try:
            monmap = MonMap.decode(Path(path).read_bytes())
        except WireError as error:
            raise Failure(f"{PROGRAM}: unable to read monmap file", status=FAILED) from error
        except OSError as error:
            if "--create" not in flags:
                line = f"{PROGRAM}: couldn't open {path}: {_reason(error)}"
                raise Failure(line, status=FAILED) from error
    if "--create" not in flags:
        return monmap or MonMap()
    if monmap is not None:
        raise Failure(f"{PROGRAM}: {path} exists, --clobber to overwrite", status=FAILED)
    monmap = MonMap()
    monmap.created = monmap.last_changed = UTime.at(time.time())
    monmap.strategy = config.get_int("mon_election_default_strategy")
    if not config.get_uuid("fsid").int:
        made = uuid.uuid4()
        monmap.fsid = made.bytes
        print(f"{PROGRAM}: generated fsid {made}", flush=True)
    return monmap


def _reason(error: OSError) -> str:
    """The errno's number and text, as upstream's programs print them."""
    return f"({error.errno}) {os.strerror(error.errno or 5)}"


def _generate(monmap: MonMap, config: Config) -> None:
    try:
        build_initial(
            monmap, config, time.time(), resolve, lambda line: print(line, file=sys.stderr)
        )
    except NotFound as error:
        # Upstream looks for a DNS record at last, and says this where there is none.
        service = config.get_str("mon_dns_srv_name")
        line = f"unable to get monitor info from DNS SRV with service name: {service}"
        raise Failure(line, status=256 - error.errno) from error
    except InvalidArgument as error:
        raise Failure(error.message, status=256 - error.errno) from error


def _filter(monmap: MonMap, config: Config) -> None:
    wanted = re.split(r"[;,= \t]+", config.get_str("mon_initial_members").strip(";,= \t"))
    wanted = list(filter(None, wanted))
    if wanted:
        print(f"initial_members {show.joined(wanted)}, filtering seed monmap")
        print(f"removed {show.joined(set_initial_members(monmap, wanted))}")


def _change_monitors(request: _Request, monmap: MonMap) -> bool:
    newer = monmap.persistent_features.features & MonFeature.NAUTILUS
    added = {name: _addrs_of(addr, newer=bool(newer)) for name, addr in request.add.items()}
    for listed in (added, request.addv):
        for name, addrs in sorted(listed.items()):
            if name in monmap.mon_info:
                _wrong(f"{PROGRAM}: map already contains mon.{name}")
            if edit.name_at(monmap, addrs) is not None:
                _wrong(f"{PROGRAM}: map already contains {addrs}")
            edit.add(monmap, name, addrs)
    for name in request.rm:
        print(f"{PROGRAM}: removing {name}", flush=True)
        if name not in monmap.mon_info:
            _wrong(f"{PROGRAM}: map does not contain {name}")
        edit.remove(monmap, name)
    return bool(added or request.addv or request.rm)


def _addrs_of(addr: EntityAddr, *, newer: bool) -> EntityAddrVec:
    """Where a monitor listens that was added by one address; `newer` maps know of msgr2."""
    if addr.port == 0 and newer:
        return edit.addrs_of_new(addr)
    if addr.port in (0, PORT_LEGACY):
        return EntityAddrVec([addr.with_type(AddrType.LEGACY).with_port(PORT_LEGACY)])
    return EntityAddrVec([addr.with_type(AddrType.MSGR2) if newer else addr])


def _change_features(request: _Request, monmap: MonMap) -> bool:
    modified = False
    for step in request.features:
        if step.action in ("plain", "parseable"):
            _list_features(monmap, parseable=step.action == "parseable")
            continue
        modified = True
        target = monmap.optional_features if step.optional else monmap.persistent_features
        if step.action == "set":
            target.features |= step.features
        else:
            target.features &= ~step.features
    return modified


def _list_features(monmap: MonMap, *, parseable: bool) -> None:
    of_map = {
        "persistent": monmap.persistent_features.features,
        "optional": monmap.optional_features.features,
        "required": edit.required_features(monmap),
    }
    available = {"supported": edit.SUPPORTED, "persistent": edit.SUPPORTED}
    if parseable:
        for title, sets in (("monmap", of_map), ("available", available)):
            for name, features in sets.items():
                print(f"{title}:{name}:{_features(features)}")
        return
    print("MONMAP FEATURES:")
    for name, features in of_map.items():
        print(f"    {name + ':':<12}{_features(features)}")
    print("\nAVAILABLE FEATURES:")
    for name, features in available.items():
        print(f"    {name + ':':<12}{_features(features)}")


def _features(features: int) -> str:
    return show.features_text(features, with_value=True) if features else "[none]"


def _write(path: str, monmap: MonMap) -> None:
    count = len(monmap.mon_info)
    print(f"{PROGRAM}: writing epoch {monmap.epoch} to {path} ({count} monitors)", flush=True)
    try:
        Path(path).write_bytes(monmap.encode())
    except OSError as error:
        reason = _reason(error)
        raise Failure(
            f"bufferlist::write_file({path}): failed to open file: {reason}",
            f"{PROGRAM}: error writing to '{path}': {reason}",
        ) from error
