"""What the fake WeChat's API accepts: error codes, and the checks of request bodies.

Pure. Limits and codes are those of the protocol reference; where WeChat documents none,
the nearest documented code is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.fake_platform import card

ERRORS: Mapping[int, str] = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40005: "invalid file type",
    40007: "invalid media_id",
    40008: "invalid message type",
    40009: "invalid image size",
    40013: "invalid appid",
    40014: "invalid access_token",
    40016: "invalid button size",
    40017: "invalid button type",
    40018: "invalid button name size",
    40019: "invalid button key size",
    40023: "invalid sub button size",
    40029: "invalid code",
    40031: "invalid openid list",
    40032: "invalid openid list size",
    40033: "invalid charset. please check your request, if include \\uxxxx will create fail!",
    40037: "invalid template_id",
    40059: "invalid msg id",
    40066: "invalid url",
    40097: "invalid args",
    40125: "invalid appsecret",
    40130: "invalid openid list size, at least two openid",
    40163: "code been used",
    40164: "invalid ip, not in whitelist",
    41001: "access_token missing",
    41008: "missing code",
    42001: "access_token expired",
    42003: "code expired",
    43001: "require GET method",
    43002: "require POST method",
    43004: "require subscribe",
    43019: "require remove blacklist",
    43101: "user refuse to accept the msg",
    44003: "empty news data",
    44004: "empty content",
    45002: "content size out of limit",
    45003: "title size out of limit",
    45004: "description size out of limit",
    45008: "article size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45015: "response out of time limit or subscription is canceled",
    45028: "has no masssend quota",
    45047: "out of response count limit",
    45056: "create too many tags",
    45058: "can't modify sys tag",
    45059: "tag count of a user out of limit",
    45065: "clientmsgid exist",
    45066: "same clientmsgid retry too fast",
    45067: "clientmsgid size out of limit",
    45083: "speed out of range",
    45084: "no speed",
    45157: "invalid tag name, duplicate",
    45158: "invalid tag name, too long",
    45159: "invalid tag",
    46003: "menu no exist",
    47001: "data format error",
    47003: "argument invalid!",
    48001: "api unauthorized",
    48002: "user block receive message",
}


class ApiError(Exception):
    """An API call WeChat answers with an errcode; the number is the first argument.

    msg_id: of the mass send that 45065 and 45066 speak of, else 0.
    """

    def __init__(self, errcode: int, msg_id: int = 0) -> None:
        super().__init__(errcode)
        self.errcode = errcode
        self.msg_id = msg_id


@dataclass(frozen=True)
class Call:
    """One API request, read: query, the raw body, and the body as a JSON object."""

    path: str
    method: str
    query: Mapping[str, str]
    raw: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object; errcode 47001 when it is not one."""
        try:
            body = json.loads(self.raw.decode())
        except (ValueError, RecursionError):
            raise ApiError(47001) from None
        if not isinstance(body, dict):
            raise ApiError(47001)
        return body


def _text(part: Mapping[str, Any]) -> str:
    content = part.get("content")
    if not isinstance(content, str) or not content.strip():
        raise ApiError(44004)
    if len(content.encode(errors="replace")) > 2048:
        raise ApiError(45002)
    return content


def _media(part: Mapping[str, Any]) -> str:
    media_id = part.get("media_id")
    if not isinstance(media_id, str) or not media_id:
        raise ApiError(40007)
    return media_id


def _music(part: Mapping[str, Any]) -> str:
    if not part.get("thumb_media_id"):
        raise ApiError(40007)
    return str(part.get("title") or part.get("musicurl") or "")


def _news(part: Mapping[str, Any]) -> str:
    articles = part.get("articles")
    if not isinstance(articles, list) or not articles or not isinstance(articles[0], dict):
        raise ApiError(44003)
    if len(articles) > 1:
        raise ApiError(45008)
    return card(articles[0])["title"]


def _miniprogram(part: Mapping[str, Any]) -> str:
    if not part.get("thumb_media_id"):
        raise ApiError(40007)
    if not all(part.get(name) for name in ("title", "appid", "pagepath")):
        raise ApiError(40097)
    return str(part["title"])


def _msgmenu(part: Mapping[str, Any]) -> str:
    rows = part.get("list")
    if not isinstance(rows, list) or not rows:
        raise ApiError(40097)
    lines = [part.get("head_content", "")]
    lines += [row.get("content", "") for row in rows if isinstance(row, dict)]
    lines.append(part.get("tail_content", ""))
    return "\n".join(str(line) for line in lines if line)


CUSTOM: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "text": _text,
    "image": _media,
    "voice": _media,
    "video": _media,
    "music": _music,
    "news": _news,
    "mpnews": _media,
    "miniprogrampage": _miniprogram,
    "msgmenu": _msgmenu,
}
"""Type of a customer-service message -> its check, which returns what a member reads."""


def check_button(button: object) -> None:
    """Raise the ApiError a menu item without sub-items earns; None when it is fine."""
    if not isinstance(button, dict):
        raise ApiError(40017)
    kind = button.get("type")
    if not 1 <= len(str(button.get("name", "")).encode()) <= 60:
        raise ApiError(40018)
    if kind == "view":
        if not 1 <= len(str(button.get("url", "")).encode()) <= 1024:
            raise ApiError(40097)
    elif kind == "miniprogram":
        if not all(button.get(name) for name in ("url", "appid", "pagepath")):
            raise ApiError(40097)
    elif not isinstance(kind, str) or not kind:
        raise ApiError(40017)
    elif "media" not in kind and not 1 <= len(str(button.get("key", "")).encode()) <= 128:
        raise ApiError(40019)
