"""`python -m spirula`: the same as the `spirula` command."""

from __future__ import annotations

import sys

from spirula.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
