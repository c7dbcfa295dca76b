"""Intake of moods: what is new first, what is old behind it, nothing twice, nothing lost."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import pytest

from insights.intake import Wanted
from scheduler import readings
from scheduler.readings import PAST_BATCHES, PAST_ROWS, Reader, Readings
from store import Store
from store.ledgers import Deed
from store.readings import UNREADABLE
from store.talk import NewTalk
from tests.blank import blank

NOW = 1_795_228_200.0
DAY_S = 86_400.0
T = TypeVar("T")
Args = TypeVarTuple("Args")


class Here:
    """Runs at once, in this process; fails as often as told."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.broken = 0
        self.meanwhile: Callable[[], Any] | None = None
        self.poison: dict[str, Exception] = {}

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        given: Any = args
        texts = given[-1]
        if self.broken:
            self.broken -= 1
            raise RuntimeError("ended")
        for text, error in self.poison.items():
            if text in texts:
                raise error
        self.calls.append(len(texts))
        done = run(*args)
        if self.meanwhile is not None:
            await self.meanwhile()
        return done


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.groups.meet("qun", "1", NOW, name="学习群", bound_by="test")
    await store.members.meet("qun", "lin", NOW)
    yield store
    await store.close()


async def say(store: Store, text: str, at: float = NOW) -> None:
    key = hashlib.blake2b(f"{text} {at}".encode(), digest_size=16).digest()
    new = NewTalk(key, "qun:1", "qun", "lin", at, "text", text, message_id=f"{text} {at}")
    await store.talk.say(new)


async def fill(store: Store, count: int, at: float) -> None:
    """A log of so many turns, written at once."""
    rows = [(n.to_bytes(16, "big"), at + n, f"第{n}句") for n in range(count)]
    await store.db.write(
        lambda conn: conn.executemany(
            "insert into talk (key, place, member_id, at, kind, text) "
            "values (?, 'qun:1', 1, ?, 'text', ?)",
            rows,
        )
    )


async def fill_more(store: Store, count: int) -> None:
    rows = [((1000 + n).to_bytes(16, "big"), NOW, f"再说{n}") for n in range(count)]
    await store.db.write(
        lambda conn: conn.executemany(
            "insert into talk (key, place, member_id, at, kind, text) "
            "values (?, 'qun:1', 1, ?, 'text', ?)",
            rows,
        )
    )


async def kept(store: Store) -> list[tuple[Any, ...]]:
    return await store.db.read(
        lambda conn: conn.execute(
            "select row_id, label, terms, model, positive - negative from readings order by row_id"
        ).fetchall()
    )


def reader(**fields: Any) -> Reader:
    return Reader(wanted=Wanted(**fields))


async def test_a_message_is_read_once_with_its_mood_and_words(store: Store) -> None:
    crunch = Here()
    job = Readings(store, crunch, reader())
    assert await job.tick(NOW) == "", "the first look only begins"
    await say(store, "老师讲得特别好，课程很满意")
    await say(store, "退款拖了半个月，太差劲了，垃圾课程")
    assert await job.tick(NOW + 1) == ""
    found = await kept(store)
    assert found[0][4] > 0.0 > found[1][4], "more positive than negative, and the other way"
    assert "课程" in found[0][2].split()
    assert "退款" in found[1][2].split()
    assert await job.tick(NOW + 2) == ""
    assert crunch.calls == [2], "nothing new, nobody is asked"


async def test_what_was_there_is_worked_off_newest_first_behind_what_is_new(store: Store) -> None:
    old = PAST_ROWS * PAST_BATCHES + 10
    await fill(store, old, NOW - DAY_S)
    crunch = Here()
    job = Readings(store, crunch, reader())
    await job.tick(NOW)
    await say(store, "刚刚说的")
    await job.tick(NOW + 1)
    rows = [row[0] for row in await kept(store)]
    assert old + 1 in rows, "the new one did not wait for the old ones"
    await job.tick(NOW + 2)
    assert len(await kept(store)) == old + 1
    assert await store.readings.position("readings:t:past") == 0
    assert max(crunch.calls) <= PAST_ROWS


async def test_what_is_older_than_readings_are_kept_is_not_read(store: Store) -> None:
    await say(store, "很久以前", at=NOW - 200 * DAY_S)
    await say(store, "昨天", at=NOW - DAY_S)
    job = Readings(store, Here(), Reader(wanted=Wanted(), keep_s=180 * DAY_S))
    for second in range(3):
        await job.tick(NOW + second)
    assert [row[0] for row in await kept(store)] == [2]


async def test_a_process_that_ends_is_complained_of_once_and_tried_again(store: Store) -> None:
    crunch = Here()
    job = Readings(store, crunch, reader())
    await job.tick(NOW)
    await say(store, "太差劲了")
    crunch.broken = 2
    assert "tried again" in await job.tick(NOW + 1)
    assert await job.tick(NOW + 2) == "", "said already"
    assert await job.tick(NOW + 3) == ""
    assert len(await kept(store)) == 1


@pytest.mark.parametrize("error", [ValueError("第37句"), RuntimeError("killed")])
async def test_a_message_that_nobody_can_read_is_passed_and_the_others_are_read(
    store: Store, error: Exception
) -> None:
    crunch = Here()
    job = Readings(store, crunch, reader())
    await job.tick(NOW)
    await fill(store, 64, NOW)
    crunch.poison = {"第37句": error}
    said = [await job.tick(NOW + second) for second in range(1, 20)]
    rows = await kept(store)
    assert len(rows) == 64
    assert [row[0] for row in rows if row[3] == UNREADABLE] == [38]
    assert rows[37][1:3] == (None, ""), "no mood and no words of it"
    assert any("t:38" in one for one in said)
    assert not any("37句" in one for one in said), "what somebody wrote is in no log"
    crunch.poison, crunch.calls = {}, []
    await fill_more(store, 64)
    for second in range(20, 24):
        await job.tick(NOW + second)
    assert len(await kept(store)) == 128
    assert len(crunch.calls) < 5, "and batches are large again"


async def test_an_old_message_that_nobody_can_read_does_not_hold_up_those_before_it(
    store: Store,
) -> None:
    await fill(store, 40, NOW - DAY_S)
    crunch = Here()
    crunch.poison = {"第20句": KeyError("x")}
    job = Readings(store, crunch, reader())
    for second in range(20):
        await job.tick(NOW + second)
    assert len(await kept(store)) == 40
    assert await store.readings.position("readings:t:past") == 0


async def test_no_message_is_passed_while_nothing_at_all_can_be_read(store: Store) -> None:
    crunch = Here()
    job = Readings(store, crunch, reader())
    await job.tick(NOW)
    await fill(store, 3, NOW)
    crunch.broken = 50
    for second in range(1, 20):
        await job.tick(NOW + second)
    assert await kept(store) == []
    crunch.broken = 0
    for second in range(20, 24):
        await job.tick(NOW + second)
    assert [row[3] == UNREADABLE for row in await kept(store)] == [False] * 3


async def test_what_is_recalled_while_it_is_read_is_not_kept(store: Store) -> None:
    crunch = Here()
    job = Readings(store, crunch, reader())
    await job.tick(NOW)
    await say(store, "气死了")
    crunch.meanwhile = lambda: store.talk.recall("qun:1", f"气死了 {NOW}")
    await job.tick(NOW + 1)
    assert await kept(store) == []
    assert await store.readings.position("readings:t") == 1


async def test_a_damaged_model_is_replaced_by_the_shipped_one_and_said_once(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "own.npz").write_bytes(b"no model")
    job = Readings(store, Here(), reader(model="own", file=str(tmp_path / "own.npz")))
    await job.tick(NOW)
    await say(store, "太差劲了，退钱")
    said = await job.tick(NOW + 1)
    assert "instead" in said
    await say(store, "老师讲得特别好，很满意", at=NOW + 1)
    assert await job.tick(NOW + 2) == ""
    worse, better = await kept(store)
    assert worse[4] < better[4]
    assert worse[3] == better[3] != ""


async def test_what_operators_taught_is_used_from_the_next_batch_on(store: Store) -> None:
    job = Readings(store, Here(), reader())
    await job.tick(NOW)
    text = "这个价格真是感人啊哈哈哈"
    await say(store, text)
    await job.tick(NOW + 1)
    first = (await kept(store))[0]
    wanted = 1 if first[1] == -1 else -1
    deed = Deed(NOW, "member:1", "mood.label")
    await store.mood_labels.correct("t", first[0], wanted, deed, str)
    await store.mood_labels.want("aa", 1, deed)
    await store.mood_labels.learned("aa", [1], 0.0, 1.0, NOW)
    await say(store, text, at=NOW + 2)
    await job.tick(NOW + 3)
    second = (await kept(store))[1]
    assert second[1] in (wanted, None), "a single label does not turn everything around"
    assert second[3] != first[3], "another model, another name"


async def test_a_log_of_nothing_to_read_is_passed(store: Store) -> None:
    job = Readings(store, Here(), reader())
    await job.tick(NOW)
    for text in ("/stats", "／help"):
        await say(store, text)
    await job.tick(NOW + 1)
    assert await store.readings.position("readings:t") == 2
    assert await kept(store) == []
    assert readings.LIVE_ROWS <= 2000
