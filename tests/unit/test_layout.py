"""The rules about the sources that no off-the-shelf linter knows, written as tests."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "spirula"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEXTS = sorted(
    path
    for folder in ("src", "tests", "bench", "docs", "requirements", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".pyx", ".md", ".txt", ".in", ".toml", ""}
    and path.is_file()
    and "__pycache__" not in path.parts
    and path != Path(__file__)
) + [path for path in ROOT.iterdir() if path.suffix in {".md", ".toml"} or path.name == "Makefile"]

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

LONGEST_MODULE = 800
LIMITS = (ROOT / "docs" / "LIMITS.md").read_text()

# Functions that may import: what they import costs start-up time that most calls do not need.
LAZY_IMPORTS = {
    "auth/crypto.py": {"_cbc"},
    "cli/ceph/interactive.py": {"run"},
    "cli/main.py": {"_unknown", "_top_level"},
    "maps/osdmap.py": {"_classic"},
    "msgr/protocol/channel.py": {"encrypt"},
    "rados/aio/cluster.py": {"register_service"},
    "rados/aio/watch.py": {"check"},
    "rados/iterators.py": {"get_timestamp"},
    "testing/cluster.py": {"_start_inside"},
    "testing/plugin.py": {"ceph_cluster"},
}

# Addresses of machines and folders of a workplace have no meaning to a reader.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|tmp|root|opt)/[\w.]|\.pyenv|localhost:\d")
# What tests may write when a path is the subject of the test.
PATH_AS_EXAMPLE = re.compile(r"/tmp/example")


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_stay_readable(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= LONGEST_MODULE, "split it by family"
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring, "a module opens by saying what it is for"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_stand_at_the_top(path: Path) -> None:
    allowed = LAZY_IMPORTS.get(relative(path), set())
    offenders = [
        f"{function.name}, line {node.lineno}"
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name not in allowed
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not offenders


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_suppressed_checks_give_a_reason(path: Path) -> None:
    lines = path.read_text().splitlines()
    offenders = []
    with path.open("rb") as stream:
        for token in tokenize.tokenize(stream.readline):
            if token.type != tokenize.COMMENT:
                continue
            match = re.match(
                r"#\s*(?:noqa(?:: [A-Z0-9, ]+)?|type: ignore(?:\[[\w\-, ]+\])?|pragma: .*)"
                r"(?P<reason>.*)",
                token.string,
            )
            above = lines[token.start[0] - 2].strip() if token.start[0] > 1 else ""
            if match and not match["reason"].strip(" -#") and not above.startswith("#"):
                offenders.append(f"line {token.start[0]}: {token.string}")
    assert not offenders


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_names_a_machine(path: Path) -> None:
    text = PATH_AS_EXAMPLE.sub("", path.read_text(errors="surrogateescape"))
    assert MACHINE_PATH.findall(text) == []


def test_pins_carry_hashes_and_no_addresses() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        if path.name == "debian.txt":
            continue
        text = path.read_text()
        assert "://" not in text
        assert set(re.findall(r"^\s*(--?[\w-]+)", text, re.MULTILINE)) == {"--hash"}
        for pin in re.findall(r"^[a-z](?:[^\\\n]|\\\n)*", text, re.MULTILINE):
            assert "==" in pin
            assert "--hash=sha256:" in pin


def test_docs_tell_every_bound() -> None:
    """docs/LIMITS.md has a row `module.NAME` | value for each bound outside of the simulator."""
    rows = re.findall(r"^\| `([\w.]+)\.([A-Z_0-9]+)` \| ([\d,.]+) ", LIMITS, re.MULTILINE)
    told = {(module, name): float(value.replace(",", "")) for module, name, value in rows}
    bounds = {}
    for path in MODULES:
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.startswith("sim."):
            continue
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            for target in targets:
                if isinstance(target, ast.Name) and re.match(r"MAX_|[A-Z]\w*_LIMIT$", target.id):
                    value = getattr(importlib.import_module(f"spirula.{module}"), target.id)
                    bounds[module, target.id] = float(value)
    assert told == bounds


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_what_exists(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"`((?:tests|src|docs|bench|requirements)/[\w./*-]+)`", text)
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [name for name in named if not list(ROOT.glob(name.rstrip("/")))]
    missing += [link for link in linked if not (path.parent / link).exists()]
    assert not missing


BANNED = {
    "clock": "import time\n\nprint(time.monotonic())\n",
    "randomness": "import os\n\nprint(os.urandom(8))\n",
    "sockets": "import socket\n\nprint(socket.socket())\n",
    "threads": "import threading\n\nprint(threading.Thread())\n",
    "sleep": "import asyncio\n\nprint(asyncio.sleep(1))\n",
    "files": "from pathlib import Path\n\nprint(Path.cwd())\n",
    "open": 'print(open("x"))\n',
}


def lint(source: str, filename: str) -> str:
    """What ruff says about `source` if it stood in `filename` of the package."""
    header = '"""A module."""\n\nfrom __future__ import annotations\n\n'
    command = ["-m", "ruff", "check", "--output-format", "concise", "--select", "TID251,PTH123"]
    command += ["--no-cache", "--stdin-filename", str(PACKAGE / filename), "-"]
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        input=header + source,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


@pytest.mark.parametrize("what", BANNED)
@pytest.mark.parametrize("folder", ["msgr/protocol", "auth", "auth/deeper", "mon/quorum", "client"])
def test_logic_may_not_call_the_machine(folder: str, what: str) -> None:
    expected = "PTH123" if what == "open" else "TID251"
    assert expected in lint(BANNED[what], f"{folder}/example.py")


@pytest.mark.parametrize("what", [what for what in BANNED if what != "open"])
@pytest.mark.parametrize("folder", ["msgr", "sim", "cli", "store", "conf"])
def test_the_edges_may_call_the_machine(folder: str, what: str) -> None:
    assert "All checks passed" in lint(BANNED[what], f"{folder}/tcp.py")
