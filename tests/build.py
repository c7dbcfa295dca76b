"""Messages as WeChat would send them, for every test; standalone, knows none of our rooms.

`text("签到", sender="o_lin")` is the clear XML body; `signed(...)` wraps it like the real
server: URL parameters and an encrypted body. `open_reply` reads what came back. The cipher
here is written a second time on purpose, so that a mistake in ours cannot cancel itself out.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import time
import xml.etree.ElementTree as ET
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TOKEN = "testtoken"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APP_ID = "wx1234567890abcdef"
ACCOUNT = "gh_0123456789ab"
SENDER = "oTEST000000000000000000000001"
NOW = 1_763_600_000.0

_numbers = itertools.count(24_863_577_311_000_001)


def xml(fields: dict[str, Any]) -> bytes:
    """Fields as WeChat's XML: digits bare, text in CDATA, dicts nested, lists repeated."""

    def render(value: Any, name: str) -> str:
        if isinstance(value, list):
            return "".join(render(item, name) for item in value)
        if isinstance(value, dict):
            inner = "".join(render(item, key) for key, item in value.items())
        elif isinstance(value, int):
            inner = str(value)
        else:
            escaped = (value or "").replace("]]>", "]]]]><![CDATA[>")
            inner = f"<![CDATA[{escaped}]]>"
        return f"<{name}>{inner}</{name}>"

    return render(fields, "xml").encode("utf-8", "surrogatepass")


def fields_of(body: bytes) -> dict[str, Any]:
    """XML or JSON bytes as a mapping; text as it stands, numbers as JSON has them."""
    if body.lstrip().startswith(b"{"):
        value: dict[str, Any] = json.loads(body)
        return value

    def read(element: ET.Element) -> Any:
        if not len(element):
            return element.text or ""
        out: dict[str, Any] = {}
        for child in element:
            value = read(child)
            if child.tag not in out:
                out[child.tag] = value
            elif isinstance(out[child.tag], list):
                out[child.tag].append(value)
            else:
                out[child.tag] = [out[child.tag], value]
        return out

    fields = read(ET.fromstring(body))
    return fields if isinstance(fields, dict) else {}


def as_json(body: bytes) -> bytes:
    """The same message from an account whose data format is JSON; numbers become numbers."""
    numbers = ("CreateTime", "MsgId", "MsgID")
    fields = {
        name: int(value) if name in numbers and str(value).isdigit() else value
        for name, value in fields_of(body).items()
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def message(
    msg_type: str, sender: str = SENDER, created: float | None = None, **fields: Any
) -> bytes:
    """Any message: a fresh MsgId and the present second unless given; None leaves one out."""
    head: dict[str, Any] = {
        "ToUserName": ACCOUNT,
        "FromUserName": sender,
        "CreateTime": int(time.time() if created is None else created),
        "MsgType": msg_type,
    }
    if msg_type != "event":
        head["MsgId"] = next(_numbers)
    merged = {**head, **fields}
    return xml({name: value for name, value in merged.items() if value is not None})


def text(content: str, sender: str = SENDER, **fields: Any) -> bytes:
    """The member typed something."""
    return message("text", sender, **{"Content": content, **fields})


def image(sender: str = SENDER, **fields: Any) -> bytes:
    """The member sent a picture."""
    return message("image", sender, **{"PicUrl": "https://p.example/1", "MediaId": "m1", **fields})


def voice(recognition: str | None = None, sender: str = SENDER, **fields: Any) -> bytes:
    """The member spoke; recognition is what WeChat understood, where it listens."""
    spoken = {"MediaId": "v1", "Format": "amr", "Recognition": recognition}
    return message("voice", sender, **{**spoken, **fields})


def location(sender: str = SENDER, **fields: Any) -> bytes:
    """The member sent a place."""
    place = {"Location_X": "31.23", "Location_Y": "121.47", "Scale": "15", "Label": "上海"}
    return message("location", sender, **{**place, **fields})


def event(name: str, key: str | None = None, sender: str = SENDER, **fields: Any) -> bytes:
    """Any event; key None leaves EventKey out."""
    return message("event", sender, **{"Event": name, "EventKey": key, **fields})


def follow(sender: str = SENDER, scene: str = "", **fields: Any) -> bytes:
    """The member followed, by QR code when there is a scene."""
    return event("subscribe", f"qrscene_{scene}" if scene else "", sender, **fields)


def unfollow(sender: str = SENDER, **fields: Any) -> bytes:
    """The member left."""
    return event("unsubscribe", "", sender, **fields)


def click(key: str, sender: str = SENDER, **fields: Any) -> bytes:
    """The member tapped a menu button."""
    return event("CLICK", key, sender, **fields)


def scan(scene: str, sender: str = SENDER, **fields: Any) -> bytes:
    """A member who already follows scanned a QR code."""
    return event("SCAN", scene, sender, **{"Ticket": "ticket", **fields})


def digest(*parts: str) -> str:
    """WeChat's SHA-1 over the sorted parts."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def _core(aes_key: str) -> Cipher[modes.CBC]:
    key = base64.b64decode(aes_key + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def encrypt(plain: bytes, *, aes_key: str = AES_KEY, app_id: str = APP_ID) -> str:
    """The text of an Encrypt field; plain may be as hostile as the test likes."""
    framed = os.urandom(16) + len(plain).to_bytes(4, "big") + plain + app_id.encode()
    pad = 32 - len(framed) % 32
    worker = _core(aes_key).encryptor()
    return base64.b64encode(worker.update(framed + bytes([pad] * pad))).decode()


def decrypt(encrypted: str, *, aes_key: str = AES_KEY, app_id: str = APP_ID) -> bytes:
    """What an Encrypt field holds; an AssertionError when it is for another account."""
    worker = _core(aes_key).decryptor()
    framed = worker.update(base64.b64decode(encrypted))
    framed = framed[: -framed[-1]]
    end = 20 + int.from_bytes(framed[16:20], "big")
    assert framed[end:] == app_id.encode(), "the reply names another receive id"
    return framed[20:end]


def signed(
    body: bytes,
    *,
    token: str = TOKEN,
    aes_key: str = AES_KEY,
    app_id: str = APP_ID,
    now: float = NOW,
    nonce: str | None = None,
    mode: str = "safe",
) -> tuple[dict[str, str], bytes]:
    """(query, body) as WeChat posts them in "safe", "compatible" or "plain" mode."""
    timestamp = str(int(now))
    nonce = str(next(_numbers))[-9:] if nonce is None else nonce
    query = {"signature": digest(token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
    if mode == "plain":
        return query, body
    encrypted = encrypt(body, aes_key=aes_key, app_id=app_id)
    query["encrypt_type"] = "aes"
    query["msg_signature"] = digest(token, timestamp, nonce, encrypted)
    is_json = body.lstrip().startswith(b"{")
    if mode == "safe":
        clear: dict[str, Any] = {"ToUserName": ACCOUNT}
    else:
        clear = fields_of(body)
    envelope = {**clear, "Encrypt": encrypted}
    return query, json.dumps(envelope).encode() if is_json else xml(envelope)


def echo(
    echostr: str = "4375120948345356249",
    *,
    token: str = TOKEN,
    now: float = NOW,
    nonce: str = "1514711492",
) -> dict[str, str]:
    """The query of the GET by which the console checks the address."""
    timestamp = str(int(now))
    checked = {"signature": digest(token, timestamp, nonce), "timestamp": timestamp}
    return {**checked, "nonce": nonce, "echostr": echostr}


def open_reply(
    reply: bytes,
    *,
    token: str = TOKEN,
    aes_key: str = AES_KEY,
    app_id: str = APP_ID,
) -> dict[str, Any]:
    """A passive reply's fields, decrypted when it is encrypted, its signature asserted.

    "success" and an empty body give {}: the member sees nothing.
    """
    if reply in (b"", b"success"):
        return {}
    fields = fields_of(reply)
    if "Encrypt" not in fields:
        return fields
    encrypted = fields["Encrypt"]
    expected = digest(token, str(fields["TimeStamp"]), fields["Nonce"], encrypted)
    assert fields["MsgSignature"] == expected, "the reply's MsgSignature does not hold"
    return fields_of(decrypt(encrypted, aes_key=aes_key, app_id=app_id))
