"""The text language of CRUSH maps, as `crushtool -c` reads it and `crushtool -d` writes it.

`compile_map` makes a map of a text, `decompile_map` the text of a map. Both are pure; files are
read and written by the command (`spirula crushtool`). The language is that of upstream 16.2, and
what 19.2 added to it (choosemsr rules; sizes of rules may be left out).
"""

from __future__ import annotations

from spirula.crush.text.compiler import compile_map
from spirula.crush.text.decompiler import decompile_map
from spirula.crush.text.scanner import CrushTextError

__all__ = ["CrushTextError", "compile_map", "decompile_map"]
