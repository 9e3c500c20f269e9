"""Plugins by name, and what a profile says by the plugin that it names.

Called by the monitors for profiles, rules and pools.
Upstream: `src/erasure-code/ErasureCodePlugin.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spirula.ec import clay, isa, jerasure, lrc, shec
from spirula.ec.profile import ErasureCode, Profile, show_profile
from spirula.errors import InputOutput, InvalidArgument

_JERASURE_FLAVOURS = ("generic", "sse3", "sse4", "neon")

PLUGINS: dict[str, Callable[[Profile], ErasureCode]] = {
    "jerasure": jerasure.read,
    "isa": isa.read,
    "shec": shec.read,
    "clay": clay.read,
    "lrc": lrc.read,
    **{f"jerasure_{flavour}": jerasure.read for flavour in _JERASURE_FLAVOURS},
    **{f"shec_{flavour}": shec.read for flavour in _JERASURE_FLAVOURS},
}
"""What reads a profile, by the name of the plugin; those with a flavour are older releases'."""


def erasure_code(profile: Mapping[str, str]) -> ErasureCode:
    """What a profile says, its defaults filled in (the argument stays as it is).

    Raises InvalidArgument, NotFound for a technique, InputOutput for a plugin that there is not,
    and what `lrc` raises.
    """
    if "plugin" not in profile:
        raise InvalidArgument(
            "cannot determine the erasure code plugin because there is no 'plugin' entry in the"
            f" erasure_code_profile {show_profile(profile)}"
        )
    plugin = profile["plugin"]
    if plugin not in PLUGINS:
        raise InputOutput(
            f"load dlopen(libec_{plugin}.so): there is no such erasure code plugin; there are"
            " jerasure, isa, shec, clay and lrc"
        )
    return PLUGINS[plugin](dict(profile))
