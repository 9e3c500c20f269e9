"""The caps language of the metadata server: which paths a client may read and change, and as whom.

    grants := grant { (',' | ';') grant }  |  exactly 'allow', an old spelling of 'allow rwps'
    grant  := 'allow' spec [match] [network]
    spec   := '*' | 'all' | 'r' | 'rw' ['f'] ['p'] ['s']
              (f: go on when full, p: layouts and quotas, s: snapshots)
    match  := ['fsname=' name] ['path=' path] ['root_squash']
            | ['path=' path] 'uid=' number ['gids=' number {',' number}]

Not here: the file system itself. Called by the MDS for each request, and by the monitor to check
what `auth` commands store. Format and meaning: upstream `src/mds/MDSAuthCaps.{h,cc}`.

What 16.2 accepts although it looks wrong, and so do we: an empty path, which stands for the root
and so for everything. Slashes at a path's end do not count, as upstream decided after 16.2.0.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from spirula.auth.caps.grammar import ASCII_SPACES, Scanner, parse_grants
from spirula.auth.caps.network import Address, Network, network_of

MAY_READ: Final = 1 << 0
MAY_WRITE: Final = 1 << 1
MAY_EXECUTE: Final = 1 << 2
MAY_CHOWN: Final = 1 << 4
MAY_CHGRP: Final = 1 << 5
MAY_SET_VXATTR: Final = 1 << 6
MAY_SNAPSHOT: Final = 1 << 7
MAY_FULL: Final = 1 << 8
"""What a request wants (the bits of `mask`)."""

ALL: Final = 1 << 0
READ: Final = 1 << 1
WRITE: Final = 1 << 2
SET_VXATTR: Final = 1 << 3
SNAPSHOT: Final = 1 << 4
FULL: Final = 1 << 5
"""What a grant allows. `ALL` is always set together with all others."""

_RW: Final = READ | WRITE
_RWPS: Final = _RW | SET_VXATTR | SNAPSHOT
_EVERYTHING: Final = ALL | _RWPS | FULL

_SPECS: Final = (
    ("*", _EVERYTHING),
    ("all", _EVERYTHING),
    ("rwfps", _RWPS | FULL),
    ("rwps", _RWPS),
    ("rwfp", _RW | FULL | SET_VXATTR),
    ("rwfs", _RW | FULL | SNAPSHOT),
    ("rwp", _RW | SET_VXATTR),
    ("rws", _RW | SNAPSHOT),
    ("rwf", _RW | FULL),
    ("rw", _RW),
    ("r", READ),
)

_NUMBER: Final = re.compile(r"[0-9]+")
_U32: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class MdsGrant:
    """One grant. `path` has no slash at its beginning; empty, it is the root.

    With `uid` the client acts as that user and, if there are any, with those groups only; the
    usual permission bits then apply. `gids` is sorted.
    """

    allow: int
    path: str = ""
    uid: int | None = None
    gids: tuple[int, ...] = ()
    fs_name: str = ""
    root_squash: bool = False
    network: Network | None = None

    @property
    def is_allow_all(self) -> bool:
        """Whether this is `allow *` for every path and user.

        As upstream, neither `fsname`, `root_squash` nor `network` matters here.
        """
        return bool(self.allow & ALL) and self.uid is None and not self.path

    def matches_path(self, path: str) -> bool:
        """Whether `path` (no slash at its beginning) is `self.path` or below it."""
        mine = self.path.rstrip("/")
        if not mine:
            return True
        return path.startswith(mine) and path[len(mine) : len(mine) + 1] in ("", "/")

    def matches_caller(self, uid: int, gid: int, gids: Collection[int]) -> bool:
        """Whether the grant applies to this user: its uid, and one of its groups."""
        if self.uid is None:
            return True
        if self.uid != uid:
            return False
        return not self.gids or gid in self.gids or any(each in self.gids for each in gids)

    def __str__(self) -> str:
        return self._text('"')

    def to_text(self) -> str:
        """The grant so that it reads back as itself, whatever characters its path contains."""
        return self._text("'" if '"' in self.path else '"')

    def _text(self, mark: str) -> str:
        out = f"allow {print_allow(self.allow)}"
        if self.fs_name:
            out += f" fsname={self.fs_name}"
        if self.path:
            out += f" path={mark}/{self.path}{mark}"
        if self.root_squash:
            out += " root_squash"
        if self.uid is not None:
            out += f" uid={self.uid}"
            if self.gids:
                out += f" gids={','.join(map(str, self.gids))}"
        if self.network:
            out += f" network {self.network.text}"
        return out


def print_allow(allow: int) -> str:
    """The letters of `allow`."""
    if allow & ALL:
        return "*"
    letters = (("r", READ), ("w", WRITE), ("f", FULL), ("p", SET_VXATTR), ("s", SNAPSHOT))
    return "".join(letter for letter, bit in letters if allow & bit)


@dataclass(frozen=True, slots=True)
class MdsCaps:
    """What an entity may do in file systems.

    `text` is what was parsed; it does not take part in comparisons.
    """

    grants: tuple[MdsGrant, ...] = ()
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"MDSAuthCaps[{', '.join(map(str, self.grants))}]"

    def to_text(self) -> str:
        """The caps in their language, so that they read back as themselves."""
        return ", ".join(grant.to_text() for grant in self.grants)

    def is_allow_all(self) -> bool:
        """Whether some grant is `allow *` for every path and user."""
        return any(grant.is_allow_all for grant in self.grants)

    def path_capable(self, path: str) -> bool:
        """Whether some grant could apply to `path`; `is_capable` has the last word."""
        return any(grant.matches_path(path) for grant in self.grants)

    def fs_name_capable(self, fs_name: str, mask: int) -> bool:
        """Whether the entity may read or write (bits of `mask`, one is enough) this file system."""
        return self.is_allow_all() or any(
            grant.fs_name in ("", "*", fs_name)
            and (
                (mask & MAY_READ and grant.allow & READ)
                or (mask & MAY_WRITE and grant.allow & WRITE)
            )
            for grant in self.grants
        )

    def is_capable(
        self,
        path: str,
        inode_uid: int,
        inode_gid: int,
        inode_mode: int,
        uid: int,
        gid: int,
        gids: Collection[int],
        mask: int,
        new_uid: int = 0,
        new_gid: int = 0,
        address: Address = None,
        fs_name: str | None = None,
    ) -> bool:
        """Whether user `uid` with group `gid` and further groups `gids` may do what `mask` says.

        `path` is the inode's, from the root, without a slash at its beginning. `new_uid` and
        `new_gid` matter with MAY_CHOWN and MAY_CHGRP. One grant must allow all of it.
        With `fs_name`, grants for another file system do not count; 16.2 has no such argument and
        lets them count once the entity may use the file system at all.
        """
        for grant in self.grants:
            if grant.network is not None and not grant.network.contains(address):
                continue
            if fs_name is not None and grant.fs_name not in ("", "*", fs_name):
                continue
            if not (grant.matches_path(path) and grant.matches_caller(uid, gid, gids)):
                continue
            if not _spec_allows(grant.allow, mask):
                continue
            if grant.root_squash and mask & MAY_WRITE and (uid == 0 or gid == 0):
                continue
            if grant.uid is None:
                return True
            mine = {each for each in (gid, *gids) if each in grant.gids}
            if mask & MAY_CHOWN and not new_uid == uid == inode_uid:
                continue
            if mask & MAY_CHGRP and not (inode_uid == uid and new_gid in mine):
                continue
            if inode_uid == uid:
                bits = inode_mode >> 6
            elif inode_gid in mine:
                bits = inode_mode >> 3
            else:
                bits = inode_mode
            if (
                (not mask & MAY_READ or bits & 4)
                and (not mask & MAY_WRITE or bits & 2)
                and (not mask & MAY_EXECUTE or bits & 1)
            ):
                return True
        return False


ALLOW_ALL: Final = MdsCaps((MdsGrant(_EVERYTHING),), "allow *")


def parse(text: str) -> MdsCaps:
    """The caps that `text` says, or `InvalidCaps`."""
    if text == "allow":
        return MdsCaps((MdsGrant(_RWPS),), text)
    return MdsCaps(parse_grants("mds", text, _grant, around=ASCII_SPACES), text)


def _spec_allows(allow: int, mask: int) -> bool:
    return (
        (not mask & (MAY_READ | MAY_EXECUTE) or bool(allow & READ))
        and (not mask & MAY_WRITE or bool(allow & WRITE))
        and (not mask & MAY_SET_VXATTR or bool(allow & SET_VXATTR))
        and (not mask & MAY_SNAPSHOT or bool(allow & SNAPSHOT))
        and (not mask & MAY_FULL or bool(allow & FULL))
    )


def _grant(scanner: Scanner) -> MdsGrant | None:
    start = scanner.pos
    if scanner.literal("allow") and scanner.spaces():
        for word, allow in _SPECS:
            if scanner.literal(word):
                return _match(scanner, allow)
    scanner.pos = start
    return None


def _match(scanner: Scanner, allow: int) -> MdsGrant:
    """The rest of a grant, all of it optional. The order of the clauses is fixed."""
    fs_name = _fs_name(scanner)
    path = _path(scanner)
    mark = scanner.pos
    root_squash = scanner.spaces() and scanner.literal("root_squash")
    uid: int | None = None
    gids: tuple[int, ...] = ()
    if not root_squash:
        scanner.pos = mark
        # Users and groups cannot be combined with a file system's name.
        if not fs_name:
            uid = _uid(scanner)
        if uid is not None:
            gids = _gids(scanner)
    return MdsGrant(
        allow, path or "", uid, gids, fs_name, root_squash, network_of(scanner.network())
    )


def _fs_name(scanner: Scanner) -> str:
    mark = scanner.pos
    if scanner.spaces() and scanner.literal("fsname") and scanner.literal("="):
        found = scanner.fs_name()
        if found is not None:
            return found
    scanner.pos = mark
    return ""


def _path(scanner: Scanner) -> str | None:
    mark = scanner.pos
    if scanner.spaces() and scanner.literal("path") and scanner.literal("="):
        found = scanner.string("a path", may_be_empty=True)
        if found is not None:
            return found.lstrip("/")
    scanner.pos = mark
    return None


def _uid(scanner: Scanner) -> int | None:
    mark = scanner.pos
    if scanner.spaces() and scanner.literal("uid") and scanner.literal("="):
        found = _u32(scanner)
        if found is not None:
            return found
    scanner.pos = mark
    return None


def _gids(scanner: Scanner) -> tuple[int, ...]:
    mark = scanner.pos
    if scanner.spaces() and scanner.literal("gids") and scanner.literal("="):
        found: list[int] = []
        while (gid := _u32(scanner)) is not None:
            found.append(gid)
            mark = scanner.pos
            if not scanner.literal(","):
                break
        scanner.pos = mark
        return tuple(sorted(found))
    scanner.pos = mark
    return ()


def _u32(scanner: Scanner) -> int | None:
    mark = scanner.pos
    digits = scanner.match(_NUMBER, "a number")
    if digits is not None:
        significant = digits.lstrip("0") or "0"
        if len(significant) <= 10 and int(significant) <= _U32:
            return int(significant)
    scanner.pos = mark
    return None
