"""Newcomers of a group are welcomed together: one post for all who came, and not too often.

Only in groups that have a welcome (`/group welcome`). Who comes at night, or while the bot is
muted, is welcomed with the others when it may speak again; who left before is not.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from insights.order_kinds import lures
from insights.order_reading import read
from insights.order_rules import Word, Words
from store import Store
from store.groups import Group
from store.posts import NewPost, Post
from store.welcomes import KIND, Arrivals, Newcomer

NAMED = 8
"""So many newcomers are named; the others are counted."""

SETTLE_S = 15.0
"""Who comes within this time of each other is welcomed together, up to the group's own time."""

STALE_S = 86_400.0
"""Who came longer ago is no newcomer any more."""

LATE_S = 3600.0
"""A welcome that could not be posted for so long is not posted."""

LONGEST_NAME = 20

Say = Callable[[Sequence[str], int], str]
"""(names, how many others) -> "小林、阿木 和另外 3 位". Both may be empty or 0, not at once."""

_GAPS = re.compile(r"[\s\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
# A name is not ours to spread when it is an advert: a link, a number to call, a WeChat id.
_ADVERT = re.compile(
    r"https?:|www\.|[a-z0-9-]\.(?:com|cn|net|top|vip|xyz|cc)\b|\d{6,}|\d{3,}[-_ ]\d{3,}"
    r"|(?:加|＋|\+)\s*(?:v|微|薇|威|扣|q)|微信|[vw]x\s*[:：]",
    re.IGNORECASE,
)
# What nobody is called who only wants to be in a group. As a name it is read without blanks and
# signs; who is counted instead of named loses little, so one such word is enough.
_OFFERS = re.compile(
    "兼职|副业|赚钱|私聊|领券|优惠券|看我|看签名|头像|卖|出售|批发|货源|代写|代考|代理|代购|加盟|推广|全网|最低价?|"
    "低价|约吗|约炮|深夜|贷款|信用卡|办证|招聘|招人|诚聘|免费|特价|薇(?=[a-z0-9])|微(?=[a-z0-9]{3})|"
    "(?:[vw]x|wechat|qq)(?=[a-z0-9]{3})"
)


def name_shown(name: str, words: Words | None = None, place: str = "") -> str:
    """A newcomer's name on one line, at most 20 characters; "" for one that is an advert.

    It is read as order reads messages: links, contacts, lures, and the words that an operator
    banned in that place.
    """
    line = _GAPS.sub(" ", name).strip().lstrip("@＠").strip()
    if _ADVERT.search(line) or _is_advert(line, words, place):
        return ""
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


def _is_advert(line: str, words: Words | None, place: str) -> bool:
    reading = read(line)
    if reading.links or reading.joins or reading.contact or lures(reading):
        return True
    if _OFFERS.search(reading.bare):
        return True
    return words is not None and words.banned(reading, place) > 0


def may_welcome(group: Group, arrivals: Arrivals, gap_s: float, now: float) -> bool:
    """Whether its newcomers are welcomed now, as far as the last welcome lets them."""
    if not group.rules.welcome or group.rules.silent_until(now) > now:
        return False
    # Who comes in a row is waited for, but not for ever.
    return now - arrivals.last_at >= SETTLE_S or now - arrivals.first_at >= gap_s


@dataclass(frozen=True, slots=True)
class _Welcome:
    """Makes the post for one group."""

    group: Group
    channel: str
    say: Say
    words: Words
    now: float

    def __call__(self, some: Sequence[Newcomer], count: int) -> NewPost:
        place = self.group.place
        named = [(one, name) for one in some if (name := name_shown(one.name, self.words, place))]
        # Another channel calls people by other ids.
        own = self.channel == self.group.channel
        names = tuple(dict.fromkeys(name for _, name in named))
        words = self.say(names, count - len(named))
        first = min(one.member_id for one in some)
        key = f"welcome:{self.group.place}:{first}:{self.now}"
        return NewPost(
            key=hashlib.blake2b(key.encode(), digest_size=16).digest(),
            channel=self.channel,
            place=self.group.place,
            kind=KIND,
            body=Post(
                kind="text",
                content=(self.group.rules.welcome or "").replace("{names}", words),
                mentions=tuple(one.external_id for one, _ in named if one.external_id and own),
            ),
            due_at=self.now,
            not_after=self.now + LATE_S,
        )


async def tick(
    store: Store, say: Say, posting: Collection[str], welcome_minutes: float, now: float
) -> str:
    """Plan the welcomes that are due; "" when there was nothing to do.

    posting: channels that may post; welcome_minutes: the least time between two welcomes in a
    group that has no rule of its own. Wake the worker of posts afterwards.
    """
    did = []
    words: Words | None = None
    for arrivals in await store.welcomes.waiting():
        place = arrivals.place
        if arrivals.first_at < now - STALE_S:
            await store.welcomes.pass_over(place, now - STALE_S, now)
        group = store.groups.known(place)
        if group is None or arrivals.last_at < now - STALE_S:
            continue
        minutes = group.rules.welcome_minutes
        gap_s = 60.0 * (welcome_minutes if minutes is None else minutes)
        channel = group.route or group.channel
        if channel not in posting or not may_welcome(group, arrivals, gap_s, now):
            continue
        if words is None:
            rows = await store.order.words()
            words = await asyncio.to_thread(Words, [Word(*row) for row in rows])
        make = _Welcome(group, channel, say, words, now)
        count = await store.welcomes.plan(place, make, now, gap_s=gap_s, named=NAMED)
        if count:
            did.append(f"{count} welcomed in group {group.id}")
    return ", ".join(did)
