"""`spirula authtool`: makes and changes keyring files, as upstream's `ceph-authtool` does.

Options, outputs, files and exit codes are those of src/tools/ceph_authtool.cc in 16.2, with
`--key-type` of 20.2.4; the tests run both side by side. New keys are of type aes256k, as 20.2.4
makes them; clients before that release need `--key-type aes`. Called by the dispatcher only.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import spirula
from spirula.auth.crypto import (
    KeyType,
    generate_key,
    key_from_text,
    key_to_text,
    key_type_named,
)
from spirula.auth.keyring import MAX_KEYRING_BYTES, KeyRing
from spirula.cli.credentials import sections_of
from spirula.conf.args import UsageError, Words
from spirula.conf.file import ConfSyntaxError, parse_conf
from spirula.conf.load import Loaded, load
from spirula.errors import CephError, InvalidArgument, WireError
from spirula.types.auth import CryptoKey, PrincipalName

PROGRAM = "spirula authtool"
USAGE = """\
usage: {program} keyringfile [OPTIONS]...
where the options are:
  -l, --list                    print all keys and capabilities
  -p, --print-key               print the key of the entity, as `mount -o secret=` takes it
  -C, --create-keyring          begin with an empty keyring, even if the file exists
  -g, --gen-key                 give the entity a new key
  -t, --key-type KEY_TYPE       type of new keys: aes256k (the default) or aes
  --gen-print-key               print a new key, without any keyring
  --import-keyring FILE         add everything that FILE holds
  -n NAME, --name NAME          the entity that is meant (client.admin)
  -a BASE64, --add-key BASE64   give the entity this key
  --cap SUBSYSTEM CAPABILITY    the entity's capability for a subsystem; may be repeated
  --caps CAPSFILE               the entity's capabilities, from the [global] section of a file
  --mode MODE                   permissions of a file that is created (octal, 0600)
"""
CAPS_IN_FILES = ("mon", "osd", "mds", "mgr")
_OCTAL = re.compile(r"\s*[+-]?[0-7]+")


class _Exit(Exception):
    """Ends the command with status 1 after a line on stderr, and perhaps the usage."""

    def __init__(self, line: str, *, usage: bool = False, newline: bool = True) -> None:
        super().__init__(line)
        self.line = line + ("\n" if newline else "")
        self.usage = usage


@dataclass(slots=True)
class _Request:
    """What the arguments ask for."""

    name: PrincipalName
    path: str = ""
    list: bool = False
    print_key: bool = False
    create: bool = False
    gen_key: bool = False
    gen_print_key: bool = False
    key_type: KeyType = KeyType.AES256K
    add_key: str = ""
    caps_file: str = ""
    import_from: str = ""
    mode: int = 0o600
    caps: dict[str, str] = field(default_factory=dict)

    def has_command(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.gen_key
            or self.gen_print_key
            or self.add_key
            or self.list
            or self.caps_file
            or self.caps
            or self.print_key
            or self.create
            or self.import_from
        )


def main(argv: list[str], program: str = PROGRAM) -> int:
    """Runs the command; the result is the exit status."""
    try:
        if not argv:
            raise _Exit(f"{program}: -h or --help for usage")
        if _wants_help(argv):
            print(USAGE.format(program=program))
            return 1
        # Like upstream: no configuration file unless one is named.
        loaded = load(["--no-config-file", *argv], defaults={"log_to_file": "false"})
        if loaded.early.show_version:
            print(f"spirula {spirula.__version__}")
            return 0
        sys.stderr.write("".join(loaded.warnings))
        return _run(_parse(loaded, program))
    except _Exit as end:
        sys.stdout.flush()
        sys.stderr.write(end.line)
        if end.usage:
            print(USAGE.format(program=program))
        return 1
    except (UsageError, ConfSyntaxError) as error:
        print(error.message, file=sys.stderr)
        return 1


def _wants_help(argv: Sequence[str]) -> bool:
    options = argv[: argv.index("--")] if "--" in argv else argv
    return "-h" in options or "--help" in options


def _parse(loaded: Loaded, program: str) -> _Request:
    name = PrincipalName.parse(f"{loaded.early.entity_type}.{loaded.early.entity_id}")
    request = _Request(name)
    words = Words(loaded.args.rest)
    while words and words.peek() != "--":
        _option(request, words, program)
    if not request.path and not request.gen_print_key:
        raise _Exit(f"{program}: must specify filename", usage=True)
    if not request.has_command():
        raise _Exit("no command specified", usage=True)
    if request.gen_key and request.add_key:
        raise _Exit("can't both gen-key and add-key", usage=True)
    if request.create and request.caps and not (request.gen_key or request.add_key):
        raise _Exit("must specify either gen-key or add-key when creating", usage=True)
    return request


def _option(request: _Request, words: Words, program: str) -> None:
    """Takes one option, or the name of the keyring file."""
    if words.flag("-g", "--gen-key"):
        request.gen_key = True
    elif words.flag("--gen-print-key"):
        request.gen_print_key = True
    elif words.flag("-l", "--list"):
        request.list = True
    elif words.flag("-p", "--print-key"):
        request.print_key = True
    elif words.flag("-C", "--create-keyring"):
        request.create = True
    elif (text := words.value("-t", "--key-type")) is not None:
        request.key_type = _key_type(text)
    elif (text := words.value("-a", "--add-key")) is not None:
        if not text:
            raise _Exit("Option --add-key requires an argument")
        request.add_key = text
    elif (text := words.value("--caps")) is not None:
        request.caps_file = text
    elif (text := words.value("--cap")) is not None:
        if not words:
            raise _Exit("must give two arguments to --cap: key and val.")
        # The first of two for one subsystem counts: upstream appends the other behind it.
        request.caps.setdefault(text, words.words.pop(0))
    elif (text := words.value("--import-keyring")) is not None:
        request.import_from = text
    elif (text := words.value("--mode")) is not None:
        if not _OCTAL.fullmatch(text):
            raise _Exit("Option --mode requires an argument")
        request.mode = int(text, 8)
    elif not request.path:
        request.path = words.words.pop(0)
    else:
        raise _Exit(f"{program}: unexpected '{words.peek()}'", usage=True)


def _key_type(text: str) -> KeyType:
    try:
        return key_type_named(text)
    except InvalidArgument:
        raise _Exit(f"invalid key type: {text}") from None


def _run(request: _Request) -> int:
    if request.gen_print_key:
        print(key_to_text(_new_key(request)))
        return 0
    if request.create:
        print(f"creating {request.path}")
        ring = KeyRing()
    else:
        ring = _read(request.path)
    changed = request.create | _change(ring, request)
    _show(ring, request)
    if changed:
        _write(request.path, ring.to_text().encode("utf-8", "surrogateescape"), request.mode)
    return 0


def _new_key(request: _Request) -> CryptoKey:
    return generate_key(request.key_type, time.time(), os.urandom)


def _change(ring: KeyRing, request: _Request) -> bool:
    """Carries out what changes the keyring; returns whether anything did."""
    name = request.name
    changed = False
    with_key = request.gen_key or request.add_key
    if request.caps and not with_key and ring.principal_key(name) is None:
        raise _Exit(f"can't find existing key for {name} and neither gen-key nor add-key specified")
    if request.import_from:
        other = _read(request.import_from)
        print(f"importing contents of {request.import_from} into {request.path}")
        ring.merge(other)
        changed = True
    if request.gen_key:
        ring.add(name, _new_key(request))
        changed = True
    if request.add_key:
        try:
            key = key_from_text(request.add_key)
        except InvalidArgument:
            raise _Exit(f"can't decode key '{request.add_key}'") from None
        ring.add(name, key)
        changed = True
        print(f"added entity {name} auth(key={key_to_text(key)})")
    if request.caps_file:
        ring.set_caps(name, _read_caps(request.caps_file))
        changed = True
    if request.caps:
        ring.set_caps(name, request.caps)
        changed = True
    if request.add_key and request.caps:
        print(f"added {len(request.caps)} caps to entity {name}")
    return changed


def _show(ring: KeyRing, request: _Request) -> None:
    if request.list:
        try:
            sys.stdout.write(ring.to_text())
        except WireError:
            print("Exception (end_of_buffer) in print(), exit.")
            raise _Exit("", newline=False) from None
    if request.print_key:
        key = ring.principal_key(request.name)
        if key is None:
            raise _Exit(f"entity {request.name} not found")
        print(key_to_text(key))


def _read_bytes(path: str) -> bytes:
    """The contents of a file. Ends the command with upstream's words where it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        said = f"can't open {path}: {_reason(error)}"
        raise _Exit(f"can't open {path}: {said}") from None
    try:
        with os.fdopen(handle, "rb") as stream:
            return stream.read(MAX_KEYRING_BYTES + 1)
    except OSError as error:
        said = f"bufferlist::read_file({path}): read error:{_reason(error)}"
        raise _Exit(f"can't open {path}: {said}") from None


def _reason(error: OSError) -> str:
    number = error.errno or errno.EIO
    return f"({number}) {os.strerror(number)}"


def _read(path: str) -> KeyRing:
    data = _read_bytes(path)
    try:
        return KeyRing.decode(data, lambda text: sections_of(parse_conf(text)))
    except CephError:
        raise _Exit(f"error reading file {path}") from None


def _read_caps(path: str) -> dict[str, str]:
    try:
        Path(path).stat()
    except OSError as error:
        said = f"parse_file: filesystem error: cannot get file size: {error.strerror} [{path}]"
        raise _Exit(f"{said}could not parse caps file {path}") from None
    try:
        conf = parse_conf(_read_bytes(path), path)
    except ConfSyntaxError as error:
        raise _Exit(f"{error}\ncould not parse caps file {path}") from None
    found = {service: conf.get("global", service) for service in CAPS_IN_FILES}
    return {service: text for service, text in found.items() if text is not None}


def _write(path: str, data: bytes, mode: int) -> None:
    """Writes the file in place, as upstream does: owner and mode of one that exists stay."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, mode & 0o7777), "wb") as stream:
            stream.write(data)
    except OSError as error:
        said = f"bufferlist::write_file({path}): failed to open file: {_reason(error)}"
        raise _Exit(f"{said}\ncould not write {path}") from None
