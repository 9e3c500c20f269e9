"""From the words that somebody typed to the command that is sent: which signature, which values.

    command = find_command(parse_descriptions(data), ["osd", "pool", "get", "p", "size"])

Which signature wins and what is complained of where none fits is upstream's
(`src/pybind/ceph_argparse.py`): scripts rely on it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

from spirula.cli.ceph.descriptions import Flag, Parameter, Signature
from spirula.cli.ceph.kinds import Refused, Value

Command = dict[str, object]
"""A command as it is sent, as a JSON object: `prefix` and arguments by name."""

MOST_SUGGESTIONS = 10
_KEYWORD = re.compile(r"--([^=]+)(?:=(.+))?")
# What stood in place of flags before Nautilus: taken as values where they are not described.
_SURE = frozenset(
    {
        "--yes-i-really-mean-it",
        "--yes-i-really-really-mean-it",
        "--yes-i-really-really-mean-it-not-faking",
        "--force",
    }
)


class NoSuchCommand(Exception):
    """No signature takes these words; `lines` is the complaint."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


class _WrongPrefix(Exception):
    """The words are another command's."""


class _Missing(Refused):
    """The argument after the last word is missing."""


class _TooFew(Exception):
    """All words fit, but there are not enough."""


class _LeftOver(Refused):
    """Words are left; `hint` is what the last optional argument said to the first of them."""

    def __init__(self, words: Iterable[str], hint: str) -> None:
        super().__init__(f"unused arguments: {list(words)}")
        self.hint = hint


def find_command(signatures: Sequence[Signature], words: Sequence[str]) -> Command:
    """The command that `words` say. Raises NoSuchCommand."""
    best = _closest(signatures, words)
    for signature in sorted(best, key=lambda each: each.required):
        try:
            return _bind(signature, words)
        except (_WrongPrefix, _TooFew):
            continue
        except _Missing as error:
            if len(best) == 1:
                raise _explained(signature, error) from error
            break
        except Refused as error:
            raise _explained(signature, error) from error
    suggested = [
        signature.concise
        for signature in best
        if not signature.flags & (Flag.DEPRECATED | Flag.HIDDEN)
    ][:MOST_SUGGESTIONS]
    head = f"no valid command found; {len(suggested)} closest matches:"
    raise NoSuchCommand([head, *suggested])


def _explained(signature: Signature, error: Refused) -> NoSuchCommand:
    lines = [f"Invalid command: {error}", f"{signature.concise} :  {signature.help}"]
    if isinstance(error, _LeftOver) and error.hint:
        lines.insert(0, error.hint)
    return NoSuchCommand(lines)


def _closest(signatures: Sequence[Signature], words: Sequence[str]) -> list[Signature]:
    """The signatures that take most of the words; one that takes them whole counts for more."""
    most, best = 0.0, list[Signature]()
    for signature in signatures:
        if signature.flags & Flag.OBSOLETE:
            continue
        taken: float = _taken(signature, words, partial=True)
        if taken >= int(most) and taken == _taken(signature, words, partial=False):
            taken += 0.5
        if taken > most:
            most, best = taken, [signature]
        elif taken == most:
            best.append(signature)
    return best


def _taken(signature: Signature, words: Sequence[str], *, partial: bool) -> int:
    """How many required parameters words are there for; `partial`: the last word may be begun."""
    left = deque(words)
    taken = 0
    for parameter in signature.parameters:
        seen, wanted = 0, parameter.count
        while seen < wanted:
            if not left:
                return taken
            try:
                _accept(parameter, left[0], partial=partial and len(left) == 1)
            except Refused:
                if parameter.required:
                    return taken
                break
            left.popleft()
            seen += 1
            wanted += parameter.repeated
        taken += parameter.required
    return taken


def _accept(
    parameter: Parameter, word: str, *, named: bool = False, partial: bool = False
) -> list[Value]:
    """The values in a word: several, parted by commas, where the parameter is repeated."""
    if parameter.repeated and (named or parameter.kind.type != "CephString"):
        return [parameter.kind.accept(part, partial=partial) for part in word.split(",")]
    return [parameter.kind.accept(word, partial=partial)]


class _Binding:
    """The words that are left, and the values that were found."""

    def __init__(self, signature: Signature, words: Sequence[str]) -> None:
        self.left = deque(words)
        self.values: Command = {}
        self.accepted = 0
        self.named = {each.name: each for each in signature.parameters if not each.kind.is_prefix}
        self.is_injecting = bool(words) and words[0] == "injectargs"
        self.hint = ""

    def store(self, parameter: Parameter, values: list[Value]) -> None:
        """Keep what was given for a parameter."""
        name = parameter.name
        self.accepted += 1
        known = self.values.get(name)
        if parameter.repeated:
            self.values[name] = [*known, *values] if isinstance(known, list) else values
        elif parameter.kind.is_prefix and known is not None:
            self.values[name] = f"{known} {values[-1]}"
        else:
            self.values[name] = values[-1]

    def take_keyword(self, word: str) -> Parameter | None:
        """Take `--name=value`, `--name value` or, for a flag, `--name`; whose it was, or None."""
        found = _KEYWORD.match(word)
        if found is None:
            return None
        key, value = found.groups()
        parameter = self.named.get(key.replace("-", "_"))
        if parameter is None:
            return None
        if value is None:
            if parameter.kind.type == "CephBool":
                value = "true"
            elif self.left:
                value = self.left.popleft()
            else:
                return None
        self.store(parameter, _accept(parameter, value, named=True))
        return parameter

    def check_option(self, parameter: Parameter, word: str) -> None:
        """Refuse an option that nobody knows: a typing error must not become a value."""
        if word.startswith("--") and not (
            parameter.kind.type == "CephChoices" or word in _SURE or self.is_injecting
        ):
            raise Refused(f"Unexpected argument '{word}'")

    def fill(self, parameter: Parameter) -> None:
        """Take what there is for a parameter, and options that stand between."""
        seen, wanted = 0, parameter.count
        while seen < wanted:
            if not self.left:
                if not parameter.required or parameter.name in self.values:
                    return
                raise _missing(parameter, seen)
            word = self.left.popleft()
            keyword = self.take_keyword(word)
            if keyword is not None:
                if keyword is parameter:
                    seen += 1
                    wanted += parameter.repeated
                continue
            self.check_option(parameter, word)
            try:
                values = _accept(parameter, word)
            except Refused as error:
                if parameter.kind.is_prefix:
                    raise _WrongPrefix from error
                if parameter.required:
                    raise
                self.hint = f"{word} not valid:  {error}"
                self.left.appendleft(word)
                return
            self.store(parameter, values)
            self.hint = ""
            seen += 1
            wanted += parameter.repeated


def _missing(parameter: Parameter, seen: int) -> Refused:
    if parameter.repeated and seen < 1:
        return Refused(f"saw {seen} of {parameter.shown}, expected at least 1")
    if seen == 0 and parameter.count == 1:
        return _Missing(f"missing required parameter {parameter.shown}")
    return Refused(f"saw {seen} of {parameter.shown}, expected {parameter.count}")


def _bind(signature: Signature, words: Sequence[str]) -> Command:
    """The command that `words` are by this signature."""
    binding = _Binding(signature, words)
    for parameter in signature.parameters:
        binding.fill(parameter)
    if binding.accepted < signature.required:
        raise _TooFew
    if binding.left:
        raise _LeftOver(binding.left, binding.hint)
    command = binding.values
    if signature.flags & Flag.MGR:
        command["target"] = ("mon-mgr", "")
    if signature.flags & Flag.POLL:
        command["poll"] = True
    return command
