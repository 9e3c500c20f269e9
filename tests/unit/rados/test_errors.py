"""Exceptions of `rados`: which errno becomes which, their texts, and that they can be sent on."""

from __future__ import annotations

import errno
import os
import pickle

import pytest

from spirula import rados
from spirula.errors import Indeterminate, NotFound
from spirula.rados.errors import BY_ERRNO, from_spirula, make_error


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_each_errno_has_its_exception(number: int) -> None:
    made = make_error(-number, "doing it")
    assert type(made) is BY_ERRNO.get(number, rados.OSError)
    assert made.errno == number
    assert str(made).startswith(f"[errno {number}] ")
    assert "doing it" in str(made)
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), again.errno) == (type(made), str(made), number)


def test_texts_are_upstreams() -> None:
    assert str(make_error(-2, "x")) == "[errno 2] RADOS object not found (x)"
    assert str(rados.ObjectStateError("x")) == "RADOS object state error (x)"
    assert str(rados.Error("x")) == "x"


def test_a_comparison_that_failed_tells_where() -> None:
    made = make_error(-rados.MAX_ERRNO - 7, "x")
    assert isinstance(made, rados.ExtendMismatch)
    assert made.offset == 7
    assert pickle.loads(pickle.dumps(made)).offset == 7


def test_what_may_have_happened_is_a_timeout_of_its_own() -> None:
    made = from_spirula(Indeterminate("no answer"), "x")
    assert isinstance(made, rados.OutcomeUnknown)
    assert isinstance(made, rados.TimedOut)
    assert made.errno == errno.ETIMEDOUT
    assert isinstance(from_spirula(NotFound("y"), "x"), rados.ObjectNotFound)


def test_a_child_of_fork_is_told_to_make_its_own_handle() -> None:
    background = rados.cluster.Background()
    try:
        pid = os.fork()
        if pid == 0:
            try:
                background.post(print)
            except rados.RadosStateError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    finally:

        async def nothing() -> None:
            pass

        background.stop(nothing)


def test_vectors_are_empty_after_they_were_taken() -> None:
    op = rados.WriteOp()
    op.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
    op.set_xattr("name", b"value")
    op.set_flags(rados.LIBRADOS_OP_FLAG_FAILOK)
    ops, _ = op.take()
    assert [each.flags for each in ops] == [1, rados.LIBRADOS_OP_FLAG_FAILOK]
    assert op.take() == ([], [])
    step = rados.ReadOp().stat()
    with pytest.raises(rados.Error, match="nothing was read yet"):
        step.value  # noqa: B018 - the property is what is tested


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda op: op.write("text"), TypeError),
        (lambda op: op.write(b"", -1), OverflowError),
        (lambda op: op.truncate(1 << 64), OverflowError),
        (lambda op: op.new(), TypeError),
        (lambda op: op.set_xattr(b"name", b""), TypeError),
    ],
    ids=["text", "negative", "large", "missing", "bytes"],
)
def test_arguments_that_are_none(call, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(rados.WriteOp())
