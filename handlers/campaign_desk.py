"""/campaign: what goes out to many is written, previewed, confirmed, paused, ended and judged.

Nothing goes out that was not previewed: the preview ends with four signs that confirm exactly
what it showed. Analysts may look; a change, a confirmation and an end are for operators.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from handlers import campaign_dialogue, campaign_outcome, campaign_sending, campaign_words
from handlers.campaign_asked import (
    desk,
    empty,
    line,
    looked,
    made,
    no_campaign,
    number_of,
    refused,
    unreadable,
    which,
    who,
)
from handlers.campaign_places import Called
from handlers.campaign_text import BadForm, amend, label_of, read, timed
from handlers.campaign_when import BadTime
from handlers.campaign_words import findings, note, status
from handlers.campaign_written import changes, write, write_terms, write_version
from handlers.campaigning import Answer, Said
from handlers.changes import number_from, read_only, short
from handlers.context import Context
from handlers.group_asked import named
from handlers.message import Message, Reply
from handlers.router import folded
from store.campaigns import STATUSES, Campaign, NewCampaign

PAGE = 10
"""Campaigns in one list."""
_ONE_MESSAGE = 1800
"""Bytes of a written form beside which its heading has room, too."""

Run = Callable[[Message, Context, str], Awaitable[Reply]]


async def campaign(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign new|edit|preview|…; alone, how each is used."""
    found = re.match(r"([^\s0-9０-９#＃]*)(.*)", rest.strip(), re.DOTALL)
    assert found is not None
    typed = unicodedata.normalize("NFKC", found[1]).lower()
    name = _ALIASES.get(typed, typed)
    run = _COMMANDS.get(name)
    if run is None and name in _HELP:
        name = ""
    if run is None:
        near = difflib.get_close_matches(name, [*_COMMANDS, *_ALIASES], n=1, cutoff=0.5)
        if name and near:
            return Reply.text(ctx.texts("campaign.meant", command=near[0]))
        key = "campaign.usage" if ctx.is_operator() else "campaign.usage_analyst"
        return Reply.text(ctx.texts(key))
    if name not in FOR_ANALYSTS and (closed := read_only(ctx)) is not None:
        return closed
    if ctx.campaigns is None:
        return Reply.text(ctx.texts("campaign.off"))
    ctx.handler = f"operator.campaign.{name}"
    return await run(message, ctx, found[2].strip())


# Making and changing

_ASKS_FOR_FORM = ("form", "格式", "写法", "怎么写", "例子", "示例", "帮助", "help", "?")


async def _new(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign new and a form, or the guided dialogue without one."""
    if not rest:
        return await campaign_dialogue.begin(message, ctx)
    if folded(rest) in _ASKS_FOR_FORM:
        return Reply.text(ctx.texts("campaign.form"))
    if "\n" not in rest and label_of(rest) is None:
        return await campaign_dialogue.begin(message, ctx, " ".join(rest.split()))
    try:
        new = read(rest, ctx.now, empty(ctx), _called(ctx))
    except BadForm as bad:
        return Reply.text(campaign_words.faults(ctx.texts, bad))
    return await made(message, ctx, new)


async def _edit(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign edit N, what changes: 时间 明天 9:00, or lines of the form. Alone: its form."""
    number, text = number_of(rest)
    if number is None:
        return await which(ctx, "edit")
    one = await ctx.store.campaigns.get(number)
    if one is None:
        return no_campaign(ctx, number)
    if not one.editable:
        return refused(ctx, Answer(Said.WRONG_STATUS, one), "edit")
    if not text:
        form = _written(ctx, one)
        return Reply.text(ctx.texts("campaign.edit_form", campaign=number, form=form))
    try:
        new = amend(text, ctx.now, one.new, _called(ctx))
    except BadForm as bad:
        return Reply.text(campaign_words.faults(ctx.texts, bad))
    return await _changed(message, ctx, one, new)


async def _changed(message: Message, ctx: Context, one: Campaign, new: NewCampaign) -> Reply:
    try:
        answer = await desk(ctx).edit(one.id, new, who(message, ctx))
    except ValueError as bad:
        return Reply.text(unreadable(ctx, bad, new))
    if answer.said not in (Said.DONE, Said.AGAIN):
        return refused(ctx, answer, "edit", one.id)
    return await _after(message, ctx, one, answer.campaign or new)


async def _after(message: Message, ctx: Context, was: Campaign, new: NewCampaign) -> Reply:
    """What was changed, that it wants a new confirmation, and the preview."""
    texts, reply = ctx.texts, await looked(message, ctx, was.id)
    told = [short(one) for one in changes(was, new, _called(ctx))]
    lines = [texts("campaign.changed", changes="；".join(told))] if told else []
    if told and (was.confirmed_at is not None or await ctx.store.campaigns.approved_by(was)):
        lines.append(texts("campaign.unconfirmed"))
    return Reply.text("\n".join((*lines, reply.content)))


async def _schedule(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign schedule N 今晚8点: another time; it wants a new confirmation."""
    number, text = number_of(rest)
    if number is None:
        return await which(ctx, "schedule")
    one = await ctx.store.campaigns.get(number)
    if one is None:
        return no_campaign(ctx, number)
    if not text:
        return Reply.text(ctx.texts("campaign.schedule_usage", campaign=number))
    try:
        said = timed(text, ctx.now)
    except BadTime as bad:
        return Reply.text(ctx.texts(f"campaign.fault_time_{bad.why}"))
    if said["kind"] == one.kind == "once" and said["timing"] == one.timing == "at":
        answer = await desk(ctx).schedule(number, said["starts_at"], who(message, ctx))
        if answer.said not in (Said.DONE, Said.AGAIN):
            return refused(ctx, answer, "schedule", number)
        return await _after(message, ctx, one, answer.campaign or one)
    if not one.editable:
        return refused(ctx, Answer(Said.WRONG_STATUS, one), "schedule")
    return await _changed(message, ctx, one, replace(one.new, **said))


async def _undo(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign undo N: the last change is taken back, before it starts."""
    number, _ = number_of(rest)
    if number is None:
        return await which(ctx, "undo")
    was = await ctx.store.campaigns.get(number)
    answer = await desk(ctx).undo(number, who(message, ctx))
    if answer.said not in (Said.DONE, Said.AGAIN):
        return refused(ctx, answer, "undo", number)
    if answer.campaign is not None and answer.campaign.ended:
        return Reply.text(ctx.texts("campaign.undone_all", campaign=number))
    reply = await looked(message, ctx, number)
    lines = [ctx.texts("campaign.undone"), reply.content]
    if was is not None and was.confirmed_at is not None:
        lines.insert(0, ctx.texts("campaign.unconfirmed"))
    return Reply.text("\n".join(lines))


# Looking


async def _preview(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign preview N [手机 [A] [成员编号]]."""
    number, after = number_of(rest)
    if number is None:
        return await which(ctx, "preview")
    words = [folded(word) for word in after.split()]
    if not words or words[0] not in ("手机", "phone", "真机"):
        return await looked(message, ctx, number)
    if (closed := read_only(ctx)) is not None:
        return closed
    one = await ctx.store.campaigns.get(number)
    if one is None:
        return no_campaign(ctx, number)
    variant, member = one.variants[0].name, ctx.member.id
    for word in words[1:]:
        if (typed := number_from(word)) is not None:
            member = typed
        elif len(word) > 1 and one.variant(word.upper()) is None and not word.isascii():
            return Reply.text(ctx.texts("operator.who_not_found"))
        else:
            variant = word.upper()
    if one.variant(variant) is None:
        names = "、".join(each.name for each in one.variants)
        return Reply.text(ctx.texts("campaign.no_variant", names=names))
    if await ctx.store.members.card(member) is None:
        return Reply.text(ctx.texts("operator.who_not_found"))
    problem = await desk(ctx).to_phone(number, variant, member)
    if problem:
        return Reply.text(ctx.texts("campaign.phone_failed", reason=problem))
    return Reply.text(ctx.texts("campaign.phone_sent", variant=variant, member=member))


async def _lint(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign lint N [page]: what is wrong with it, all of it."""
    number, after = number_of(rest)
    if number is None:
        return await which(ctx, "lint")
    one = await ctx.store.campaigns.get(number)
    if one is None:
        return no_campaign(ctx, number)
    found = await desk(ctx).check(one.new, who(message, ctx))
    if not found:
        return Reply.text(ctx.texts("campaign.lint_fine", campaign=number))
    page = number_from(after.strip()) or 1
    lines = findings(ctx.texts, found, one, limit=PAGE, page=page)
    return Reply.text("\n".join((ctx.texts("campaign.lint_head", campaign=number), *lines)))


async def _show(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign show N: all that it says; of long versions one at a time: show N B."""
    number, after = number_of(rest)
    if number is None:
        return await which(ctx, "show")
    one = await ctx.store.campaigns.get(number)
    if one is None:
        return no_campaign(ctx, number)
    ctx.item = f"campaign:{number}"
    texts = ctx.texts
    lines = [texts("campaign.head", campaign=one.id, title=one.title, status=status(texts, one))]
    if one.note:
        lines.append(texts("campaign.note", note=note(texts, one.note, number)))
    if after:
        said = write_version(one, folded(after).removeprefix("版本").strip().upper())
        names = "、".join(each.name for each in one.variants)
        return Reply.text(said or texts("campaign.no_variant", names=names))
    lines.append(_written(ctx, one))
    return Reply.text("\n".join(lines))


def _written(ctx: Context, one: Campaign) -> str:
    """Its written form; where its versions are too long for one message, their names."""
    form = write(one, _called(ctx))
    if len(one.variants) == 1 or len(form.encode()) <= _ONE_MESSAGE:
        return form
    names = "、".join(each.name for each in one.variants)
    first = one.variants[0].name
    long = ctx.texts("campaign.long_versions", campaign=one.id, names=names, first=first)
    return f"{write_terms(one, _called(ctx))}\n{long}"


def _called(ctx: Context) -> Called:
    """The groups, as a written form names them."""
    return lambda name: named(ctx, name) if name else ctx.store.groups.all()


async def _list(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign list [status or a number to go on below]: newest first."""
    texts = ctx.texts
    only: str | None = None
    before: int | None = None
    for word in rest.split():
        if (number := number_from(word)) is not None:
            before = number
        elif (only := _status_named(ctx, word)) is None:
            return Reply.text(texts("campaign.list_usage"))
    found = await ctx.store.campaigns.all(only, limit=PAGE + 1, before=before)
    if not found:
        return Reply.text(texts("campaign.list_none"))
    waiting = [bool(await ctx.store.campaigns.approved_by(one)) for one in found[:PAGE]]
    lines = [line(ctx, one, waits=waits) for one, waits in zip(found[:PAGE], waiting, strict=True)]
    if len(found) > PAGE:
        more = f"{rest.split()[0]} " if only is not None else ""
        lines.append(texts("campaign.list_more", more=f"{more}{found[PAGE - 1].id}"))
    return Reply.text("\n".join((texts("campaign.list_head"), *lines)))


def _status_named(ctx: Context, typed: str) -> str | None:
    typed = folded(typed)
    return next(
        (name for name in STATUSES if typed in (name, ctx.texts(f"campaign.status_{name}"))), None
    )


_HELP = ("help", "帮助", "用法", "?")
FOR_ANALYSTS = frozenset({"list", "show", "preview", "lint", "report", "unknown"})

_COMMANDS: Mapping[str, Run] = MappingProxyType(
    {
        "new": _new,
        "edit": _edit,
        "preview": _preview,
        "lint": _lint,
        "confirm": campaign_sending.confirm,
        "schedule": _schedule,
        "pause": campaign_sending.pause,
        "resume": campaign_sending.resume,
        "cancel": campaign_sending.cancel,
        "undo": _undo,
        "report": campaign_outcome.report,
        "unknown": campaign_outcome.unknown,
        "list": _list,
        "show": _show,
    }
)
"""What follows /campaign; docs/commands.md describes each."""

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "新建": "new",
        "创建": "new",
        "写": "new",
        "修改": "edit",
        "改": "edit",
        "预览": "preview",
        "检查": "lint",
        "确认": "confirm",
        "定时": "schedule",
        "排期": "schedule",
        "时间": "schedule",
        "暂停": "pause",
        "停": "pause",
        "停止": "pause",
        "停下": "pause",
        "继续": "resume",
        "恢复": "resume",
        "取消": "cancel",
        "删除": "cancel",
        "删": "cancel",
        "作废": "cancel",
        "撤销": "undo",
        "报告": "report",
        "效果": "report",
        "结果": "report",
        "未知": "unknown",
        "不明": "unknown",
        "列表": "list",
        "全部": "list",
        "详情": "show",
        "查看": "show",
    }
)
