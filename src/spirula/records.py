"""Classes with slots and the methods of a dataclass, which are written at their first call.

What is made here behaves as a slots dataclass does: the same `__init__`, `__repr__`, `__eq__`, hash
and order, and `dataclasses.fields` and `replace` take it. Only later: a process uses few of the
hundreds of types that it imports, and writing and compiling their methods was most of the time of
an import. `dataclass` stands for the standard library's where clients import it; `make_class` is
for `spirula.denc.declare`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from reprlib import recursive_repr
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple


class Attribute(NamedTuple):
    """A field as its class sees it: the default is `value` if `shared`, else what `factory`
    makes; MISSING if there is none. `given`: it is an argument.
    """

    name: str
    shared: bool
    value: Any
    factory: Callable[[], Any]
    given: bool = True


_Attributes = Callable[[], Sequence[Attribute]]

_UNSET = object()
"""What an argument is that nobody gave and whose default is made anew for each value."""
_COMPARISONS = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


def make_class(
    cls: type[Any],
    names: tuple[str, ...],
    attributes: _Attributes,
    *,
    hashed: bool,
    ordered: bool = False,
    compared: bool = True,
    fixed: bool = False,
    arguments: tuple[str, ...] | None = None,
) -> type[Any]:
    """`cls` anew: with slots for those of `names` that no base has, and a dataclass's methods.

    `attributes` is called when the defaults are needed, and gives one for each name in turn.
    Methods that the class brings itself are kept. `compared`, `hashed` and `ordered` ask for
    `__eq__`, `__hash__` and the other comparisons, by all attributes in turn; a class that is
    compared and has no hash is not hashable. Attributes of `fixed` ones cannot be set.
    `arguments`: those of `names` that are arguments and shown, if not all are.
    """
    if "__slots__" in cls.__dict__:
        raise TypeError(f"{cls.__name__} has __slots__ already: those of a declared type are made")
    body = dict(cls.__dict__)
    for name in (*names, "__dict__", "__weakref__"):
        body.pop(name, None)
    inherited = {name for base in cls.__mro__[1:-1] for name in _slots(base)}
    body["__slots__"] = tuple(name for name in names if name not in inherited)
    body["__match_args__"] = names if arguments is None else arguments
    body["__dataclass_fields__"] = _Fields(attributes)
    own_eq, own_hash = "__eq__" in body, body.get("__hash__")
    methods: dict[str, Callable[[], str]] = {}
    has_post_init = hasattr(cls, "__post_init__")
    if "__init__" not in body:
        methods["__init__"] = lambda: _init(attributes, has_post_init, fixed=fixed)
    if compared and not own_eq:
        methods["__eq__"] = lambda: _comparison("__eq__", "==", names)
    if ordered:
        for method, operator in _COMPARISONS.items():
            methods[method] = _later(_comparison, method, operator, names)
    if hashed:
        methods["__hash__"] = lambda: f"def __hash__(self):\n return hash({_row('self', names)})"
    elif compared and own_hash is None:
        body["__hash__"] = None
    body.setdefault("__repr__", _repr)
    if fixed:
        body |= _OF_FIXED
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
        names: dict[str, Any] = {"_UNSET": _UNSET, "_set": object.__setattr__}
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


def _init(attributes: _Attributes, has_post_init: bool, *, fixed: bool) -> str:
    arguments, lines = ["self"], []
    for number, (name, shared, value, _, given) in enumerate(attributes()):
        if shared and value is dataclasses.MISSING:
            default, made = "", name
        elif shared:
            default, made = f"=_{number}", name if given else f"_{number}"
        else:
            default = "=_UNSET"
            made = f"_{number}() if {name} is _UNSET else {name}" if given else f"_{number}()"
        if given:
            arguments.append(name + default)
        elif not default:
            continue
        lines.append(f" _set(self, {name!r}, {made})" if fixed else f" self.{name} = {made}")
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


@recursive_repr("...")
def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"


def _fixed_setattr(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _fixed_delattr(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _fixed_getstate(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _fixed_setstate(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_OF_FIXED: dict[str, Any] = {
    "__setattr__": _fixed_setattr,
    "__delattr__": _fixed_delattr,
    "__getstate__": _fixed_getstate,
    "__setstate__": _fixed_setstate,
}


def _slots(base: type[Any]) -> tuple[str, ...]:
    found = base.__dict__.get("__slots__", ())
    return (found,) if isinstance(found, str) else tuple(found)


class _Fields:
    """`__dataclass_fields__`, made when `dataclasses` asks for it."""

    def __init__(self, attributes: _Attributes) -> None:
        self.attributes = attributes
        self._made: dict[str, Any] | None = None

    def __get__(self, value: object, cls: type[Any] | None = None) -> dict[str, Any]:
        if self._made is None:
            fields: list[tuple[str, Any, Any]] = []
            for name, shared, default, factory, given in self.attributes():
                made: Any
                if shared:
                    made = dataclasses.field(default=default, init=given)
                else:
                    made = dataclasses.field(default_factory=factory, init=given)
                fields.append((name, Any, made))
            like: Any = dataclasses.make_dataclass(
                "like",
                fields,
                namespace={"__doc__": "Asks for no signature to describe it by."},
                init=False,
                repr=False,
                eq=False,
                match_args=False,
            )
            self._made = like.__dataclass_fields__
        return self._made or {}


def _described(cls: type[Any]) -> list[Attribute]:
    """The attributes of a class as it was written, its bases' first."""
    found: dict[str, Attribute] = {}
    for base in reversed(cls.__mro__[1:]):
        fields = base.__dict__.get("__dataclass_fields__", {})
        if isinstance(fields, _Fields):
            found.update((attribute.name, attribute) for attribute in fields.attributes())
        elif fields:
            found.update(
                (each.name, _attribute(each.name, each)) for each in dataclasses.fields(base)
            )
    for name, annotation in inspect.get_annotations(cls).items():
        if not str(annotation).startswith("ClassVar"):
            found[name] = _attribute(name, cls.__dict__.get(name, dataclasses.MISSING))
    return list(found.values())


def _attribute(name: str, said: Any) -> Attribute:
    if not isinstance(said, dataclasses.Field):
        return Attribute(name, True, said, _nothing)
    factory = said.default_factory
    if factory is dataclasses.MISSING:
        return Attribute(name, True, said.default, _nothing, said.init)
    return Attribute(name, False, None, factory, said.init)


def _nothing() -> None:
    """Stands for the factory of a default that is a value."""


def _lazy_dataclass(
    cls: type[Any] | None = None,
    /,
    *,
    slots: bool = False,
    eq: bool = True,
    frozen: bool = False,
    unsafe_hash: bool = False,
) -> Any:
    """As the standard library's, of which it knows these arguments and `field`'s defaults and
    `init`; always with slots. What is no argument is not shown by `__repr__`.
    """
    if not slots:
        raise TypeError("a dataclass of spirula.records has slots: say slots=True")

    def decorate(cls: type[Any]) -> Any:
        described = _described(cls)
        made: Any = make_class(
            cls,
            tuple(attribute.name for attribute in described),
            lambda: described,
            hashed=unsafe_hash or (eq and frozen and cls.__dict__.get("__hash__") is None),
            compared=eq,
            fixed=frozen,
            arguments=tuple(attribute.name for attribute in described if attribute.given),
        )
        made.__dataclass_params__ = SimpleNamespace(
            init=True, repr=True, eq=eq, order=False, unsafe_hash=unsafe_hash, frozen=frozen
        )
        return made

    return decorate if cls is None else decorate(cls)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - checkers know what it does
else:
    dataclass = _lazy_dataclass
