"""`spirula.records.dataclass` beside the standard library's: nobody is to notice which it is."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import field
from typing import ClassVar

import pytest

from spirula import records

KINDS = [{}, {"frozen": True}, {"eq": False}, {"unsafe_hash": True}]


class Base:
    """No dataclass."""

    __slots__ = ("kept",)


def declare(dataclass, **options):
    """The same declarations with either."""

    @dataclass(slots=True, **options)
    class Told(Base):
        """A record."""

        MOST: ClassVar[int] = 5
        first: int
        second: str = "two"
        third: tuple[int, ...] = field(default_factory=tuple)
        fourth: float = field(default=4.0)

        @property
        def double(self):
            """A property beside the fields."""
            return 2 * self.first

    @dataclass(slots=True, **options)
    class More(Told):
        """A record of a record, which has more to do."""

        second: str = "three"
        last: int = 9
        made: int = field(default=8, init=False)
        later: list[int] = field(default_factory=list, init=False)

        def __post_init__(self):
            """As any dataclass."""
            object.__setattr__(self, "kept", "kept")

    return Told, More


def outcome(call):
    """What it gives, or what it raises."""
    try:
        return call()
    except (TypeError, AttributeError) as error:
        return type(error)


def behaviour(told, more):
    """All that may be seen of the classes and their values."""
    one, same, other = told(1), told(first=1), told(1, "2", (3,), 4.5)
    full = more(1, last=3)
    values = (one, same, other, full)
    return [
        [[repr(each).replace(", made=8, later=[]", ""), each.double] for each in values],
        [[a == b for a in values] for b in values],
        [[outcome(lambda a=a, b=b: a < b) for a in values] for b in values],
        [outcome(lambda a=a: hash(a)) == outcome(lambda: hash(same)) for a in values[:3]],
        [outcome(lambda call=call: call()) for call in (told, lambda: told(1, first=1))],
        [outcome(lambda: told(1, 2, 3, 4, 5)), outcome(lambda: more(1, made=1))],
        [outcome(lambda: setattr(one, "first", 7)), one.first],
        [outcome(lambda: setattr(one, "fresh", 7)) is not None, hasattr(one, "fresh")],
        [outcome(lambda: delattr(other, "first")), hasattr(other, "first")],
        [full.made, full.later, full.kept, full.later is not more(1).later],
        [told.__match_args__, more.__match_args__, told.MOST, told.__doc__],
        [[each.name for each in dataclasses.fields(of)] for of in (told, more)],
        [[each.init for each in dataclasses.fields(more)]],
        [dataclasses.asdict(full), dataclasses.is_dataclass(told)],
        [repr(dataclasses.replace(same, second="else"))],
        [repr(copy.copy(same)), repr(copy.deepcopy(same))],
        [hasattr(one, "__dict__"), told.__slots__, more.__slots__],
    ]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_it_is_as_the_standard_librarys(options):
    ours = behaviour(*declare(records.dataclass, **options))
    theirs = behaviour(*declare(dataclasses.dataclass, **options))
    assert ours == theirs


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_either_may_be_the_others_base(options):
    for first, second in ((records, dataclasses), (dataclasses, records)):
        told, _ = declare(first.dataclass, **options)

        @second.dataclass(slots=True, **options)
        class Further(told):
            """Has one more."""

            more: int = 0

        value = Further(1, "2", more=3)
        assert (value.first, value.second, value.third, value.more) == (1, "2", (), 3)
        assert [each.name for each in dataclasses.fields(Further)][-1] == "more"


@records.dataclass(slots=True, frozen=True)
class Sent:
    """One that can be imported."""

    number: int
    names: list[str] = field(default_factory=list)


def test_frozen_ones_are_pickled():
    assert pickle.loads(pickle.dumps(Sent(1, ["a"]))) == Sent(1, ["a"])


def test_values_that_hold_themselves_are_shown():
    value = Sent(1)
    value.names.append(value)
    assert repr(value) == "Sent(number=1, names=[...])"


def test_slots_have_to_be_asked_for():
    with pytest.raises(TypeError, match="slots=True"):
        records.dataclass(type("Told", (), {}))
