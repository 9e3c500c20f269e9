"""What each profile of the monitor's caps stands for, as a list of plain grants.

Profiles are open-ended names: one that is not in the table grants nothing, but every name that
begins with `rbd` grants what `rbd` does, as upstream. Called by `mon` alone.
Facts from upstream `src/mon/MonCap.cc`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from spirula.auth.caps.constraint import Constraint, MatchType, ordered
from spirula.auth.caps.grammar import EXECUTE, READ, WRITE
from spirula.auth.caps.mon_grant import MonGrant

_RW: Final = READ | WRITE
_RWX: Final = READ | WRITE | EXECUTE

_DAEMONS: Final = frozenset(("mon", "osd", "mds", "mgr"))

_ADDRESS_WITH_NONCE: Final = "^[^/]+/[0-9]+$"

_RBD_PROFILES_ONLY: Final = (
    "^([ ,]*profile(=|[ ]+)['\"]?rbd[a-zA-Z0-9_.-]*['\"]?"
    "([ ]+pool(=|[ ]+)['\"]?[^;,'\"]+['\"]?)?)+$"
)
"""Caps texts for OSDs that consist of rbd profiles and nothing else.

Narrower than upstream's, which overlooks that `;` separates grants too: there a bootstrap key
can make itself an OSD administrator with `profile rbd pool=x; allow *`.
"""


def _service(service: str, allow: int) -> MonGrant:
    return MonGrant(service=service, allow=allow)


def _command(command: str, *constraints: tuple[str, MatchType, str]) -> MonGrant:
    return MonGrant(
        command=command,
        arguments=ordered([(name, Constraint(how, value)) for name, how, value in constraints]),
    )


def _equal(name: str, value: str) -> tuple[str, MatchType, str]:
    return name, MatchType.EQUAL, value


def _prefix(name: str, value: str) -> tuple[str, MatchType, str]:
    return name, MatchType.PREFIX, value


def _regex(name: str, value: str) -> tuple[str, MatchType, str]:
    return name, MatchType.REGEX, value


_READ_MAPS: Final = (_service("mon", READ), _service("osd", READ), _service("pg", READ))
_READ_FS_MAPS: Final = (*_READ_MAPS, _service("mds", READ))

# A client that breaks a dead peer's lock names one instance of it, never a whole host.
_BLOCKLIST_ONE: Final = _command(
    "osd blocklist", _equal("blocklistop", "add"), _regex("addr", _ADDRESS_WITH_NONCE)
)
_BLACKLIST_ONE: Final = _command(
    "osd blacklist", _equal("blacklistop", "add"), _regex("addr", _ADDRESS_WITH_NONCE)
)

_BOOTSTRAP: Final = (_service("mon", READ), _service("osd", READ), _command("mon getmap"))

_PROFILES: Final[dict[str, tuple[MonGrant, ...]]] = {
    "read-only": (MonGrant(allow=READ),),
    "read-write": (MonGrant(allow=_RW),),
    "mon": (_service("mon", _RWX), _service("log", _RWX)),
    "osd": (
        _service("osd", _RWX),
        _service("mon", READ),
        _service("pg", _RW),
        _service("log", WRITE),
    ),
    "mds": (
        _service("mds", _RWX),
        _service("mon", READ),
        _service("osd", READ),
        _command("osd pool rmsnap"),
        _command("osd blocklist"),
        _command("osd blacklist"),
        _service("log", WRITE),
    ),
    "mgr": (
        _service("mgr", _RWX),
        _service("log", _RW),
        _service("mon", _RW),
        _service("mds", _RW),
        _service("fs", _RW),
        _service("osd", _RW),
        _service("auth", _RWX),
        _service("config-key", _RW),
        _service("config", _RW),
        _command("auth get-or-create"),
        _command("auth caps"),
        _command("auth rm"),
        _command("smart"),
    ),
    "bootstrap-osd": (*_BOOTSTRAP, _command("osd new"), _command("osd purge-new")),
    "bootstrap-mds": (
        *_BOOTSTRAP,
        _command(
            "auth get-or-create",
            _prefix("entity", "mds."),
            _equal("caps_mon", "allow profile mds"),
            _equal("caps_osd", "allow rwx"),
            _equal("caps_mds", "allow"),
        ),
    ),
    "bootstrap-mgr": (
        *_BOOTSTRAP,
        _command(
            "auth get-or-create",
            _prefix("entity", "mgr."),
            _equal("caps_mon", "allow profile mgr"),
        ),
    ),
    "bootstrap-rgw": (
        *_BOOTSTRAP,
        _command(
            "auth get-or-create",
            _prefix("entity", "client.rgw."),
            _equal("caps_mon", "allow rw"),
            _equal("caps_osd", "allow rwx"),
        ),
    ),
    "bootstrap-rbd": (
        _service("mon", READ),
        _command(
            "auth get-or-create",
            _prefix("entity", "client."),
            _equal("caps_mon", "profile rbd"),
            _regex("caps_osd", _RBD_PROFILES_ONLY),
        ),
    ),
    "bootstrap-rbd-mirror": (
        _service("mon", READ),
        _command(
            "auth get-or-create",
            _prefix("entity", "client."),
            _equal("caps_mon", "profile rbd-mirror"),
            _regex("caps_osd", _RBD_PROFILES_ONLY),
        ),
    ),
    "fs-client": _READ_FS_MAPS,
    "simple-rados-client": _READ_MAPS,
    "simple-rados-client-with-blocklist": (*_READ_MAPS, _BLOCKLIST_ONE),
    "crash": (_service("mon", READ),),
    "cephfs-mirror": (
        *_READ_FS_MAPS,
        _command("config-key get", _prefix("key", "cephfs/mirror/peer/")),
    ),
    "role-definer": (_service("mon", READ), _service("auth", _RWX)),
}

_RBD: Final = (*_READ_MAPS, _BLOCKLIST_ONE, _BLACKLIST_ONE)

_RBD_MORE: Final[dict[str, tuple[MonGrant, ...]]] = {
    "rbd-mirror": (_command("config-key get", _prefix("key", "rbd/mirror/")),),
    "rbd-mirror-peer": (
        _command("config-key get", _regex("key", "rbd/mirror/[^/]+")),
        _command("config-key set", _prefix("key", "rbd/mirror/peer/")),
    ),
}


@lru_cache(maxsize=4096)
def profile_grants(profile: str, name: str) -> tuple[MonGrant, ...]:
    """The grants that `profile` stands for when the entity `name` (`osd.3`) holds it.

    A daemon's profile also opens the part of the config-key store that is private to it.
    """
    if profile.startswith("rbd"):
        return _RBD + _RBD_MORE.get(profile, ())
    grants = _PROFILES.get(profile, ())
    if profile in _DAEMONS:
        private = _prefix("key", f"daemon-private/{name}/")
        grants += tuple(
            _command(f"config-key {verb}", private)
            for verb in ("get", "put", "set", "exists", "delete")
        )
    return grants
