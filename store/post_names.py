"""Who is named in what waits to be posted: taken out of it when they are forgotten, or wish so.

A welcome names several people and a quiz its winners, so such a post belongs to no member: whom
it names is found by what it says, their ids on every channel and every name groups know of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from store.dialect import Connection
from store.posts import DROPPED, PLANNED, Post, post_from_json, post_to_json

GREETS = ("welcome", "digest")
"""Kinds of posts that tell of people because they are there, and for no other reason."""

_TO_SOMEBODY = ("welcome", "order")
"""Kinds of posts that are for whom they mention: without anybody there is nothing to post."""

_OPERATORS = ("campaign", "push")
"""Kinds of posts that an operator wrote: their words stay, only nobody is mentioned."""

_SHOWN = 19
"""Of a long name so many characters are shown: `scheduler/welcomes.py`."""

_NOBODY = "…"


def unname(conn: Connection, member_id: int, now: float | None, kinds: Collection[str] = ()) -> int:
    """Take a member out of all that is not posted yet; says from how many posts.

    kinds: of these posts alone; none: of all. now: None where nobody says when. Call it while
    their rows still say who they are.
    """
    ids = {
        str(row[0])
        for row in conn.execute(
            "select external_id from identities where member_id = ?", (member_id,)
        )
    }
    names = _names(conn, member_id)
    if not ids and not names:
        return 0
    rows = conn.execute("select id, kind, status, body from posts where body <> ''").fetchall()
    changed = 0
    for number, kind, status, body in rows:
        if kinds and kind not in kinds:
            continue
        left = _without(kind, body, ids, names)
        if left == body:
            continue
        changed += 1
        dropped = not left and status == PLANNED
        conn.execute(
            "update posts set body = ?, status = ?, settled_at = "
            "case when ? = 1 then coalesce(?, due_at) else settled_at end where id = ?",
            (left, DROPPED if dropped else status, int(dropped), now, number),
        )
    return changed


def _without(kind: str, body: str, ids: Collection[str], names: Collection[str]) -> str:
    """What is left to say of a post, "" for nothing."""
    named = any(one in body for one in ids)
    if not named and not any(one in body for one in names):
        return body
    try:
        post = post_from_json(body)
    except ValueError:
        return "" if named else body
    mentions = tuple(one for one in post.mentions if one not in ids)
    if kind in _TO_SOMEBODY and post.mentions and not mentions:
        return ""
    content = post.content if kind in _OPERATORS else _blotted(post.content, names)
    left = post_to_json(_changed(post, mentions, content))
    return "" if any(one in left for one in ids) else left


def _changed(post: Post, mentions: tuple[str, ...], content: str) -> Post:
    if (mentions, content) == (post.mentions, post.content):
        return post
    return replace(post, mentions=mentions, content=content)


def _blotted(text: str, names: Collection[str]) -> str:
    """The text with nobody in the place of these names, the longest first."""
    for name in sorted(names, key=len, reverse=True):
        if len(name) > 1:
            text = text.replace(name, _NOBODY)
        else:
            # One letter is part of many words: only where it stands alone.
            text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", _NOBODY, text)
    return text


def _names(conn: Connection, member_id: int) -> set[str]:
    """What they are called anywhere, as it is kept and as it is shown."""
    rows = conn.execute(
        "select name from group_members where member_id = ? union "
        "select value from member_settings where member_id = ? and name = 'name' union "
        "select name from signup_entries where member_id = ?",
        (member_id, member_id, member_id),
    )
    found = set()
    for (name,) in rows:
        line = " ".join(str(name).split()).lstrip("@＠").strip()
        found |= {str(name), line, line[:_SHOWN] if len(line) > _SHOWN + 1 else line}
    return found - {""}
