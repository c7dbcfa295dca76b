"""OneBot's tongue: events of OneBot 12, or 11, in; Message or Meta out. Pure.

Which of the two it is says the shape of the event, not the address. Whatever arrives, the only
exception that leaves is `BadMessage`. A gateway is trusted to say who wrote, for nobody else
can; it is not trusted with anything more:

- The ids it gives name things, they prove nothing. Two events are copies of each other when ids,
  second and content agree. A message_id used again with other words, or at another second, is
  another message: nothing that was said is swallowed, nothing that is stored is overwritten.
- Its clock orders nothing when it is far off: then a message is taken as written now.
- An account other than the configured one is refused, and what the account itself wrote is
  dropped, or the bot would answer itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Literal, NamedTuple, NoReturn

from bot.crypto import BadMessage
from bot.official import MAX_BODY
from handlers.message import Kind, Message, Talk

MAX_TEXT = 20_000
"""Characters of one message; WeChat's own limit is below it."""

MAX_SEGMENTS = 1000
"""A group has 500 members, and each can be mentioned once with a blank behind."""

MAX_ID = 128

PAST_S = 86_400.0
FUTURE_S = 300.0
"""A time outside of these is the gateway's mistake; what came while we were away is older."""

_MAX_DEPTH = 16
_MAX_MARKS = 20_000  # "," and ":" of the JSON: bounds the work before any is done
_MAX_NAME = 64

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_NO_ID = re.compile("[\x00-\x20\x7f\ud800-\udfff]")
_PLAIN_NUMBER = re.compile(r"\d{1,16}(?:\.\d{1,9})?")
# The possessive quantifiers keep it linear on hostile input.
_CQ = re.compile(r"\[CQ:([A-Za-z0-9_.-]{1,32}+)((?:,[^,=\[\]]++=[^,\[\]]*+)*+)\]")
_ENTITIES = {"&amp;": "&", "&#91;": "[", "&#93;": "]", "&#44;": ","}
_ENTITY = re.compile("&amp;|&#91;|&#93;|&#44;")

_MEDIA: Mapping[str, Kind] = {
    "image": "image",
    "voice": "voice",
    "audio": "voice",
    "record": "voice",
    "video": "video",
    "location": "location",
    "share": "link",
    "link": "link",
}
_NOTICES = {
    # OneBot 12, then 11
    "group_member_increase": "join",
    "group_member_decrease": "leave",
    "group_message_delete": "recall",
    "group_increase": "join",
    "group_decrease": "leave",
    "group_recall": "recall",
}


@dataclass(frozen=True, slots=True)
class Meta:
    """What a gateway says of itself. version: 12 or 11.

    good: whether the account is logged in, None when not told.
    """

    kind: Literal["connect", "heartbeat", "status", "other"]
    version: int
    good: bool | None = None


Event = Message | Meta | None
"""None: nothing that concerns us, as the account's own message or an unknown notice."""

Ours = Callable[[str, str], str]
"""What the bot sent to that group under that id, as far as it remembers; "" for nothing."""


def _nothing_ours(group: str, message_id: str) -> str:
    return ""


def decode(body: bytes | str) -> dict[str, Any]:
    """The JSON object of a body or a frame; a body that was encoded twice is decoded twice.

    Whole numbers become text, since ids have more digits than a float keeps. Errors:
    BadMessage: too_large, bad_encoding, bad_json, too_deep.
    """
    if len(body) > MAX_BODY:
        raise BadMessage("too_large")
    if isinstance(body, bytes):
        try:
            body = body.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadMessage("bad_encoding") from None
    value = _json(body)
    if isinstance(value, str):
        value = _json(value)
    if not isinstance(value, dict):
        raise BadMessage("bad_json")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_JSON = json.JSONDecoder(parse_int=str, parse_constant=_no_constant, strict=False)


def _json(text: str) -> Any:
    if text.count(",") + text.count(":") > _MAX_MARKS:
        raise BadMessage("too_large")
    try:
        return _JSON.decode(text.strip())
    except RecursionError:
        raise BadMessage("too_deep") from None
    except ValueError:
        raise BadMessage("bad_json") from None


def version_of(fields: Mapping[str, Any]) -> int:
    """12 or 11, by the shape of the event; 0 when it is no event."""
    if "post_type" in fields:
        return 11
    return 12 if "type" in fields else 0


def read(
    channel: str,
    body: bytes | str | Mapping[str, Any],
    self_id: str,
    now: float,
    ours: Ours = _nothing_ours,
) -> Event:
    """One event, in whichever version.

    self_id: the account we speak for, "" when the event is to say it. now: Unix seconds.
    Errors: BadMessage; receive_id_mismatch when the event is for another account.
    """
    fields = body if isinstance(body, Mapping) else decode(body)
    version = version_of(fields)
    kind = fields.get("post_type" if version == 11 else "type")
    if not isinstance(kind, str):
        raise BadMessage("missing_field")
    if kind in ("meta", "meta_event"):
        return _meta(version, fields)
    if kind not in ("message", "notice"):
        return None
    source = _source(channel, version, fields, self_id, now)
    return _message(source, ours) if kind == "message" else _notice(source)


# --- what both versions have, by different names --------------------------------------------


class _Source(NamedTuple):
    """The head of an event. detail: what it is. at: as told, None when it is no time."""

    channel: str
    version: int
    raw: dict[str, Any]
    account: str
    user: str
    group: str
    detail: str
    event_id: str
    message_id: str
    at: float | None
    now: float

    @property
    def created(self) -> int:
        """The time of the event; now, when the gateway's clock can't be right."""
        at = self.at
        if at is None or not self.now - PAST_S <= at <= self.now + FUTURE_S:
            at = self.now
        return int(at)

    def key(self, *content: Any) -> str:
        """32 hex characters, equal for copies of one event and for nothing else.

        Told apart by message_id, else by the event's id, else by the exact time; in each case
        with account, group, sender, second and content. Errors: BadMessage without any of them.
        """
        second = 0 if self.at is None else int(self.at)
        exact = repr(self.at) if not (self.message_id or self.event_id) else ""
        if exact and self.at is None:
            raise BadMessage("missing_field")
        event_id = "" if self.message_id else self.event_id
        who = (self.account, self.group, self.user)
        parts = (*who, self.message_id, event_id, exact, second, self.detail)
        told = json.dumps([*parts, *content], sort_keys=True)
        rest = hashlib.blake2b(told.encode("ascii"), digest_size=12).hexdigest()
        # In front the second, as in bot/official.py: the store's indexes grow at one end.
        return f"{second & 0xFFFFFFFF:08x}{rest}"


def _source(
    channel: str, version: int, fields: Mapping[str, Any], self_id: str, now: float
) -> _Source:
    raw = _tidy(fields, 1)
    own = fields.get("self")
    named = fields.get("self_id") if version == 11 else _get(own, "user_id")
    account = _id(named) or _soft_id(self_id)
    if not account:
        # Not knowing itself, the bot would take its own words for a member's.
        raise BadMessage("missing_field")
    if self_id and account != self_id:
        raise BadMessage("receive_id_mismatch")
    if version == 11:
        detail = fields.get("message_type", fields.get("notice_type"))
    else:
        detail = fields.get("detail_type")
    return _Source(
        channel,
        version,
        raw,
        account,
        _id(fields.get("user_id")),
        _id(fields.get("group_id")),
        detail if isinstance(detail, str) else "",
        _soft_id(fields.get("id")) if version == 12 else "",
        _soft_id(fields.get("message_id")),
        _time(fields.get("time")),
        now,
    )


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _id(value: Any) -> str:
    """An id as text, "" when there is none; what can be none is refused."""
    if value is None or value == "":
        return ""
    if found := _soft_id(value):
        return found
    raise BadMessage("missing_field")


def _soft_id(value: Any) -> str:
    """An id as text; "" for anything that can be none."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
        return str(value)
    if not isinstance(value, str):
        return ""
    value = value.strip()
    return "" if len(value) > MAX_ID or _NO_ID.search(value) else value


def _time(value: Any) -> float | None:
    """Unix seconds, also from text or milliseconds; None for what is no time."""
    if isinstance(value, str) and _PLAIN_NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 < value < 1e14 or not math.isfinite(value):
        return None
    return value / 1000.0 if value > 1e11 else float(value)


def _tidy(value: Any, depth: int) -> Any:
    """As `Message.raw` wants it: leaves are clean text of bounded length, empty ones None."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            # Pictures come as base64, too; one more than allowed, so that too much is seen.
            value = value[: MAX_TEXT + 1]
        return _clean(value) or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if depth > _MAX_DEPTH:
        raise BadMessage("too_deep")
    if isinstance(value, Mapping):
        return {_label(name): _tidy(leaf, depth + 1) for name, leaf in value.items()}
    if isinstance(value, list | tuple):
        return [_tidy(item, depth + 1) for item in value]
    if isinstance(value, int) and abs(value) >= 1 << 64:
        raise BadMessage("too_large")
    return str(value)


def _label(name: Any) -> str:
    """The name of a field; nearly always one that needs no cleaning."""
    return name if isinstance(name, str) and name.isidentifier() else _clean(str(name))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("", text) if _FORBIDDEN.search(text) else text


# --- messages -------------------------------------------------------------------------------

Segment = tuple[str, Mapping[str, Any]]


class _Said(NamedTuple):
    """What the segments say together."""

    text: str
    kind: Kind
    to_me: bool
    everyone: bool
    mentions: tuple[str, ...]
    quotes: str
    quotes_who: str


def _message(source: _Source, ours: Ours) -> Message | None:
    raw, in_group = source.raw, source.detail == "group"
    if source.detail not in ("group", "private") or raw.get("sub_type") == "notice":
        return None
    if not source.user or (in_group and not source.group):
        raise BadMessage("missing_field")
    if source.user == source.account:
        return None
    if not in_group:
        source = source._replace(group="")
    segments = _segments(source)
    said = _said(segments, source.account)
    talk = None
    if in_group:
        who = said.quotes_who
        is_theirs = bool(who) and who != source.account
        quoted = ours(source.group, said.quotes) if said.quotes and not is_theirs else ""
        if quoted:
            who = source.account
        talk = Talk(
            group=source.group,
            message_id=source.message_id,
            addressed=said.to_me or (bool(said.quotes) and who == source.account),
            everyone=said.everyone,
            mentions=said.mentions,
            quotes=said.quotes,
            quoted=quoted,
            quotes_who=who,
            name=_named(raw),
        )
    return Message(
        channel=source.channel,
        account=source.account,
        sender=source.user,
        kind=said.kind,
        created=source.created,
        key=source.key(segments),
        text=said.text,
        raw=raw,
        source="onebot",
        talk=talk,
    )


def _named(raw: Mapping[str, Any]) -> str:
    """What the sender is called, as far as the gateway says it: in OneBot 12 none need."""
    sender = raw.get("sender")
    return _name(_get(sender, "card")) or _name(_get(sender, "nickname"))


def _name(value: Any) -> str:
    return " ".join(value.split())[:_MAX_NAME].strip() if isinstance(value, str) else ""


def _segments(source: _Source) -> list[Segment]:
    """The message as segments with the names of OneBot 12; at least one text for what has none."""
    message = source.raw.get("message")
    if isinstance(message, str):
        # OneBot 11 may write it all into one text; in 12 a text is only a text.
        found = _cq(message) if source.version == 11 else [("text", {"text": message})]
    elif isinstance(message, Mapping):
        found = [_segment(message)]
    elif isinstance(message, list):
        if len(message) > MAX_SEGMENTS:
            raise BadMessage("too_large")
        found = [_segment(one) for one in message]
    else:
        found = []
    if not found:
        # Only then: it is a description for people and may hold anything.
        name = "raw_message" if source.version == 11 else "alt_message"
        words = source.raw.get(name)
        if isinstance(words, str):
            found = _cq(words) if source.version == 11 else [("text", {"text": words})]
    return [_as_12(kind, data) for kind, data in found]


def _segment(one: Any) -> Segment:
    kind, data = _get(one, "type"), _get(one, "data")
    if not isinstance(kind, str):
        return "unknown", {}
    return kind.lower(), data if isinstance(data, Mapping) else {}


def _as_12(kind: str, data: Mapping[str, Any]) -> Segment:
    """The segment under the name it has in OneBot 12."""
    if kind == "at":
        whom = data.get("qq") or data.get("user_id")
        return ("mention_all", {}) if whom == "all" else ("mention", {"user_id": whom})
    if kind == "mention" and data.get("user_id") == "all":
        return "mention_all", {}
    if kind == "reply":
        message_id = data.get("message_id") or data.get("id")
        return kind, {"message_id": message_id, "user_id": data.get("user_id") or data.get("qq")}
    return kind, data


def _cq(text: str) -> list[Segment]:
    """OneBot 11's string form: `[CQ:at,qq=1] hello`; what is no whole code stays text."""
    if len(text) > MAX_TEXT:
        raise BadMessage("too_large")
    found: list[Segment] = []
    end = 0
    for code in _CQ.finditer(text):
        if len(found) >= MAX_SEGMENTS:
            raise BadMessage("too_large")
        if code.start() > end:
            found.append(("text", {"text": _unescaped(text[end : code.start()])}))
        pairs = (pair.partition("=") for pair in code[2].split(",") if pair)
        found.append((code[1].lower(), {name: _unescaped(value) for name, _, value in pairs}))
        end = code.end()
    if end < len(text):
        found.append(("text", {"text": _unescaped(text[end:])}))
    return found


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text) if "&" in text else text


def _said(segments: Sequence[Segment], account: str) -> _Said:
    texts: list[str] = []
    mentions: dict[str, None] = {}
    media: Kind | None = None
    to_me = everyone = turned = False
    quotes = quotes_who = ""
    for kind, data in segments:
        if kind == "text":
            words = data.get("text")
            texts.append(words if isinstance(words, str) else "")
        elif kind == "mention":
            turned = True
            whom = _soft_id(data.get("user_id"))
            to_me = to_me or whom == account
            if whom and whom != account:
                mentions[whom] = None
        elif kind == "mention_all":
            turned = everyone = True
        elif kind == "reply":
            turned = True
            if not quotes:
                quotes = _soft_id(data.get("message_id"))
                quotes_who = _soft_id(data.get("user_id"))
        elif media is None:
            media = _MEDIA.get(kind)
    text = "".join(texts).strip()
    if len(text) > MAX_TEXT:
        raise BadMessage("too_large")
    # Somebody who only mentions the bot has said nothing, and yet to it.
    kind_of: Kind = "text" if text else media or ("text" if turned else "unknown")
    return _Said(text, kind_of, to_me, everyone, tuple(mentions), quotes, quotes_who)


# --- notices, and what the gateway says of itself -------------------------------------------


def _notice(source: _Source) -> Message | None:
    what = _NOTICES.get(source.detail)
    if what is None:
        return None
    if not source.group or not (source.user or what == "recall"):
        raise BadMessage("missing_field")
    operator = _soft_id(source.raw.get("operator_id"))
    sub_type = source.raw.get("sub_type")
    sender = source.user or operator or source.account
    if what == "recall":
        if not source.message_id or sender == source.account:
            return None
        event, event_key = "group_recall", source.message_id
    else:
        mine = source.user == source.account
        event = f"bot_{what}" if mine else f"group_{what}"
        event_key = sub_type if isinstance(sub_type, str) and len(sub_type) <= MAX_ID else ""
        if mine:
            # Who let it in or threw it out; the account itself where nobody is named.
            sender = operator or source.account
    return Message(
        channel=source.channel,
        account=source.account,
        sender=sender,
        kind="event",
        created=source.created,
        key=source.key(event, event_key, operator),
        event=event,
        event_key=event_key,
        raw=source.raw,
        source="onebot",
        talk=Talk(
            group=source.group,
            message_id=source.message_id,
            name=_named(source.raw) if sender == source.user else "",
        ),
    )


def _meta(version: int, fields: Mapping[str, Any]) -> Meta:
    name = fields.get("meta_event_type" if version == 11 else "detail_type")
    status = fields.get("status")
    good = _get(status, "good")
    told = good if isinstance(good, bool) else None
    if name in ("connect", "lifecycle"):
        return Meta("connect", version, told)
    if name == "heartbeat":
        return Meta("heartbeat", version, told)
    if name == "status_update":
        return Meta("status", version, told)
    return Meta("other", version, told)


# --- kept until it is answered --------------------------------------------------------------

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_TALK = tuple(one.name for one in dataclass_fields(Talk))
_KEPT = ("channel", "account", "sender", "kind", "created", "key", "text", "event", "event_key")


def stored(message: Message) -> bytes:
    """A message as the inbox keeps it until it is answered; `restore` reads it.

    Not the body that came: that can't say any more which messages were the bot's, or what time
    it was then.
    """
    kept: dict[str, Any] = {name: getattr(message, name) for name in _KEPT}
    talk = message.talk
    kept["raw"] = message.raw
    kept["talk"] = None if talk is None else {name: getattr(talk, name) for name in _TALK}
    return _ENCODER.encode(kept).encode()


def restore(body: bytes) -> Message:
    """The message that `stored` wrote. Errors: BadMessage for anything else."""
    try:
        kept = json.loads(body)
        talk = kept.pop("talk")
        if talk is not None:
            talk = Talk(**{**talk, "mentions": tuple(talk["mentions"])})
        if sorted(kept) != sorted((*_KEPT, "raw")):
            raise ValueError
        return Message(**kept, source="onebot", talk=talk)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadMessage("bad_json") from None
