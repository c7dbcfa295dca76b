"""/audit: what operators did, newest first, and whether the record is as it was written."""

from __future__ import annotations

from datetime import datetime

from handlers.changes import number_from, short
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.texts import Texts

SHOWN = 10
MOST = 50


async def audit(message: Message, ctx: Context, rest: str) -> Reply:
    """/audit [n]: the newest rows; who did it and to what, not the words."""
    texts = ctx.texts
    count = number_from(rest) if rest else SHOWN
    if count is None or not 1 <= count <= MOST:
        return Reply.text(texts("audit.usage", limit=MOST))
    verdict = await ctx.store.audit.verify()
    rows = await ctx.store.audit.newest(count)
    if verdict.broken is not None:
        head = texts("audit.head_broken", row=verdict.broken)
    elif verdict.missing:
        head = texts("audit.head_missing")
    elif not rows:
        return Reply.text(texts("audit.none"))
    else:
        head = texts("audit.head_sound", rows=f"{verdict.rows:,}")
    lines = [
        texts(
            "audit.line",
            when=f"{datetime.fromtimestamp(row.at, SHANGHAI):%m-%d %H:%M}",
            actor=actor(texts, row.actor),
            action=action(texts, row.action),
            target=short(target(texts, row.target)),
        ).rstrip()
        for row in rows
    ]
    return Reply.text("\n".join((head, *lines)))


def action(texts: Texts, name: str) -> str:
    """ "campaign.undo" as 撤销群发的修改; what we have no word for as it is."""
    key = f"deed.{name.replace('.', '_')}"
    return texts(key) if key in texts.keys() else name  # noqa: SIM118 - no mapping


def target(texts: Texts, name: str) -> str:
    """ "campaign:3" as 活动 3; what we have no word for as it is."""
    kind, _, which = name.partition(":")
    key = f"target.{kind}"
    if not which or key not in texts.keys():  # noqa: SIM118 - no mapping
        return name
    return texts(key, which=which)


def actor(texts: Texts, name: str) -> str:
    """ "member:3" as 成员 3; what we have no word for as it is."""
    kind, _, which = name.partition(":")
    if kind == "member":
        return texts("audit.actor_member", number=which)
    if kind == "key":
        return texts("audit.actor_key", name=which)
    if kind in ("cli", "system"):
        return texts(f"audit.actor_{kind}")
    return name
