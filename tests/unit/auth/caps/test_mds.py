"""What the metadata server's caps allow."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from spirula.auth.caps import mds
from spirula.types.entity import EntityAddr

R, W, X = mds.MAY_READ, mds.MAY_WRITE, mds.MAY_EXECUTE


def may(
    text: str,
    mask: int,
    path: str = "foo",
    *,
    owner: tuple[int, int] = (0, 0),
    mode: int = 0o777,
    caller: tuple[int, int] = (0, 0),
    gids: Collection[int] = (),
    new: tuple[int, int] = (0, 0),
    host: str = "",
    fs_name: str | None = None,
) -> bool:
    return mds.parse(text).is_capable(
        path,
        *owner,
        mode,
        *caller,
        gids,
        mask,
        *new,
        EntityAddr.of(host, 0) if host else None,
        fs_name,
    )


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ("r", "r"),
        ("rw", "rw"),
        ("rwf", "rwf"),
        ("rwp", "rwp"),
        ("rws", "rws"),
        ("rwps", "rwps"),
        ("rwfp", "rwfp"),
        ("rwfs", "rwfs"),
        ("rwfps", "rwfps"),
        ("*", "rwfps"),
        ("all", "rwfps"),
    ],
)
def test_letters(spec: str, allowed: str) -> None:
    wants = {"r": R, "w": W, "f": mds.MAY_FULL, "p": mds.MAY_SET_VXATTR, "s": mds.MAY_SNAPSHOT}
    for letter, mask in wants.items():
        assert may(f"allow {spec}", mask) == (letter in allowed)
        assert may(f"allow {spec}", R | mask) == (letter in allowed)
    assert may(f"allow {spec}", X)


def test_the_old_spelling() -> None:
    assert mds.parse("allow") == mds.parse("allow rwps")
    assert not mds.parse("allow").is_allow_all()
    assert mds.parse("allow *").is_allow_all()
    assert mds.parse("allow all") == mds.ALLOW_ALL


@pytest.mark.parametrize("path", ["/sandbox", "sandbox", "//sandbox", '"/sandbox"', "/sandbox/"])
@pytest.mark.parametrize(
    ("target", "inside"),
    [
        ("sandbox", True),
        ("sandbox/foo", True),
        ("sandbox/foo/bar", True),
        ("sandboxed", False),
        ("sandboxed/foo", False),
        ("sand", False),
        ("", False),
        ("foo/sandbox", False),
        ("/sandbox", False),
    ],
)
def test_paths(path: str, target: str, *, inside: bool) -> None:
    text = f"allow rw path={path}"
    assert may(text, R | W, target) == inside
    assert mds.parse(text).path_capable(target) == inside
    assert not mds.parse(text).is_allow_all()


def test_paths_with_unusual_characters() -> None:
    assert may("allow rw path=/a-._b", W, "a-._b/c")
    assert not may("allow rw path=/a-._b", W, "a-Xb/c")
    assert may('allow rw path="/a b*c"', W, "a b*c")
    assert not may('allow rw path="/a b*c"', W, "a bXc")


@pytest.mark.parametrize("text", ['allow rw path=""', "allow rw path=/", "allow rw"])
def test_the_root_is_everything(text: str) -> None:
    assert may(text, W, "")
    assert may(text, W, "a/b")


def test_another_grant_may_open_what_one_does_not() -> None:
    text = "allow r, allow rw path=/home"
    assert may(text, R, "etc")
    assert not may(text, W, "etc")
    assert may(text, W, "home/x")


def test_users() -> None:
    assert may("allow * uid=10", R, caller=(10, 0))
    assert may("allow * uid=10", R, caller=(10, 99), gids=[1, 2])
    assert not may("allow * uid=10", R, caller=(0, 0))
    assert not may("allow * uid=10", R, caller=(12, 10))
    assert not mds.parse("allow * uid=10").is_allow_all()
    assert may("allow * uid=0", R, caller=(0, 5))


def test_groups() -> None:
    text = "allow * uid=10 gids=10,11,12; allow * uid=12 gids=12,10"
    assert may(text, R, caller=(10, 10))
    assert may(text, R, caller=(12, 12))
    assert not may(text, R, caller=(10, 0))
    assert not may(text, R, caller=(10, 13))
    assert not may(text, R, caller=(9, 10))
    assert may(text, R, caller=(10, 0), gids=[99, 11])
    assert not may(text, R, caller=(12, 0), gids=[11])


@pytest.mark.parametrize(
    ("owner", "mode", "caller", "gids", "mask", "allowed"),
    [
        # The owner's bits count for the owner, even where others have more.
        ((10, 10), 0o500, (10, 11), (), R, True),
        ((10, 10), 0o500, (10, 11), (), W, False),
        ((10, 10), 0o700, (10, 11), (), R | W, True),
        ((10, 0), 0o077, (10, 10), (), R, False),
        ((10, 0), 0o100, (10, 10), (), X, True),
        ((10, 0), 0o600, (10, 10), (), X, False),
        # Then the group's, for groups that the grant names.
        ((0, 10), 0o750, (10, 10), (), R, True),
        ((0, 10), 0o750, (10, 10), (), W, False),
        ((0, 11), 0o770, (10, 10), (11,), R | W, True),
        ((0, 11), 0o770, (10, 11), (), R | W, True),
        ((0, 13), 0o770, (10, 10), (13,), R, False),
        ((0, 13), 0o775, (10, 10), (13,), R, True),
        ((0, 10), 0o705, (10, 10), (), R, False),
        # Then the others'.
        ((0, 0), 0o775, (10, 10), (), R, True),
        ((0, 0), 0o770, (10, 10), (), R, False),
        ((0, 0), 0o775, (10, 10), (), W, False),
        ((0, 0), 0o777, (10, 10), (), R | W | X, True),
        ((0, 0), 0o773, (10, 10), (), R, False),
    ],
)
def test_permission_bits_count_where_the_grant_names_a_user(
    owner: tuple[int, int],
    mode: int,
    caller: tuple[int, int],
    gids: tuple[int, ...],
    mask: int,
    *,
    allowed: bool,
) -> None:
    text = "allow * uid=10 gids=10,11,12"
    assert may(text, mask, owner=owner, mode=mode, caller=caller, gids=gids) == allowed
    # Without a user the client is trusted to check them.
    assert may("allow *", mask, owner=owner, mode=mode, caller=caller, gids=gids)


def test_giving_files_away() -> None:
    text = "allow * uid=10 gids=10,11"
    mine = {"owner": (10, 10), "caller": (10, 10), "mode": 0o700}
    assert may(text, mds.MAY_CHOWN, new=(10, 0), **mine)  # type: ignore[arg-type] # same keywords
    assert not may(text, mds.MAY_CHOWN, new=(11, 0), **mine)  # type: ignore[arg-type] # same keywords
    assert not may(text, mds.MAY_CHOWN, owner=(11, 10), caller=(10, 10), new=(10, 0))
    assert may(text, mds.MAY_CHGRP, new=(0, 10), **mine)  # type: ignore[arg-type] # same keywords
    assert not may(text, mds.MAY_CHGRP, new=(0, 11), **mine)  # type: ignore[arg-type] # same keywords
    assert may(text, mds.MAY_CHGRP, owner=(10, 10), caller=(10, 10), gids=[11], new=(0, 11))
    assert not may(text, mds.MAY_CHGRP, owner=(11, 10), caller=(10, 10), new=(0, 10))


def test_root_squash() -> None:
    text = "allow rw root_squash, allow rw path=/sandbox"
    assert may(text, R)
    assert may(text, R | W, caller=(10, 10))
    assert not may(text, W, caller=(0, 0))
    assert not may(text, W, caller=(0, 10))
    assert not may(text, W, caller=(10, 0))
    assert may(text, W, "sandbox/x", caller=(0, 0))


def test_networks() -> None:
    text = "allow * network 192.168.0.0/16, allow r network 10.0.0.0/8"
    assert may(text, W, host="192.168.2.3")
    assert may(text, R, host="10.1.2.3")
    assert not may(text, W, host="10.1.2.3")
    assert not may(text, R, host="192.167.2.3")
    assert not may(text, R)


def test_file_systems() -> None:
    caps = mds.parse("allow r fsname=a, allow rw fsname=b")
    assert caps.fs_name_capable("a", R)
    assert not caps.fs_name_capable("a", W)
    assert caps.fs_name_capable("b", W)
    assert not caps.fs_name_capable("c", R | W)
    assert mds.parse("allow rw").fs_name_capable("c", W)
    assert mds.parse("allow *").fs_name_capable("c", W)
    assert not mds.parse("allow rw").fs_name_capable("c", 0)


def test_a_grant_for_one_file_system_does_not_count_in_another() -> None:
    text = "allow rw fsname=a, allow r fsname=b"
    assert may(text, W, fs_name="a")
    assert not may(text, W, fs_name="b")
    assert may(text, R, fs_name="b")
    assert not may(text, R, fs_name="c")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("allow", "MDSAuthCaps[allow rwps]"),
        ("allow all", "MDSAuthCaps[allow *]"),
        ("allow rwfps", "MDSAuthCaps[allow rwfps]"),
        ("allow rw path=foo", 'MDSAuthCaps[allow rw path="/foo"]'),
        ("allow rw uid=1 gids=3,1,2", "MDSAuthCaps[allow rw uid=1 gids=1,2,3]"),
        ("allow rw path='/a b' uid=0", 'MDSAuthCaps[allow rw path="/a b" uid=0]'),
        (
            "allow r ;allow rw fsname=a path=/b root_squash network 10.0.0.0/8",
            'MDSAuthCaps[allow r, allow rw fsname=a path="/b" root_squash network 10.0.0.0/8]',
        ),
    ],
)
def test_prints_as_upstream_prints(text: str, printed: str) -> None:
    assert str(mds.parse(text)) == printed
