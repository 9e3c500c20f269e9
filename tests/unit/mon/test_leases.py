from __future__ import annotations

from spirula.mon.quorum.leases import Grants, Promises, Received

ABC, AB, CD = frozenset("abc"), frozenset("ab"), frozenset("cd")


def test_a_lease_ends_a_span_after_the_oldest_question_that_was_answered():
    grants = Grants(lease_s=5.0, span_s=6.5)
    grants.ask(1, ("begin", 100, 7), 10.0)
    grants.ask(2, ("begin", 100, 7), 10.0)
    assert grants.end([1, 2], 10.0) == 10.0, "nobody has answered"
    grants.answer(1, ("begin", 100, 7))
    assert grants.end([1, 2], 10.1) == 10.1
    grants.answer(2, ("begin", 100, 7))
    assert grants.end([1, 2], 10.2) == 15.2
    assert grants.end([1, 2], 14.0) == 16.5
    assert grants.end([1, 2], 20.0) == 20.0


def test_an_answer_belongs_to_the_first_question_that_it_can_belong_to():
    grants = Grants(lease_s=5.0, span_s=6.5)
    for when in (1.0, 2.0, 3.0):
        grants.ask(1, ("lease", 0, 7), when)
    grants.answer(1, ("lease", 0, 8))
    assert grants.oldest_open() == 1.0
    grants.answer(1, ("lease", 0, 7))
    assert (grants.oldest_open(), grants.end([1], 4.0)) == (2.0, 7.5)
    grants.answer(2, ("lease", 0, 7))
    grants.reset()
    assert (grants.oldest_open(), grants.end([1], 4.0)) == (None, 4.0)


def test_a_later_answer_passes_over_questions_without_one():
    grants = Grants(lease_s=5.0, span_s=6.5)
    grants.ask(1, ("lease", 0, 7), 1.0)
    grants.ask(1, ("begin", 100, 8), 2.0)
    grants.answer(1, ("begin", 100, 8))
    assert grants.oldest_open() is None


def test_a_promise_binds_towards_quorums_that_lack_a_member_of_the_former():
    promises = Promises(span_s=6.5)
    promises.make(AB, 2, 10.0)
    assert promises.kept_until(ABC) == 0.0
    assert promises.kept_until(AB) == 0.0
    assert promises.kept_until(CD) > 16.5
    promises.make(ABC, 4, 11.0)
    assert promises.kept_until(AB) > 17.5
    promises.make(AB, 6, 30.0)
    assert promises.kept_until(AB) == 0.0


def test_who_is_known_to_have_dropped_its_lease_is_not_waited_for():
    promises = Promises(span_s=6.5)
    promises.make(ABC, 4, 11.0)
    promises.dropped("c", 4)
    assert promises.kept_until(AB) > 17.5, "it may still hold one of epoch 4"
    promises.dropped("c", 5)
    assert promises.kept_until(AB) == 0.0
    assert promises.kept_until(CD) > 17.5, "of a and b nothing is known"
    promises.dropped("c", 3)
    assert promises.kept_until(AB) == 0.0, "old news changes nothing"
    promises.make(ABC, 8, 12.0)
    assert promises.kept_until(AB) > 18.5, "a later quorum gave it a new one"


def test_a_peon_reckons_from_when_the_lease_can_have_been_written():
    received = Received()
    received.grant(5000.0, 4995.0, 20.0)
    assert received.expires == 0.0, "nothing is known of that clock yet"
    received.answered_by(4990.0, 10.0)
    received.grant(5000.0, 4995.0, 20.0)
    assert received.expires == 20.0, "written at 15 at the earliest, for 5 seconds"
    received.grant(5006.0, 5001.0, 20.0)
    assert received.expires == 25.0, "not written later than it arrived"
    received.cancel()
    assert received.expires == 0.0
    received.grant(5010.0, 5005.0, 26.0)
    assert received.expires == 30.0
    received.reset()
    received.grant(5010.0, 5005.0, 26.0)
    assert received.expires == 0.0
