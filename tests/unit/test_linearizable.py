"""The checker of histories finds what is wrong in them, and nothing in those that are right."""

from __future__ import annotations

import random

import pytest

from tests import linearizable
from tests.concurrent_clients import ABSENT, do_alone, only_looks
from tests.linearizable import Call, NotLinearizable, Undecided, check_linearizable

ENOENT, EEXIST, ENODATA = 2, 17, 61


def history(*lines):
    """Calls from (who, began, ended, vector, answer)."""
    return [Call(who, what, answer, began, ended) for who, began, ended, what, answer in lines]


def check(*lines):
    return check_linearizable(history(*lines), do_alone, ABSENT, only_looks)


def write(data):
    return (("write_full", data),)


def append(data):
    return (("append", data),)


READ = (("read",),)
DONE = (0, (None,))


def saw(data):
    return (0, (data,))


def test_one_client_after_another():
    check(
        ("a", 0, 1, READ, (-ENOENT, ())),
        ("a", 2, 3, write(b"1"), DONE),
        ("b", 4, 5, append(b"2"), DONE),
        ("b", 6, 7, READ, saw(b"12")),
        ("a", 8, 9, (("delete",),), DONE),
        ("a", 10, 11, (("delete",),), (-ENOENT, ())),
    )


def test_calls_at_the_same_time_may_have_either_order():
    first = ("a", 0, 5, append(b"1"), DONE)
    second = ("b", 1, 6, append(b"2"), DONE)
    for data in (b"12", b"21"):
        order = check(first, second, ("a", 7, 8, READ, saw(data)))
        assert len(order) == 3


def test_a_lost_write_is_found():
    with pytest.raises(NotLinearizable, match="none of these fits"):
        check(
            ("a", 0, 1, append(b"1"), DONE),
            ("b", 2, 3, append(b"2"), DONE),
            ("a", 4, 5, READ, saw(b"1")),
        )


def test_a_stale_read_is_found():
    with pytest.raises(NotLinearizable):
        check(
            ("a", 0, 1, write(b"1"), DONE),
            ("a", 2, 3, write(b"2"), DONE),
            ("b", 4, 5, READ, saw(b"1")),
        )


def test_two_reads_that_see_writes_in_different_order_are_found():
    writes = [("a", 0, 20, append(b"1"), DONE), ("b", 1, 21, append(b"2"), DONE)]
    check(*writes, ("c", 2, 3, READ, saw(b"1")), ("d", 4, 5, READ, saw(b"12")))
    with pytest.raises(NotLinearizable):
        check(*writes, ("c", 2, 3, READ, saw(b"1")), ("d", 4, 5, READ, saw(b"2")))


def test_a_read_that_goes_back_while_a_write_lasts_is_found():
    with pytest.raises(NotLinearizable):
        check(
            ("a", 0, 1, write(b"1"), DONE),
            ("a", 2, 20, write(b"2"), DONE),
            ("b", 3, 4, READ, saw(b"2")),
            ("c", 5, 6, READ, saw(b"1")),
        )


def test_an_append_done_twice_is_found():
    with pytest.raises(NotLinearizable):
        check(("a", 0, 1, append(b"1"), DONE), ("b", 2, 3, READ, saw(b"11")))


@pytest.mark.parametrize("data", [b"1", b"12"])
def test_without_an_answer_a_call_may_have_happened_or_not(data):
    check(
        ("a", 0, 1, append(b"1"), DONE),
        ("a", 2, None, append(b"2"), None),
        ("b", 3, 4, READ, saw(data)),
    )


def test_without_an_answer_a_call_may_happen_late_but_once_and_not_before_it_began():
    unknown = ("a", 4, None, append(b"2"), None)
    first = ("a", 0, 1, append(b"1"), DONE)
    check(first, unknown, ("b", 5, 6, READ, saw(b"1")), ("b", 7, 8, READ, saw(b"12")))
    for wrong in (
        [("b", 5, 6, READ, saw(b"122"))],
        [("b", 5, 6, READ, saw(b"12")), ("b", 7, 8, READ, saw(b"1"))],
        [("b", 2, 3, READ, saw(b"12"))],
    ):
        with pytest.raises(NotLinearizable):
            check(first, unknown, *wrong)


def test_what_would_change_nothing_now_may_have_to_wait_until_it_does():
    """To remove an attribute before it is set explains nothing of what is seen after."""
    both = (("append", b"2"), ("setxattr", "k", b"2"))
    check(
        ("a", 0, 1, write(b"1"), DONE),
        ("b", 2, 9, both, (0, (None, None))),
        ("c", 3, 8, (("rmxattr", "k"),), DONE),
        ("a", 10, 11, (("read",), ("getxattrs",)), (0, (b"12", ()))),
    )


def test_of_two_that_create_one_is_refused():
    create = (("create",), ("append", b"x"))
    refused = (-EEXIST, ())
    check(("a", 0, 5, create, (0, (None, None))), ("b", 1, 6, create, refused))
    with pytest.raises(NotLinearizable):
        check(("a", 0, 5, create, (0, (None, None))), ("b", 1, 6, create, (0, (None, None))))
    with pytest.raises(NotLinearizable):
        check(("a", 0, 5, create, refused), ("b", 1, 6, create, refused))


def test_half_of_a_compound_is_found():
    both = (("append", b"2"), ("setxattr", "k", b"2"))
    look = (("read",), ("getxattrs",))
    first = ("a", 0, 1, write(b"1"), DONE)
    under_way = ("a", 2, None, both, None)
    check(first, under_way, ("b", 3, 4, look, (0, (b"12", (("k", b"2"),)))))
    with pytest.raises(NotLinearizable):
        check(first, under_way, ("b", 3, 4, look, (0, (b"12", ()))))


def test_a_swap_answers_where_the_data_differ():
    def swap(expected, data):
        return (("cmpext", expected), ("write_full", data))

    check(
        ("a", 0, 1, write(b"abc"), DONE),
        ("a", 2, 3, swap(b"abd", b"x"), (-4095 - 2, ())),
        ("a", 4, 5, swap(b"abc", b"x"), (0, (None, None))),
        ("a", 6, 7, READ, saw(b"x")),
    )
    with pytest.raises(NotLinearizable):  # both cannot have found the same
        check(
            ("a", 0, 1, write(b"abc"), DONE),
            ("a", 2, 9, swap(b"abc", b"1"), (0, (None, None))),
            ("b", 3, 8, swap(b"abc", b"2"), (0, (None, None))),
        )


def test_attributes():
    check(
        ("a", 0, 1, (("setxattr", "k", b"1"),), DONE),
        ("a", 2, 3, (("getxattr", "k"),), saw(b"1")),
        ("a", 4, 5, (("rmxattr", "k"),), DONE),
        ("a", 6, 7, (("getxattr", "k"),), (-ENODATA, ())),
        ("a", 8, 9, (("write", 3, b"x"),), DONE),
        ("a", 10, 11, READ, saw(b"\0\0\0x")),
    )


def test_a_history_that_says_too_little_is_given_up(monkeypatch):
    monkeypatch.setattr(linearizable, "MAX_STATES", 1000)
    unknown = [("a", n, None, append(b"%d" % n), None) for n in range(12)]
    with pytest.raises(Undecided):
        check(*unknown, ("b", 20, 21, READ, saw(b"nothing of them")))


@pytest.mark.parametrize("seed", range(30))
def test_histories_made_in_order_are_right_and_wrong_once_an_answer_is_changed(seed):
    """Calls that take effect at a random moment of theirs; then one read gets another's answer."""
    rng = random.Random(seed)
    moments = []
    for who in "abcd":
        at = 0
        for n in range(12):
            began = at + rng.randrange(1, 50)
            ended = began + rng.randrange(2, 80)
            what = rng.choice([READ, append(b"<%b%d>" % (who.encode(), n))])
            moments.append((rng.uniform(began, ended), who, began, ended, what))
            at = ended
    state, calls = ABSENT, []
    for _, who, began, ended, what in sorted(moments):
        state, answer = do_alone(state, what)
        lost = what != READ and rng.random() < 0.1
        calls.append(Call(who, what, answer, 2 * began, None if lost else 2 * ended + 1))
    check_linearizable(calls, do_alone, ABSENT, only_looks)
    reads = [n for n, call in enumerate(calls) if call.what == READ and call.answer[0] == 0]
    last = reads[-1]
    token = next(c.what[0][1] for c in calls if c.what != READ and c.ended is not None)
    data = calls[last].answer[1][0]
    wrong = data.replace(token, b"") if token in data else data + token + token
    calls[last] = Call("z", READ, (0, (wrong,)), 10_000, 10_001)
    with pytest.raises(NotLinearizable):
        check_linearizable(calls, do_alone, ABSENT, only_looks)
