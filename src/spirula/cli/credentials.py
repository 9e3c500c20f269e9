"""Keys and keyrings as commands read them: from files of this machine.

See `spirula.client.credentials` for which key is taken.
"""

from __future__ import annotations

from pathlib import Path

from spirula.client import credentials
from spirula.client.credentials import sections_of
from spirula.conf.config import Config
from spirula.types.auth import CryptoKey

__all__ = ["find_key", "sections_of"]


def find_key(config: Config) -> CryptoKey | None:
    """The key of the configuration's entity; see `spirula.client.credentials.find_key`."""
    return credentials.find_key(config, lambda path: Path(path).read_bytes())
