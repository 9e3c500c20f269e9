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
    opt(
        "key",
        STR,
        desc="Secret key, in base64; better put into a keyring",
        flags=NO_MON_UPDATE | STARTUP,
        see="keyfile keyring",
    ),
    opt(
        "keyfile",
        STR,
        desc="File that holds nothing but the secret key",
        flags=NO_MON_UPDATE | STARTUP,
        see="key",
    ),
    opt(
        "keyring",
        STR,
        (
            ""
            "/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,/etc/ceph/keyring,/etc/ceph/keyring.bin,"
        ),
        "Keyring files, parted by commas; the first that exists counts",
        flags=NO_MON_UPDATE | STARTUP,
        see="key keyfile",
    ),
    opt("auth_cluster_required", STR, "cephx", "Methods that daemons accept from one another"),
    opt("auth_service_required", STR, "cephx", "Methods that daemons accept from clients"),
    opt(
        "auth_client_required",
        STR,
        "cephx, none",
        "Methods that clients accept from daemons",
        flags=MINIMAL_CONF,
    ),
    opt("auth_supported", STR, desc="Older name that sets all three required methods at once"),
    opt(
        "max_rotating_auth_attempts",
        INT,
        10,
        "Times a daemon asks for rotating keys before it gives up",
    ),
    opt("rotating_keys_bootstrap_timeout", INT, 30, "Seconds to wait for the first rotating keys"),
    opt("rotating_keys_renewal_timeout", INT, 10, "Seconds to wait for renewed rotating keys"),
    opt("cephx_require_signatures", BOOL, desc="Refuse sessions without signed messages"),
    opt("cephx_require_version", INT, 2, "Lowest version of cephx in every session"),
    opt("cephx_cluster_require_signatures", BOOL, desc="Refuse daemons without signed messages"),
    opt("cephx_cluster_require_version", INT, 2, "Lowest version of cephx between daemons"),
    opt("cephx_service_require_signatures", BOOL, desc="Refuse clients without signed messages"),
    opt(
        "cephx_service_require_version",
        INT,
        2,
        "Lowest version of cephx between clients and daemons",
    ),
    opt("cephx_sign_messages", BOOL, True, "Sign messages of the first protocol"),
    opt(
        "auth_mon_ticket_ttl",
        FLOAT,
        259200,
        "Seconds that a session with the monitors may last without a new proof",
    ),
    opt("auth_service_ticket_ttl", FLOAT, 3600, "Seconds that a ticket for a service is valid"),
    opt(
        "auth_allow_insecure_global_id_reclaim",
        BOOL,
        True,
        "Let old clients take their global id back without proof",
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
        "Make clients that do so reconnect at once, so that they show",
        see=(
            "mon_warn_on_insecure_global_id_reclaim "
            "mon_warn_on_insecure_global_id_reclaim_allowed "
            "auth_allow_insecure_global_id_reclaim"
        ),
    ),
    opt("auth_debug", BOOL, desc="Log the steps of authentication, without secrets", level=DEV),
)
