"""Where an MDS rank finds its journal. Not for the journal itself. Called by the metadata server.

Format: upstream `src/mds/JournalPointer.h`.
"""

from __future__ import annotations

from spirula.denc import Struct, struct, u64


@struct(name="JournalPointer", version=1, compat=1)
class JournalPointer(Struct):
    """The inode of the journal in use, and of the one being written to replace it (0: none)."""

    front: u64
    back: u64
