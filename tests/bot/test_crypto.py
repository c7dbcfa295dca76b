"""The envelope opens for WeChat, for nobody else, and breaks in one way only."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wechatpy.crypto import WeChatCrypto

from bot.crypto import (
    BadKey,
    BadMessage,
    Cipher,
    Keys,
    check_token,
    signature,
    signatures_equal,
)
from bot.official import Codec, parse_fields
from tests import build

VECTORS_FILE = Path(__file__).parents[3] / "shared/fixtures/wechat/crypto/vectors.json"
VECTORS: list[dict[str, Any]] = (
    json.loads(VECTORS_FILE.read_text("utf-8")) if VECTORS_FILE.exists() else []
)
PROPERTY = settings(
    database=None, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow]
)
PLAIN = "<xml><Content>签到🎁</Content></xml>".encode()


def vectors(*types: str) -> pytest.MarkDecorator:
    chosen = [pytest.param(v, id=v["id"]) for v in VECTORS if v["type"] in types]
    if not chosen:
        reason = "the shared fixtures (../shared/fixtures/wechat) are not next to the project"
        chosen = [pytest.param({}, marks=pytest.mark.skip(reason=reason))]
    return pytest.mark.parametrize("vector", chosen)


def keys_of(vector: dict[str, Any]) -> Keys:
    names = vector.get("encoding_aes_keys") or [vector["encoding_aes_key"]]
    current, *older = [Cipher(name, vector["receive_id"]) for name in names]
    return Keys(vector["token"], current, older[0] if older else None)


@pytest.fixture
def keys() -> Keys:
    return Keys(build.TOKEN, Cipher(build.AES_KEY, build.APP_ID))


# --- the shared vectors ---------------------------------------------------------------------


@vectors("signature")
def test_a_signature_vector_behaves_as_labelled(vector: dict[str, Any]) -> None:
    codec = Codec("mp", vector["token"], mode="plain")
    query = {key: vector[key] for key in ("signature", "timestamp", "nonce")}
    query["echostr"] = vector.get("echostr", "echo")
    now = float(vector["timestamp"])
    if "expect_error" in vector:
        with pytest.raises(BadMessage) as caught:
            codec.check_url(query, now)
        assert caught.value.reason == vector["expect_error"]
    else:
        assert codec.check_url(query, now) == vector.get("expect_body", "echo")


@vectors("msg_signature", "sha1_sorted")
def test_a_digest_vector_behaves_as_labelled(vector: dict[str, Any]) -> None:
    if "parts" in vector:
        parts = vector["parts"]
    else:
        parts = [vector[key] for key in ("token", "timestamp", "nonce", "encrypt")]
    expected = vector.get("msg_signature") or vector.get("sha1") or vector.get("expect")
    assert signature(*parts) == expected


@vectors("decrypt")
def test_a_decrypt_vector_behaves_as_labelled(vector: dict[str, Any]) -> None:
    keys = keys_of(vector)
    arguments = [vector[key] for key in ("timestamp", "nonce", "encrypt", "msg_signature")]
    if "expect_error" in vector:
        with pytest.raises(BadMessage) as caught:
            keys.open(*arguments)
        assert caught.value.reason == vector["expect_error"]
        return
    if vector.get("expect") == "either":
        with pytest.raises(BadMessage, match="bad_signature"):
            keys.open(*arguments)  # ours is strict: WeChat sends lower case
        return
    plain, cipher = keys.open(*arguments)
    if "plaintext" in vector:
        assert plain.decode() == vector["plaintext"]
    for piece in vector.get("plaintext_contains", []):
        assert piece in plain.decode()
    if "plaintext_sha256" in vector:
        assert hashlib.sha256(plain).hexdigest() == vector["plaintext_sha256"]
    if "decrypted_with" in vector:
        position = vector["encoding_aes_keys"].index(vector["decrypted_with"])
        assert cipher is (keys.cipher, keys.previous)[position]


@vectors("encrypt")
def test_an_encrypt_vector_is_reproduced_to_the_byte(vector: dict[str, Any]) -> None:
    keys = keys_of(vector)
    encrypted, signed = keys.seal(
        vector["plaintext"].encode(),
        vector.get("timestamp", "1"),
        vector.get("nonce", "1"),
        random=vector["random"].encode(),
    )
    assert encrypted == vector["encrypt"]
    assert signed == vector.get("msg_signature", signed)


@vectors("http")
def test_a_whole_callback_is_read_from_its_encrypted_part(vector: dict[str, Any]) -> None:
    query = vector["query"]
    codec = Codec(
        "mp",
        vector["token"],
        vector["encoding_aes_key"],
        app_id=vector["receive_id"],
        mode="compatible",
    )
    opened = codec.open(query, vector["body"].encode(), float(query["timestamp"]))
    assert opened.message.raw == parse_fields(vector["plaintext"].encode())


# --- keys and tokens ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        build.AES_KEY + "H",
        build.AES_KEY[:42] + "=",
        build.AES_KEY[:42] + "签",
        "+" * 43,
    ],
)
def test_a_key_that_is_not_43_letters_or_digits_is_refused_with_advice(key: str) -> None:
    with pytest.raises(BadKey, match=r"43 letters or digits.*copy it again"):
        Cipher(key, build.APP_ID)


def test_a_key_whose_last_two_bits_are_set_is_legal() -> None:
    cipher = Cipher("A" * 42 + "9", "wx")
    assert cipher.decrypt(cipher.encrypt(PLAIN)) == PLAIN


@pytest.mark.parametrize("token", ["", "ab", "a" * 33, "with space", "令牌令牌", "a\n" * 3])
def test_a_token_of_another_form_is_refused(token: str) -> None:
    with pytest.raises(BadKey, match="3 to 32 letters or digits"):
        check_token(token)


# --- the cipher -----------------------------------------------------------------------------


def test_the_random_prefix_is_fresh_each_time() -> None:
    cipher = Cipher(build.AES_KEY, build.APP_ID)
    assert len({cipher.encrypt(PLAIN) for _ in range(20)}) == 20


@pytest.mark.parametrize("length", range(70))
def test_every_length_survives_the_padding(length: int) -> None:
    cipher = Cipher(build.AES_KEY, "")
    assert cipher.decrypt(cipher.encrypt(b"x" * length)) == b"x" * length


def test_wechatpy_reads_ours_and_we_read_wechatpys(keys: Keys) -> None:
    theirs = WeChatCrypto(build.TOKEN, build.AES_KEY, build.APP_ID)
    encrypted, signed = keys.seal(PLAIN, "1", "2")
    envelope = f"<xml><Encrypt>{encrypted}</Encrypt></xml>"
    assert theirs.decrypt_message(envelope, signed, "1", "2") == PLAIN.decode()

    fields = parse_fields(theirs.encrypt_message(PLAIN.decode(), "2", "1").encode())
    plain, _ = keys.open("1", "2", fields["Encrypt"], fields["MsgSignature"])
    assert plain == PLAIN


def test_another_accounts_message_is_refused(keys: Keys) -> None:
    for other in ("", "wx1234567890abcde", build.APP_ID + "x"):
        with pytest.raises(BadMessage, match="receive_id_mismatch"):
            keys.cipher.decrypt(build.encrypt(PLAIN, app_id=other))


def test_the_signature_is_checked_before_anything_is_decrypted(keys: Keys) -> None:
    encrypted = build.encrypt(PLAIN, app_id="wxsomebodyelse")
    with pytest.raises(BadMessage, match="bad_signature"):
        keys.open("1", "2", encrypted, "0" * 40)


def test_what_the_previous_key_opened_is_answered_with_it() -> None:
    old = Cipher(build.AES_KEY, build.APP_ID)
    keys = Keys(build.TOKEN, Cipher("Z" * 43, build.APP_ID), old)
    encrypted = build.encrypt(PLAIN)
    plain, cipher = keys.open("1", "2", encrypted, build.digest(build.TOKEN, "1", "2", encrypted))
    assert plain == PLAIN
    assert cipher is old
    assert build.decrypt(keys.seal(b"answer", "1", "2", cipher)[0]) == b"answer"


def test_when_no_key_fits_the_current_one_says_why() -> None:
    current = Cipher(build.AES_KEY, build.APP_ID)
    keys = Keys(build.TOKEN, current, Cipher("Z" * 43, build.APP_ID))
    encrypted = build.encrypt(PLAIN, app_id="wxother")
    with pytest.raises(BadMessage, match="receive_id_mismatch"):
        keys.open("1", "2", encrypted, build.digest(build.TOKEN, "1", "2", encrypted))


@pytest.mark.parametrize("stray", ["@", "\n", " ", "签", "=", "-"])
def test_a_stray_character_in_the_base64_is_refused(stray: str) -> None:
    encrypted = build.encrypt(PLAIN)
    with pytest.raises(BadMessage, match="bad_ciphertext"):
        Cipher(build.AES_KEY, build.APP_ID).decrypt(f"{encrypted[:8]}{stray}{encrypted[8:]}")


@pytest.mark.parametrize("cut", [1, 4, 16, 40])
def test_a_truncated_message_is_refused(cut: int) -> None:
    encrypted = build.encrypt(PLAIN)
    with pytest.raises(BadMessage):
        Cipher(build.AES_KEY, build.APP_ID).decrypt(encrypted[:-cut])


@PROPERTY
@given(flip=st.integers(min_value=0), mask=st.integers(1, 255))
def test_a_flipped_bit_never_opens_as_something_else(flip: int, mask: int) -> None:
    sealed = bytearray(base64.b64decode(build.encrypt(PLAIN)))
    sealed[flip % len(sealed)] ^= mask
    try:
        plain = Cipher(build.AES_KEY, build.APP_ID).decrypt(base64.b64encode(sealed))
    except BadMessage:
        return
    # Only the two blocks a flip can reach may differ; unsigned, that is all CBC promises.
    assert len(plain) == len(PLAIN)


@PROPERTY
@given(st.one_of(st.text(), st.binary(), st.binary(min_size=32, max_size=96)))
def test_whatever_is_decrypted_only_our_error_comes_out(hostile: str | bytes) -> None:
    cipher = Cipher(build.AES_KEY, build.APP_ID)
    tries = [hostile]
    if isinstance(hostile, bytes):
        tries.append(base64.b64encode(hostile[: len(hostile) // 16 * 16]))
    for attempt in tries:
        with pytest.raises(BadMessage):
            cipher.decrypt(attempt)


@PROPERTY
@given(st.text(), st.text(alphabet=st.characters()))
def test_signatures_compare_any_text_without_raising(a: str, b: str) -> None:
    assert signatures_equal(a, b) is (a == b)
    assert signatures_equal(a + "\ud800签", a + "\ud800签")
    assert len(signature(a, b, "\udfff")) == 40
