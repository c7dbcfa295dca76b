"""What one can do here, and good manners: fixed sentences that cost no look-up at all."""

from __future__ import annotations

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router

router = Router("help")


@router.text("帮助|help|菜单|功能|使用说明|怎么用")
async def show(message: Message, ctx: Context) -> Reply:
    """Everything a member can do, in one text."""
    return Reply.text(ctx.texts("help.member"))


@router.text(
    "你好|您好|你好啊|你好呀|hi|hello|嗨|哈喽|在吗|在么|有人吗"
    "|早|早上好|上午好|中午好|下午好|晚上好|晚安",
    name="greeting",
)
async def greet(message: Message, ctx: Context) -> Reply:
    """A greeting is no question, and no gap in what we know."""
    return Reply.text(ctx.texts("help.greeting"))


@router.text("谢谢|谢谢你|谢谢您|多谢|感谢|thanks|thank you", name="thanks")
async def welcome(message: Message, ctx: Context) -> Reply:
    """Neither is a thank-you."""
    return Reply.text(ctx.texts("help.thanks"))


@router.text("好的|ok|嗯|嗯嗯|知道了", name="ok")
async def nod(message: Message, ctx: Context) -> Reply:
    """Nor is a nod; and nobody who nods has thanked us."""
    return Reply.text(ctx.texts("help.ok"))


@router.text("拜拜|再见|88", name="goodbye")
async def part(message: Message, ctx: Context) -> Reply:
    """See you; also the number that sounds like it."""
    return Reply.text(ctx.texts("help.goodbye"))


@router.text(r"你是(?:机器人吗|谁|真人吗)[?？]?", name="who")
async def introduce(message: Message, ctx: Context) -> Reply:
    """Honest about being a program, whatever the FAQ holds."""
    return Reply.text(ctx.texts("help.who", business=ctx.business.name))
