"""Rules about principals: which caps can be set, and when one that is there is the one wanted.

Status lines follow upstream `src/mon/AuthMonitor.cc`. Called by commands of several services.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from spirula.auth.caps import InvalidCaps
from spirula.errors import Exists, InvalidArgument
from spirula.mon.services.auth.health import check_caps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spirula.mon.services.auth.service import AuthService
    from spirula.types.auth import CryptoKey, PrincipalName


def parse_pairs(service: AuthService, words: Sequence[str]) -> dict[str, str]:
    """Caps from arguments: a service, what it allows, a service ... Raises InvalidArgument."""
    caps: dict[str, str] = {}
    for kind, text in zip(words[::2], words[1::2], strict=True):
        require_valid(service, kind, text)
        caps[kind] = text
    return caps


def require_valid(service: AuthService, kind: str, text: str) -> None:
    """Raises InvalidArgument, with upstream's sentence, for caps that grant nothing."""
    validate_all = service.monitor.config.get_bool("mon_auth_validate_all_caps")
    try:
        check_caps(kind, text, validate_all=validate_all)
    except InvalidCaps as error:
        raise InvalidArgument(error.reply) from None


def exists_and_matches(
    service: AuthService, name: PrincipalName, key: CryptoKey | None, caps: dict[str, bytes]
) -> bool:
    """Whether a principal is there; with this key, if one is given, and just these caps.

    Raises Exists for another key, InvalidArgument for other caps.
    """
    there = service.key_server.entity(name)
    if there is None:
        return False
    if key is not None and not hmac.compare_digest(there.key.secret, key.secret):
        raise Exists(f"entity {name} exists but key does not match")
    if len(caps) != len(there.caps):
        raise InvalidArgument(f"entity {name} exists but caps do not match")
    for kind in sorted(caps):
        if there.caps.get(kind) != caps[kind]:
            raise InvalidArgument(f"entity {name} exists but cap {kind} does not match")
    return True
