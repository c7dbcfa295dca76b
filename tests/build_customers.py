"""Events of a company's customer contact as WeCom would send them: XML, CorpID as receive id."""

from __future__ import annotations

import itertools
import time
from typing import Any

from tests.build import AES_KEY, TOKEN, digest, encrypt, xml

CORP = "ww0123456789abcdef"

_numbers = itertools.count(1)


def event(name: str, created: float | None = None, **fields: Any) -> bytes:
    """Any event of the company; None leaves a field out."""
    head: dict[str, Any] = {
        "ToUserName": CORP,
        "FromUserName": "sys",
        "CreateTime": int(time.time() if created is None else created),
        "MsgType": "event",
        "Event": name,
    }
    merged = {**head, **fields}
    return xml({name: value for name, value in merged.items() if value is not None})


def changed(
    chat_id: str,
    detail: str = "",
    people: tuple[str, ...] = (),
    *,
    kind: str = "update",
    created: float | None = None,
    **fields: Any,
) -> bytes:
    """A customer group changed. people: who came or went, as far as the event says so."""
    more: dict[str, Any] = {"ChatId": chat_id, "ChangeType": kind}
    if detail:
        more["UpdateDetail"] = detail
    if people:
        more |= {"MemChangeCnt": len(people), "MemChangeList": {"Item": list(people)}}
    return event("change_external_chat", created, **{**more, **fields})


def signed(
    plain: bytes,
    *,
    now: float,
    nonce: str = "",
    token: str = TOKEN,
    aes_key: str = AES_KEY,
    receive_id: str = CORP,
) -> tuple[dict[str, str], bytes]:
    """(query, body) as WeCom posts them."""
    encrypted = encrypt(plain, aes_key=aes_key, app_id=receive_id)
    timestamp, nonce = str(int(now)), nonce or f"n{next(_numbers)}"
    query = {
        "msg_signature": digest(token, timestamp, nonce, encrypted),
        "timestamp": timestamp,
        "nonce": nonce,
    }
    return query, xml({"ToUserName": CORP, "AgentID": "2000003", "Encrypt": encrypted})


def echo(words: str, *, now: float) -> dict[str, str]:
    """The query of the GET by which the console checks the address."""
    encrypted = encrypt(words.encode(), app_id=CORP)
    timestamp, nonce = str(int(now)), "437374425"
    return {
        "msg_signature": digest(TOKEN, timestamp, nonce, encrypted),
        "timestamp": timestamp,
        "nonce": nonce,
        "echostr": encrypted,
    }
