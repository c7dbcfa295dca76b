"""别记录我: what somebody says in groups is not written down any more, and what was is removed.

They can still talk to the bot; order is kept with them as with everybody.
"""

from __future__ import annotations

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking

router = Router("recording")


@router.text(
    "(?:请)?(?:别|不要|不许|停止)(?:再)?记录我(?:了|的话|的发言)?|不被记录",
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


@router.text("恢复记录|(?:请)?(?:可以|继续|重新)记录我(?:了)?", name="recording.on", where="both")
async def resume(message: Message, ctx: Context) -> Reply:
    """Write down what they say from now on; what was removed does not come back."""
    if asking(message.text):
        return Reply.text(ctx.texts("recording.about"))
    await ctx.store.talk.opt(ctx.member.id, recorded=True)
    return Reply.text(ctx.texts("recording.on"))
