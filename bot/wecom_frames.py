"""What a WeCom robot says: an answer as it is kept, and the frames that carry it. Pure.

WeCom shows a stream's text as Markdown and replaces it with every frame, so an answer is one
text, however many replies it is made of. A robot has no articles, voices or videos of ours:
what cannot be shown there is said in a sentence.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.official import split_text
from bot.parts import Outcome
from bot.wecom import button_key, task_of
from handlers.message import Article, Message, Option, Reply

TEXT_LIMIT = 20_480
"""Bytes of UTF-8 in one stream or pushed answer."""

PICTURES = 10
"""Pictures in a last frame."""

PICTURE_BYTES = 4 << 20
"""In one frame together. WeCom takes more; but a frame is sealed where other answers wait."""

BUTTONS = 6
_BUTTON_CHARS = 10
_CARD_CHARS = 112
"""Characters of an answer that fit on a card."""

_OLDER_LIMIT = 2048
_LINK = re.compile(r"<a\s[^>]*?href=[\"']([^\"'>]*)[\"'][^>]*>(.*?)</a>", re.DOTALL | re.IGNORECASE)
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")  # what XML forbids
_THINK = re.compile(r"<(?=/?think>)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sentences:
    """What the robot itself says; `bot/wecom_door.py` fills it from the chat texts.

    thinking: the first frame; still, longer: added while it takes; later: the stream ends before
    its answer; given_up: the same, and there is no address for it. gone: a stream that nobody
    knows. pushed: its answer went out by its address. done: an answer without words. cut: behind
    what was too long. picture, sound, film, human: instead of what cannot be shown. choose,
    chosen ("已选 {word}"), below, outdated: on cards.
    """

    thinking: str
    still: str
    longer: str
    later: str
    given_up: str
    gone: str
    pushed: str
    done: str
    cut: str
    picture: str
    sound: str
    film: str
    human: str
    choose: str
    chosen: str
    below: str
    outdated: str
    crashed: str


@dataclass(frozen=True, slots=True)
class Final:
    """A whole answer. pictures: media ids; options: what may be chosen in reply."""

    text: str
    pictures: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()

    def to_bytes(self) -> bytes:
        """As the store keeps it."""
        kept: dict[str, Any] = {"text": self.text}
        if self.pictures:
            kept["pictures"] = self.pictures
        if self.options:
            kept["options"] = [[one.word, one.label] for one in self.options]
        # Half an emoji becomes "?": it must not cost the answer.
        text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")

    @classmethod
    def of(cls, kept: bytes) -> Final:
        """What `to_bytes` wrote. Anything else: ValueError."""
        try:
            data = json.loads(kept)
            options = tuple(Option(word, label) for word, label in data.get("options", ()))
            return cls(str(data["text"]), tuple(data.get("pictures", ())), options)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("not a stored answer") from error


def final_of(outcome: Outcome, sentences: Sentences) -> Final:
    """The reply and what follows it as one answer; its text is "" when there is nothing to say."""
    texts: list[str] = []
    pictures: list[str] = []
    for reply in (outcome.reply, *(() if outcome.erased else outcome.then)):
        if reply.kind == "image" and reply.media_id and len(pictures) < PICTURES:
            pictures.append(reply.media_id)
        elif said := _said(reply, sentences):
            texts.append(said)
    return Final("\n\n".join(texts), tuple(pictures), outcome.options)


def _said(reply: Reply, sentences: Sentences) -> str:
    match reply.kind:
        case "text":
            return _markdown(reply.content.strip())
        case "news":
            return "\n\n".join(_article(one) for one in reply.articles)
        case "image":
            return sentences.picture
        case "voice":
            return sentences.sound
        case "video":
            return sentences.film
        case "music":
            return _linked(reply.title or reply.url or reply.hq_url, reply.url or reply.hq_url)
        case "transfer":
            return sentences.human
        case _:
            return ""


def _markdown(text: str) -> str:
    """WeChat's own links as Markdown; and no text of a member hides itself as a thought."""
    return _THINK.sub("＜", _LINK.sub(_link, text))


def _link(found: re.Match[str]) -> str:
    url, words = found[1], found[2]
    return words if url.startswith("weixin:") else _linked(words, url)


def _linked(words: str, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        return words
    words = " ".join(words.split()).replace("[", "［").replace("]", "］")
    return f"[{words}]({url.replace(' ', '%20').replace('(', '%28').replace(')', '%29')})"


def _article(article: Article) -> str:
    head = f"**{_linked(article.title.strip() or article.url, article.url)}**"
    return f"{head}\n{_markdown(article.description.strip())}".rstrip()


def fitted(text: str, limit: int, cut: str) -> str:
    """At most `limit` bytes of UTF-8, cut between characters, with `cut` behind what was."""
    if len(text) * 4 <= limit or len(text.encode("utf-8", "replace")) <= limit:
        return text
    return f"{split_text(text, limit - len(cut.encode()) - 1)[0]}\n{cut}"


# --- frames ---------------------------------------------------------------------------------


def unfinished(stream: str, text: str, *, first: bool) -> dict[str, Any]:
    """A frame of what there is so far. first: it asks for feedback on the answer."""
    body: dict[str, Any] = {"id": stream, "finish": False, "content": text}
    return {"msgtype": "stream", "stream": _asked(body, stream, first)}


def finished(
    stream: str,
    final: Final,
    sentences: Sentences,
    pictures: Mapping[str, bytes],
    *,
    first: bool,
    sender: str = "",
) -> dict[str, Any]:
    """The last frame. pictures: bytes by media id, as far as they are known.

    sender: who asked, "" for nobody known: then there are no buttons.
    """
    items = []
    unseen = room = 0
    for media_id in final.pictures:
        data = pictures.get(media_id, b"")
        room += len(data)
        if data and room <= PICTURE_BYTES:
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            coded = base64.b64encode(data).decode("ascii")
            items.append({"msgtype": "image", "image": {"base64": coded, "md5": digest}})
        else:
            unseen += 1
    text = "\n\n".join(filter(None, (final.text, sentences.picture if unseen else "")))
    content = fitted(text or ("" if items else sentences.done), TEXT_LIMIT, sentences.cut)
    body: dict[str, Any] = {"id": stream, "finish": True, "content": content}
    if items:
        body["msg_item"] = items
    frame: dict[str, Any] = {"msgtype": "stream", "stream": _asked(body, stream, first)}
    if sender and (buttons := _buttons(final.options, sender, stream)):
        frame["msgtype"] = "stream_with_template_card"
        frame["template_card"] = _card(sentences.choose, "", buttons, stream)
    return frame


def _asked(body: dict[str, Any], stream: str, first: bool) -> dict[str, Any]:
    return {**body, "feedback": {"id": stream}} if first else body


def welcome(final: Final, sentences: Sentences) -> dict[str, Any]:
    """The one text that the entering of a chat may be answered with."""
    return {
        "msgtype": "text",
        "text": {"content": fitted(final.text or sentences.done, TEXT_LIMIT, sentences.cut)},
    }


def pushed(final: Final, sentences: Sentences) -> dict[str, Any]:
    """The answer for the address of its message."""
    text = "\n\n".join(filter(None, (final.text, sentences.picture if final.pictures else "")))
    return {
        "msgtype": "markdown",
        "markdown": {"content": fitted(text or sentences.done, TEXT_LIMIT, sentences.cut)},
    }


def older(final: Final, sentences: Sentences) -> bytes:
    """The answer of an older group robot, as XML."""
    text = _UNFIT.sub("", final.text or sentences.picture)
    text = fitted(text, _OLDER_LIMIT, sentences.cut).replace("]]>", "]]]]><![CDATA[>")
    return (
        "<xml><MsgType><![CDATA[markdown]]></MsgType><Markdown>"
        f"<Content><![CDATA[{text}]]></Content></Markdown></xml>"
    ).encode("utf-8", "replace")


def fits_on_card(final: Final) -> bool:
    """Whether a card can hold the whole answer, beside its buttons."""
    return len(final.text) <= _CARD_CHARS and not final.pictures


def changed_card(clicked: Message, final: Final, sentences: Sentences) -> dict[str, Any]:
    """The card that was clicked, with the answer on it, or with the word that it follows."""
    word = clicked.text or clicked.event_key
    title = sentences.chosen.replace("{word}", word[:20])
    said = final.text if fits_on_card(final) else sentences.below
    buttons = _buttons(final.options, clicked.sender, clicked.key) or [_button(title, "done")]
    card = _card(title, said, buttons, task_of(clicked))
    return {"response_type": "update_template_card", "template_card": card}


def outdated_card(clicked: Message, sentences: Sentences) -> dict[str, Any]:
    """A card whose offer another one has replaced."""
    buttons = [_button(sentences.outdated, "done")]
    card = _card(sentences.outdated, "", buttons, task_of(clicked))
    return {"response_type": "update_template_card", "template_card": card}


def _card(title: str, said: str, buttons: Sequence[Mapping[str, Any]], task: str) -> dict[str, Any]:
    card: dict[str, Any] = {
        "card_type": "button_interaction",
        "main_title": {"title": title},
        "button_list": list(buttons),
        "task_id": task,
    }
    if said:
        card["sub_title_text"] = said
    return card


def _buttons(options: Sequence[Option], sender: str, key: str) -> list[dict[str, Any]]:
    """A button for each option; [] where a card cannot hold them all: the text names them."""
    if len(options) > BUTTONS:
        return []
    return [_button(one.label, button_key(sender, key, one.word)) for one in options]


def _button(label: str, key: str) -> dict[str, Any]:
    short = label if len(label) <= _BUTTON_CHARS else f"{label[: _BUTTON_CHARS - 1]}…"
    return {"text": short, "key": key}
