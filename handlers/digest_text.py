"""A group's day in words: a text that is read on a phone in half a minute."""

from __future__ import annotations

import asyncio

from handlers.context import Context
from handlers.group_names import called
from handlers.texts import Texts
from insights.digest import Counts, Day, Topic, from_rows
from store.groups import Group

LONGEST = 600
"""Characters."""

MOST = 3000
"""Lines of a day that are read, the newest."""


def digest_text(texts: Texts, day: Day, title: str, date: str) -> str:
    """The digest of a group, at most 600 characters. title: the group's; date: "11-21".

    What does not fit is left out from the end of its part, the numbers never.
    """
    counts = day.counts
    head = texts("digest.head", title=title, date=date)
    told = [texts("digest.numbers", messages=counts.messages, members=counts.members)]
    if counts.newcomers:
        told.append(texts("digest.newcomers", count=counts.newcomers))
    if counts.answers:
        told.append(texts("digest.answers", count=counts.answers))
    parts = [
        (texts("digest.topics"), [_topic(texts, one) for one in day.topics]),
        (
            texts("digest.open"),
            [
                texts("digest.question", name=called(texts, one.name), text=one.text)
                for one in day.open
            ],
        ),
        (
            texts("digest.best"),
            [
                texts("digest.answer", name=called(texts, one.name), text=one.text)
                for one in day.best
            ],
        ),
    ]
    lines = [head, "，".join(told)]
    room = LONGEST - len("\n".join(lines))
    for name, said in parts:
        kept: list[str] = []
        for line in said:
            need = len(line) + 1 + (0 if kept else len(name) + 1)
            if need <= room:
                room -= need
                kept.append(line)
        if kept:
            lines += [name, *kept]
    return "\n".join(lines)


def _topic(texts: Texts, one: Topic) -> str:
    words = " · ".join(one.words)
    return texts("digest.topic", words=words, count=one.turns, example=one.example)


async def today(ctx: Context, group: Group) -> str:
    """What the digest of a group would say by now; that there is none, on a day too quiet."""
    midnight = ctx.now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    heard = await ctx.store.digests.heard(group.place, midnight, ctx.at, MOST)
    counts = Counts(heard.messages, heard.members, heard.newcomers, heard.answers)
    words = ctx.knowledge.words
    day = await asyncio.to_thread(from_rows, heard.lines, counts, words.cut, words.rarity, ctx.at)
    if day is None:
        return ctx.texts("digest.too_quiet", title=group.title)
    text = digest_text(ctx.texts, day, group.title, ctx.today[5:])
    return ctx.texts("digest.now", text=text)
