"""What the bot cannot finish alone: a human takes over, or the rest of an answer is fetched."""

from __future__ import annotations

from handlers.context import Context
from handlers.message import Message, Reply, reply_from_json
from handlers.router import Router

human = Router("human")
rest = Router("rest")

_ONE_MESSAGE = 2048
"""Bytes of UTF-8 that WeChat shows as one text."""

_WISHES = (
    r"(?:请|麻烦)?(?:你|您)?(?:我(?:想|要|想要|需要)|帮我|给我|能不能|可以|有没有|有)?\s*"
    r"(?:转接?|找|叫|要|联系|接)?\s*(?:一下|下|个)?\s*"
    r"(?:人工|真人)?(?:客服|服务|人工|真人)(?:人员)?[\s,，]*(?:谢谢|吧|啊|呢|吗|在吗)?"
)
"""我要转人工, 转 人工, 转人工谢谢; 人工智能 is something else."""


@human.text("转人工|人工|人工客服|客服|真人|转客服|找人工|联系客服")
@human.text(_WISHES)
async def hand_over(message: Message, ctx: Context) -> Reply:
    """Hand the member to WeChat's customer service, or say when people answer."""
    if ctx.can_transfer:
        return Reply.transfer()
    if ctx.business.human_hours:
        return Reply.text(ctx.texts("human.offline_hours", hours=ctx.business.human_hours))
    return Reply.text(ctx.texts("human.offline"))


@rest.text("继续|接着说|下文")
async def more(message: Message, ctx: Context) -> Reply:
    """The oldest part of an answer that still waits; this message always gets the same one.

    Errors: ValueError when the stored part is damaged.
    """
    found = await ctx.store.sends.fetch(
        message.channel, message.sender, bytes.fromhex(message.key), ctx.at
    )
    if found is None:
        return Reply.text(ctx.texts("late.nothing"))
    stored, left = found
    reply = reply_from_json(stored)
    if left and reply.kind == "text":
        text = f"{reply.content}\n{ctx.texts('late.more')}"
        # A full part keeps to itself: one line more would split it again, for ever.
        if len(text.encode("utf-8", "replace")) <= _ONE_MESSAGE:
            return Reply.text(text)
    return reply
