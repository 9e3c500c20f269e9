"""`spirula dencoder`: upstream's verbs one after another, and the check of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spirula.cli.dencoder import main
from spirula.errors import InvalidArgument, NotFound, WireError
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityName

OSD_3 = EntityName(4, 3).encode()


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    path = tmp_path / "encoded"
    path.write_bytes(OSD_3)
    return path


def test_decode_and_dump(encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["type", "entity_name_t", "import", str(encoded), "decode", "dump_json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"type": 4, "num": 3}


def test_encode_and_export(encoded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    verbs = ["type", "entity_name_t", "import", str(encoded), "decode", "copy", "encode"]
    assert main([*verbs, "export", str(out)]) == 0
    assert out.read_bytes() == OSD_3


def test_features_choose_the_layout(tmp_path: Path) -> None:
    addrs = EntityAddrVec([EntityAddr.parse("v1:127.0.0.1:6789/7")])
    (tmp_path / "in").write_bytes(addrs.encode())
    verbs = ["type", "entity_addrvec_t", "import", str(tmp_path / "in"), "decode"]
    assert main([*verbs, "set_features", "0", "encode", "export", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_bytes() == addrs.encode(0)
    assert (tmp_path / "out").read_bytes() != addrs.encode()


def test_skip_and_stray_bytes(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"xx" + OSD_3 + b"y")
    verbs = ["type", "entity_name_t", "import", str(tmp_path / "in"), "skip", "2"]
    with pytest.raises(WireError, match="1 stray bytes"):
        main([*verbs, "decode"])
    assert main([*verbs, "stray_okay", "decode"]) == 0


def test_versions_of_an_envelope(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").write_bytes(b"\x05\x02\0\0\0\0")
    main(["import", str(tmp_path / "in"), "get_struct_v", "get_struct_compat", "hexdump"])
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["5", "2"]
    assert out[2].startswith("00000000  05 02 00 00 00 00")


def test_examples_are_counted_selected_and_encodable(capsys: pytest.CaptureFixture[str]) -> None:
    main(["type", "utime_t", "count_tests", "select_test", "2", "encode", "decode", "dump_json"])
    count, _, shown = capsys.readouterr().out.partition("\n")
    assert int(count) == 2
    assert UTime(**json.loads(shown)) != UTime()
    with pytest.raises(InvalidArgument, match="invalid id for generated object: 3"):
        main(["type", "utime_t", "select_test", "3"])


def test_every_listed_type_can_be_selected_and_encoded(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list_types"])
    names = capsys.readouterr().out.split()
    assert names == sorted(names)
    assert {"pg_t", "OSDMap", "CrushWrapper", "MonMap", "CryptoKey"} <= set(names)
    for name in names:
        assert main(["type", name, "is_deterministic", "encode", "decode", "dump_json"]) == 0


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["type", "no_such_t"], NotFound, "class 'no_such_t' unknown"),
        (["decode"], InvalidArgument, "must first select a type"),
        (["type"], InvalidArgument, "expected a type name"),
        (["skip", "some"], InvalidArgument, "expected a count of bytes"),
        (["fly"], InvalidArgument, "unknown verb 'fly'"),
        (["check", "no/such/folder"], NotFound, "no/such/folder is not a folder"),
    ],
)
def test_mistakes_are_named(words: list[str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        main(words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind, name, data in (
        ("entity_name_t", "good", OSD_3),
        ("utime_t", "good", bytes(8)),
        ("utime_t", "short", bytes(7)),
        ("entity_addrvec_t", "old", EntityAddrVec([EntityAddr()]).encode(0)),
        ("not_declared_t", "some", b"?"),
    ):
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / name).write_bytes(data)
    return tmp_path


def test_check_counts_what_decodes_and_what_comes_out_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(folder)]) == 1
    rows = {
        row[0]: row[1:] for line in capsys.readouterr().out.splitlines() if (row := line.split())
    }
    assert rows["entity_name_t"] == ["1", "1", "1"]
    assert rows["utime_t"] == ["2", "1", "1"]
    assert rows["entity_addrvec_t"] == ["1", "1", "0"]
    assert rows["sum:"] == ["3", "of", "4", "types", "declared", "4", "3", "2"]
    assert rows["not"] == ["declared:", "not_declared_t"]
    assert "ends inside" in " ".join(rows["short:"])


def test_check_as_json_and_success(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "utime_t" / "short").unlink()
    assert main(["check", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sum"] == {"types": 4, "declared": 3, "objects": 3, "decoded": 3, "same": 2}
    assert report["not_declared"] == ["not_declared_t"]
    assert report["types"]["entity_addrvec_t"]["problems"]
