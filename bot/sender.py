"""One call to WeChat for a campaign, and how it ended: what the runner decides by.

Never repeats a call: who sends twice is decided where it is written down. What WeChat answers
becomes one of five ends (`scheduler.sending.End`), by the table of errcodes and by one question:
is it certain that nothing was sent?
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from bot import campaign_content as contents
from bot.campaign_content import ContentError, Rendered
from bot.campaign_filling import NOBODY, Filling
from bot.campaign_media import Caller, CampaignMedia
from bot.errcodes import Action, Refused, Unheard, Unreachable, WeChatError
from scheduler.sending import End, Mass, MassState, One, Sent
from store import StoreError

__all__ = ["Sender", "sent_of"]

T = TypeVar("T")

CUSTOM = "/cgi-bin/message/custom/send"
TEMPLATE = "/cgi-bin/message/template/send"
NOTICE = "/cgi-bin/message/subscribe/bizsend"
MASS_LIST = "/cgi-bin/message/mass/send"
MASS_TAG = "/cgi-bin/message/mass/sendall"
MASS_STATE = "/cgi-bin/message/mass/get"
TAGS = "/cgi-bin/tags/"

RETRY_S = 5.0
"""After a call that did not get to WeChat."""
TOKEN_S = 60.0
"""After WeChat refused a token that had just been fetched."""
SAME_ID_S = 60.0
"""After 45066: WeChat wants that long between two calls with one clientmsgid."""

_SAID: Mapping[int, str] = {
    40003: "not_following",
    43004: "not_following",
    46004: "not_following",
    49003: "not_following",
    50005: "not_following",
    43019: "blocked",
    48002: "muted",
    45015: "window_closed",
    45047: "allowance_used",
    43101: "no_grant",
    43117: "rate",
    **dict.fromkeys(range(40004, 40013), "content"),
    **dict.fromkeys((40033, 40037, 40054, 40097, 44002, 44003, 44004), "content"),
    **dict.fromkeys((45002, 45003, 45004, 45008, 47001, 47003), "content"),
}
"""What a refusal means for the report; "error" for the others."""
_BAD_MEDIA = 40007
_NAME_TAKEN = 45157
_NO_SUCH_TAG = 45159
_STATES = {
    "SEND_SUCCESS": "sent",
    "SENDING": "sending",
    "SEND_FAIL": "failed",
    "DELETE": "deleted",
}


def sent_of(error: WeChatError) -> Sent:
    """How a call that failed ended; its note holds no openid.

    Of `Unheard` nobody knows whether it was done.
    """
    note, code = str(error), error.errcode
    if isinstance(error, Unheard):
        return Sent(End.UNKNOWN, "error", note=note)
    if not isinstance(error, Refused):
        return Sent(End.LATER, "error", after_s=RETRY_S, note=note)
    match error.action:
        case Action.ALREADY_DONE:
            return Sent(End.ACCEPTED, errcode=code, wechat_id=str(error.msg_id or ""), note=note)
        case Action.RETRY:
            return Sent(End.LATER, "error", code, busy=True, note=note)
        case Action.WAIT_MINUTE if code == 45066:
            return Sent(End.LATER, "rate", code, after_s=SAME_ID_S, note=note)
        case Action.WAIT_MINUTE:
            return Sent(End.LATER, "rate", code, pace_s=60.0, note=note)
        case Action.REFRESH_TOKEN:
            return Sent(End.LATER, "error", code, after_s=TOKEN_S, note=note)
        case Action.STOP_API_UNTIL_TOMORROW:
            return Sent(End.STOP, "quota", code, note=note, chat=error.chat)
        case Action.CONFIG:
            return Sent(End.STOP, "error", code, note=note, chat=error.chat)
    return Sent(End.REFUSED, _SAID.get(error.errcode, "error"), code, note=note)


class Sender:
    """The campaigns' way to WeChat; see `scheduler.sending.Sender`.

    clients: by channel. observe: route and end of every message and mass send.
    """

    def __init__(
        self,
        clients: Mapping[str, Caller],
        filling: Filling,
        media: CampaignMedia,
        *,
        observe: Callable[[str, str], None] = lambda route, end: None,
    ) -> None:
        self._clients = clients
        self._filling = filling
        self._media = media
        self._observe = observe

    # To one

    async def one(self, delivery: One) -> Sent:
        """A customer-service message, a template message or a subscription notice."""
        sent = await self._one(delivery)
        self._observe(delivery.route, sent.end)
        return sent

    async def _one(self, delivery: One) -> Sent:
        draft = (delivery.campaign_id, delivery.variant)
        used: dict[str, str] = {}

        async def body() -> tuple[Rendered, dict[str, Any]]:
            text = await self._filling.text(delivery.campaign_id, delivery.variant)
            rendered = await self._filling.fill(text, delivery.member_id, coupon=delivery.coupon)
            if delivery.route != "custom":
                return rendered, contents.payload_notice(rendered, delivery.external_id)
            used.update(
                await self._media.of(
                    rendered, self._clients[delivery.channel], delivery.channel, draft=draft
                )
            )
            # One body: no kind is more than one message.
            (payload,) = contents.payload_custom(rendered, delivery.external_id, used)
            return rendered, payload

        made = await _before(body)
        if isinstance(made, Sent):
            return made
        rendered, payload = made
        path = {"custom": CUSTOM, "template": TEMPLATE, "notice": NOTICE}[delivery.route]
        try:
            answer = await self._clients[delivery.channel].call("POST", path, json=payload)
        except WeChatError as error:
            if error.errcode == _BAD_MEDIA and used:
                return await self._without_media(delivery, rendered, used, error)
            return sent_of(error)
        return _accepted(answer, "msgid")

    async def _without_media(
        self, delivery: One, rendered: Rendered, used: Mapping[str, str], error: WeChatError
    ) -> Sent:
        """WeChat has forgotten a picture: certainly not sent; the next try uploads it again."""
        draft = (delivery.campaign_id, delivery.variant)
        try:
            if await self._media.forget(rendered, delivery.channel, used, draft):
                return Sent(End.LATER, "content", _BAD_MEDIA, after_s=1.0, note=str(error))
        except StoreError as failed:
            return Sent(End.LATER, "error", _BAD_MEDIA, after_s=RETRY_S, note=str(failed))
        return sent_of(error)

    # To many

    async def payload(self, part: Mass) -> str | Sent:
        """The body of a mass send without its receivers; a Sent when it could not be made."""

        async def body() -> str:
            text = await self._filling.text(part.campaign_id, part.variant)
            if contents.personal(text.content):
                raise ContentError("route", "a text that is the same for all")
            rendered = await self._filling.fill(text, NOBODY)
            client = self._clients[part.channel]
            media = await self._media.of(rendered, client, part.channel, lasting=True)
            return json.dumps(contents.payload_mass(rendered, media), ensure_ascii=False)

        return await _before(body)

    async def mass(self, part: Mass) -> Sent:
        """A mass send with a payload, under its own clientmsgid."""
        body = json.loads(part.payload)
        body["clientmsgid"] = part.client_id
        path = MASS_LIST
        if part.route == "mass_list":
            body["touser"] = list(part.openids)
        elif part.route == "mass_tag":
            path = MASS_TAG
            body["filter"] = {"is_to_all": False, "tag_id": part.tag_id}
        else:
            path = MASS_TAG
            body["filter"] = {"is_to_all": True}
        sent = await self._called(part.channel, path, body, "msg_id")
        self._observe(part.route, sent.end)
        return sent

    async def state(self, channel: str, msg_id: str) -> MassState:
        """What became of a mass send; "" when WeChat does not say."""
        wanted = int(msg_id) if msg_id.isdecimal() else msg_id
        try:
            answer = await self._clients[channel].call("POST", MASS_STATE, json={"msg_id": wanted})
        except WeChatError as error:
            return MassState("", str(error))
        raw = str(answer.get("msg_status", ""))
        return MassState(_STATES.get(raw.upper().replace(" ", "_"), ""), raw)

    # Tags

    async def make_tag(self, channel: str, name: str) -> int | Sent:
        """A tag of this name at WeChat, made if there is none; its number."""
        client = self._clients[channel]
        try:
            try:
                answer = await client.call("POST", TAGS + "create", json={"tag": {"name": name}})
                found = [answer.get("tag")]
            except Refused as error:
                if error.errcode != _NAME_TAKEN:
                    raise
                tags = (await client.call("GET", TAGS + "get")).get("tags")
                rows = tags if isinstance(tags, list) else []
                found = [one for one in rows if isinstance(one, dict) and one.get("name") == name]
        except WeChatError as error:
            return sent_of(error)
        number = found[0].get("id") if found and isinstance(found[0], dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            return Sent(End.LATER, "error", after_s=TOKEN_S, note="WeChat names no such tag")
        return number

    async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
        """Put a tag on at most 50 members, or take it off."""
        path = TAGS + ("members/batchtagging" if on else "members/batchuntagging")
        return await self._called(channel, path, {"openid_list": list(openids), "tagid": tag_id})

    async def drop_tag(self, channel: str, tag_id: int) -> Sent:
        """Remove a tag at WeChat; one that is not there is removed already."""
        sent = await self._called(channel, TAGS + "delete", {"tag": {"id": tag_id}})
        if sent.errcode == _NO_SUCH_TAG:
            return Sent(End.ACCEPTED, errcode=sent.errcode, note=sent.note)
        return sent

    async def _called(
        self, channel: str, path: str, body: Mapping[str, Any], number: str = ""
    ) -> Sent:
        try:
            answer = await self._clients[channel].call("POST", path, json=body)
        except WeChatError as error:
            return sent_of(error)
        return _accepted(answer, number)


async def _before(make: Callable[[], Awaitable[T]]) -> T | Sent:
    """What has to be ready before a call leaves; a Sent when it is not: nothing was sent."""
    try:
        return await make()
    except ContentError as error:
        return Sent(End.REFUSED, "content", note=str(error))
    except StoreError as error:
        return Sent(End.LATER, "error", after_s=RETRY_S, note=str(error))
    except (Unheard, Unreachable) as error:
        # An upload that nobody heard of is a copy too many, not a message too many.
        return Sent(End.LATER, "error", after_s=RETRY_S, note=str(error))
    except WeChatError as error:
        return sent_of(error)


def _accepted(answer: Mapping[str, Any], number: str) -> Sent:
    if "errcode" not in answer:
        # WeChat always says 0 here; without it something else may have answered.
        return Sent(End.UNKNOWN, "error", note="the answer has no errcode")
    return Sent(
        End.ACCEPTED,
        wechat_id=str(answer.get(number) or "") if number else "",
        data_id=str(answer.get("msg_data_id") or ""),
    )
