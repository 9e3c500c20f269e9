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
    opt("ms_type", STR, "async+posix", flags=STARTUP),
    opt("ms_public_type", STR, flags=STARTUP, see="ms_type"),
    opt("ms_cluster_type", STR, flags=STARTUP, see="ms_type"),
    opt(
        "ms_mon_cluster_mode",
        STR,
        "secure crc",
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
        level=BASIC,
        flags=STARTUP,
        see="ms_service_mode ms_client_mode",
    ),
    opt(
        "ms_service_mode",
        STR,
        "crc secure",
        level=BASIC,
        flags=STARTUP,
        see="ms_cluster_mode ms_client_mode",
    ),
    opt(
        "ms_client_mode",
        STR,
        "crc secure",
        level=BASIC,
        flags=STARTUP,
        see="ms_cluster_mode ms_service_mode",
    ),
    opt("ms_learn_addr_from_peer", BOOL, True),
    opt("ms_tcp_nodelay", BOOL, True),
    opt("ms_tcp_rcvbuf", SIZE),
    opt("ms_tcp_prefetch_max_size", SIZE, 4 * KIB),
    opt("ms_initial_backoff", FLOAT, 0.2),
    opt("ms_max_backoff", FLOAT, 15, see="ms_initial_backoff"),
    opt("ms_crc_data", BOOL, True, level=DEV),
    opt("ms_crc_header", BOOL, True, level=DEV),
    opt("ms_die_on_bad_msg", BOOL, level=DEV),
    opt("ms_die_on_unhandled_msg", BOOL, level=DEV),
    opt("ms_die_on_old_message", BOOL, level=DEV),
    opt("ms_die_on_skipped_message", BOOL, level=DEV),
    opt("ms_die_on_bug", BOOL, level=DEV),
    opt("ms_dispatch_throttle_bytes", SIZE, 100 * MIB),
    opt("ms_bind_ipv4", BOOL, True, see="ms_bind_ipv6"),
    opt("ms_bind_ipv6", BOOL, see="ms_bind_ipv4"),
    opt("ms_bind_prefer_ipv4", BOOL),
    opt("ms_bind_msgr1", BOOL, True, see="ms_bind_msgr2"),
    opt("ms_bind_msgr2", BOOL, True, see="ms_bind_msgr1"),
    opt("ms_bind_port_min", INT, 6800),
    opt("ms_bind_port_max", INT, 7300),
    opt("ms_bind_retry_count", INT, 3),
    opt("ms_bind_retry_delay", INT, 5),
    opt("ms_bind_before_connect", BOOL),
    opt("ms_tcp_listen_backlog", INT, 512),
    opt("ms_connection_ready_timeout", UINT, 10),
    opt("ms_connection_idle_timeout", UINT, 900),
    opt("ms_pq_max_tokens_per_priority", UINT, 16777216, level=DEV),
    opt("ms_pq_min_cost", SIZE, 64 * KIB, level=DEV),
    opt("ms_inject_socket_failures", UINT, level=DEV),
    opt("ms_inject_delay_type", STR, level=DEV, flags=RUNTIME),
    opt("ms_inject_delay_max", FLOAT, 1, level=DEV),
    opt("ms_inject_delay_probability", FLOAT, level=DEV),
    opt("ms_inject_internal_delays", FLOAT, level=DEV),
    opt("ms_blackhole_osd", BOOL, level=DEV),
    opt("ms_blackhole_mon", BOOL, level=DEV),
    opt("ms_blackhole_mds", BOOL, level=DEV),
    opt("ms_blackhole_mgr", BOOL, level=DEV),
    opt("ms_blackhole_client", BOOL, level=DEV),
    opt("ms_dump_on_send", BOOL),
    opt("ms_dump_corrupt_message_level", INT, 1),
    opt("ms_async_op_threads", UINT, 3, low=1, high=24),
    opt("ms_async_reap_threshold", UINT, 5, level=DEV, low=1),
    opt("ms_max_accept_failures", INT, 4),
)
