"""A campaign's content for one member: its gaps filled, its links theirs.

What is the same for all is read once and kept for a minute; what differs is read for all who
are asked for at the same moment. So fifty thousand messages cost hundreds of reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from bot import campaign_article as article
from bot import campaign_content as contents
from bot import campaign_links, targets
from bot.campaign_content import ContentError, Rendered
from bot.campaign_template import MEMBER
from bot.links import BOT, BadLink, Linker
from handlers.coupon_words import last_day
from store import Store, codes
from store.campaigns import NewCampaign
from store.catalogue import Item
from store.portraits import Portrait

V = TypeVar("V")

KEPT_S = 60.0
"""How long a content that was read is good: an operator who changes an item sees it then."""

NOBODY = 0
"""Whose links a message has that many read."""

Best = Callable[[Collection[int]], Awaitable[Mapping[int, str]]]
"""The best item for each of these members; who is left out gets the content's own."""

_MOST = 200
_SAMPLE_CODE = "ABCD2345EFGH" + codes.check_sign("ABCD2345EFGH")
_SAMPLE = Portrait()


@dataclass(frozen=True, slots=True)
class Text:
    """A variant, read. names: what its gaps need. links: targets and addresses to the number of
    their link, or to where they lead when they cannot be counted. offer: title, ends (Unix
    seconds, None for never) of a coupon. alike: every member gets the same; filled: that, once it
    was made."""

    new: NewCampaign
    label: str
    variant: str
    content: Mapping[str, Any]
    names: frozenset[str]
    links: Mapping[str, int | str]
    offer: tuple[str, float | None]
    until: float
    alike: bool = False
    filled: list[Rendered] = field(default_factory=list, compare=False)


async def nothing_better(member_ids: Collection[int]) -> Mapping[int, str]:
    """Of nobody it is known what suits them."""
    return {}


class Filling:
    """Contents for members.

    levels: points ever earned that each level needs, lowest first. tier_name: a tier in words.
    linker: it knows where addresses may lead; None leaves those that gaps put in as they are, and
    knows no other. now: Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        linker: Linker | None,
        *,
        now: Callable[[], float],
        business: str = "",
        levels: Sequence[int] = (),
        tier_name: Callable[[str], str] = str,
        best: Best = nothing_better,
    ) -> None:
        self._store = store
        self._linker = linker
        self._now = now
        self._business = business
        self._levels = tuple(levels)
        self._tier_name = tier_name
        self._best = best
        self._hosts: tuple[str, ...] = ()
        if linker is not None:
            ours = urlsplit(linker.public_url).hostname
            self._hosts = (*linker.hosts, *((ours,) if ours else ()))
        self._texts: dict[tuple[int, str], asyncio.Task[Text]] = {}
        self._items: dict[tuple[str, str, str], tuple[float, Item, int | str]] = {}
        self._portraits = _Slices(lambda ids: store.portraits.of(ids, now()))
        self._bests = _Slices(best)

    async def text(self, campaign_id: int, variant: str) -> Text:
        """A variant, read at most once a minute, whoever asks. Errors: ContentError for one
        that is not there or cannot be filled; StoreError."""
        key = (campaign_id, variant)
        task = self._texts.get(key)
        if task is None or _is_over(task, self._now()):
            if len(self._texts) > _MOST:
                self._clear()
            task = asyncio.create_task(self._read(campaign_id, variant))
            self._texts[key] = task
            task.add_done_callback(_looked_at)
        # Shielded: one caller that is stopped must not stop the others.
        return await asyncio.shield(task)

    def _clear(self) -> None:
        now = self._now()
        self._texts = {key: one for key, one in self._texts.items() if not _is_over(one, now)}
        self._items = {key: one for key, one in self._items.items() if one[0] > now}

    async def _read(self, campaign_id: int, variant: str) -> Text:
        campaign = await self._store.campaigns.get(campaign_id)
        if campaign is None:
            raise ContentError("missing", "a campaign")
        return await self.of(campaign.new, variant, label=campaign.label)

    async def of(self, new: NewCampaign, variant: str, *, label: str = "", ref: str = "") -> Text:
        """A variant of a campaign that need not be kept. label: of its links; "" makes none.

        ref: what else they say of where they stand, such as the group."""
        content = next((one.content for one in new.variants if one.name == variant), None)
        if content is None:
            raise ContentError("missing", "a variant of this name")
        if content["kind"] == "article":
            article.check(str(content["markdown"]))
        names = frozenset(name for gaps in contents.gaps(content).values() for name in gaps.names)
        wanted = dict.fromkeys((*contents.links(content), *contents.urls(content)))
        links = {target: await self._link(target, label, variant, ref) for target in wanted}
        offer: tuple[str, float | None] = ("", None)
        if content["kind"] == "coupon":
            found = await self._store.offers.by_word(str(content["offer"]))
            if found is None:
                raise ContentError("missing", "an offer of this word", where="offer")
            offer = (found.title, found.ends_at(self._now()))
        until = self._now() + KEPT_S
        # A link has its reader's name in it, a coupon and an item are their own.
        own = content["kind"] in ("coupon", "item") or not names.isdisjoint(MEMBER)
        return Text(new, label, variant, content, names, links, offer, until, not (own or links))

    async def _link(self, target: str, label: str, variant: str, ref: str = "") -> int | str:
        """The number of a target's link; its plain address where there can be none."""
        plain = target
        if "://" not in target:
            item = await self._store.catalogue.item(target)
            if item is None or not item.url:
                raise ContentError("values", f'link("{target}") to an item with an address')
            plain = item.url
        if self._linker is None or not self._linker.public_url or not label:
            return plain
        is_url = plain == target
        try:
            made = await self._linker.create(
                item_id="" if is_url else target,
                url=target if is_url else "",
                campaign=label,
                variant=variant,
                source="campaign",
                ref=ref,
                by=BOT,
            )
        except BadLink:
            return plain
        return made.link.id

    # For one member

    async def fill(self, text: Text, member_id: int, *, coupon: str = "") -> Rendered:
        """The content as this member gets it; `NOBODY` for one that many read.

        coupon: the code they were given; "" shows a sample. Errors: ContentError, also for an
        address that only the filled text has and that is not on the list; StoreError.
        """
        if text.filled:
            return text.filled[0]
        rendered = await self._fill(text, member_id, coupon)
        if text.alike:
            text.filled[:] = [rendered]
        return rendered

    async def _fill(self, text: Text, member_id: int, coupon: str) -> Rendered:
        ours: set[str] = set()

        def address(target: str) -> str:
            found = self._address(text.links[target], member_id)
            ours.update(campaign_links.addresses(found))
            return found

        values: dict[str, Any] = {
            "topic": text.new.topic,
            "business": self._business,
            "link": address,
        }
        if not text.names.isdisjoint(MEMBER):
            portrait = _SAMPLE
            if member_id:
                portrait = await self._portraits.get(member_id) or _SAMPLE
            values |= self._of_member(portrait)
        if text.content["kind"] == "coupon":
            title, ends_at = text.offer
            code = codes.shown(coupon or _SAMPLE_CODE)
            ends = "" if ends_at is None else last_day(ends_at, self._now())
            values["coupon"] = {"code": code, "title": title, "ends": ends}
        elif text.content["kind"] == "item":
            values["item"] = await self._item(text, member_id)
            ours.update(campaign_links.addresses(values["item"]["url"]))
        rendered = contents.render(text.content, values)
        campaign_links.check(rendered.values, self._hosts, ours)
        if rendered.kind == "poll" and text.label:
            name = f"poll:{text.label}:{text.variant}"
            rendered = replace(rendered, values={**rendered.values, "poll": name})
        return self._tracked(text, rendered, member_id)

    def _of_member(self, portrait: Portrait) -> dict[str, Any]:
        days = int((self._now() - portrait.since) // 86_400) if portrait.since else 0
        return {
            "tier": self._tier_name(portrait.tier) if portrait.tier else "",
            "level": sum(portrait.earned >= needed for needed in self._levels),
            "points": portrait.points,
            "days": max(0, days),
            "invited": portrait.invited,
        }

    async def _item(self, text: Text, member_id: int) -> dict[str, str]:
        best = await self._bests.get(member_id) if member_id else None
        found = await self._offered(text, best) if best else None
        if found is None:
            found = await self._offered(text, str(text.content["fallback"]))
        if found is None:
            raise ContentError("missing", "an item with an address", where="fallback")
        item, link = found
        price = f"{item.price_cents / 100:.2f}".removesuffix(".00")
        return {"title": item.title, "url": self._address(link, member_id), "price": price}

    async def _offered(self, text: Text, item_id: str) -> tuple[Item, int | str] | None:
        """An item and its link; None for one that nobody can open."""
        key = (text.label, text.variant, item_id)
        known = self._items.get(key)
        if known is not None and known[0] > self._now():
            return known[1], known[2]
        item = await self._store.catalogue.item(item_id)
        if item is None or not item.url:
            return None
        link = await self._link(item_id, text.label, text.variant)
        self._items[key] = (self._now() + KEPT_S, item, link)
        return item, link

    def _address(self, link: int | str, whose: int) -> str:
        if isinstance(link, str) or self._linker is None:
            return str(link)
        return self._linker.url_for(link, whose)

    def _tracked(self, text: Text, rendered: Rendered, whose: int) -> Rendered:
        """The addresses that stand in it as they are, counted."""
        changed: dict[str, Any] = {}
        for name in ("text", "question"):
            before = rendered.values.get(name)
            if isinstance(before, str) and "://" in before:
                after = self._in_text(text, before, whose)
                # An address that is counted may be longer; what does not fit stays uncounted.
                if len(after.encode()) <= max(
                    contents.TEXT_BYTES, contents.most_bytes(rendered.kind, name)
                ):
                    changed[name] = after
        for name in ("url", "source_url"):
            if (link := text.links.get(str(rendered.values.get(name) or ""))) is not None:
                changed[name] = self._address(link, whose)
        return replace(rendered, values={**rendered.values, **changed}) if changed else rendered

    def _in_text(self, text: Text, words: str, whose: int) -> str:
        out: list[str] = []
        done = 0
        for start, end in targets.in_text(words):
            link = text.links.get(words[start:end])
            if isinstance(link, int):
                out += (words[done:start], self._address(link, whose))
                done = end
        return "".join((*out, words[done:]))


class _Slices(Generic[V]):
    """Answers for many keys, asked for one by one and read together.

    Who asks while a read is under way shares the next.
    """

    def __init__(self, read: Callable[[Collection[int]], Awaitable[Mapping[int, V]]]) -> None:
        self._read = read
        self._wanted: dict[int, list[asyncio.Future[V | None]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: int) -> V | None:
        """The answer for one; None when there is none. Errors: those of the read."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(key, []).append(future)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._answer())
        return await future

    async def _answer(self) -> None:
        while self._wanted:
            asked, self._wanted = self._wanted, {}
            try:
                found = await self._read(list(asked))
            except Exception as error:  # noqa: BLE001 - it belongs to those who asked
                for future in (one for many in asked.values() for one in many if not one.done()):
                    future.set_exception(error)
                continue
            for key, futures in asked.items():
                for future in futures:
                    if not future.done():
                        future.set_result(found.get(key))


def _is_over(task: asyncio.Task[Text], now: float) -> bool:
    if not task.done():
        return False
    return task.cancelled() or task.exception() is not None or task.result().until <= now


def _looked_at(task: asyncio.Task[Text]) -> None:
    if not task.cancelled():
        task.exception()  # so that asyncio does not complain when all who asked have gone
