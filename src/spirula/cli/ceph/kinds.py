"""Types of arguments as daemons describe them: what a word has to be, and how it is shown.

`descriptions` makes one for each argument of a command. The types, their checks and the texts of
complaints are those of upstream's clients (`src/pybind/ceph_argparse.py`); a type that is not known
here takes any word, for the daemon checks again.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import string
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Value = str | int | float | bool
"""What a word becomes in the command."""
Check = Callable[[str], Value]


class Refused(Exception):
    """A word is not what an argument takes; the text tells why."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of argument. `shown` is what complaints call it, as `<int[0-5]>`.

    `words` are the only words it takes, where they are fixed: one for a word of the command itself
    (`is_prefix`), several for a choice.
    """

    type: str
    check: Check
    shown: str
    words: tuple[str, ...] = ()

    @property
    def is_prefix(self) -> bool:
        """Whether it is a word of the command's name."""
        return self.type == PREFIX

    def accept(self, word: str, *, partial: bool = False) -> Value:
        """The value of a word; `partial` takes the beginning of a fixed one. Raises Refused."""
        if partial and any(known.startswith(word) for known in self.words):
            return word
        return self.check(word)

    def complete(self, word: str) -> list[str]:
        """Words that this one may be the beginning of."""
        if self.words:
            return [known for known in self.words if known.startswith(word)]
        return [word] if word and self.type == "CephString" else []


PREFIX = "prefix"
_FREE = {
    "CephPoolname": "<poolname>",
    "CephObjectname": "<objectname>",
}
_NAMED = frozenset({"osd", "mon", "client", "mds", "mgr"})


def make_prefix(word: str) -> Kind:
    """A word of a command's name."""

    def check(given: str) -> str:
        if given != word:
            raise Refused(f"no match for {given}")
        return given

    return Kind(PREFIX, check, word, (word,))


def make_kind(type_name: str, details: Mapping[str, str]) -> Kind:
    """A type by upstream's name of it; `details` are the further pairs of the description."""
    if type_name == "CephInt":
        return _number(type_name, "int", _whole, details.get("range", ""))
    if type_name == "CephFloat":
        return _number(type_name, "float", _float, details.get("range", ""))
    if type_name == "CephChoices":
        return _choices(details.get("strings", ""))
    if type_name == "CephString":
        return _string(details.get("goodchars", ""))
    check, shown = _PLAIN.get(type_name, (str, _FREE.get(type_name, f"<{type_name}>")))
    return Kind(type_name, check, shown)


def _whole(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError:
        raise Refused(f"{word} doesn't represent an int") from None


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise Refused(f"{word} doesn't represent a float") from None


def _number(type_name: str, noun: str, read: Callable[[str], float], text: str) -> Kind:
    limits = [read(part) for part in text.split("|")] if text else []
    bounds = [*limits[:2], None, None]

    def check(word: str) -> Value:
        value = read(word)
        low, high = bounds[:2]
        if (low is not None and value < low) or (high is not None and value > high):
            raise Refused(f"{value} not in range {limits}")
        return value

    shown = ""
    if limits:
        shown = f"[{limits[0]}-{limits[1] if len(limits) > 1 else ''}]"
    return Kind(type_name, check, f"<{noun}{shown}>")


def _choices(text: str) -> Kind:
    words = tuple(text.split("|"))

    def check(word: str) -> str:
        if word not in words:
            raise Refused(f"{word} not in {text}")
        return word

    return Kind("CephChoices", check, text, words)


def _string(goodchars: str) -> Kind:
    # Without a class of its own all that is printable in ASCII is good.
    good = {char for char in string.printable if re.match(goodchars, char)}

    def check(word: str) -> str:
        bad = set(word) - good
        if good and bad:
            raise Refused(f"invalid chars {''.join(sorted(bad))} in {word}")
        return word

    shown = f"<string(goodchars {goodchars})>" if goodchars else "<string>"
    return Kind("CephString", check, shown)


def _bool(word: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if word.lower() not in known:
        raise Refused(f"{word} not one of 'true', 'false'")
    return known[word.lower()]


def _socket_path(word: str) -> str:
    try:
        is_socket = stat.S_ISSOCK(Path(word).stat().st_mode)
    except OSError as error:
        raise Refused(f"{word}: {error.strerror}") from error
    if not is_socket:
        raise Refused(f"socket path {word} is not a socket")
    return word


def _address(word: str) -> str:
    """`1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]:5`, each with `v1:`, `v2:` or `any:` in front."""
    named = re.match(r"(v1|v2|any):", word)
    rest = word[named.end() :] if named else word
    is_v4 = named[1] != "v2" if named is not None else not rest.startswith("[") and "." in rest
    if is_v4:
        host, _, port = rest.partition(":")
        family, complaint = socket.AF_INET, f"{host}: invalid IPv4 address"
    elif rest.startswith("["):
        host, closing, behind = rest[1:].partition("]")
        if not closing:
            raise Refused(f"{rest} missing terminating ]")
        port = behind.removeprefix(":")
        family, complaint = socket.AF_INET6, f"{rest} not valid IPv6 address"
    else:
        host, port = rest, ""
        family, complaint = socket.AF_INET6, f"{rest} not valid IPv6 address"
    if port and (not port.isdecimal() or int(port) > 0xFFFF):
        raise Refused(f"{port}: invalid IPv4 port" if is_v4 else f"{rest}: bad port number")
    try:
        socket.inet_pton(family, host)
    except OSError:
        raise Refused(complaint) from None
    return rest


def _entity_address(word: str) -> str:
    address, slash, nonce = word.partition("/")
    if nonce.endswith("]"):
        nonce, address = nonce[:-1], address + "]"
    _address(address)
    if slash and nonce and not nonce.isdecimal():
        raise Refused(f"{word}: invalid entity, nonce {nonce} not integer > 0")
    return word


def _pgid(word: str) -> str:
    pool, dot, seed = word.partition(".")
    if not dot:
        raise Refused("pgid has no .")
    try:
        number = int(pool)
    except ValueError:
        raise Refused(f"pool {pool} not integer") from None
    if number < 0:
        raise Refused(f"pool {number} < 0")
    try:
        int(seed, 16)
    except ValueError:
        raise Refused(f"pgnum {seed} not hex integer") from None
    return word


def _name(word: str) -> str:
    if word in {"*", "mgr", "mon"}:
        return word
    kind, dot, ident = word.partition(".")
    if not dot:
        raise Refused(f"CephName: no . in {word}")
    if kind not in _NAMED:
        raise Refused(f"unknown type {kind}")
    if kind == "osd" and ident != "*":
        _osd_number(ident)
    return word


def _osd_name(word: str) -> Value:
    if word == "*":
        return word
    kind, dot, ident = word.partition(".")
    if not dot:
        kind, ident = "osd", word
    if kind != "osd":
        raise Refused(f"unknown type {kind}")
    number = _osd_number(ident)
    if number < 0:
        raise Refused(f"osd id {number} is less than 0")
    return number


def _osd_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused(f"osd id {text} not integer") from None


def _file_path(word: str) -> str:
    path = Path(os.path.abspath(word))  # noqa: PTH100 - what is linked stays as it was named
    if os.access(path, os.R_OK):
        return str(path)
    if path.exists():
        if not path.is_file():
            raise Refused(f"{path} is not file")
        if not os.access(path, os.W_OK):
            raise Refused(f"{path} is not writable")
    elif not os.access(path.parent, os.W_OK):
        raise Refused(f"cannot create file in {path.parent}")
    return str(path)


def _fragment(word: str) -> str:
    value, slash, bits = word.partition("/")
    if not slash:
        raise Refused(f"{word}: no /")
    if not value.startswith("0x"):
        raise Refused(f"{value} not a hex integer")
    for part, base in ((value, 16), (bits, 10)):
        try:
            int(part, base)
        except ValueError:
            raise Refused(f"can't convert {part} to integer") from None
    return word


def _uuid(word: str) -> str:
    try:
        uuid.UUID(word)
    except ValueError as error:
        raise Refused(f"invalid UUID {word}: {error}") from None
    return word


_PLAIN: dict[str, tuple[Check, str]] = {
    "CephBool": (_bool, "<bool>"),
    "CephSocketpath": (_socket_path, "<admin-socket-path>"),
    "CephIPAddr": (_address, "<IPaddr[:port]>"),
    "CephEntityAddr": (_entity_address, "<EntityAddr>"),
    "CephPgid": (_pgid, "<pgid>"),
    "CephName": (_name, "<name (type.id)>"),
    "CephOsdName": (_osd_name, "<osdname (id|osd.id)>"),
    "CephFilepath": (_file_path, "<outfilename>"),
    "CephFragment": (_fragment, "<CephFS fragment ID (0xvvv/bbb)>"),
    "CephUUID": (_uuid, "<uuid>"),
}
