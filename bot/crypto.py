"""WeChat's envelope: who sent these bytes, and what do they say once opened.

Every door that speaks WeChat's encryption (official account, WeCom app and robot) shares
this room: the digest that proves the sender, the AES envelope, and the two keys that are
valid while an operator changes them. It knows no XML, no JSON and no clock.

wechatpy supplies the AES-CBC core. The frame around it is ours, because wechatpy trusts the
last byte as padding, draws its random prefix from a generator that can be predicted, and
lets six kinds of exception out on hostile input. Here there is one: `BadMessage`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import Any

from wechatpy.crypto.base import WeChatCipher

_BLOCK = 32  # WeChat pads to 32 bytes although AES blocks have 16
_HEAD = 20  # 16 random bytes and a 4-byte length stand before the text
_PADS = tuple(bytes([n]) * n for n in range(_BLOCK + 1))
_AES_KEY = re.compile(r"[A-Za-z0-9]{43}")
_TOKEN = re.compile(r"[A-Za-z0-9]{3,32}")


class _Random:
    """16 unguessable bytes at a time, drawn from the system by the page.

    A system call gives the interpreter's lock away, and under load getting it back costs
    more than the whole encryption.
    """

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def take(self) -> bytes:
        """16 bytes, each handed out once."""
        if self._at >= len(self._bytes):
            self._bytes, self._at = secrets.token_bytes(4096), 0
        start = self._at
        self._at = start + 16
        return self._bytes[start : self._at]


_random = _Random()


class BadMessage(Exception):
    """The input is bad and was refused at the door.

    reason: a short label for logs and metrics: bad_signature, stale, bad_ciphertext,
    bad_padding, bad_length, bad_encoding, receive_id_mismatch, bad_xml, bad_json,
    missing_field, not_encrypted, unexpectedly_encrypted, too_large, too_deep. Neither it
    nor the exception's text ever holds what the member wrote or who the member is.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadKey(ValueError):
    """A token or EncodingAESKey that cannot work: copy it again from WeChat's console."""


def check_token(token: str) -> str:
    """The token itself when it has WeChat's form (3 to 32 letters or digits), else BadKey."""
    if not _TOKEN.fullmatch(token):
        raise BadKey(
            f"the token must be 3 to 32 letters or digits (this one has {len(token)} "
            "characters): copy the Token from the server settings of the console"
        )
    return token


def signature(*parts: str) -> str:
    """SHA-1 in lower-case hex over the parts, sorted and joined; WeChat's digest.

    Three parts (token, timestamp, nonce) prove a URL, a fourth (Encrypt) also the body.
    """
    # Sorting by code point and by UTF-8 byte is the same order. SHA-1 is the protocol's choice.
    joined = "".join(sorted(parts)).encode("utf-8", "surrogatepass")
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest()


def signatures_equal(ours: str, theirs: str) -> bool:
    """Compare in constant time; any text is allowed, only equal text is True."""
    return hmac.compare_digest(
        ours.encode("utf-8", "surrogatepass"), theirs.encode("utf-8", "surrogatepass")
    )


class Cipher:
    """One EncodingAESKey with the receive id its messages must name.

    receive_id: the AppID (official account) or CorpID (WeCom app); "" for a WeCom robot.
    A key that is not 43 letters or digits raises BadKey.
    """

    # Making an AES context costs more than the encryption of a message, so each direction
    # keeps one and goes on where the last message ended. In CBC that is only another
    # initial vector, and both sides have a way round it: what decrypts wrongly are the 16
    # random bytes in front, which nobody reads; what is encrypted first is xored with the
    # difference. One thread only.
    __slots__ = ("_chain", "_decryptor", "_encryptor", "_iv", "_receive_id")

    def __init__(self, encoding_aes_key: str, receive_id: str) -> None:
        if not _AES_KEY.fullmatch(encoding_aes_key):
            raise BadKey(
                f"the EncodingAESKey must be 43 letters or digits (this one has "
                f"{len(encoding_aes_key)} characters): copy it again from the server settings "
                "of the console, or let the console generate a new one"
            )
        # Not a strict decoder: the 43rd character carries two unused bits, and legal keys
        # have them set.
        key = base64.b64decode(encoding_aes_key + "=")
        core: Any = WeChatCipher(key).cipher
        self._decryptor = core.decryptor()
        self._encryptor = core.encryptor()
        self._iv = self._chain = int.from_bytes(key[:16], "big")
        self._receive_id = receive_id.encode()

    def encrypt(self, plain: bytes, random: bytes | None = None) -> str:
        """The base64 text for an Encrypt field.

        random: the 16 bytes in front, for tests only; left out, they are drawn afresh.
        """
        if random is None:
            random = _random.take()
        elif len(random) != 16:
            raise ValueError("random must be 16 bytes")
        first = (int.from_bytes(random, "big") ^ self._iv ^ self._chain).to_bytes(16, "big")
        framed = b"".join((first, len(plain).to_bytes(4, "big"), plain, self._receive_id))
        pad = _PADS[_BLOCK - len(framed) % _BLOCK]
        sealed: bytes = self._encryptor.update(framed + pad)
        self._chain = int.from_bytes(sealed[-16:], "big")
        return binascii.b2a_base64(sealed, newline=False).decode("ascii")

    def decrypt(self, encrypted: str | bytes) -> bytes:
        """The UTF-8 bytes inside an Encrypt field; raises BadMessage for anything else."""
        try:
            sealed = binascii.a2b_base64(encrypted, strict_mode=True)
        except ValueError:
            raise BadMessage("bad_ciphertext") from None
        if len(sealed) < _BLOCK or len(sealed) % 16:
            raise BadMessage("bad_ciphertext")
        framed: bytes = self._decryptor.update(sealed)
        pad = framed[-1]
        if not 1 <= pad <= _BLOCK or not framed.endswith(_PADS[pad]):
            raise BadMessage("bad_padding")
        end = len(framed) - pad
        text_end = _HEAD + int.from_bytes(framed[16:_HEAD], "big")
        if text_end > end:
            raise BadMessage("bad_length")
        if framed[text_end:end] != self._receive_id:
            raise BadMessage("receive_id_mismatch")
        plain = framed[_HEAD:text_end]
        try:
            plain.decode()
        except UnicodeDecodeError:
            raise BadMessage("bad_encoding") from None
        return plain


class Keys:
    """The token with the current key and, while keys change, the one before.

    WeChat switches at a moment of its own, so both open; the reply must be sealed with the
    key that opened the question.
    """

    __slots__ = ("cipher", "previous", "token")

    def __init__(self, token: str, cipher: Cipher, previous: Cipher | None = None) -> None:
        self.token = token
        self.cipher = cipher
        self.previous = previous

    def open(
        self, timestamp: str, nonce: str, encrypted: str, msg_signature: str
    ) -> tuple[bytes, Cipher]:
        """Check the four-part signature, decrypt; the text and the cipher that fitted.

        Raises BadMessage; when no key fits, with the reason the current key gave.
        """
        if not signatures_equal(signature(self.token, timestamp, nonce, encrypted), msg_signature):
            raise BadMessage("bad_signature")
        try:
            return self.cipher.decrypt(encrypted), self.cipher
        except BadMessage as current:
            if self.previous is None:
                raise
            try:
                return self.previous.decrypt(encrypted), self.previous
            except BadMessage:
                raise current from None

    def seal(
        self,
        plain: bytes,
        timestamp: str,
        nonce: str,
        cipher: Cipher | None = None,
        random: bytes | None = None,
    ) -> tuple[str, str]:
        """Encrypt with cipher (default: the current key): (Encrypt, MsgSignature)."""
        encrypted = (cipher or self.cipher).encrypt(plain, random)
        return encrypted, signature(self.token, timestamp, nonce, encrypted)
