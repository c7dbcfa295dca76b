"""A learner's own courses: progress, homework, and reminders for who wants them.

Enrolment and progress are told by the shop's events; this room shows them, keeps homework
and the wish to be reminded. It grades nothing and sends nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from handlers import changes
from handlers.choices import WINDOW_S, offer, recall
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from handlers.tiers import locked, refused
from store.catalogue import Chapter, Item
from store.courses import ALL_COURSES, Homework, Learning

router = Router("course")

LISTED = 10
"""Courses in one list."""

_LINKED = 3
"""Courses of a list that show where to go on; each may need a link of its own."""

_PAGE = 5
_SHOWN_CHARS = 40
_READ_CHARS = 300
_PENDING = "homework"
_HAND_IN = re.compile(r"\s*交作业[\s:：,，]+(?:([0-9０-９]{1,2})[\s.、:：,，]+)?(.+)", re.DOTALL)
_NO_REMINDERS = (
    "(?:请|麻烦)?(?:以后|先|暂时)?(?:别|不要|不用|停止|不需要)再?(?:给我)?提醒我?(?:学习|上课)?了?"
    "|(?:关闭|取消|关掉|停止|不要|退订)(?:学习|上课|课程)?提醒了?"
)
_REMIND = re.compile(r"\s*(?:开启|打开)提醒[\s:：,，]+(.+)", re.DOTALL)


def chapter_reached(item: Item, chapters: Mapping[str, int]) -> int:
    """The furthest chapter that was begun, 1 for the first; 0 when none was.

    chapters: id -> percent; ids that the item does not have count for nothing.
    """
    begun = (place for place, one in enumerate(item.chapters, 1) if chapters.get(one.id, 0) > 0)
    return max(begun, default=0)


def next_chapter(item: Item, chapters: Mapping[str, int]) -> Chapter | None:
    """The first chapter that is not finished; None when all are, or there are none."""
    return next((one for one in item.chapters if chapters.get(one.id, 0) < 100), None)


def finished(item: Item, learning: Learning) -> bool:
    """Whether the course is done: the shop says so, or every chapter is."""
    done = bool(item.chapters) and next_chapter(item, learning.chapters) is None
    return learning.completed_at is not None or done


@router.text(
    "我的课程|我的学习|学习进度|我的专栏|我的课|我买的课|我买的课程|我的订单|我买了哪些课|我买过哪些课"
    "|我买了什么课|我买了什么|我报了哪些课|我报了什么课|我有哪些课"
)
async def own(message: Message, ctx: Context) -> Reply:
    """The member's courses with their progress; a number then shows one."""
    mine = await _own(ctx)
    if not mine:
        return Reply.text(ctx.texts("course.none"))
    shown = mine[:LISTED]
    await offer(ctx, [f"course:{one.item_id}" for one, _ in shown], "content")
    lines = []
    for number, (learning, item) in enumerate(shown, 1):
        progress = _progress(ctx, item, learning)
        lines.append(ctx.texts("course.item", number=number, title=item.title, progress=progress))
        if number <= _LINKED and not finished(item, learning):
            lines.append(await _going_on(ctx, item, learning))
    lines = [line for line in lines if line]
    return Reply.text("\n".join((ctx.texts("course.head"), *lines)))


async def card(ctx: Context, item_id: str) -> Reply | None:
    """One of the member's courses; None when it is not theirs (any more)."""
    found = next(((one, item) for one, item in await _own(ctx) if item.id == item_id), None)
    if found is None:
        return None
    learning, item = found
    ctx.handler, ctx.item = "course.card", f"item:{item.id}"
    text = ctx.texts(
        "course.card",
        title=item.title,
        progress=_progress(ctx, item, learning),
        next=await _going_on(ctx, item, learning),
    )
    return Reply.text("\n".join(line for line in text.splitlines() if line.strip()))


@router.text("交作业|提交作业")
async def hand_in_usage(message: Message, ctx: Context) -> Reply:
    """The word alone: say how it is used."""
    return Reply.text(ctx.texts("course.homework_usage"))


@router.text(r"交作业[\s:,，].+", name="course.homework")
async def hand_in(message: Message, ctx: Context) -> Reply:
    """交作业 内容, 交作业 2 内容: for the numbered course, the one told last, or the only one.

    With several and none of them meant, the words wait and a number says for which.
    """
    found = _HAND_IN.fullmatch(message.text)
    if found is None or not found[2].strip():
        return Reply.text(ctx.texts("course.homework_usage"))
    mine = await _own(ctx)
    if not mine:
        return Reply.text(ctx.texts("course.homework_no_course"))
    open_ones = [(one, item) for one, item in mine if not finished(item, one)] or mine
    shown = await recall(ctx, message.key)
    listed: Sequence[str] = [f"course:{item.id}" for _, item in mine[:LISTED]]
    focus = ""
    if shown is not None:
        if ctx.at < shown.until and shown.things and shown.things[0].startswith("course:"):
            listed = shown.things
        focus = shown.focus if ctx.at < shown.focus_until else ""
    text, number = found[2].strip(), int(found[1] or 0)
    # With one course to choose from, a number can only belong to the homework.
    chosen = listed[number - 1] if 1 <= number <= len(listed) > 1 else ""
    if number and not chosen:
        text = message.text[found.start(1) :].strip()
    wanted = chosen.partition(":")[2] or focus.partition(":")[2]
    meant = [(one, item) for one, item in mine if item.id == wanted] or open_ones
    if len(meant) == 1:
        return await _keep(ctx, *meant[0], text, bytes.fromhex(message.key))
    waiting = {"text": text, "key": message.key}
    await ctx.store.members.set_state(ctx.member.id, _PENDING, waiting, ctx.at + WINDOW_S)
    meant = meant[:LISTED]
    await offer(ctx, [f"homework:{item.id}" for _, item in meant], "content")
    lines = [
        ctx.texts("course.which_item", number=number, title=item.title)
        for number, (_, item) in enumerate(meant, 1)
    ]
    return Reply.text("\n".join((ctx.texts("course.which"), *lines)))


async def hand_in_waiting(ctx: Context, item_id: str) -> Reply | None:
    """The course for homework that waits has been picked; None when nothing waits any more."""
    waiting = await ctx.store.members.state(ctx.member.id, _PENDING, ctx.at)
    found = next(((one, item) for one, item in await _own(ctx) if item.id == item_id), None)
    if waiting is None or found is None:
        return None
    if (reply := refused(ctx, "course.homework")) is not None:
        return reply
    return await _keep(ctx, *found, waiting["text"], bytes.fromhex(waiting["key"]))


async def _keep(ctx: Context, learning: Learning, item: Item, text: str, by: bytes) -> Reply:
    reached = chapter_reached(item, learning.chapters)
    chapter = item.chapters[reached - 1].id if reached else ""
    kept = await ctx.store.courses.hand_in(ctx.member.id, item.id, chapter, text, ctx.at, by)
    ctx.handler, ctx.item = "course.homework", f"item:{item.id}"
    if kept is not None and kept.item_id != item.id:
        # The same words picked for two courses stay with the first.
        first = (await _titles(ctx, [kept]))[kept.item_id]
        return Reply.text(ctx.texts("course.homework_elsewhere", title=first))
    return Reply.text(ctx.texts("course.homework_kept", title=item.title))


@router.text("我的作业", name="course.homework")
async def own_homework(message: Message, ctx: Context) -> Reply:
    """What the member handed in lately, newest first."""
    found = await ctx.store.courses.homework_of(ctx.member.id, _PAGE)
    if not found:
        return Reply.text(ctx.texts("course.homework_none"))
    titles = await _titles(ctx, found)
    lines = [
        ctx.texts(
            "course.homework_item",
            when=_when(one.submitted_at),
            title=titles[one.item_id],
            text=_short(one.text, _SHOWN_CHARS),
        )
        for one in found
    ]
    return Reply.text("\n".join((ctx.texts("course.homework_head"), *lines)))


@router.text("提醒我|提醒我学习|开启提醒|打开提醒|学习提醒", name="course.remind")
async def remind(message: Message, ctx: Context) -> Reply:
    """Reminders for the course told last if it is the member's, else for all of them."""
    shown = await recall(ctx, message.key)
    focus = shown.focus if shown is not None and ctx.at < shown.focus_until else ""
    mine = await _own(ctx)
    item = next((item for _, item in mine if f"item:{item.id}" == focus), None)
    return await _remind(message, ctx, item)


@router.text(r"(?:开启|打开)提醒[\s:,，].+", name="course.remind")
async def remind_named(message: Message, ctx: Context) -> Reply:
    """开启提醒 课程名: for the member's course of this name."""
    found = _REMIND.fullmatch(message.text)
    wanted = folded(found[1]) if found is not None else ""
    mine = await _own(ctx)
    item = next((item for _, item in mine if wanted in folded(item.title)), None)
    if item is None:
        return Reply.text(ctx.texts("course.remind_unknown"))
    return await _remind(message, ctx, item)


async def _remind(message: Message, ctx: Context, item: Item | None) -> Reply:
    if message.source == "wecom":
        # A robot can only answer.
        return Reply.text(ctx.texts("course.remind_cannot"))
    item_id = ALL_COURSES if item is None else item.id
    await ctx.store.courses.remind(ctx.member.id, item_id, ctx.at)
    if item is None:
        return Reply.text(ctx.texts("course.remind_all"))
    ctx.item = f"item:{item.id}"
    return Reply.text(ctx.texts("course.remind_one", title=item.title))


@router.text("关闭提醒|取消提醒|不要提醒|别提醒我", name="course.remind")
@router.text(_NO_REMINDERS, name="course.remind")
async def stop_reminding(message: Message, ctx: Context) -> Reply:
    """No reminders any more."""
    await ctx.store.courses.stop_reminding(ctx.member.id)
    return Reply.text(ctx.texts("course.remind_off"))


async def homework(message: Message, ctx: Context, rest: str) -> Reply:
    """/homework [item] [page], for operators: what was handed in, newest first.

    A page behind the last one is the last one.
    """
    texts = ctx.texts
    *words, last = rest.split() or [""]
    page = changes.number_from(last) if last else 1
    if page is None:
        words, page = [*words, last], 1
    name = folded(" ".join(words))
    item = next(
        (one for one in ctx.items.values() if name in (folded(one.id), folded(one.title))),
        next((one for one in ctx.items.values() if name and name in folded(one.title)), None),
    )
    if name and item is None:
        return Reply.text(texts("course.homework_unknown"))
    item_id = item.id if item is not None else ""
    handed_in = ctx.store.courses.handed_in
    count, found = await handed_in(item_id, (max(page, 1) - 1) * _PAGE, _PAGE)
    pages = -(-count // _PAGE)
    if page > pages > 0:
        page = pages
        count, found = await handed_in(item_id, (page - 1) * _PAGE, _PAGE)
    if not found:
        return Reply.text(texts("course.handed_in_none"))
    await changes.audited(message, ctx, "homework.read", f"item:{item_id}" if item_id else "")
    titles = await _titles(ctx, found)
    lines = [
        texts(
            "course.handed_in_item",
            member=one.member_id,
            when=_when(one.submitted_at),
            title=titles[one.item_id],
            text=_short(one.text, _READ_CHARS),
        )
        for one in found
    ]
    head = texts("course.handed_in_head", count=count, page=page, pages=pages)
    return Reply.text("\n".join((head, *lines)))


async def _own(ctx: Context) -> list[tuple[Learning, Item]]:
    """The member's courses, what is still to learn first, each with its item.

    Refunded ones are left out. An item that the catalogue never had has its id as title.
    """
    learning = [
        one for one in await ctx.store.courses.learning(ctx.member.id) if one.ended_at is None
    ]
    known = await ctx.store.catalogue.known(one.item_id for one in learning)
    mine = [
        (one, known.get(one.item_id) or Item(one.item_id, "course", one.item_id))
        for one in learning
    ]
    return sorted(mine, key=lambda pair: finished(pair[1], pair[0]))


def _progress(ctx: Context, item: Item, learning: Learning) -> str:
    if finished(item, learning):
        return ctx.texts("course.finished")
    reached = chapter_reached(item, learning.chapters)
    if not reached:
        return ctx.texts("course.begun" if learning.chapters else "course.not_begun")
    return ctx.texts("course.progress", reached=reached, count=len(item.chapters))


async def _going_on(ctx: Context, item: Item, learning: Learning) -> str:
    """Where to go on: the next chapter and its page, or the course's; "" for a finished one."""
    if finished(item, learning):
        return ""
    chapter = next_chapter(item, learning.chapters)
    if closed := locked(ctx, item):
        url = closed
    elif chapter is not None and chapter.url:
        url = ctx.links.in_text(chapter.url, f"item:{item.id}", ctx.member.id)
    else:
        url = await ctx.links.to_item(item, ctx.member.id, "catalogue")
    if chapter is None:
        return url
    return ctx.texts("course.next", title=chapter.title, url=url).strip()


async def _titles(ctx: Context, found: Sequence[Homework]) -> dict[str, str]:
    """The titles of these items, archived ones too; of one nobody knows, its id."""
    ids = {one.item_id for one in found}
    known = await ctx.store.catalogue.known(ids)
    return {one: known[one].title if one in known else one for one in ids}


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%m-%d %H:%M")


def _short(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
