"""The object class `lua`: programs that clients send.

Layout of the argument of `eval_bufferlist`. Format: upstream `src/cls/lua/cls_lua_ops.h`.
"""

from __future__ import annotations

from spirula.denc import Struct, blob, string, struct


@struct(version=1, compat=1)
class EvalOp(Struct):
    """Run a program, then call a function that it has registered, with an input."""

    script: string
    handler: string
    input: blob
