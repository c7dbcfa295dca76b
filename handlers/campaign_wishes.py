"""What operators say of sending to many in words of their own: 群发, 先别发, 效果怎么样.

Nothing is sent, held or changed here: the words lead to the command that does it, with the
number in it. Only short texts that can hardly mean anything else are taken, and only from who
may send; what the FAQ is sure of goes to the FAQ.
"""

from __future__ import annotations

import re

from handlers import campaign_dialogue
from handlers.campaign_asked import last_seen
from handlers.campaign_words import status
from handlers.changes import waiting
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from knowledge import Band
from store.campaigns import Campaign

router = Router("operator.campaign.wish")

_MANY = (
    "(?:(?:所有|全部|全体|每个|各位)的?)?(?:成员|学员|会员|粉丝|用户|关注者|客户|群友)们?"
    "|大家|大伙|所有的?人|全部的?人|每个人|全员|全体|群里|同学们"
)
_THING = (
    "(?:[一几]?[条个张份篇下些]|点|些)?(?:群发)?"
    "(?:消息|信息|通知|公告|活动|内容|文章|图文|优惠券|券|推送|东西|话|预告|提醒|课程|新课)"
)
_I = "(?:请问)?(?:我们?|帮我|麻烦)?(?:想|要|想要|需要|得|能|能不能|可以|可不可以)?"
_HOW = "(?:怎么|如何|怎样|在哪里?|哪里)"
_END = "[吗呢啊呀吧了]?"

BEGIN = (
    rf"{_I}(?:新建|新增|创建|写|做|发|开始|来)?(?:一?[条个次])?(?:新的?)?群发(?:消息|活动|信息|通知)?{_END}"
    r"|[/]\s*群发(?:消息|活动)?"
)
"""群发, 新建群发, 我要群发: the first question follows."""
OFFER = (
    rf"{_I}{_HOW}(?:才能|可以|能)?(?:新建|创建|写|做|发|弄|设置|进行)?(?:一?[条个])?群发(?:消息|活动|信息)?{_END}"
    rf"|群发(?:消息|活动|功能)?(?:要|该)?{_HOW}(?:发|弄|做|用|写|操作|设置|建)?{_END}"
    rf"|{_I}(?:{_HOW})?(?:才能|可以|能)?(?:给|向|对|跟)(?:{_MANY})(?:群?发|推送|推)(?:{_THING})?{_END}"
    rf"|{_I}(?:{_HOW})?(?:才能|可以|能)?(?:群?发|推送)(?:{_THING})?给(?:{_MANY}){_END}"
    rf"|{_I}(?:{_HOW})?(?:才能|可以|能)?通知(?:{_MANY})(?:一下)?{_END}"
    rf"|{_I}(?:{_HOW})(?:才能|可以|能)?发(?:一?[条个])?(?:通知|公告|推送){_END}"
    r"|(?:我们?|帮我)?(?:想|要|想要|需要|得)发(?:一?[条个])?(?:通知|公告|推送)"
)
"""怎么群发, 给学员发优惠券, 我要发个通知: how it is done."""

_SEND = r"发吧?|发送|发出去?吧?|可以发了?|就这样发吧?|现在发|马上发|立即发|没问题发吧?"
_FINE = "没问题了?|就这样吧?"
_STOP = (
    r"停|停下来?|停止|暂停|先停一?下?|先?(?:别|不要|不)发了?|先?等等(?:再发)?|等一下再?发?"
    r"|取消发送|取消群发|停止发送|停止群发|撤回|撤销"
)
_DROP = r"取消吧?|不要了|算了吧?|放弃"
_TEXT = (
    r"(?:改|修改|换)(?:一?下)?(?:文字|内容|文案|说法|文本|正文|标题)|(?:换|改)个说法|改一?下|修改"
)
_TIME = (
    r"(?:改|修改|换|调)(?:一?下)?(?:个)?(?:发送)?时间|(?:改|换)到?(?:明天|今晚|后天|晚上)(?:再?发)?"
    r"|晚点再?发|推迟(?:一下)?|明天再发|定时(?:发送)?|什么时候发"
)
_AUDIENCE = r"(?:改|修改|换)(?:一?下)?(?:对象|人群|发送对象)|换(?:一?批|别的)人"
_WHO = r"(?:都|要|会)?发给(?:了)?(?:谁|哪些人|多少人)(?:了)?|(?:会)?发了?(?:给)?多少人了?"
_RESULT = (
    r"效果(?:怎么?样|如何|好吗|好不好)?了?|(?:发送)?(?:结果|情况|进展|进度)(?:怎么?样|如何)?"
    r"|发(?:出去|送|完|成功)?了?(?:吗|没有?|么)|多少人(?:看|点|收到|领)了?"
)
_WISHES = {
    name: re.compile(pattern)
    for name, pattern in (
        ("fine", _FINE),
        ("send", _SEND),
        ("stop", _STOP),
        ("drop", _DROP),
        ("text", _TEXT),
        ("time", _TIME),
        ("audience", _AUDIENCE),
        ("who", _WHO),
        ("result", _RESULT),
    )
}
_LONGEST = 16
"""Characters of a wish. What is longer says more than we would hear."""

_UNHURT = ("stop", "drop", "send", "fine")
"""Wishes that the FAQ is not asked about: something may be about to leave."""


def wish(text: str) -> str:
    """Which wish about a campaign a text is, "" for none. text: folded."""
    if len(text) > _LONGEST:
        return ""
    text = re.sub(r"[\s,，]", "", text)
    return next((name for name, pattern in _WISHES.items() if pattern.fullmatch(text)), "")


def _may_send(message: Message, ctx: Context) -> bool:
    return ctx.is_operator() and ctx.campaigns is not None


def _wishes(message: Message, ctx: Context) -> bool:
    return _may_send(message, ctx) and wish(folded(message.text)) != ""


def _in_the_faq(message: Message, ctx: Context) -> bool:
    return ctx.knowledge.ask(message.text, ctx.demoted).band is Band.SURE


@router.text(BEGIN, guard=_may_send)
async def begin(message: Message, ctx: Context) -> Reply | None:
    """群发: the dialogue begins; 能群发吗 hears how. None where the FAQ has an answer."""
    if asking(message.text) or folded(message.text).endswith(("吗", "呢")):
        return await offer(message, ctx)
    if _in_the_faq(message, ctx):
        return None
    ctx.handler = "operator.campaign.new"
    return await campaign_dialogue.begin(message, ctx)


@router.text(OFFER, guard=_may_send)
async def offer(message: Message, ctx: Context) -> Reply | None:
    """怎么群发: the command that does it. None where the FAQ has an answer."""
    if _in_the_faq(message, ctx):
        return None
    return Reply.text(ctx.texts("campaign_new.offer"))


@router.question(guard=_wishes)
async def after_a_look(message: Message, ctx: Context) -> Reply | None:
    """先别发, 改时间, 效果怎么样, so soon after a preview: what to type. None otherwise."""
    looked = await last_seen(ctx)
    if looked is None or looked.at + campaign_dialogue.OPEN_S <= ctx.at:
        return None
    one = await ctx.store.campaigns.get(looked.campaign)
    meant = wish(folded(message.text))
    if one is None or (meant not in _UNHURT and _in_the_faq(message, ctx)):
        return None
    if meant in ("fine", "send") and looked.code:
        code = {"campaign": one.id, "code": looked.code}
        return Reply.text(ctx.texts("campaign_new.confirm_code", **code))
    if meant == "fine":
        return None
    if meant == "drop":
        # 取消 of a draft loses nothing, and may mean what was asked; of what was confirmed it
        # would be heard as a promise.
        if one.status == "draft" or one.ended or await waiting(ctx, message.key) is not None:
            return None
        meant = "stop"
    return Reply.text(_told(ctx, meant, one))


def _told(ctx: Context, meant: str, one: Campaign) -> str:
    """What to type for it, as far as the campaign is."""
    texts, number = ctx.texts, one.id
    draft = one.status == "draft"
    said = {"campaign": number, "status": status(texts, one)}
    if meant == "stop":
        if draft:
            return texts("campaign_new.after_stop_draft", campaign=number)
        if one.ended:
            return texts("campaign_new.after_stop_ended", **said)
        if one.status in ("paused", "late"):
            return texts("campaign_new.after_stop_paused", **said)
        return texts("campaign_new.after_stop_confirmed", **said)
    if meant in ("text", "time", "audience") and not one.editable:
        if one.ended:
            return texts("campaign_new.after_fixed_ended", **said)
        return texts("campaign_new.after_fixed", **said)
    if meant == "text":
        return texts("campaign_new.after_text", campaign=number)
    if meant == "time":
        return texts("campaign_new.after_time", campaign=number)
    if meant == "audience":
        return texts("campaign_new.after_audience", campaign=number)
    if not draft:
        key = "send_confirmed" if meant == "send" else "report"
        return texts(f"campaign_new.after_{key}", **said)
    if meant == "send":
        return texts("campaign_new.after_send_draft", campaign=number)
    if meant == "who":
        return texts("campaign_new.after_who_draft", campaign=number)
    return texts("campaign_new.after_result_draft", campaign=number)
