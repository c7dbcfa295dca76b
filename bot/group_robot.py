"""A WeCom group robot (群机器人, 消息推送): it posts into the one group it was added to.

`render` is pure: a Post in, the JSON of one call out. A post is one call; what is longer than a
call takes is cut there, and `split` makes parts of it before it is planned, each a row of its own.
Limits are bytes of UTF-8 and nothing is ever cut inside a character. The key is the only
credential and stands in the query, so it is in no error, log line or metric.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import aiohttp

from bot.client import Sealed, encoded
from bot.errcodes import Unheard, Unreachable
from bot.group_settings import QYAPI
from bot.qyapi import Qyapi, WeComRefused
from store.assets import Asset, Purpose, Upload, kind_of
from store.posts import Post, PostArticle, PostKind

SEND = "/cgi-bin/webhook/send"
UPLOAD = "/cgi-bin/webhook/upload_media"

TEXT_BYTES = 2048
MARKDOWN_BYTES = 4096
ARTICLES = 8
TITLE_BYTES = 128
DESCRIPTION_BYTES = 512
IMAGE_BYTES = 2 * 1024 * 1024
FILE_BYTES = 20 * 1024 * 1024
MEDIA_S = 3 * 86_400.0
"""How long WeCom keeps an uploaded file."""

EVERYBODY = "@all"
_PHONE = "tel:"
_CARDS = {"text_notice", "news_notice"}
_CARD_LISTS = {"horizontal_content_list": 6, "vertical_content_list": 4, "jump_list": 3}
_CUT = "…"

_MARKS = (
    (re.compile(r"</?font[^>]*>"), ""),
    (re.compile(r"!?\[([^\]\n]*)\]\(([^)\s]*)\)"), r"\1 \2"),
    (re.compile(r"^ {0,3}(?:#{1,6}|>)[ \t]*", re.MULTILINE), ""),
    (re.compile(r"\*\*|`+"), ""),
)


class CannotPost(ValueError):
    """This robot cannot say such a thing; the sentence says why."""


class Files(Protocol):
    """Where pictures and files are: `store.assets.Assets`."""

    async def data(self, asset_id: int) -> bytes:
        """The bytes of one; b"" for none."""

    async def uploaded(
        self, asset: Asset, channel: str, purpose: Purpose, now: float
    ) -> Upload | None:
        """The copy of exactly these bytes; None when it must be made."""

    async def keep(self, asset: Asset, channel: str, purpose: Purpose, upload: Upload) -> None:
        """Note where it is now."""

    async def lost(self, asset: Asset, channel: str, purpose: Purpose, media_id: str) -> None:
        """That copy is not known any more."""


# What a call says


def render(post: Post, *, data: bytes = b"", media_id: str = "") -> dict[str, Any]:
    """The JSON of the one call that posts this.

    data: the bytes of a picture. media_id: of a file. A mention that the kind cannot carry makes
    a markdown post a text; articles, pictures, files and cards go without mentions. A robot
    cannot quote. Errors: CannotPost.
    """
    match _kind(post):
        case "text":
            return _text(post)
        case "markdown" | "markdown_v2" as kind:
            return _markdown(post, kind)
        case "news":
            return {"msgtype": "news", "news": {"articles": _articles(post.articles)}}
        case "image":
            return {"msgtype": "image", "image": _image(data)}
        case "file":
            if not media_id:
                raise CannotPost("the file was not uploaded")
            return {"msgtype": "file", "file": {"media_id": media_id}}
        case _:
            return {"msgtype": "template_card", "template_card": _card(post.card)}


def split(post: Post) -> list[Post]:
    """The post in parts that each fit one call, cut where a reader would pause.

    The first has the mentions and the quote. One that fits, or is no text, stays as it is.
    """
    if post.kind not in ("text", "markdown", "markdown_v2"):
        return [post]
    kind = _kind(post)
    words = _words(post, kind)
    limit = TEXT_BYTES if kind == "text" else MARKDOWN_BYTES
    if _size(words) + _size(_suffix(post, kind)) <= limit:
        return [post]
    parts: list[str] = []
    while words:
        room = limit if parts else limit - _size(_suffix(post, kind))
        part, words = _broken(words, room)
        if part:
            parts.append(part)
    rest = replace(post, kind=kind, mentions=(), quote="")
    first = replace(post, kind=kind, content=parts[0])
    return [first, *(replace(rest, content=part) for part in parts[1:])]


def cut(text: str, limit: int) -> str:
    """The text, or as much of it as fits `limit` bytes of UTF-8 with "…" behind."""
    if _size(text) <= limit:
        return text
    return _head(text, limit - _size(_CUT)).rstrip() + _CUT


def _kind(post: Post) -> PostKind:
    """The kind that can carry what the post has."""
    if post.kind == "markdown_v2" and post.mentions:
        return "text"
    if post.kind == "markdown" and any(
        one == EVERYBODY or one.startswith(_PHONE) for one in post.mentions
    ):
        return "text"
    return post.kind


def _words(post: Post, kind: PostKind) -> str:
    if kind == "text" and post.kind != "text":
        return _plain(post.content).strip()
    return post.content.strip()


def _suffix(post: Post, kind: PostKind) -> str:
    """What a markdown post says behind its words: the mentions that are not in them."""
    if kind != "markdown":
        return ""
    wanted = [f"<@{one}>" for one in dict.fromkeys(post.mentions)]
    return "".join(f" {one}" for one in wanted if one not in post.content)


def _plain(markdown: str) -> str:
    for pattern, instead in _MARKS:
        markdown = pattern.sub(instead, markdown)
    return markdown


def _text(post: Post) -> dict[str, Any]:
    content = cut(_words(post, "text"), TEXT_BYTES)
    mentions = list(dict.fromkeys(post.mentions))
    if not content and not mentions:
        raise CannotPost("there is nothing to say")
    text: dict[str, Any] = {"content": content}
    people = [one for one in mentions if not one.startswith(_PHONE)]
    phones = [one.removeprefix(_PHONE) for one in mentions if one.startswith(_PHONE)]
    if people:
        text["mentioned_list"] = people
    if phones:
        text["mentioned_mobile_list"] = phones
    return {"msgtype": "text", "text": text}


def _markdown(post: Post, kind: PostKind) -> dict[str, Any]:
    suffix = _suffix(post, kind)
    room = MARKDOWN_BYTES - _size(suffix)
    if room < _size(_CUT):
        raise CannotPost("too many mentions for one message")
    content = (cut(_words(post, kind), room) + suffix).strip()
    if not content:
        raise CannotPost("there is nothing to say")
    return {"msgtype": kind, kind: {"content": content}}


def _articles(articles: Sequence[PostArticle]) -> list[dict[str, str]]:
    if not 1 <= len(articles) <= ARTICLES:
        raise CannotPost(f"{len(articles)} articles; 1 to {ARTICLES} are possible")
    rendered = []
    for article in articles:
        if not article.title.strip() or not article.url:
            raise CannotPost("an article needs a title and a url")
        one = {"title": cut(article.title.strip(), TITLE_BYTES)}
        if article.description:
            one["description"] = cut(article.description, DESCRIPTION_BYTES)
        one["url"] = article.url
        if article.picture_url:
            one["picurl"] = article.picture_url
        rendered.append(one)
    return rendered


def _image(data: bytes) -> dict[str, str]:
    if not kind_of(data):
        raise CannotPost("the picture is gone, or neither PNG nor JPEG")
    if len(data) > IMAGE_BYTES:
        raise CannotPost("the picture is over 2 MB")
    # MD5 because WeCom asks for it: it finds a broken upload, nothing else.
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {"base64": base64.b64encode(data).decode(), "md5": digest}


def _card(card: Mapping[str, Any] | None) -> dict[str, Any]:
    """A card as WeCom takes it from a robot that hears nothing: no buttons, no votes."""
    if card is None or card.get("card_type") not in _CARDS:
        raise CannotPost("a group robot shows cards of text_notice and news_notice only")
    title = _part(card, "main_title").get("title")
    if card["card_type"] == "news_notice":
        if not title or not _part(card, "card_image").get("url"):
            raise CannotPost("a news_notice needs main_title.title and card_image.url")
    elif not title and not card.get("sub_title_text"):
        raise CannotPost("a text_notice needs main_title.title or sub_title_text")
    action = _part(card, "card_action")
    target = {1: action.get("url"), 2: action.get("appid")}.get(action.get("type", 0))
    if not target:
        raise CannotPost("a card needs card_action: type 1 with url, or type 2 with appid")
    for name, most in _CARD_LISTS.items():
        if len(card.get(name) or ()) > most:
            raise CannotPost(f"{name} has more than {most} entries")
    return dict(card)


def _part(card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = card.get(name)
    return value if isinstance(value, Mapping) else {}


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _head(text: str, limit: int) -> str:
    """As many whole characters as fit; what joins the one before stays with it."""
    at = len(text.encode(errors="replace")[: max(0, limit)].decode(errors="ignore"))
    while 0 < at < len(text) and _joins(text, at):
        at -= 1
    return text[:at]


def _joins(text: str, at: int) -> bool:
    """Whether a cut before this character would tear an emoji or an accent off."""
    return (
        text[at] in "\u200d\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
        or text[at - 1] == "\u200d"
        or unicodedata.combining(text[at]) != 0
    )


_PAUSES = (re.compile(r"\n"), re.compile(r"[。！？；!?;]|(?<=\S)\.\s"), re.compile(r"[，、,\s]"))


def _broken(text: str, limit: int) -> tuple[str, str]:
    """A part that fits, and what is left: at a line's end, a sentence's, a comma, or anywhere."""
    if _size(text) <= limit:
        return text.strip(), ""
    head = _head(text, limit)
    if not head:
        # One cluster wider than the room: torn rather than never said.
        head = text.encode(errors="replace")[: max(4, limit)].decode(errors="ignore")
    for pause in _PAUSES:
        ends = [found.end() for found in pause.finditer(head)]
        if ends and ends[-1] > len(head) // 2:
            head = head[: ends[-1]]
            break
    return head.strip(), text[len(head) :].strip()


# The call


class GroupRobot:
    """Posts into the group of one key (`bot.posting.Poster`).

    files: `store.assets`. now: Unix seconds. observe: path and errcode of every exchange.
    Whether the key is right can only be found out by posting, so there is no probe for
    `zhiqun check`.
    """

    def __init__(
        self,
        channel: str,
        key: Sealed,
        *,
        session: aiohttp.ClientSession,
        files: Files,
        now: Callable[[], float],
        api_base: str = QYAPI,
        timeout_s: float = 10.0,
        observe: Callable[[str, int], None] = lambda path, errcode: None,
    ) -> None:
        self._channel = channel
        self._key = key
        self._files = files
        self._now = now
        self._api = Qyapi(session, api_base=api_base, timeout_s=timeout_s, observe=observe)

    async def post(self, group: str, post: Post) -> str:
        """Post it; "", for WeCom gives such messages no id.

        group: ignored, the key is the group. Errors: WeComRefused, Unreachable, Unheard;
        CannotPost, a ValueError, when a robot cannot say it.
        """
        match post.kind:
            case "image":
                data = await self._data(post)
                # Two megabytes as base64 and JSON take tens of milliseconds: not on the loop.
                body = await asyncio.to_thread(lambda: encoded(render(post, data=data)))
                await self._send(body)
            case "file":
                await self._post_file(post)
            case _:
                await self._send(encoded(render(post)))
        return ""

    async def _post_file(self, post: Post) -> None:
        data = await self._data(post)
        asset = await asyncio.to_thread(_asset, post.asset_id or 0, data)
        media_id = await self._uploaded(asset, data)
        try:
            await self._send(encoded(render(post, media_id=media_id)))
        except WeComRefused as error:
            if error.errcode != 40007:
                raise
            # It was there for three days, they say; once more, with a new one.
            await self._files.lost(asset, self._channel, "temporary", media_id)
            media_id = await self._uploaded(asset, data)
            await self._send(encoded(render(post, media_id=media_id)))

    async def _data(self, post: Post) -> bytes:
        data = b"" if post.asset_id is None else await self._files.data(post.asset_id)
        if not data:
            raise CannotPost("the picture or file is gone")
        return data

    async def _uploaded(self, asset: Asset, data: bytes) -> str:
        if len(data) > FILE_BYTES:
            raise CannotPost("the file is over 20 MB")
        known = await self._files.uploaded(asset, self._channel, "temporary", self._now())
        if known is not None:
            return known.media_id
        form = aiohttp.FormData()
        form.add_field("media", data, filename=asset.filename, content_type=asset.mime)
        try:
            answer = await self._call(UPLOAD, form, type="file")
        except Unheard as error:
            # Whatever became of the upload: nothing was posted.
            raise Unreachable(error.api, error.reason) from None
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise Unreachable("webhook/upload_media", "the answer has no media_id")
        upload = Upload(media_id, "", self._now() + MEDIA_S)
        await self._files.keep(asset, self._channel, "temporary", upload)
        return media_id

    async def _send(self, body: bytes) -> None:
        await self._call(SEND, body)

    async def _call(
        self, path: str, body: bytes | aiohttp.FormData, **query: str
    ) -> dict[str, Any]:
        key = self._key.reveal()
        return await self._api.call(
            "POST", path, query={"key": key, **query}, body=body, hidden=(key,)
        )


def _asset(asset_id: int, data: bytes) -> Asset:
    """What copies are kept by: the number and the bytes; a name is not needed for that."""
    digest = hashlib.sha256(data).digest()
    return Asset(asset_id, "", kind_of(data), digest, len(data), 0.0, "")
