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
    opt("memstore_device_bytes", SIZE, 1 * GIB, "Size that the memory store claims"),
    opt("memstore_page_set", BOOL, desc="Keep objects as pages in the memory store"),
    opt("memstore_page_size", SIZE, 64 * KIB, "Bytes of a page"),
    opt("memstore_debug_omit_block_device_write", BOOL, desc="Throw written data away", level=DEV),
    opt("objectstore_blackhole", BOOL, desc="Throw transactions away, for tests"),
    opt(
        "bluestore_block_size", SIZE, 100 * GIB, "Size of a new block file", level=DEV, flags=CREATE
    ),
    opt(
        "bluestore_block_create",
        BOOL,
        True,
        "Make a block file where there is none",
        level=DEV,
        flags=CREATE,
        see="bluestore_block_size",
    ),
    opt(
        "bluestore_csum_type",
        STR,
        "crc32c",
        "Checksum of data",
        flags=RUNTIME,
        enum="none|crc32c|crc32c_16|crc32c_8|xxhash32|xxhash64",
    ),
    opt(
        "bluestore_min_alloc_size",
        UINT,
        desc="Least unit of allocation; 0 to choose by device",
        flags=CREATE,
    ),
    opt(
        "bluestore_compression_mode",
        STR,
        "none",
        "When data is compressed",
        flags=RUNTIME,
        enum="none|passive|aggressive|force",
    ),
    opt(
        "bluestore_compression_algorithm",
        STR,
        "snappy",
        "How data is compressed",
        flags=RUNTIME,
        enum="|snappy|zlib|zstd|lz4",
    ),
    opt(
        "bluestore_compression_required_ratio",
        FLOAT,
        0.875,
        "Largest share of the original size that is worth it",
        flags=RUNTIME,
    ),
    opt(
        "bluestore_compression_min_blob_size",
        SIZE,
        desc="How much is compressed together where parts are read; 0 for what suits the store",
        flags=RUNTIME,
    ),
    opt(
        "bluestore_compression_max_blob_size",
        SIZE,
        desc="How much is compressed together where all is read; 0 for what suits the store",
        flags=RUNTIME,
    ),
    opt("bluestore_cache_autotune", BOOL, True, "Divide the cache by itself", level=DEV),
    opt("journal_block_size", SIZE, 4 * KIB, "Block size of a FileStore journal", level=DEV),
)
