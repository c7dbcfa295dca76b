"""A sign-up chain (接龙) in words: who is on it, who waits, and what one types to be on it."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.context import Context
from handlers.group_asked import hears
from handlers.group_names import called
from handlers.quiz import when
from handlers.signup_text import LONGEST_NOTE
from handlers.texts import Texts
from insights.order_reading import masked
from store.signups import Entry, Signup

SHOWN = 30
"""Lines of a list in a group; the others are counted."""

TITLE_CHARS = 40

_PAGE_BYTES = 1800


def several(ctx: Context, open_: Sequence[Signup]) -> str:
    """What is open, by the numbers, and what one says to which."""
    number = ctx.store.signups.number
    lines = [ctx.texts("signup.line", number=number(one.id), head=head(ctx, one)) for one in open_]
    deaf = not heard(ctx)
    which = ctx.texts("signup.which_deaf" if deaf else "signup.which", number=number(open_[-1].id))
    return "\n".join((ctx.texts("signup.several"), *lines, which))


def head(ctx: Context, signup: Signup, at: float | None = None) -> str:
    """ "《周六读书会》3/20 人，周五 18:00 截止". at: when it is read, None for now."""
    texts, count = ctx.texts, len(signup.entries)
    title = title_of(signup)
    if signup.places is None:
        said = texts("signup.head", title=title, count=count)
    else:
        taken = min(count, signup.places)
        said = texts("signup.head_places", title=title, count=taken, places=signup.places)
        if count > signup.places:
            said = texts("signup.head_waiting", head=said, count=count - signup.places)
    if signup.closes_at is not None and signup.is_open(ctx.at if at is None else at):
        return texts("signup.head_until", head=said, until=when(signup.closes_at, ctx.now))
    return said


def title_of(signup: Signup) -> str:
    """What it is for, as a group may read it."""
    return masked(signup.title, TITLE_CHARS)


def line_of(texts: Texts, number: int, entry: Entry) -> str:
    """ "3. 阿木 带娃"."""
    name = called(texts, entry.name)
    if entry.note:
        note = masked(entry.note, LONGEST_NOTE)
        return texts("signup.entry_note", number=number, name=name, note=note)
    return texts("signup.entry", number=number, name=name)


def listed(ctx: Context, signup: Signup, at: float | None = None) -> str:
    """A list as the group reads it: who is on it, who waits, what is left.

    at: when it is read, None for now: a list that has ended by then invites nobody.
    """
    texts = ctx.texts
    lines = [head(ctx, signup, at)]
    tail = []
    if signup.is_open(ctx.at if at is None else at):
        if signup.left:
            tail.append(texts("signup.left", left=signup.left))
        elif signup.left == 0:
            tail.append(texts("signup.full"))
        tail.append(how_to(ctx, signup))
    else:
        tail.append(texts("signup.closed"))
    room = _PAGE_BYTES - len("\n".join((*lines, *tail)).encode())
    shown = 0
    for entry in signup.entries[:SHOWN]:
        if signup.waits(entry):
            number = entry.position - (signup.places or 0)
            said = line_of(texts, number, entry)
            if number == 1:
                said = f"{texts('signup.waiting')}\n{said}"
        else:
            said = line_of(texts, entry.position, entry)
        room -= len(said.encode()) + 1
        if room < 0:
            break
        lines.append(said)
        shown += 1
    if shown < len(signup.entries):
        lines.append(texts("signup.more", count=len(signup.entries) - shown))
    return "\n".join((*lines, *tail))


def how_to(ctx: Context, signup: Signup) -> str:
    """How one signs up on it: where several are open +1 alone means none of them."""
    texts, lists = ctx.texts, ctx.store.signups
    if lists.count_open(signup.place, ctx.at) > 1:
        number = lists.number(signup.id)
        if heard(ctx):
            return texts("signup.how_several", number=number)
        return texts("signup.how_several_deaf", number=number)
    return texts("signup.how" if heard(ctx) else "signup.how_deaf")


def heard(ctx: Context) -> bool:
    """Whether a bare +1 is heard there."""
    group = ctx.group
    return group is not None and hears(ctx, group) and group.rules.keywords is not False
