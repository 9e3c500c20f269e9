"""`spirula logs -f`: each line once and whole, whenever it is written."""

from __future__ import annotations

import pytest

from spirula.cli import cluster
from spirula.cluster.create import create


class Enough(Exception):
    """The test has seen it all."""


@pytest.mark.parametrize(
    ("first", "writes", "shown"),
    [
        (b"one\ntwo\n", [b"three\n", b"", b"four\nfive\n"], "two three four five"),
        (b"one\ntw", [b"o\nth", b"ree", b"\n"], "one two three"),
        (None, [b"one\n", b"two\n"], "one two"),
    ],
)
def test_each_line_is_shown_once_and_whole(tmp_path, monkeypatch, capsys, first, writes, shown):
    layout = create(tmp_path / "c", 1)
    log = layout.log / "ceph.cluster.log"
    if first is not None:
        log.write_bytes(first)
    left = [*writes]

    def write_more(_):
        if not left:
            raise Enough
        with log.open("ab") as file:
            file.write(left.pop(0))

    monkeypatch.setattr(cluster.time, "sleep", write_more)
    with pytest.raises(Enough):
        cluster.logs(["--dir", str(layout.directory), "cluster", "-n", "1", "-f"])
    assert capsys.readouterr().out.split() == shown.split()


def test_what_is_written_while_the_end_is_shown_comes_later(tmp_path, monkeypatch, capsys):
    layout = create(tmp_path / "c", 1)
    log = layout.log / "ceph.cluster.log"
    log.write_text("one\n")
    print_lines = cluster._print

    def print_and_write(*given):
        print_lines(*given)
        if "two" not in log.read_text():
            log.write_text("one\ntwo\n")

    looks = iter(range(2))

    def enough(_):
        if next(looks):
            raise Enough

    monkeypatch.setattr(cluster, "_print", print_and_write)
    monkeypatch.setattr(cluster.time, "sleep", enough)
    with pytest.raises(Enough):
        cluster.logs(["--dir", str(layout.directory), "cluster", "-f"])
    assert capsys.readouterr().out.split() == ["one", "two"]


def test_a_log_that_begins_anew_is_shown_from_its_beginning(tmp_path, monkeypatch, capsys):
    layout = create(tmp_path / "c", 1)
    log = layout.log / "ceph.cluster.log"
    log.write_text("one\ntwo\n")
    left = ["new\n"]

    def rotate(_):
        if not left:
            raise Enough
        log.write_text(left.pop())

    monkeypatch.setattr(cluster.time, "sleep", rotate)
    with pytest.raises(Enough):
        cluster.logs(["--dir", str(layout.directory), "cluster", "-n", "1", "-f"])
    assert capsys.readouterr().out.split() == ["two", "new"]


def test_a_last_line_without_its_end_is_shown_to_who_does_not_follow(tmp_path, capsys):
    layout = create(tmp_path / "c", 1)
    (layout.log / "ceph.cluster.log").write_bytes(b"one\ntwo\nthr")
    assert cluster.logs(["--dir", str(layout.directory), "cluster", "-n", "2"]) == 0
    assert capsys.readouterr().out.split() == ["two", "thr"]
