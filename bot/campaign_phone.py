"""A campaign before it goes: as text in the chat, and on one real phone.

A preview costs no member's quota: WeChat has a call of its own for it (`mass/preview`, a hundred
a day). What that cannot carry goes as a customer-service message, as a reply would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from bot import campaign_content as contents
from bot.campaign_content import ContentError, Rendered
from bot.campaign_filling import NOBODY, Filling
from bot.campaign_lint import told
from bot.campaign_media import Caller, CampaignMedia
from bot.errcodes import WeChatError
from bot.sender import CUSTOM
from store import Store, StoreError
from store.campaigns import NewCampaign

log = structlog.get_logger()

PREVIEW = "/cgi-bin/message/mass/preview"

_LINES, _LINE = 4, 60
"""Lines and characters of each that a preview shows of an article."""
_WORDS = ("coupon", "item")
"""Kinds that are words to their reader, whatever they are to the planner."""


class Phone:
    """See `bot.campaigning.Phone`."""

    def __init__(
        self,
        store: Store,
        clients: Mapping[str, Caller],
        filling: Filling,
        media: CampaignMedia,
    ) -> None:
        self._store = store
        self._clients = clients
        self._filling = filling
        self._media = media

    async def shown(self, new: NewCampaign, variant: str, member_id: int | None) -> str:
        """A variant as this member would read it, its links uncounted. Errors: ContentError."""
        text = await self._filling.of(new, variant)
        return words_of(await self._filling.fill(text, member_id or NOBODY))

    async def preview(self, new: NewCampaign, variant: str, member_id: int) -> str:
        """Send a variant to one member's phone; "" when WeChat took it, else why not, Chinese."""
        client = self._clients.get(new.channel)
        if client is None:
            return "没有这个公众号"
        openid = await self._store.portraits.openid(new.channel, member_id)
        if not openid:
            return "这位成员不在这个公众号里"
        try:
            text = await self._filling.of(new, variant)
            rendered = await self._filling.fill(text, member_id)
            await self._send(rendered, client, new.channel, openid)
        except ContentError as error:
            return f"内容有问题：{told(error)}"
        except WeChatError as error:
            log.warning("preview_not_sent", errcode=error.errcode, error=str(error))
            return error.chat
        except StoreError as error:
            log.error("preview_not_sent", error=str(error))
            return "系统出了点问题，请过一会儿再试"
        return ""

    async def _send(self, rendered: Rendered, client: Caller, channel: str, openid: str) -> None:
        if rendered.kind in ("notice", "markdown", "news"):
            rendered = Rendered("text", {"text": words_of(rendered)})
        elif rendered.kind in _WORDS:
            rendered = replace(rendered, kind="text")
        media = await self._media.of(rendered, client, channel)
        if rendered.kind in ("text", "image", "article"):
            body = contents.payload_mass(rendered, media)
            await client.call("POST", PREVIEW, json={"touser": openid, **body})
            return
        for payload in contents.payload_custom(rendered, openid, media):
            await client.call("POST", CUSTOM, json=payload)

    async def tell(self, channel: str, member_id: int, text: str) -> bool:
        """A text to one member's phone as a preview; False when WeChat did not take it."""
        client = self._clients.get(channel)
        openid = await self._store.portraits.openid(channel, member_id)
        if client is None or not openid:
            return False
        body = contents.payload_mass(Rendered("text", {"text": text}), {})
        try:
            await client.call("POST", PREVIEW, json={"touser": openid, **body})
        except WeChatError as error:
            log.warning("not_told", errcode=error.errcode, error=str(error))
            return False
        return True

    async def picture(self, channel: str, png: bytes) -> str:
        """Upload a picture for an answer; its media id, "" when WeChat did not take it."""
        client = self._clients.get(channel)
        if client is None or not png:
            return ""
        try:
            return await self._media.picture(png, client)
        except WeChatError as error:
            log.warning("chart_not_uploaded", errcode=error.errcode, error=str(error))
            return ""


def _beginning(markdown: str) -> list[str]:
    """The first lines of an article, an "…" behind them when there are more."""
    lines = [line.strip() for line in markdown.splitlines() if line.strip()]
    shown = [line if len(line) <= _LINE else f"{line[:_LINE]}…" for line in lines[:_LINES]]
    return [*shown, "…"] if len(lines) > _LINES else shown


def words_of(rendered: Rendered) -> str:
    """What a member reads; of pictures and cards a line that says so."""
    values = rendered.values
    match rendered.kind:
        case "image":
            return f"[图片] {values['asset']}"
        case "article":
            lines = [f"[图文] {values['title']}", f"[封面] {values['cover']}"]
            lines += [str(values["digest"])] if values.get("digest") else []
            return "\n".join((*lines, *_beginning(str(values["markdown"]))))
        case "news":
            lines = [str(values[name]) for name in ("digest", "url") if values.get(name)]
            return "\n".join((f"[链接] {values['title']}", *lines))
        case "miniprogram":
            return f"[小程序] {values['title']}"
        case "notice":
            lines = [f"{name}：{text}" for name, text in values["data"].items()]
            return "\n".join(("[通知]", *lines))
        case "poll":
            options = [f"{number}. {one}" for number, one in enumerate(values["options"], 1)]
            return "\n".join((rendered.text, *options))
    return rendered.text
