from typing import Any

class Plan:
    def __init__(
        self,
        parts: list[tuple[int, str, type[Any] | None, Any]],
        steps: list[tuple[str, int, str, int, Any, Any]],
        slot_type: type[Any],
        /,
    ) -> None: ...
    def pack(self, value: object, /) -> bytes | None: ...
    def unpack(self, buf: bytes, pos: int, end: int, /) -> tuple[Any, int] | None: ...
