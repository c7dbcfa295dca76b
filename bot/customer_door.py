"""The door of a company's customer contact: events of its customer groups.

XML in WeCom's envelope, the CorpID as receive id. There are no words of anybody in it, only that a
group changed; what an event does not say is read from WeCom later. So every event that is really
WeCom's gets its empty answer at once, known to us or not, and nothing is stored on the way.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import web

from bot.crypto import BadMessage, Cipher, Keys, check_token
from bot.official import MAX_BODY, parse_fields
from scheduler.customer_groups import GroupChange
from store.customer_members import Move

log = structlog.get_logger()

Hear = Callable[[str, GroupChange], None]

_LATELY = 4096
_MOST_MOVES = 500
_LONGEST_ID = 128


class CustomerDoor:
    """`bot.webhook.Door` of one company.

    hear: told the channel and the change (`scheduler.customer_groups.GroupSync.hear`).
    freshness_s: the largest difference between WeCom's timestamp and `now`, either way. A token or
    key that cannot work raises BadKey.
    """

    def __init__(
        self,
        channel: str,
        corp_id: str,
        token: str,
        encoding_aes_key: str,
        *,
        hear: Hear,
        freshness_s: float = 300.0,
    ) -> None:
        self._channel = channel
        self._keys = Keys(check_token(token), Cipher(encoding_aes_key, corp_id))
        self._hear = hear
        self._freshness_s = freshness_s
        self._lately: OrderedDict[bytes, None] = OrderedDict()

    @property
    def channel(self) -> str:
        """Its name in the configuration."""
        return self._channel

    async def get(
        self, request: web.BaseRequest, query: Mapping[str, str], now: float
    ) -> web.StreamResponse:
        """The console's check of the address. Errors: BadMessage."""
        return web.Response(text=self.check_url(query, now), content_type="text/plain")

    async def post(
        self, request: web.BaseRequest, query: Mapping[str, str], body: bytes, now: float
    ) -> web.StreamResponse:
        """An event; an empty 200 for every one of them. Errors: BadMessage."""
        self.take(query, body, now)
        return web.Response()

    def check_url(self, query: Mapping[str, str], now: float) -> str:
        """The text to answer the console's GET with. Errors: BadMessage."""
        # A plus sign that nobody escaped has become a blank on the way.
        return self._open(query, query.get("echostr", "").replace(" ", "+"), now).decode()

    def take(self, query: Mapping[str, str], body: bytes, now: float) -> GroupChange | None:
        """Check, open and pass on one event; what it says of a group, None for nothing new.

        Errors: BadMessage.
        """
        if len(body) > MAX_BODY:
            raise BadMessage("too_large")
        encrypted = parse_fields(body).get("Encrypt")
        if not isinstance(encrypted, str):
            raise BadMessage("not_encrypted")
        fields = parse_fields(self._open(query, encrypted, now))
        if self._is_known(fields):
            return None
        change = change_of(fields, now)
        if change is None:
            log.debug("customer_event_passed", channel=self._channel)
        else:
            self._hear(self._channel, change)
        return change

    def _open(self, query: Mapping[str, str], encrypted: str, now: float) -> bytes:
        timestamp = query.get("timestamp", "")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise BadMessage("missing_field")
        if not encrypted:
            raise BadMessage("missing_field")
        if abs(now - int(timestamp)) > self._freshness_s:
            raise BadMessage("stale")
        nonce, signed = query.get("nonce", ""), query.get("msg_signature", "")
        return self._keys.open(timestamp, nonce, encrypted, signed)[0]

    def _is_known(self, fields: Mapping[str, Any]) -> bool:
        """Whether the same event came lately: WeCom sends up to three times."""
        key = hashlib.blake2b(ascii(sorted(fields.items())).encode(), digest_size=16).digest()
        if key in self._lately:
            return True
        self._lately[key] = None
        if len(self._lately) > _LATELY:
            self._lately.popitem(last=False)
        return False


def change_of(fields: Mapping[str, Any], now: float) -> GroupChange | None:
    """What an event says of a customer group; None for every other event.

    now: when it came, for an event that does not say when it happened, or says it wrong.
    """
    if _text(fields.get("MsgType")) != "event":
        return None
    if _text(fields.get("Event")).lower() != "change_external_chat":
        return None
    chat_id = _text(fields.get("ChatId"))
    if not chat_id:
        return None
    kind = _text(fields.get("ChangeType")).lower()
    if kind == "dismiss":
        return GroupChange(chat_id, dismissed=True)
    detail = _text(fields.get("UpdateDetail")).lower()
    if kind == "update" and detail == "change_notice":
        return GroupChange(chat_id, whole=True)
    if kind != "update" or detail not in ("add_member", "del_member"):
        return GroupChange(chat_id)
    at = _created(fields, now)
    people = _people(fields.get("MemChangeList"))
    moves = tuple(Move(one, detail == "add_member", at) for one in people)
    whole = bool(people) and _text(fields.get("MemChangeCnt")) in ("", str(len(people)))
    return GroupChange(chat_id, moves, whole)


def _people(value: Any) -> list[str]:
    """The ids in <MemChangeList><Item>…</Item></MemChangeList>, each once."""
    items = value.get("Item") if isinstance(value, Mapping) else value
    found = items if isinstance(items, list) else [items]
    ids = dict.fromkeys(_text(one) for one in found[:_MOST_MOVES])
    return [one for one in ids if one]


def _created(fields: Mapping[str, Any], now: float) -> float:
    """When it happened. An event of the future would keep what follows from being believed."""
    text = _text(fields.get("CreateTime"))
    at = float(text) if text.isascii() and text.isdigit() and len(text) <= 12 else now
    return min(at, now)


def _text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST_ID else ""
