"""What a campaign says in a group: one text for all who are in it, with links that say where.

A member's own data, coupons and items have no place here: they are refused, not left empty. A
link names its group, so that clicks can be told apart; tasks of employees say the same in all
their groups, and so do their links.
"""

from __future__ import annotations

from typing import Any

from bot import campaign_content as contents
from bot.campaign_content import ContentError, Rendered
from bot.campaign_filling import NOBODY, Filling
from bot.campaign_phone import words_of
from bot.group_robot import DESCRIPTION_BYTES, MARKDOWN_BYTES, TEXT_BYTES, TITLE_BYTES, cut
from bot.onebot_actions import post_texts
from scheduler.group_campaigns import WayKind
from store.assets import Assets
from store.campaigns import Campaign, NewCampaign
from store.group_campaigns import ref_of
from store.groups import Group
from store.posts import Post, PostArticle

KINDS = frozenset({"text", "markdown", "image", "article", "news"})
"""Kinds of content that can go into a group."""


class GroupWording:
    """See `scheduler.group_campaigns.Wording`."""

    def __init__(self, filling: Filling, assets: Assets) -> None:
        self._filling = filling
        self._assets = assets

    async def post(
        self, campaign: Campaign, variant: str, kind: WayKind, group: Group | None
    ) -> Post:
        """A variant as it is said in a group, its links counted. Errors: ContentError,
        StoreError."""
        ref = "" if group is None else ref_of(group.id)
        return await self._post(campaign.new, variant, kind, label=campaign.label, ref=ref)

    async def shown(self, new: NewCampaign, variant: str, kind: WayKind) -> str:
        """A variant as it would stand in a group, its links uncounted. Errors: ContentError,
        StoreError."""
        rendered = await self._filled(new, variant)
        post = await self._made(rendered, kind)
        if post.kind == "image":
            return words_of(rendered)
        if post.kind == "markdown":
            return cut(post.content, MARKDOWN_BYTES)
        if post.kind == "news" and kind != "gateway":
            one = post.articles[0]
            title, told = cut(one.title, TITLE_BYTES), cut(one.description, DESCRIPTION_BYTES)
            return "\n".join(filter(None, (f"[链接] {title}", told, one.url)))
        return cut(post.content, TEXT_BYTES) if post.kind == "text" else _plain(post)

    async def _post(
        self, new: NewCampaign, variant: str, kind: WayKind, *, label: str = "", ref: str = ""
    ) -> Post:
        return await self._made(await self._filled(new, variant, label=label, ref=ref), kind)

    async def _filled(
        self, new: NewCampaign, variant: str, *, label: str = "", ref: str = ""
    ) -> Rendered:
        text = await self._filling.of(new, variant, label=label, ref=ref)
        if text.content["kind"] not in KINDS or contents.personal(text.content):
            raise ContentError("route", "a content that is the same for everybody in a group")
        return await self._filling.fill(text, NOBODY)

    async def _made(self, rendered: Rendered, kind: WayKind) -> Post:
        values = rendered.values
        match rendered.kind:
            case "text":
                return Post("text", str(values["text"]))
            case "markdown":
                post = Post("markdown", str(values["text"]))
                # Only a robot of WeCom shows its marks; elsewhere they would be read as typed.
                return post if kind == "robot" else Post("text", _plain(post))
            case "image":
                return await self._picture(str(values["asset"]), kind)
            case _:
                return Post("news", articles=(_article(values),))

    async def _picture(self, name: str, kind: WayKind) -> Post:
        if kind == "gateway":
            raise ContentError("route", "words: a gateway carries no pictures", where="asset")
        asset = await self._assets.get(name)
        if asset is None:
            raise ContentError("missing", "a picture of this name", where="asset")
        return Post("image", asset_id=asset.id)


def _article(values: Any) -> PostArticle:
    """An article of an account leads to its original: in a group there is nothing else to open."""
    url = values.get("url") or values.get("source_url")
    if not url:
        raise ContentError("missing", "an address that the card leads to", where="source_url")
    return PostArticle(
        str(values["title"]),
        str(values.get("digest") or ""),
        str(url),
        str(values.get("picture_url") or ""),
    )


def _plain(post: Post) -> str:
    """The words of a post, without marks. Errors: ValueError for none."""
    return "\n".join(post_texts(post))
