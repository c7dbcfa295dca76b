"""Rankings: who earned most this week, this month, or ever. Names are shortened, nobody has to.

A member sees their own place wherever they stand; others see a first sign and no more.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

from handlers.context import Context
from handlers.group_names import called
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from store.rankings import EVER, Place

router = Router("ranking")

NAME_CHARS = 12
_ROWS = 10
_PERIODS = {"周": "week", "月": "month"}
_PERIOD = re.compile("[周月总]|累计|全部")
_OTHER = "(?:[今本全]?[年日季]度?|今天|昨天|上周|上月)"
_CALL = re.compile(r"\s*(?:我叫|叫我|改名)[\s:：,，]+(.*)", re.DOTALL)


def days_of(period: str, now: datetime) -> tuple[str, str]:
    """The first and the last day of this week (from Monday) or month; all days for "ever"."""
    if period == "week":
        monday = now.date() - timedelta(days=now.weekday())
        return monday.isoformat(), (monday + timedelta(days=6)).isoformat()
    if period == "month":
        return now.strftime("%Y-%m-01"), now.strftime("%Y-%m-31")
    return "", EVER


def cleaned(name: str) -> str:
    """A name of letters and digits, 1 to 12 of them; "" when that is not what was typed.

    Blanks and marks that show nothing are dropped; anything else is no name.
    """
    name = unicodedata.normalize("NFKC", name)
    kept = "".join(sign for sign in name if unicodedata.category(sign)[0] not in "ZC")
    fine = all(unicodedata.category(sign)[0] in "LN" or sign in "·-_" for sign in kept)
    return kept if fine and kept[:1].isalnum() and len(kept) <= NAME_CHARS else ""


def shown_to_others(ctx: Context, name: str, member_id: int) -> str:
    """The name's first sign, or the end of the member's number."""
    if name:
        return ctx.texts("points.named", first=name[0])
    return ctx.texts("points.somebody", digits=str(member_id)[-2:])


@router.text(
    "排行榜|排行|积分榜|积分排行|周榜|月榜|总榜|看排行榜",
    where="both",
    keyword=True,
)
@router.text("我排第几|我排名第几|我第几名")
@router.text(
    r"(?:积分)?(?:排行榜|排行|积分榜)[\s:]*(?:[本这]?个?[周月总]|累计|全部)榜?", where="both"
)
@router.text("(?:[本这]?个?[周月总]|累计)的?(?:积分)?(?:排行榜?|积分榜)", where="both")
@router.text(
    rf"(?:积分)?(?:排行榜|排行|积分榜)[\s:]*{_OTHER}榜?|{_OTHER}(?:积分)?(?:排行榜|积分榜|榜)",
    where="both",
)
async def ranking(message: Message, ctx: Context) -> Reply:
    """排行榜, 排行榜 月, 总榜: the first ten and the member's own place. This week unless said.

    In a group its own members, this month unless said, and the same for everybody.
    """
    texts = ctx.texts
    typed = folded(message.text)
    if re.search(_OTHER, typed):
        lines = [texts("points.ranking_periods"), texts("points.ranking_more")]
        return Reply.text("\n".join(lines))
    said = _PERIOD.search(typed)
    if ctx.place:
        return await _in_group(ctx, _PERIODS.get(said[0], "ever") if said is not None else "month")
    period = _PERIODS.get(said[0], "ever") if said is not None else "week"
    since, until = days_of(period, ctx.now)
    found = await ctx.store.points.ranking(since, until, "", _ROWS, ctx.member.id)
    named = texts(f"points.{period}")
    if not found.rows:
        lines = [texts("points.ranking_none", period=named)]
    else:
        lines = [texts("points.ranking_head", period=named)]
        lines += [_row(ctx, one) for one in found.rows]
    if found.mine is None:
        if found.rows:
            lines.append(texts("points.ranking_mine_none", period=named))
    elif not found.listed:
        lines.append(texts("points.ranking_mine_hidden", points=found.mine.points))
    elif found.listed:
        own = found.mine
        lines.append(texts("points.ranking_mine", rank=own.rank, points=own.points))
    lines.append(texts("points.ranking_more"))
    return Reply.text("\n".join(lines))


async def _in_group(ctx: Context, period: str) -> Reply:
    """Who earned most in this group; nobody's own place, for all read it."""
    ctx.handler, ctx.item = "ranking.group", f"ranking.{period}"
    texts, yesterday = ctx.texts, (ctx.now - timedelta(days=1)).strftime("%Y-%m-%d")
    rows = await ctx.store.points.group_ranking(
        ctx.place, days_of(period, ctx.now), (ctx.today, yesterday), _ROWS
    )
    named = texts(f"points.{period}")
    if not rows:
        return Reply.text(texts("group_life.ranking_none", period=named))
    lines = [texts("group_life.ranking_head", period=named)]
    for one in rows:
        told = {"rank": one.rank, "name": called(texts, one.name), "points": one.points}
        if one.streak > 1:
            lines.append(texts("group_life.ranking_streak", streak=one.streak, **told))
        else:
            lines.append(texts("group_life.ranking_item", **told))
    return Reply.text("\n".join(lines))


def _row(ctx: Context, one: Place) -> str:
    name = shown_to_others(ctx, one.name, one.member_id)
    if one.member_id == ctx.member.id:
        name = ctx.texts("points.me", name=name)
    return ctx.texts("points.ranking_item", rank=one.rank, name=name, points=one.points)


def _meant(message: Message, ctx: Context) -> bool:
    return not asking(message.text)


@router.text(
    "不上榜|我不上榜|退出排行榜|不要上榜|取消上榜|不想上榜|不想上排行榜|我不想上榜",
    name="ranking.unlist",
)
@router.text("我?不(?:想|要)?上(?:排行)?榜吗", name="ranking.unlist")
async def unlist(message: Message, ctx: Context) -> Reply:
    """Others do not see this member in rankings any more. 不上榜？ asks how."""
    if asking(message.text) or folded(message.text).endswith("吗"):
        return Reply.text(ctx.texts("points.say_plainly", word="不上榜"))
    await ctx.store.points.list_in_rankings(ctx.member.id, False)
    return Reply.text(ctx.texts("points.unlisted"))


@router.text("上榜|我要上榜|重新上榜", name="ranking.list", guard=_meant)
async def list_again(message: Message, ctx: Context) -> Reply:
    """Others see them again."""
    await ctx.store.points.list_in_rankings(ctx.member.id, True)
    return Reply.text(ctx.texts("points.listed"))


@router.text("我叫", name="ranking.name")
@router.text(r"(?:我叫|叫我|改名)[\s:,，].*", name="ranking.name", guard=_meant)
async def call(message: Message, ctx: Context) -> Reply:
    """我叫 小林: the name that rankings shorten. Without the blank it is a sentence, not a wish."""
    found = _CALL.fullmatch(message.text)
    name = cleaned(found[1]) if found is not None else ""
    if not name:
        return Reply.text(ctx.texts("points.call_usage", limit=NAME_CHARS))
    await ctx.store.points.call(ctx.member.id, name)
    shown = shown_to_others(ctx, name, ctx.member.id)
    return Reply.text(ctx.texts("points.called", shown=shown))
