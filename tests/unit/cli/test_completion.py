"""What a shell is told a word may become."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from spirula.cli.completion import SCRIPTS, complete, main


def test_subcommands_their_commands_and_options() -> None:
    assert complete(["compl"]) == ["completion"]
    assert complete(["osd", "rep"]) == ["replace"]
    assert complete(["rados", "-p", "pool", "listx"]) == ["listxattr"]
    assert "--lock-cookie" in complete(["rados", "--lock"])
    assert complete(["rados", "get", ""]) == []
    assert complete(["nothing", ""]) == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_scripts_are_what_the_shell_reads(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([shell]) == 0
    script = capsys.readouterr().out
    assert "spirula completion --words" in script
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=20)
