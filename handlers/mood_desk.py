"""/mood: how messages sound, which were judged wrongly, what was told of, and whether rightly.

Analysts read the shares and the alerts; members' messages, and what teaches the model, are for
operators. What an operator corrects counts when the figures are next made and teaches the model
when somebody says so; learning happens elsewhere (`scheduler/mood_learning.py`) and is told when
done.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from handlers import changes, mood_text
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.report_desk import least_people, read
from handlers.report_numbers import said
from handlers.router import folded
from insights.anonymity import FEW
from insights.order_reading import lesson, masked
from insights.report import Figure, Report
from store.alerts import Alert
from store.ledgers import Deed
from store.mood_labels import LEAST

LISTED = 10
_LISTED = "mood_list"
_LISTED_S = 3600.0
_GROUPS = 3
_ALERTS = 8
_DAY_S = 86_400.0
_WORDS = {
    **dict.fromkeys(("负面", "负", "消极", "neg", "negative", "-1"), -1),
    **dict.fromkeys(("中性", "中", "neu", "neutral", "0"), 0),
    **dict.fromkeys(("正面", "正", "积极", "pos", "positive", "1"), 1),
}


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/mood [list|wrong|retrain|alerts|ok|false]."""
    verb, _, more = rest.strip().partition(" ")
    verb, more = folded(verb), more.strip()
    if not verb:
        return await _now(ctx)
    if verb == "alerts":
        return await _alerts(ctx)
    if verb in ("list", "wrong", "retrain", "ok", "false"):
        if (refused := changes.read_only(ctx)) is not None:
            return Reply.text(ctx.texts("mood.list_private")) if verb == "list" else refused
        if verb == "list":
            return await _list(ctx, more)
        if verb == "wrong":
            return await _wrong(ctx, more)
        if verb == "retrain":
            return await _retrain(message, ctx)
        return await _verdict(ctx, more, right=verb == "ok")
    return Reply.text(ctx.texts("mood.usage"))


# Looking


async def _now(ctx: Context) -> Reply:
    texts = ctx.texts
    found = await read(ctx, "mood", "")
    if found is None:
        return Reply.text(f"{texts('mood.none')}\n{texts('mood.usage')}")
    figures = {one.name: one for one in found.figures}
    lines = [_today(ctx, figures), _week(ctx, figures)]
    groups = _groups(ctx, found, figures.get("mood_negative"))
    if groups:
        lines.append(texts("mood.groups", groups=groups))
    if ctx.is_operator():
        alerts = sum((await ctx.store.alerts.counts(ctx.at - _DAY_S)).values())
    else:
        newest = _open_to_all(ctx, await ctx.store.alerts.newest(_ALERTS))
        alerts = sum(one.at >= ctx.at - _DAY_S for one in newest)
    if alerts:
        lines.append(texts("mood.alerts_today", count=alerts))
    labels, waiting = await ctx.store.mood_labels.count()
    if labels:
        lines.append(texts("mood.learned", labels=labels - waiting, waiting=waiting))
    made = datetime.fromtimestamp(found.made_at, SHANGHAI)
    lines.append(texts("mood.updated", when=f"{made:%m-%d %H:%M}"))
    return Reply.text("\n".join(lines))


def _share(ctx: Context, one: Figure | None) -> str:
    if one is not None and one.note == FEW:
        return ctx.texts("mood.hidden")
    return said(None if one is None else one.value, "share")


def _today(ctx: Context, figures: dict[str, Figure]) -> str:
    negative = figures.get("mood_negative_today")
    if negative is not None and negative.note == FEW:
        return ctx.texts("mood.today_hidden")
    if negative is None or not negative.n:
        return ctx.texts("mood.today_none")
    return ctx.texts(
        "mood.today",
        messages=negative.n,
        negative=_share(ctx, negative),
        positive=_share(ctx, figures.get("mood_positive_today")),
    )


def _week(ctx: Context, figures: dict[str, Figure]) -> str:
    negative = figures.get("mood_negative")
    before = None if negative is None else negative.before
    change = "" if before is None else ctx.texts("mood.change", before=said(before, "share"))
    return ctx.texts(
        "mood.week",
        negative=_share(ctx, negative),
        change=change,
        neutral=_share(ctx, figures.get("mood_neutral")),
        positive=_share(ctx, figures.get("mood_positive")),
        unsure=_share(ctx, figures.get("mood_unsure")),
    )


def _groups(ctx: Context, found: Report, over_all: Figure | None) -> str:
    """Those that are no better than all together, the worst first; "" for none."""
    rows = next((one.rows for one in found.lists if one.name == "mood_groups"), ())
    usual = 0.0 if over_all is None else over_all.value or 0.0
    shares = [
        (row.figures[0].value, row.label)
        for row in rows
        if row.figures and row.figures[0].value is not None
    ]
    worst = [(share, label) for share, label in shares if share > 0.0 and share >= usual]
    return "、".join(
        ctx.texts(
            "mood.group",
            group=mood_text.place(ctx.texts, label),
            negative=said(share, "share"),
        )
        for share, label in sorted(worst[:_GROUPS], key=lambda one: -one[0])
    )


async def _list(ctx: Context, typed: str) -> Reply:
    texts = ctx.texts
    word, _, name = typed.partition(" ")
    label = _WORDS.get(folded(word))
    if label is None:
        name = typed
    place = None
    if name := name.strip():
        found = ctx.store.groups.called(name)
        if name == texts("mood.private"):
            place = ""
        elif not found:
            return Reply.text(texts("mood.group_unknown", group=changes.short(name)))
        else:
            place = found[0].place
    rows = await ctx.store.readings.latest(LISTED, label=label, place=place)
    if not rows:
        return Reply.text(texts("mood.list_none"))
    refs = [[one.source, one.row_id] for one in rows]
    await ctx.store.members.set_state(ctx.member.id, _LISTED, refs, ctx.at + _LISTED_S)
    lines = [
        texts(
            "mood.list_line",
            number=number,
            mood=mood_text.mood(texts, one.label),
            place=mood_text.place(texts, _title(ctx, one.place)),
            text=masked(one.text, mood_text.CHARS),
        )
        for number, one in enumerate(rows, 1)
    ]
    return Reply.text("\n".join((texts("mood.list_head"), *lines, texts("mood.list_tail"))))


def _title(ctx: Context, place: str) -> str:
    group = ctx.store.groups.known(place)
    return group.title if group is not None else place


# Correcting and learning


async def _wrong(ctx: Context, typed: str) -> Reply:
    texts = ctx.texts
    first, _, word = typed.partition(" ")
    number, label = changes.number_from(first), _WORDS.get(folded(word))
    if number is None or label is None:
        return Reply.text(texts("mood.wrong_usage"))
    listed = await ctx.store.members.state(ctx.member.id, _LISTED, ctx.at)
    if not listed or not 1 <= number <= len(listed):
        return Reply.text(texts("mood.wrong_number", number=number))
    source, row_id = listed[number - 1]
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "mood.label")
    if await ctx.store.mood_labels.correct(source, row_id, label, deed, lesson) is None:
        return Reply.text(texts("mood.wrong_gone"))
    _, waiting = await ctx.store.mood_labels.count()
    mood = mood_text.mood(texts, label)
    return Reply.text(texts("mood.wrong_noted", number=number, mood=mood, waiting=waiting))


async def _retrain(message: Message, ctx: Context) -> Reply:
    texts = ctx.texts
    labels, waiting = await ctx.store.mood_labels.count()
    if labels < LEAST:
        return Reply.text(texts("mood.retrain_few", labels=labels, least=LEAST))
    if not waiting:
        return Reply.text(texts("mood.retrain_nothing", labels=labels))
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "mood.retrain")
    if not await ctx.store.mood_labels.want(message.key, ctx.member.id, deed):
        return Reply.text(texts("mood.retrain_running"))
    return Reply.text(texts("mood.retrain_started", labels=labels))


# Alerts


async def _alerts(ctx: Context) -> Reply:
    texts = ctx.texts
    found = await ctx.store.alerts.newest(_ALERTS)
    if not found:
        return Reply.text(texts("mood.alerts_none"))
    if not ctx.is_operator():
        found = _open_to_all(ctx, found)
    lines = [mood_text.line(texts, one, _title(ctx, one.place)) for one in found]
    if ctx.is_operator():
        lines.append(texts("mood.alerts_tail"))
    return Reply.text("\n".join(lines) or texts("mood.alerts_none"))


def _open_to_all(ctx: Context, found: Sequence[Alert]) -> list[Alert]:
    """Analysts read numbers, not who, and none of few."""
    least = least_people(ctx)
    return [one for one in found if one.member_id is None and one.data.get("people", 0) >= least]


async def _verdict(ctx: Context, typed: str, *, right: bool) -> Reply:
    texts = ctx.texts
    number = changes.number_from(typed)
    if number is None:
        return Reply.text(texts("mood.verdict_usage"))
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "mood.verdict")
    if await ctx.store.alerts.verdict(number, right, deed) is None:
        return Reply.text(texts("mood.verdict_none", number=number))
    if right:
        return Reply.text(texts("mood.noted_right", number=number))
    return Reply.text(texts("mood.noted_wrong", number=number))
