"""Published holes in upstream's authorisation, asked of this library."""

from __future__ import annotations

import pytest

from spirula.auth.caps import InvalidCaps, mds, mgr, mon, osd, parse

READERS = [
    "allow r",
    "profile rbd",
    "profile simple-rados-client",
    "profile crash",
    "profile read-only",
]


def test_creating_and_deleting_pools_needs_write_on_osd() -> None:
    """CVE-2018-10861: any user could create and delete pools."""
    for text in READERS:
        caps = mon.parse(text)
        for command in ("osd pool create", "osd pool delete", "osd pool mksnap"):
            arguments = {"pool": "rbd"}
            assert not caps.is_capable("client.x", "osd", command, arguments, read=True, write=True)
    assert mon.parse("allow rw").is_capable(
        "client.x", "osd", "osd pool create", {}, read=True, write=True
    )


@pytest.mark.parametrize(
    "text", [*READERS, "allow rw", "allow rwx", "profile read-write", "allow * fsname=a"]
)
def test_stored_secrets_are_closed_to_blanket_letters(text: str) -> None:
    """CVE-2018-14662 (dm-crypt keys), CVE-2026-50152 (the whole store by one subscription)."""
    caps = mon.parse(text)
    for command, arguments in (
        ("config-key get", {"key": "dm-crypt/osd/1/luks"}),
        ("config-key dump", {}),
        ("config-key ls", {}),
        ("", {}),
    ):
        assert not caps.is_capable("client.x", "config-key", command, arguments, read=True)


def test_a_daemon_cannot_read_another_daemons_secrets() -> None:
    caps = mon.parse("allow profile osd")
    key = {"key": "daemon-private/osd.1/luks"}
    assert caps.is_capable("osd.1", "config-key", "config-key get", key, read=True)
    assert not caps.is_capable("osd.2", "config-key", "config-key get", key, read=True)
    # The same caps value serves several names; none of them may leave its grants to the next.
    assert not caps.is_capable("osd.10", "config-key", "config-key get", key, read=True)
    assert caps.is_capable("osd.1", "config-key", "config-key get", key, read=True)


def test_mgr_commands_need_mgr_caps() -> None:
    """CVE-2020-10736: commands reached the manager without authorisation."""
    for text in ("profile crash", "profile osd", "profile mds", "allow r", "profile rbd"):
        caps = mgr.parse(text)
        assert not caps.is_capable("mgr", "", "dashboard set-ssl-certificate", {}, write=True)
        assert not caps.is_capable("py", "dashboard", "ac-user-create", {}, read=True, write=True)
    assert not mgr.MgrCaps().is_capable("mgr", "", "status", {}, read=True)


def test_a_share_does_not_reach_its_neighbours() -> None:
    """CVE-2020-27781, CVE-2022-0670: the owner of one share reached others or everything."""
    caps = mds.parse("allow rw path=/volumes/_nogroup/share1/uuid-1")
    everything = mds.MAY_READ | mds.MAY_WRITE
    for path, inside in (
        ("volumes/_nogroup/share1/uuid-1", True),
        ("volumes/_nogroup/share1/uuid-1/file", True),
        ("volumes/_nogroup/share1/uuid-10/file", False),
        ("volumes/_nogroup/share1", False),
        ("volumes/_nogroup/share2/uuid-2", False),
        ("volumes", False),
        ("", False),
    ):
        assert caps.is_capable(path, 0, 0, 0o777, 0, 0, (), everything) == inside, path


def test_a_namespace_does_not_reach_its_neighbours() -> None:
    caps = osd.parse("allow rw pool=data namespace=fsvolumens_share1")
    assert caps.is_capable("data", "fsvolumens_share1", {}, "1.0", may_read=True, may_write=True)
    for namespace in ("", "fsvolumens_share10", "fsvolumens_share2", "fsvolumens_*"):
        assert not caps.is_capable("data", namespace, {}, "1.0", may_read=True, may_write=False)


@pytest.mark.parametrize("service", ["mon", "osd", "mds", "mgr"])
@pytest.mark.parametrize(
    "text",
    [
        "allow *, nonsense",
        "allow * nonsense",
        "nonsense, allow *",
        "allow *,, allow r",
        "allow *\0",
        "allow * \n; allow *;",
    ],
)
def test_no_part_of_a_malformed_text_counts(service: str, text: str) -> None:
    with pytest.raises(InvalidCaps):
        parse(service, text)


def test_unicode_lookalikes_are_not_syntax() -> None:
    for text in ("allow\u2003*", "allow\u00a0*", "\uff41llow *", "allow \u2217", "allow rw\u0131"):
        for service in ("mon", "osd", "mds", "mgr"):
            with pytest.raises(InvalidCaps):
                parse(service, text)
    for digits in ("\u0661", "\u00b2", "\uff11"):
        with pytest.raises(InvalidCaps):
            mds.parse(f"allow rw uid={digits}")
