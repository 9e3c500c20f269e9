"""`spirula completion bash|zsh|fish`: what a shell runs to complete the words of `spirula`.

The script that is printed calls `spirula completion --words ...` for each completion. Words of
`spirula ceph` come from the cluster's own descriptions, pools of `spirula rados` from the cluster,
everything else from the subcommands' help.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence

from spirula.cli import rados
from spirula.cli.ceph import main as ceph
from spirula.cli.main import SUBCOMMANDS
from spirula.cli.main import main as spirula

SCRIPTS = {
    "bash": """\
_spirula() {
    local IFS=$'\\n'
    COMPREPLY=($(spirula completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _spirula spirula
""",
    "zsh": """\
#compdef spirula
_spirula() {
    local -a found
    found=("${(@f)$(spirula completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found || _files
}
compdef _spirula spirula
""",
    "fish": """\
function __spirula
    set -l typed (commandline -opc)
    spirula completion --words $typed[2..-1] (commandline -ct) 2>/dev/null
end
complete -c spirula -a '(__spirula)'
""",
}
# Options of a configuration that decide which cluster is asked.
_CLUSTER = frozenset(
    {"-c", "--conf", "-n", "--name", "--id", "-m", "--mon-host", "-k", "--keyring", "--cluster"}
)
_POOL = frozenset({"-p", "--pool", "--target-pool"})


def main(argv: list[str]) -> int:
    """Print a script, or what the last of the words may become."""
    if argv[:1] == ["--words"]:
        words = argv[1:] or [""]
        for found in complete(words):
            print(found)
        return 0
    parser = argparse.ArgumentParser(
        prog="spirula completion",
        description="Print a script that has a shell complete the words of `spirula`.",
        epilog='bash: eval "$(spirula completion bash)" in .bashrc; zsh likewise in .zshrc; '
        "fish: spirula completion fish > ~/.config/fish/completions/spirula.fish",
    )
    parser.add_argument("shell", choices=sorted(SCRIPTS))
    sys.stdout.write(SCRIPTS[parser.parse_args(argv).shell])
    return 0


def complete(words: Sequence[str]) -> list[str]:
    """What the last of the words behind `spirula` may become; empty: names of files, perhaps."""
    *before, last = words
    if not before:
        names = {name.split()[0] for name in SUBCOMMANDS} | {"--help", "--version"}
        return _fitting(names, last)
    name, *typed = before
    if name not in SUBCOMMANDS:
        return []
    if last.startswith("-"):
        return _fitting(_options(name), last)
    if name == "ceph":
        return _fitting(_ceph(typed, last), last)
    if name == "rados":
        return _fitting(_rados(typed), last)
    second = {other.split()[1] for other in SUBCOMMANDS if other.startswith(f"{name} ")}
    return _fitting(second, last) if not typed else []


def _fitting(names: set[str], beginning: str) -> list[str]:
    return sorted(name for name in names if name.startswith(beginning))


def _told(run: Callable[[list[str]], int], argv: list[str]) -> str:
    """What a command prints, whatever becomes of it."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        run(argv)
    out.flush()
    out.seek(0)
    return out.read()


def _options(name: str) -> set[str]:
    text = _told(spirula, [*name.split(), "--help"])
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text)) | {"--help"}


def _ceph(typed: Sequence[str], last: str) -> set[str]:
    lines = _told(ceph.main, ["--completion", *typed, last]).splitlines()
    return {line for line in lines if line.strip() and not line.startswith("#")}


def _rados(typed: Sequence[str]) -> set[str]:
    if typed and typed[-1] in _POOL:
        where = [
            word
            for at, word in enumerate(typed)
            if word in _CLUSTER or (at and typed[at - 1] in _CLUSTER)
        ]
        return set(_told(spirula, ["rados", *where, "lspools"]).splitlines())
    named = any(word in rados.COMMANDS for word in typed)
    return set() if named else set(rados.COMMANDS)
