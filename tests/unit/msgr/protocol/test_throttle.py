"""Shares of throttles: taken whole or not at all, given back once."""

from __future__ import annotations

import pytest

from spirula.errors import InvariantBroken
from spirula.msgr.protocol.throttle import Gate, Throttle, Ticket


def test_room_ends_at_the_limit():
    throttle = Throttle(10)
    throttle.take(6)
    assert throttle.has_room(4)
    assert not throttle.has_room(5)


def test_no_limit_is_always_room():
    throttle = Throttle(0)
    throttle.take(10**12)
    assert throttle.has_room(10**12)


def test_what_is_larger_than_the_limit_passes_alone():
    throttle = Throttle(10)
    assert throttle.has_room(1000)
    throttle.take(1)
    assert not throttle.has_room(1000)


def test_who_waits_is_woken_once_and_in_order():
    throttle, woken = Throttle(1), []
    first, second = (lambda: woken.append(1)), (lambda: woken.append(2))
    throttle.take(1)
    throttle.when_room(first)
    throttle.when_room(second)
    throttle.when_room(first)
    throttle.put(1)
    assert woken == [1, 2]
    throttle.take(1)
    throttle.put(1)
    assert woken == [1, 2]


def test_who_left_is_not_woken():
    throttle, woken = Throttle(1), []
    wake = lambda: woken.append(1)  # noqa: E731  # compared by identity
    throttle.take(1)
    throttle.when_room(wake)
    throttle.forget(wake)
    throttle.put(1)
    assert woken == []


def test_giving_back_too_much_is_a_bug():
    with pytest.raises(InvariantBroken):
        Throttle(1).put(1)


def test_a_gate_takes_from_all_or_from_none():
    wide, narrow, messages = Throttle(100), Throttle(10), Throttle(2)
    gate = Gate([wide, narrow], messages)
    assert gate.admit(8)
    assert not gate.admit(8)
    assert gate.full is narrow
    assert (wide.current, narrow.current, messages.current) == (8, 8, 1)
    assert gate.admit(0)
    assert not gate.admit(0)
    assert gate.full is messages


def test_a_gate_of_one_throttle_counts_like_any_other():
    only = Throttle(10)
    gate = Gate([only], None)
    assert gate.admit(8)
    assert not gate.admit(3)
    assert gate.full is only
    gate.release(8)
    assert gate.admit(1000)
    assert not gate.admit(1)
    gate.release(1000)
    assert only.current == 0
    unlimited = Gate([Throttle(0)], None)
    assert unlimited.admit(10**12)


def test_a_ticket_is_given_back_once():
    size, messages = Throttle(100), Throttle(2)
    gate = Gate([size], messages)
    gate.admit(8)
    ticket = Ticket(gate, 8)
    ticket.release()
    ticket.release()
    assert (size.current, messages.current) == (0, 0)
