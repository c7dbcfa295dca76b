"""What forecasts are made of: sends that arrived, clicks of members, posts by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store import Store, forecast_reads
from store.dialect import Connection


async def fill(store: Store) -> None:
    deliveries: Sequence[tuple[int, str, float | None]] = (
        (1, "accepted", 10.0),
        (1, "delivered", 20.0),
        (2, "refused", 20.0),
        (2, "planned", None),
        (2, "delivered", 99.0),
    )
    events: Sequence[tuple[str, int | None, float]] = (
        ("click", 1, 30.0),
        ("click", None, 30.0),
        ("view", 1, 31.0),
    )
    posts: Sequence[tuple[str, str, int | None, float]] = (
        ("qun:1", "sent", None, 40.0),
        ("qun:1", "sent", None, 30.0),
        ("qun:1", "refused", None, 35.0),
        ("qun:1", "sent", 2, 36.0),
        ("", "sent", None, 37.0),
    )

    def run(conn: Connection) -> None:
        conn.execute("insert into members (id, created_at) values (1, 0), (2, 0)")
        conn.execute(
            "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
            "created_at, created_by) "
            "values (1, '活动', 'mp', '', '', 'done', 0, x'00', 0, 'cli')"
        )
        for member, status, at in deliveries:
            conn.execute(
                "insert into deliveries (campaign_id, member_id, occasion, status, claimed_at) "
                "values (1, ?, hex(randomblob(4)), ?, ?)",
                (member, status, at),
            )
        for kind, whose, at in events:
            conn.execute(
                "insert into events (event_id, kind, member_id, at, received_at) "
                "values (hex(randomblob(8)), ?, ?, ?, 0)",
                (kind, whose, at),
            )
        for place, status, about, at in posts:
            conn.execute(
                "insert into posts (key, channel, place, kind, body, status, created_at, due_at, "
                "settled_at, member_id) values (randomblob(16), 'qun', ?, 'push', 'x', ?, 0, 0, "
                "?, ?)",
                (place, status, at, about),
            )

    await store.db.write(run)


async def read(store: Store, run: Any) -> Any:
    return await store.db.read(run)


async def test_only_what_arrived_and_was_touched_counts(store: Store) -> None:
    await fill(store)
    sends = await read(store, lambda conn: forecast_reads.delivered(conn, 0.0, 50.0))
    assert sorted(zip(sends.member.tolist(), sends.at.tolist(), strict=True)) == [
        (1, 10.0),
        (1, 20.0),
    ]
    clicks = await read(store, lambda conn: forecast_reads.clicked(conn, 0.0, 50.0))
    assert (clicks.member.tolist(), clicks.at.tolist()) == ([1], [30.0])
    posts = await read(store, lambda conn: forecast_reads.posted(conn, 0.0, 50.0))
    assert posts == {"qun:1": [30.0, 40.0]}


async def test_an_empty_store_gives_empty_columns(store: Store) -> None:
    sends = await read(store, lambda conn: forecast_reads.delivered(conn, 0.0, 50.0))
    assert (sends.member.shape, sends.at.shape) == ((0,), (0,))
    assert await read(store, lambda conn: forecast_reads.posted(conn, 0.0, 50.0)) == {}
    assert await read(store, forecast_reads.titles) == {}
    assert await read(store, forecast_reads.members) == {}
    assert await read(store, lambda conn: forecast_reads.finding(conn, "none")) is None


async def test_groups_are_called_as_everywhere(store: Store) -> None:
    for number, name in enumerate(("学习群", ""), 1):
        await store.groups.meet("qun", str(number), 1.0, name=name)
    titles = await read(store, forecast_reads.titles)
    assert titles == {one.place: one.title for one in store.groups.all()}
