"""What the demo's business gives its members from the start, and what its operator may send them.

One offer for everybody, one for points, one for who brings a friend; a quiz that stays open for
as long as anybody plays with the demo, and one to be held in a group; a poll that waits as a
draft, a picture to put on an article, and a segment; a group that is bound and has its rules.
Seeding again changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from handlers.quiz_text import read
from store import Store
from store.campaigns import NewCampaign, Variant
from store.groups import GroupRules, place_of
from store.ledgers import Deed
from store.offers import NewOffer
from store.quizzes import DRAFT

QUIZ = Path(__file__).parent / "seed" / "quiz.txt"
GROUP_QUIZ = Path(__file__).parent / "seed" / "quiz_group.txt"
BY = "cli"
OPEN_S = 30 * 86_400.0

CLAIM = NewOffer(
    word="早鸟",
    title="早鸟券",
    kind="amount",
    value=2000,
    min_spend_cents=9900,
    inventory=100,
    valid_days=30,
)
EXCHANGE = NewOffer(
    word="书签",
    title="书签券",
    kind="percent",
    value=10,
    cap_cents=3000,
    points_price=20,
    inventory=50,
    per_member=2,
    stackable=True,
    valid_days=30,
)
FRIEND = NewOffer(
    word="老友",
    title="老友券",
    kind="amount",
    value=5000,
    min_spend_cents=12900,
    audience="did:invite",
    valid_days=60,
)
OFFERS = (FRIEND, EXCHANGE, CLAIM)
"""The last one stands first where members look."""
LADDER = (f"1:{FRIEND.word}",)

COVER = "cover"
"""The picture's name; drawn here, so that there is no file of somebody's."""
SEGMENT = ("常来的", "active 7d")
POLL = NewCampaign(
    title="直播放在几点",
    channel="mp",
    audience="everyone",
    routes=("custom", "mass_list"),
    holdout=0.0,
    metric="reply",
    variants=(
        Variant(
            content={
                "kind": "poll",
                "question": "下次直播放在几点好？（回复「退订」不再收到）",
                "options": ["早上 9 点", "中午 12 点", "晚上 8 点"],
            }
        ),
    ),
)
_SIZE = (900, 383)
_PAPER, _INK, _SUN = (226, 238, 232), (74, 165, 100), (240, 176, 92)


def cover() -> bytes:
    """A landscape without words, PNG, in the shape that WeChat wants of covers."""
    height = _SIZE[1]
    picture = Image.new("RGB", _SIZE, _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((620, 60, 760, 200), fill=_SUN)
    for number, (left, top, span) in enumerate(((-80, 150, 520), (260, 90, 620), (560, 190, 460))):
        shade = tuple(max(0, part - 26 * (2 - number)) for part in _INK)
        hill = ((left, height), (left + span // 2, top), (left + span, height))
        draw.polygon(hill, fill=(shade[0], shade[1], shade[2]))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


async def seed(store: Store, now: float) -> None:
    """Make all of it. Errors: StoreError."""
    for offer in OFFERS:
        await store.offers.create(offer, now, BY, _key(offer.word))
    quiz, _ = await store.quizzes.create(read(QUIZ.read_text("utf-8")), now, BY, _key("quiz"))
    if quiz.status == DRAFT:
        await store.quizzes.start(quiz.id, now, now + OPEN_S)
    await store.quizzes.create(
        read(GROUP_QUIZ.read_text("utf-8")), now, BY, _key("quiz for the group")
    )
    await store.assets.put(COVER, await asyncio.to_thread(cover), now, BY)
    if await store.segments.get(SEGMENT[0]) is None:
        await store.segments.put(*SEGMENT, now, BY, Deed(now, BY, "segment.save"))
    await store.campaigns.create(POLL, now, BY, _key("poll"), None)


WELCOME = "欢迎 {names}，先看群公告；想问什么就 @我。"
"""What the group's newcomers hear."""


async def seed_group(
    store: Store, channel: str, group: str, title: str, now: float, owner: str = ""
) -> None:
    """Bind a group with all it can do; who is in it is learnt from the talk. Errors: StoreError."""
    place = place_of(channel, group)
    if store.groups.known(place) is not None:
        return  # whoever plays with it may have changed its rules
    await store.groups.meet(channel, group, now, name=title, owner=owner, bound_by="demo")

    def rules(old: GroupRules) -> GroupRules:
        return replace(old, welcome=WELCOME, digest="", order="act")

    await store.groups.rule(place, rules, now=now)


def _key(name: str) -> bytes:
    return hashlib.blake2b(f"demo:{name}".encode(), digest_size=16).digest()
