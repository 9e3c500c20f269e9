"""The values on the wire, declared: entities and addresses, object names, placement groups, maps'
parts, statistics, capabilities. A module is a family; nothing here knows what a daemon does with a
value.
"""

from __future__ import annotations

import importlib
import pkgutil


def load_all() -> None:
    """Imports every module of declared types, so that `spirula.denc.REGISTRY` is complete."""
    for module in pkgutil.walk_packages(__path__, prefix=__name__ + "."):
        importlib.import_module(module.name)
