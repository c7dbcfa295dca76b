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
    "e.member_id, e.who, e.at, e.kind, e.item_id, e.order_id, e.amount_cents, e.campaign, "
    "e.variant, e.source"
)
_TOUCHED = (
    "(e.kind in ('purchase', 'refund') or (e.kind in ('exposure', 'click', 'claim') "
    "and e.at >= :since - :window and e.at < :until))"
)
# A catalogue item that the bot showed alone is an exposure, owed to what the bot was doing.
_SHOWN = (
    "select i.member_id, '', i.at, 'exposure', substr(i.item, 6), '', 0, '', '', "
    "case when i.handler like 'faq%' then 'answer' "
    "when i.handler like 'recommend%' then 'recommendation' "
    "when i.handler like 'content%' then 'catalogue' else '' end "
    "from interactions as i where i.item like 'item:%' and i.at < :until "
)

_ALL_MEMBERS = (
    f"select {_EVENT} from events as e where e.member_id is not null and {_TOUCHED} "
    f"union all {_SHOWN} and i.at >= :since - :view_window order by 1, 3"
)
_ALL_WAITING = (
    f"select {_EVENT} from events as e where e.who <> '' and {_TOUCHED} order by e.who, e.at"
)
_ALL_NOBODY = (
    f"select {_EVENT} from events as e where e.member_id is null and e.who = '' "
    "and e.kind in ('exposure', 'click', 'claim', 'purchase', 'refund') "
    "and e.at >= :since and e.at < :until order by e.at"
)

# Of one campaign: its own rows, and all rows of those who have to do with it and did
# something that somebody is to be credited for. The others' other rows change nothing.
_OWN = (
    f"select {_EVENT} from events as e where e.campaign <> '' and e.campaign = :campaign "
    "and e.kind in ('exposure', 'click', 'claim') "
    "and e.at >= :since - :window and e.at < :until "
)
_DOERS = (
    "with doers as materialized (select distinct {key} as person from events as d "
    "where d.kind in ('purchase', 'refund', 'claim') and d.at >= :since and d.at < :until "
    "and {known} and exists (select 1 from events as c where {same} "
    "and c.campaign = :campaign)) "
)
_MORE = (
    f"select {_EVENT} from doers cross join events as e on {{join}} where {_TOUCHED} "
    "and not (e.campaign = :campaign and e.kind in ('exposure', 'click', 'claim')) "
)
_CAMPAIGN_MEMBERS = (
    _DOERS.format(
        key="d.member_id",
        known="d.member_id is not null",
        same="c.member_id = d.member_id",
    )
    + f"{_OWN} and e.member_id is not null union all "
    + _MORE.format(join="e.member_id = doers.person")
    + f"union all {_SHOWN} and i.at >= :since - :view_window "
    "and i.member_id in (select person from doers) order by 1, 3"
)
_CAMPAIGN_WAITING = (
    _DOERS.format(key="d.who", known="d.who <> ''", same="c.who = d.who and c.who <> ''")
    + f"{_OWN} and e.who <> '' union all "
    + _MORE.format(join="e.who = doers.person and e.who <> ''")
    + "order by 2, 3"
)
_CAMPAIGN_NOBODY = (
    f"select {_EVENT} from events as e where e.campaign <> '' and e.campaign = :campaign "
    "and e.at >= :since and e.at < :until and e.member_id is null and e.who = '' "
    "and e.kind in ('exposure', 'click', 'claim', 'purchase', 'refund') order by e.at"
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

        The rows: each person's together, by time, nobody's last. Exposures, clicks and
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
        parts = (_ALL_MEMBERS, _ALL_WAITING, _ALL_NOBODY)
        if campaign:
            args["campaign"] = campaign
            parts = (_CAMPAIGN_MEMBERS, _CAMPAIGN_WAITING, _CAMPAIGN_NOBODY)

        def run(conn: Connection) -> T:
            def rows() -> Iterator[Row]:
                for part in parts:
                    yield from conn.execute(part, args)

            return use(rows())

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
