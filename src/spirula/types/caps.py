"""Caps as they are stored and sent on their own: the text, in an envelope.

What the text means is `spirula.auth.caps`; a decoder of these types does not parse it. In keyrings,
tickets and the monitors' key database caps travel as bare strings instead (see `types.auth`).
Formats: upstream `src/mon/MonCap.cc`, `src/mgr/MgrCap.cc`.
"""

from __future__ import annotations

from spirula.denc import Struct, default, string, struct


@struct(name="MonCap", version=4, compat=4)
class MonCap(Struct):
    """The caps text of an entity for monitors; empty grants nothing."""

    text: string = default("")


@struct(name="MgrCap", version=4, compat=4)
class MgrCap(Struct):
    """The caps text of an entity for managers; empty grants nothing."""

    text: string = default("")
