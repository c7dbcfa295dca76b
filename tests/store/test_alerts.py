"""Alerts: the same news once, told once, forgotten with whom it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from store import Store, alerts
from store.alerts import NewAlert, key_of
from store.insight_reads import reading
from store.ledgers import Deed
from tests.blank import blank

NOW = 1_795_228_200.0
DEED = Deed(NOW, "member:1", "mood.verdict")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield store
    await store.close()


def new(name: str = "drop", **fields: Any) -> NewAlert:
    usual: dict[str, Any] = {"kind": "mood_drop", "at": NOW, "place": "qun:1"}
    return NewAlert(key=key_of(name), **{**usual, **fields})


async def test_the_same_news_is_no_news(store: Store) -> None:
    assert await store.alerts.raise_(new(data={"n": 3, "rows": [["t", 5]]}))
    assert not await store.alerts.raise_(new(at=NOW + 60))
    assert await store.alerts.raise_(new("another"))
    found = await store.alerts.untold(NOW - 60)
    assert [one.id for one in found] == [1, 2]
    assert found[0].rows == [("t", 5)]
    assert found[1].rows == []
    assert await store.alerts.counts(NOW) == {"mood_drop": 2}


async def test_what_was_told_or_is_old_is_not_told(store: Store) -> None:
    await store.alerts.raise_(new(at=NOW - 7200))
    await store.alerts.raise_(new("today"))
    assert [one.id for one in await store.alerts.untold(NOW - 3600)] == [2]
    await store.alerts.told(2, NOW)
    await store.alerts.told(2, NOW + 60)
    assert await store.alerts.untold(NOW - 3600) == []
    one = await store.alerts.one(2)
    assert one is not None
    assert one.told_at == NOW


async def test_a_verdict_is_written_once_with_its_deed(store: Store) -> None:
    await store.alerts.raise_(new())
    assert await store.alerts.verdict(1, False, DEED) is True
    assert await store.alerts.verdict(1, False, DEED) is False
    assert await store.alerts.verdict(1, True, DEED) is True
    assert await store.alerts.verdict(9, True, DEED) is None
    assert [row.detail for row in await store.audit.newest()] == ["right", "wrong"]
    assert [one.verdict for one in await store.alerts.newest(5)] == ["right"]


async def test_nothing_is_raised_of_who_is_gone_or_withheld_it(store: Store) -> None:
    lin = (await store.members.meet("qun", "lin", NOW)).id
    mei = (await store.members.meet("qun", "mei", NOW)).id
    await store.db.write(
        lambda conn: conn.execute(
            "insert into consents (member_id, purpose, granted, at, source) "
            "values (?, 'profiling', 0, 0, 'test')",
            (mei,),
        )
    )
    await store.members.erase(lin, NOW)
    for member in (lin, mei):
        assert not await store.alerts.raise_(new(f"angry {member}", member_id=member))
    assert await store.alerts.newest(5) == []


async def test_an_alert_goes_with_its_member_and_with_age(store: Store) -> None:
    lin = (await store.members.meet("qun", "lin", NOW)).id
    await store.alerts.raise_(new("angry", kind="member_angry", member_id=lin))
    await store.alerts.raise_(new("old", at=NOW - 9e6))
    await store.alerts.raise_(new("group"))
    told = await store.members.export(lin)
    assert told is not None
    assert [row["kind"] for row in told["alerts"]] == ["member_angry"]
    with reading(store.db.path) as conn:
        assert alerts.raised(conn, NOW) == [
            ("member_angry", "qun:1", lin, "", NOW),
            ("mood_drop", "qun:1", None, "", NOW),
        ]
    await store.members.erase(lin, NOW)
    assert await store.alerts.remove(NOW - 1e6) == 1
    assert [one.id for one in await store.alerts.newest(5)] == [3]
