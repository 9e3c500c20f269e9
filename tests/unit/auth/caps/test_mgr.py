"""What the manager's caps allow."""

from __future__ import annotations

import pytest

from spirula.auth.caps import InvalidCaps, mgr
from spirula.types.entity import EntityAddr


def may(
    text: str,
    want: str,
    service: str = "",
    module: str = "",
    command: str = "",
    *,
    host: str = "",
    **arguments: str,
) -> bool:
    return mgr.parse(text).is_capable(
        service,
        module,
        command,
        arguments,
        read="r" in want,
        write="w" in want,
        execute="x" in want,
        address=EntityAddr.of(host, 0) if host else None,
    )


@pytest.mark.parametrize("letters", ["r", "w", "x", "rw", "rx", "wx", "rwx"])
@pytest.mark.parametrize("want", ["r", "w", "x", "rw", "rx", "wx", "rwx"])
def test_blanket_letters_allow_exactly_themselves(letters: str, want: str) -> None:
    assert may(f"allow {letters}", want, "mgr", "", "balancer on") == (set(want) <= set(letters))


def test_star() -> None:
    assert mgr.parse("allow *").is_allow_all()
    assert not mgr.parse("allow rwx").is_allow_all()
    assert may("allow *", "rwx", "mgr", "any", "thing")
    assert mgr.parse("allow all") == mgr.ALLOW_ALL
    assert not mgr.MgrCaps().is_capable("mgr", "", "", {})


def test_services_modules_and_commands_are_separate() -> None:
    assert may("allow service mgr rw", "rw", "mgr", "balancer", "balancer on")
    assert not may("allow service mgr rw", "r", "py", "balancer")
    assert may("allow module balancer r", "r", "py", "balancer")
    assert not may("allow module balancer r", "w", "py", "balancer")
    assert not may("allow module balancer r", "r", "py", "crash")
    assert may("allow command status", "rwx", "py", "status", "status")
    assert not may("allow command status", "r", "py", "status", "osd status")


def test_grants_add_up() -> None:
    assert may("allow module a r, allow module a w", "rw", "py", "a")
    assert not may("allow module a r, allow module b w", "rw", "py", "a")


def test_constraints_on_a_modules_requests() -> None:
    text = "allow module rbd_support with pool=abc namespace prefix de rw"
    assert may(text, "rw", "py", "rbd_support", pool="abc", namespace="def")
    assert not may(text, "r", "py", "rbd_support", pool="abc")
    assert not may(text, "r", "py", "rbd_support", pool="abx", namespace="def")
    # The constraints are about what the module reports, not about commands typed by a user.
    assert may(text, "rw", "py", "rbd_support", "rbd task list")


def test_constraints_on_commands() -> None:
    text = 'allow command "crash post" with id regex "^[a-z]+$"'
    assert may(text, "rwx", "py", "crash", "crash post", id="abc")
    assert not may(text, "r", "py", "crash", "crash post", id="ABC")
    assert not may(text, "r", "py", "crash", "crash post")


def test_profiles() -> None:
    assert may("profile read-only", "r", "mgr")
    assert not may("profile read-only", "w", "mgr")
    assert may("profile read-write", "rw", "mgr")
    assert not may("profile read-write", "x", "mgr")
    assert may("profile crash", "rw", "py", "crash", "crash post")
    assert not may("profile crash", "r", "py", "crash", "crash ls")
    for idle in ("osd", "mds"):
        assert not may(f"profile {idle}", "r", "mgr", idle, "osd status")


def test_rbd_profiles() -> None:
    assert may("profile rbd", "rw", "py", "rbd_support")
    assert not may("profile rbd", "r", "py", "balancer")
    assert may("profile rbd-read-only", "r", "py", "rbd_support")
    assert not may("profile rbd-read-only", "w", "py", "rbd_support")
    text = "profile rbd pool=abc namespace prefix de"
    assert may(text, "rw", "py", "rbd_support", pool="abc", namespace="def")
    assert not may(text, "r", "py", "rbd_support", pool="abc", namespace="x")


def test_a_profile_must_be_known_and_understand_its_arguments() -> None:
    with pytest.raises(InvalidCaps, match="unrecognized profile 'nonsense'"):
        mgr.parse("allow *, profile nonsense")
    with pytest.raises(InvalidCaps, match="'rbd' does not recognize key 'image'"):
        mgr.parse("profile rbd image=x")


def test_networks() -> None:
    text = "allow * network 192.168.0.0/16, profile read-only network 10.0.0.0/8"
    assert may(text, "rwx", "mgr", host="192.168.2.3")
    assert may(text, "r", "mgr", host="10.1.2.3")
    assert not may(text, "w", "mgr", host="10.1.2.3")
    assert not may(text, "r", "mgr", host="192.167.2.3")
    assert not may(text, "r", "mgr")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("allow all", "allow *"),
        ("allow profile crash", "profile crash"),
        ("profile rbd pool = ABC namespace=NS", "profile rbd namespace=NS pool=ABC"),
        ("allow module ' foo ' r;allow x", 'allow module " foo " r, allow x'),
        (
            "allow module foo with b prefix 'c d' a=1 x",
            'allow module foo with a=1 b prefix "c d" x',
        ),
        ("allow command a.b with c regex x", 'allow command "a.b" with c regex x'),
        ("allow service=foo r network ::1/128", "allow service foo r network ::1/128"),
    ],
)
def test_prints_as_upstream_prints(text: str, printed: str) -> None:
    assert str(mgr.parse(text)) == printed
