"""Options of releases after 16.2 that the wire needs: compression (17.2), newer key types (20.2).

Names, types and defaults are those of upstream 20.2 (src/common/options/*.yaml.in); the
descriptions are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import BOOL, KIB, NO_MON_UPDATE, RUNTIME, STR, UINT, opt

OPTIONS = (
    opt(
        "ms_osd_compress_mode",
        STR,
        "none",
        "Whether messages to and from OSDs are compressed",
        flags=RUNTIME,
        services="osd",
        see="ms_compress_secure",
        enum="none|force",
    ),
    opt(
        "ms_osd_compress_min_size",
        UINT,
        KIB,
        "Bytes of a message below which it is not compressed",
        flags=RUNTIME,
        services="osd",
        see="ms_osd_compress_mode",
    ),
    opt(
        "ms_osd_compression_algorithm",
        STR,
        "snappy",
        "Algorithms for messages to and from OSDs, best first",
        flags=RUNTIME,
        services="osd",
        see="ms_osd_compress_mode",
    ),
    opt(
        "ms_compress_secure",
        BOOL,
        desc="Compress in secure mode as well, though sizes then tell something of the content",
        flags=RUNTIME,
        see="ms_osd_compress_mode",
    ),
    opt(
        "mon_auth_allow_insecure_key",
        BOOL,
        desc="Let keys of the older type be made",
        flags=RUNTIME,
        services="mon",
        see="mon_auth_emergency_allowed_ciphers",
    ),
    opt(
        "mon_auth_emergency_allowed_ciphers",
        STR,
        desc="Key types that this monitor accepts whatever the map says, to get back in",
        flags=NO_MON_UPDATE,
        services="mon",
        see="mon_auth_allow_insecure_key",
    ),
)
