from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.auth.crypto import (
    AUTH_ENC_MAGIC,
    DecryptFailed,
    KeyType,
    KeyUsage,
    decrypt,
    encrypt,
    generate_key,
    key_from_text,
    key_to_text,
    key_type_named,
    seal,
    unseal,
    unseal_as,
)
from spirula.auth.crypto import _derive as derive
from spirula.errors import InvalidArgument, NotSupported
from spirula.types.auth import CephXAuthorize, CryptoKey
from spirula.types.base import UTime

DRAW = random.Random(7).randbytes
KINDS = [KeyType.AES, KeyType.AES256K]

# RFC 8009, appendix A, for aes256-cts-hmac-sha384-192 and key usage 2.
RFC_KEY = CryptoKey(
    KeyType.AES256K,
    UTime(),
    bytes.fromhex("6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52"),
)
RFC_KE = "56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49"
RFC_KI = "69b16514e3cd8e56b82010d5c73012b622c4d00ffc23ed1f"
RFC_MESSAGES = {
    "": (
        "f764e9fa15c276478b2c7d0c4e5f58e4",
        "41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c",
    ),
    "000102030405": (
        "b80d3251c1f6471494256ffe712d0b9a",
        (
            "4ed7b37c2bcac8f74f23c1cf07e62bc7b75fb3f637b9f559c7f664f69eab7b60"
            "92237526ea0d1f61cb20d69d10f2"
        ),
    ),
    "000102030405060708090a0b0c0d0e0f": (
        "53bf8a0d105265d4e276428624ce5e63",
        (
            "bc47ffec7998eb91e8115cf8d19dac4bbbe2e163e87dd37f49beca92027764f6"
            "8cf51f14d798c2273f35df574d1f932e40c4ff255b36a266"
        ),
    ),
    "000102030405060708090a0b0c0d0e0f1011121314": (
        "763e65367e864f02f55153c7e3b58af1",
        (
            "40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2"
            "b2a602ac86fef6ecb647d6295fae077a1feb517508d2c16b4192e01f62"
        ),
    ),
}


def key_of(kind: KeyType) -> CryptoKey:
    return generate_key(kind, 1000.5, DRAW)


def test_keys_are_derived_as_the_rfc_says():
    ke, ki = derive(RFC_KEY.secret, 2)
    assert (ke.hex(), ki.hex()) == (RFC_KE, RFC_KI)


@pytest.mark.parametrize("plain", RFC_MESSAGES)
def test_the_messages_of_the_rfc(plain):
    confounder, sealed = (bytes.fromhex(text) for text in RFC_MESSAGES[plain])
    assert encrypt(RFC_KEY, 2, bytes.fromhex(plain), lambda size: confounder) == sealed
    assert decrypt(RFC_KEY, 2, sealed) == bytes.fromhex(plain)


def test_aes_is_cbc_with_a_fixed_start():
    key = CryptoKey(KeyType.AES, UTime(), b"1234567890123456")
    assert encrypt(key, 0, b"abc", DRAW).hex() == "0ba3d1290cc47bb370aa355b24a7d152"
    assert decrypt(key, 0, bytes.fromhex("0ba3d1290cc47bb370aa355b24a7d152")) == b"abc"


@given(st.sampled_from(KINDS), st.sampled_from(list(KeyUsage)), st.binary(max_size=100))
def test_what_was_encrypted_comes_back(kind, usage, plain):
    key = key_of(kind)
    assert decrypt(key, usage, encrypt(key, usage, plain, DRAW)) == plain
    assert unseal(key, usage, seal(key, usage, plain, DRAW)) == plain


def test_aes256k_tells_the_same_text_apart_and_aes_does_not():
    aes, krb = key_of(KeyType.AES), key_of(KeyType.AES256K)
    assert encrypt(krb, 3, b"same", DRAW) != encrypt(krb, 3, b"same", DRAW)
    assert encrypt(aes, 3, b"same", DRAW) == encrypt(aes, 3, b"same", DRAW)


def test_every_flipped_bit_is_noticed_by_aes256k():
    key = key_of(KeyType.AES256K)
    sealed = encrypt(key, KeyUsage.TICKET_INFO, b"allow r", DRAW)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptFailed):
            decrypt(key, KeyUsage.TICKET_INFO, bytes(altered))


def test_a_text_for_one_usage_is_none_for_another():
    key = key_of(KeyType.AES256K)
    sealed = seal(key, KeyUsage.AUTHORIZE, b"x", DRAW)
    with pytest.raises(DecryptFailed):
        unseal(key, KeyUsage.AUTHORIZE_REPLY, sealed)


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_opens_nothing(kind):
    sealed = seal(key_of(kind), 4, b"secret", DRAW)
    with pytest.raises(DecryptFailed, match="cannot be decrypted"):
        unseal(key_of(kind), 4, sealed)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=120))
def test_arbitrary_bytes_are_refused_in_one_way(kind, data):
    with pytest.raises(DecryptFailed):
        unseal(key_of(kind), 4, data)


def test_a_seal_with_something_else_inside():
    key = key_of(KeyType.AES)
    with pytest.raises(DecryptFailed, match="no CephXAuthorize inside"):
        unseal_as(CephXAuthorize, key, 4, seal(key, 4, b"\1\2", DRAW))


def test_what_is_too_long_is_not_even_tried():
    with pytest.raises(DecryptFailed, match="too long"):
        decrypt(key_of(KeyType.AES), 0, bytes((1 << 20) + 16))


def test_keys_as_text():
    text = "AQBm9ABrPhXAEhAAUdlZNwBoi/SQVnjNyKIggw=="
    key = key_from_text(text)
    assert (key.type, len(key.secret), key_to_text(key)) == (KeyType.AES, 16, text)
    assert key_from_text(text.replace("/", "_") + "rubbish") == key
    assert key_from_text(text[:4] + "\n" + text[4:]) == key
    text = "AgBm9ABrMuYnECAAta0VDUQiHJZCj1IA0Q6aFFcQCQiSspOhhspgDZ+rO0M="
    assert (key_from_text(text).type, key_to_text(key_from_text(text))) == (2, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "AQBm",
        "AQBm9ABrPhXAEhAAUdlZNwBoi/SQVnjNyKIg",  # a secret that is too short
        "CQBm9ABrPhXAEhAAUdlZNwBoi/SQVnjNyKIggw==",  # type 9
        "AQBm9ABrPhXAEhAAUdlZNwBoi/SQVnjNyKIgg w==",
        "AQBm9ABrPhXAEhAAUdlZNwBoi/SQVnjNyKIg\u00fcw==",
    ],
)
def test_what_is_no_key(text):
    with pytest.raises(InvalidArgument):
        key_from_text(text)


def test_key_types():
    assert key_type_named("aes256k") is key_type_named("AES256K") is KeyType.AES256K
    with pytest.raises(InvalidArgument):
        key_type_named("des")
    assert [kind.insecure for kind in KeyType] == [True, True, False]
    with pytest.raises(NotSupported):
        generate_key(9, 0.0, DRAW)
    with pytest.raises(NotSupported):
        encrypt(CryptoKey(9, UTime(), bytes(32)), 0, b"", DRAW)
    with pytest.raises(InvalidArgument):
        encrypt(CryptoKey(KeyType.AES256K, UTime(), bytes(16)), 0, b"", DRAW)


def test_no_secret_is_shown():
    key = key_of(KeyType.AES)
    assert key.secret.hex() not in f"{key!r} {key.plain()}"
    assert AUTH_ENC_MAGIC == 0xFF009CAD8826AA55
