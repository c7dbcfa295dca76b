"""Whose points they are: to take along, to leave behind as figures of nobody, to join.

Apart from `points.py` because of its length. Whatever happens to a member here, every
transfer still adds up to zero.
"""

from __future__ import annotations

from typing import Any

from store import points
from store.dialect import Connection
from store.statements import rows_of


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Balance and history of a member."""
    return {
        "point_accounts": rows_of(
            conn, "select balance, earned, owed from point_accounts where member_id = ?", member_id
        ),
        "point_postings": rows_of(
            conn,
            "select t.at, t.reason, t.place, t.note, p.amount, p.balance "
            "from point_postings as p join point_transfers as t on t.id = p.transfer_id "
            "where p.member_id = ? order by p.transfer_id",
            member_id,
        ),
        "point_lots": rows_of(
            conn,
            "select remaining, expires_at from point_lots where member_id = ? and remaining > 0 "
            "order by transfer_id",
            member_id,
        ),
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Their transfers stay as figures of nobody, so that all sums stay right."""
    conn.execute(
        "update point_transfers set source_key = 'erased:' || cast(id as text), note = '' "
        "where id in (select transfer_id from point_postings where member_id = ?)",
        (member_id,),
    )
    _rename_actor(conn, member_id, "")
    for transfer_id, _ in _votes(conn, member_id):
        conn.execute(
            "update point_transfers set source_key = ? where id = ?",
            (f"erased:{transfer_id}", transfer_id),
        )
    rows = {
        "point_postings": conn.execute(
            "update point_postings set account = 'erased', member_id = null, balance = null "
            "where member_id = ?",
            (member_id,),
        ).rowcount
    }
    for table in ("point_lots", "point_accounts"):
        rows[table] = conn.execute(
            f"delete from {table} where member_id = ?", (member_id,)
        ).rowcount
    return rows


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Both histories become one, with the balances that it would have had."""
    for transfer_id, faq_id in _votes(conn, drop):
        # Of two votes for one answer one names the member; the other one is taken as well.
        key = f"useful:{faq_id}:{keep}"
        taken = conn.execute("select 1 from point_transfers where source_key = ?", (key,))
        conn.execute(
            "update point_transfers set source_key = ? where id = ?",
            (f"merged:{transfer_id}" if taken.fetchone() else key, transfer_id),
        )
    for table in ("point_postings", "point_lots"):
        conn.execute(f"update {table} set member_id = ? where member_id = ?", (keep, drop))
    conn.execute(
        "insert into point_accounts (member_id, balance, earned, owed, updated_at) "
        "select ?, balance, earned, owed, updated_at from point_accounts where member_id = ? "
        "on conflict (member_id) do update set "
        "balance = point_accounts.balance + excluded.balance, "
        "earned = point_accounts.earned + excluded.earned, "
        "owed = point_accounts.owed + excluded.owed, updated_at = case when "
        "point_accounts.updated_at < excluded.updated_at then excluded.updated_at "
        "else point_accounts.updated_at end",
        (keep, drop),
    )
    conn.execute("delete from point_accounts where member_id = ?", (drop,))
    _rename_actor(conn, drop, f"member:{keep}")
    balance, running = 0, []
    for transfer_id, amount in conn.execute(
        "select transfer_id, amount from point_postings where member_id = ? order by transfer_id",
        (keep,),
    ):
        balance += amount
        running.append((balance, transfer_id, keep))
    conn.executemany(
        "update point_postings set balance = ? where transfer_id = ? and member_id = ?", running
    )
    # What one of them owes the other may have.
    row = conn.execute(
        "select updated_at from point_accounts where member_id = ?", (keep,)
    ).fetchone()
    if row is not None:
        points.pay_owed(conn, keep, f"merged:{drop}", row[0])


def _rename_actor(conn: Connection, member_id: int, name: str) -> None:
    """What they did to others' points as an operator. Who never was one costs no search."""
    who = f"member:{member_id}"
    if conn.execute("select 1 from audit where actor = ? limit 1", (who,)).fetchone():
        conn.execute("update point_transfers set actor = ? where actor = ?", (name, who))


def _votes(conn: Connection, voter: int) -> list[tuple[int, str]]:
    """What others earned because this member found their answer useful: (transfer, entry)."""
    rows = conn.execute(
        "select id, source_key from point_transfers "
        "where source_key >= 'useful:' and source_key < 'useful;' and source_key like ?",
        (f"useful:%:{voter}",),
    )
    return [(row[0], row[1].split(":")[1]) for row in rows]
