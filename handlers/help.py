"""What one can do here, and good manners: fixed sentences that cost no look-up at all."""

from __future__ import annotations

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router

router = Router("help")


_AFTER_A_NOD = r"(?:(?:好的?|嗯+|行|ok|知道了|明白了|收到)[\s,，。]*)?"
_OF_WHOM = "(?:您|你们?|老师|大家|客服|亲|啦|了|啊|呀|哈|哦)*"


@router.text("帮助|help|菜单|功能|使用说明|怎么用", where="both")
@router.text(
    "(?:你|您|你们)(?:都|还)?(?:会|能|可以)(?:帮我)?(?:做|干)?(?:些|点)?(?:什么|啥|嘛|哪些事?)",
    where="both",
)
@router.text("(?:你|这里?)?(?:都)?有(?:什么|哪些)(?:功能|用处?)", where="both")
async def show(message: Message, ctx: Context) -> Reply:
    """Everything a member can do, in one text: nothing that is not on here."""
    if message.talk is not None:
        return Reply.text(ctx.texts("group.help"))
    lines = [ctx.texts("help.member")]
    if ctx.rewards.referral.enabled and ctx.invitations is not None:
        lines.append(ctx.texts("help.referral"))
    if ctx.rewards.membership.tiers:
        lines.append(ctx.texts("help.membership"))
    return Reply.text("\n".join(lines))


@router.text(
    "你好|您好|你好啊|你好呀|hi|hello|嗨|哈喽|在吗|在么|有人吗"
    "|早|早安|早上好|上午好|中午好|下午好|晚上好|晚安",
    name="greeting",
    where="both",
)
@router.text(
    "(?:(?:你|您|老师|大家|各位|同学们|你们|客服)好|hi|hello|嗨|哈喽|早上好|下午好|晚上好)[啊呀哦哈]?"
    r"[\s,，。!~]*(?:老师|大家|客服|在吗|在么|在嘛|在不在|有人(?:在)?吗|请问|请问在吗)?",
    name="greeting",
    where="both",
)
@router.text(
    "(?:老师|客服|请问|你|您|人)?(?:在吗|在么|在嘛|在不在|有人(?:在)?吗|人呢)",
    name="greeting",
    where="both",
)
async def greet(message: Message, ctx: Context) -> Reply:
    """A greeting is no question, and no gap in what we know."""
    if message.talk is not None:
        return Reply.text(ctx.texts("group.greeting"))
    return Reply.text(ctx.texts("help.greeting"))


@router.text(
    "(?:祝?(?:你|您|大家|老师)?)?(?:新年|元旦|春节|元宵节?|劳动节|端午节?|中秋节?|国庆节?|教师节"
    "|圣诞节?|节日|周末|生日)快乐|新年好|过年好|恭喜发财",
    name="wish",
    where="both",
)
async def wish(message: Message, ctx: Context) -> Reply:
    """Good wishes get some back."""
    return Reply.text(ctx.texts("help.wish"))


@router.text("谢谢|谢谢你|谢谢您|多谢|感谢|thanks|thank you", name="thanks", where="both")
@router.text(
    rf"{_AFTER_A_NOD}(?:(?:非常|十分|太|好|万分|真)?(?:多谢|谢谢|感谢|谢){_OF_WHOM}"
    rf"|(?:老师|你们?|您)?辛苦{_OF_WHOM}|thx|3q)(?:的?(?:回复|回答|解答|帮助|帮忙))?",
    name="thanks",
    where="both",
)
async def welcome(message: Message, ctx: Context) -> Reply:
    """Neither is a thank-you."""
    return Reply.text(ctx.texts("help.thanks"))


@router.text("好的|ok|嗯|嗯嗯|知道了", name="ok", where="both")
@router.text(
    "(?:好|好[吧滴嘞哒呀啊]|好的[吧呢]?|好的?好的|行|行[吧啊]|可以的?|收到|了解了?|明白了?|懂了"
    "|知道[了啦]|[哦噢喔嗯]+|ok(?:ay|了|的)?|没事了?|没问题|不用了|没有了)[啦哈]?",
    name="ok",
    where="both",
)
async def nod(message: Message, ctx: Context) -> Reply:
    """Nor is a nod; and nobody who nods has thanked us."""
    return Reply.text(ctx.texts("help.ok"))


@router.text("哈哈+|嘿嘿+|呵呵+|嘻嘻+|(?:ha){2,}h?|233+", name="laughter", where="both")
async def laugh(message: Message, ctx: Context) -> Reply:
    """Nor is laughter."""
    return Reply.text(ctx.texts("help.laughter"))


@router.text("拜拜|再见|88", name="goodbye", where="both")
@router.text(
    "(?:再见|拜拜?|回见|回头见|下次见|明天见)[啦了哦咯吧]?|bye(?:bye)?|先这样[吧了]?",
    name="goodbye",
    where="both",
)
async def part(message: Message, ctx: Context) -> Reply:
    """See you; also the number that sounds like it."""
    return Reply.text(ctx.texts("help.goodbye"))


@router.text(
    r"你(?:到底)?是(?:不是)?(?:机器人|真人|人工智能|ai|人)吗?|你是谁[啊呀]?|你叫什么(?:名字)?",
    name="who",
    where="both",
)
async def introduce(message: Message, ctx: Context) -> Reply:
    """Honest about being a program, whatever the FAQ holds."""
    if message.talk is not None:
        return Reply.text(ctx.texts("group.who", business=ctx.business.name))
    return Reply.text(ctx.texts("help.who", business=ctx.business.name))


@router.text(
    "(?:请?你?)(?:闭嘴|住口|别说话|不要说话|别说了|别吵|安静(?:一?点|一?下)?|走开|滚|滚开|出去|消失)"
    "(?:吧|了|啦|好吗|行吗|呀|啊)*",
    name="hush",
    where="group",
)
async def hush(message: Message, ctx: Context) -> Reply:
    """Who wants the bot to be quiet has asked nothing; operators can have that for an hour."""
    return Reply.text(ctx.texts("group.hush_operator" if ctx.is_operator() else "group.hush"))
