"""Whether the ledger of points adds up: for tests and for whoever doubts it."""

from __future__ import annotations

from collections.abc import Sequence

from store.dialect import Connection

_SUMS = (
    (
        "transfer {}: its two sides do not add up to zero",
        "select t.id from point_transfers as t left join point_postings as p "
        "on p.transfer_id = t.id group by t.id having count(p.account) <> 2 or sum(p.amount) <> 0",
    ),
    (
        "member {}: the balance is not the sum of the postings",
        "select a.member_id from point_accounts as a where a.balance <> (select "
        "coalesce(sum(p.amount), 0) from point_postings as p where p.member_id = a.member_id)",
    ),
    (
        "member {}: the balance is not what the lots have left",
        "select a.member_id from point_accounts as a where a.balance <> (select "
        "coalesce(sum(l.remaining), 0) from point_lots as l where l.member_id = a.member_id)",
    ),
    (
        "member {}: postings or lots without an account",
        "select p.member_id from point_postings as p where p.member_id is not null "
        "and p.amount <> 0 and p.member_id not in (select member_id from point_accounts) union "
        "select l.member_id from point_lots as l "
        "where l.member_id not in (select member_id from point_accounts)",
    ),
    (
        "member {}: the points earned are not the sum of what earned them",
        "select a.member_id from point_accounts as a where a.balance < 0 "
        "or a.earned < a.balance or (a.owed > 0 and a.balance > 0) "
        "or a.earned + a.owed <> (select coalesce(sum(p.amount), 0) "
        "from point_postings as p join point_transfers as t on t.id = p.transfer_id "
        "where p.member_id = a.member_id and (t.reason in ({earning}) "
        "or (t.reason = 'operator' and p.amount > 0)))",
    ),
)
_RUNNING = (
    "select member_id, transfer_id, amount, balance from point_postings "
    "where member_id is not null order by member_id, transfer_id"
)


def wrong(conn: Connection, earning: Sequence[str]) -> list[str]:
    """What does not add up, one sentence each; earning: reasons that count as earned."""
    quoted = ", ".join(f"'{reason}'" for reason in earning)
    found = [
        said.format(row[0])
        for said, sql in _SUMS
        for row in conn.execute(sql.replace("{earning}", quoted))
    ]
    running: dict[int, int] = {}
    for member_id, transfer_id, amount, balance in conn.execute(_RUNNING):
        running[member_id] = running.get(member_id, 0) + amount
        if running[member_id] != balance:
            found.append(f"transfer {transfer_id}: the balance after it is not the sum so far")
    return found
