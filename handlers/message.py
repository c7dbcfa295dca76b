"""Message and Reply: what a handler sees of the wire, and what it gives back.

Both are frozen: a message is a fact, a reply is a decision. Neither knows XML, JSON
or WeChat's field names; `bot/official.py` translates. A reply that breaks a WeChat
rule (two articles to a text, 3 KB of text) is cut there, not here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Kind = Literal[
    "text",
    "image",
    "voice",
    "video",
    "shortvideo",
    "location",
    "link",
    "miniprogrampage",
    "event",
    "unknown",
]
ReplyKind = Literal["text", "image", "voice", "video", "music", "news", "transfer", "none"]

REPORTS = frozenset(
    {
        "masssendjobfinish",
        "templatesendjobfinish",
        "publishjobfinish",
        "subscribe_msg_popup_event",
        "subscribe_msg_change_event",
        "subscribe_msg_sent_event",
    }
)
"""Events by which the platform tells of its own work, and of permissions given on its pages.

Whoever they seem to come from has not written to us: they make nobody a member, open no
allowance, and are no interaction.
"""

_EMPTY: Mapping[str, Any] = {}


Source = Literal["official", "wecom", "onebot"]
"""Which kind of channel a message came by; see docs/groups.md for what each can do."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What a message said in a group has besides: where it was said, and to whom.

    group: the group's id on the channel. message_id: the platform's, "" when it names none.
    addressed: it mentions the bot or quotes it. mentions: ids of others that it mentions;
    everyone: it mentions all. quotes: id of the message it quotes, "" for none or not told;
    quoted: the words of that message, as far as told; quotes_who: who wrote it, "" when not told.
    name: what the sender is called there, "" when not told.
    """

    group: str
    message_id: str = ""
    addressed: bool = False
    everyone: bool = False
    mentions: tuple[str, ...] = ()
    quotes: str = ""
    quoted: str = field(default="", repr=False)
    quotes_who: str = ""
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message or event from a member.

    channel: the channel's name in the configuration ("mp").
    account: the account written to (WeChat's ToUserName, "gh_…").
    sender: the member's id on that channel (openid); never logged.
    kind: "text", "event", …; what WeChat may add tomorrow is "unknown".
    created: WeChat's CreateTime, Unix seconds.
    key: 32 hex characters, equal for redeliveries and for nothing else.
    text: what the member typed or, in a voice message, what WeChat recognised;
        stripped of surrounding blanks, "" when there is none.
    event: lower-case event name ("subscribe", "click"); "" unless kind is "event".
    event_key: the event's key; for QR events the bare scene, without "qrscene_".
    raw: every field as received; leaves are str, an empty element is None, a repeated
        element is a list.
    source: the kind of channel. talk: of a message or event in a group; None in private.
    """

    channel: str
    account: str
    sender: str
    kind: Kind
    created: int
    key: str
    text: str = ""
    event: str = ""
    event_key: str = ""
    raw: Mapping[str, Any] = field(default_factory=lambda: _EMPTY, repr=False)
    source: Source = "official"
    talk: Talk | None = None

    @property
    def place(self) -> str:
        """The group as the store names it, "channel:group"; "" in private."""
        return f"{self.channel}:{self.talk.group}" if self.talk else ""

    @property
    def is_report(self) -> bool:
        """Whether it is one of `REPORTS`: nobody wrote it, and nobody reads an answer."""
        return self.event in REPORTS


@dataclass(frozen=True, slots=True)
class Article:
    """One picture-and-text card of a news reply."""

    title: str
    description: str = ""
    picture_url: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """A button that says `word` for the member, where the channel has buttons.

    label: what stands on it. The text beside it names the words as well: elsewhere they are typed.
    """

    word: str
    label: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the member. Build it with the class methods."""

    kind: ReplyKind
    content: str = ""
    media_id: str = ""
    title: str = ""
    description: str = ""
    url: str = ""
    hq_url: str = ""
    thumb_media_id: str = ""
    articles: tuple[Article, ...] = ()
    kf_account: str = ""

    @classmethod
    def text(cls, content: str) -> Reply:
        """Plain text; longer than one WeChat message (2048 bytes) is split on the way out."""
        return cls("text", content=content)

    @classmethod
    def image(cls, media_id: str) -> Reply:
        """An uploaded picture."""
        return cls("image", media_id=media_id)

    @classmethod
    def voice(cls, media_id: str) -> Reply:
        """An uploaded sound."""
        return cls("voice", media_id=media_id)

    @classmethod
    def video(cls, media_id: str, title: str = "", description: str = "") -> Reply:
        """An uploaded video."""
        return cls("video", media_id=media_id, title=title, description=description)

    @classmethod
    def music(
        cls,
        url: str,
        title: str = "",
        description: str = "",
        hq_url: str = "",
        thumb_media_id: str = "",
    ) -> Reply:
        """A link to sound, shown as a player."""
        return cls(
            "music",
            url=url,
            title=title,
            description=description,
            hq_url=hq_url,
            thumb_media_id=thumb_media_id,
        )

    @classmethod
    def news(cls, *articles: Article) -> Reply:
        """Article cards. WeChat shows one in answer to a message, eight after an event."""
        return cls("news", articles=articles)

    @classmethod
    def transfer(cls, kf_account: str = "") -> Reply:
        """Hand the member to a human agent; kf_account "" lets WeChat choose one."""
        return cls("transfer", kf_account=kf_account)

    @classmethod
    def none(cls) -> Reply:
        """Handled; nothing to say."""
        return cls("none")


def reply_to_json(reply: Reply) -> str:
    """A reply as compact JSON, for the store; what is empty is left out."""
    return json.dumps(_filled(reply), ensure_ascii=False, separators=(",", ":"))


def reply_from_json(text: str | bytes) -> Reply:
    """The reply that `reply_to_json` wrote. Anything else: ValueError."""
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise ValueError("not a stored reply: nested too deeply") from error
    if not isinstance(data, dict) or data.get("kind") not in get_args(ReplyKind):
        raise ValueError("not a stored reply: its kind is missing or unknown")
    cards = data.pop("articles", [])
    if not isinstance(cards, list):
        raise ValueError("not a stored reply: articles is no list")
    _only_texts(Reply, data)
    for card in cards:
        _only_texts(Article, card)
        if "title" not in card:
            raise ValueError("not a stored reply: an article without a title")
    return Reply(**data, articles=tuple(Article(**card) for card in cards))


def _filled(value: Reply | Article) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for one in fields(value):
        content = getattr(value, one.name)
        if one.name == "articles":
            content = [_filled(article) for article in content]
        if content or (one.name == "title" and isinstance(value, Article)):
            out[one.name] = content
    return out


def _only_texts(cls: type[Reply] | type[Article], data: Any) -> None:
    names = {one.name for one in fields(cls)}
    if not isinstance(data, dict) or not data.keys() <= names:
        raise ValueError(f"not a stored reply: no {cls.__name__} has these fields")
    if not all(isinstance(value, str) for value in data.values()):
        raise ValueError(f"not a stored reply: a field of its {cls.__name__} is no text")
