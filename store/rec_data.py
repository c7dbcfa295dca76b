"""What recommendations are made of: what members did with items, what is known of both.

Reads only. Training reads it all at once, in a process of its own (`store/insight_reads.py`);
an answer reads one member. Who does not want to be profiled is in none of it but in `holdings`:
what somebody has is not shown to them again, and to know that takes no profile.

That an item was shown is no deed. A tap that may be the same as another one (`events.AGAIN`) is
none either.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple, TypeAlias

from store import consents, rec_lists
from store.courses import Step, learning_from
from store.db import Database
from store.dialect import Connection
from store.feature_reads import unrecorded
from store.reach import many
from store.used_up import UNRECORDED

Deed: TypeAlias = tuple[int, str, str, float, float | None]
"""(member, item, kind, when, amount). kind: one of KINDS; amount: percent of progress, fen of a
purchase, None for none."""

KINDS = (
    "view",
    "click",
    "ask",
    "claim",
    "enrol",
    "progress",
    "complete",
    "purchase",
    "refund",
    "dislike",
)

Band: TypeAlias = Callable[[float], str]
"""A price in fen -> what its like is called; "" for none."""

Levels: TypeAlias = Sequence[tuple[str, int]]
"""(name, points ever earned that reach it)."""

ITEM = "item:"
TOPICS = 3
"""So many topics of a member are those that they asked about most."""

_BLOCK = 20_000


# Deeds

# `kind || ''` and `coalesce`: most of the table is wanted, and reading it row by row in the order
# of an index takes three times as long.
ALL = "coalesce(member_id, 0) > 0"
_EVENT_KIND = (
    "case kind when 'add_to_cart' then 'claim' when 'enroll' then 'enrol' "
    "when 'complete' then case chapter_id when '' then 'complete' else 'progress' end "
    "else kind end"
)
_EVENTS = (
    f"select member_id, item_id, {_EVENT_KIND}, at, "
    "case kind when 'progress' then case chapter_id when '' then percent end "
    "when 'purchase' then amount_cents end, '' from events "
    "where {who} and item_id <> '' and at >= :since and at < :until "
    "and kind || '' in ('view', 'click', 'add_to_cart', 'claim', 'enroll', 'progress', "
    "'complete', 'purchase', 'refund') and (kind || '' <> 'view' or link_id is null)"
)
# A refund of a whole order takes back everything in it.
_REFUNDS = (
    "select r.member_id, p.item_id, 'refund', r.at, null, '' from (select member_id, order_id, at "
    "from events where kind = 'refund' and {who} and item_id = '' and order_id <> '' "
    "and at >= :since and at < :until) as r "
    "join events as p on p.member_id = r.member_id and p.order_id = r.order_id "
    "and p.kind || '' = 'purchase' and p.item_id <> ''"
)
_LOG_KIND = (
    f"case when handler = '{rec_lists.PICKED}' then 'click' "
    "when handler like 'follow.%' or handler = 'faq.useful' then 'ask' else 'view' end"
)
_LOG = (
    f"select member_id, substr(item, 6), {_LOG_KIND}, at, null, place from interactions "
    f"where {{who}} and item like '{ITEM}%' and at >= :since and at < :until "
    "and handler not like 'operator%' and handler <> 'faq.useless' "
    f"and (handler not like 'recommend%' or handler = '{rec_lists.PICKED}')"
)
_DISLIKES = (
    "select member_id, item_id, 'dislike', at, null, '' from dislikes "
    "where {who} and at >= :since and at < :until"
)
SOURCES = (_EVENTS, _REFUNDS, _LOG, _DISLIKES)
"""Statements that give deeds and where they were done; {who}: whose, from :since until :until."""


def _read(
    conn: Connection, sql: str, args: dict[str, Any] | Sequence[Any]
) -> Iterator[tuple[Any, ...]]:
    cursor = conn.execute(sql, args)
    while rows := cursor.fetchmany(_BLOCK):
        yield from rows


def deeds(
    conn: Connection, since: float, until: float, without: Collection[int] = frozenset()
) -> Iterator[Deed]:
    """What members did with items from `since` on and before `until`, in no order.

    without: members of whom nothing is read. What somebody did before they agreed to be profiled
    is left out, and so is what was said in groups by who wants nothing recorded there. Items may
    be in no catalogue.
    """
    silent = unrecorded(conn)
    begun = consents.agreed(conn, consents.PROFILING)
    args = {"since": since, "until": until}
    out = frozenset(without)
    for sql in SOURCES:
        rows = _read(conn, sql.replace("{who}", ALL), args)
        if not (silent or begun or out):
            for row in rows:
                yield row[:5]
            continue
        for row in rows:
            member_id = row[0]
            if member_id in out or (row[5] and member_id in silent):
                continue
            if row[3] >= begun.get(member_id, -math.inf):
                yield row[:5]


def count_deeds(conn: Connection, since: float, until: float) -> int:
    """About how much there is: nobody is left out of it."""
    args = {"since": since, "until": until}
    return sum(
        int(
            conn.execute(
                f"select count(*) from ({sql.replace('{who}', ALL)}) as deeds", args
            ).fetchone()[0]
        )
        for sql in SOURCES
    )


def past(conn: Connection, member_id: int, since: float) -> list[Deed]:
    """What one member did since then, the oldest first. Whether they may be profiled is not
    asked here."""
    silent = bool(_unrecorded(conn, [member_id]))
    first = max(since, _agreed_at(conn, member_id))
    args = {"since": first, "until": math.inf, "member": member_id}
    found = [
        row[:5]
        for sql in SOURCES
        for row in conn.execute(sql.replace("{who}", "member_id = :member"), args)
        if not (row[5] and silent)
    ]
    return sorted(found, key=lambda one: (one[3], one[1], one[2]))


def _agreed_at(conn: Connection, member_id: int) -> float:
    """Since when they agree to be profiled; 0.0 when they never said so."""
    row = conn.execute(
        "select at from consents where member_id = ? and purpose = ? and granted = 1",
        (member_id, consents.PROFILING),
    ).fetchone()
    return 0.0 if row is None else float(row[0])


def _unrecorded(conn: Connection, member_ids: Collection[int] | None) -> set[int]:
    """Those of them of whom nothing that is said in groups may be known; None: of all."""
    if member_ids is None:
        return unrecorded(conn)
    sql = "select member_id from member_settings where member_id in ({rows}) and name = ?"
    return {row[0] for row in many(conn, sql, member_ids, UNRECORDED)}


def active(conn: Connection, since: float, without: Collection[int] = frozenset()) -> list[int]:
    """Members who wrote, tapped or did anything in the shop since then, by number."""
    rows = conn.execute(
        "select member_id from interactions where at >= ? union "
        "select member_id from events where member_id is not null and at >= ? order by 1",
        (since, since),
    )
    out = frozenset(without)
    return [row[0] for row in rows if row[0] not in out]


def known_to(conn: Connection, made_at: float, *, opt_in: bool) -> set[int]:
    """Members of whom a model that was made then may know anything today.

    Not who is gone, who refused, or who agreed only since: then it begins anew.
    """
    agreed = consents.agreed(conn, consents.PROFILING)
    late = {member_id for member_id, at in agreed.items() if at > made_at}
    rows = _read(conn, "select id from members", ())
    out = late | consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
    return {row[0] for row in rows if row[0] not in out}


# Items


class Thing(NamedTuple):
    """An item of the catalogue, archived ones too. live: it is not archived.

    published_at: Unix seconds, 0.0 for unknown. available_until: None for always.
    """

    id: str
    kind: str
    title: str
    summary: str
    tags: tuple[str, ...]
    authors: tuple[str, ...]
    level: str
    price_cents: int
    series: str
    requires: tuple[str, ...]
    needs_tier: str
    published_at: float
    available_from: float
    available_until: float | None
    live: bool

    def available(self, now: float) -> bool:
        """Whether it is on the shelf and may be had at this moment."""
        ends = self.available_until
        return self.live and self.available_from <= now and (ends is None or now < ends)

    def features(self, band: Band) -> tuple[str, ...]:
        """What it has in common with others: "tag:写作", "price:mid" …; its words are not in it."""
        price = band(float(self.price_cents))
        found = [f"kind:{self.kind}"]
        found += [f"tag:{tag}" for tag in self.tags]
        found += [f"author:{author}" for author in self.authors]
        found += [f"level:{self.level}"] if self.level else []
        found += [f"series:{self.series}"] if self.series else []
        found += [f"price:{price}"] if price else []
        return tuple(dict.fromkeys(found))


def things(conn: Connection) -> list[Thing]:
    """Every item there is or was, by id."""
    rows = conn.execute(
        "select id, kind, title, summary, tags, authors, level, price_cents, series, requires, "
        "needs_tier, published_at, available_from, available_until, archived_at is null "
        "from items order by id"
    )
    return [
        Thing._make(
            (
                *(*row[:4], _parts(row[4]), _parts(row[5]), *row[6:9], _parts(row[9])),
                *(*row[10:14], bool(row[14])),
            )
        )
        for row in rows
    ]


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split("|") if part)


# Members


_CHANNELS = "select distinct member_id, 'channel:' || channel from identities where {which}"
_STATES = "select member_id, 'state:' || state from member_features where state <> '' and {which}"
_SINCE = (
    "select member_id, 'tag:' || tag from member_tags where {which} and since < ?",
    "select distinct member_id, 'community:' || cast(community_id as text) "
    "from community_members where {which} and since < ?",
    "select member_id, 'topic:' || topic from subscriptions where {which} and since < ?",
)
_MEMBERS = "select id, tier, tier_until from members where {which}"
_EARNED = "select member_id, earned from point_accounts where {which}"
_PAID = (
    "select member_id, avg(amount_cents) from events where kind || '' = 'purchase' "
    "and item_id <> '' and {which} and at < ? group by member_id"
)
_ASKED = (
    "select member_id, item, place <> '' from interactions "
    f"where item like '{ITEM}%' and {{which}} and at < ? "
    "and handler not like 'operator%' and handler not like 'recommend%'"
)
_TAGS = "select tags from items where id = ?"


def _of(
    conn: Connection, sql: str, member_ids: Collection[int] | None, *after: Any, column: str = ""
) -> Iterator[tuple[Any, ...]]:
    """The rows of these members, or of all."""
    name = column or "member_id"
    if member_ids is None:
        return _read(conn, sql.replace("{which}", f"coalesce({name}, 0) > 0"), after)
    return many(conn, sql.replace("{which}", f"{name} in ({{rows}})"), member_ids, *after)


def people(
    conn: Connection,
    now: float,
    member_ids: Collection[int] | None = None,
    without: Collection[int] = frozenset(),
    *,
    band: Band,
    levels: Levels = (),
    then: bool = False,
) -> dict[int, tuple[str, ...]]:
    """What members have in common with others; member_ids: None for all, without those left out.

    What they asked and paid is that of before `now`. then: `now` is a past moment, and only what
    was known at it is told, for a model that must not know what came after: tags, communities and
    subscriptions that there were already; no state, tier and level, of which only today's is kept.
    A channel is as it is: whoever did something came by one. Who is gone is left out.
    """
    tiers = {
        row[0]: row[1] if row[1] and (row[2] is None or row[2] > now) else ""
        for row in _of(conn, _MEMBERS, member_ids, column="id")
    }
    for member_id in without:
        tiers.pop(member_id, None)
    found: dict[int, list[str]] = {
        member_id: [f"tier:{tier}"] if tier and not then else []
        for member_id, tier in tiers.items()
    }
    until = now if then else math.inf
    told = [_of(conn, sql, member_ids, until) for sql in _SINCE]
    told += [_of(conn, sql, member_ids) for sql in (_CHANNELS, *(() if then else (_STATES,)))]
    for member_id, feature in chain.from_iterable(told):
        if member_id in found:
            found[member_id].append(feature)
    ladder = [] if then else sorted(levels, key=lambda one: one[1])
    if ladder:
        for member_id, earned in _of(conn, _EARNED, member_ids):
            reached = [name for name, least in ladder if least <= earned]
            if member_id in found and reached:
                found[member_id].append(f"level:{reached[-1]}")
    for member_id, cents in _of(conn, _PAID, member_ids, now):
        if member_id in found and (price := band(float(cents))):
            found[member_id].append(f"price:{price}")
    for member_id, topics in _topics(conn, member_ids, now).items():
        if member_id in found:
            found[member_id] += [f"topic:{topic}" for topic in topics]
    return {member_id: tuple(dict.fromkeys(own)) for member_id, own in found.items()}


def _topics(
    conn: Connection, member_ids: Collection[int] | None, now: float
) -> dict[int, list[str]]:
    """Tags of the items that members asked about most."""
    silent = _unrecorded(conn, member_ids)
    tags: dict[str, tuple[str, ...]] = {}
    counts: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for member_id, item, grouped in _of(conn, _ASKED, member_ids, now):
        if grouped and member_id in silent:
            continue
        if item not in tags:
            row = conn.execute(_TAGS, (item.removeprefix(ITEM),)).fetchone()
            tags[item] = () if row is None else _parts(row[0])
        own = counts[member_id]
        for tag in tags[item]:
            own[tag] = own.get(tag, 0) + 1
    return {
        member_id: [
            tag for tag, _ in sorted(own.items(), key=lambda one: (-one[1], one[0]))[:TOPICS]
        ]
        for member_id, own in counts.items()
    }


class Holdings(NamedTuple):
    """What a member has. owned: bought, enrolled or begun, and not given back; finished: of any;
    returned: given back, and not taken again."""

    owned: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    returned: frozenset[str] = frozenset()


_STEPS = (
    "select member_id, kind, at, item_id, chapter_id, percent, order_id from events "
    "where kind || '' in ('purchase', 'enroll', 'progress', 'complete', 'refund') "
    "and (item_id <> '' or kind || '' = 'refund') and {which}"
)
_PLAIN = (
    "select member_id, item_id, max(case when kind = 'complete' and chapter_id = '' "
    "then 1 else 0 end) from events "
    "where kind || '' in ('purchase', 'enroll', 'progress', 'complete') "
    "and item_id <> '' and {which} group by 1, 2 order by 1"
)
_RETURNERS = "select distinct member_id from events where kind = 'refund' and member_id is not null"


def holdings(conn: Connection, member_ids: Collection[int] | None = None) -> dict[int, Holdings]:
    """What these members have, or (None) all; who has nothing is left out.

    Also of those who do not want to be profiled.
    """
    if member_ids is not None:
        told = {
            member_id: _holdings(steps)
            for member_id, steps in _by_member(list(_of(conn, _STEPS, member_ids)))
        }
        return {member_id: one for member_id, one in told.items() if any(one)}
    # Refunds are looked at one by one; most members have none.
    returners = {row[0] for row in conn.execute(_RETURNERS)}
    found = holdings(conn, sorted(returners)) if returners else {}
    for member_id, rows in groupby(_of(conn, _PLAIN, None), key=lambda row: row[0]):
        if member_id not in returners:
            own = list(rows)
            found[member_id] = Holdings(
                frozenset(row[1] for row in own), frozenset(row[1] for row in own if row[2])
            )
    return found


def _by_member(rows: list[tuple[Any, ...]]) -> Iterator[tuple[int, list[Step]]]:
    by_number: defaultdict[int, list[Step]] = defaultdict(list)
    for row in rows:
        by_number[row[0]].append(Step(*row[1:]))
    yield from by_number.items()


def _holdings(steps: Sequence[Step]) -> Holdings:
    """Of one member: as their list of courses says it, and a whole order may be given back."""
    whole = [step for step in steps if step.kind == "refund" and not step.item_id]
    lines = [
        Step("refund", back.at, step.item_id, order_id=back.order_id)
        for back in whole
        for step in steps
        if back.order_id and step.kind == "purchase" and step.order_id == back.order_id
    ]
    own = [*(step for step in steps if step.item_id), *lines]
    learnt = learning_from(own)
    owned = frozenset(one.item_id for one in learnt if one.ended_at is None)
    return Holdings(
        owned,
        frozenset(one.item_id for one in learnt if one.completed_at is not None),
        frozenset(step.item_id for step in own if step.kind == "refund") - owned,
    )


# One member


class Known(NamedTuple):
    """All that an answer needs of a member. profiled: they did not refuse it; features and past
    are empty otherwise. tier: of their membership now, "" for none. agreed_at: since when they
    agree to be profiled, 0.0 where they never had to say it: a model that learned of them before
    may not be asked."""

    profiled: bool
    features: tuple[str, ...]
    tier: str
    past: list[Deed]
    holdings: Holdings
    disliked: frozenset[str]
    recent: dict[str, rec_lists.Seen]
    agreed_at: float = 0.0


class RecData:
    """What the recommender asks about one member. Errors: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def known(
        self,
        member_id: int,
        since: float,
        now: float,
        *,
        opt_in: bool,
        band: Band,
        levels: Levels = (),
        shown_since: float = math.inf,
    ) -> Known | None:
        """What is known of a member, all of one moment; None for nobody.

        since: from when on what they did counts; shown_since: the same for what they were shown.
        """

        def run(conn: Connection) -> Known | None:
            row = conn.execute(
                "select tier, tier_until from members where id = ?", (member_id,)
            ).fetchone()
            if row is None:
                return None
            profiled = may_profile(conn, member_id, opt_in=opt_in)
            features: tuple[str, ...] = ()
            if profiled:
                own = people(conn, now, [member_id], band=band, levels=levels)
                features = own.get(member_id, ())
            return Known(
                profiled,
                features,
                row[0] if row[0] and (row[1] is None or row[1] > now) else "",
                past(conn, member_id, since) if profiled else [],
                holdings(conn, [member_id]).get(member_id, Holdings()),
                frozenset(rec_lists.disliked(conn, member_id)),
                {} if math.isinf(shown_since) else rec_lists.recent(conn, member_id, shown_since),
                _agreed_at(conn, member_id),
            )

        return await self._db.read(run)

    async def things(self) -> list[Thing]:
        """Every item there is or was, by id."""
        return await self._db.read(things)


def may_profile(conn: Connection, member_id: int, *, opt_in: bool) -> bool:
    """Whether this member may be looked at one by one."""
    row = conn.execute(
        "select granted from consents where member_id = ? and purpose = ?",
        (member_id, consents.PROFILING),
    ).fetchone()
    return not opt_in if row is None else bool(row[0])
