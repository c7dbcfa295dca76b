"""/report publish: a few figures of a group, with noise, into the group itself.

Shown first what kind of post it will be, not its numbers: to look at them would spend the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handlers import changes, group_asked
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.weekly_text import unpublished


async def ask(message: Message, ctx: Context, of: str) -> Reply:
    """Have it confirmed which group hears what."""
    if (refused := changes.read_only(ctx)) is not None:
        return refused
    ctx.handler = "operator.report.publish"
    if ctx.insights is None:
        return Reply.text(ctx.texts("report.publish_off"))
    if not of:
        return Reply.text(ctx.texts("report.publish_which"))
    group = group_asked.find(ctx, of)
    if isinstance(group, Reply):
        return group
    title = group_asked.shown(ctx, group)
    if not group.bound or not group_asked.can_post(ctx, group):
        return Reply.text(ctx.texts("report.publish_cannot", group=title))
    question = ctx.texts("report.publish_ask", group=title)
    return await changes.ask(ctx, "report.publish", {"place": group.place}, question)


@changes.executes("report.publish")
async def _publish(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    group = ctx.store.groups.known(args["place"])
    if group is None or ctx.insights is None:
        return Reply.text(ctx.texts("report.publish_off"))
    done = await ctx.insights.publish(group, f"member:{ctx.member.id}")
    title = group_asked.shown(ctx, group)
    if not done.words:
        return Reply.text(unpublished(ctx.texts, title, group.id, done.why, done.spent))
    await changes.audited(message, ctx, "report.publish", f"group:{group.id}")
    return Reply.text(ctx.texts("report.publish_posted", group=title, words=done.words))
