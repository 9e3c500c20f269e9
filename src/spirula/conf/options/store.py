"""Options of object stores.

Names, types and defaults are those of upstream 16.2 (src/common/options.cc); the descriptions
are ours. Read by `spirula.conf.options.schema`.
"""

from __future__ import annotations

from spirula.conf.options.table import (
    BOOL,
    CREATE,
    DEV,
    FLOAT,
    GIB,
    KIB,
    RUNTIME,
    SIZE,
    STR,
    UINT,
    opt,
)

OPTIONS = (
    opt("memstore_device_bytes", SIZE, 1 * GIB),
    opt("memstore_page_set", BOOL),
    opt("memstore_page_size", SIZE, 64 * KIB),
    opt("memstore_debug_omit_block_device_write", BOOL, level=DEV),
    opt("objectstore_blackhole", BOOL),
    opt("bluestore_block_size", SIZE, 100 * GIB, level=DEV, flags=CREATE),
    opt("bluestore_block_create", BOOL, True, level=DEV, flags=CREATE, see="bluestore_block_size"),
    opt(
        "bluestore_csum_type",
        STR,
        "crc32c",
        flags=RUNTIME,
        enum="none|crc32c|crc32c_16|crc32c_8|xxhash32|xxhash64",
    ),
    opt("bluestore_min_alloc_size", UINT, flags=CREATE),
    opt(
        "bluestore_compression_mode",
        STR,
        "none",
        flags=RUNTIME,
        enum="none|passive|aggressive|force",
    ),
    opt(
        "bluestore_compression_algorithm",
        STR,
        "snappy",
        flags=RUNTIME,
        enum="|snappy|zlib|zstd|lz4",
    ),
    opt("bluestore_compression_required_ratio", FLOAT, 0.875, flags=RUNTIME),
    opt("bluestore_cache_autotune", BOOL, True, level=DEV),
    opt("journal_block_size", SIZE, 4 * KIB, level=DEV),
)
