"""Options of the process log and of the cluster log.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import BASIC, BOOL, FLOAT, INT, RUNTIME, STR, opt

OPTIONS = (
    opt(
        "log_file",
        STR,
        level=BASIC,
        daemon="/var/log/ceph/$cluster-$name.log",
        see="log_to_file log_to_stderr err_to_stderr log_to_syslog err_to_syslog",
    ),
    opt("log_max_new", INT, 1000, see="log_max_recent"),
    opt("log_max_recent", INT, 500, daemon=10000, low=1),
    opt("log_to_file", BOOL, True, level=BASIC, see="log_file"),
    opt("log_to_stderr", BOOL, True, level=BASIC, daemon=False),
    opt("err_to_stderr", BOOL, level=BASIC, daemon=True),
    opt("log_stderr_prefix", STR, see="mon_cluster_log_to_stderr"),
    opt("log_to_syslog", BOOL, level=BASIC),
    opt("err_to_syslog", BOOL, level=BASIC),
    opt("log_flush_on_exit", BOOL),
    opt("log_stop_at_utilization", FLOAT, 0.97, level=BASIC, see="log_file", low=0, high=1),
    opt(
        "log_to_graylog", BOOL, level=BASIC, see="err_to_graylog log_graylog_host log_graylog_port"
    ),
    opt(
        "err_to_graylog", BOOL, level=BASIC, see="log_to_graylog log_graylog_host log_graylog_port"
    ),
    opt(
        "log_graylog_host",
        STR,
        "127.0.0.1",
        level=BASIC,
        see="log_to_graylog err_to_graylog log_graylog_port",
    ),
    opt("log_graylog_port", INT, 12201, level=BASIC, see="log_graylog_host"),
    opt("log_coarse_timestamps", BOOL, True, services="common", tags="performance service"),
    opt("clog_to_monitors", STR, "default=true", flags=RUNTIME),
    opt("clog_to_syslog", STR, "false", flags=RUNTIME),
    opt("clog_to_syslog_level", STR, "info", flags=RUNTIME, see="clog_to_syslog"),
    opt(
        "clog_to_syslog_facility",
        STR,
        "default=daemon audit=local0",
        flags=RUNTIME,
        see="clog_to_syslog",
    ),
    opt("clog_to_graylog", STR, "false", flags=RUNTIME),
    opt("clog_to_graylog_host", STR, "127.0.0.1", flags=RUNTIME, see="clog_to_graylog"),
    opt("clog_to_graylog_port", STR, "12201", flags=RUNTIME, see="clog_to_graylog"),
    opt("mon_cluster_log_to_stderr", BOOL, flags=RUNTIME, services="mon", see="log_stderr_prefix"),
    opt("mon_cluster_log_to_syslog", STR, "default=false", flags=RUNTIME, services="mon"),
    opt(
        "mon_cluster_log_to_syslog_level",
        STR,
        "info",
        flags=RUNTIME,
        services="mon",
        see="mon_cluster_log_to_syslog",
    ),
    opt(
        "mon_cluster_log_to_syslog_facility",
        STR,
        "daemon",
        flags=RUNTIME,
        services="mon",
        see="mon_cluster_log_to_syslog",
    ),
    opt(
        "mon_cluster_log_to_file",
        BOOL,
        True,
        flags=RUNTIME,
        services="mon",
        see="mon_cluster_log_file",
    ),
    opt(
        "mon_cluster_log_file",
        STR,
        ("default=/var/log/ceph/$cluster.$channel.log cluster=/var/log/ceph/$cluster.log"),
        flags=RUNTIME,
        services="mon",
        see="mon_cluster_log_to_file",
    ),
    opt(
        "mon_cluster_log_file_level",
        STR,
        "debug",
        flags=RUNTIME,
        services="mon",
        see="mon_cluster_log_file",
    ),
    opt("mon_cluster_log_to_graylog", STR, "false", flags=RUNTIME, services="mon"),
    opt(
        "mon_cluster_log_to_graylog_host",
        STR,
        "127.0.0.1",
        flags=RUNTIME,
        services="mon",
        see="mon_cluster_log_to_graylog",
    ),
    opt(
        "mon_cluster_log_to_graylog_port",
        STR,
        "12201",
        flags=RUNTIME,
        services="mon",
        see="mon_cluster_log_to_graylog",
    ),
    opt(
        "spirula_log_format",
        STR,
        "human",
        "Log lines as Ceph writes them, or one JSON object each; only Spirula has this option",
        flags=RUNTIME,
        services="common",
        see="log_file log_to_stderr",
        enum="human|json",
    ),
)
