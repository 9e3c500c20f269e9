"""What the OSD's caps allow."""

from __future__ import annotations

import pytest

from spirula.auth.caps import osd
from spirula.auth.caps.osd import ClassCall
from spirula.types.entity import EntityAddr


def may(
    text: str,
    want: str,
    pool: str = "p",
    *,
    ns: str = "",
    obj: str = "o",
    tags: dict[str, dict[str, str]] | None = None,
    calls: tuple[ClassCall, ...] = (),
    host: str = "",
) -> bool:
    return osd.parse(text).is_capable(
        pool,
        ns,
        tags or {},
        obj,
        "r" in want,
        "w" in want,
        calls,
        EntityAddr.of(host, 0) if host else None,
    )


def call(
    name: str = "rbd",
    method: str = "",
    *,
    read: bool = True,
    write: bool = True,
    listed: bool = True,
) -> ClassCall:
    return ClassCall(name, method, read, write, listed)


@pytest.mark.parametrize("letters", ["r", "w", "x", "rw", "rx", "wx", "rwx"])
@pytest.mark.parametrize("want", ["", "r", "w", "rw"])
def test_letters_for_reading_and_writing(letters: str, want: str) -> None:
    assert may(f"allow {letters}", want) == (set(want) <= set(letters))


@pytest.mark.parametrize(
    ("spec", "reads", "writes"),
    [
        ("r", False, False),
        ("rw", False, False),
        ("x", True, True),
        ("rwx", True, True),
        ("class-read", True, False),
        ("class-write", False, True),
        ("class-read class-write", True, True),
        ("rw class-read", True, False),
    ],
)
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("write", [True, False])
def test_letters_for_class_methods(
    spec: str, *, reads: bool, writes: bool, read: bool, write: bool
) -> None:
    expected = (reads or not read) and (writes or not write)
    assert may(f"allow {spec}", "", calls=(call(read=read, write=write),)) == expected
    unlisted = call(read=read, write=write, listed=False)
    assert not may(f"allow {spec}", "", calls=(unlisted,))


def test_star_calls_even_classes_that_are_not_listed() -> None:
    assert may("allow *", "rw", calls=(call(listed=False),), ns="x", tags={"a": {"b": "c"}})
    assert osd.parse("allow all").is_allow_all()
    assert not osd.parse("allow rwx").is_allow_all()
    assert not osd.parse("allow * pool p").is_allow_all()
    assert not osd.parse("allow * namespace ''").is_allow_all()
    assert not osd.parse("profile rbd").is_allow_all()
    assert osd.parse("allow *") == osd.ALLOW_ALL


def test_star_within_a_pool() -> None:
    assert may("allow * pool p", "rw", calls=(call(listed=False),))
    assert not may("allow * pool q", "rw", calls=(call(listed=False),))


def test_pools() -> None:
    text = "allow rwx pool foo, allow r pool bar"
    assert may(text, "rw", "foo", calls=(call(),))
    assert may(text, "rw", "foo", ns="any")
    assert may(text, "r", "bar")
    assert not may(text, "w", "bar")
    assert not may(text, "r", "bar", calls=(call(),))
    assert not may(text, "r", "food")
    assert not may(text, "r", "")


def test_reading_and_writing_must_come_from_one_grant() -> None:
    assert not may("allow r, allow w", "rw")
    assert may("allow r, allow w", "r")
    assert may("allow r, allow w", "w")


@pytest.mark.parametrize(
    ("clause", "inside", "outside"),
    [
        ("namespace=n", ["n"], ["", "nn", "m"]),
        ("namespace=n*", ["n", "nn", "n/x"], ["", "m"]),
        ('namespace="n*"', ["n", "nn"], ["", "m"]),
        ("namespace=''", [""], ["n"]),
        ('namespace=""*', ["", "n"], []),
        ("namespace a.b", ["a.b"], ["aXb"]),
        ("", ["", "n"], []),
    ],
)
def test_namespaces(clause: str, inside: list[str], outside: list[str]) -> None:
    for text in (f"allow rw {clause}", f"allow {clause} rw" if clause else "allow rw"):
        for ns in inside:
            assert may(text, "rw", ns=ns)
        for ns in outside:
            assert not may(text, "r", ns=ns)


@pytest.mark.parametrize(
    ("name", "inside"),
    [("foo", True), ("food", True), ("foo_bar", True), ("fo", False), (" foo", False), ("", False)],
)
def test_object_prefixes(name: str, *, inside: bool) -> None:
    assert may("allow rw object_prefix foo", "rw", obj=name) == inside
    assert may("allow object_prefix foo rw", "rw", obj=name) == inside
    assert may("allow rw pool p object_prefix foo", "rw", obj=name) == inside
    assert not may("allow rw pool q object_prefix foo", "rw", obj=name)


@pytest.mark.parametrize(
    ("tag", "matching", "others"),
    [
        (
            "cephfs data=a",
            [{"data": "a"}, {"data": "a", "x": "y"}],
            [{"data": "b"}, {"meta": "a"}, {}],
        ),
        ("cephfs data=*", [{"data": "a"}, {"data": ""}], [{"meta": "a"}, {}]),
        ("cephfs *=a", [{"data": "a"}, {"x": "y", "meta": "a"}], [{"data": "b"}, {}]),
        ("cephfs all=all", [{"data": "a"}, {}], []),
        ("cephfs 'allx'=b", [{"allx": "b"}], [{"ally": "b"}]),
    ],
)
def test_pool_tags(tag: str, matching: list[dict[str, str]], others: list[dict[str, str]]) -> None:
    text = f"allow rw tag {tag}"
    for values in matching:
        assert may(text, "rw", tags={"cephfs": values})
        assert not may(text, "r", tags={"rgw": values})
    for values in others:
        assert not may(text, "r", tags={"cephfs": values})
    assert not may(text, "r")


def test_tags_within_a_namespace() -> None:
    text = "allow rw namespace=n tag cephfs data=a"
    assert may(text, "rw", ns="n", tags={"cephfs": {"data": "a"}})
    assert not may(text, "r", ns="m", tags={"cephfs": {"data": "a"}})


def test_a_class_grant_needs_no_letters_and_gives_none() -> None:
    assert may("allow class rbd", "", calls=(call("rbd", "any", listed=False),))
    assert not may("allow class rbd", "", calls=(call("lock"),))
    assert not may("allow class rbd", "r", calls=(call("rbd"),))
    assert may("allow class rbd status", "", calls=(call("rbd", "status"),))
    assert not may("allow class rbd status", "", calls=(call("rbd", "remove"),))
    assert not may("allow pool q class rbd", "", calls=(call("rbd"),))


def test_different_grants_may_allow_different_methods_of_one_operation() -> None:
    calls = (call("rbd", "a", listed=False), call("lock", "b"))
    assert may("allow class rbd, allow x", "", calls=calls)
    assert may("allow class rbd a, allow class lock", "", calls=calls)
    assert not may("allow class rbd", "", calls=calls)
    assert not may("allow x", "", calls=calls)
    # Each of them must also allow what else the operation does.
    assert not may("allow class rbd, allow rx", "r", calls=calls)


def test_a_method_that_does_nothing_still_needs_a_listed_class() -> None:
    idle = call(read=False, write=False)
    assert may("allow r", "", calls=(idle,))
    assert not may("allow r", "", calls=(idle._replace(allowed=False),))


def test_networks() -> None:
    text = "allow rw network 192.168.0.0/16, allow * network 10.0.0.0/8"
    assert may(text, "rw", host="192.168.2.3")
    assert may(text, "rw", host="10.1.2.3", calls=(call(listed=False),))
    assert not may(text, "r", host="192.167.2.3")
    assert not may(text, "r", host="fe80::1")
    assert not may(text, "r")
    assert not may("profile rbd network 10.0.0.0/8", "r", host="11.0.0.1")
    assert may("profile rbd network 10.0.0.0/8", "r", host="10.0.0.1")


def test_blanket_profiles() -> None:
    text = "profile read-only, profile read-write pool=abc namespace=n"
    assert may(text, "r", "foo")
    assert not may(text, "w", "foo")
    assert may(text, "rw", "abc", ns="n")
    assert not may(text, "w", "abc")
    assert not may("profile unheard-of", "r")


def test_profile_rbd() -> None:
    text = "profile rbd pool=abc namespace=n"
    assert may(text, "rw", "abc", ns="n", calls=(call(),))
    assert not may(text, "r", "abc")
    assert not may(text, "rw", "foo", ns="n")
    # What images of other pools must be able to ask: parents, children, mirroring.
    assert may(text, "r", "foo", obj="rbd_info")
    assert not may(text, "w", "foo", obj="rbd_info")
    assert may(text, "", "foo", obj="rbd_children", calls=(call(write=False),))
    assert not may(text, "", "foo", obj="rbd_children", calls=(call(),))
    assert not may(text, "r", "foo", obj="rbd_children")
    assert may(text, "", "foo", obj="rbd_mirroring", calls=(call(write=False),))
    assert may(text, "", "abc", calls=(call("rbd", "metadata_list", listed=False),))
    assert not may(text, "", "foo", calls=(call("rbd", "metadata_list"),))


def test_profile_rbd_read_only() -> None:
    text = "profile rbd-read-only pool=abc"
    assert may(text, "r", "abc", calls=(call(write=False),))
    assert not may(text, "w", "abc")
    assert not may(text, "r", "foo")
    for method in ("child_attach", "child_detach"):
        assert may(text, "", "abc", obj="rbd_header.1", calls=(call("rbd", method),))
        assert not may(text, "", "abc", obj="rbd_data.1", calls=(call("rbd", method),))
    assert not may(text, "", "abc", obj="rbd_header.1", calls=(call("rbd", "set_size"),))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("allow *", "osdcap[grant(*)]"),
        ("allow rwx pool foo", "osdcap[grant(pool foo rwx)]"),
        (
            "allow r pool=a, allow w namespace=''",
            'osdcap[grant(pool a r),grant(namespace "" w)]',
        ),
        ("allow rw class-read", "osdcap[grant(rw class-read)]"),
        ("allow class-read class-write", "osdcap[grant(x)]"),
        ("allow class-write object_prefix b", "osdcap[grant(object_prefix b  class-write)]"),
        ("allow class rbd", "osdcap[grant(class 'rbd')]"),
        ("allow pool a class rbd m", "osdcap[grant(pool a class 'rbd' 'm')]"),
        (
            "allow rw namespace=n tag cephfs data=*",
            "osdcap[grant(namespace n app cephfs key data val * rw)]",
        ),
        ("allow r network 10.0.0.0/8", "osdcap[grant(r network 10.0.0.0/8)]"),
        ("profile unheard-of", "osdcap[grant(profile unheard-of [])]"),
        (
            "profile read-only pool=a network 10.0.0.0/8",
            "osdcap[grant(profile read-onlypool a  [grant(pool a r)] network 10.0.0.0/8)]",
        ),
    ],
)
def test_prints_as_upstream_prints(text: str, printed: str) -> None:
    assert str(osd.parse(text)) == printed
