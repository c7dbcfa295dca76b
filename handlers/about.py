"""How coupons, points, check-in, invitations, rankings, quizzes and membership work.

Asked by everybody, and known without an operator: one short sentence each, built from the rules
and from what is on. An entry of the FAQ with these very words goes first, and so does a sure one
that speaks of the same thing; one that is merely alike would tell how long courses are good.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from handlers import membership
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from knowledge import Band
from store.optouts import EVERYTHING

router = Router("about")

Tell = Callable[[Message, Context], Awaitable[Reply | None]]

_BEFORE = (
    r"(?:(?:请问|想问|请教|问|一?下|你好|您好|老师|那么?|我?想?知道|大家|麻烦)[\s,，]*)*"
    r"(?:(?:你们?|咱们?|我们?|这里?|领到|得到)的?)?"
)
_AFTER = r"(?:的|啊|呀|呢|吗|嘛|么|吧|哦|了)*"
_HOW = "(?:要|该|应该|得)?(?:怎么|如何|咋|怎样)(?:才)?(?:能|可以)?"
_WHERE = "(?:都?[在到去从]?(?:哪里?|哪儿|什么地方)|怎么|如何|咋|怎样)(?:才)?(?:能|可以)?"
_GOOD = "(?:都?有(?:什么|啥|哪些)?|是)?(?:什么|啥)?(?:用处?|好处|作用|意义)"
_ENDS = (
    "(?:会不会|会|什么时候|啥时候|多久|几时|哪天)?(?:就|要)?(?:过期|到期|失效|清零|作废|没有?了)"
    "|(?:的?有效期|期限)(?:有|是)?(?:多久|多长|几天|几个月)?(?:时间)?"
)
_T = "(?:(?:优惠|代金|折扣)?[券劵]码?|优惠卷|优惠码|兑换码)"
_P = "(?:会员|社区|我的)?积分"
_GET = "(?:得到?|获得|获取|赚|攒|拿到?|来|领取?|收集|积累|增加|有)"
_FRIENDS = "(?:好友|朋友|别人|同学|新人|人)"
_Q = "(?:知识)?(?:竞赛|答题|比赛)"

_SUBJECTS: dict[str, tuple[str, str]] = {
    "coupon_get": (
        "券",
        rf"{_T}{_WHERE}(?:领取?|拿到?|得到?|获得)|{_WHERE}(?:领取?|拿到?|得到?|获得)(?:一?张)?{_T}"
        rf"|(?:为什么|为啥|怎么)?(?:我|老是|一直)?领(?:取)?不(?:了|到){_T}"
        rf"|(?:为什么|为啥|怎么)?(?:我的?)?{_T}(?:为什么|怎么|老是|一直)?领(?:取)?不(?:了|到)"
        rf"|(?:没有?|未)领到{_T}|领{_T}[\s,，]*(?:不行|失败|没反应|不了)|{_T}领取(?:方式|规则|条件)",
    ),
    "coupon_use": (
        "券",
        rf"{_T}(?:填|写|用|输)(?:写|入)?{_WHERE}|{_T}{_WHERE}(?:使?用|填写?|输入?|兑换?|花|抵扣?|看|查|找)?"
        rf"|{_WHERE}(?:使?用|填写?|输入?|看|查){_T}|{_T}(?:是)?(?:什么|啥)(?:意思)?"
        rf"|{_T}{_GOOD}|{_T}(?:{_ENDS})|领{_T}\s*{_WHERE}(?:使?用)|{_T}使用(?:方法|方式|说明|规则|条件)"
        rf"|(?:为什么|为啥|怎么)?(?:我的?)?{_T}(?:为什么|怎么)?(?:用不了|不能用|使不了|无效)"
        rf"|{_T}(?:能不能|可不可以|可以|能)(?:叠加|一起用|同时用|一起使用)(?:使用)?"
        rf"|领?{_T}\s*(?:都?有)?(?:什么|啥)?(?:使用)?(?:条件|门槛|限制|要求)(?:有哪些)?",
    ),
    "coupon_other": (
        "券",
        rf"{_T}(?:能不能|可不可以|可以|能)?(?:退|退款|退钱|退掉|转赠|转让|送人|送给(?:别人|朋友)"
        "|给(?:别人|朋友)用?|换钱|折现|提现|延期)",
    ),
    "points_get": (
        "积分",
        rf"{_P}{_WHERE}{_GET}|{_WHERE}{_GET}(?:更多|点)?{_P}|{_P}(?:规则|获取方式|怎么算|怎么计算)"
        rf"|{_P}是?(?:怎么|如何)(?:算|计算|来)|{_P}是(?:什么|啥)(?:意思)?",
    ),
    "points_use": (
        "积分",
        rf"{_P}(?:都?(?:能|可以|用来|拿来|可))?(?:干嘛|干什么|干啥|做什么|做啥)|{_P}{_GOOD}"
        rf"|{_P}{_WHERE}(?:使?用|花|消费|兑换|换|抵扣?)(?:东西|券|钱)?|{_WHERE}(?:使?用|花|兑换){_P}"
        rf"|{_P}(?:都?(?:能|可以|能不能|可不可以))(?:兑?换|抵)(?:什么|啥|钱|东西|现金|券|课程?|哪些东西)?"
        rf"|{_P}(?:能不能|可不可以|能|可以)(?:提现|转让|转给(?:别人|朋友)|送人)",
    ),
    "points_end": ("积分", rf"{_P}(?:{_ENDS})"),
    "makeup": (
        "签",
        rf"补签卡?{_WHERE}{_GET}|{_WHERE}{_GET}补签卡|补签卡?{_WHERE}(?:使?用)?|{_HOW}(?:用)?补签卡?"
        rf"|补签卡?{_GOOD}|补签卡?(?:是)?(?:什么|啥)|(?:昨天|前天)?(?:忘了?|忘记|漏|断)(?:记?了)?签到?(?:了|怎么办)+"
        "|签到(?:断了|中断了?|忘了|漏了)(?:怎么办)?",
    ),
    "checkin": (
        "签到",
        rf"(?:每天|每日|天天|连续)?(?:签到|打卡)(?:{_GOOD}|(?:都?(?:会|能|可以))?(?:送|给|得|有|拿)(?:到)?"
        "(?:什么|啥|多少|几)(?:个|点)?(?:积分|奖励|分|礼物|东西)?|有(?:没有)?(?:奖励|积分|礼物)|奖励(?:是什么|有什么)?"
        "|(?:一天|一次|每次)?(?:多少|几)(?:积)?分|规则(?:是什么)?|怎么(?:弄|玩|算|操作)?)"
        rf"|{_WHERE}(?:签到|打卡)|签到{_WHERE}(?:签|打卡)?",
    ),
    "invite": (
        "邀请",
        rf"{_WHERE}邀请{_FRIENDS}?|邀请{_FRIENDS}?(?:都?有(?:什么|啥|没有)?|送什么|得什么|给什么|能得什么|能有什么)?"
        rf"(?:奖励|好处|用|积分|礼物)+|邀请{_FRIENDS}?(?:送|得|给|能得)(?:什么|啥|多少(?:积?分)?)"
        rf"|邀请{_FRIENDS}?{_WHERE}(?:玩|算|弄|做|操作|邀请)?|邀请(?:码|链接|图|海报)(?:{_WHERE}(?:使?用|{_GET}|弄|找|看)?|是(?:什么|多少))"
        rf"|{_WHERE}{_GET}邀请(?:码|链接|图)|邀请(?:规则|奖励)(?:是什么)?|我的邀请码|邀请链接",
    ),
    "ranking": (
        "排行",
        r"(?:积分)?排行榜?(?:是|都)?(?:怎么|如何|按什么|看什么|根据什么)(?:算|排|计算|来|看|玩|统计|弄)?(?:出来)?"
        "|(?:积分)?排行榜?(?:是)?(?:什么时候|啥时候|多久|几点|哪天|每天|每周)(?:会)?(?:更新|刷新|结算|重新算|清零|重置)?(?:一次)?"
        rf"|(?:积分)?排行榜?(?:{_GOOD}|(?:都?有(?:什么|没有)?)(?:奖励|奖品|奖)|规则(?:是什么)?)|{_HOW}上(?:排行)?榜",
    ),
    "quiz": (
        "竞赛",
        rf"{_Q}(?:活动)?(?:{_WHERE}(?:玩|参加|参与|答题?|报名|进|开始|算分|计分|得分|赢|弄)?|规则(?:是什么)?|{_GOOD}"
        "|(?:都?有(?:什么|没有)?|送什么|给什么)(?:奖励|奖品|奖)*|什么时候(?:开始|有|结束)?)"
        rf"|{_WHERE}(?:参加|参与|玩|进行?|报名){_Q}|(?:最近|现在|今天)?有(?:没有|什么)?{_Q}(?:活动)?(?:可以参加)?",
    ),
    "opt_out": (
        "退订",
        "(?:我)?(?:要|该|想)?(?:怎么|如何|咋|怎样|能|可以|可不可以|能不能)(?:才)?(?:能|可以)?(?:取消)?"
        "(?:退订|取消(?:订阅|推送|群发)|不(?:再)?收(?:到)?(?:群发|推送|广告)|关(?:闭|掉)(?:推送|群发))"
        "|(?:我)?(?:要|想|怎么|如何)?(?:取消|不再)关注(?:了|你们?|吧)?"
        "|我(?:已经|是不是)?退订(?:成功)?了?|退订(?:了)?(?:之?后)?(?:会怎(?:么)?样|还能收到回答|有什么影响)",
    ),
    "leave_group": (
        "退",
        "(?:我)?(?:要|想|该|可以|能|能不能)?(?:怎么|如何|咋|怎样|在?哪里?)?(?:才能|可以|能)?(?:退出?|离开)(?:掉|了)?"
        "(?:这个|本|咱们|你们|学习|微信)*群聊?(?:怎么|如何|在?哪里?|咋)?(?:退出?|弄|操作|离开)?(?:了)?",
    ),
    "member": (
        "会员",
        rf"(?:会员|vip)(?:{_GOOD}|(?:都?有(?:什么|哪些)?)?(?:权益|特权|福利|内容)(?:有哪些|是什么)?|是(?:什么|啥)"
        rf"|(?:都?(?:能|可以))(?:干嘛|干什么|做什么|看什么|学什么)|{_WHERE}(?:开通?|买|购买|办理?|续费?|成为|加入)"
        rf"|(?:{_ENDS})|到期时间)|{_WHERE}(?:开通?|购?买|办理?|续费?|成为|加入|当)(?:会员|vip)"
        "|(?:会员|vip|续费|续会员|开会员|开vip|买会员|办会员)",
    ),
}
"""Subject -> (the word that an entry of the FAQ on it has, what asks about it)."""

_ABOUT = {
    name: (word, re.compile(f"{_BEFORE}(?:{asked}){_AFTER}"))
    for name, (word, asked) in _SUBJECTS.items()
}
_ANY = (
    "(?:[券劵签榜]|优惠[卷码]|兑换码|积分|打卡|邀请|排行|竞赛|答题|比赛|会员|vip|续费"
    "|退订|订阅|取消关注|推送|群发|广告|(?:退|离开).{0,6}群)"
)
_LONGEST = 30


PERSONAL = frozenset({"opt_out", "member"})
"""Subjects whose answer tells how it stands with who asks."""


def subject_of(text: str) -> str:
    """What a question is about, as in the texts under [about]; "" for anything else."""
    text = "".join(folded(text).split())
    return next((name for name, (_, asked) in _ABOUT.items() if asked.fullmatch(text)), "")


def _public(message: Message, ctx: Context) -> bool:
    """Whether it may be told where it was asked: what is about oneself is no group's business."""
    return message.talk is None or subject_of(message.text) not in PERSONAL


@router.text(rf"(?=.{{0,{_LONGEST}}}{_ANY}).{{2,{_LONGEST}}}", guard=_public, where="both")
async def explain(message: Message, ctx: Context) -> Reply | None:
    """优惠券怎么用, 积分会过期吗, 怎么邀请好友: how it works here, from the rules.

    None for every other question, and where the FAQ knows better.
    """
    subject = subject_of(message.text)
    if not subject or _faq_knows(ctx, message.text, _ABOUT[subject][0]):
        return None
    if subject == "member" and not ctx.rewards.membership.tiers and not ctx.tier:
        return Reply.text(ctx.texts("membership.off")) if "会员" in message.text else None
    ctx.handler = f"about.{subject}"
    return await _TELLS[subject](message, ctx)


def _faq_knows(ctx: Context, text: str, word: str) -> bool:
    """Whether the FAQ has these words, or is sure of an entry on the same subject."""
    decision = ctx.knowledge.ask(text, ctx.demoted)
    wording = ctx.knowledge.clean(text)
    if any(ctx.knowledge.clean(hit.question) == wording for hit in decision.hits):
        return True
    return decision.band is Band.SURE and word in decision.hits[0].question


async def _coupon_get(message: Message, ctx: Context) -> Reply:
    return Reply.text(ctx.texts("about.coupon_get"))


async def _coupon_use(message: Message, ctx: Context) -> Reply:
    return Reply.text(ctx.texts("about.coupon_use"))


async def _coupon_other(message: Message, ctx: Context) -> Reply:
    return Reply.text(ctx.texts("about.coupon_other"))


async def _points_get(message: Message, ctx: Context) -> Reply:
    """Only the ways that earn something here."""
    texts, points, referral = ctx.texts, ctx.rewards.points, ctx.rewards.referral
    ways = []
    if points.checkin_first:
        ways.append(texts("about.way_checkin"))
    if points.per_yuan:
        ways.append(texts("about.way_purchase", points=points.per_yuan))
    if referral.points and _rewarded(message, ctx):
        ways.append(texts("about.way_referral", points=referral.points))
    ways.append(texts("about.way_quiz"))
    return Reply.text(texts("about.points_get", ways="；".join(ways)))


async def _points_use(message: Message, ctx: Context) -> Reply:
    return Reply.text(ctx.texts("about.points_use"))


async def _points_end(message: Message, ctx: Context) -> Reply:
    months = ctx.rewards.points.expire_months
    if not months:
        return Reply.text(ctx.texts("about.points_never_end"))
    return Reply.text(ctx.texts("about.points_end", months=months))


async def _makeup(message: Message, ctx: Context) -> Reply:
    rules = ctx.rewards.points
    if not rules.card_every or not rules.cards_most:
        return Reply.text(ctx.texts("about.makeup_off"))
    return Reply.text(
        ctx.texts(
            "about.makeup", every=rules.card_every, most=rules.cards_most, days=rules.makeup_days
        )
    )


async def _checkin(message: Message, ctx: Context) -> Reply:
    rules, texts = ctx.rewards.points, ctx.texts
    first, most = rules.for_day(1), max(rules.checkin_first, rules.checkin_most)
    said = texts("about.checkin_plain")
    if most > 0:
        said = texts("about.checkin", first=first, most=most)
    if first == most > 0:
        said = texts("about.checkin_same", points=first)
    if rules.card_every and rules.cards_most:
        said += texts("about.checkin_card", every=rules.card_every)
    return Reply.text(said)


def _rewarded(message: Message, ctx: Context) -> bool:
    """Whether who invites gets something for it on this account."""
    if not ctx.rewards.referral.enabled or ctx.invitations is None:
        return False
    return ctx.invitations.rewarded(message.channel)


async def _invite(message: Message, ctx: Context) -> Reply:
    texts, rules = ctx.texts, ctx.rewards.referral
    if not rules.enabled:
        return Reply.text(texts("referral.off"))
    if ctx.invitations is None:
        return Reply.text(texts("referral.no_way"))
    lines = [texts("about.invite")]
    if _rewarded(message, ctx):
        if rules.points:
            lines.append(texts("referral.worth_points", points=rules.points))
    else:
        lines.append(texts("about.invite_counted"))
    return Reply.text("".join(lines))


async def _ranking(message: Message, ctx: Context) -> Reply:
    return Reply.text(ctx.texts("about.ranking"))


async def _quiz(message: Message, ctx: Context) -> Reply:
    on = await ctx.store.quizzes.on(ctx.at)
    now = ctx.texts("about.quiz_on" if on else "about.quiz_off")
    return Reply.text(now + ctx.texts("about.quiz"))


async def _leave_group(message: Message, ctx: Context) -> Reply:
    return Reply.text(ctx.texts("about.leave_group"))


async def _opt_out(message: Message, ctx: Context) -> Reply:
    left = await ctx.store.optouts.of(ctx.member.id)
    said = ctx.texts("about.opt_out_done" if EVERYTHING in left else "about.opt_out")
    return Reply.text(said)


async def _member(message: Message, ctx: Context) -> Reply | None:
    ctx.handler = "membership.mine"
    return await membership.mine(message, ctx)


_TELLS: dict[str, Tell] = {
    "coupon_get": _coupon_get,
    "coupon_use": _coupon_use,
    "coupon_other": _coupon_other,
    "points_get": _points_get,
    "points_use": _points_use,
    "points_end": _points_end,
    "makeup": _makeup,
    "checkin": _checkin,
    "invite": _invite,
    "ranking": _ranking,
    "quiz": _quiz,
    "leave_group": _leave_group,
    "opt_out": _opt_out,
    "member": _member,
}
