from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.errors import InputOutput, InvariantBroken
from spirula.store.disk.engine import Batch, MemoryEngine

SHORT_KEYS = st.binary(min_size=1, max_size=2)
STEPS = st.lists(
    st.tuples(st.just("put"), SHORT_KEYS, st.binary(max_size=3))
    | st.tuples(st.just("delete"), SHORT_KEYS)
    | st.tuples(st.just("delete_range"), SHORT_KEYS, SHORT_KEYS),
    max_size=12,
)


def batch_of(steps):
    batch = Batch()
    for name, *arguments in steps:
        getattr(batch, name)(*arguments)
    return batch


def carry_out(content, steps):
    """The same, one by one, on a dict."""
    for name, key, *more in steps:
        if name == "put":
            content[key] = more[0]
        elif name == "delete":
            content.pop(key, None)
        else:
            for gone in [k for k in content if key <= k < more[0]]:
                del content[gone]


@given(STEPS, STEPS, STEPS)
def test_a_batch_means_its_steps_in_their_order(before, steps, later):
    engine, expected = MemoryEngine(), {}
    engine.write(batch_of(before))
    batch = batch_of(steps)
    batch.merge(batch_of(later))
    engine.write(batch)
    carry_out(expected, before + steps + later)
    assert dict(engine.iterate(b"")) == expected


@given(STEPS, SHORT_KEYS, st.none() | SHORT_KEYS)
def test_iteration_is_in_order_and_of_the_time_of_the_call(steps, start, end):
    engine, expected = MemoryEngine(), {}
    engine.write(batch_of(steps))
    carry_out(expected, steps)
    inside = sorted((k, v) for k, v in expected.items() if start <= k and (end is None or k < end))
    walks = engine.iterate(start, end), engine.iterate(start, end, reverse=True)
    engine.write(batch_of([("delete_range", b"", b"\xff" * 3), ("put", b"new", b"")]))
    assert [list(walk) for walk in walks] == [inside, inside[::-1]]


def test_a_crash_keeps_what_was_synced_and_the_oldest_of_the_rest():
    engine = MemoryEngine()
    for number in range(5):
        engine.write(batch_of([("put", b"%d" % number, b"x"), ("delete", b"%d" % (number - 1))]))
        if number == 2:
            engine.sync()
    assert engine.unsynced == 2
    assert engine.get(b"4") == b"x"
    for keep, left in ((0, b"2"), (1, b"3"), (2, b"4")):
        after = engine.after_crash(keep)
        assert list(after.iterate(b"")) == [(left, b"x")]
        assert after.unsynced == 0
    with pytest.raises(InvariantBroken, match="closed"):
        engine.get(b"4")


def test_a_batch_can_be_filled_anew_once_it_is_written():
    engine, batch = MemoryEngine(), Batch()
    batch.put(b"a", b"1")
    engine.write(batch)
    batch.put(b"a", b"2")
    engine.sync()
    assert engine.get(b"a") == engine.after_crash().get(b"a") == b"1"


def test_a_failing_engine_can_be_read_and_not_written():
    engine = MemoryEngine()
    engine.write(batch_of([("put", b"a", b"1")]))
    engine.fail(InputOutput("gone"))
    for change in (engine.sync, lambda: engine.write(Batch())):
        with pytest.raises(InputOutput, match="gone"):
            change()
    assert engine.get(b"a") == b"1"
    assert engine.after_crash().get(b"a") is None


def test_a_flipped_bit_is_in_the_value():
    engine = MemoryEngine()
    engine.write(batch_of([("put", b"a", b"\x00\x00")]))
    engine.sync()
    engine.flip(b"a", 9)
    engine.flip(b"a", 99)
    assert engine.get(b"a") == engine.after_crash().get(b"a") == b"\x00\x02"
