"""别记录我: what somebody says in groups is not written down any more, and what was is removed.

They can still talk to the bot; order is kept with them as with everybody.
"""

from __future__ import annotations

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking

router = Router("recording")


_WHAT = (
    "(?:在群里)?(?:的|说的?|发的?|讲的?|聊的?)?(?:每句)?(?:话|发言|消息|聊天|内容|东西)?(?:了|吧)?"
)


@router.text(
    f"(?:请)?你?(?:别|不要|不许|停止|不用|不准)(?:再)?(?:记录|记下|记)我{_WHAT}"
    "|我?不(?:想|要|愿意?)?(?:再)?被(?:你)?(?:记录|记下来?)了?",
    name="recording.off",
    where="both",
)
async def stop(message: Message, ctx: Context) -> Reply:
    """Remove what groups know of this member, and write nothing more.

    别记录我？ is a question: it hears what would happen.
    """
    if asking(message.text):
        return Reply.text(ctx.texts("recording.about"))
    await ctx.store.talk.opt(ctx.member.id, recorded=False)
    return Reply.text(ctx.texts("recording.off"))


@router.text(
    f"(?:请)?恢复记录(?:我{_WHAT}|了|吧)?|(?:请)?你?(?:可以|继续|重新|恢复)记录我{_WHAT}",
    name="recording.on",
    where="both",
)
async def resume(message: Message, ctx: Context) -> Reply:
    """Write down what they say from now on; what was removed does not come back."""
    if asking(message.text):
        return Reply.text(ctx.texts("recording.about"))
    await ctx.store.talk.opt(ctx.member.id, recorded=True)
    return Reply.text(ctx.texts("recording.on"))


@router.text(
    "(?:你|你们|机器人|群里|这里)?(?:会不会|会|有没有|是不是|是否|在|是在|能不能|能)"
    "(?:会|在)?(?:记录|记下|保存)(?:(?:我们?|大家|群里)(?:在群里)?"
    "(?:的|说的?|发的?|聊的?|讲的?)?(?:每句)?(?:话|发言|消息|聊天|内容|东西)?"
    "|聊天(?:内容|记录)?|群聊|发言|群消息)(?:吗|么|呢)?"
    "|你(?:会|都|在)?(?:记录|保存)了?(?:我们?|大家|群里)?(?:的|说的?)?(?:哪些|什么)(?:话|东西|内容)?",
    name="recording.about",
    where="both",
)
async def about(message: Message, ctx: Context) -> Reply:
    """What is written down, and how to end it; changes nothing."""
    return Reply.text(ctx.texts("recording.about"))
