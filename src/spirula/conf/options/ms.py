"""Options of the messenger.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    BASIC,
    BOOL,
    DEV,
    FLOAT,
    INT,
    KIB,
    MIB,
    RUNTIME,
    SIZE,
    STARTUP,
    STR,
    UINT,
    opt,
)

OPTIONS = (
    opt("ms_type", STR, "async+posix", "Implementation of the messenger", flags=STARTUP),
    opt(
        "ms_public_type",
        STR,
        desc="Implementation for the public network, if another",
        flags=STARTUP,
        see="ms_type",
    ),
    opt(
        "ms_cluster_type",
        STR,
        desc="Implementation for the cluster network, if another",
        flags=STARTUP,
        see="ms_type",
    ),
    opt(
        "ms_mon_cluster_mode",
        STR,
        "secure crc",
        "Connection modes between monitors, best first",
        level=BASIC,
        flags=STARTUP,
        see=(
            "ms_mon_service_mode ms_mon_client_mode ms_service_mode ms_cluster_mode ms_client_mode"
        ),
    ),
    opt(
        "ms_mon_service_mode",
        STR,
        "secure crc",
        "Modes that monitors allow clients and daemons",
        level=BASIC,
        flags=STARTUP,
        see=(
            "ms_service_mode ms_mon_cluster_mode ms_mon_client_mode ms_cluster_mode ms_client_mode"
        ),
    ),
    opt(
        "ms_mon_client_mode",
        STR,
        "secure crc",
        "Modes that clients and daemons ask monitors for",
        level=BASIC,
        flags=STARTUP,
        see=(
            "ms_mon_service_mode ms_mon_cluster_mode ms_service_mode ms_cluster_mode ms_client_mode"
        ),
    ),
    opt(
        "ms_cluster_mode",
        STR,
        "crc secure",
        "Modes between daemons, best first",
        level=BASIC,
        flags=STARTUP,
        see="ms_service_mode ms_client_mode",
    ),
    opt(
        "ms_service_mode",
        STR,
        "crc secure",
        "Modes that daemons allow clients",
        level=BASIC,
        flags=STARTUP,
        see="ms_cluster_mode ms_client_mode",
    ),
    opt(
        "ms_client_mode",
        STR,
        "crc secure",
        "Modes that clients ask daemons for",
        level=BASIC,
        flags=STARTUP,
        see="ms_cluster_mode ms_service_mode",
    ),
    opt("ms_learn_addr_from_peer", BOOL, True, "Learn our own address from the first peer"),
    opt("ms_tcp_nodelay", BOOL, True, "Send small messages at once"),
    opt("ms_tcp_rcvbuf", SIZE, desc="Receive buffer of sockets; 0 leaves it to the system"),
    opt("ms_tcp_prefetch_max_size", SIZE, 4 * KIB, "Most bytes that are read ahead"),
    opt("ms_initial_backoff", FLOAT, 0.2, "Seconds before the first new attempt to connect"),
    opt(
        "ms_max_backoff",
        FLOAT,
        15,
        "Longest pause between attempts to connect",
        see="ms_initial_backoff",
    ),
    opt("ms_crc_data", BOOL, True, "Checksum the data of messages", level=DEV),
    opt("ms_crc_header", BOOL, True, "Checksum the headers of messages", level=DEV),
    opt(
        "ms_die_on_bad_msg",
        BOOL,
        desc="Crash at a message that cannot be decoded, for tests",
        level=DEV,
    ),
    opt(
        "ms_die_on_unhandled_msg",
        BOOL,
        desc="Crash at a message nobody takes, for tests",
        level=DEV,
    ),
    opt(
        "ms_die_on_old_message",
        BOOL,
        desc="Crash at a message that came before, for tests",
        level=DEV,
    ),
    opt(
        "ms_die_on_skipped_message",
        BOOL,
        desc="Crash at a gap in sequence numbers, for tests",
        level=DEV,
    ),
    opt(
        "ms_die_on_bug",
        BOOL,
        desc="Crash where the messenger finds itself wrong, for tests",
        level=DEV,
    ),
    opt(
        "ms_dispatch_throttle_bytes",
        SIZE,
        100 * MIB,
        "Bytes of messages that may wait to be handled",
    ),
    opt("ms_bind_ipv4", BOOL, True, "Listen on IPv4", see="ms_bind_ipv6"),
    opt("ms_bind_ipv6", BOOL, desc="Listen on IPv6", see="ms_bind_ipv4"),
    opt("ms_bind_prefer_ipv4", BOOL, desc="Prefer IPv4 where both are there"),
    opt("ms_bind_msgr1", BOOL, True, "Listen for the first protocol", see="ms_bind_msgr2"),
    opt("ms_bind_msgr2", BOOL, True, "Listen for the second protocol", see="ms_bind_msgr1"),
    opt("ms_bind_port_min", INT, 6800, "First port that daemons try"),
    opt("ms_bind_port_max", INT, 7300, "Last port that daemons try"),
    opt("ms_bind_retry_count", INT, 3, "Times all ports are tried"),
    opt("ms_bind_retry_delay", INT, 5, "Seconds between these times"),
    opt(
        "ms_bind_before_connect",
        BOOL,
        desc="Bind before connecting, so that the source address is ours",
    ),
    opt("ms_tcp_listen_backlog", INT, 512, "Connections that may wait to be accepted"),
    opt(
        "ms_connection_ready_timeout", UINT, 10, "Seconds a peer may take until its session stands"
    ),
    opt(
        "ms_connection_idle_timeout",
        UINT,
        900,
        "Seconds of silence after which a connection is closed",
    ),
    opt(
        "ms_pq_max_tokens_per_priority",
        UINT,
        16777216,
        "Tokens of each priority in the queue of outgoing messages",
        level=DEV,
    ),
    opt("ms_pq_min_cost", SIZE, 64 * KIB, "Least cost of a message in that queue", level=DEV),
    opt(
        "ms_inject_socket_failures",
        UINT,
        desc="Break a connection once in so many operations, for tests",
        level=DEV,
    ),
    opt(
        "ms_inject_delay_type",
        STR,
        desc="Kinds of peers whose messages are delayed, for tests",
        level=DEV,
        flags=RUNTIME,
    ),
    opt("ms_inject_delay_max", FLOAT, 1, "Longest injected delay, in seconds", level=DEV),
    opt("ms_inject_delay_probability", FLOAT, desc="Probability of an injected delay", level=DEV),
    opt(
        "ms_inject_internal_delays",
        FLOAT,
        desc="Seconds of delay at races inside the messenger, for tests",
        level=DEV,
    ),
    opt("ms_blackhole_osd", BOOL, desc="Drop everything to and from OSDs, for tests", level=DEV),
    opt(
        "ms_blackhole_mon", BOOL, desc="Drop everything to and from monitors, for tests", level=DEV
    ),
    opt(
        "ms_blackhole_mds",
        BOOL,
        desc="Drop everything to and from metadata servers, for tests",
        level=DEV,
    ),
    opt(
        "ms_blackhole_mgr", BOOL, desc="Drop everything to and from managers, for tests", level=DEV
    ),
    opt(
        "ms_blackhole_client",
        BOOL,
        desc="Drop everything to and from clients, for tests",
        level=DEV,
    ),
    opt("ms_dump_on_send", BOOL, desc="Log a dump of each message that is sent"),
    opt(
        "ms_dump_corrupt_message_level",
        INT,
        1,
        "Log level for dumps of messages that cannot be decoded",
    ),
    opt("ms_async_op_threads", UINT, 3, "Threads of the messenger at the start", low=1, high=24),
    opt(
        "ms_async_reap_threshold",
        UINT,
        5,
        "Dead connections that are cleared away together",
        level=DEV,
        low=1,
    ),
    opt("ms_max_accept_failures", INT, 4, "Failures to accept in a row before the daemon ends"),
)
