"""What was shown last: the numbered list and the item picked from it, and how to leave.

One row for each member keeps the last list and what was told of it, each for a while; a group
has one with the lists that everybody there has read, and whoever quotes one picks from it.
`handlers/followups.py` reads it, when a text looks like a follow-up; ordinary questions
pay nothing for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from handlers.answers import Part
from handlers.context import Context
from handlers.message import Message, Option, Reply
from handlers.router import Router, folded

router = Router("choice")

Source = Literal["faq", "content", "coupon", "points", "recommend"]

WINDOW_S = 600.0
"""How long a list can be picked from, and a question waits for its confirmation."""

_KEPT_S = 86_400.0
"""How long we remember that there was a list, to say that it has expired."""

_REST = 60
"""Things before and behind the shown page that are kept; for more there is the search."""

_LISTS_KEPT = 6
"""Lists of a group that are remembered at once."""

_MARK_CHARS = 60
_MARK_LEAST = 4
"""By so many letters of its numbered lines a quoted list is known."""

_ASKED_CHARS = 200
_STATE = "choices"

_STAYS = ("report", "mood_list")
"""What was shown and asks nothing: the numbers of the last report (`report_text.ASKED`) and the
list of `/mood list`. Leaving a question does not take them away."""

_HAN = "一二三四五六七八九十"
NUMBER = rf"([0-9]{{1,2}})[.、。]?|([{_HAN}])[.、。]?"
_NUMBER = re.compile(NUMBER)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a member saw last.

    things: the last list, "faq:12", "item:py-101", "tag:写作", "course:py-101",
    "homework:py-101", "coupon:12" or "exchange:12", in the order of their numbers; () for none.
    rest: what its next page would show. source: who showed it. until: when the list expires.
    focus: the item told last, "" for none, and when that expires. part: what a number asks of
    its item, "" for all of it. by: key of the message whose answer replaced another list, ""
    when a member asked anew. seen: what the lists before showed, back to where the member asked
    anew.
    asked: the question that the list tries to meet, "" for a list that was asked for. ref: what
    clicks on its items are counted for, "rec:12", "" for nothing. Times in Unix seconds.
    """

    things: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    source: Source = "content"
    until: float = 0.0
    focus: str = ""
    focus_until: float = 0.0
    part: Part | Literal[""] = ""
    by: str = ""
    seen: tuple[str, ...] = ()
    asked: str = ""
    ref: str = ""


def number_in(text: str) -> int | None:
    """ "2", "２", "2." or "二" as a number, None for any other text."""
    found = _NUMBER.fullmatch(folded(text))
    if found is None:
        return None
    digits, han = found.groups()
    return int(digits) if digits else _HAN.index(han) + 1


async def offer(
    ctx: Context,
    things: Sequence[str],
    source: Source,
    rest: Sequence[str] = (),
    part: Part | Literal[""] = "",
    after: tuple[str, Shown] | None = None,
    asked: str = "",
    ref: str = "",
) -> None:
    """Remember the list that this reply shows; it replaces the one before.

    What an answer offers was not asked for: the item told before stays the one that 多少钱
    is about.

    things: as in `Shown`, in the order of their numbers; rest: what 还有吗 shows next.
    source: who shows it, for the sentence when it has expired. part: what a number will
    be told of its item, "" for all of it. after: when an answer to a list shows another: the
    message's key and what it answered, so that the same message again answers the same.
    asked: the question that nobody could answer surely; 都不是 then notes it. ref: as in `Shown`.
    """
    by, before = after if after is not None else ("", None)
    state = await _state(ctx) if source == "faq" else None
    told = _shown(state) if state is not None else Shown()
    seen = (*before.seen, *before.things, before.focus) if before is not None else ()
    shown = Shown(
        things=tuple(things),
        rest=tuple(rest[:_REST]),
        source=source,
        until=ctx.at + WINDOW_S,
        focus=told.focus,
        focus_until=told.focus_until,
        part=part,
        by=by,
        seen=seen[-_REST:],
        asked=asked[:_ASKED_CHARS],
        ref=ref,
    )
    ctx.options[:] = [_option(ctx, number, thing) for number, thing in enumerate(things, 1)]
    await _keep(ctx, shown, before)


def _option(ctx: Context, number: int, thing: str) -> Option:
    item = ctx.items.get(thing)
    name = item.title if item is not None else thing.removeprefix("tag:")
    return Option(str(number), f"{number}. {name}" if item or name != thing else str(number))


async def point_at(ctx: Context, thing: str, shown: Shown | None) -> None:
    """Remember the item that this reply tells; the list that it came from stays.

    shown: what `recall` gave, None when the item came from no list.
    """
    before = shown if shown is not None and ctx.at < shown.until else Shown()
    await _keep(ctx, replace(before, focus=thing, focus_until=ctx.at + WINDOW_S))


async def ask_part(ctx: Context, shown: Shown, part: Part) -> None:
    """From now on a number of this list asks for one thing about its item."""
    await _keep(ctx, replace(shown, part=part, until=ctx.at + WINDOW_S))


async def reject(ctx: Context, shown: Shown, key: str) -> None:
    """Nothing of the list was meant; its numbers stay, its question is settled.

    key: of the message that says so, which sees the question again when it runs twice.
    """
    await _keep(ctx, replace(shown, asked="", by=key), shown)


async def _keep(ctx: Context, shown: Shown, before: Shown | None = None) -> None:
    data = asdict(shown)
    if before is not None:
        data["before"] = asdict(before)
    await ctx.store.members.set_state(ctx.member.id, _name(ctx), data, ctx.at + _KEPT_S)


async def recall(ctx: Context, key: str) -> Shown | None:
    """What this member saw within a day; None for nothing. What expired is still in it.

    key: of the message that asks. After a crash it may have been answered already: then
    what it saw, not what its answer showed.
    """
    state = await _state(ctx)
    if state is None:
        return None
    if state.get("by") == key and "before" in state:
        state = state["before"]
    return _shown(state)


async def recall_here(ctx: Context, key: str) -> Shown | None:
    """As `recall`; of who has no open list in a group, the one that was shown there last."""
    shown = await recall(ctx, key)
    if not ctx.place or (shown is not None and shown.things and ctx.at < shown.until):
        return shown
    lists = await _lists(ctx)
    return _as_own(shown, lists[0]) if lists else shown


async def publish(ctx: Context, lines: Sequence[str]) -> None:
    """The list that this reply shows to a group: whoever reads it may pick from it.

    lines: those that are shown, each with its number; what was cut off is the next page. Nothing
    of who asked is kept with it.
    """
    state = await _state(ctx)
    if not lines or state is None:
        return
    shown = _shown(state)
    if len(lines) < len(shown.things):
        cut = shown.things[len(lines) :]
        shown = replace(shown, things=shown.things[: len(lines)], rest=(*cut, *shown.rest)[:_REST])
        state = {**state, "things": shown.things, "rest": shown.rest}
        await ctx.store.members.set_state(ctx.member.id, _name(ctx), state, ctx.at + _KEPT_S)
        del ctx.options[len(lines) :]
    mark = _mark("".join(lines))
    listed = {
        "mark": mark,
        "things": shown.things,
        "rest": shown.rest,
        "source": shown.source,
        "until": shown.until,
        "part": shown.part,
    }
    others = [one for one in await _lists(ctx) if one["mark"] != mark]
    kept = json.dumps([listed, *others][:_LISTS_KEPT], ensure_ascii=False)
    await ctx.store.meta.put(_lists_name(ctx), kept)


async def adopt(ctx: Context, quoted: str, key: str) -> bool:
    """Who quotes a list of the group picks from it as if it were their own; False for none of them.

    quoted: the words that are quoted. key: of the message that quotes.
    """
    letters = _letters(quoted)
    for one in await _lists(ctx):
        mark = one["mark"]
        if len(mark) < _MARK_LEAST or mark not in letters:
            continue
        own = await recall(ctx, key)
        if own is None or own.things != tuple(one["things"]) or ctx.at >= own.until:
            await _keep(ctx, _as_own(own, one))
        return True
    return False


def _as_own(own: Shown | None, listed: Mapping[str, Any]) -> Shown:
    """The group's list, with what this member was told last."""
    told = own or Shown()
    return Shown(
        things=tuple(listed["things"]),
        rest=tuple(listed["rest"]),
        source=listed["source"],
        until=float(listed["until"]),
        focus=told.focus,
        focus_until=told.focus_until,
        part=listed["part"],
    )


async def _lists(ctx: Context) -> list[dict[str, Any]]:
    """The open lists of the group, newest first."""
    kept = json.loads(await ctx.store.meta.get(_lists_name(ctx)) or "[]")
    return [one for one in kept if ctx.at < one["until"]]


def _lists_name(ctx: Context) -> str:
    return f"lists {ctx.place}"


def _mark(text: str) -> str:
    return _letters(text)[:_MARK_CHARS]


def _letters(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum())


async def _state(ctx: Context) -> dict[str, Any] | None:
    return await ctx.store.members.state(ctx.member.id, _name(ctx), ctx.at)


def _name(ctx: Context) -> str:
    """A group's lists are its own: a 2 there picks nothing that was shown in private."""
    return f"{_STATE} {ctx.place}" if ctx.place else _STATE


def _shown(state: Mapping[str, Any]) -> Shown:
    known = {name: value for name, value in state.items() if name in Shown.__slots__}
    lists = {name: tuple(state.get(name, ())) for name in ("things", "rest", "seen")}
    return Shown(**{**known, **lists})


@router.text("退出|取消|不删了|算了|返回|不要了|退出吧|我要退出", name="cancel", where="both")
async def leave(message: Message, ctx: Context) -> Reply:
    """Forget every list and every question that waits for an answer; in a group, its list.

    What an operator reads stays open to why.
    """
    if ctx.place:
        listed = await ctx.store.members.clear_states(ctx.member.id, _name(ctx))
        return Reply.text(ctx.texts("common.cancelled" if listed else "common.nothing_to_cancel"))
    forgetting = await ctx.store.members.clear_states(ctx.member.id, "forget")
    others = await ctx.store.members.clear_states(ctx.member.id, keep=_STAYS)
    if forgetting:
        return Reply.text(ctx.texts("privacy.forget_cancelled"))
    return Reply.text(ctx.texts("common.cancelled" if others else "common.nothing_to_cancel"))
