"""The command line as every daemon and client understands it: `--option value` and its relatives.

Pure: `argv` and the text of $CEPH_ARGS come in, what is not understood comes back for the caller.
Rules: upstream src/common/ceph_argparse.cc and config.cc (`parse_argv`). In a flag's name `-` and
`_` are alike. Called by `spirula.conf.load` and for `injectargs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from spirula.conf.config import Config, Source
from spirula.conf.option import Option
from spirula.conf.values import BadValue, OptionType
from spirula.errors import InvalidArgument, NotPermitted
from spirula.records import dataclass

ENTITY_TYPES = ("auth", "mon", "osd", "mds", "mgr", "client")


class UsageError(InvalidArgument):
    """A command line that cannot be understood; the program prints it and exits with 1."""


@dataclass(slots=True)
class EarlyArgs:
    """What must be known before a configuration file can be read.

    `conf_files` is the text after `-c` (a list parted by `,` or `;`) or None; `cluster` is empty
    where it was not named; `rest` are the arguments that are left.
    """

    entity_type: str
    entity_id: str = "admin"
    cluster: str = ""
    conf_files: str | None = None
    no_config_file: bool = False
    show_version: bool = False
    show_args: bool = False
    rest: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ParsedArgs:
    """The outcome of the general options. `rest` is for the caller, `--` included; a complaint is
    about a value that its option refused, and then everything after it is left in `rest`.
    """

    rest: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    no_mon_config: bool | None = None
    show_conf: bool = False
    show_config: bool = False
    show_config_value: str = ""
    key_file: str | None = None


def split_words(text: str) -> list[str]:
    """The arguments in $CEPH_ARGS: parted by blanks, no quoting."""
    return [word for word in text.split(" ") if word]


def with_environment(argv: Sequence[str], ceph_args: str) -> list[str]:
    """`argv` with the words of $CEPH_ARGS in front of its options, and in front of what follows
    `--` those that follow `--` in $CEPH_ARGS.
    """
    env_options, env_arguments = _split_at_dashes(split_words(ceph_args))
    options, arguments = _split_at_dashes(argv)
    tail = [*env_arguments, *arguments]
    return [*env_options, *options, *(["--", *tail] if tail else [])]


def _split_at_dashes(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(argv)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def flag_name(word: str) -> str:
    """A flag as flags are compared: `-` is `_` after the first two letters, up to `=`."""
    head, equals, value = word.partition("=")
    if "=" in word[:2]:
        return word
    return head[:2] + head[2:].replace("-", "_") + equals + value


class Words:
    """A cursor over arguments. What is not taken stays, in order, for `rest`."""

    __slots__ = ("left", "words")

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.left: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.words)

    def peek(self) -> str:
        return self.words[0]

    def keep(self) -> None:
        """Leaves the current word for the caller."""
        self.left.append(self.words.pop(0))

    def keep_all(self) -> None:
        """Leaves everything that is left, for instance from `--` on."""
        self.left.extend(self.words)
        self.words.clear()

    def flag(self, *names: str) -> bool:
        """Takes the current word if it is one of the flags `names`."""
        if flag_name(self.words[0]) not in map(flag_name, names):
            return False
        self.words.pop(0)
        return True

    def value(self, *names: str) -> str | None:
        """Takes `--name value` or `--name=value` and gives the value. Raises UsageError without
        one.
        """
        word = flag_name(self.words[0])
        for name in map(flag_name, names):
            if word == name:
                if len(self.words) < 2:
                    raise UsageError(f"Option {self.words.pop(0)} requires an argument.")
                del self.words[0]
                return self.words.pop(0)
            if word.startswith(name + "="):
                del self.words[0]
                return word[len(name) + 1 :]
        return None

    def binary(self, name: str) -> bool | None:
        """Takes `--name`, `--name=true|false|1|0` or `--name` with such a word after it. Raises
        BadValue for `--name=` with something else.
        """
        word, name = flag_name(self.words[0]), flag_name(name)
        if word.startswith(name + "="):
            del self.words[0]
            text = word[len(name) + 1 :]
            if text not in _BINARY:
                raise BadValue(f"Expected true or false, but got '{text}'")
            return _BINARY[text]
        if word != name:
            return None
        del self.words[0]
        if self.words and self.words[0] in _BINARY:
            return _BINARY[self.words.pop(0)]
        return True


_BINARY = {"true": True, "1": True, "false": False, "0": False}


def parse_early(argv: Sequence[str], entity_type: str) -> EarlyArgs:
    """Takes name, cluster and configuration file out of `argv`, for a process of `entity_type`.

    `-i` names the id for daemons only (clients have other uses for it). Raises UsageError.
    """
    early = EarlyArgs(entity_type)
    words = Words(argv)
    while words:
        if words.peek() == "--":
            words.keep_all()
        elif words.flag("--version", "-v"):
            early.show_version = True
        elif (text := words.value("--conf", "-c")) is not None:
            early.conf_files = text
        elif words.flag("--no-config-file"):
            early.no_config_file = True
        elif (text := words.value("--cluster")) is not None:
            early.cluster = text
        elif (entity_type != "client" and (text := words.value("-i")) is not None) or (
            text := words.value("--id", "--user")
        ) is not None:
            early.entity_id = text
        elif (text := words.value("--name", "-n")) is not None:
            kind, dot, name = text.partition(".")
            if not dot or kind not in ENTITY_TYPES:
                raise UsageError(
                    f"error parsing '{text}': expected string of the form TYPE.ID, valid types are:"
                    f" {', '.join(ENTITY_TYPES)}"
                )
            early.entity_type, early.entity_id = kind, name
        elif words.flag("--show_args"):
            early.show_args = True
        else:
            words.keep()
    early.rest = words.left
    return early


_SHORTHANDS = (
    (("--monmap", "-M"), "monmap"),
    (("--mon_host", "-m"), "mon_host"),
    (("--bind",), "public_addr"),
    (("--keyring", "-k"), "keyring"),
    (("--client_mountpoint", "-r"), "client_mountpoint"),
)
_FOREGROUND = {"daemonize": "false"}
_TO_STDERR = {
    "fuse_debug": "true",
    "daemonize": "false",
    "log_file": "",
    "log_to_stderr": "true",
    "err_to_stderr": "true",
    "log_to_syslog": "false",
}


def parse_argv(config: Config, argv: Sequence[str], source: Source = Source.CMDLINE) -> ParsedArgs:
    """Sets the options that `argv` names; the shorthands (`-m`, `-k`, `-d` ...) set overrides.

    `--keyfile` is handed back in `key_file`: reading it is the caller's. Raises UsageError where a
    word lacks its value, BadValue where a shorthand's value is refused.
    """
    parsed = ParsedArgs()
    words = Words(argv)
    while words:
        if words.peek() == "--":
            words.keep_all()
        elif words.flag("--show_conf"):
            parsed.show_conf = True
        elif words.flag("--show_config"):
            parsed.show_config = True
        elif (text := words.value("--show_config_value")) is not None:
            parsed.show_config_value = text
        elif words.flag("--no-mon-config"):
            parsed.no_mon_config = True
        elif words.flag("--mon-config"):
            parsed.no_mon_config = False
        elif words.flag("--foreground", "-f"):
            _override(config, _FOREGROUND)
        elif words.flag("-d"):
            _override(config, _TO_STDERR)
        elif (text := words.value("--keyfile", "-K")) is not None:
            parsed.key_file = text
        elif not _shorthand(config, words):
            complaint = parse_option(config, words, source)
            if complaint:
                parsed.complaints.append(complaint)
                words.keep_all()
    parsed.rest = words.left
    return parsed


def _override(config: Config, values: dict[str, str]) -> None:
    for name, text in values.items():
        config.set(name, text)


def _shorthand(config: Config, words: Words) -> bool:
    for flags, name in _SHORTHANDS:
        text = words.value(*flags)
        if text is not None:
            config.set(name, text)
            return True
    return False


def parse_option(config: Config, words: Words, source: Source, *, inject: bool = False) -> str:
    """Takes one option and its value from `words`, or leaves the word; gives a complaint or ''."""
    option, flag, negated, default = _find_option(config, words.peek())
    if option is None:
        words.keep()
        return ""
    text = ""
    reason = ""
    try:
        if negated:
            words.words.pop(0)
            config.set(option.name, "false", source)
        elif option.type is OptionType.BOOL and not default:
            value = words.binary(flag)
            config.set(option.name, "true" if value else "false", source)
        else:
            text = words.value(flag) or ""
            if default:
                config.set_default(option.name, text)
            else:
                config.set(option.name, text, source)
    except (BadValue, UsageError, NotPermitted) as error:
        reason = error.message
    if not reason:
        return ""
    if inject:
        return f"Parse error setting {option.name} to '{text}' using injectargs ({reason}).\n"
    return f"parse error setting '{option.name}' to '{text}' ({reason})\n"


def _find_option(config: Config, word: str) -> tuple[Option | None, str, bool, bool]:
    """The option that a word sets: with its flag, whether it is `--no-x`, whether `--default-x`."""
    if not word.startswith("--"):
        return None, "", False, False
    flag = flag_name(word).partition("=")[0]
    name = flag[2:]
    option = config.schema.get(name)
    if option is not None:
        return option, flag, False, False
    if name.startswith("default_"):
        option = config.schema.get(name[8:])
        if option is not None:
            return option, flag, False, True
    if name.startswith("no_") and "=" not in word:
        option = config.schema.get(name[3:])
        if option is not None and option.type is OptionType.BOOL:
            return option, flag, True, False
    return None, "", False, False


def inject_args(config: Config, text: str) -> tuple[bool, str]:
    """`injectargs`: sets options of a running daemon from one text. Gives whether all went well,
    and upstream's message; observers are told.
    """
    words = Words(split_words(text))
    complaints: list[str] = []
    while words:
        complaint = parse_option(config, words, Source.OVERRIDE, inject=True)
        if complaint:
            complaints.append(complaint)
    if words.left:
        complaints.append(f" failed to parse arguments: {','.join(words.left)}\n")
    return not complaints, "".join(complaints) + config.apply_changes()
