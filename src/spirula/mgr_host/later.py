"""Libraries that modules import and most clusters never need: loaded at their first real use.

Upstream's modules name theirs at the top of each file, so that a manager without images, file
systems or reports to send would carry all of them. Used by `libraries` and `world`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_LIKE_CONSTANTS = {"RBD"}
"""Classes whose names are written as those of constants are."""


class Named:
    """A class of a library that is not loaded: annotations and bases may name it.

    Made, looked into or derived from it is what the library has.
    """

    def __init__(self, library: Later, name: str) -> None:
        self._library, self._name = library, name

    def _found(self) -> Any:
        return getattr(self._library.load(), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._found()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._found(), name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._found(),)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._found())

    def __subclasscheck__(self, other: type) -> bool:
        return issubclass(other, self._found())

    def __or__(self, other: Any) -> Any:
        return self._found() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._found()


class Later(ModuleType):
    """Stands for a library until something is taken from it; `load` gives the library itself.

    While the files of a module are being imported (`naming`) its classes can be named without
    that. `given` is there at once, and stays in the place of what the library has by these names.
    """

    def __init__(
        self, name: str, load: Callable[[], ModuleType], given: dict[str, Any] | None = None
    ) -> None:
        super().__init__(name)
        self._load = load
        self._lock = threading.RLock()
        self._loaded: ModuleType | None = None
        self._is_naming = False
        vars(self).update(given or {})

    @property
    def is_loaded(self) -> bool:
        """Whether something was taken from it."""
        return self._loaded is not None

    def load(self) -> ModuleType:
        """The library itself. Raises what importing it raises."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Classes that are taken meanwhile are only named."""
        self._is_naming = True
        try:
            yield
        finally:
            self._is_naming = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and self._loaded is None:
            raise AttributeError(name)
        is_class = name[0].isupper() and (not name.isupper() or name in _LIKE_CONSTANTS)
        if self._is_naming and self._loaded is None and is_class:
            return Named(self, name)
        return getattr(self.load(), name)
