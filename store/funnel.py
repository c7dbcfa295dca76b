"""What outcomes are counted from: everybody's touches and orders, person by person.

The arithmetic is not ours (`insights/outcomes.py`): it is passed in and reads the rows as
they come, so that a report over a million events needs little memory.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from store.db import Database
from store.dialect import Connection

T = TypeVar("T")

Row = tuple[int | None, str, float, str, str, str, int, str, str, str]
"""member, who, at, kind, item, order, amount in cents, campaign, variant, source."""

_FAR_S = 1e11
"""Later than any event."""

_LAST = 2**62
"""Behind any number."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A period in numbers, of everybody together, shown in the chat or outside of it.

    exposed, clicked, claimed, bought: people. gross_cents and refunded_cents are those of
    the period's purchases and of the period's refunds.
    """

    exposures: int
    exposed: int
    clicks: int
    clicked: int
    claims: int
    claimed: int
    purchases: int
    bought: int
    gross_cents: int
    refunded_cents: int

    @property
    def net_cents(self) -> int:
        """Revenue less what was given back."""
        return self.gross_cents - self.refunded_cents


_COLUMNS = (
    "e.member_id, e.who, e.at, e.kind, e.item_id, e.order_id, e.amount_cents, "
    "e.campaign, e.variant, e.source"
)
_EVENT = f"select {_COLUMNS} from events as e"
_STEPS = "e.kind in ('exposure', 'click', 'claim')"
_MONEY = "e.kind in ('purchase', 'refund')"
_ANY = "e.kind in ('exposure', 'click', 'claim', 'purchase', 'refund')"
_PERIOD = "e.at >= :since and e.at < :until"
# A catalogue item that the bot showed alone is an exposure, owed to what the bot was doing.
_SHOWN = (
    "select i.member_id, '', i.at, 'exposure', substr(i.item, 6), '', 0, '', '', "
    "case when i.handler like 'faq%' then 'answer' "
    "when i.handler like 'recommend%' then 'recommendation' "
    "when i.handler like 'content%' then 'catalogue' else '' end from interactions as i "
    "where i.item like 'item:%'"
)


_ALL = (
    f"{_EVENT} where {_STEPS} and e.at >= :since - :window and e.at < :until "
    f"union all {_EVENT} where {_MONEY} "
    f"union all {_SHOWN} and i.at >= :since - :view_window and i.at < :until "
    "and i.id >= :first and i.id < :last order by 1, 2, 3"
)

_TOUCHED = (
    "(e.member_id in (select member_id from own where member_id is not null) "
    "or e.who in (select who from own where who <> ''))"
)
# A campaign's own rows, and the money and the unowed claims of whoever has one. The own are
# needed twice and kept, because reading a row of the file again costs more.
_ONE = (
    f"with own as materialized ({_EVENT} where e.campaign <> '' and e.campaign = :campaign "
    f"and {_ANY} and e.at >= :since - :window and e.at < :until) "
    f"select {_COLUMNS} from own as e where {_STEPS} "
    f"or {_PERIOD} and e.member_id is null and e.who = '' "
    f"union all {_EVENT} where e.kind in ('purchase', 'refund', 'claim') "
    f"and (e.kind <> 'claim' or {_PERIOD} and e.campaign = '' and e.source = '') and {_TOUCHED} "
    "order by 1, 2, 3"
)
# `||`: not to be found by their kind, there are far too many of that. The campaign's own are
# among them: comparing with it here would prepare the statement anew each time.
_TOUCHES = (
    "and e.at > :after and e.at <= :at and e.kind || '' in ('exposure', 'click') "
    "and (e.campaign <> '' or e.source <> '')"
)
_OF_MEMBER = (
    f"{_EVENT} where e.member_id = :member {_TOUCHES} "
    f"union all {_SHOWN} and i.member_id = :member and i.at > :after and i.at <= :at"
)
_OF_STRANGER = f"{_EVENT} where e.who <> '' and e.who = :who {_TOUCHES}"


def _of_one(conn: Connection, args: dict[str, Any]) -> Iterator[Row]:
    """The rows that the report on one campaign needs.

    What others did with other campaigns changes nothing, and what the same people did only
    where the campaign may have a share. Few have bought after a touch, so these are looked
    up one by one: somebody's past lies scattered over the file.
    """
    member: int | None = None
    who = ""
    touches: list[Row] = []
    done: list[Row] = []
    for row in conn.execute(_ONE, args):
        if row[0] != member or row[1] != who:
            if done:
                yield from _owed(conn, touches, done, args)
                done = []
            member, who = row[:2]
            touches = []
        if member is None and not who:
            # Each stands alone, and there may be any number of them.
            yield row
        elif row[3] in ("exposure", "click") or (row[3] == "claim" and row[7]):
            touches.append(row)
            yield row
        else:
            done.append(row)
    if done:
        yield from _owed(conn, touches, done, args)


def _owed(conn: Connection, own: list[Row], done: list[Row], args: dict[str, Any]) -> Iterator[Row]:
    """What somebody did and the touches of others before it; nothing when nothing of it can
    be owed to the campaign.

    own: the campaign's touches; done: purchases, refunds and unowed claims, by time.
    """
    spans = _spans(own, done, args)
    if not spans:
        return
    yield from done
    member, who = done[0][:2]
    touches = _OF_STRANGER if member is None else _OF_MEMBER
    for after, at in spans:
        named = {"member": member, "who": who, "after": after, "at": at}
        for row in conn.execute(touches, named):
            if row[7] != args["campaign"]:
                yield row


def _spans(own: list[Row], done: list[Row], args: dict[str, Any]) -> list[tuple[float, float]]:
    """When other touches matter: after the one time until the other, by time, none twice."""
    clicks = [row[2] for row in own if row[3] == "click"]
    exposures = [row[2] for row in own if row[3] == "exposure"]
    spans: list[tuple[float, float]] = []
    covered = -_FAR_S
    for row in done:
        at = row[2]
        if not args["since"] <= at < args["until"]:
            continue
        if row[7] == args["campaign"] or (
            row[3] != "refund"
            and (
                _newest(clicks, at) > at - args["click_window"]
                or _newest(exposures, at) > at - args["view_window"]
            )
        ):
            spans.append((max(covered, at - args["window"]), at))
            covered = at
    return spans


def _newest(times: list[float], at: float) -> float:
    """The last of the times until `at`."""
    number = bisect_right(times, at)
    return times[number - 1] if number else -_FAR_S


def rows_between(
    conn: Connection,
    since: float,
    until: float,
    window_s: float,
    view_window_s: float,
    ids: tuple[int, int],
) -> Iterator[Row]:
    """The rows that a report on everybody needs, as in `Funnel.read`, in a process of its own.

    ids: numbers of `interactions` between which everything from a view window before `since` on
    stands, so that not all of it is read.
    """
    args = {
        "first": ids[0],
        "last": ids[1],
        "since": since,
        "until": until,
        "window": max(window_s, view_window_s),
        "view_window": view_window_s,
    }
    yield from conn.execute(_ALL, args)


class Funnel:
    """Reads `events` and `interactions` for reports; one report at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # There are few readers, and the chat needs one.
        self._turn = asyncio.Semaphore(1)

    async def read(
        self,
        use: Callable[[Iterator[Row]], T],
        *,
        since: float,
        until: float,
        window_s: float,
        view_window_s: float,
        campaign: str = "",
    ) -> T:
        """What `use` makes of the rows of a period, on a reader's thread.

        The rows: each person's together, of one kind by time, nobody's among them.
        Exposures, clicks and claims of the period and as long before as they count for orders
        in it; purchases and refunds of all times, for a refund to find its order. campaign:
        only what a report on it needs.
        """
        args: dict[str, Any] = {
            "since": since,
            "until": until,
            "window": max(window_s, view_window_s),
            "click_window": window_s,
            "view_window": view_window_s,
            "campaign": campaign,
            "first": 0,
            "last": _LAST,
        }

        def run(conn: Connection) -> T:
            return use(_of_one(conn, args) if campaign else conn.execute(_ALL, args))

        async with self._turn:
            return await self._db.read(run)

    async def summary(self, since: float, until: float = _FAR_S) -> Summary:
        """The numbers of a period, without saying what brought them."""

        def run(conn: Connection) -> Summary:
            found = {
                row[0]: row[1:]
                for row in conn.execute(
                    "select kind, count(*), count(distinct case when member_id is null "
                    "then nullif(who, '') else 'member:' || member_id end), "
                    "coalesce(sum(amount_cents), 0) from events "
                    "where kind in ('click', 'claim', 'purchase', 'refund') "
                    "and at >= ? and at < ? group by kind",
                    (since, until),
                )
            }
            exposures, exposed = conn.execute(
                "select count(*), count(distinct person) from ("
                "select case when member_id is null then nullif(who, '') "
                "else 'member:' || member_id end as person from events "
                "where kind = 'exposure' and at >= ? and at < ? union all "
                "select 'member:' || member_id from interactions "
                "where item like 'item:%' and at >= ? and at < ?) as shown",
                (since, until, since, until),
            ).fetchone()
            none = (0, 0, 0)
            clicks, clicked, _ = found.get("click", none)
            claims, claimed, _ = found.get("claim", none)
            purchases, bought, gross = found.get("purchase", none)
            return Summary(
                exposures=exposures,
                exposed=exposed,
                clicks=clicks,
                clicked=clicked,
                claims=claims,
                claimed=claimed,
                purchases=purchases,
                bought=bought,
                gross_cents=gross,
                refunded_cents=found.get("refund", none)[2],
            )

        return await self._db.read(run)
