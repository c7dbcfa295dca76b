"""What is posted into groups: a row before it leaves, one call at a time, never too fast.

planned -> sending -> sent | refused | unknown, or expired when its time has passed, or dropped
when somebody took it back. `sending` is committed before the call leaves, so a crash leaves
`unknown` behind, which is listed for an operator and never posted again by itself.

A channel posts at most so many in any 60 seconds, counted in this file and therefore by all
processes together. A post counts from the moment its call ended, the latest at which it can have
left: the next one that is let through is a full minute behind it, however slow that call was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from store import hush
from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed
from store.paces import close as close_pace
from store.statements import rows_of

PostKind = Literal["text", "markdown", "markdown_v2", "news", "image", "file", "card"]
POST_KINDS: tuple[PostKind, ...] = get_args(PostKind)

PLANNED = "planned"
SENDING = "sending"
SENT = "sent"
REFUSED = "refused"
UNKNOWN = "unknown"
EXPIRED = "expired"
DROPPED = "dropped"

MINUTE_S = 60.0

LONGEST_CLOSE_S = 600.0
"""A channel is never left alone for longer than this at a time."""

_LONGEST_CALL_S = 300.0
"""No call takes longer: an upload and a post, each once more, a minute each, and some."""

_SKEW_S = 60.0
"""A moment that lies further ahead was written by a clock that has been set back since."""


@dataclass(frozen=True, slots=True)
class PostArticle:
    """A card of a news post."""

    title: str
    description: str = ""
    url: str = ""
    picture_url: str = ""


@dataclass(frozen=True, slots=True)
class Post:
    """One message into a group, whatever the channel.

    mentions: ids on that channel, "@all" for everybody, "tel:13800000000" for a phone number.
    asset_id: the picture or file (`store.assets`). quote: id of the message it answers, where the
    channel can quote. card: a template card as WeCom takes it.
    """

    kind: PostKind
    content: str = ""
    mentions: tuple[str, ...] = ()
    articles: tuple[PostArticle, ...] = ()
    asset_id: int | None = None
    quote: str = ""
    card: Mapping[str, Any] | None = None


_EMPTY = Post("text")
_FIELDS = tuple(one.name for one in fields(Post) if one.name != "kind")


def post_to_json(post: Post) -> str:
    """As it is stored; what a post does not have is left out."""
    kept = {name: value for name, value in asdict(post).items() if value != getattr(_EMPTY, name)}
    return json.dumps({"kind": post.kind, **kept}, ensure_ascii=False)


def post_from_json(text: str) -> Post:
    """What `post_to_json` made. Errors: ValueError for anything else."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("kind") not in POST_KINDS:
        raise ValueError("not a post")
    values = {name: data[name] for name in _FIELDS if name in data}
    try:
        values["mentions"] = tuple(values.get("mentions", ()))
        values["articles"] = tuple(PostArticle(**one) for one in values.get("articles", ()))
    except TypeError as error:
        raise ValueError("not a post") from error
    return Post(data["kind"], **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPost:
    """A post to plan.

    key: 16 bytes that name it for ever; the same key is planned once. channel: the one that
    posts. kind: what it is for: "welcome", "digest", "campaign", "notice", "order", "quiz",
    "eager", "late" or "weekly". not_after: it is not posted later than this; None: it waits as
    long as it takes. member_id: whom it is about.
    """

    key: bytes
    channel: str
    place: str
    kind: str
    body: Post
    due_at: float
    not_after: float | None = None
    campaign_id: int | None = None
    variant: str = ""
    member_id: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A post whose call may leave now. body: JSON of the Post. tries: calls before this one;
    errcode: how the last of them was turned away, None when there was none."""

    id: int
    key: bytes
    channel: str
    place: str
    kind: str
    body: str
    tries: int
    errcode: int | None


@dataclass(frozen=True, slots=True)
class ListedPost:
    """A post that an operator should know of."""

    id: int
    channel: str
    place: str
    kind: str
    status: str
    created_at: float
    errcode: int | None
    note: str


@dataclass(frozen=True, slots=True)
class PostRow:
    """A post as lists show it, whatever became of it; nothing of what it says."""

    id: int
    channel: str
    place: str
    kind: str
    status: str
    created_at: float
    due_at: float
    not_after: float | None
    settled_at: float | None
    errcode: int | None
    note: str
    campaign_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that wants something posted, under a name of its own.

    key_id: the API key; name: its Idempotency-Key; fingerprint: a hash of the request; deed,
    target, detail: its line of the audit. answer: makes the JSON that is answered.
    """

    key_id: str
    name: str
    fingerprint: bytes
    deed: Deed
    target: str
    detail: str
    answer: Callable[[PostRow], str]


_ROW = (
    "id, channel, place, kind, status, created_at, due_at, not_after, settled_at, errcode, note, "
    "campaign_id"
)


def plan_in(conn: Connection, new: NewPost, now: float) -> bool:
    """Plan a post inside a transaction; False when its key is known."""
    row = conn.execute(
        "insert into posts (key, channel, place, kind, body, status, created_at, due_at, "
        "not_after, campaign_id, variant, member_id) "
        "values (?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?, ?, ?) "
        "on conflict (key) do nothing returning id",
        (
            *(new.key, new.channel, new.place, new.kind, post_to_json(new.body), now, new.due_at),
            *(new.not_after, new.campaign_id, new.variant, new.member_id),
        ),
    ).fetchone()
    return row is not None


def pace_of(channel: str) -> str:
    """The name of a channel's pace in `paces`."""
    return f"group:{channel}"


_GOES = (
    "(campaign_id is null or exists (select 1 from campaigns as c "
    f"where c.id = posts.campaign_id and c.status = 'running')) and {hush.WELCOME_SQL}"
)
"""What nobody wants now, such as a paused campaign's posts, stays where it is and holds nothing
up."""


def _next(channel: str, muted: Sequence[str], now: float) -> tuple[str, list[Any]]:
    """What may be next on a channel: all that is planned, but nothing behind a post that was put
    off: the parts of a long text stay in their order. Nothing of muted places."""
    marks = ", ".join("?" * len(muted))
    may = (
        f"channel = ? and status = 'planned' and {_GOES} "
        + (f"and place not in ({marks}) " if muted else "")
        + "and (not_after is null or not_after >= ?) "
    )
    sql = (
        f"from posts where {may}and id <= coalesce("
        f"(select min(id) from posts where {may}and tries > 0), id) "
    )
    return sql, [channel, *muted, now] * 2


def _busy(conn: Connection, channel: str) -> bool:
    row = conn.execute(
        "select 1 from posts where status = 'sending' and channel = ? limit 1", (channel,)
    ).fetchone()
    return row is not None


def _opens_at(conn: Connection, channel: str, per_minute: int, now: float) -> float:
    """From when this channel may post again; `now` or earlier when it may."""
    last = conn.execute(
        "select settled_at from posts where channel = ? and claimed_at is not null "
        "and settled_at > ? and status in ('sent', 'refused', 'unknown') "
        "order by settled_at desc limit ?",
        (channel, now - MINUTE_S, per_minute),
    ).fetchall()
    closed = conn.execute(
        "select closed_until from paces where name = ?", (pace_of(channel),)
    ).fetchone()
    until = 0.0 if closed is None or closed[0] > now + LONGEST_CLOSE_S else float(closed[0])
    return max(until, now if len(last) < per_minute else last[-1][0] + MINUTE_S)


def _set_back(conn: Connection, channel: str, now: float) -> None:
    """Calls of the future were made by now at the latest: they count for a minute from here."""
    conn.execute(
        "update posts set claimed_at = ?, "
        "settled_at = case when settled_at > ? then ? else settled_at end, "
        "due_at = case when status = 'planned' then ? else due_at end "
        "where channel = ? and claimed_at > ?",
        (now, now, now, now, channel, now + _SKEW_S),
    )


def _expire(conn: Connection, now: float) -> None:
    conn.execute(
        "update posts set status = 'expired', settled_at = ?, body = '' "
        "where status = 'planned' and not_after < ?",
        (now, now),
    )
    # Of calls that a restart found without an end: whoever made one does not put it off any more.
    conn.execute(
        "update posts set body = '' where status = 'unknown' and settled_at < ? and body <> ''",
        (now - _LONGEST_CALL_S,),
    )


class Posts:
    """The table `posts`. Errors of all: StoreError."""

    plan_in = staticmethod(plan_in)

    def __init__(self, db: Database) -> None:
        self._db = db

    async def plan(self, new: NewPost, now: float) -> bool:
        """Plan a post; False when its key is known."""
        return await self._db.write(lambda conn: plan_in(conn, new, now))

    async def plan_asked(self, new: NewPost, asked: Asked, now: float) -> str | None:
        """Plan a post for a request; the same request again gets the same answer, word for word.

        None: another request had its name.
        """

        def run(conn: Connection) -> str | None:
            known = conn.execute(
                "select fingerprint, answer from idempotency where key_id = ? and name = ?",
                (asked.key_id, asked.name),
            ).fetchone()
            if known is not None:
                return str(known[1]) if bytes(known[0]) == asked.fingerprint else None
            if plan_in(conn, new, now):
                asked.deed.write(conn, asked.target, asked.detail)
            row = conn.execute(f"select {_ROW} from posts where key = ?", (new.key,)).fetchone()
            answer = asked.answer(PostRow(*row))
            conn.execute(
                "insert into idempotency (key_id, name, fingerprint, status, answer, at) "
                "values (?, ?, ?, 201, ?, ?)",
                (asked.key_id, asked.name, asked.fingerprint, answer, now),
            )
            return answer

        return await self._db.write(run)

    async def claim(self, now: float, paces: Mapping[str, int], limit: int = 50) -> list[Claimed]:
        """Take what may be posted now: of each channel one at most, in the order of planning.

        paces: channel -> posts in any 60 seconds; the others' posts stay where they are. Nothing
        of a channel that has a call under way, and nothing into a group that is muted, was unbound
        or left. What may not be posted any more expires.
        """

        def run(conn: Connection) -> list[Claimed]:
            _expire(conn, now)
            muted = hush.muted(conn, now)
            hush.expire(conn, muted, now)
            found = []
            for channel, per_minute in paces.items():
                _set_back(conn, channel, now)
                if _busy(conn, channel) or _opens_at(conn, channel, per_minute, now) > now:
                    continue
                sql, args = _next(channel, muted, now)
                row = conn.execute(
                    f"select id, key, channel, place, kind, body, tries, errcode {sql}"
                    "and due_at <= ? order by id limit 1",
                    (*args, now),
                ).fetchone()
                if row is not None:
                    found.append(Claimed(*row))
            found.sort(key=lambda one: one.id)
            for one in found[:limit]:
                conn.execute(
                    "update posts set status = 'sending', tries = tries + 1, claimed_at = ? "
                    "where id = ?",
                    (now, one.id),
                )
            return found[:limit]

        return await self._db.write(run)

    async def settle(
        self,
        post_id: int,
        status: str,
        now: float,
        *,
        errcode: int | None = None,
        note: str = "",
        message_id: str = "",
    ) -> None:
        """Write how it ended: sent, refused or unknown. Its words go: it is never posted again.

        Who made the call knows better than who found it without an end after a restart.
        """

        def run(conn: Connection) -> None:
            conn.execute(
                "update posts set status = ?, settled_at = ?, errcode = ?, note = ?, "
                "message_id = ?, body = '' where id = ? and status in ('sending', 'unknown')",
                (status, now, errcode, note, message_id, post_id),
            )

        await self._db.write(run)

    async def put_off(
        self,
        post_id: int,
        now: float,
        pause_s: float,
        *,
        errcode: int | None = None,
        note: str = "",
        close: bool = False,
    ) -> None:
        """It certainly was not posted: again after `pause_s`, before all that is behind it.

        close: the whole channel rests so long, 10 minutes at most.
        """
        pause_s = min(pause_s, LONGEST_CLOSE_S) if close else pause_s

        def run(conn: Connection) -> None:
            # A text that is gone is a forgotten member's: there is nothing left to post.
            row = conn.execute(
                "update posts set status = case when body = '' then 'dropped' else 'planned' end, "
                "settled_at = case when body = '' then ? end, "
                "due_at = ?, errcode = ?, note = ? "
                "where id = ? and status in ('sending', 'unknown') returning channel",
                (now, now + pause_s, errcode, note, post_id),
            ).fetchone()
            if row is not None and close:
                close_pace(conn, pace_of(row[0]), now + pause_s, now)

        await self._db.write(run)

    async def drop(
        self,
        now: float,
        *,
        ids: Collection[int] = (),
        place: str = "",
        kind: str = "",
        campaign_id: int | None = None,
    ) -> int:
        """Take back what is planned, all that fits every word given; says how many.

        What is under way is not taken back. Errors: ValueError when no word is given.
        """
        words = {"place": place or None, "kind": kind or None, "campaign_id": campaign_id}
        given = {name: value for name, value in words.items() if value is not None}
        if not given and not ids:
            raise ValueError("say which posts")

        sql = (
            "update posts set status = 'dropped', settled_at = ?, body = '' "
            "where status = 'planned'" + "".join(f" and {name} = ?" for name in given)
        )

        def run(conn: Connection) -> int:
            args = (now, *given.values())
            if not ids:
                return conn.execute(sql, args).rowcount
            return sum(conn.execute(f"{sql} and id = ?", (*args, one)).rowcount for one in ids)

        return await self._db.write(run)

    async def next_due(self, now: float, paces: Mapping[str, int]) -> float | None:
        """When `claim` with these paces will find something; None when nothing is planned.

        Not for a channel with a call under way: its end says more. Nor for what waits for the
        end of a mute: `claim` finds it then.
        """

        def run(conn: Connection) -> float | None:
            moments = []
            muted = hush.muted(conn, now)
            for channel, per_minute in paces.items():
                sql, args = _next(channel, muted, now)
                due = conn.execute(f"select min(due_at) {sql}", args).fetchone()[0]
                if due is not None and not _busy(conn, channel):
                    moments.append(max(due, _opens_at(conn, channel, per_minute, now)))
            return min(moments, default=None)

        return await self._db.read(run)

    async def recover(self, now: float) -> int:
        """After a crash: calls that were under way have an unknown end; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "update posts set status = 'unknown', settled_at = ?, "
                "note = 'the process ended during the call' where status = 'sending'",
                (now,),
            ).rowcount

        return await self._db.write(run)

    async def listed(self, limit: int = 20) -> list[ListedPost]:
        """Posts that were refused or whose end is unknown, newest first."""

        def run(conn: Connection) -> list[ListedPost]:
            rows = conn.execute(
                "select id, channel, place, kind, status, created_at, errcode, note from posts "
                "where status in ('refused', 'unknown') order by id desc limit ?",
                (limit,),
            )
            return [ListedPost(*row) for row in rows]

        return await self._db.read(run)

    async def latest(self, limit: int, place: str = "") -> list[ListedPost]:
        """The posts planned last, whatever became of them, newest first; of one place, or all."""
        where, args = ("where place = ? ", (place,)) if place else ("", ())

        def run(conn: Connection) -> list[ListedPost]:
            rows = conn.execute(
                "select id, channel, place, kind, status, created_at, errcode, note from posts "
                f"{where}order by id desc limit ?",
                (*args, limit),
            )
            return [ListedPost(*row) for row in rows]

        return await self._db.read(run)

    async def page(
        self, limit: int, *, before: int | None = None, place: str = "", status: str = ""
    ) -> list[PostRow]:
        """Posts, newest first, those before a number; "": of all places, of every status."""
        where = ["id < ?"]
        args: list[Any] = [2**63 - 1 if before is None else before]
        for column, value in (("place", place), ("status", status)):
            if value:
                where.append(f"{column} = ?")
                args.append(value)

        def run(conn: Connection) -> list[PostRow]:
            rows = conn.execute(
                f"select {_ROW} from posts where {' and '.join(where)} order by id desc limit ?",
                (*args, limit),
            )
            return [PostRow(*row) for row in rows]

        return await self._db.read(run)

    async def counts(self) -> dict[str, int]:
        """Rows by status."""

        def run(conn: Connection) -> dict[str, int]:
            return dict(conn.execute("select status, count(*) from posts group by status"))

        return await self._db.read(run)

    async def of_campaign(self, campaign_id: int) -> dict[tuple[str, str], int]:
        """Rows of a campaign by variant and status; {} for none."""

        def run(conn: Connection) -> dict[tuple[str, str], int]:
            rows = conn.execute(
                "select variant, status, count(*) from posts where campaign_id = ? "
                "group by variant, status",
                (campaign_id,),
            )
            return {(variant, status): count for variant, status, count in rows}

        return await self._db.read(run)

    async def purge(self, before: float) -> int:
        """Forget what ended before `before`; a campaign's report needs its posts for ever."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "delete from posts where status in "
                "('sent', 'refused', 'unknown', 'expired', 'dropped') and settled_at < ? "
                "and campaign_id is null",
                (before,),
            ).rowcount

        return await self._db.write(run)


# Of one person: `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What was posted about a member, or will be."""
    sql = (
        "select channel, place, kind, status, created_at, body from posts "
        "where member_id = ? order by id"
    )
    return {"posts": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """What is planned about them is not posted; of the rest the words go."""
    gone = conn.execute(
        "update posts set member_id = null, body = '', "
        "settled_at = case when status = 'planned' then ? else settled_at end, "
        "status = case when status = 'planned' then 'dropped' else status end "
        "where member_id = ?",
        (now, member_id),
    )
    return {"posts": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """What was about one of them was about the other."""
    conn.execute("update posts set member_id = ? where member_id = ?", (keep, drop))
