"""Declaring wire types: the `@struct` decorator, field specifiers and the registry.

    @struct(version=6, compat=3, name="object_locator_t")
    class ObjectLocator(Struct):
        pool: s64
        key: string
        nspace: string = since(5)

The declaration is the format's documentation and becomes a slots dataclass with compiled `encode`
and `decode`. Hand-written types (`@irregular`) give `_enc` and `_dec` themselves and get the same
face.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import struct as _struct
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self, TypeVar

from spirula.denc import features as feature_bits
from spirula.denc.codecs import Codec, StructCodec, codec_of
from spirula.denc.compiler import Field, Header, compile_decode, compile_encode, locate
from spirula.errors import Truncated, WireError
from spirula.records import Attribute, make_class

_T = TypeVar("_T", bound="Struct")

REGISTRY: dict[str, type[Struct]] = {}
"""Declared types by the names that upstream's object corpus gives them."""


class Struct:
    """Base of every declared type. Fields are keyword or positional, each defaults to its zero
    value.
    """

    __slots__ = ()
    _denc_fields: ClassVar[tuple[Field, ...]] = ()
    _denc_fixed: ClassVar[list[tuple[str, Codec]] | None] = None
    _denc_min_size: ClassVar[int] = 0
    _denc_name: ClassVar[str] = ""
    _denc_compile: ClassVar[Callable[[], None] | None] = None
    _denc_declaration: ClassVar[_Declaration]
    _denc_newest: ClassVar[int] = 0
    _denc_key: ClassVar[bool] = False

    @classmethod
    def _denc_compiled(cls) -> None:
        """`_enc` and `_dec` have changed: for bases that hand them on by other names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Replaced by the dataclass machinery; stands here to tell type checkers that fields are
        free.
        """

    def _enc(self, out: bytearray, features: int) -> None:
        """Appends the encoding to `out`."""
        raise TypeError(f"{type(self).__name__} is not declared with @struct or @irregular")

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        """Reads a value at `pos`; returns it and the position after it, never past `end`."""
        raise TypeError(f"{cls.__name__} is not declared with @struct or @irregular")

    def encode(self, features: int = feature_bits.PACIFIC) -> bytes:
        """The value as a peer with these features wants it.

        Raises WireError when a field holds what its format cannot.
        """
        out = bytearray()
        try:
            self._enc(out, features)
        except (_struct.error, TypeError, ValueError, AttributeError, OverflowError) as error:
            path, _ = locate(error.__traceback__)
            raise WireError(f"cannot encode: {error}", path=path or type(self).__name__) from error
        return bytes(out)

    @classmethod
    def decode(
        cls,
        data: bytes | bytearray | memoryview,
        features: int = feature_bits.PACIFIC,
        *,
        exact: bool = False,
    ) -> Self:
        """The value at the start of `data`.

        Bytes after it are ignored unless `exact`. Raises only the WireError family.
        """
        value, used = cls.decode_from(data, 0, features)
        if exact and used != len(data):
            raise WireError(
                f"{len(data) - used} stray bytes after the value", offset=used, path=cls.__name__
            )
        return value

    @classmethod
    def decode_from(
        cls,
        data: bytes | bytearray | memoryview,
        pos: int = 0,
        features: int = feature_bits.PACIFIC,
    ) -> tuple[Self, int]:
        """The value at `pos` of `data`, and the position after it."""
        buf = data if isinstance(data, bytes) else bytes(data)
        try:
            return cls._dec(buf, pos, len(buf), features)
        except WireError as error:
            raise _located(cls.__name__, error) from None
        except (_struct.error, IndexError) as error:
            path, offset = locate(error.__traceback__)
            raise Truncated(
                "ends inside the value", offset=offset, path=path or cls.__name__
            ) from None

    def plain(self) -> Any:
        """The value as JSON can hold it: field names, bytes in hex."""
        shown = {}
        for f in self._denc_fields:
            value = getattr(self, f.name)
            shown[f.name] = None if value is None else f.codec.plain(value)
        return shown


def _located(name: str, error: WireError) -> WireError:
    if not error.path:
        path, offset = locate(error.__traceback__)
        error.path = path or name
        if error.offset is None:
            error.offset = offset
    return error


class _Spec:
    """What a field specifier says, until `struct` has read it."""

    def __init__(self, value: Any = dataclasses.MISSING, **rules: Any) -> None:
        self.value, self.rules = value, rules

    @property
    def versions(self) -> tuple[int, int]:
        """The struct versions that brought the field and removed it; 0 if none."""
        return self.rules.get("since", 0), self.rules.get("until", 0)


def default(value: Any) -> Any:
    """A field whose default is not its format's zero."""
    return _Spec(value)


def since(version: int, default: Any = dataclasses.MISSING, *, when: str = "") -> Any:
    """A field that came in with struct version `version`; older encodings give the default."""
    return _Spec(default, since=version, when=when)


def until(version: int, default: Any = dataclasses.MISSING, *, since: int = 0) -> Any:
    """A field that only struct versions before `version` have (and from `since` on)."""
    return _Spec(default, until=version, since=since)


def removed(default: Any = dataclasses.MISSING) -> Any:
    """A field that still stands on the wire and that nobody reads; `default` is what goes out."""
    return _Spec(default)


def when(condition: str, default: Any = dataclasses.MISSING, *, since: int = 0) -> Any:
    """A field that is there when `condition` holds.

    The condition is a Python expression over the fields before it, `v` (the struct version),
    `features` and the names in `spirula.denc.features`: `"features & SERVER_MIMIC ==
    SERVER_MIMIC"`.
    """
    return _Spec(default, when=condition, since=since)


def tail(default: Any = dataclasses.MISSING) -> Any:
    """A field that is always written, and read where bytes are left for it."""
    return _Spec(default, tail=True)


def struct(
    cls: type[_T] | None = None,
    /,
    *,
    version: int = 0,
    compat: int = 0,
    by_feature: tuple[tuple[int, int, int], ...] = (),
    legacy: tuple[int, int] | None = None,
    bare_version: str = "",
    external: bool = False,
    raised: tuple[str, int, int] | None = None,
    name: str | tuple[str, ...] = (),
    frozen: bool = False,
) -> Any:
    """Declares a wire type.

    With `version` and `compat` the fields stand in upstream's envelope (u8 version, u8 compat, u32
    length). `by_feature` holds (mask, version, compat) for peers whose features include the mask,
    first match first. `legacy=(c, l)`: encodings before version c have no compat, before l no
    length. `bare_version`: only a version number of this struct code ("B", "H", "I") stands before
    the fields. `raised=(condition, version, compat)`: the version of values for which the condition
    (as for `when`) holds. `external`: the version is told by someone else (a message header).
    `name`: corpus name(s). `frozen`: a key; hashable, ordered by its fields, not to be changed
    once made.
    """
    names = (name,) if isinstance(name, str) else name

    def declare(cls: type[_T]) -> type[_T]:
        header = _header(version, compat, by_feature, legacy, bare_version, external)
        header.raised = (raised,) if raised else ()
        made = _make(cls, header, frozen=frozen)
        _compile_when_used(made)
        _register(made, names)
        return made

    return declare if cls is None else declare(cls)


def _compile_when_used(made: type[Struct]) -> None:
    """Gives the class its `_enc` and `_dec` at their first call.

    A process uses few of the types that it imports, and compiling takes most of the time of an
    import. Types that contain this one ask for it by `compile_now` and get the compiled functions.
    """

    def compile_now() -> None:
        made._denc_compile = None
        fields, header = list(made._denc_fields), made._denc_declaration.header
        # What Struct declares gets its body here, once per class.
        made._enc = compile_encode(made.__name__, fields, header)  # type: ignore[method-assign]
        decode = compile_decode(made.__name__, made, fields, header)
        made._dec = staticmethod(decode)  # type: ignore[method-assign]  # what Struct declares
        made._denc_compiled()

    def encode(self: Struct, out: bytearray, features: int, *version: int) -> None:
        if made._denc_compile is not None:
            made._denc_compile()
        made._enc(self, out, features, *version)

    def decode(buf: bytes, pos: int, end: int, features: int, *version: int) -> Any:
        if made._denc_compile is not None:
            made._denc_compile()
        return made._dec(buf, pos, end, features, *version)

    made._denc_compile = compile_now
    # Likewise, until the first call.
    made._enc = encode  # type: ignore[method-assign]
    made._dec = staticmethod(decode)  # type: ignore[method-assign]  # likewise
    made._denc_compiled()


def irregular(*names: str) -> Callable[[type[_T]], type[_T]]:
    """Registers a hand-written type, which brings its own `_enc` and `_dec`."""

    def declare(cls: type[_T]) -> type[_T]:
        _register(cls, names)
        return cls

    return declare


def _register(cls: type[Struct], names: tuple[str, ...]) -> None:
    cls._denc_name = names[0] if names else ""
    for name in names:
        if name in REGISTRY and REGISTRY[name].__qualname__ != cls.__qualname__:
            raise TypeError(f"{name} is declared twice: {REGISTRY[name]!r} and {cls!r}")
        REGISTRY[name] = cls


def _header(
    version: int,
    compat: int,
    by_feature: tuple[tuple[int, int, int], ...],
    legacy: tuple[int, int] | None,
    bare_version: str,
    external: bool,
) -> Header:
    versions = (*by_feature, (0, version, compat or version))
    reads = max(v for _, v, _ in versions)
    if external:
        return Header("external", versions, reads)
    if bare_version:
        return Header("version", versions, reads, code=bare_version)
    if not version:
        return Header("none", versions, reads)
    if legacy:
        return Header("legacy", versions, reads, legacy[0], legacy[1])
    return Header("envelope", versions, reads)


def _min_size(header: Header, fields: Iterable[Field]) -> int:
    before = {"envelope": 6, "legacy": 1, "version": _struct.calcsize("<" + header.code)}
    return before.get(header.kind, 0) + sum(f.codec.min_size for f in fields if f.unconditional)


class _Declaration:
    """What a class declares, worked out when somebody asks: its annotations are evaluated then.

    `newest` is the newest version that a field names. The rest is what the class has by the same
    name behind `_denc_`.
    """

    def __init__(self, cls: type[Struct], specs: dict[str, _Spec], header: Header) -> None:
        self._cls, self._specs = cls, specs
        self._bases = [base.__dict__.get("_denc_declaration") for base in reversed(cls.__mro__[1:])]
        self.own = tuple(specs)
        rules = [rule for spec in specs.values() for rule in spec.versions]
        self.newest: int = max([0, *rules, *(base.newest for base in self._bases if base)])
        self.header = header
        header.reads = max(header.reads, self.newest)

    @functools.cached_property
    def by_name(self) -> dict[str, tuple[Field, Attribute]]:
        """The fields by name in wire order (a base's first), each with how the class sees it."""
        found = {name: each for base in self._bases if base for name, each in base.by_name.items()}
        annotations = inspect.get_annotations(self._cls, eval_str=True)
        for name, spec in self._specs.items():
            codec = codec_of(annotations[name])
            factory = codec.zero if spec.value is dataclasses.MISSING else _constant(spec.value)
            field = Field(name, codec, factory, **spec.rules)
            found[name] = field, _attribute(name, codec, spec.value, factory)
        return found

    @functools.cached_property
    def fields(self) -> tuple[Field, ...]:
        """All fields in wire order."""
        return tuple(field for field, _ in self.by_name.values())

    @functools.cached_property
    def fixed(self) -> list[tuple[str, Codec]] | None:
        """Names and codecs of a type that is nothing but fields of fixed size, else None."""
        plain = self.header.kind == "none" and bool(self.fields)
        if plain and all(f.unconditional and f.codec.fmt for f in self.fields):
            return [(f.name, f.codec) for f in self.fields]
        return None

    @functools.cached_property
    def min_size(self) -> int:
        """The least number of bytes that a value takes."""
        return _min_size(self.header, self.fields)

    def attributes(self) -> list[Attribute]:
        """The fields as `make_class` wants them."""
        return [attribute for _, attribute in self.by_name.values()]


class _Declared:
    """A class attribute that is what the class's declaration says."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, value: object, cls: Any) -> Any:
        return getattr(cls._denc_declaration, self._name)


def _make(cls: type[_T], header: Header, *, frozen: bool) -> type[_T]:
    """The class with slots and methods, and what it declares where others look for it."""
    if not issubclass(cls, Struct):
        raise TypeError(f"{cls.__name__} must derive from Struct")
    if "__init__" in cls.__dict__:
        raise TypeError(f"{cls.__name__}: a declared type has no __init__ of its own")
    specs: dict[str, _Spec] = {}
    for name, annotation in inspect.get_annotations(cls).items():
        text = annotation if isinstance(annotation, str) else repr(annotation)
        if not text.removeprefix("typing.").startswith("ClassVar"):
            spec = cls.__dict__.get(name, _Spec())
            specs[name] = spec if isinstance(spec, _Spec) else _Spec(spec)
    declaration = _Declaration(cls, specs, header)
    inherited = (name for base in reversed(cls.__mro__[1:]) for name in _own_fields(base))
    made: Any = make_class(
        cls,
        tuple(dict.fromkeys([*inherited, *specs])),
        declaration.attributes,
        hashed=frozen and "__hash__" not in cls.__dict__,
        ordered=frozen and "__lt__" not in cls.__dict__,
    )
    made._denc_declaration, made._denc_key = declaration, frozen
    made._denc_fields, made._denc_fixed = _Declared("fields"), _Declared("fixed")
    made._denc_min_size, made._denc_newest = _Declared("min_size"), declaration.newest
    returned: type[_T] = made
    return returned


def _own_fields(base: type[Any]) -> Iterable[str]:
    declaration = base.__dict__.get("_denc_declaration")
    return declaration.own if isinstance(declaration, _Declaration) else ()


def _attribute(name: str, codec: Codec, value: Any, factory: Callable[[], Any]) -> Attribute:
    """How the class makes the field's default: values that cannot change are shared."""
    if value is dataclasses.MISSING:
        value = None if isinstance(codec, StructCodec) else factory()
        shared = not isinstance(codec, StructCodec) and _immutable(value)
    else:
        shared = _immutable(value)
    return Attribute(name, shared, value, factory)


def _immutable(value: Any) -> bool:
    return value is None or isinstance(value, (int, float, str, bytes, bool, frozenset))


def _constant(value: Any) -> Callable[[], Any]:
    if _immutable(value):
        return lambda: value
    if callable(getattr(value, "copy", None)):  # lists, dicts, sets, and types that are like them
        made: Callable[[], Any] = value.copy
        return made
    if isinstance(value, Struct):
        return lambda: dataclasses.replace(value)  # type: ignore[type-var]  # made a dataclass by struct
    return lambda: value
