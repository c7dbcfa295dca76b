"""The audit's chain: it holds through everything zhiqun does, and breaks at what others do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database as Schema

from store import Store, chain
from store.migrations import migrations
from tests.store.rows import CHANNEL, LIN, NOW


async def filled(store: Store) -> None:
    for number in range(4):
        await store.audit.add(
            NOW + number, "member:1", "faq.add", f"faq:{number}", f"说明 {number}"
        )


def tamper(store: Store, sql: str) -> None:
    with closing(sqlite3.connect(store.db.path)) as conn, conn:
        conn.execute(sql)


async def test_an_empty_audit_is_sound(store: Store) -> None:
    assert (await store.audit.verify()).sound


async def test_what_was_only_added_is_sound_and_its_head_is_the_newest_row(store: Store) -> None:
    await filled(store)
    first = await store.audit.verify()
    assert first.sound
    assert first.rows == 4
    await store.audit.add(NOW, "cli", "erase")
    then = await store.audit.verify()
    assert then.sound
    assert then.head != first.head


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("update audit set actor = 'member:2' where id = 2", 2),
        ("update audit set at = at + 1 where id = 3", 3),
        ("update audit set detail = '别的' where id = 4", 4),
        ("update audit set detail_hash = x'00' where id = 1", 1),
        ("update audit set hash = null where id = 1", 1),
        ("delete from audit where id = 2", 3),
        ("update audit set id = 9 where id = 2", 3),
        (
            "insert into audit (at, actor, action, target, detail, detail_hash, hash) "
            "select at, actor, action, target, detail, detail_hash, hash from audit where id = 4",
            5,
        ),
    ],
)
async def test_a_row_that_was_changed_taken_out_or_put_in_shows(
    store: Store, sql: str, broken: int
) -> None:
    await filled(store)
    tamper(store, sql)
    found = await store.audit.verify()
    assert not found.sound
    assert found.broken == broken


@pytest.mark.parametrize("sql", ["delete from audit where id = 4", "delete from audit"])
async def test_rows_cut_off_the_end_show(store: Store, sql: str) -> None:
    await filled(store)
    tamper(store, sql)
    found = await store.audit.verify()
    assert found.broken is None
    assert found.missing
    assert not found.sound


async def test_rows_that_replace_cut_off_ones_show(store: Store) -> None:
    await filled(store)
    known = (await store.audit.verify()).head
    tamper(store, "delete from audit where id = 4")
    await store.audit.add(NOW, "member:1", "faq.add", "faq:3", "别的")
    # The file alone cannot tell; who wrote the head down can.
    assert (await store.audit.verify()).sound
    assert not (await store.audit.verify(known)).sound
    assert (await store.audit.verify((await store.audit.verify()).head)).sound


async def test_forgetting_a_member_empties_details_and_keeps_the_chain(store: Store) -> None:
    member = await store.members.meet(CHANNEL, LIN, NOW)
    await store.audit.add(NOW, "cli", "member.tag", f"member:{member.id}", "什么都说")
    await store.members.erase(member.id, NOW)
    await store.audit.add(NOW, "cli", "erase", f"member:{member.id}")
    found = await store.audit.verify()
    assert found.sound
    assert found.erased == 1


async def test_rows_from_before_the_chain_are_taken_into_it(tmp_path: Path) -> None:
    path = tmp_path / "zhiqun.db"
    old = Schema(path)
    migrations.apply(old, stop_before="m0004_campaigns")
    for number in range(3):
        old.execute(
            "insert into audit (at, actor, action, target, detail) "
            "values (?, 'cli', 'backup', '', '旧')",
            (NOW + number,),
        )
    old.conn.commit()
    old.close()
    store = Store(path)
    await store.open()
    try:
        await store.audit.add(NOW, "cli", "backup")
        found = await store.audit.verify()
        assert found.sound
        assert found.rows == 4
    finally:
        await store.close()


@given(st.lists(st.text(max_size=4), min_size=3, max_size=3), st.text(max_size=4))
def test_moving_letters_from_one_text_to_the_next_is_another_row(
    texts: list[str], moved: str
) -> None:
    actor, action, target = texts
    one = chain.link(chain.START, NOW, actor, action + moved, target, chain.digest(""))
    other = chain.link(chain.START, NOW, actor, action, moved + target, chain.digest(""))
    assert (one == other) is (moved == "")
