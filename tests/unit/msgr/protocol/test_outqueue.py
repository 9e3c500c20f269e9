"""Order, numbers and replay of what a session sends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spirula.msgr.protocol.outqueue import OutQueue


def taken(queue, *, keep=True):
    out = []
    while (message := queue.pop(keep=keep)) is not None:
        out.append((queue.seq, message))
    return out


def filled(*messages):
    queue = OutQueue()
    for message in messages:
        queue.push(127, message)
    return queue


def test_higher_priorities_overtake_and_equal_ones_keep_their_order():
    queue = OutQueue()
    for priority, message in [(127, "a"), (64, "b"), (255, "c"), (127, "d"), (196, "e")]:
        queue.push(priority, message)
    assert [message for _, message in taken(queue)] == ["c", "e", "a", "d", "b"]


def test_numbers_start_at_one_and_are_given_when_a_message_leaves():
    queue = filled("a")
    assert taken(queue) == [(1, "a")]
    queue.push(255, "b")
    assert taken(queue) == [(2, "b")]


def test_what_is_not_acknowledged_goes_out_again_first_with_its_numbers():
    queue = filled("a", "b", "c")
    taken(queue)
    queue.acknowledged(1)
    queue.requeue()
    queue.push(255, "urgent")
    assert taken(queue) == [(2, "b"), (3, "c"), (4, "urgent")]


def test_what_the_peer_has_is_not_sent_again():
    queue = filled("a", "b", "c")
    taken(queue)
    queue.requeue()
    queue.resume(2)
    assert taken(queue) == [(3, "c")]


def test_when_the_peer_has_everything_numbers_go_on():
    queue = filled("a", "b")
    taken(queue)
    queue.requeue()
    queue.resume(2)
    queue.push(127, "c")
    assert taken(queue) == [(3, "c")]


def test_breaking_during_a_replay_loses_and_repeats_nothing():
    queue = filled("a", "b", "c")
    taken(queue)
    queue.requeue()
    assert queue.pop(keep=True) == "a"
    queue.requeue()
    assert taken(queue) == [(1, "a"), (2, "b"), (3, "c")]


def test_lossy_sessions_keep_nothing():
    queue = filled("a", "b")
    taken(queue, keep=False)
    queue.requeue()
    assert queue.unacknowledged == 0
    assert not queue.pending


def test_a_new_session_starts_at_one_unless_something_waits_to_be_sent_again():
    queue = filled("a")
    taken(queue)
    queue.acknowledged(1)
    queue.restart()
    queue.push(127, "b")
    assert taken(queue) == [(1, "b")]
    queue.requeue()
    queue.restart()
    assert taken(queue) == [(1, "b")]


def test_discard_forgets_everything():
    queue = filled("a", "b")
    queue.pop(keep=True)
    queue.discard()
    assert not queue.pending
    assert len(queue) == queue.unacknowledged == queue.seq == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.integers(0, 255)),
            st.tuples(st.just("send"), st.integers(1, 3)),
            st.tuples(st.just("acknowledge"), st.integers(1, 3)),
            st.tuples(st.just("break"), st.integers(0, 3)),
        )
    )
)
def test_a_peer_that_counts_gets_each_message_once_and_in_order(steps):
    """Whatever happens, what the receiver takes (numbers above its last) is gapless."""
    queue, pushed, received, lost = OutQueue(), 0, [], []
    for what, count in steps:
        if what == "push":
            pushed += 1
            queue.push(count, pushed)
        elif what == "send":
            for _ in range(count):
                message = queue.pop(keep=True)
                if message is not None:
                    lost.append((queue.seq, message))
        elif what == "acknowledge":
            for seq, message in lost:
                assert seq == len(received) + 1
                received.append(message)
            lost = []
            queue.acknowledged(max(0, len(received) - count + 1))
        else:
            # the first `count` of those under way still arrive
            for _, message in lost[:count]:
                received.append(message)
            lost = []
            queue.requeue()
            queue.resume(len(received))
    for seq, message in [*lost, *taken(queue)]:
        assert seq == len(received) + 1
        received.append(message)
    assert sorted(received) == list(range(1, pushed + 1))
