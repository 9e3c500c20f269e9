"""How an OSD's store follows the configuration, also while it runs."""

from __future__ import annotations

import uuid

from spirula.cli.osd_store import make_folder, open_store
from spirula.conf.config import Config
from spirula.conf.expand import Identity
from spirula.store.checksums import ChecksumType
from spirula.store.disk.compression import Algorithm, Mode


def test_options_of_a_store_follow_the_configuration(tmp_path):
    config = Config(Identity("osd", "0"), daemon=True)
    config.set("bluestore_block_size", str(64 << 20))
    make_folder(config, tmp_path / "osd", uuid.UUID(int=1))
    options = open_store(config, tmp_path / "osd", lambda call: call()).options
    made = options.compression
    assert (made.mode, made.min_blob, made.max_blob) == (Mode.NONE, 64 << 10, 64 << 10)
    changes = {
        "csum_type": "xxhash64",
        "compression_mode": "force",
        "compression_algorithm": "zstd",
        "compression_required_ratio": "0.5",
        "compression_min_blob_size": "16K",
        "compression_max_blob_size": "32K",
    }
    for name, value in changes.items():
        config.set(f"bluestore_{name}", value)
    config.apply_changes()
    made = options.compression
    assert options.checksums == ChecksumType.XXHASH64
    assert (made.mode, made.algorithm, made.required_ratio) == (Mode.FORCE, Algorithm.ZSTD, 0.5)
    assert (made.min_blob, made.max_blob) == (16 << 10, 32 << 10)
    config.set("bluestore_compression_algorithm", "")  # as upstream: then there is none
    config.apply_changes()
    assert options.compression.mode == Mode.NONE
