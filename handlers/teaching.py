"""Teaching in chat: /teach and /faq. What an operator types is what members are told next.

Every change is done at once, says so, and can be undone; only deleting asks first. The store
does each in one transaction that the same message never makes twice (`store/learning.py`);
the index and the list of unanswered questions follow. That list has its own room, `gaps.py`.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from handlers import changes
from handlers.changes import audited, number_from, short
from handlers.context import SHANGHAI, Context
from handlers.faq import MAX_CHARS
from handlers.message import Message, Reply
from knowledge import Band, Knowledge
from knowledge.index import MAX_ROWS
from store.learning import By, Change, Refused, Report, Standing, Why

PAGE = 10
"""FAQ entries on one page of /faq list, groups on one of /faq gaps, changes in /faq history."""

REPORT_DAYS = 30
MAX_REPORT_DAYS = 365
NEVER_USED_DAYS = 30
STALE_DAYS = 90

MAX_ANSWER = 4000
"""Characters of one answer: what an import takes back."""

_LISTED = 5
_SUB_CHARS = 20
_GAPS_RETRIED = 100
_DAY_S = 86_400.0

ARROW = r"\s*(?:[=＝\-－—–]{1,9}\s*[>＞》]|[→⇒➡]\ufe0f?)\s*"
"""Between question and answer: =>, ==>, ->, →, and what a Chinese keyboard makes of them."""

_ARROW = re.compile(ARROW + r"|\s*\n\s*")
_BAR = re.compile(r"[|｜]")
_BETWEEN = re.compile(r"\s+[/／]\s+")
# 微信/支付宝 is one thing with two names, 怎么退款/能退吗 are two questions.
_TIGHT = re.compile(r"(?<=[一-鿿？?])\s?[/／]\s?(?=[一-鿿])")
_TIGHT_CHARS = 3
_SUB = re.compile(r"([A-Za-zＡ-Ｚａ-ｚ]*)(.*)", re.DOTALL)
# A bar separates aliases in an export, "<" would begin a link in somebody's chat.
_HARMLESS = str.maketrans({"|": " ", "<": "＜"} | {chr(code): " " for code in (*range(32), 127)})


def wording(text: str) -> str | None:
    """A question as it is kept: one line of at most 200 characters; None for no question."""
    text = " ".join(text.translate(_HARMLESS).split())
    return text if len(text) <= MAX_CHARS and any(map(str.isalnum, text)) else None


def entry_from(text: str) -> tuple[str, str] | None:
    """ "问 | 答" -> (question, answer); None when one is missing or the question too long."""
    question, *rest = _BAR.split(text, maxsplit=1)
    answer = rest[0].strip() if rest else ""
    kept = wording(question)
    return (kept, answer) if kept and answer else None


def lesson_from(text: str) -> tuple[list[str], str] | None:
    """ "问 / 别的问法 => 答" -> ([question, alias], answer); None when a part is no good.

    The first arrow or the end of the first line separates: the answer may hold either.
    """
    questions, *rest = _ARROW.split(text.strip(), maxsplit=1)
    answer = rest[0].strip() if rest else ""
    kept = wordings_from(questions)
    return (kept, answer) if kept and answer else None


def wordings_from(text: str) -> list[str]:
    """ "问 / 别的问法" as wordings, each once; [] when one of them is no good.

    A slash without blanks separates too, where whole questions stand on both its sides.
    """
    typed = []
    for one in _BETWEEN.split(text.strip()):
        parts = _TIGHT.split(one)
        typed += parts if min(map(len, parts)) >= _TIGHT_CHARS else [one]
    kept = [wording(one) for one in typed]
    return list(dict.fromkeys(one for one in kept if one)) if all(kept) else []


def as_known(knowledge: Knowledge, questions: Sequence[str]) -> list[str]:
    """The wordings, but as the FAQ spells them where it has them: 怎么退款？ is 怎么退款."""
    spelt = []
    for question in questions:
        hits = [hit for hit in knowledge.near(question, 1) if hit.id.startswith("faq:")]
        same = hits and knowledge.clean(hits[0].question) == knowledge.clean(question)
        spelt.append(hits[0].question if same else question)
    return spelt


def by(message: Message, ctx: Context) -> By:
    """Who makes a change, when, and with which message."""
    return By(f"member:{ctx.member.id}", ctx.at, bytes.fromhex(message.key))


def refused(ctx: Context, refusal: Refused) -> Reply:
    """Why nothing was changed, and what to do."""
    texts = ctx.texts
    if refusal.why is Why.TAKEN:
        question = short(refusal.question)
        return Reply.text(texts("teach.taken", question=question, id=refusal.faq_id))
    if refusal.why is Why.FULL:
        return Reply.text(texts("teach.full", limit=MAX_ROWS))
    if refusal.why is Why.SAME:
        return Reply.text(texts("teach.same", id=refusal.faq_id))
    if refusal.why is Why.MAIN:
        question = short(refusal.question)
        return Reply.text(texts("teach.main", question=question, id=refusal.faq_id))
    return Reply.text(texts("operator.faq_not_found", id=refusal.faq_id))


async def follow_up(message: Message, ctx: Context, change: Change) -> None:
    """What every change brings with it: audit, index, and the gaps that it surely answers."""
    target = f"faq:{change.faq_id}" if change.faq_id else ""
    await audited(message, ctx, f"faq.{change.kind}", target, short(change.question))
    if not change.faq_id:
        return
    await ctx.reload(target)
    ctx.item = target
    if change.after is not None:
        answered = []
        for gap in await ctx.store.content.gaps(_GAPS_RETRIED):
            decision = ctx.knowledge.ask(gap.sample)
            if decision.band is Band.SURE and decision.hits[0].id == target:
                answered.append(gap.question)
        if answered:
            await ctx.store.learning.close(change.id, answered)


# Teaching


async def teach(message: Message, ctx: Context, rest: str) -> Reply:
    """/teach 问 / 别的问法 => 答: a new entry, or another answer for the one that exists."""
    lesson = lesson_from(rest)
    if lesson is None:
        return Reply.text(ctx.texts("teach.usage", limit=MAX_CHARS))
    return await learn(message, ctx, *lesson)


async def learn(
    message: Message, ctx: Context, questions: Sequence[str], answer: str, gaps: Sequence[str] = ()
) -> Reply:
    """Teach this answer and say what came of it. gaps: questions (cleaned) it is meant for."""
    if len(answer) > MAX_ANSWER:
        return Reply.text(ctx.texts("errors.too_long", limit=MAX_ANSWER))
    closing = [*gaps, *map(ctx.knowledge.clean, questions)]
    done = await ctx.store.learning.teach(
        as_known(ctx.knowledge, questions), answer, by(message, ctx), limit=MAX_ROWS, gaps=closing
    )
    if isinstance(done, Refused):
        return refused(ctx, done)
    await follow_up(message, ctx, done)
    question = short(done.question)
    if done.before is None:
        return Reply.text(ctx.texts("operator.faq_added", id=done.faq_id, question=question))
    old = short(done.before.answer)
    return Reply.text(ctx.texts("teach.replaced", id=done.faq_id, question=question, old=old))


async def faq(message: Message, ctx: Context, rest: str) -> Reply:
    """/faq and what follows: add, edit, alias, unalias, del, list, show, gaps, report …"""
    found = _SUB.fullmatch(rest)
    assert found is not None, "the pattern takes everything"
    sub = unicodedata.normalize("NFKC", found[1]).lower()
    run = FAQ_COMMANDS.get(sub)
    if run is not None:
        return await run(message, ctx, found[2].strip())
    nearest = difflib.get_close_matches(sub[:_SUB_CHARS], list(FAQ_COMMANDS), n=1)
    if not nearest:
        return Reply.text(ctx.texts("operator.faq_usage"))
    meant = {"command": f"/faq {sub[:_SUB_CHARS]}", "nearest": f"/faq {nearest[0]}"}
    return Reply.text(ctx.texts("operator.unknown_command", **meant))


async def _add(message: Message, ctx: Context, rest: str) -> Reply:
    entry = entry_from(rest)
    if entry is None:
        return Reply.text(ctx.texts("operator.faq_add_usage", limit=MAX_CHARS))
    question, answer = entry
    if len(answer) > MAX_ANSWER:
        return Reply.text(ctx.texts("errors.too_long", limit=MAX_ANSWER))
    done = await ctx.store.learning.teach(
        as_known(ctx.knowledge, [question]),
        answer,
        by(message, ctx),
        limit=MAX_ROWS,
        replacing=False,
        gaps=[ctx.knowledge.clean(question)],
    )
    if isinstance(done, Refused):
        if done.why is Why.TAKEN:
            return Reply.text(
                ctx.texts("operator.faq_exists", id=done.faq_id, question=short(done.question))
            )
        return refused(ctx, done)
    await follow_up(message, ctx, done)
    return Reply.text(
        ctx.texts("operator.faq_added", id=done.faq_id, question=short(done.question))
    )


async def _edit(message: Message, ctx: Context, rest: str) -> Reply:
    word, answer = _first_word(rest)
    number = number_from(word)
    if number is None or not answer:
        return Reply.text(ctx.texts("teach.edit_usage"))
    if len(answer) > MAX_ANSWER:
        return Reply.text(ctx.texts("errors.too_long", limit=MAX_ANSWER))
    done = await ctx.store.learning.edit(number, answer, by(message, ctx))
    if isinstance(done, Refused):
        return refused(ctx, done)
    await follow_up(message, ctx, done)
    old = short(done.before.answer) if done.before else ""
    return Reply.text(
        ctx.texts("teach.edited", id=done.faq_id, question=short(done.question), old=old)
    )


async def _alias(message: Message, ctx: Context, rest: str) -> Reply:
    word, more = _first_word(rest)
    number, questions = number_from(word), wordings_from(more)
    if number is None or not questions:
        return Reply.text(ctx.texts("teach.alias_usage", limit=MAX_CHARS))
    return await merge(message, ctx, number, questions)


async def merge(
    message: Message, ctx: Context, faq_id: int, questions: Sequence[str], gaps: Sequence[str] = ()
) -> Reply:
    """Give an entry more wordings and say so. gaps: questions (cleaned) they stand for."""
    closing = [*gaps, *map(ctx.knowledge.clean, questions)]
    done = await ctx.store.learning.alias(
        faq_id,
        as_known(ctx.knowledge, questions),
        by(message, ctx),
        limit=MAX_ROWS,
        gaps=closing,
    )
    if isinstance(done, Refused):
        return refused(ctx, done)
    await follow_up(message, ctx, done)
    before = set(done.before.questions if done.before else ())
    new = [one for one in (done.after.questions if done.after else ()) if one not in before]
    return Reply.text(
        ctx.texts(
            "teach.aliased",
            id=done.faq_id,
            question=short(done.question),
            count=len(new),
            aliases=" / ".join(map(short, new)) or ctx.texts("operator.nothing"),
        )
    )


async def _unalias(message: Message, ctx: Context, rest: str) -> Reply:
    word, typed = _first_word(rest)
    number, alias = number_from(word), wording(typed)
    if number is None or alias is None:
        return Reply.text(ctx.texts("teach.unalias_usage"))
    entry = await ctx.store.learning.entry(number)
    if entry is not None and alias not in entry.questions:
        clean = ctx.knowledge.clean
        alias = next((one for one in entry.questions if clean(one) == clean(alias)), alias)
    done = await ctx.store.learning.unalias(number, alias, by(message, ctx))
    if isinstance(done, Refused):
        if done.why is Why.SAME:
            return Reply.text(ctx.texts("teach.not_an_alias", id=number))
        return refused(ctx, done)
    await follow_up(message, ctx, done)
    gone = set(done.before.questions if done.before else ()) - set(
        done.after.questions if done.after else ()
    )
    return Reply.text(
        ctx.texts(
            "teach.unaliased",
            id=number,
            question=short(done.question),
            alias=" / ".join(map(short, gone)),
        )
    )


async def _del(message: Message, ctx: Context, rest: str) -> Reply:
    number = number_from(rest)
    if number is None:
        return Reply.text(ctx.texts("operator.faq_del_usage"))
    entry = await ctx.store.learning.entry(number)
    if entry is None:
        return Reply.text(ctx.texts("operator.faq_not_found", id=number))
    question = short(entry.questions[0])
    return await changes.ask(
        ctx,
        "faq.del",
        {"id": number},
        ctx.texts("operator.faq_delete_ask", id=number, question=question),
    )


@changes.executes("faq.del")
async def _deleted(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    done = await ctx.store.learning.delete(args["id"], by(message, ctx))
    if isinstance(done, Refused):
        return refused(ctx, done)
    await follow_up(message, ctx, done)
    return Reply.text(
        ctx.texts("operator.faq_deleted", id=done.faq_id, question=short(done.question))
    )


# Undoing


async def _undo(message: Message, ctx: Context, rest: str) -> Reply:
    texts = ctx.texts
    number = number_from(rest)
    if rest and number is None:
        return Reply.text(texts("teach.undo_usage"))
    done = await ctx.store.learning.undo(by(message, ctx), number)
    if isinstance(done, Refused):
        return _not_undone(ctx, done)
    what = texts(f"teach.kind_{done.kind}")
    target = f"faq:{done.faq_id}" if done.faq_id else ""
    await audited(message, ctx, "faq.undo", target, f"#{done.id} {done.kind}")
    if not done.faq_id:
        return Reply.text(
            texts("teach.undone_gaps", change=done.id, what=what, count=len(done.gaps))
        )
    await ctx.reload(target)
    ctx.item = target
    return Reply.text(
        texts(
            "teach.undone",
            change=done.id,
            what=what,
            id=done.faq_id,
            question=short(done.question),
        )
    )


def _not_undone(ctx: Context, refusal: Refused) -> Reply:
    texts, change = ctx.texts, refusal.change_id
    if refusal.why is Why.LATER:
        return Reply.text(texts("teach.undo_later", id=refusal.faq_id, change=change))
    if refusal.why is Why.MOVED:
        return Reply.text(texts("teach.undo_moved", id=refusal.faq_id, change=change))
    if refusal.why is Why.UNDONE:
        return Reply.text(texts("teach.undo_again", change=change))
    if refusal.why is Why.TAKEN:
        return refused(ctx, refusal)
    return Reply.text(
        texts("teach.undo_missing", change=change) if change else texts("teach.undo_nothing")
    )


async def _history(message: Message, ctx: Context, rest: str) -> Reply:
    texts = ctx.texts
    listed = await ctx.store.learning.changes(PAGE, number_from(rest))
    if not listed:
        return Reply.text(texts("teach.history_none"))
    lines = []
    for one in listed:
        question = short(one.question)
        entry = texts("teach.history_entry", id=one.faq_id, question=question)
        if not one.faq_id:
            entry = texts("teach.history_gaps", question=question, count=len(one.gaps))
        about = {
            "change": one.id,
            "when": datetime.fromtimestamp(one.at, SHANGHAI).strftime("%m-%d %H:%M"),
            "who": one.actor.removeprefix("member:"),
            "what": texts(f"teach.kind_{one.kind}"),
            "entry": entry,
        }
        if one.undone:
            lines.append(texts("teach.history_undone", **about))
        else:
            lines.append(texts("teach.history_item", **about))
    return Reply.text("\n".join((texts("teach.history_head"), *lines)))


# Looking


async def _list(message: Message, ctx: Context, rest: str) -> Reply:
    entries = await ctx.store.content.faqs()
    if not entries:
        return Reply.text(ctx.texts("operator.faq_none"))
    pages = -(-len(entries) // PAGE)
    page = min(max(number_from(rest) or 1, 1), pages)
    head = ctx.texts("operator.faq_listed_head", count=len(entries), page=page, pages=pages)
    lines = [
        ctx.texts("operator.faq_listed_item", id=one.id, question=short(one.questions[0]))
        for one in entries[(page - 1) * PAGE : page * PAGE]
    ]
    if page < pages:
        lines.append(ctx.texts("operator.faq_listed_tail", next=page + 1))
    return Reply.text("\n".join((head, *lines)))


async def _show(message: Message, ctx: Context, rest: str) -> Reply:
    texts = ctx.texts
    number = number_from(rest)
    if number is None:
        return Reply.text(texts("teach.show_usage"))
    entry = await ctx.store.learning.entry(number)
    report = await ctx.store.learning.report(ctx.at - REPORT_DAYS * _DAY_S)
    standing = next((one for one in report.entries if one.faq_id == number), None)
    if entry is None or standing is None:
        return Reply.text(texts("operator.faq_not_found", id=number))
    ctx.item = f"faq:{number}"
    last = datetime.fromtimestamp(standing.last_used_at, SHANGHAI).strftime("%Y-%m-%d")
    return Reply.text(
        texts(
            "teach.show",
            id=number,
            question=entry.questions[0],
            aliases=" / ".join(entry.questions[1:]) or texts("operator.nothing"),
            answer=entry.answer,
            useful=standing.useful,
            useless=standing.useless,
            days=REPORT_DAYS,
            uses=standing.uses,
            last=last if standing.last_used_at else texts("operator.never"),
        )
    )


async def _report(message: Message, ctx: Context, rest: str) -> Reply:
    days = number_from(rest) if rest else REPORT_DAYS
    if days is None or not 1 <= days <= MAX_REPORT_DAYS:
        return Reply.text(ctx.texts("teach.report_usage", days=REPORT_DAYS, limit=MAX_REPORT_DAYS))
    report = await ctx.store.learning.report(ctx.at - days * _DAY_S)
    demoted = await ctx.store.learning.demoted()
    return Reply.text("\n".join(_lines_of(ctx, report, demoted, days)))


def _lines_of(ctx: Context, report: Report, demoted: frozenset[int], days: int) -> list[str]:
    texts, entries = ctx.texts, report.entries
    questions = report.answered + report.offered + report.unknown
    lines = [
        texts(
            "teach.report_head",
            days=days,
            share=_percent(report.answered / questions) if questions else texts("operator.nothing"),
            answered=report.answered,
            offered=report.offered,
            unknown=report.unknown,
            faqs=len(entries),
            aliases=sum(one.aliases for one in entries),
        )
    ]
    used = sorted((one for one in entries if one.uses), key=lambda one: (-one.uses, one.faq_id))
    if used:
        lines.append(texts("teach.report_used"))
        for one in used[:_LISTED]:
            about = {"id": one.faq_id, "question": short(one.question)}
            lines.append(texts("teach.report_used_item", **about, uses=one.uses))
    bad = sorted((one for one in entries if one.useless), key=lambda one: (one.quality, one.faq_id))
    if bad:
        lines.append(texts("teach.report_bad"))
        for one in bad[:_LISTED]:
            marks = {
                "id": one.faq_id,
                "question": short(one.question),
                "useful": one.useful,
                "useless": one.useless,
                "quality": _percent(one.quality),
            }
            if one.faq_id in demoted:
                lines.append(texts("teach.report_demoted_item", **marks))
            else:
                lines.append(texts("teach.report_bad_item", **marks))
    if never := never_used(entries, ctx.at):
        lines.append(texts("teach.report_never", days=NEVER_USED_DAYS, count=len(never)))
        lines += _plain(ctx, never)
    if stale := gone_stale(entries, ctx.at):
        lines.append(texts("teach.report_stale", days=STALE_DAYS, count=len(stale)))
        lines += _plain(ctx, stale)
    return lines


def never_used(entries: Sequence[Standing], now: float) -> list[Standing]:
    """Those that never were an answer although they are 30 days old, oldest first."""
    since = now - NEVER_USED_DAYS * _DAY_S
    return [one for one in entries if not one.last_used_at and one.created_at <= since]


def gone_stale(entries: Sequence[Standing], now: float) -> list[Standing]:
    """Those that were an answer once, but not in the last 90 days; longest unused first."""
    since = now - STALE_DAYS * _DAY_S
    stale = (one for one in entries if 0 < one.last_used_at <= since)
    return sorted(stale, key=lambda one: (one.last_used_at, one.faq_id))


def _plain(ctx: Context, entries: Sequence[Standing]) -> list[str]:
    return [
        ctx.texts("teach.report_plain_item", id=one.faq_id, question=short(one.question))
        for one in entries[:_LISTED]
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _first_word(text: str) -> tuple[str, str]:
    """ "ADD  a | b" -> ("add", "a | b")."""
    word, rest = (*text.split(maxsplit=1), "", "")[:2]
    return unicodedata.normalize("NFKC", word).lower(), rest.strip()


Run = Callable[[Message, Context, str], Awaitable[Reply]]

FAQ_COMMANDS: dict[str, Run] = {
    "add": _add,
    "edit": _edit,
    "alias": _alias,
    "unalias": _unalias,
    "del": _del,
    "undo": _undo,
    "history": _history,
    "list": _list,
    "show": _show,
    "report": _report,
}
"""What may follow /faq; `gaps.py` adds its own."""


def serves(sub: str) -> Callable[[Run], Run]:
    """Make a function of another room `/faq sub`."""

    def register(run: Run) -> Run:
        FAQ_COMMANDS[sub] = run
        return run

    return register
