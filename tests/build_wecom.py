"""A WeCom robot's messages as WeCom would send them, and what it makes of our frames.

Standalone like `tests/build.py`, whose cipher it uses: the envelope here has lower-case names and
an empty receive id.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

from tests.build import AES_KEY, TOKEN, decrypt, digest, encrypt

BOT = "aibTEST"
GROUP = "wrTESTCHAT01"
USER = "wangwu"
RESPONSE = "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code="

_numbers = itertools.count(1)


def message(
    msg_type: str, user: str = USER, *, group: str = "", number: str = "", **fields: Any
) -> dict[str, Any]:
    """Any message: a fresh msgid and an address for one answer; None leaves a field out."""
    number = number or f"CAIQ{time.time_ns()}{next(_numbers)}"
    head: dict[str, Any] = {
        "msgid": number,
        "aibotid": BOT,
        "chattype": "group" if group else "single",
        "from": {"userid": user},
        "response_url": f"{RESPONSE}{number}",
        "msgtype": msg_type,
    }
    if group:
        head["chatid"] = group
    merged = {**head, **fields}
    return {name: value for name, value in merged.items() if value is not None}


def text(content: str, user: str = USER, **fields: Any) -> dict[str, Any]:
    """Somebody typed something; in a group it begins with the mention as they see it."""
    return message("text", user, text={"content": content}, **fields)


def poll(stream: str, user: str = USER, **fields: Any) -> dict[str, Any]:
    """WeCom asks for the next frame of a stream."""
    return message("stream", user, stream={"id": stream}, response_url=None, **fields)


def event(name: str, inner: dict[str, Any] | None = None, user: str = USER, **fields: Any) -> Any:
    """Any event."""
    body: dict[str, Any] = {"eventtype": name}
    if inner is not None:
        body[name] = inner
    fields = {"create_time": int(time.time()), **fields}
    return message("event", user, event=body, **fields)


def click(key: str, task: str, user: str = USER, **fields: Any) -> Any:
    """Somebody tapped a button of a card."""
    inner = {"card_type": "button_interaction", "event_key": key, "task_id": task}
    return event("template_card_event", inner, user, **fields)


def signed(
    body: dict[str, Any] | bytes,
    *,
    now: float,
    nonce: str = "",
    token: str = TOKEN,
    aes_key: str = AES_KEY,
    receive_id: str = "",
) -> tuple[dict[str, str], bytes]:
    """(query, body) as WeCom posts them."""
    plain = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    encrypted = encrypt(plain, aes_key=aes_key, app_id=receive_id)
    timestamp, nonce = str(int(now)), nonce or f"n{next(_numbers)}"
    query = {
        "msg_signature": digest(token, timestamp, nonce, encrypted),
        "timestamp": timestamp,
        "nonce": nonce,
    }
    return query, json.dumps({"encrypt": encrypted}).encode()


def echo(words: str, *, now: float) -> dict[str, str]:
    """The query of the GET by which the console checks the address."""
    encrypted = encrypt(words.encode(), app_id="")
    timestamp, nonce = str(int(now)), "437374425"
    return {
        "msg_signature": digest(TOKEN, timestamp, nonce, encrypted),
        "timestamp": timestamp,
        "nonce": nonce,
        "echostr": encrypted,
    }


def opened(reply: bytes, *, receive_id: str = "") -> dict[str, Any]:
    """A sealed frame, its signature asserted; {} for an empty body."""
    if not reply:
        return {}
    envelope = json.loads(reply)
    assert set(envelope) == {"encrypt", "msgsignature", "timestamp", "nonce"}
    parts = (str(envelope["timestamp"]), envelope["nonce"], envelope["encrypt"])
    assert envelope["msgsignature"] == digest(TOKEN, *parts)
    frame = json.loads(decrypt(envelope["encrypt"], app_id=receive_id))
    assert isinstance(frame, dict)
    return frame
