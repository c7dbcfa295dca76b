"""别分析我: nothing is concluded about a member any more, and what was is removed.

They are answered, counted and rewarded as before; only features, moods, communities and risks
are no longer theirs. What they decided is kept with its time and the notice they had read.
"""

from __future__ import annotations

from datetime import datetime

from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import Router, asking
from store.consents import BEFORE, PROFILING, Consent

router = Router("consent")

_PLEASE = "(?:请|請)?你?(?:们|們)?"
_NO_MORE = "(?:再)?"
_I = "(?:我?(?:要|想|想要)?)"

_MINE = "(?:的(?:数据|行为|聊天|消息|情绪|兴趣|喜好|习惯)?)?"


@router.text(
    f"{_PLEASE}(?:别|別|不要|不许|不許|停止|不用|不准|拒绝|拒絕|不同意){_NO_MORE}分析我{_MINE}(?:了|吧)?"
    "|(?:请|請)?(?:停止|关闭|關閉|取消)分析(?:吧)?"
    f"|{_I}(?:撤回|撤销|撤銷|取消|收回)(?:对?我?的?)(?:分析(?:的)?)?(?:同意|授权|授權)(?:了|吧)?"
    f"|能不能{_NO_MORE}(?:别|別|不要|不)分析我{_MINE}(?:了)?"
    "|(?:请)?你?们?(?:别|不要|不许|停止|不用|不准)(?:再)?(?:给|对)我(?:做)?(?:画像|分析)(?:了|吧)?"
    "|我?不(?:想|要|愿意?|同意)(?:再)?被(?:你们?)?(?:分析|画像)了?",
    name="consent.off",
)
async def refuse(message: Message, ctx: Context) -> Reply:
    """Remove what was concluded about this member, and conclude nothing more.

    别分析我？ is a question: it hears what would happen.
    """
    if asking(message.text):
        return Reply.text(ctx.texts("consent.about"))
    await ctx.store.consents.decide(ctx.member.id, PROFILING, False, ctx.at, message.channel)
    return Reply.text(ctx.texts("consent.off"))


@router.text(
    f"{_PLEASE}(?:可以|继续|繼續|重新|恢复|恢復|允许|允許|同意)分析我{_MINE}(?:了|吧)?"
    f"|我(?:同意|允许|愿意)(?:你们?|被)?分析(?:我{_MINE})?(?:了|吧)?",
    name="consent.on",
)
async def grant(message: Message, ctx: Context) -> Reply:
    """They may be profiled from now on; what was removed does not come back."""
    if asking(message.text):
        return Reply.text(ctx.texts("consent.about"))
    await ctx.store.consents.decide(ctx.member.id, PROFILING, True, ctx.at, message.channel)
    return Reply.text(ctx.texts("consent.on"))


@router.text("我的授权|我的同意|授权情况", name="consent.mine")
async def mine(message: Message, ctx: Context) -> Reply:
    """What they decided, when, and under which version of the notice."""
    decided = await decision(ctx)
    if decided is None:
        if ctx.store.consents.opt_in:
            return Reply.text(ctx.texts("consent.undecided_off"))
        return Reply.text(ctx.texts("consent.undecided"))
    if decided.source == BEFORE:
        return Reply.text(ctx.texts("consent.kept"))
    day = datetime.fromtimestamp(decided.at, SHANGHAI).strftime("%Y-%m-%d")
    if decided.granted:
        return Reply.text(ctx.texts("consent.granted", day=day, notice=decided.notice))
    return Reply.text(ctx.texts("consent.refused", day=day, notice=decided.notice))


async def decision(ctx: Context) -> Consent | None:
    """What this member decided about profiling; None for nothing."""
    for one in await ctx.store.consents.of(ctx.member.id):
        if one.purpose == PROFILING:
            return one
    return None


async def profiled(ctx: Context) -> bool:
    """Whether this member is profiled, by their decision or for want of one."""
    decided = await decision(ctx)
    return not ctx.store.consents.opt_in if decided is None else decided.granted
