"""What outcomes are counted from: everybody's touches and orders, person by person.

The arithmetic is not ours (`insights/outcomes.py`): it is passed in and reads the rows as
they come, so that a report over a million events needs little memory.
"""

from __future__ import annotations

import asyncio
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


_EVENT = (
    "select e.member_id, e.who, e.at, e.kind, e.item_id, e.order_id, e.amount_cents, "
    "e.campaign, e.variant, e.source from events as e "
)
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
    "where i.item like 'item:%' and i.at >= :since - :view_window and i.at < :until "
)


_ALL = (
    f"{_EVENT} where {_STEPS} and e.at >= :since - :window and e.at < :until "
    f"union all {_EVENT} where {_MONEY} union all {_SHOWN} order by 1, 2, 3"
)

_OWN = "e.campaign <> '' and e.campaign = :campaign"
_UNOWED = "e.kind = 'claim' and e.campaign = '' and e.source = ''"
_SAME_WHO = "e.who <> '' and e.who = doings.who"
_BOUGHT = "(e.member_id in (select id from buyers) or e.who in (select name from strangers))"


def _before(join: str) -> str:
    """Numbers of the touches in the window before each thing done."""
    # `||`: not to be found by their kind, there are far too many of that.
    return (
        f"select e.id from doings cross join events as e on {join} "
        "and e.at > doings.at - :window and e.at <= doings.at "
        "where e.kind || '' in ('exposure', 'click') and (e.campaign <> '' or e.source <> '') "
        f"and not (e.campaign = :campaign and {_PERIOD})"
    )


# A campaign's own rows; and of who was touched by it and bought: their money and their other
# touches. What others did with other campaigns changes nothing. The windows are looked up
# order by order, because somebody's whole past lies scattered over the file.
_ONE = (
    "with touched as materialized (select distinct e.member_id, e.who from events as e "
    f"where {_OWN} and {_ANY} and e.at >= :since - :window and e.at < :until), "
    "doings as materialized (select e.member_id, e.who, e.at from events as e "
    f"where e.kind in ('purchase', 'refund', 'claim') and {_PERIOD} "
    f"and (e.kind = 'purchase' or {_UNOWED} or e.kind = 'refund' and e.campaign = :campaign) "
    "and (e.member_id in (select member_id from touched where member_id is not null) "
    "or e.who in (select who from touched where who <> ''))), "
    "buyers as materialized "
    "(select distinct member_id as id from doings where member_id is not null), "
    "strangers as materialized (select distinct who as name from doings where who <> '') "
    f"{_EVENT} where {_OWN} and {_STEPS} and {_PERIOD} "
    f"union all {_EVENT} where {_MONEY} and {_BOUGHT} "
    f"union all {_EVENT} where {_OWN} and {_MONEY} and {_PERIOD} "
    "and e.member_id is null and e.who = '' "
    f"union all {_EVENT} where {_UNOWED} and {_PERIOD} and {_BOUGHT} "
    f"union all {_EVENT} where e.id in ({_before('e.member_id = doings.member_id')}) "
    f"union all {_EVENT} where e.id in ({_before(_SAME_WHO)}) "
    f"union all {_SHOWN} and i.member_id in (select id from buyers) order by 1, 2, 3"
)


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

        The rows: each person's together and by time, nobody's among them. Exposures, clicks and
        claims of the period and as long before as they count for orders in it; purchases
        and refunds of all times, for a refund to find its order. campaign: only what a
        report on it needs.
        """
        args: dict[str, Any] = {
            "since": since,
            "until": until,
            "window": max(window_s, view_window_s),
            "view_window": view_window_s,
        }
        if campaign:
            args["campaign"] = campaign

        def run(conn: Connection) -> T:
            return use(conn.execute(_ONE if campaign else _ALL, args))

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
