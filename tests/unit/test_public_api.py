"""What users import is documented, each name of it: the reference is made of the docstrings."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
DOCUMENTED = next(
    line.partition(":=")[2].split()
    for line in MAKEFILE.read_text().splitlines()
    if line.startswith("DOCUMENTED")
)


@pytest.mark.parametrize("module", DOCUMENTED)
def test_every_public_name_has_a_docstring(module: str) -> None:
    found = importlib.import_module(module)
    assert inspect.getdoc(found)
    assert found.__all__
    bare = []
    for name in found.__all__:
        public = getattr(found, name)
        if not (inspect.isclass(public) or inspect.isfunction(public)):
            continue
        # A class inherits no docstring that would tell what it is itself.
        if not (public.__doc__ if inspect.isclass(public) else inspect.getdoc(public)):
            bare.append(name)
        for key, member in inspect.getmembers(public) if inspect.isclass(public) else ():
            is_told = key.startswith("_") or bool(inspect.getdoc(member))
            if not is_told and (callable(member) or isinstance(member, property)):
                bare.append(f"{name}.{key}")
    assert not bare


@pytest.mark.slow
def test_the_reference_can_be_made(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="no pdoc here: `make setup` installs it")
    command = [sys.executable, "-W", "ignore", "-m", "pdoc", "-o", str(tmp_path), *DOCUMENTED]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    page = (tmp_path / "spirula" / "rados.html").read_text()
    for name in ("Ioctx.write_full", "Striper.append", "ObjectNotFound", "connect"):
        assert f'id="{name}"' in page
    assert (tmp_path / "spirula" / "rados" / "aio.html").exists()
    assert (tmp_path / "spirula" / "testing.html").exists()
