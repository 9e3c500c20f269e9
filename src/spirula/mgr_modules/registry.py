"""The modules that come with this project, by name; `mgr_host.own` adds those of other packages."""

from __future__ import annotations

MODULES: dict[str, str] = {}
"""Where the class of each module is: `package.module:Class`. It is imported when it is to run."""
