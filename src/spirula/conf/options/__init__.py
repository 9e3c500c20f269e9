"""The option table: every option that Spirula knows, by name.

Names, types and defaults are upstream 16.2's, but for a few of later releases (`newer`);
`tests/interop/test_conf_options.py` compares them with a real daemon. Options of parts that do not
exist here (RocksDB, DPDK, RDMA, BlueStore's insides) are absent: like any unknown name in a
configuration file they are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from spirula.conf.option import Option, OptionFlag
from spirula.conf.options import (
    auth,
    client,
    common,
    logging,
    mds,
    mgr,
    mon,
    mon_health,
    mon_quorum,
    ms,
    newer,
    osd,
    osd_debug,
    osd_ops,
    osd_recovery,
    osd_scrub,
    pools,
    rbd,
    store,
)
from spirula.conf.subsys import SUBSYSTEMS, normalize_levels
from spirula.conf.values import OptionType

_TABLES = (
    common.OPTIONS,
    logging.OPTIONS,
    ms.OPTIONS,
    auth.OPTIONS,
    mon.OPTIONS,
    mon_health.OPTIONS,
    mon_quorum.OPTIONS,
    mgr.OPTIONS,
    pools.OPTIONS,
    osd.OPTIONS,
    osd_ops.OPTIONS,
    osd_recovery.OPTIONS,
    osd_scrub.OPTIONS,
    osd_debug.OPTIONS,
    store.OPTIONS,
    mds.OPTIONS,
    client.OPTIONS,
    rbd.OPTIONS,
    newer.OPTIONS,
)


def debug_options() -> tuple[Option, ...]:
    """`debug_<subsystem>` for every subsystem."""
    return tuple(
        Option(
            name=f"debug_{name}",
            type=OptionType.STR,
            default=f"{log}/{gather}",
            desc=f"Log and gather levels of the subsystem {name}",
            long_desc=(
                "`N` or `N/M`, each from 0 to 99: entries up to level N are written to the log,"
                " those up to level M are kept in memory and written when the daemon crashes."
            ),
            flags=OptionFlag.RUNTIME,
            subsystem=name,
            validator=normalize_levels,
        )
        for name, (log, gather) in SUBSYSTEMS.items()
    )


@cache
def schema() -> Mapping[str, Option]:
    """All options by name; read-only. The same object at every call."""
    table = {option.name: option for options in _TABLES for option in options}
    table.update((option.name, option) for option in debug_options())
    return MappingProxyType(table)
