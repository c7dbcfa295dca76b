"""What rules cost: many conditions about as much as one, and none without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store import Store, audience, dialect
from store.audience import page
from store.dialect import Connection
from store.rule_sql import condition
from store.rules import DEEPEST_EXPANDED, MOST_EXPANDED, And, Not, Or, Rule, RuleError, Term, parse
from tests.blank import blank

CHANNEL = "mp"
NOW = 1_763_600_000.0


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    with closing(dialect.connect(blank(tmp_path / "zhiqun.db"))) as conn:
        dialect.begin(conn)
        yield conn


def crowd(conn: Connection, members: int) -> None:
    """So many members with a purchase each."""
    conn.execute(
        "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ?) "
        "insert into members (id, created_at) select n, 0 from numbers",
        (members,),
    )
    conn.execute(
        "insert into events (event_id, kind, at, received_at, member_id, item_id, amount_cents) "
        "select id, 'purchase', 5, 5, id, 'other', 100 from members"
    )


@pytest.mark.parametrize(
    ("word", "one"),
    [
        ("or", "bought:x{n} {n}d"),
        ("or", "clicked:x{n} {n}d"),
        ("and", "not bought:x{n} {n}d"),
        ("or", "spent>={n}000"),
        ("and", "spent>={n}"),
        ("and", "active {n}d"),
        ("or", "followed {n}d"),
        ("or", "tag:x{n}"),
        ("or", "campaign:{n}"),
        ("or", "scene:x{n}"),
        ("and", "churn>={n}"),
    ],
)
def test_many_conditions_of_a_kind_cost_about_as_much_as_one(
    conn: Connection, word: str, one: str
) -> None:
    crowd(conn, 1_000)
    steps: list[int] = []
    conn.set_progress_handler(lambda: steps.append(1), 100)

    def cost(count: int) -> int:
        steps.clear()
        rule = f" {word} ".join(one.format(n=n) for n in range(1, count + 1))
        list(page(conn, rule, CHANNEL, NOW, limit_s=0))
        return len(steps)

    # Measured: 1 to 5 times; each asked by itself is 40 times.
    assert cost(40) < 10 * cost(1)


def test_a_rule_that_takes_too_long_is_given_up_and_the_connection_goes_on(
    conn: Connection,
) -> None:
    crowd(conn, 5_000)
    pairs = " or ".join(f"(bought:other and bought:x{n})" for n in range(5))
    with pytest.raises(RuleError) as caught:
        page(conn, pairs, CHANNEL, NOW, limit_s=1e-6)
    assert caught.value.code == "too-slow"
    assert page(conn, pairs, CHANNEL, NOW, after=4_990, limit_s=1e-6) == []
    assert page(conn, pairs, CHANNEL, NOW, limit_s=0) == []


async def test_a_look_that_takes_too_long_says_so(store: Store) -> None:
    await store.db.write(lambda conn: crowd(conn, 5_000))
    pairs = " or ".join(f"(bought:other and bought:x{n})" for n in range(5))
    with pytest.raises(RuleError) as caught:
        await audience.Audiences(store.db, limit_s=1e-6).look(pairs, NOW)
    assert caught.value.code == "too-slow"
    assert await store.audiences.look(pairs, NOW) == audience.Found(0, 5_000, ())


async def test_what_reads_for_long_holds_up_nobody(store: Store) -> None:
    going, may_end = threading.Event(), threading.Event()

    def read(conn: Connection) -> None:
        going.set()
        may_end.wait(30)

    slow = [asyncio.create_task(store.db.read(read, long=True)) for _ in range(4)]
    await asyncio.to_thread(going.wait, 30)
    assert await store.audiences.members(CHANNEL) == 0
    may_end.set()
    await asyncio.gather(*slow)


# As wide and as deep as rules may be with their segments


@pytest.mark.parametrize("one", ["bought:x{n} 3d", "clicked:x{n}", "spent>={n}", "campaign:{n}"])
@pytest.mark.parametrize("word", ["and", "or"])
def test_five_hundred_conditions_can_be_asked(conn: Connection, one: str, word: str) -> None:
    crowd(conn, 3)
    parts = tuple(parse(one.format(n=n)) for n in range(MOST_EXPANDED))
    rule = And(parts) if word == "and" else Or(parts)  # type: ignore[arg-type]
    sql, args = condition(rule, NOW)
    conn.execute(f"select count(*) from members as m where m.id > 0 and {sql}", args)


@pytest.mark.parametrize("one", ["spent", "orders", "points"])
def test_the_deepest_rule_can_compare_a_number_twice_at_its_bottom(
    conn: Connection, one: str
) -> None:
    crowd(conn, 3)
    rule: Rule = And((Term(one, ">=", "0"), Term(one, "<", "1000000")))
    for level in range(DEEPEST_EXPANDED - 1):
        tag = Term("tag", ":", f"a{level}")
        rule = And((Not(tag), rule)) if level % 2 else Or((tag, rule))
    sql, args = condition(rule, NOW)
    found = conn.execute(f"select count(*) from members as m where m.id > 0 and {sql}", args)
    assert found.fetchone() == (3,)
