"""Options of the manager's modules, `mgr/MODULE/OPTION`, as the manager map describes them.

Rules follow upstream `src/mon/MgrMonitor.cc` (update_from_paxos, find_module_option). Called by
`service`.
"""

from __future__ import annotations

from collections.abc import Mapping

from spirula.conf.option import Level, Option, OptionFlag
from spirula.conf.values import BadValue, OptionType, Value
from spirula.types.mgr import MgrMap, ModuleInfo, ModuleOption

_TYPES = tuple(OptionType)
_LEVELS = tuple(Level)
_KNOWN_FLAGS = 0x5F


def module_options(mgrmap: MgrMap) -> dict[str, Option]:
    """All of them by full name, in the order of names."""
    made = {}
    for module in mgrmap.available_modules:
        for described in module.module_options.values():
            option = _option(module, described)
            made[option.name] = option
    return dict(sorted(made.items()))


def _option(module: ModuleInfo, described: ModuleOption) -> Option:
    kind = _TYPES[described.type] if described.type < len(_TYPES) else OptionType.STR
    bare = Option("", kind)
    low, high = _value(bare, described.min), _value(bare, described.max)
    bounded = isinstance(low, int | float) and isinstance(high, int | float)
    return Option(
        name=f"mgr/{module.name}/{described.name}",
        type=kind,
        level=_LEVELS[described.level] if described.level < len(_LEVELS) else Level.ADVANCED,
        default=_value(bare, described.default_value),
        desc=described.desc,
        long_desc=described.long_desc,
        flags=OptionFlag(described.flags & _KNOWN_FLAGS) | OptionFlag.MGR,
        tags=tuple(sorted(described.tags)),
        see_also=tuple(
            f"mgr/{module.name}/{other}" if other in module.module_options else other
            for other in sorted(described.see_also)
        ),
        enum_values=tuple(sorted(described.enum_allowed)),
        min=low if bounded and isinstance(low, int | float) else None,
        max=high if bounded and isinstance(high, int | float) else None,
    )


def _value(option: Option, text: str) -> Value | None:
    if not text:
        return None
    try:
        return option.parse(text)
    except BadValue:
        return None


def find_module_option(options: Mapping[str, Option], name: str) -> Option | None:
    """The option of `mgr/MODULE/OPTION` or, for one manager, `mgr/MODULE/NAME/OPTION`."""
    first, _, rest = name.partition("/")
    module, slash, last = rest.partition("/")
    if first != "mgr" or not slash:
        return None
    _, slash, option = last.partition("/")
    return options.get(f"mgr/{module}/{option if slash else last}")
