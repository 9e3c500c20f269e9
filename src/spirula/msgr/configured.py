"""The messenger's settings out of a configuration's options, for daemons and clients alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spirula.errors import InvalidArgument
from spirula.kernels.compressors import BY_NAME
from spirula.msgr.protocol.compression import CompressionConfig, CompressionMethod
from spirula.msgr.protocol.handshake import HandshakeConfig
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.conf.config import Config


def handshake_config(entity_type: int, config: Config) -> HandshakeConfig:
    """What an entity of that kind says of itself. InvalidArgument for an unknown compressor."""
    return HandshakeConfig(entity_type, compression=compression_config(config))


def compression_config(config: Config) -> CompressionConfig:
    """Compression with OSDs where `ms_osd_compress_mode` is `force`.

    As upstream's OSDs look at what their peer is, this comes to traffic between OSDs.
    """
    if config.get_str("ms_osd_compress_mode") != "force":
        return CompressionConfig()
    names = re.split(r"[;,= \t]+", config.get_str("ms_osd_compression_algorithm").strip())
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise InvalidArgument(
            f"ms_osd_compression_algorithm: {unknown[0]!r} is none of {', '.join(BY_NAME)}"
        )
    return CompressionConfig(
        peers=EntityType.OSD,
        methods={CompressionMethod[name.upper()]: BY_NAME[name]() for name in names},
        min_size=config.get_int("ms_osd_compress_min_size"),
        secure=config.get_bool("ms_compress_secure"),
    )
