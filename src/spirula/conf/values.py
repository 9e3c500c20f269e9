"""The value types of options: reading a value's text, checking nothing else, and printing it.

Pure functions. The accepted syntax of each type is upstream's (src/common/strtol.cc,
ceph_time.cc, msg/msg_types.cc), for instance `10K` is 10000 for an int and 10240 for a size.
Called by `spirula.conf.option`; people who want a typed option call `Config.get`.
"""

from __future__ import annotations

import re
import socket
import uuid
from enum import Enum

from spirula.errors import InvalidArgument

Value = str | int | float | bool | uuid.UUID
"""A typed value. Sizes are bytes, `secs` seconds, `millisecs` milliseconds, all int; addresses are
their printed text (`v2:127.0.0.1:6800/0`)."""

INT64_MIN, INT64_MAX, UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


class OptionType(Enum):
    """The type of an option; the value is upstream's name for it."""

    UINT = "uint"
    INT = "int"
    STR = "str"
    FLOAT = "float"
    BOOL = "bool"
    ADDR = "addr"
    ADDRVEC = "addrvec"
    UUID = "uuid"
    SIZE = "size"
    SECS = "secs"
    MILLISECS = "millisecs"


class BadValue(InvalidArgument):
    """A text that is not a value of the option's type, or is outside of its range."""


_STRTOLL = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_STRTOD = re.compile(
    r"[ \t\n\v\f\r]*([+-]?(?:0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?"
    r"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan(?:\([0-9a-z_]*\))?))",
    re.IGNORECASE,
)
_UUID = re.compile(
    r"\{?(?:[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?",
    re.IGNORECASE,
)
_SI = {"K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "B": 0}
_IEC = {"B": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
_SPAN_UNITS = {
    name: seconds
    for names, seconds in (
        ("s sec second seconds", 1),
        ("m min minute minutes", 60),
        ("h hr hour hours", 3600),
        ("d day days", 86400),
        ("w wk week weeks", 7 * 86400),
        ("mo month months", 30 * 86400),
        ("y yr year years", 365 * 86400),
    )
    for name in names.split()
}
_SPAN = re.compile(r"[ \t\n\v\f\r]*([0-9]*)[ \t\n\v\f\r]*([A-Za-z]*)")


def parse_integer(text: str) -> int:
    """A decimal integer of 64 bits, without a suffix."""
    found = _STRTOLL.fullmatch(text)
    # int() refuses very long texts; anything beyond 20 digits is out of range anyway.
    if found is None:
        raise BadValue(f"Expected option value to be integer, got '{text}'")
    digits = found[1].lstrip("+-").lstrip("0")
    value = int(digits or "0") if len(digits) <= 20 else UINT64_MAX
    if found[1].startswith("-"):
        value = -value
    if not INT64_MIN <= value <= INT64_MAX:
        raise BadValue(f"The option value '{text}' seems to be invalid")
    return value


def parse_si(text: str, *, signed: bool) -> int:
    """An integer with an optional decimal suffix K M G T P E (1000s); 64 bits wide."""
    if not text:
        raise BadValue("strict_sistrtoll: value not specified")
    digits, exponent = text, 0
    if text.strip("0123456789+-"):
        # Not only at the ends: any foreign character makes the last one the suffix.
        suffix = text[-1]
        if suffix not in _SI:
            raise BadValue("strict_si_cast: unit prefix not recognized")
        exponent = _SI[suffix]
        if exponent:
            digits = text[:-1]
    value = parse_integer(digits)
    if value < 0 and not signed:
        raise BadValue("strict_sistrtoll: value should not be negative")
    scaled: int = value * 10**exponent
    low, high = (INT64_MIN, INT64_MAX) if signed else (0, UINT64_MAX)
    if not low <= scaled <= high:
        raise BadValue("strict_sistrtoll: value out of range")
    return scaled


def parse_size(text: str, *, signed: bool = False) -> int:
    """Bytes with an optional binary suffix B K M G T P E, also Ki Mi ... (1024s); 64 bits wide."""
    if not text:
        raise BadValue("strict_iecstrtoll: value not specified")
    split = re.search(r"[^0-9+-]", text)
    number, unit = (text, "") if split is None else (text[: split.start()], text[split.start() :])
    shift = 0
    if unit:
        if unit[0] == "B" and unit[-1] == "i":
            raise BadValue('strict_iecstrtoll: illegal prefix "Bi"')
        if len(unit) > 2:
            raise BadValue("strict_iecstrtoll: illegal prefix (length > 2)")
        if unit[0] not in _IEC:
            raise BadValue("strict_iecstrtoll: unit prefix not recognized")
        shift = _IEC[unit[0]]
    value = parse_integer(number)
    if value < 0 and not signed:
        raise BadValue("strict_iecstrtoll: value should not be negative")
    low, high = (INT64_MIN, INT64_MAX) if signed else (0, UINT64_MAX)
    if value < low >> shift:
        raise BadValue("strict_iecstrtoll: value seems to be too small")
    if value > high >> shift:
        raise BadValue("strict_iecstrtoll: value seems to be too large")
    return value << shift


def parse_float(text: str) -> float:
    """A C floating point number: decimal, hexadecimal, inf or nan."""
    found = _STRTOD.match(text)
    if found is None:
        raise BadValue(f"strict_strtod: expected double, got: '{text}'")
    number = found[1].lower()
    overflow = BadValue(f"strict_strtod: floating point overflow or underflow parsing '{text}'")
    if "x" in number:
        try:
            value = float.fromhex(number)
        except OverflowError:
            raise overflow from None
        digits = number.partition("x")[2].partition("p")[0]
    else:
        value = float(number.partition("(")[0])
        digits = number.partition("e")[0]
        if value in (float("inf"), float("-inf")) and "inf" not in number:
            raise overflow
    if abs(value) < 2.2250738585072014e-308 and re.search("[1-9a-f]", digits):
        raise overflow
    if found.end() != len(text):
        raise BadValue(f"strict_strtod: garbage at end of string. got: '{text}'")
    return value


def parse_bool(text: str) -> bool:
    """`true`, `false` in any case, or an integer (0 is false)."""
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    value = parse_integer(text)
    if not INT32_MIN <= value <= INT32_MAX:
        raise BadValue(f"The option value '{text}' seems to be invalid")
    return value != 0


def parse_timespan(text: str) -> int:
    """Seconds of a span such as `2h 3m`, `1 week` or `90`."""
    total = 0
    pos = 0
    while pos < len(text.rstrip(" \t\n\v\f\r")):
        found = _SPAN.match(text, pos)
        if found is None or not found[1]:
            raise BadValue("expected digit")
        unit = found[2]
        if unit and unit not in _SPAN_UNITS:
            raise BadValue(f"unrecogized unit '{unit}'")
        if not unit and found.end() < len(text):
            raise BadValue(f"unexpected trailing '{text[found.end() :]}'")
        total += parse_integer(found[1]) * _SPAN_UNITS.get(unit, 1)
        pos = found.end()
    if total > INT64_MAX:
        raise BadValue(f"The option value '{text}' seems to be invalid")
    return total


def parse_millisecs(text: str) -> int:
    """Milliseconds: digits with an optional sign; a negative number wraps to 64 bits."""
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text) or abs(int(text)) > UINT64_MAX:
        raise BadValue("bad lexical cast: source type value could not be interpreted as target")
    return int(text) & UINT64_MAX


def parse_uuid(text: str) -> uuid.UUID:
    """A UUID with or without dashes and braces."""
    if not _UUID.fullmatch(text) or text.startswith("{") != text.endswith("}"):
        raise BadValue(f"not a UUID: '{text}'")
    return uuid.UUID(text)


def parse_addr(text: str) -> str:
    """The printed form of the address at the start of `text`; what follows it is ignored."""
    return _addr(text, 0)[0]


def parse_addrvec(text: str) -> str:
    """The printed form of one address or of a bracketed list of them."""
    pos, bracketed = 0, False
    if text.startswith("["):
        try:
            bracketed = not _addr(text, 0)[2]
        except BadValue:
            bracketed = True
    pos = int(bracketed)
    found: list[str] = []
    while pos < len(text):
        try:
            addr, pos, _ = _addr(text, pos)
        except BadValue:
            if bracketed:
                raise
            break
        found.append(addr)
        if not bracketed or not text.startswith(",", pos):
            break
        pos += 1
    if not found or (bracketed and not text.startswith("]", pos)):
        raise BadValue(f"not an address or list of addresses: '{text}'")
    return found[0] if len(found) == 1 else f"[{','.join(found)}]"


_IPV4 = re.compile(r"[0-9.]{0,39}")
_IPV6 = re.compile(r"[0-9a-fA-F:]{0,64}")
_ADDR_TYPES = (("v1:", "v1:"), ("v2:", "v2:"), ("any:", ""))


def _addr(text: str, pos: int) -> tuple[str, int, bool]:
    """One address at `pos`: its printed form, the position after it, whether it is IPv6."""
    if text.startswith("-", pos):
        return "-", pos + 1, False
    start = pos
    prefix = "v2:"
    for mark, printed in _ADDR_TYPES:
        if text.startswith(mark, pos):
            prefix = printed
            pos += len(mark)
            break
    bracketed = text.startswith("[", pos)
    pos += bracketed
    host, pos, is_ipv6 = _host(text, pos)
    if host is None:
        raise BadValue(f"not an address: '{text[start:]}'")
    if bracketed:
        if not text.startswith("]", pos):
            raise BadValue(f"not an address: '{text[start:]}'")
        pos += 1
    port = nonce = 0
    if text.startswith(":", pos):
        port, pos = _digits(text, pos + 1)
        if port > 65535:
            raise BadValue(f"port {port} is larger than 65535")
    if text.startswith("/", pos):
        nonce, pos = _digits(text, pos + 1)
    return f"{prefix}{host}:{port}/{nonce & 0xFFFFFFFF}", pos, is_ipv6


def _host(text: str, pos: int) -> tuple[str | None, int, bool]:
    """The address at `pos` as the C library prints it, what follows it, whether it is IPv6."""
    for family, allowed in ((socket.AF_INET, _IPV4), (socket.AF_INET6, _IPV6)):
        found = allowed.match(text, pos)
        try:
            host = socket.inet_ntop(family, socket.inet_pton(family, found[0] if found else ""))
        except OSError:
            continue
        is_ipv6 = family == socket.AF_INET6
        end = pos if found is None else found.end()
        return f"[{host}]" if is_ipv6 else host, end, is_ipv6
    return None, pos, False


def _digits(text: str, pos: int) -> tuple[int, int]:
    found = re.compile(r"[0-9]*").match(text, pos)
    digits = "" if found is None else found[0]
    if len(digits) > 18:
        raise BadValue(f"number too large in an address: '{digits}'")
    return int(digits or "0"), pos + len(digits)


def parse_value(kind: OptionType, text: str) -> Value:
    """`text` as a value of type `kind`; raises BadValue."""
    match kind:
        case OptionType.STR:
            return text
        case OptionType.INT:
            return parse_si(text, signed=True)
        case OptionType.UINT:
            return parse_si(text, signed=False)
        case OptionType.SIZE:
            return parse_size(text)
        case OptionType.BOOL:
            return parse_bool(text)
        case OptionType.FLOAT:
            return parse_float(text)
        case OptionType.SECS:
            return parse_timespan(text)
        case OptionType.MILLISECS:
            return parse_millisecs(text)
        case OptionType.UUID:
            return parse_uuid(text)
        case OptionType.ADDR:
            return parse_addr(text)
        case OptionType.ADDRVEC:
            return parse_addrvec(text)


def to_text(value: Value | None) -> str:
    """A value as `config show` prints it; None (no value) is the empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:f}"
    return str(value)


EMPTY: dict[OptionType, Value] = {
    OptionType.STR: "",
    OptionType.INT: 0,
    OptionType.UINT: 0,
    OptionType.SIZE: 0,
    OptionType.SECS: 0,
    OptionType.MILLISECS: 0,
    OptionType.FLOAT: 0.0,
    OptionType.BOOL: False,
    OptionType.UUID: uuid.UUID(int=0),
    OptionType.ADDR: "-",
    OptionType.ADDRVEC: "",
}
"""What an option of a type is when it names no default."""
