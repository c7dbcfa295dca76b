"""How the fake WeChat writes and reads bytes: signatures, the cipher, XML.

Written from the protocol's description alone and sharing nothing with `bot`: two
implementations that agree by accident of sharing code prove nothing. Everything here is
pure. `BadReply` is the only error that leaves it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from xml.parsers import expat

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 32


class BadReply(Exception):
    """The bot's answer breaks WeChat's rules; the member would see the service notice."""


def sign(*parts: str) -> str:
    """SHA-1 over the sorted, joined parts, lower-case hex: both of WeChat's signatures."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324


def same(a: str, b: str) -> bool:
    """Constant-time comparison of two signatures."""
    return hmac.compare_digest(a.encode(), b.encode())


class Envelope:
    """AES-256-CBC as WeChat seals message bodies; one key, one receiver.

    aes_key: the 43 characters of the console. receive_id: the app id.
    random_bytes: how the 16 leading bytes are made.
    """

    def __init__(self, aes_key: str, receive_id: str, random_bytes: Callable[[int], bytes]) -> None:
        self._key = base64.b64decode(aes_key + "=")
        if len(self._key) != 32:
            raise ValueError("aes_key: 43 letters and digits are needed, as the console shows it")
        self._receive_id = receive_id.encode()
        self._random_bytes = random_bytes

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))

    def seal(self, message: str) -> str:
        """Encrypt one body; returns the base64 text of the `Encrypt` field."""
        body = message.encode()
        clear = self._random_bytes(16) + len(body).to_bytes(4, "big") + body + self._receive_id
        pad = _BLOCK - len(clear) % _BLOCK
        worker = self._cipher().encryptor()
        sealed = worker.update(clear + bytes([pad]) * pad) + worker.finalize()
        return base64.b64encode(sealed).decode()

    def open(self, encrypted: str) -> str:
        """Decrypt one `Encrypt` field with every check; raises BadReply."""
        try:
            sealed = base64.b64decode(encrypted, validate=True)
        except (binascii.Error, ValueError):
            raise BadReply("Encrypt is not base64") from None
        if not sealed or len(sealed) % _BLOCK:
            raise BadReply(f"Encrypt holds {len(sealed)} bytes, not a multiple of {_BLOCK}")
        worker = self._cipher().decryptor()
        clear = worker.update(sealed) + worker.finalize()
        pad = clear[-1]
        if not 1 <= pad <= _BLOCK or clear[-pad:] != bytes([pad]) * pad:
            raise BadReply("the padding is wrong (another key, or another block size than 32)")
        clear = clear[:-pad]
        if len(clear) < 20:
            raise BadReply("less than 20 bytes were encrypted")
        size = int.from_bytes(clear[16:20], "big")
        if size > len(clear) - 20:
            raise BadReply("the length field is larger than the message")
        if clear[20 + size :] != self._receive_id:
            raise BadReply("the app id behind the message is another one")
        try:
            return clear[20 : 20 + size].decode()
        except UnicodeDecodeError:
            raise BadReply("the message is not UTF-8") from None


_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def _xml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(_xml_field(name, inner) for name, inner in value.items())
    if isinstance(value, int):
        return str(value)
    text = _NOT_XML.sub("", str(value)).replace("]]>", "]]]]><![CDATA[>")
    return f"<![CDATA[{text}]]>"


def _xml_field(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return "".join(_xml_field(name, one) for one in value)
    return f"<{name}>{_xml_value(value)}</{name}>"


def to_xml(fields: Mapping[str, Any]) -> str:
    """Fields as WeChat writes them: numbers bare, texts in CDATA, lists repeated.

    Control characters that XML cannot hold are dropped, as a phone never sends them.
    """
    return f"<xml>{_xml_value(fields)}</xml>"


def from_xml(text: str) -> dict[str, Any]:
    """The fields under the root <xml>; nested elements are dicts, repeated ones lists.

    Texts are not stripped; an empty element is "". Raises BadReply for anything that is
    not well-formed, has another root, or declares a DTD.
    """
    root: dict[str, Any] = {}
    stack: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        if not stack and name != "xml":
            raise BadReply(f"the root element is <{name}>, not <xml>")
        stack.append((name, {} if stack else root, []))

    def end(_name: str) -> None:
        name, children, texts = stack.pop()
        if not stack:
            return
        value: Any = children or "".join(texts)
        parent = stack[-1][1]
        if name not in parent:
            parent[name] = value
        elif isinstance(parent[name], list):
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]

    def data(piece: str) -> None:
        stack[-1][2].append(piece)

    def doctype(*_details: object) -> None:
        raise BadReply("a DTD is not accepted")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise BadReply(f"not well-formed XML: {error}") from None
    return root


def from_json(text: str) -> dict[str, Any]:
    """The fields of a JSON object; raises BadReply for anything else."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise BadReply("not JSON, although the account's data format is JSON") from None
    if not isinstance(fields, dict):
        raise BadReply("a JSON object is needed")
    return fields
