"""Making the class of a declared type: slots, and methods that are written at their first call.

What it makes behaves as a slots dataclass does: the same `__init__` (positional or by keyword),
`__repr__`, `__eq__`, hash and order, and `dataclasses.fields` and `replace` take it. Only later: a
process uses few of the hundreds of types that it imports, and writing and compiling their methods
was most of the time of an import. Called by `spirula.denc.declare`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Attribute(NamedTuple):
    """A field as its class sees it: the default is `value` if `shared`, else what `factory`
    makes.
    """

    name: str
    shared: bool
    value: Any
    factory: Callable[[], Any]


_Attributes = Callable[[], Sequence[Attribute]]

_UNSET = object()
"""What an argument is that nobody gave and whose default is made anew for each value."""
_COMPARISONS = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


def make_class(
    cls: type[Any], names: tuple[str, ...], attributes: _Attributes, *, hashed: bool, ordered: bool
) -> type[Any]:
    """`cls` anew: with slots for those of `names` that no base has, and a dataclass's methods.

    `attributes` is called when the defaults are needed, and gives one for each name in turn.
    Methods that the class brings itself are kept. `hashed` and `ordered` ask for `__hash__` and the
    comparisons, by all attributes in turn; a class without any hash is not hashable.
    """
    if "__slots__" in cls.__dict__:
        raise TypeError(f"{cls.__name__} has __slots__ already: those of a declared type are made")
    body = dict(cls.__dict__)
    for name in (*names, "__dict__", "__weakref__"):
        body.pop(name, None)
    inherited = {name for base in cls.__mro__[1:-1] for name in _slots(base)}
    body["__slots__"] = tuple(name for name in names if name not in inherited)
    body["__match_args__"] = names
    body["__dataclass_fields__"] = _Fields(attributes)
    own_eq, own_hash = "__eq__" in body, body.get("__hash__")
    methods: dict[str, Callable[[], str]] = {}
    has_post_init = hasattr(cls, "__post_init__")
    methods["__init__"] = lambda: _init(attributes, has_post_init)
    if not own_eq:
        methods["__eq__"] = lambda: _comparison("__eq__", "==", names)
    if ordered:
        for method, operator in _COMPARISONS.items():
            methods[method] = _later(_comparison, method, operator, names)
    if hashed:
        methods["__hash__"] = lambda: f"def __hash__(self):\n return hash({_row('self', names)})"
    elif own_hash is None:
        body["__hash__"] = None
    body.setdefault("__repr__", _repr)
    owner: list[type[Any]] = []
    for method, write in methods.items():
        body[method] = _at_first_call(owner, method, write, attributes)
    metaclass: Any = type(cls)
    made: type[Any] = metaclass(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    owner.append(made)
    return made


def _at_first_call(
    owner: list[type[Any]],
    method: str,
    write: Callable[[], str],
    attributes: _Attributes,
) -> Callable[..., Any]:
    """What stands for a method of `owner[0]` until it is called, and then puts it in its place."""

    def stand_in(self: Any, *args: Any, **kwargs: Any) -> Any:
        names: dict[str, Any] = {"_UNSET": _UNSET}
        for number, each in enumerate(attributes()):
            names[f"_{number}"] = each.value if each.shared else each.factory
        exec(write(), names)  # noqa: S102  # our own text, made below
        function = names[method]
        function.__qualname__ = f"{owner[0].__qualname__}.{method}"
        setattr(owner[0], method, function)
        return function(self, *args, **kwargs)

    stand_in.__name__ = method
    return stand_in


def _later(write: Callable[..., str], *args: Any) -> Callable[[], str]:
    return lambda: write(*args)


def _init(attributes: _Attributes, has_post_init: bool) -> str:
    arguments, lines = ["self"], []
    for number, (name, shared, _, _) in enumerate(attributes()):
        arguments.append(f"{name}={f'_{number}' if shared else '_UNSET'}")
        made = name if shared else f"_{number}() if {name} is _UNSET else {name}"
        lines.append(f" self.{name} = {made}")
    if has_post_init:
        lines.append(" self.__post_init__()")
    return f"def __init__({', '.join(arguments)}):\n" + "\n".join(lines or [" pass"])


def _comparison(method: str, operator: str, names: Sequence[str]) -> str:
    return (
        f"def {method}(self, other):\n"
        " if other.__class__ is not self.__class__:\n"
        "  return NotImplemented\n"
        f" return {_row('self', names)} {operator} {_row('other', names)}"
    )


def _row(of: str, names: Sequence[str]) -> str:
    return f"({''.join(f'{of}.{name}, ' for name in names)})"


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"


def _slots(base: type[Any]) -> tuple[str, ...]:
    found = base.__dict__.get("__slots__", ())
    return (found,) if isinstance(found, str) else tuple(found)


class _Fields:
    """`__dataclass_fields__`, made when `dataclasses` asks for it."""

    def __init__(self, attributes: _Attributes) -> None:
        self._attributes = attributes
        self._made: dict[str, Any] | None = None

    def __get__(self, value: object, cls: type[Any] | None = None) -> dict[str, Any]:
        if self._made is None:
            fields: list[tuple[str, Any, Any]] = [
                (
                    name,
                    Any,
                    dataclasses.field(default=default)
                    if shared
                    else dataclasses.field(default_factory=factory),
                )
                for name, shared, default, factory in self._attributes()
            ]
            like: Any = dataclasses.make_dataclass(
                "like", fields, init=False, repr=False, eq=False, match_args=False
            )
            self._made = like.__dataclass_fields__
        return self._made or {}
