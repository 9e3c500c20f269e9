"""The `spirula` command: `main` finds the subcommand, one module each holds what it does.

Nothing imports this package but the installed script and `python -m spirula`.
"""

from __future__ import annotations
