"""The official account's tongue: WeChat's XML or JSON in, Message out; Reply in, bytes out.

Pure on purpose: no network, no store, no clock (`now` comes in), so that every hostile body
can be tried in a test. Whatever arrives, the only exception that leaves is `BadMessage`;
whatever a handler answers, the bytes that leave are within WeChat's rules.

wechatpy's parser and reply classes are not used on this path: they cost three times as much
per message, read no JSON, and put text into XML unescaped. The tests hold ours against them.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from bot.crypto import (
    BadKey,
    BadMessage,
    Cipher,
    Keys,
    check_token,
    signature,
    signatures_equal,
)
from handlers.message import Article, Kind, Message, Reply

__all__ = [
    "MAX_BODY",
    "SUCCESS",
    "TEXT_LIMIT",
    "BadKey",
    "BadMessage",
    "Codec",
    "Mode",
    "Opened",
    "Seal",
    "custom_message",
    "dedupe_key",
    "parse_fields",
    "split_text",
]

Mode = Literal["safe", "compatible", "plain"]

SUCCESS = b"success"
"""The acknowledgement that shows the member nothing; clear text in every mode."""

MAX_BODY = 1 << 20
"""Bytes; WeChat's longest messages stay far below 64 KiB."""

TEXT_LIMIT = 2048
"""Bytes of UTF-8 in one text message, passive or customer-service."""

_MAX_DEPTH = 16
_MAX_MARKS = 20_000  # "<" in XML, "," and ":" in JSON: bounds the work before any is done
_BOM = b"\xef\xbb\xbf"
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}

# --- text -----------------------------------------------------------------------------------

# What XML 1.0 forbids, and DEL. WeChat passes on what members paste, so these are dropped
# rather than refused: a refusal would be asked again twice and never answered.
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0D})
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_NONCHARACTER = re.compile(b"\xef\xbf[\xbe\xbf]")  # U+FFFE, U+FFFF in UTF-8
_BREAKS = tuple(
    tuple(mark.encode() for mark in marks) for marks in ("\n", "。！？；", " ，、")
)  # the best place to cut first


def _replacement(found: re.Match[str]) -> str:
    return "\ufffd" if "\ud800" <= found[0] <= "\udfff" else ""


def _clean(text: str) -> str:
    """Without control characters; half a surrogate pair becomes U+FFFD."""
    return _FORBIDDEN.sub(_replacement, text) if _FORBIDDEN.search(text) else text


def split_text(content: str, limit: int = TEXT_LIMIT) -> list[str]:
    """Parts of at most `limit` bytes of UTF-8 that join back to `content`; "" gives [].

    Cuts after a line, a sentence or a word where one ends in the last quarter of a part,
    never inside a character. A limit under 4 bytes (one character) is a ValueError.
    """
    if limit < 4:
        raise ValueError("limit must be at least 4 bytes, the longest character")
    if len(content) * 4 <= limit:
        return [content] if content else []
    rest = content.encode("utf-8", "surrogatepass")
    parts: list[str] = []
    start = 0
    while len(rest) - start > limit:
        end = start + limit
        while rest[end] & 0xC0 == 0x80:
            end -= 1
        near = end - limit // 4
        for marks in _BREAKS:
            found = [at + len(m) for m in marks if (at := rest.rfind(m, near, end)) >= 0]
            if found:
                end = max(found)
                break
        parts.append(rest[start:end].decode("utf-8", "surrogatepass"))
        start = end
    if start < len(rest):
        parts.append(rest[start:].decode("utf-8", "surrogatepass"))
    return parts


# --- fields ---------------------------------------------------------------------------------

# The flat XML of nearly every message, read at half the price of an XML parser. Whatever does
# not fit, to the last byte, matches the second branch and goes to the parser instead. The
# possessive quantifiers keep it linear on hostile input.
_FLAT_FIELD = re.compile(
    r"\s*+<([A-Za-z]\w*+)>"
    r"(?:<!\[CDATA\[([^\]]*+(?:\](?!\]>)[^\]]*+)*+)\]\]>|([^<>&\]]*+))"
    r"</\1>\s*+|(?s:.+)",
    re.ASCII,
)
_DECLARATION = re.compile(r"<\?xml(?:\s[^<>?]*)?\?>\s*")
_ROOT = re.compile(r"<xml[\s/>]")
# Numbers stay text: a MsgId has more digits than a JSON reader's float keeps.
_JSON = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


def parse_fields(body: bytes) -> dict[str, Any]:
    """One XML or JSON body as a mapping, whichever its first character says.

    Leaves are str, stripped; an empty element is None; a repeated element or a JSON array is
    a list; the rest are nested mappings. Raises BadMessage: bad_encoding, bad_xml, bad_json,
    too_deep, too_large.
    """
    if len(body) > MAX_BODY:
        raise BadMessage("too_large")
    body = body.translate(None, _CONTROLS).strip()
    if body.startswith(_BOM):
        body = body[3:].lstrip()
    if b"\xef\xbf" in body:
        body = _NONCHARACTER.sub(b"", body)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadMessage("bad_encoding") from None
    if text.startswith("<"):
        return _flat_fields(text) or _xml_fields(text)
    return _json_fields(text)


def _flat_fields(text: str) -> dict[str, Any] | None:
    if not text.startswith("<xml>") or not text.endswith("</xml>") or "\r" in text:
        return None
    fields: dict[str, Any] = {}
    for name, quoted, bare in _FLAT_FIELD.findall(text, 5, len(text) - 6):
        if not name or name in fields:
            return None
        fields[name] = (quoted or bare).strip() or None
    return fields


def _xml_fields(text: str) -> dict[str, Any]:
    declaration = _DECLARATION.match(text)
    if declaration:
        text = text[declaration.end() :]
    # Only what stands before the root can declare a document type, hence an entity. The same
    # words inside a CDATA block are a member's text and none of our business.
    if not _ROOT.match(text):
        raise BadMessage("bad_xml")
    if text.count("<") > _MAX_MARKS:
        raise BadMessage("too_large")
    try:
        root = ET.fromstring(text)  # noqa: S314 (no document type can be left, see above)
    except (ET.ParseError, ValueError):
        raise BadMessage("bad_xml") from None
    fields = _element(root, 1)
    if not isinstance(fields, dict):
        raise BadMessage("bad_xml")
    return fields


def _element(element: ET.Element, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise BadMessage("too_deep")
    if not len(element):
        return (element.text or "").strip() or None
    fields: dict[str, Any] = {}
    lists: set[str] = set()
    for child in element:
        name, value = child.tag, _element(child, depth + 1)
        if name not in fields:
            fields[name] = value
        elif name in lists:
            fields[name].append(value)
        else:
            lists.add(name)
            fields[name] = [fields[name], value]
    return fields


def _json_fields(text: str) -> dict[str, Any]:
    if text.count(",") + text.count(":") > _MAX_MARKS:
        raise BadMessage("too_large")
    try:
        value = _JSON.decode(text)
    except RecursionError:
        raise BadMessage("too_deep") from None
    except ValueError:
        raise BadMessage("bad_json") from None
    if not isinstance(value, dict):
        raise BadMessage("bad_json")
    return {_clean(name): _tidy(leaf, 2) for name, leaf in value.items()}


def _tidy(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean(value).strip() or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if depth > _MAX_DEPTH:
        raise BadMessage("too_deep")
    if isinstance(value, list):
        return [_tidy(item, depth + 1) for item in value]
    return {_clean(name): _tidy(leaf, depth + 1) for name, leaf in value.items()} or None


# Told apart by themselves in the key of an event; everything else is hashed as "the rest".
_EVENT_HEAD = ("ToUserName", "FromUserName", "CreateTime", "Event", "EventKey")


def dedupe_key(fields: Mapping[str, Any]) -> str:
    """32 hex characters, equal for redeliveries of one message and for nothing else.

    Messages: account, sender, MsgId, CreateTime. Events, and whatever has no MsgId: account,
    sender, CreateTime, Event, EventKey and all other fields, since CreateTime has only whole
    seconds and two events of one member within one must both count.
    """
    get = fields.get
    msg_id = get("MsgId")
    parts: tuple[Any, ...] = (get("ToUserName"), get("FromUserName"), msg_id, get("CreateTime"))
    if not msg_id or get("MsgType") == "event":
        other = {name: value for name, value in fields.items() if name not in _EVENT_HEAD}
        parts = (*map(get, _EVENT_HEAD), json.dumps(other, sort_keys=True))
    second = int(text) if _is_number(text := _text(get("CreateTime"))) else 0
    # In front the second, so that the store's indexes grow at one end. ascii() of a tuple
    # quotes every part, so no two different tuples read the same.
    rest = hashlib.blake2b(ascii(parts).encode("ascii"), digest_size=12).hexdigest()
    return f"{second & 0xFFFFFFFF:08x}{rest}"


def _message(channel: str, fields: dict[str, Any]) -> Message:
    get = fields.get
    account, sender, created = get("ToUserName"), get("FromUserName"), get("CreateTime")
    msg_type = get("MsgType")
    if not (
        isinstance(account, str)
        and isinstance(sender, str)
        and isinstance(msg_type, str)
        and isinstance(created, str)
        and _is_number(created)
    ):
        # The commonest setup mistake: the console encrypts, the configuration says plain.
        raise BadMessage("unexpectedly_encrypted" if "Encrypt" in fields else "missing_field")
    kind = _KINDS.get(msg_type.lower(), "unknown")
    text = event = event_key = ""
    if kind == "text":
        text = _text(get("Content"))
    elif kind == "voice":
        text = _text(get("Recognition"))
    elif kind == "event":
        event = _text(get("Event")).lower()
        event_key = _text(get("EventKey"))
        if event == "subscribe":
            event_key = event_key.removeprefix("qrscene_")
    return Message(
        channel,
        account,
        sender,
        kind,
        int(created),
        dedupe_key(fields),
        text,
        event,
        event_key,
        fields,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_number(text: str) -> bool:
    # isdigit alone would let in superscripts, and int() digits without end.
    return text.isascii() and text.isdigit() and len(text) <= 12


# --- replies --------------------------------------------------------------------------------


def _reply_fields(reply: Reply, max_articles: int) -> dict[str, Any] | None:
    """WeChat's fields for a passive reply; None where there is nothing it would show."""
    kind = reply.kind
    if kind == "text":
        parts = split_text(_clean(reply.content).strip())
        return {"MsgType": "text", "Content": parts[0]} if parts else None
    if kind in ("image", "voice") and reply.media_id:
        return {"MsgType": kind, kind.capitalize(): {"MediaId": reply.media_id}}
    if kind == "video" and reply.media_id:
        video = {
            "MediaId": reply.media_id,
            "Title": reply.title,
            "Description": reply.description,
        }
        return {"MsgType": kind, "Video": _filled(video)}
    if kind == "music" and (reply.url or reply.hq_url):
        music = {
            "Title": reply.title,
            "Description": reply.description,
            "MusicUrl": reply.url,
            "HQMusicUrl": reply.hq_url,
            "ThumbMediaId": reply.thumb_media_id,
        }
        return {"MsgType": kind, "Music": _filled(music)}
    if kind == "news" and reply.articles:
        items = [_item(article) for article in reply.articles[:max_articles]]
        return {"MsgType": kind, "ArticleCount": len(items), "Articles": {"item": items}}
    if kind == "transfer":
        fields: dict[str, Any] = {"MsgType": "transfer_customer_service"}
        if reply.kf_account:
            fields["TransInfo"] = {"KfAccount": reply.kf_account}
        return fields
    return None


def _item(article: Article) -> dict[str, str]:
    return {
        "Title": article.title,
        "Description": article.description,
        "PicUrl": article.picture_url,
        "Url": article.url,
    }


def _filled(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _xml(fields: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for name, value in fields.items():
        if isinstance(value, str):
            value = _clean(value)  # before the split: a dropped NUL can join a "]]>"
            if "]]>" in value:
                value = value.replace("]]>", "]]]]><![CDATA[>")
            parts.append(f"<{name}><![CDATA[{value}]]></{name}>")
        elif isinstance(value, int):
            parts.append(f"<{name}>{value}</{name}>")
        elif isinstance(value, list):
            parts += [f"<{name}>{_xml(item)}</{name}>" for item in value]
        else:
            parts.append(f"<{name}>{_xml(value)}</{name}>")
    return "".join(parts)


def _json(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return _FORBIDDEN.sub(_replacement, text).encode()


def custom_message(reply: Reply, openid: str) -> list[dict[str, Any]]:
    """The customer-service payloads that say what the passive reply would have said.

    Long text becomes several messages of at most 2048 bytes. Nothing to send (none, transfer,
    blank text, missing media): []. Source: message/custom/send; news there holds one article.
    """
    bodies: list[tuple[str, dict[str, Any]]] = []
    kind = reply.kind
    if kind == "text":
        parts = split_text(_clean(reply.content).strip())
        bodies = [("text", {"content": part}) for part in parts if part.strip()]
    elif kind in ("image", "voice") and reply.media_id:
        bodies = [(kind, {"media_id": reply.media_id})]
    elif kind == "video" and reply.media_id:
        video = {
            "media_id": reply.media_id,
            "thumb_media_id": reply.thumb_media_id,
            "title": _clean(reply.title),
            "description": _clean(reply.description),
        }
        bodies = [(kind, _filled(video))]
    elif kind == "music" and (reply.url or reply.hq_url):
        # WeChat wants both addresses; the better one is optional only for us.
        music = {
            "title": _clean(reply.title),
            "description": _clean(reply.description),
            "musicurl": reply.url or reply.hq_url,
            "hqmusicurl": reply.hq_url or reply.url,
            "thumb_media_id": reply.thumb_media_id,
        }
        bodies = [(kind, _filled(music))]
    elif kind == "news" and reply.articles:
        article = reply.articles[0]
        item = {
            "title": _clean(article.title),
            "description": _clean(article.description),
            "url": article.url,
            "picurl": article.picture_url,
        }
        bodies = [(kind, {"articles": [item]})]
    return [{"touser": openid, "msgtype": name, name: body} for name, body in bodies]


# --- the door -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seal:
    """How to answer one message: to whom, in which format, with which key.

    json: the account speaks JSON. cipher: the key that opened the message; None: clear text.
    """

    account: str
    sender: str = field(repr=False)
    json: bool
    nonce: str
    keys: Keys | None = None
    cipher: Cipher | None = None

    @property
    def content_type(self) -> str:
        """Media type of `reply`'s bytes, without a charset (it is UTF-8)."""
        return "application/json" if self.json else "application/xml"

    def reply(self, reply: Reply, now: float, message_kind: Kind) -> bytes:
        """The bytes of the passive reply; SUCCESS where WeChat has nothing to show.

        now: Unix seconds. message_kind: kind of the message answered; to anything but an
        event WeChat takes one article, to an event eight. Longer text is cut: split it before
        (`split_text`) and send the rest by `custom_message`.
        """
        body = _reply_fields(reply, 8 if message_kind == "event" else 1)
        if body is None:
            return SUCCESS
        created = int(now)
        fields = {
            "ToUserName": self.sender,
            "FromUserName": self.account,
            "CreateTime": created,
            **body,
        }
        plain = _json(fields) if self.json else f"<xml>{_xml(fields)}</xml>".encode()
        if self.keys is None:
            return plain
        encrypted, signed = self.keys.seal(plain, str(created), self.nonce, self.cipher)
        if self.json:
            return _json(
                {
                    "Encrypt": encrypted,
                    "MsgSignature": signed,
                    "TimeStamp": created,
                    "Nonce": self.nonce,
                }
            )
        return (
            f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt>"
            f"<MsgSignature><![CDATA[{signed}]]></MsgSignature>"
            f"<TimeStamp>{created}</TimeStamp>"
            f"<Nonce><![CDATA[{self.nonce}]]></Nonce></xml>"
        ).encode()


class Opened(NamedTuple):
    """A message that came through the door, and how to answer it.

    plain: the decrypted body, which `Codec.read` makes the same message of.
    """

    message: Message
    seal: Seal
    plain: bytes


class Codec:
    """One official-account channel: opens what WeChat posts.

    channel: its name in the configuration. mode "safe" refuses whatever is not encrypted,
    "compatible" takes both and believes only the encrypted part, "plain" takes clear bodies,
    which any holder of one old URL can forge. freshness_s: the largest difference between
    WeChat's timestamp and `now`, in seconds, either way. A token, key or app_id that cannot
    work raises BadKey.
    """

    def __init__(
        self,
        channel: str,
        token: str,
        encoding_aes_key: str | None = None,
        previous_encoding_aes_key: str | None = None,
        app_id: str = "",
        mode: Mode = "safe",
        freshness_s: float = 300.0,
    ) -> None:
        self.channel = channel
        self.mode = mode
        self.freshness_s = freshness_s
        self._token = check_token(token)
        self._keys: Keys | None = None
        if mode == "plain":
            return
        if not encoding_aes_key:
            raise BadKey(f'mode "{mode}" needs the EncodingAESKey of the server settings')
        if not app_id:
            raise BadKey(f'mode "{mode}" needs the app_id ("wx…"): every message names it')
        previous = Cipher(previous_encoding_aes_key, app_id) if previous_encoding_aes_key else None
        self._keys = Keys(token, Cipher(encoding_aes_key, app_id), previous)

    def check_url(self, query: Mapping[str, str], now: float) -> str:
        """The echostr to answer the console's GET with, once its signature holds.

        Send it as text/plain: the signature does not cover it. Raises BadMessage.
        """
        self._check_signature(query, now)
        echo = query.get("echostr")
        if not echo:
            raise BadMessage("missing_field")
        return echo

    def open(self, query: Mapping[str, str], body: bytes, now: float) -> Opened:
        """Check and read one POST. query: the URL's; now: Unix seconds. Raises BadMessage."""
        if len(body) > MAX_BODY:
            raise BadMessage("too_large")
        keys, cipher, plain = self._keys, None, body
        nonce = query.get("nonce", "")
        if keys is not None and (
            self.mode == "safe"
            or "msg_signature" in query
            or query.get("encrypt_type", "").lower() == "aes"
        ):
            msg_signature = query.get("msg_signature")
            if not msg_signature:
                raise BadMessage("not_encrypted")
            timestamp = self._fresh(query, now)
            plain, cipher = keys.open(timestamp, nonce, _encrypted(body), msg_signature)
        else:
            self._check_signature(query, now)
            keys = None
        message = _message(self.channel, parse_fields(plain))
        # The nonce goes back inside XML; WeChat's are digits, anything odd is replaced.
        if not (nonce.isascii() and nonce.isalnum() and len(nonce) <= 64):
            nonce = secrets.token_hex(8)
        is_json = body.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{")
        seal = Seal(message.account, message.sender, is_json, nonce, keys, cipher)
        return Opened(message, seal, plain)

    def read(self, plain: bytes) -> Message:
        """The message of a body that was opened before: `Opened.plain`. Raises BadMessage."""
        return _message(self.channel, parse_fields(plain))

    def _fresh(self, query: Mapping[str, str], now: float) -> str:
        timestamp = query.get("timestamp", "")
        if not _is_number(timestamp):
            raise BadMessage("missing_field")
        if abs(now - int(timestamp)) > self.freshness_s:
            raise BadMessage("stale")
        return timestamp

    def _check_signature(self, query: Mapping[str, str], now: float) -> None:
        timestamp = self._fresh(query, now)
        ours = signature(self._token, timestamp, query.get("nonce", ""))
        if not signatures_equal(ours, query.get("signature", "")):
            raise BadMessage("bad_signature")


_OPENING = b"<Encrypt><![CDATA["


def _encrypted(body: bytes) -> str:
    """The Encrypt field of an envelope, not yet proven by a signature."""
    # No parser for the usual envelope: the signature covers this field and nothing beside it,
    # so the rest proves nothing. Two openings (a member typed one in compatible mode): parse.
    start = body.find(_OPENING)
    if start >= 0 and body.count(b"<Encrypt>") == 1:
        end = body.find(b"]]></Encrypt>", start)
        found = body[start + len(_OPENING) : end] if end > 0 else b""
        if found and found.isascii():
            return found.strip().decode("ascii")
    encrypted = parse_fields(body).get("Encrypt")
    if not isinstance(encrypted, str):
        raise BadMessage("not_encrypted")
    return encrypted
