"""The commands that every manager of 16.2 answers by itself, known before there is one.

A manager tells the monitors its commands when it becomes active; until then clients learn of these,
and the monitors keep what they ask until a manager can answer. Signatures: upstream
`src/mgr/MgrCommands.h`. Called by the service.
"""

from __future__ import annotations

from spirula.types.mon import CommandFlag, MonCommand

_TABLE = (
    (
        "pg stat",
        (),
        "pg",
        "r",
        "PGs by state in a line",
    ),
    (
        "pg getmap",
        (),
        "pg",
        "r",
        "get the statistics of all PGs, encoded",
    ),
    (
        "pg dump",
        (
            "name=dumpcontents,type=CephChoices,strings=all|summary|sum|delta|pools|osds|pgs|pgs_brief,n=N,req=false",
        ),
        "pg",
        "r",
        "show statistics of PGs, pools and OSDs",
    ),
    (
        "pg dump_json",
        (
            "name=dumpcontents,type=CephChoices,strings=all|summary|sum|pools|osds|pgs,n=N,req=false",
        ),
        "pg",
        "r",
        "likewise, always as JSON",
    ),
    (
        "pg dump_pools_json",
        (),
        "pg",
        "r",
        "show statistics of pools as JSON",
    ),
    (
        "pg ls-by-pool",
        (
            "name=poolstr,type=CephString",
            "name=states,type=CephString,n=N,req=false",
        ),
        "pg",
        "r",
        "list the PGs of a pool",
    ),
    (
        "pg ls-by-primary",
        (
            "name=osd,type=CephOsdName",
            "name=pool,type=CephInt,req=false",
            "name=states,type=CephString,n=N,req=false",
        ),
        "pg",
        "r",
        "list the PGs that an OSD leads",
    ),
    (
        "pg ls-by-osd",
        (
            "name=osd,type=CephOsdName",
            "name=pool,type=CephInt,req=false",
            "name=states,type=CephString,n=N,req=false",
        ),
        "pg",
        "r",
        "list the PGs that an OSD holds",
    ),
    (
        "pg ls",
        (
            "name=pool,type=CephInt,req=false",
            "name=states,type=CephString,n=N,req=false",
        ),
        "pg",
        "r",
        "list PGs, of a pool, an OSD or in some states",
    ),
    (
        "pg dump_stuck",
        (
            "name=stuckops,type=CephChoices,strings=inactive|unclean|stale|undersized|degraded,n=N,req=false",
            "name=threshold,type=CephInt,req=false",
        ),
        "pg",
        "r",
        "list the PGs that have been in a bad state for long",
    ),
    (
        "pg debug",
        ("name=debugop,type=CephChoices,strings=unfound_objects_exist|degraded_pgs_exist",),
        "pg",
        "r",
        "tell whether there are unfound objects or degraded PGs",
    ),
    (
        "pg scrub",
        ("name=pgid,type=CephPgid",),
        "pg",
        "rw",
        "compare the copies of a PG",
    ),
    (
        "pg deep-scrub",
        ("name=pgid,type=CephPgid",),
        "pg",
        "rw",
        "read and compare the copies of a PG",
    ),
    (
        "pg repair",
        ("name=pgid,type=CephPgid",),
        "pg",
        "rw",
        "read, compare and repair the copies of a PG",
    ),
    (
        "pg force-recovery",
        ("name=pgid,type=CephPgid,n=N",),
        "pg",
        "rw",
        "recover PGs before all others",
    ),
    (
        "pg force-backfill",
        ("name=pgid,type=CephPgid,n=N",),
        "pg",
        "rw",
        "backfill PGs before all others",
    ),
    (
        "pg cancel-force-recovery",
        ("name=pgid,type=CephPgid,n=N",),
        "pg",
        "rw",
        "recover PGs in their turn again",
    ),
    (
        "pg cancel-force-backfill",
        ("name=pgid,type=CephPgid,n=N",),
        "pg",
        "rw",
        "backfill PGs in their turn again",
    ),
    (
        "osd perf",
        (),
        "osd",
        "r",
        "show the latencies of OSDs",
    ),
    (
        "osd df",
        (
            "name=output_method,type=CephChoices,strings=plain|tree,req=false",
            "name=filter_by,type=CephChoices,strings=class|name,req=false",
            "name=filter,type=CephString,req=false",
        ),
        "osd",
        "r",
        "show how full OSDs are",
    ),
    (
        "osd blocked-by",
        (),
        "osd",
        "r",
        "count the OSDs that each OSD keeps waiting",
    ),
    (
        "osd pool stats",
        ("name=pool_name,type=CephPoolname,req=false",),
        "osd",
        "r",
        "show the traffic of pools",
    ),
    (
        "osd pool scrub",
        ("name=who,type=CephPoolname,n=N",),
        "osd",
        "rw",
        "compare the copies of all PGs of pools",
    ),
    (
        "osd pool deep-scrub",
        ("name=who,type=CephPoolname,n=N",),
        "osd",
        "rw",
        "read and compare the copies of all PGs of pools",
    ),
    (
        "osd pool repair",
        ("name=who,type=CephPoolname,n=N",),
        "osd",
        "rw",
        "read, compare and repair all PGs of pools",
    ),
    (
        "osd pool force-recovery",
        ("name=who,type=CephPoolname,n=N",),
        "osd",
        "rw",
        "recover pools before all others",
    ),
    (
        "osd pool force-backfill",
        ("name=who,type=CephPoolname,n=N",),
        "osd",
        "rw",
        "backfill pools before all others",
    ),
    (
        "osd pool cancel-force-recovery",
        ("name=who,type=CephPoolname,n=N",),
        "osd",
        "rw",
        "recover pools in their turn again",
    ),
    (
        "osd pool cancel-force-backfill",
        ("name=who,type=CephPoolname,n=N",),
        "osd",
        "rw",
        "backfill pools in their turn again",
    ),
    (
        "osd reweight-by-utilization",
        (
            "name=oload,type=CephInt,req=false",
            "name=max_change,type=CephFloat,req=false",
            "name=max_osds,type=CephInt,req=false",
            "name=no_increasing,type=CephChoices,strings=--no-increasing,req=false",
        ),
        "osd",
        "rw",
        "give less to OSDs that are fuller than a percentage of the mean",
    ),
    (
        "osd test-reweight-by-utilization",
        (
            "name=oload,type=CephInt,req=false",
            "name=max_change,type=CephFloat,req=false",
            "name=max_osds,type=CephInt,req=false",
            "name=no_increasing,type=CephBool,req=false",
        ),
        "osd",
        "r",
        "tell what that would change",
    ),
    (
        "osd reweight-by-pg",
        (
            "name=oload,type=CephInt,req=false",
            "name=max_change,type=CephFloat,req=false",
            "name=max_osds,type=CephInt,req=false",
            "name=pools,type=CephPoolname,n=N,req=false",
        ),
        "osd",
        "rw",
        "give less to OSDs that hold more PGs than a percentage of the mean",
    ),
    (
        "osd test-reweight-by-pg",
        (
            "name=oload,type=CephInt,req=false",
            "name=max_change,type=CephFloat,req=false",
            "name=max_osds,type=CephInt,req=false",
            "name=pools,type=CephPoolname,n=N,req=false",
        ),
        "osd",
        "r",
        "tell what that would change",
    ),
    (
        "osd destroy",
        (
            "name=id,type=CephOsdName",
            "name=force,type=CephBool,req=false",
            "name=yes_i_really_mean_it,type=CephBool,req=false",
        ),
        "osd",
        "rw",
        "take away an OSD's keys, so that its data cannot be read any more",
    ),
    (
        "osd purge",
        (
            "name=id,type=CephOsdName",
            "name=force,type=CephBool,req=false",
            "name=yes_i_really_mean_it,type=CephBool,req=false",
        ),
        "osd",
        "rw",
        "remove an OSD with everything that is known of it",
    ),
    (
        "osd safe-to-destroy",
        ("name=ids,type=CephString,n=N",),
        "osd",
        "r",
        "tell whether OSDs hold nothing that others lack",
    ),
    (
        "osd ok-to-stop",
        (
            "name=ids,type=CephString,n=N",
            "name=max,type=CephInt,req=false",
        ),
        "osd",
        "r",
        "tell whether all PGs would stay active without these OSDs",
    ),
    (
        "osd scrub",
        ("name=who,type=CephString",),
        "osd",
        "rw",
        "compare all copies on an OSD, or on all",
    ),
    (
        "osd deep-scrub",
        ("name=who,type=CephString",),
        "osd",
        "rw",
        "read and compare all copies on an OSD, or on all",
    ),
    (
        "osd repair",
        ("name=who,type=CephString",),
        "osd",
        "rw",
        "read, compare and repair all copies on an OSD, or on all",
    ),
    (
        "service dump",
        (),
        "service",
        "r",
        "show the daemons that registered",
    ),
    (
        "service status",
        (),
        "service",
        "r",
        "show what those daemons say of themselves",
    ),
    (
        "config show",
        (
            "name=who,type=CephString",
            "name=key,type=CephString,req=False",
        ),
        "mgr",
        "r",
        "show the options that a running daemon uses",
    ),
    (
        "config show-with-defaults",
        ("name=who,type=CephString",),
        "mgr",
        "r",
        "likewise, with those that nobody set",
    ),
    (
        "device ls",
        (),
        "mgr",
        "r",
        "list the devices of all daemons",
    ),
    (
        "device info",
        ("name=devid,type=CephString",),
        "mgr",
        "r",
        "show what is known of a device",
    ),
    (
        "device ls-by-daemon",
        ("name=who,type=CephString",),
        "mgr",
        "r",
        "list the devices of a daemon",
    ),
    (
        "device ls-by-host",
        ("name=host,type=CephString",),
        "mgr",
        "r",
        "list the devices of a host",
    ),
    (
        "device set-life-expectancy",
        (
            "name=devid,type=CephString",
            "name=from,type=CephString",
            "name=to,type=CephString,req=False",
        ),
        "mgr",
        "rw",
        "say when a device is expected to fail",
    ),
    (
        "device rm-life-expectancy",
        ("name=devid,type=CephString",),
        "mgr",
        "rw",
        "forget when a device was expected to fail",
    ),
)
"""Prefix, arguments, module, permissions and help of each."""


def commands() -> list[MonCommand]:
    """The table as monitors store and tell it."""
    return [
        MonCommand(
            cmdstring=" ".join((prefix, *arguments)),
            helpstring=help,
            module=module,
            req_perms=perm,
            flags=CommandFlag.MGR,
        )
        for prefix, arguments, module, perm, help in _TABLE
    ]
