"""What a campaign says: its kinds, their limits, and the JSON that WeChat wants. Pure.

A content is plain JSON with a "kind". What is wrong with it is said when it is written, with the
longest values its gaps can have, not when the ten-thousandth member is to get it. Nothing here
uploads or asks the store: media are given by name, values by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bot import campaign_article as article
from bot import targets
from bot.campaign_template import ContentError, Gaps, read
from store.assets import valid_name

__all__ = [
    "ARTICLE",
    "KINDS",
    "ContentError",
    "Rendered",
    "assets",
    "gaps",
    "links",
    "most_bytes",
    "payload_custom",
    "payload_mass",
    "payload_notice",
    "personal",
    "problems",
    "render",
    "urls",
]

TEXT_BYTES = 2048
MARKDOWN_BYTES = 4096
"""What a group robot takes."""
TITLE_CHARS = 64
MAX_OPTIONS = 6
OPTION_CHARS = 20
QUESTION_BYTES = 1024
NOTICE_CHARS = 200
MOST_DATA = 12

ARTICLE = "article"
"""Under this name `media` holds the draft of an article."""
JOIN = "答题"
"""What a member says to take part in the running quiz; see `handlers/quiz.py`."""
VOTE = "回复数字投票"
"""What a poll without buttons asks for; see `handlers/polls.py`."""

_APPID = re.compile(r"wx[0-9a-f]{16}")
_DATA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

_LINK = "https://" + "x" * 92
SHORTEST: Mapping[str, Any] = MappingProxyType(
    {
        "tier": "",
        "level": 0,
        "points": 0,
        "days": 0,
        "invited": 0,
        "topic": "",
        "business": "",
        "coupon": {"code": "A", "title": "券", "ends": ""},
        "item": {"title": "课", "url": "https://x", "price": "0"},
        "link": lambda target: "https://x",
    }
)
"""Values of a member of whom next to nothing is known."""
LONGEST: Mapping[str, Any] = MappingProxyType(
    {
        "tier": "级" * 20,
        "level": 100,
        "points": 1_000_000_000,
        "days": 10_000,
        "invited": 1_000_000,
        "topic": "题" * 20,
        "business": "店" * 30,
        "coupon": {"code": "X" * 64, "title": "券" * 64, "ends": "2026年12月31日 23:59"},
        "item": {"title": "课" * 64, "url": _LINK, "price": "1000000.00"},
        "link": lambda target: _LINK,
    }
)
"""Values that are as long as they get: a text that fits with these always fits."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A content for one member, its gaps filled. values: its fields; plain JSON values."""

    kind: str
    values: Mapping[str, Any]

    @property
    def text(self) -> str:
        """What there is to read: its text, question or title; "" for a picture."""
        for name in ("text", "question", "title"):
            if name in self.values:
                return str(self.values[name])
        return ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of content. fields: name -> whether it must be there; texts: fields with gaps and
    the bytes they may have filled; objects: what its gaps may name beside the member's."""

    fields: Mapping[str, bool]
    texts: Mapping[str, int]
    objects: tuple[str, ...] = ()


_KINDS: Mapping[str, _Kind] = {
    "text": _Kind({"text": True}, {"text": TEXT_BYTES}),
    "image": _Kind({"asset": True}, {}),
    "article": _Kind(
        {
            "title": True,
            "author": False,
            "digest": False,
            "markdown": True,
            "cover": True,
            "source_url": False,
        },
        {},
    ),
    "miniprogram": _Kind({"title": True, "appid": True, "pagepath": True, "thumb": True}, {}),
    "quiz": _Kind({"quiz": True, "text": True}, {"text": TEXT_BYTES}),
    "coupon": _Kind({"offer": True, "text": True}, {"text": TEXT_BYTES}, ("coupon",)),
    "item": _Kind({"text": True, "fallback": True}, {"text": TEXT_BYTES}, ("item",)),
    "notice": _Kind({"template_id": True, "data": True, "url": False}, {}),
    "poll": _Kind({"question": True, "options": True}, {"question": QUESTION_BYTES}),
    "markdown": _Kind({"text": True}, {"text": MARKDOWN_BYTES}),
    "news": _Kind({"title": True, "url": True, "digest": False, "picture_url": False}, {}),
}
KINDS: tuple[str, ...] = tuple(_KINDS)


def _text_of(content: Mapping[str, Any], name: str) -> str:
    """A field as text. Errors: ContentError when it is missing, no text, or holds what no
    message may."""
    if name not in content:
        raise ContentError("missing", f'a field "{name}"', where=name)
    value = content[name]
    if not isinstance(value, str):
        raise ContentError("not-text", "a text", where=name)
    if not value.strip():
        raise ContentError("empty", "a text that is not empty", where=name)
    for at, sign in enumerate(value):
        if (sign < " " and sign not in "\n\r\t") or sign == "\x7f" or "\ud800" <= sign <= "\udfff":
            before = value[:at]
            raise ContentError(
                "not-text",
                "a text without control characters",
                where=name,
                line=before.count("\n") + 1,
                column=at - before.rfind("\n"),
            )
    return value


def _known(content: Mapping[str, Any]) -> _Kind:
    kind = _KINDS.get(str(content.get("kind", "")))
    if kind is None:
        raise ContentError("kind", f"one of {', '.join(KINDS)}", where="kind")
    return kind


def gaps(content: Mapping[str, Any]) -> dict[str, Gaps]:
    """Every text of a content that may have gaps, by its field; read once, whoever asks.

    Errors: ContentError for the first that cannot be read.
    """
    kind = _known(content)
    found = {}
    for name in kind.texts:
        try:
            found[name] = read(_text_of(content, name), kind.objects)
        except ContentError as error:
            raise error if error.where else error.within(name) from None
    if content["kind"] == "notice":
        data = content.get("data")
        if not isinstance(data, Mapping) or not data:
            raise ContentError("data", "names and texts of the notice", where="data")
        for name in data:
            where = f"data.{name}"
            try:
                found[where] = read(_text_of(data, name))
            except ContentError as error:
                raise error.within(where) from None
    return found


def problems(content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is wrong with a content: (field, why in English, code); [] when nothing is."""
    return [(error.where, str(error), error.code) for error in faults(content)]


def faults(content: Mapping[str, Any]) -> list[ContentError]:
    """The same as errors, which know line and column; one for a field."""
    return list(_faults(content))


def _faults(content: Mapping[str, Any]) -> Iterator[ContentError]:
    try:
        kind = _known(content)
    except ContentError as error:
        yield error
        return
    if content["kind"] == "article" and isinstance(content.get("articles"), list):
        yield ContentError("too-many-articles", "one article", where="articles")
    for name in content:
        if name not in kind.fields and name not in ("kind", "articles"):
            yield ContentError("unknown-field", f"one of {', '.join(kind.fields)}", where=str(name))
    for name, wanted in kind.fields.items():
        if not wanted and content.get(name) in (None, ""):
            continue
        try:
            _CHECKS.get(name, _check_text)(content, name)
        except ContentError as error:
            yield error if error.where else error.within(name)


# The fields, each with its own check.


def _check_text(content: Mapping[str, Any], name: str) -> None:
    kind = _known(content)
    text = _text_of(content, name)
    if name not in kind.texts:
        if len(text) > TITLE_CHARS:
            raise ContentError("too-long", f"at most {TITLE_CHARS} characters")
        return
    _check_gaps(read(text, kind.objects), kind.texts[name])


def _check_gaps(text: Gaps, most: int) -> None:
    for values in (LONGEST, SHORTEST):
        filled = text.fill(values)
        size = len(filled.encode())
        if size > most:
            raise ContentError("too-long", f"at most {most} bytes; it can have {size}")
        if not filled.strip():
            raise ContentError("empty", "a text that is never empty")


def _check_asset(content: Mapping[str, Any], name: str) -> None:
    if not valid_name(_text_of(content, name)):
        raise ContentError("asset", "the name of a picture")


def _check_url(content: Mapping[str, Any], name: str) -> None:
    if why := targets.problem(_text_of(content, name)):
        raise ContentError("url", f"an address: this one {why}")


def _check_appid(content: Mapping[str, Any], name: str) -> None:
    if not _APPID.fullmatch(_text_of(content, name)):
        raise ContentError("appid", "wx and 16 digits or letters a to f")


def _check_page(content: Mapping[str, Any], name: str) -> None:
    if len(_text_of(content, name).encode()) > 1024:
        raise ContentError("too-long", "at most 1024 bytes")


def _check_quiz(content: Mapping[str, Any], name: str) -> None:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ContentError("quiz", "the number of a quiz")


def _check_options(content: Mapping[str, Any], name: str) -> None:
    options = content.get(name)
    if not isinstance(options, list) or not 2 <= len(options) <= MAX_OPTIONS:
        raise ContentError("options", f"2 to {MAX_OPTIONS} options")
    for number, option in enumerate(options, 1):
        text = _text_of({name: option}, name)
        if len(text) > OPTION_CHARS or not text.isprintable():
            raise ContentError(
                "options", f"at most {OPTION_CHARS} characters on one line in option {number}"
            )
    if len({option.strip() for option in options}) < len(options):
        raise ContentError("options", "each option once")


def _check_template_id(content: Mapping[str, Any], name: str) -> None:
    if not _TEMPLATE_ID.fullmatch(_text_of(content, name)):
        raise ContentError("template", "the id of a template, as WeChat's console shows it")


def _check_data(content: Mapping[str, Any], name: str) -> None:
    data = content.get(name)
    if not isinstance(data, Mapping) or not 1 <= len(data) <= MOST_DATA:
        raise ContentError("data", f"1 to {MOST_DATA} names with their texts")
    for key in data:
        where = f"{name}.{key}"
        if not isinstance(key, str) or not _DATA.fullmatch(key):
            raise ContentError("data", "a name as in the template, such as thing1", where=where)
        try:
            _check_gaps(read(_text_of(data, key)), NOTICE_CHARS * 3)
        except ContentError as error:
            raise error.within(where) from None


def _check_markdown(content: Mapping[str, Any], name: str) -> None:
    article.check(_text_of(content, name))


def _limited(most: int) -> Callable[[Mapping[str, Any], str], None]:
    def check(content: Mapping[str, Any], name: str) -> None:
        if len(_text_of(content, name)) > most:
            raise ContentError("too-long", f"at most {most} characters")

    return check


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], str], None]] = {
    "asset": _check_asset,
    "cover": _check_asset,
    "thumb": _check_asset,
    "source_url": _check_url,
    "picture_url": _check_url,
    "url": _check_url,
    "appid": _check_appid,
    "pagepath": _check_page,
    "quiz": _check_quiz,
    "options": _check_options,
    "template_id": _check_template_id,
    "data": _check_data,
    "markdown": _check_markdown,
    "author": _limited(article.AUTHOR_CHARS),
    "digest": _limited(article.DIGEST_CHARS),
}


# What it needs and names.


def personal(content: Mapping[str, Any]) -> bool:
    """Whether two members could get different messages: then no mass send can carry it.

    Errors: ContentError.
    """
    if _known(content).objects:
        return True
    return any(one.personal for one in gaps(content).values())


def links(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The targets of its link("…"): ids of items, or addresses. Errors: ContentError."""
    return tuple(dict.fromkeys(link for one in gaps(content).values() for link in one.links))


def urls(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Every address it leads to: in texts, links and fields, each once. Errors: ContentError."""
    texts = [one.source for one in gaps(content).values()]
    texts += [str(content[name]) for name in ("url", "source_url") if content.get(name)]
    found = [text[start:end] for text in texts for start, end in targets.in_text(text)]
    found += [link for link in links(content) if "://" in link]
    return tuple(dict.fromkeys(found))


def most_bytes(kind: str, field: str) -> int:
    """How long a filled text may be; 0 for a field without gaps."""
    known = _KINDS.get(kind)
    return 0 if known is None else known.texts.get(field, 0)


def assets(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the pictures it shows, each once."""
    found = [str(content[name]) for name in ("asset", "cover", "thumb") if content.get(name)]
    if content.get("kind") == "article" and isinstance(content.get("markdown"), str):
        found += article.pictures(content["markdown"])
    return tuple(dict.fromkeys(found))


def render(content: Mapping[str, Any], values: Mapping[str, Any]) -> Rendered:
    """A content for one member; some 20 µs for each text with gaps, in any thread.

    values: by name as in docs/campaigns.md; "link" is called with each target. Errors:
    ContentError, when a text is longer than its kind may be, too.
    """
    kind = _known(content)
    filled = dict(content)
    for name, most in kind.texts.items():
        try:
            text = read(content[name], kind.objects).fill(values)
        except ContentError as error:
            raise error.within(name) from None
        if len(text) * 4 > most and len(text.encode(errors="replace")) > most:
            raise ContentError("too-long", f"at most {most} bytes", where=name)
        filled[name] = text
    if content["kind"] == "notice":
        filled["data"] = {
            name: read(text).fill(values) for name, text in dict(content["data"]).items()
        }
    return Rendered(str(content["kind"]), filled)


# The JSON of WeChat's calls.


def payload_custom(
    rendered: Rendered, openid: str, media: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The bodies of custom/send, one for each message.

    media: by asset name its media_id, by ARTICLE that of the draft. Errors: ContentError for a
    kind that does not go this way.
    """
    values = rendered.values
    match rendered.kind:
        case "text" | "coupon" | "item":
            body: dict[str, Any] = {"msgtype": "text", "text": {"content": values["text"]}}
        case "image":
            body = {"msgtype": "image", "image": {"media_id": media[values["asset"]]}}
        case "article":
            body = {"msgtype": "mpnews", "mpnews": {"media_id": media[ARTICLE]}}
        case "miniprogram":
            card = {name: values[name] for name in ("title", "appid", "pagepath")}
            card["thumb_media_id"] = media[values["thumb"]]
            body = {"msgtype": "miniprogrampage", "miniprogrampage": card}
        case "quiz":
            body = _menu(values["text"], f"quiz:{values['quiz']}", [JOIN])
        case "poll":
            # Whose name it bears is known to who fills it; a preview's votes are nobody's.
            body = _menu(values["question"], values.get("poll", "poll"), values["options"])
        case _:
            raise ContentError("route", "a kind that goes by customer-service message")
    return [{"touser": openid, **body}]


def _menu(head: str, name: str, options: list[str]) -> dict[str, Any]:
    choices = [
        {"id": f"{name}:{number}", "content": option} for number, option in enumerate(options, 1)
    ]
    menu = {"head_content": head, "list": choices, "tail_content": ""}
    return {"msgtype": "msgmenu", "msgmenu": menu}


def payload_mass(rendered: Rendered, media: Mapping[str, str]) -> dict[str, Any]:
    """The body of a mass send without its receivers and clientmsgid.

    media: as of `payload_custom`. Errors: ContentError for a kind that does not go this way.
    """
    values = rendered.values
    match rendered.kind:
        case "text" | "quiz":
            return {"msgtype": "text", "text": {"content": values["text"]}}
        case "poll":
            options = [f"{number}. {one}" for number, one in enumerate(values["options"], 1)]
            return {
                "msgtype": "text",
                "text": {"content": "\n".join((values["question"], *options, VOTE))},
            }
        case "image":
            return {"msgtype": "image", "images": {"media_ids": [media[values["asset"]]]}}
        case "article":
            # 0: an article that copies another's protected one is stopped instead of sent.
            return {
                "msgtype": "mpnews",
                "mpnews": {"media_id": media[ARTICLE]},
                "send_ignore_reprint": 0,
            }
    raise ContentError("route", "a kind that goes by mass send")


def payload_notice(rendered: Rendered, openid: str) -> dict[str, Any]:
    """The body of a template message or a subscription notice, which want the same.

    Errors: ContentError for another kind.
    """
    if rendered.kind != "notice":
        raise ContentError("route", "a notice")
    body: dict[str, Any] = {
        "touser": openid,
        "template_id": rendered.values["template_id"],
        "data": {name: {"value": text} for name, text in rendered.values["data"].items()},
    }
    if rendered.values.get("url"):
        body["url"] = rendered.values["url"]
    return body
