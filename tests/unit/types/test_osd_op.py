"""Operations on objects: names, arguments, what attribute and class operations carry."""

from __future__ import annotations

import pytest

from spirula.errors import WireError
from spirula.types.osd_op import (
    ARGS_OF,
    ARGS_SIZE,
    OP_NAMES,
    Extent,
    OpCode,
    OSDOp,
    SnapArgs,
    WatchArgs,
    is_read,
    is_write,
)


def test_every_code_has_a_name_of_its_own() -> None:
    assert len(OP_NAMES) == len(set(OP_NAMES.values())) == len(OpCode)
    assert OP_NAMES[OpCode.OMAPGETVALSBYKEYS] == "omap-get-vals-by-keys"
    assert OP_NAMES[OpCode.CACHE_TRY_FLUSH] == "cache-try-flush"


@pytest.mark.parametrize("code", sorted(ARGS_OF))
def test_arguments_come_back(code: int) -> None:
    kind = ARGS_OF[code]
    args = kind(*range(1, len(kind._fields) + 1))
    op = OSDOp.make(code, args)
    assert len(op.raw) == ARGS_SIZE
    assert op.args == args


def test_codes_without_arguments() -> None:
    assert OSDOp.make(OpCode.STAT).args is None
    assert OSDOp(0x1FFF).args is None


def test_an_argument_too_large_is_refused() -> None:
    with pytest.raises(WireError, match="write"):
        OSDOp.make(OpCode.WRITE, Extent(1 << 64, 0))


def test_attributes() -> None:
    op = OSDOp.xattr(OpCode.SETXATTR, "na\u00efve", b"value")
    assert op.xattr_parts() == ("na\u00efve", b"value")
    op.indata = op.indata[:-1]
    with pytest.raises(WireError):
        op.xattr_parts()


def test_class_calls() -> None:
    op = OSDOp.call("lock", "get_info", b"input")
    assert op.call_parts() == ("lock", "get_info", b"input")
    op.indata = memoryview(b"lockget_info")
    with pytest.raises(WireError):
        op.call_parts()


def test_which_read_and_which_write() -> None:
    assert is_read(OpCode.READ)
    assert not is_write(OpCode.READ)
    assert is_write(OpCode.OMAPSETVALS)
    assert is_read(OpCode.TMAPUP)
    assert is_write(OpCode.TMAPUP)
    assert not is_read(OpCode.CALL)


def test_text() -> None:
    assert str(OSDOp.make(OpCode.WRITE, Extent(0, 4096))) == "write 0~4096"
    assert str(OSDOp.make(OpCode.TRUNCATE, Extent(7))) == "truncate 7"
    assert str(OSDOp.make(OpCode.ROLLBACK, SnapArgs(16))) == "rollback 10"
    assert str(OSDOp.make(OpCode.DELETE)) == "delete"
    assert "cookie=5" in str(OSDOp.make(OpCode.WATCH, WatchArgs(5)))
