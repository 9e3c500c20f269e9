"""Options of authentication: methods, keys, tickets.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    BOOL,
    DEV,
    FLOAT,
    INT,
    MINIMAL_CONF,
    NO_MON_UPDATE,
    STARTUP,
    STR,
    opt,
)

OPTIONS = (
    opt("key", STR, flags=NO_MON_UPDATE | STARTUP, see="keyfile keyring"),
    opt("keyfile", STR, flags=NO_MON_UPDATE | STARTUP, see="key"),
    opt(
        "keyring",
        STR,
        (
            ""
            "/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,/etc/ceph/keyring,/etc/ceph/keyring.bin,"
        ),
        flags=NO_MON_UPDATE | STARTUP,
        see="key keyfile",
    ),
    opt("auth_cluster_required", STR, "cephx"),
    opt("auth_service_required", STR, "cephx"),
    opt("auth_client_required", STR, "cephx, none", flags=MINIMAL_CONF),
    opt("auth_supported", STR),
    opt("max_rotating_auth_attempts", INT, 10),
    opt("rotating_keys_bootstrap_timeout", INT, 30),
    opt("rotating_keys_renewal_timeout", INT, 10),
    opt("cephx_require_signatures", BOOL),
    opt("cephx_require_version", INT, 2),
    opt("cephx_cluster_require_signatures", BOOL),
    opt("cephx_cluster_require_version", INT, 2),
    opt("cephx_service_require_signatures", BOOL),
    opt("cephx_service_require_version", INT, 2),
    opt("cephx_sign_messages", BOOL, True),
    opt("auth_mon_ticket_ttl", FLOAT, 259200),
    opt("auth_service_ticket_ttl", FLOAT, 3600),
    opt(
        "auth_allow_insecure_global_id_reclaim",
        BOOL,
        True,
        see=(
            "mon_warn_on_insecure_global_id_reclaim "
            "mon_warn_on_insecure_global_id_reclaim_allowed "
            "auth_expose_insecure_global_id_reclaim"
        ),
    ),
    opt(
        "auth_expose_insecure_global_id_reclaim",
        BOOL,
        True,
        see=(
            "mon_warn_on_insecure_global_id_reclaim "
            "mon_warn_on_insecure_global_id_reclaim_allowed "
            "auth_allow_insecure_global_id_reclaim"
        ),
    ),
    opt("auth_debug", BOOL, level=DEV),
)
