"""What verdicts teach: once, kept for the next start, and taken back when turned around."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from insights.order_reading import mark
from scheduler.order_learning import Learner, restore, tick
from store import Store
from store.ledgers import Deed
from store.order import Lesson, NewCase
from tests.blank import blank

NOW = 1_795_228_200.0
DEED = Deed(NOW, "member:1", "order.spam")


class Model:
    """Remembers what it was taught, and in which thread."""

    def __init__(self, labels: Sequence[tuple[str, bool]] = ()) -> None:
        self.labels = list(labels)
        self.thread = threading.current_thread()

    def scores(self, texts: Sequence[str]) -> list[float]:
        return [float(dict(self.labels).get(text, False)) for text in texts]

    def learn(self, labels: Sequence[tuple[str, bool]]) -> Model:
        return Model([*self.labels, *labels])


class Used:
    """What was put to use last."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.lessons: Sequence[Lesson] = ()
        self.times = 0

    def __call__(self, model: Learner, lessons: Sequence[Lesson]) -> None:
        assert isinstance(model, Model)
        self.model, self.lessons = model, lessons
        self.times += 1

    @property
    def labels(self) -> list[tuple[str, bool]]:
        assert self.model is not None
        return self.model.labels


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield store
    await store.close()


async def judged(store: Store, text: str, spam: bool, at: float = NOW) -> int:
    new = NewCase(
        key=hashlib.blake2b(text.encode(), digest_size=16).digest(),
        place="qun:1",
        member_id=None,
        message_id="",
        at=at,
        text=text,
        reasons=("model",),
        score=0.95,
        severity=2,
        actions=("hidden",),
        report=True,
    )
    case = (await store.order.open(new, None, at)).case
    await store.order.verdict(case.id, spam, DEED, lambda case: None)
    return case.id


async def test_a_verdict_is_learned_once_without_numbers_and_names(store: Store) -> None:
    used = Used()
    number = await judged(store, "@小明 加微信 abc12345，电话 13800138000", True)
    assert await tick(store, Model(), used, NOW) == "1 verdicts learned, 1 lessons"
    assert used.labels == [("@用户 加微信 abc123，电话 00000000000", True)]
    [lesson] = used.lessons
    assert (lesson.case_id, lesson.mark) == (
        number,
        mark("@小明 加微信 abc12345，电话 13800138000"),
    )
    assert used.model is not None
    assert used.model.thread is not threading.main_thread(), "the loop goes on meanwhile"
    assert await tick(store, Model(), used, NOW) == ""
    assert used.times == 1


async def test_a_verdict_turned_around_leaves_nothing_of_itself(store: Store) -> None:
    used, base = Used(), Model()
    number = await judged(store, "今晚直播别忘了", True)
    await judged(store, "日赚千元", True)
    await tick(store, base, used, NOW)
    await store.order.verdict(number, False, DEED, lambda case: None)
    await tick(store, base, used, NOW)
    assert sorted(used.labels) == [("今晚直播别忘了", False), ("日赚千元", True)]
    assert base.labels == [], "the shipped model stays as it is"


async def test_a_raid_teaches_one_thing_and_the_last_word_counts(store: Store) -> None:
    used = Used()
    for text in ("日赚千元", "日赚 千元", "日 赚 千 元！"):
        await judged(store, text, True)
    await judged(store, "日赚，千元", False)
    await tick(store, Model(), used, NOW)
    assert used.labels == [("日赚，千元", False)]


async def test_a_restart_has_what_was_learned_also_when_the_words_are_gone(store: Store) -> None:
    await judged(store, "日赚千元", True, NOW - 90 * 86_400)
    await tick(store, Model(), Used(), NOW)
    await store.order.blank(NOW)
    again = Used()
    assert await restore(store, Model(), again) == "1 lessons"
    assert again.labels == [("日赚千元", True)]


async def test_without_verdicts_the_shipped_model_judges(store: Store) -> None:
    used, base = Used(), Model()
    await restore(store, base, used)
    assert used.model is base
