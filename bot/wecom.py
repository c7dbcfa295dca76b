"""The tongue of WeCom's robots: their JSON, or the older robots' XML, in; Message out.

Pure on purpose, like `bot/official.py`, and as strict: the only exception that leaves is
`BadMessage`. What goes back is made in `bot/wecom_frames.py`.

A robot's envelope differs from an official account's: the echostr of the address check is
encrypted, the names are in lower case, and the receive id is empty.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bot.crypto import BadMessage, Cipher, Keys, check_token
from bot.official import MAX_BODY, parse_fields
from handlers.message import Kind, Message, Talk

Manner = Literal["stream", "welcome", "card", "silent", "older"]
"""How a message is answered: by a stream; with one text (the chat was entered); by changing the
card that was clicked; not at all; in the older robots' XML."""

SAY = "say"
"""The keys of our own buttons begin so; see `button_key`."""

_KINDS: dict[str, Kind] = {
    "text": "text",
    "mixed": "text",
    "voice": "voice",
    "image": "image",
    "video": "video",
}
_EVENTS = {
    "template_card_event": "click",
    "feedback_event": "feedback",
    "add_to_chat": "bot_join",
    "delete_from_chat": "bot_leave",
}
_FRAMES = ("aibot_msg_callback", "aibot_event_callback")
_KEY = re.compile(r"[0-9a-f]{32}")
_BUTTON = re.compile(rf"{SAY}:([0-9a-f]{{8}}):([0-9a-f]{{8}}):(.{{1,64}})", re.DOTALL)
_BLANKS = " \t\r\n\u2005\u00a0\u3000"
_MENTION = re.compile(rf"@[^{_BLANKS}]*[{_BLANKS}]*")
_LONGEST_ID = 256
_LONGEST_URL = 2048


class Seal(NamedTuple):
    """How one request is answered: with which key, in which form."""

    keys: Keys
    cipher: Cipher
    nonce: str
    xml: bool

    @property
    def content_type(self) -> str:
        """Media type of what `wrap` gives, without a charset (it is UTF-8)."""
        return "application/xml" if self.xml else "application/json"

    def wrap(self, frame: bytes, now: float) -> bytes:
        """A frame in its envelope."""
        stamp = int(now)
        encrypted, signed = self.keys.seal(frame, str(stamp), self.nonce, self.cipher)
        if self.xml:
            return (
                f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt>"
                f"<MsgSignature><![CDATA[{signed}]]></MsgSignature>"
                f"<TimeStamp>{stamp}</TimeStamp><Nonce><![CDATA[{self.nonce}]]></Nonce></xml>"
            ).encode()
        return json.dumps(
            {
                "encrypt": encrypted,
                "msgsignature": signed,
                "timestamp": stamp,
                "nonce": self.nonce,
            },
            separators=(",", ":"),
        ).encode()


@dataclass(frozen=True, slots=True)
class Opened:
    """What one POST says.

    message: None for a poll, and for the click of somebody who was not asked. poll: id of the
    stream whose frame is wanted, "" for none. offer: which of our offers a clicked button belongs
    to. plain: the decrypted body, which `Codec.read` makes the same message of.
    """

    message: Message | None
    seal: Seal
    plain: bytes
    poll: str = ""
    offer: str = ""


def manner_of(message: Message) -> Manner:
    """How it is answered."""
    raw = message.raw
    if "MsgType" in raw:
        return "older" if message.event not in ("bot_join", "bot_leave") else "silent"
    if _text(raw.get("msgtype")) != "event":
        return "stream"
    kind = _text(_mapping(raw.get("event")).get("eventtype"))
    if kind == "template_card_event":
        return "card"
    return "welcome" if kind == "enter_chat" else "silent"


def response_url_of(message: Message) -> str:
    """The address that takes one more answer; "" when it came without one.

    An older robot's takes it for all its groups: the one that it is for stands behind a "#".
    """
    raw = message.raw
    older = "MsgType" in raw
    url = _text(raw.get("WebhookUrl" if older else "response_url"))
    if len(url) > _LONGEST_URL:
        # WeCom's have some hundred characters; part of one would be of no use.
        return ""
    if not older:
        return url
    return f"{url}#{message.talk.group}" if url and message.talk is not None else ""


def task_of(message: Message) -> str:
    """The id of the card that was clicked; "" when it was none."""
    return _text(_card_event(message.raw).get("task_id"))[:128]


def who_of(sender: str) -> str:
    """A sender as it stands in the keys of buttons: 8 hex characters."""
    return hashlib.blake2b(sender.encode(), digest_size=4).hexdigest()


def offer_of(key: str) -> str:
    """What the buttons that answer the message of this key share: 8 hex characters."""
    return key[-8:]


def button_key(sender: str, key: str, word: str) -> str:
    """The key of a button that says `word` for who wrote the message, and for nobody else."""
    return f"{SAY}:{who_of(sender)}:{offer_of(key)}:{word[:64]}"


class Codec:
    """One robot: opens what WeCom posts.

    channel: its name in the configuration. receive_id: "" for a company's own robots. name: what
    it is called in groups, "" when not known: then a mention ends at the first blank.
    freshness_s: the largest difference between WeCom's timestamp and `now`, either way. A token
    or key that cannot work raises BadKey.
    """

    def __init__(
        self,
        channel: str,
        token: str,
        encoding_aes_key: str,
        previous_encoding_aes_key: str | None = None,
        receive_id: str = "",
        name: str = "",
        freshness_s: float = 300.0,
    ) -> None:
        self.channel = channel
        self.freshness_s = freshness_s
        self._name = name
        previous = (
            Cipher(previous_encoding_aes_key, receive_id) if previous_encoding_aes_key else None
        )
        self._keys = Keys(check_token(token), Cipher(encoding_aes_key, receive_id), previous)

    def check_url(self, query: Mapping[str, str], now: float) -> str:
        """The text to answer the console's GET with, as text/plain. Raises BadMessage."""
        plain, _ = self._open(query, query.get("echostr", ""), now)
        return plain.decode()

    def open(self, query: Mapping[str, str], body: bytes, now: float) -> Opened:
        """Check and read one POST. query: the URL's; now: Unix seconds. Raises BadMessage."""
        if len(body) > MAX_BODY:
            raise BadMessage("too_large")
        envelope = parse_fields(body)
        encrypted = envelope.get("encrypt") or envelope.get("Encrypt")
        if not isinstance(encrypted, str):
            raise BadMessage("not_encrypted")
        plain, cipher = self._open(query, encrypted, now)
        nonce = query.get("nonce", "")
        # The nonce goes back to them; theirs are letters and digits, anything odd is replaced.
        if not (nonce.isascii() and nonce.isalnum() and len(nonce) <= 64):
            nonce = secrets.token_hex(8)
        fields = _body(parse_fields(plain))
        seal = Seal(self._keys, cipher, nonce, "MsgType" in fields)
        if _text(fields.get("msgtype")) == "stream":
            stream = _text(_mapping(fields.get("stream")).get("id"))
            if not stream:
                raise BadMessage("missing_field")
            return Opened(None, seal, plain, poll=stream)
        message = self._message(fields, int(now))
        if message.event != "click":
            _, offer, _ = _button(fields)
            return Opened(message, seal, plain, offer=offer)
        ours = message.event_key.startswith(f"{SAY}:") or message.event_key == "done"
        # A button of ours that says nothing to this one: made for somebody else, or used up.
        return Opened(None if ours else message, seal, plain)

    def read(self, plain: bytes, at: float = 0.0) -> Message:
        """The message of a body that was opened before: `Opened.plain`. Raises BadMessage.

        at: when it came; most messages do not say it themselves.
        """
        fields = _body(parse_fields(plain))
        if _text(fields.get("msgtype")) == "stream":
            raise BadMessage("missing_field")
        return self._message(fields, int(at))

    def _open(self, query: Mapping[str, str], encrypted: str, now: float) -> tuple[bytes, Cipher]:
        timestamp = query.get("timestamp", "")
        if not (_is_number(timestamp) and encrypted):
            raise BadMessage("missing_field")
        if abs(now - int(timestamp)) > self.freshness_s:
            raise BadMessage("stale")
        nonce, signed = query.get("nonce", ""), query.get("msg_signature", "")
        return self._keys.open(timestamp, nonce, encrypted, signed)

    def _message(self, fields: dict[str, Any], at: int) -> Message:
        if "MsgType" in fields:
            return self._older(fields, at)
        who = _mapping(fields.get("from"))
        sender, corp = _id(who.get("userid")), _id(who.get("corpid"))
        group = _id(fields.get("chatid"))
        msg_type, bot = _text(fields.get("msgtype")), _id(fields.get("aibotid"))
        if not (sender and msg_type):
            raise BadMessage("unexpectedly_encrypted" if "encrypt" in fields else "missing_field")
        if fields.get("chattype") == "group" and not group:
            raise BadMessage("missing_field")
        number = _id(fields.get("msgid"))
        created = _text(fields.get("create_time"))
        second = int(created) if _is_number(created) else at
        text, images = _content(fields, msg_type)
        kind = _KINDS.get(msg_type, "unknown")
        if msg_type == "mixed" and images and not text:
            kind = "image"
        talk = None
        if group:
            text = self._without_mention(text)
            quoted = _quoted(fields.get("quote"))
            talk = Talk(group, number, addressed=True, quoted=quoted)
        event = event_key = ""
        if msg_type == "event":
            kind = "event"
            event, event_key = _event(fields)
            fields = {**fields, "selected": _selected(fields)} if event == "click" else fields
        name = f"{corp}/{sender}" if corp else sender
        whose, _, word = _button(fields)
        if event == "click" and word and whose == who_of(name):
            # As if they had typed it.
            kind, text, event, event_key = "text", word, "", ""
        return Message(
            self.channel,
            bot,
            name,
            kind,
            second,
            dedupe_key(fields),
            text,
            event,
            event_key,
            fields,
            "wecom",
            talk,
        )

    def _older(self, fields: dict[str, Any], at: int) -> Message:
        """A message of the group robots with callback that were there before."""
        who = _mapping(fields.get("From"))
        sender, group = _id(who.get("UserId")), _id(fields.get("ChatId"))
        msg_type, number = _text(fields.get("MsgType")), _id(fields.get("MsgId"))
        if not (sender and msg_type):
            raise BadMessage("missing_field")
        in_group = _text(fields.get("ChatType")) != "single" and bool(group)
        kind = _KINDS.get(msg_type, "unknown")
        text = event = ""
        if msg_type == "event":
            kind = "event"
            event = _text(_mapping(fields.get("Event")).get("EventType")).lower()
            event = _EVENTS.get(event, event)
        elif msg_type == "text":
            text = _text(_mapping(fields.get("Text")).get("Content"))
        elif msg_type == "mixed":
            items = _items(_mapping(fields.get("MixedMessage")).get("MsgItem"))
            said = [_text(_mapping(item.get("Text")).get("Content")) for item in items]
            text = "\n".join(one for one in said if one)
        talk = None
        if in_group:
            text = self._without_mention(text)
            name = _text(who.get("Name"))[:64]
            talk = Talk(group, number, addressed=True, name=name)
        key = dedupe_key(fields)
        return Message(
            self.channel, "", sender, kind, at, key, text, event, "", fields, "wecom", talk
        )

    def _without_mention(self, text: str) -> str:
        """A text from a group without the mention of the robot that brought it here."""
        named = f"@{self._name}"
        if self._name and text.startswith(named):
            return text[len(named) :].strip(_BLANKS)
        if self._name and text.endswith(named):
            return text[: -len(named)].strip(_BLANKS)
        found = _MENTION.match(text)
        return text[found.end() :].strip(_BLANKS) if found is not None else text


def dedupe_key(fields: Mapping[str, Any]) -> str:
    """32 hex characters, equal for redeliveries of one message and for nothing else.

    Robot and msgid; whatever has no msgid goes by all that it says, save the address for one
    answer.
    """
    number = fields.get("msgid") or fields.get("MsgId")
    parts: tuple[Any, ...] = (fields.get("aibotid"), number)
    if not isinstance(number, str):
        rest = {name: value for name, value in fields.items() if name != "response_url"}
        parts = (json.dumps(rest, sort_keys=True),)
    created = _text(fields.get("create_time"))
    second = int(created) if _is_number(created) else 0
    rest_of = hashlib.blake2b(ascii(parts).encode("ascii"), digest_size=12).hexdigest()
    return f"{second & 0xFFFFFFFF:08x}{rest_of}"


def is_stream(stream: str) -> bool:
    """Whether it can be the id of a stream of ours."""
    return _KEY.fullmatch(stream) is not None


# --- fields ---------------------------------------------------------------------------------


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    """The message of a WebSocket frame; anything else as it is."""
    if _text(fields.get("cmd")) not in _FRAMES:
        return fields
    body = fields.get("body")
    if not isinstance(body, dict):
        raise BadMessage("missing_field")
    return body


def _content(fields: Mapping[str, Any], msg_type: str) -> tuple[str, int]:
    """What was written, and how many pictures come with it."""
    if msg_type in ("text", "voice"):
        return _text(_mapping(fields.get(msg_type)).get("content")), 0
    if msg_type != "mixed":
        return "", 0
    items = _items(_mapping(fields.get("mixed")).get("msg_item"))
    said = [_text(_mapping(item.get("text")).get("content")) for item in items]
    pictures = sum(1 for item in items if _text(item.get("msgtype")) == "image")
    return "\n".join(one for one in said if one), pictures


def _quoted(quote: Any) -> str:
    fields = _mapping(quote)
    return _content(fields, _text(fields.get("msgtype")))[0]


def _event(fields: Mapping[str, Any]) -> tuple[str, str]:
    event = _mapping(fields.get("event"))
    kind = _text(event.get("eventtype")).lower()
    inner = _mapping(event.get(kind))
    if kind == "template_card_event":
        return _EVENTS[kind], _text(inner.get("event_key"))
    if kind == "feedback_event":
        return _EVENTS[kind], f"{_text(inner.get('type'))}:{_text(inner.get('id'))[:256]}"
    return _EVENTS.get(kind, kind), ""


def _card_event(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(fields.get("event")).get("template_card_event"))


def _button(fields: Mapping[str, Any]) -> tuple[str, str, str]:
    """Whose button of ours was clicked, of which offer, saying what; ("", "", "") for none."""
    found = _BUTTON.fullmatch(_text(_card_event(fields).get("event_key")))
    return (found[1], found[2], found[3]) if found is not None else ("", "", "")


def _selected(fields: Mapping[str, Any]) -> dict[str, list[str]]:
    """What was ticked on a card: question -> options."""
    chosen: dict[str, list[str]] = {}
    items = _mapping(_card_event(fields).get("selected_items")).get("selected_item")
    for item in _items(items):
        options = _mapping(item.get("option_ids")).get("option_id")
        ids = options if isinstance(options, list) else [options]
        chosen[_text(item.get("question_key"))] = [one for one in ids if isinstance(one, str)]
    return chosen


def _items(value: Any) -> list[Mapping[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, Mapping)]


_NOTHING: Mapping[str, Any] = {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NOTHING


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _id(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST_ID else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12
