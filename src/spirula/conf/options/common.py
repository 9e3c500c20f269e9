"""Options of every process: who it is, where its files and addresses are, how it runs.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    ADDR,
    ADDRVEC,
    BASIC,
    BOOL,
    CREATE,
    DEV,
    INT,
    NO_MON_UPDATE,
    RUNTIME,
    STARTUP,
    STR,
    UUID,
    opt,
)

OPTIONS = (
    opt("host", STR, level=BASIC, flags=NO_MON_UPDATE, services="common", tags="network"),
    opt(
        "fsid", UUID, level=BASIC, flags=NO_MON_UPDATE | STARTUP, services="common", tags="service"
    ),
    opt("public_addr", ADDR, level=BASIC, flags=STARTUP, services="mon mds osd mgr"),
    opt("public_addrv", ADDRVEC, level=BASIC, flags=STARTUP, services="mon mds osd mgr"),
    opt("public_bind_addr", ADDR, flags=STARTUP, services="mon"),
    opt("cluster_addr", ADDR, level=BASIC, flags=STARTUP, services="osd", tags="network"),
    opt("public_network", STR, flags=STARTUP, services="mon mds osd mgr", tags="network"),
    opt(
        "public_network_interface",
        STR,
        flags=STARTUP,
        services="mon mds osd mgr",
        tags="network",
        see="public_network",
    ),
    opt("cluster_network", STR, flags=STARTUP, services="osd", tags="network"),
    opt(
        "cluster_network_interface",
        STR,
        flags=STARTUP,
        services="mon mds osd mgr",
        tags="network",
        see="cluster_network",
    ),
    opt("monmap", STR, flags=NO_MON_UPDATE | CREATE, services="mon"),
    opt("mon_host", STR, level=BASIC, flags=NO_MON_UPDATE | STARTUP, services="common"),
    opt("mon_host_override", STR, flags=NO_MON_UPDATE | STARTUP, services="common"),
    opt(
        "mon_dns_srv_name",
        STR,
        "ceph-mon",
        flags=STARTUP,
        services="common",
        tags="network",
        see="mon_host",
    ),
    opt("container_image", STR, level=BASIC, flags=STARTUP),
    opt("no_config_file", BOOL, flags=NO_MON_UPDATE | STARTUP, services="common", tags="config"),
    opt("lockdep", BOOL, level=DEV, flags=NO_MON_UPDATE | STARTUP, services="common"),
    opt(
        "lockdep_force_backtrace", BOOL, level=DEV, flags=STARTUP, services="common", see="lockdep"
    ),
    opt("run_dir", STR, "/var/run/ceph", flags=STARTUP, services="common", see="admin_socket"),
    opt(
        "admin_socket", STR, daemon="$run_dir/$cluster-$name.asok", flags=STARTUP, services="common"
    ),
    opt("admin_socket_mode", STR, flags=STARTUP, services="common", see="admin_socket"),
    opt(
        "daemonize",
        BOOL,
        daemon=True,
        flags=NO_MON_UPDATE | STARTUP,
        services="mon mgr osd mds",
        tags="service",
        see="pid_file chdir",
    ),
    opt("setuser", STR, flags=STARTUP, services="mon mgr osd mds", tags="service", see="setgroup"),
    opt("setgroup", STR, flags=STARTUP, services="mon mgr osd mds", tags="service", see="setuser"),
    opt(
        "setuser_match_path",
        STR,
        flags=STARTUP,
        services="mon mgr osd mds",
        tags="service",
        see="setuser setgroup",
    ),
    opt("pid_file", STR, flags=STARTUP, services="mon mgr osd mds", tags="service"),
    opt(
        "chdir",
        STR,
        flags=NO_MON_UPDATE | STARTUP,
        services="mon mgr osd mds",
        tags="service",
        see="daemonize",
    ),
    opt(
        "fatal_signal_handlers",
        BOOL,
        True,
        flags=STARTUP,
        services="mon mgr osd mds",
        tags="service",
    ),
    opt("crash_dir", STR, "/var/lib/ceph/crash", flags=STARTUP),
    opt("erasure_code_dir", STR, flags=STARTUP, services="mon osd"),
    opt("enable_experimental_unrecoverable_data_corrupting_features", STR, flags=RUNTIME),
    opt("plugin_dir", STR, flags=STARTUP, services="mon osd"),
    opt("compressor_zlib_level", INT, 5),
    opt("compressor_zlib_winsize", INT, -15, low=-15, high=32),
    opt("compressor_zstd_level", INT, 1),
    opt("plugin_crypto_accelerator", STR, "crypto_isal"),
    opt("mempool_debug", BOOL, level=DEV, flags=NO_MON_UPDATE),
    opt("thp", BOOL, level=DEV, flags=STARTUP),
    opt("heartbeat_interval", INT, 5, flags=STARTUP),
    opt("heartbeat_file", STR, flags=STARTUP, see="heartbeat_interval"),
    opt("heartbeat_inject_failure", INT, level=DEV),
    opt("perf", BOOL, True),
    opt("inject_early_sigterm", BOOL, level=DEV),
    opt("threadpool_default_timeout", INT, 60),
    opt("threadpool_empty_queue_max_wait", INT, 2),
    opt("throttler_perf_counter", BOOL, True),
    opt("debug_asok_assert_abort", BOOL, level=DEV),
)
