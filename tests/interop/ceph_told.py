"""Tells Debian's `ceph` and ours the same lines, and finds what they answer otherwise."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from spirula.cli.main import main
from tests.interop import ceph_peer
from tests.interop.ceph_lines import FILES
from tests.interop.realcluster import ENVIRONMENT, RealCluster

Answer = list
"""Exit code, output, complaints."""
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?s:.*)")
_LOGGED = re.compile(r"(?m)^20\d\d-\d\d-\d\dT\S+ \S+ +-?\d .*\n")
_STAMPS = re.compile(r"20\d\d-\d\d-\d\dT[0-9:.]+[+-]\d{4}")


class Ours:
    """`spirula ceph`, as `ceph_peer.run` drives it."""

    cluster_handle = None

    @staticmethod
    def main() -> int:
        return main(["ceph", *sys.argv[1:]])


def words_of(line: str, cluster: RealCluster, folder: Path) -> tuple[list[str], str]:
    """The words of a line, and what stands on the standard input."""
    text, _, given = line.lstrip("~!%").partition("<<<")
    places = {"asok": str(cluster.folder / "run" / "osd.0.asok"), "absent": str(folder / "absent")}
    words = [
        places.get(word[1:-1], str(folder / word[1:-1])) if re.fullmatch(r"\{\w+\}", word) else word
        for word in shlex.split(text)
    ]
    own = [] if "-c" in words else ["-c", str(cluster.conf)]
    return [*own, *words], given.strip()


def tell_theirs(tasks: Sequence[tuple[list[str], str]]) -> Callable[[], list[Answer]]:
    """Start Debian's `ceph` on these; the answers come when what is returned is called."""
    peer = _start(tasks)

    def collect() -> list[Answer]:
        answers: list[Answer] = []
        running = peer
        while True:
            told = running.communicate(timeout=300)[0]
            answers += [json.loads(line) for line in told.splitlines() if line.startswith("[")]
            if len(answers) == len(tasks):
                return answers
            # It fell over on this line; whoever tries the rest starts anew.
            answers.append([running.returncode, "", "crashed"])
            running = _start(tasks[len(answers) :])

    return collect


def _start(tasks: Sequence[tuple[list[str], str]]) -> subprocess.Popen[str]:
    with tempfile.TemporaryFile("w+") as told:
        json.dump(tasks, told)
        told.seek(0)
        return subprocess.Popen(
            ["/usr/bin/python3", ceph_peer.__file__],
            env=ENVIRONMENT,
            stdin=told,
            stdout=subprocess.PIPE,
            text=True,
        )


def tell_ours(tasks: Sequence[tuple[list[str], str]]) -> list[Answer]:
    return [ceph_peer.run(Ours, words, given) for words, given in tasks]


def plain(line: str, answer: Answer, folder: Path) -> tuple[object, ...]:
    """An answer without what differs between any two runs."""
    code, output, complaints = answer
    if _TRACEBACK.search(complaints):
        complaints = "raised"
    complaints = _LOGGED.sub("", complaints)
    output, complaints = (_STAMPS.sub("STAMP", text) for text in (output, complaints))
    if line.startswith("~"):
        output, complaints = (re.sub(r"[\d.]+", "N", text) for text in (output, complaints))
        output = re.sub(r"[ -]+", " ", output)
    if line.startswith("%"):
        output = shape(output)
        complaints = str(bool(complaints))
    if line.startswith("!") or complaints == "raised":
        complaints = str(bool(complaints))
    return code or 0, output, re.sub(r"(?m)^\n", "", complaints)


def shape(output: str) -> str:
    """The keys of a JSON object, the names of XML elements' beginnings, or a table's head."""
    try:
        document = json.loads(output)
    except ValueError:
        lines = [line for line in output.splitlines() if line.strip()]
        return re.sub(r"[\W\d]+|HEALTH_\w+", " ", lines[0])[:20] if lines else ""
    return " ".join(document) if isinstance(document, dict) else str(type(document))


def prepare(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def differences(
    cluster: RealCluster, folder: Path, lines: Sequence[str], *, at_once: bool
) -> list[str]:
    """What differs, line by line. `at_once`: the lines change nothing, both are told together."""
    prepare(folder)
    tasks = [words_of(line, cluster, folder) for line in lines]
    asked = tell_theirs(tasks)
    if at_once:
        ours = tell_ours(tasks)
        theirs = asked()
    else:
        theirs = asked()
        ours = tell_ours(tasks)
    found = []
    for line, *answers in zip(lines, theirs, ours, strict=True):
        one, other = (plain(line, answer, folder) for answer in answers)
        if one != other:
            found.append(f"{line}\n  Debian's: {one}\n  ours:     {other}")
    return found
