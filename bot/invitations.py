"""Members' own invitations: WeChat's code for each, or a tracked link, as a picture it has.

WeChat's temporary codes end after 30 days at most, its uploaded pictures after three; both
are asked for again before that, and only when somebody wants them. Where an account may not
make codes the picture leads to the operator's page by a link that is counted.
"""

from __future__ import annotations

import asyncio
import base64
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import aiohttp
import structlog

from bot.client import Refused, Unheard, WeChatError
from bot.links import BOT, BadLink, Linker
from handlers.context import ApiRefused, Invitation
from handlers.rewards import ReferralRules
from store import Store
from store.referrals import Invite

if TYPE_CHECKING:
    from bot.poster import Picture, Poster

log = structlog.get_logger()

QRCODE = "/cgi-bin/qrcode/create"
UPLOAD = "/cgi-bin/media/upload"
SHOW = "https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket="
"""Where anybody sees WeChat's own picture of a code."""

DAY_S = 86_400.0
ENDING_S = 2 * DAY_S
"""A code that ends sooner is replaced before it is shown again."""
MEDIA_S = 2.5 * DAY_S
"""WeChat keeps an uploaded picture for three days."""

_MAY_NOT = frozenset({48001, 48004, 48008})
_LONGEST_URL = 2048


class Caller(Protocol):
    """The calls this room needs of a channel's client: `bot.client.Client`."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        data: Callable[[], aiohttp.FormData] | None = None,
    ) -> Mapping[str, Any]:
        """Errors: WeChatError."""


@dataclass(frozen=True, slots=True)
class Side:
    """One channel. codes: whether its account may make codes with a scene."""

    client: Caller
    codes: bool


def new_scene() -> str:
    """What a scan of a new code will tell us: "r:" and 8 random signs, nobody's name."""
    return "r:" + base64.b32encode(secrets.token_bytes(5)).decode().lower()


class Invitations:
    """Makes and keeps invitations; see `handlers.context.Invitations`.

    sides: the channels that may invite. poster: the operator's picture, None for a plain
    card; one that cannot be used is named in the log once, and the card used instead.
    """

    def __init__(
        self,
        store: Store,
        linker: Linker,
        sides: Mapping[str, Side],
        rules: ReferralRules,
        *,
        poster: Path | None = None,
    ) -> None:
        self._store = store
        self._linker = linker
        self._sides = sides
        self._rules = rules
        self._path = poster
        self._poster: Poster | None = None
        self._barred: set[str] = set()
        self._running: dict[tuple[int, str], asyncio.Task[Invitation]] = {}
        self._drawing = asyncio.Semaphore(1)

    def rewarded(self, channel: str) -> bool:
        """Whether the channel makes codes; what WeChat said since the start counts."""
        side = self._sides.get(channel)
        return side is not None and side.codes and channel not in self._barred

    async def picture(self, member_id: int, channel: str, now: float) -> Invitation:
        """The member's code as a picture that WeChat has. Errors: ApiRefused, StoreError.

        Who asks twice at once waits for the same one.
        """
        key = (member_id, channel)
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._make(member_id, channel, now))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, member_id: int, channel: str, now: float) -> Invitation:
        side = self._sides.get(channel)
        invite = await self._store.referrals.invite(member_id, channel, new_scene(), now)
        if side is None or invite is None:
            return _NOTHING
        try:
            invite = await self._led(side, invite, now)
            if not invite.url:
                return _NOTHING
            media_id = await self._pictured(side, invite, now)
        except WeChatError as error:
            log.warning("invitation_not_made", channel=channel, error=str(error))
            raise ApiRefused(error.chat) from error
        rewarded = bool(invite.ticket)
        ends_at = invite.expires_at if rewarded else math.inf
        shown = SHOW + quote(invite.ticket, safe="") if rewarded else invite.url
        return Invitation(media_id, rewarded, ends_at, "" if media_id else shown)

    async def _led(self, side: Side, invite: Invite, now: float) -> Invite:
        """The invite with somewhere to lead; url "" when there is nowhere."""
        if invite.ticket and invite.expires_at > now + ENDING_S:
            return invite
        if side.codes and invite.channel not in self._barred:
            try:
                return await self._coded(side, invite, now)
            except Refused as error:
                if error.errcode not in _MAY_NOT:
                    raise
                # It may not today; a restart asks again, when the account has the right.
                self._barred.add(invite.channel)
                log.warning("invitations_without_codes", channel=invite.channel, error=str(error))
        if invite.ticket and invite.expires_at > now:
            return invite
        return await self._linked(invite)

    async def _coded(self, side: Side, invite: Invite, now: float) -> Invite:
        """WeChat's code for the scene; another one for the same scene replaces none."""
        life_s = self._rules.days * DAY_S
        answer = await side.client.call(
            "POST",
            QRCODE,
            json={
                "expire_seconds": int(life_s),
                "action_name": "QR_STR_SCENE",
                "action_info": {"scene": {"scene_str": invite.scene}},
            },
        )
        ticket, url = answer.get("ticket"), answer.get("url")
        if not isinstance(ticket, str) or not ticket:
            raise Unheard("qrcode/create", "the answer has no ticket")
        if not isinstance(url, str) or not 0 < len(url) <= _LONGEST_URL:
            raise Unheard("qrcode/create", "the answer has no url")
        lives_s = answer.get("expire_seconds")
        if isinstance(lives_s, int | float):
            life_s = min(life_s, float(lives_s))
        return await self._leads(invite, ticket, url, now + life_s)

    async def _linked(self, invite: Invite) -> Invite:
        """The operator's page by a link of this invitation's own."""
        if not self._rules.landing_url:
            return await self._leads(invite, "", "", 0.0)
        try:
            made = await self._linker.create(
                url=self._rules.landing_url, source="referral", ref=f"invite:{invite.scene}", by=BOT
            )
            url = self._linker.url_for(made.link) or self._rules.landing_url
        except BadLink as error:
            # Not counted then, but it leads where the operator wants.
            log.warning("invitation_link_not_counted", error=str(error))
            url = self._rules.landing_url
        return await self._leads(invite, "", url, 0.0)

    async def _leads(self, invite: Invite, ticket: str, url: str, expires_at: float) -> Invite:
        if (invite.ticket, invite.url, invite.expires_at) != (ticket, url, expires_at):
            await self._store.referrals.lead(invite.scene, ticket, url, expires_at)
            return Invite(
                invite.scene,
                invite.member_id,
                invite.channel,
                invite.created_at,
                ticket,
                url,
                expires_at,
                "",
                0.0,
            )
        return invite

    async def _pictured(self, side: Side, invite: Invite, now: float) -> str:
        """WeChat's number of the picture; "" when it cannot be drawn or may not be uploaded."""
        if invite.media_id and invite.media_until > now:
            return invite.media_id
        picture = await self._drawn(invite.url)
        if picture is None:
            return ""
        try:
            answer = await side.client.call(
                "POST", UPLOAD, params={"type": "image"}, data=lambda: _form(picture)
            )
        except Refused as error:
            if error.errcode not in _MAY_NOT:
                raise
            log.warning("invitation_not_uploaded", channel=invite.channel, error=str(error))
            return ""
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise Unheard("media/upload", "the answer has no media_id")
        await self._store.referrals.picture(invite.scene, invite.url, media_id, now + MEDIA_S)
        return media_id

    async def _drawn(self, content: str) -> Picture | None:
        # One at a time: a rush for invitations must not take both cores from the answers.
        async with self._drawing:
            if self._poster is None:
                self._poster = await asyncio.to_thread(_poster, self._path)
            return await asyncio.to_thread(_draw, self._poster, content)


_NOTHING = Invitation("", False, 0.0)


def _poster(path: Path | None) -> Poster:
    # Imported here, in a thread and when somebody first invites: Pillow is memory and start-up
    # time for who never does.
    from bot.poster import Poster, PosterError

    try:
        return Poster.read(path)
    except PosterError as error:
        log.warning("poster_unusable", say=f"referral.poster: {path}: {error}; using a plain card")
        return Poster()


def _draw(poster: Poster, content: str) -> Picture | None:
    """None when no code can say that."""
    from bot.poster import PosterError

    try:
        return poster.draw(content)
    except PosterError as error:
        log.warning("invitation_not_drawn", error=str(error))
        return None


def _form(picture: Picture) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field(
        "media",
        picture.data,
        filename=f"invitation.{'jpg' if picture.kind == 'jpeg' else 'png'}",
        content_type=f"image/{picture.kind}",
    )
    return form
