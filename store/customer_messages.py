"""What is said in a customer group: words, and up to nine things beside them.

An employee's own WeCom sends it, so it is what a person may send: no mentions, no markdown, no
cards. Limits are those of WeCom's add_msg_template, in bytes of UTF-8.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from store.posts import Post

AttachmentKind = Literal["link", "image", "miniprogram"]
ATTACHMENT_KINDS: tuple[AttachmentKind, ...] = get_args(AttachmentKind)

TEXT_BYTES = 4000
ATTACHMENTS = 9
URL_BYTES = 2048


class BadMessageShape(ValueError):
    """This cannot be said in a customer group; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something beside the words.

    link: title and url, description and picture_url as you like. image: asset_id
    (`store.assets`). miniprogram: title, app_id and page, asset_id of its cover.
    """

    kind: AttachmentKind
    title: str = ""
    url: str = ""
    description: str = ""
    picture_url: str = ""
    asset_id: int | None = None
    app_id: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class CustomerMessage:
    """A message to customer groups: words, attachments, or both."""

    text: str = ""
    attachments: tuple[Attachment, ...] = ()


def check(message: CustomerMessage) -> None:
    """Errors: BadMessageShape for what WeCom would refuse."""
    if not message.text.strip() and not message.attachments:
        raise BadMessageShape("there is nothing to say")
    if len(message.text.encode(errors="replace")) > TEXT_BYTES:
        raise BadMessageShape(f"the text is over {TEXT_BYTES} bytes")
    if len(message.attachments) > ATTACHMENTS:
        raise BadMessageShape(f"{len(message.attachments)} attachments; {ATTACHMENTS} are possible")
    for one in message.attachments:
        _check_attachment(one)


def _check_attachment(one: Attachment) -> None:
    needed: dict[AttachmentKind, tuple[str, ...]] = {
        "link": ("title", "url"),
        "image": ("asset_id",),
        "miniprogram": ("title", "app_id", "page", "asset_id"),
    }
    if one.kind not in needed:
        raise BadMessageShape(f"an attachment cannot be {one.kind!r}")
    for name in needed[one.kind]:
        if getattr(one, name) in ("", None):
            raise BadMessageShape(f"a {one.kind} needs {name}")
    if max(len(one.url.encode(errors="replace")), len(one.picture_url.encode())) > URL_BYTES:
        raise BadMessageShape(f"an address is over {URL_BYTES} bytes")


def message_of(post: Post) -> CustomerMessage:
    """What a post for other groups says in a customer group; mentions are left out.

    Text, articles (each a link) and pictures. Errors: BadMessageShape for the other kinds.
    """
    match post.kind:
        case "text":
            message = CustomerMessage(post.content)
        case "news":
            links = tuple(
                Attachment("link", one.title, one.url, one.description, one.picture_url)
                for one in post.articles
            )
            message = CustomerMessage(post.content, links)
        case "image":
            message = CustomerMessage(post.content, (Attachment("image", asset_id=post.asset_id),))
        case _:
            raise BadMessageShape(f"a customer group takes no {post.kind}")
    check(message)
    return message


_EMPTY = Attachment("link")
_FIELDS = tuple(one.name for one in fields(Attachment) if one.name != "kind")


def message_to_json(message: CustomerMessage) -> str:
    """As it is stored; what an attachment does not have is left out."""
    attachments = [
        {"kind": one.kind}
        | {name: value for name, value in asdict(one).items() if value != getattr(_EMPTY, name)}
        for one in message.attachments
    ]
    return json.dumps({"text": message.text, "attachments": attachments}, ensure_ascii=False)


def message_from_json(text: str) -> CustomerMessage:
    """What `message_to_json` made. Errors: BadMessageShape for anything else."""
    try:
        data = json.loads(text)
        attachments = tuple(
            Attachment(one["kind"], **{name: one[name] for name in _FIELDS if name in one})
            for one in data["attachments"]
        )
        return CustomerMessage(str(data["text"]), attachments)
    except (ValueError, TypeError, KeyError) as error:
        raise BadMessageShape("not a message for customer groups") from error
