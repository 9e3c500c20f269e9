"""The table of admin socket commands: signatures, checking a request against them, answering it.

Pure: a request's text goes in, errno, message and output come out. Daemons register their commands
here and `tell` (MCommand) calls the same table; `spirula.conf.admin_server` is the socket.
Formats: upstream src/common/admin_socket.cc and cmdparse.cc.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable

from spirula.conf.formatter import FALLBACK, FORMATS, render
from spirula.errors import CephError, InvalidArgument, InvariantBroken

MAX_REQUEST_BYTES = 64 << 10
"""Longest request (upstream ends the connection at 1024)."""
SOCKET_VERSION = "2"

Argument = str | int | float | bool | list[str] | list[int] | list[float]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the command's prefix, its arguments by name, and data sent along with it."""

    prefix: str
    args: Mapping[str, Argument]
    data: bytes = b""

    def text(self, name: str, default: str = "") -> str:
        """A string argument; `default` where it was left out."""
        value = self.args.get(name, default)
        return value if isinstance(value, str) else default

    def number(self, name: str, default: int = 0) -> int:
        """An integer argument; `default` where it was left out."""
        value = self.args.get(name, default)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def texts(self, name: str) -> list[str]:
        """A list-of-strings argument; empty where it was left out."""
        value = self.args.get(name, [])
        return [str(item) for item in value] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Section:
    """A reply with the name of its outermost section (which XML shows)."""

    name: str
    document: object


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer: `errno` is 0 or negative, `message` is for the error output, `output` is data."""

    errno: int
    message: str = ""
    output: bytes = b""

    def for_socket(self) -> bytes:
        """The answer as one text, as the admin socket sends it: errors stand in front."""
        if self.errno >= 0:
            return self.output
        reason = f"ERROR: ({-self.errno}) {os.strerror(-self.errno)}\n{self.message}\n"
        return reason.encode("utf-8", "surrogateescape") + self.output


Reply = Section | Outcome | bytes | str | dict[str, object] | list[object] | None
"""What a handler gives: a document, a named one, raw output, nothing (`{}`), or all of it."""
Handler = Callable[[Call], "Reply | Awaitable[Reply]"]
"""Answers a call, at once or later; refuses by raising a CephError."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a signature, with its descriptor (`type=CephInt,range=0|5,req=false`)."""

    name: str
    type: str
    descriptor: Mapping[str, str]

    @property
    def required(self) -> bool:
        return self.descriptor.get("req") != "false"

    @property
    def repeated(self) -> bool:
        return "n" in self.descriptor

    def accepts(self, args: Mapping[str, Argument]) -> bool:
        """Whether the arguments of a request fit this parameter."""
        if self.name not in args:
            return self.repeated or not self.required
        value = args[self.name]
        if self.repeated:
            return isinstance(value, list) and all(self._fits(item) for item in value)
        return self._fits(value)

    def _fits(self, value: object) -> bool:
        match self.type:
            case "CephInt":
                return isinstance(value, int) and not isinstance(value, bool) and self._in(value)
            case "CephFloat":
                number = isinstance(value, int | float) and not isinstance(value, bool)
                return number and isinstance(value, int | float) and self._in(value)
            case "CephBool":
                flag = "--" + self.name.replace("_", "-")
                return isinstance(value, bool) or value == flag
            case "CephChoices":
                return value in self.descriptor.get("strings", "").split("|")
            case _:
                return isinstance(value, str)

    def _in(self, value: float) -> bool:
        bounds = self.descriptor.get("range", "").split("|")
        if bounds == [""]:
            return True
        low = float(bounds[0])
        return value >= low and (len(bounds) < 2 or value <= float(bounds[1]))


@dataclass(frozen=True, slots=True)
class Signature:
    """A command as clients are told about it: words, then parameters."""

    text: str
    prefix: str
    parts: tuple[str | Parameter, ...]

    @property
    def parameters(self) -> list[Parameter]:
        return [part for part in self.parts if isinstance(part, Parameter)]

    def describe(self) -> list[object]:
        """The `sig` of a command description."""
        return [
            part if isinstance(part, str) else dict(sorted(part.descriptor.items()))
            for part in self.parts
        ]


def parse_signature(text: str) -> Signature:
    """`config set name=var,type=CephString ...` taken apart. Raises InvalidArgument."""
    parts: list[str | Parameter] = []
    for word in text.split(" "):
        if not word:
            continue
        if "," not in word and "=" not in word:
            parts.append(word)
            continue
        pairs = [item.partition("=") for item in word.split(",")]
        # A key without `=` counts as a value of its own (`type=CephString,n`).
        descriptor = {key: value if equals else key for key, equals, value in pairs}
        if "name" not in descriptor:
            raise InvalidArgument(f"command signature {text!r}: {word!r} has no name")
        descriptor.setdefault("type", "CephString")
        parts.append(Parameter(descriptor["name"], descriptor["type"], descriptor))
    words: list[str] = []
    for part in parts:
        if not isinstance(part, str):
            break
        words.append(part)
    if not words:
        raise InvalidArgument(f"command signature {text!r} has no prefix")
    return Signature(text, " ".join(words), tuple(parts))


@dataclass(slots=True)
class _Registered:
    signature: Signature
    handler: Handler
    help: str
    owner: object = None


@dataclass(slots=True)
class CommandTable:
    """The commands of one daemon. `on_error` is told of requests nobody knows, for the log."""

    on_error: Callable[[str], None] | None = None
    _commands: list[_Registered] = field(default_factory=list)

    def register(
        self, signature: str, handler: Handler, help: str = "", *, owner: object = None
    ) -> None:
        """Adds a command. Several may share a prefix: the first whose signature fits answers.

        Raises InvariantBroken when the very same signature is there already.
        """
        parsed = parse_signature(signature)
        if any(one.signature.text == signature for one in self._commands):
            raise InvariantBroken(f"command {signature!r} is registered twice")
        self._commands.append(_Registered(parsed, handler, help, owner))
        self._commands.sort(key=lambda one: one.signature.prefix)

    def __contains__(self, prefix: object) -> bool:
        return any(one.signature.prefix == prefix for one in self._commands)

    def unregister(self, owner: object) -> None:
        """Takes all commands of `owner` out."""
        self._commands = [one for one in self._commands if one.owner is not owner]

    def descriptions(self) -> dict[str, object]:
        """What `get_command_descriptions` answers."""
        return {
            f"cmd{number:03d}": {"sig": one.signature.describe(), "help": one.help}
            for number, one in enumerate(self._commands)
        }

    def helps(self) -> dict[str, object]:
        """What `help` answers: commands without a help text are not shown."""
        return {one.signature.prefix: one.help for one in self._commands if one.help}

    async def execute(self, request: str | Mapping[str, object], data: bytes = b"") -> Outcome:
        """Answers one request: JSON text, or the object itself. Never raises for what is in it."""
        try:
            args = parse_request(request) if isinstance(request, str) else check_args(request)
        except InvalidArgument as error:
            self._tell(error.message)
            return Outcome(-22, "invalid json")
        prefix, fmt = args.get("prefix", ""), args.get("format", "")
        if not isinstance(prefix, str) or not isinstance(fmt, str):
            return Outcome(-22, "invalid json, missing format and/or prefix")
        candidates = [one for one in self._commands if one.signature.prefix == prefix]
        if not candidates:
            self._tell(f"request for {prefix[:80]!r} not defined")
            return Outcome(-22, f"unknown command prefix {prefix}")
        for one in candidates:
            if all(parameter.accepts(args) for parameter in one.signature.parameters):
                return await _answer(one, Call(prefix, args, data), fmt)
        return Outcome(-22, "invalid command json")

    def _tell(self, text: str) -> None:
        if self.on_error is not None:
            self.on_error(text)


async def _answer(command: _Registered, call: Call, fmt: str) -> Outcome:
    try:
        reply = command.handler(call)
        if isawaitable(reply):
            reply = await reply
    except CephError as error:
        return Outcome(-error.errno, error.message)
    if isinstance(reply, Outcome):
        return reply
    if isinstance(reply, bytes):
        return Outcome(0, "", reply)
    if isinstance(reply, str):
        return Outcome(0, "", reply.encode("utf-8", "surrogateescape"))
    name = call.prefix.replace(" ", "_")
    if isinstance(reply, Section):
        name, document = reply.name, reply.document
    else:
        document = {} if reply is None else reply
    text = render(document, fmt if fmt in FORMATS else FALLBACK, name)
    return Outcome(0, "", text.encode("utf-8", "surrogateescape"))


def parse_request(text: str) -> dict[str, Argument]:
    """The arguments of a JSON request. Raises InvalidArgument for anything but an object of
    strings, numbers, bools and lists of one such kind.
    """
    try:
        found = json.loads(text)
        if "\\u" in text:
            # Half of a surrogate pair is no character, and could be neither stored nor sent.
            json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except (ValueError, RecursionError):
        raise InvalidArgument("unparseable JSON") from None
    if not isinstance(found, dict):
        raise InvalidArgument("not JSON object")
    return check_args(found)


def check_args(found: Mapping[str, object]) -> dict[str, Argument]:
    """The same checks for a request that is an object already. Raises InvalidArgument."""
    args: dict[str, Argument] = {}
    for key, value in found.items():
        if isinstance(value, list):
            args[key] = _uniform(value)
        elif isinstance(value, str | int | float):
            args[key] = value
        else:
            raise InvalidArgument("JSON array/object not allowed")
    return args


def _uniform(values: Sequence[object]) -> list[str] | list[int] | list[float]:
    texts = [value for value in values if isinstance(value, str)]
    whole = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
    real = [value for value in values if isinstance(value, float)]
    if len(texts) == len(values):
        return texts
    if len(whole) == len(values):
        return whole
    if len(real) == len(values):
        return real
    raise InvalidArgument("Can't handle arrays of multiple types")


def legacy_request(code: int) -> str:
    """The request that an old client's number stands for."""
    prefix = {0: "0", 1: "perfcounters_dump", 2: "perfcounters_schema"}.get(code, "foo")
    return json.dumps({"prefix": prefix})


class RequestReader:
    """Takes a connection's bytes until they make one request.

    A request is JSON up to a NUL or a line break, or four bytes that begin with a NUL. `feed` gives
    the request's text once it is there, else None. Raises InvalidArgument beyond
    MAX_REQUEST_BYTES.
    """

    __slots__ = ("buffer",)

    def __init__(self) -> None:
        self.buffer = bytearray()

    def feed(self, data: bytes) -> str | None:
        buffer = self.buffer
        seen = len(buffer)
        buffer += data
        if buffer[:1] == b"\0":
            return legacy_request(buffer[3]) if len(buffer) >= 4 else None
        ends = [at for at in (buffer.find(b"\0", seen), buffer.find(b"\n", seen)) if at >= 0]
        if ends:
            return bytes(buffer[: min(ends)]).decode("utf-8", "surrogateescape")
        if len(buffer) >= MAX_REQUEST_BYTES:
            raise InvalidArgument("request too long")
        return None
