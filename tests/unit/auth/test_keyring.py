from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.auth.crypto import key_from_text
from spirula.auth.keyring import KeyRing
from spirula.conf.file import parse_conf
from spirula.errors import InvalidArgument
from spirula.types.auth import EntityAuth, PrincipalName, encode_string

AES = "AQBm9ABrPhXAEhAAUdlZNwBoi/SQVnjNyKIggw=="
KRB = "AgBm9ABrMuYnECAAta0VDUQiHJZCj1IA0Q6aFFcQCQiSspOhhspgDZ+rO0M="
ADMIN = PrincipalName.parse("client.admin")

TEXT = f"""\
[mon.]
\tkey = {KRB}
\tcaps mon = "allow *"
[client.admin]
\tkey = {AES}
\tcaps mds = "allow *"
\tcaps osd = "allow rw pool=\\"a b\\""
"""


def sections(data: bytes) -> dict[str, dict[str, str]]:
    found = parse_conf(data).sections
    return {name: {k: v.value for k, v in one.items()} for name, one in found.items()}


def decode(text: str) -> KeyRing:
    return KeyRing.decode(text.encode(), sections)


def test_text_there_and_back():
    ring = decode(TEXT)
    assert ring.to_text() == TEXT
    assert ring.principal_key(ADMIN) == key_from_text(AES)
    assert ring.principal_key(PrincipalName.parse("osd.1")) is None
    assert ring.service_secret(4, 1) is None


def test_latitude():
    ring = decode(
        "# a comment\n[client.a]\n key=" + AES + "\n auid = 7\n caps  mon='allow r' ; why not\n"
        "[global]\n anything = goes\n[client.b]\n"
    )
    assert ring.to_text() == f'[client.a]\n\tkey = {AES}\n\tcaps mon = "allow r"\n'


@pytest.mark.parametrize(
    "text",
    [
        "[client.a]\nkey = nonsense\n",
        "[client.a]\nkeys = x\n",
        "[client.a]\ncaps = x\n",
        "[nobody.a]\nkey = " + AES + "\n",
        "[client]\n",
        "[client.a\n",
        "rubbish",
    ],
)
def test_what_is_no_keyring(text):
    with pytest.raises(InvalidArgument):
        decode(text)


def test_the_binary_form_of_old():
    packed = bytearray(b"\1" + (1).to_bytes(4, "little"))
    packed += ADMIN.encode()
    auth = EntityAuth(key=key_from_text(AES), caps={"mon": encode_string("allow r")})
    packed += auth.encode()
    ring = KeyRing.decode(bytes(packed), sections)
    assert ring.to_text() == f'[client.admin]\n\tkey = {AES}\n\tcaps mon = "allow r"\n'


def test_changing():
    ring = decode(TEXT)
    ring.add(ADMIN, key_from_text(KRB))
    assert f"[client.admin]\n\tkey = {KRB}\n" in ring.to_text()
    assert "caps osd" not in ring.to_text()
    ring.set_caps(ADMIN, {"osd": "allow r"})
    other = decode(f"[osd.3]\nkey = {AES}\n[mon.]\nkey = {AES}\n")
    ring.merge(other)
    assert [str(name) for name in ring.names()] == ["mon.", "osd.3", "client.admin"]
    assert ring.to_text().startswith(f"[mon.]\n\tkey = {AES}\n[osd.3]")


def test_too_long():
    with pytest.raises(InvalidArgument, match="more than"):
        KeyRing.decode(bytes((16 << 20) + 1), sections)


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data):
    try:
        KeyRing.decode(data, sections)
    except InvalidArgument:
        return


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20)


@given(st.dictionaries(st.sampled_from(["mon", "osd", "mds", "mgr"]), PRINTABLE))
def test_caps_that_the_grammar_carries(caps):
    caps = {k: v.strip() for k, v in caps.items() if not set(v) & set("\\#;")}
    ring = KeyRing()
    ring.add(ADMIN, key_from_text(AES))
    ring.set_caps(ADMIN, caps)
    text = ring.to_text()
    if any('"' in value for value in caps.values()):
        assert '\\"' in text
    again = decode(text)
    assert again.keys[ADMIN].caps == {
        k: encode_string(v.strip(" \t\n\v\f\r")) for k, v in caps.items()
    }
