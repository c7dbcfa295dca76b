"""The pictures and articles of campaigns, brought to WeChat before a message names them.

Each picture is uploaded once for each purpose and remembered. A draft is another matter: it is
gone when it went out, so every mass send gets one of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp

from bot import campaign_article as article
from bot.campaign_content import ARTICLE, ContentError, Rendered
from bot.errcodes import Unheard
from store.assets import Asset, Assets, Purpose, Upload

TEMPORARY_S = 3 * 86_400.0
"""How long WeChat keeps a temporary upload."""

_TEMPORARY = "/cgi-bin/media/upload"
_PERMANENT = "/cgi-bin/material/add_material"
_IN_ARTICLES = "/cgi-bin/media/uploadimg"
_DRAFT = "/cgi-bin/draft/add"


class Caller(Protocol):
    """The way to WeChat: `bot.client.Client`."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        data: bytes | Callable[[], aiohttp.FormData] | None = None,
    ) -> dict[str, Any]:
        """Call an API. Errors: WeChatError."""


class CampaignMedia:
    """Uploads. now: Unix seconds."""

    def __init__(self, assets: Assets, *, now: Callable[[], float]) -> None:
        self._assets = assets
        self._now = now
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}
        self._drafts: dict[tuple[str, int, str], str] = {}
        self._made: dict[str, float] = {}

    async def of(
        self,
        rendered: Rendered,
        client: Caller,
        channel: str,
        *,
        lasting: bool = False,
        draft: tuple[int, str] | None = None,
    ) -> dict[str, str]:
        """What a content names, by asset name its media_id, and by ARTICLE that of its draft.

        lasting: with permanent media, as mass sends want them. draft: campaign and variant that
        share one draft; None makes another. Errors: ContentError for a picture that is not
        there; WeChatError: nothing was sent.
        """
        values = rendered.values
        purpose: Purpose = "permanent" if lasting else "temporary"
        match rendered.kind:
            case "image":
                name = str(values["asset"])
            case "miniprogram":
                name = str(values["thumb"])
            case "article":
                return {ARTICLE: await self._article(values, client, channel, draft)}
            case _:
                return {}
        return {name: (await self._copy(name, client, channel, purpose)).media_id}

    async def forget(
        self, rendered: Rendered, channel: str, used: Mapping[str, str], draft: tuple[int, str]
    ) -> bool:
        """WeChat does not know these media ids (40007): the next `of` makes others.

        False when they were made within the last minute: then others would not help.
        """
        new = [one for one in used.values() if self._made.get(one, 0.0) > self._now() - 60.0]
        self._drafts.pop((channel, *draft), None)
        for name, media_id in used.items():
            asset = None if name == ARTICLE else await self._assets.get(name)
            if asset is not None:
                await self._assets.lost(asset, channel, "temporary", media_id)
        return not new

    async def picture(self, data: bytes, client: Caller) -> str:
        """Upload a PNG for one answer; its media id. Errors: WeChatError."""
        answer = await client.call(
            "POST", _TEMPORARY, params={"type": "image"}, data=lambda: _form(data, "chart.png")
        )
        return _wanted(answer, "media_id", _TEMPORARY)

    async def _article(
        self,
        values: Mapping[str, Any],
        client: Caller,
        channel: str,
        shared: tuple[int, str] | None,
    ) -> str:
        if shared is None:
            return await self._drafted(values, client, channel)
        key = (channel, *shared)
        async with self._lock("draft", channel, f"{shared[0]} {shared[1]}"):
            if key not in self._drafts:
                self._drafts[key] = await self._drafted(values, client, channel)
            return self._drafts[key]

    async def _drafted(self, values: Mapping[str, Any], client: Caller, channel: str) -> str:
        markdown = str(values["markdown"])
        names = await asyncio.to_thread(article.pictures, markdown)
        addresses = {
            name: (await self._copy(name, client, channel, "article")).url for name in names
        }
        cover = await self._copy(str(values["cover"]), client, channel, "permanent")
        # Markdown of twenty thousand characters takes a while: not on the loop.
        text = await asyncio.to_thread(article.html, markdown, addresses)
        answer = await client.call(
            "POST", _DRAFT, json=article.payload(values, text, cover.media_id)
        )
        media_id = _wanted(answer, "media_id", _DRAFT)
        self._note(media_id)
        return media_id

    async def _copy(self, name: str, client: Caller, channel: str, purpose: Purpose) -> Upload:
        """A picture's copy at WeChat; one upload, however many ask for it."""
        async with self._lock(name, channel, purpose):
            asset = await self._assets.get(name)
            if asset is None:
                raise ContentError("asset", f'a picture called "{name}"')
            known = await self._assets.uploaded(asset, channel, purpose, self._now())
            if known is not None:
                return known
            upload = await self._uploaded(asset, client, purpose)
            await self._assets.keep(asset, channel, purpose, upload)
            return upload

    async def _uploaded(self, asset: Asset, client: Caller, purpose: Purpose) -> Upload:
        data = await self._assets.data(asset.id)

        def form() -> aiohttp.FormData:
            return _form(data, asset.filename, asset.mime)

        if purpose == "article":
            answer = await client.call("POST", _IN_ARTICLES, data=form)
            return Upload("", _wanted(answer, "url", _IN_ARTICLES), None)
        path = _PERMANENT if purpose == "permanent" else _TEMPORARY
        answer = await client.call("POST", path, params={"type": "image"}, data=form)
        media_id = _wanted(answer, "media_id", path)
        self._note(media_id)
        ends_at = None if purpose == "permanent" else self._now() + TEMPORARY_S
        return Upload(media_id, "", ends_at)

    def _note(self, media_id: str) -> None:
        now = self._now()
        self._made = {one: at for one, at in self._made.items() if at > now - 60.0}
        self._made[media_id] = now

    def _lock(self, *key: str) -> asyncio.Lock:
        name, channel, purpose = key
        return self._locks.setdefault((name, channel, purpose), asyncio.Lock())


def _wanted(answer: Mapping[str, Any], name: str, path: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise Unheard(path.removeprefix("/cgi-bin/"), f"the answer has no {name}")
    return value


def _form(data: bytes, filename: str, mime: str = "image/png") -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("media", data, filename=filename, content_type=mime)
    return form
