"""The demo's past: the same each time, at any hour, and in nobody's way."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from sandbox import history
from sandbox.__main__ import GROUP_ID, OPERATOR, OTHER_GROUP, Demo
from tests.proofs.world import until
from tests.sandbox.test_incentives import LIN, ZHOU

PLACES = ("qun:writing", "qun:reading")
DAY = 86_400.0
MIDNIGHT = 1_773_763_200.0  # 2026-03-18 in Shanghai


def test_it_is_the_same_past_each_time() -> None:
    assert history.past(MIDNIGHT, PLACES).rows == history.past(MIDNIGHT, PLACES).rows


def test_people_have_names_of_their_own() -> None:
    assert len(set(history.names())) == len(set(history.openids())) == history.MEMBERS
    assert all(1 < len(one) < 8 for one in history.names())


@pytest.mark.parametrize("hour", [0.2, 9, 23.9])
def test_nothing_of_it_is_still_to_come_and_the_end_is_cross(hour: float) -> None:
    now = MIDNIGHT + hour * 3600
    rows = history.past(now, PLACES).rows
    assert max(row[4] for row in rows["talk"]) <= now
    assert max(row[0] for row in rows["interactions"]) <= now
    assert max(row[2] for row in rows["events"]) <= now
    assert all(row[6] <= now - 2 * DAY for row in rows["identities"]), "who wrote last, when"
    numbers = [row[0] for row in rows["talk"]]
    assert len(numbers) == len(set(numbers))

    late = [row for row in rows["talk"] if row[4] > now - 2 * 3600 and history.LESSON in row[6]]
    assert {row[2] for row in late} == {"qun:reading"}
    assert len({row[3] for row in late}) == 16
    fresh = Counter(row[2] for row in rows["talk"] if history.NEW_WORD in row[6])
    assert fresh["qun:writing"] >= 10
    assert sum(fresh.values()) == fresh["qun:writing"]


async def test_a_demo_with_a_past_answers_at_once_and_meets_its_visitors(tmp_path: Path) -> None:
    demo = Demo(tmp_path, past=True)
    try:
        await demo.start()
        fake, app = demo.fake, demo.app
        assert app is not None
        await fake.follow(LIN)
        assert "签到成功，+5 分" in (await fake.send_text(LIN, "签到")).text

        async def written() -> bool:
            return await app.store.interactions.finding(history.WRITTEN) is not None

        await until(written, "the past to be written", pause_s=0.05)
        for openid in (ZHOU, OPERATOR.openid):
            await fake.follow(openid)
        said = (await fake.send_text(OPERATOR.openid, "/stats")).text
        assert f"在关注 {history.MEMBERS + 3} 人" in said
        assert "新关注 3" in said
        groups = (await fake.send_text(OPERATOR.openid, "/group list")).text
        assert OTHER_GROUP[1] in groups
        assert {place.rpartition(":")[2] for place in demo.gateway.groups} == {
            GROUP_ID,
            OTHER_GROUP[0],
        }
        ranking = (await fake.send_text(LIN, "排行榜")).text
        assert not any(name in ranking for name in history.names())
        # Who wrote long ago is reached by one mass send; the visitors are, too.
        shown = await fake.send_text(
            OPERATOR.openid,
            "/campaign new 周末加课\n对象：所有人\n方式：群发\n文字：周六加课。不想收到请回复退订",
        )
        assert f"会发给 {history.MEMBERS + 3} 人" in shown.text
    finally:
        await demo.stop()


@pytest.mark.nightly
async def test_the_week_can_be_read_soon_after_the_start(tmp_path: Path) -> None:
    """With real processes beside the bot; how soon depends on the machine."""
    demo = Demo(tmp_path, past=True)
    try:
        await demo.start()
        begun, app = time.monotonic(), demo.app
        assert app is not None
        await demo.fake.follow(OPERATOR.openid)

        async def there() -> bool:
            return await app.store.interactions.finding("report:week:") is not None

        await until(there, "the week to be worked out", timeout_s=300.0, pause_s=0.2)
        print(f"the week after {time.monotonic() - begun:.1f} s")
        said = (await demo.fake.send_text(OPERATOR.openid, "/report week")).text
        assert "【一周】" in said
        data = await app.store.interactions.finding("report:week:")
        assert data is not None
        assert json.loads(data)["charts"]
    finally:
        await demo.stop()
