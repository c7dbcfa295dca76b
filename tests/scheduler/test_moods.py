"""Moods that turn are written once and told once; the model learns when asked; the report."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import pytest

from insights.intake import Wanted
from insights.mood_report import day_of, first_second
from insights.report import from_json
from scheduler import alerts, mood_learning, moods
from scheduler.moods import Watch
from store import Store
from store.alerts import Alert, NewAlert, key_of
from store.ledgers import Deed
from store.mood_labels import Learned
from tests.blank import blank

NOW = 1_795_228_200.0
DAY_S = 86_400.0
TODAY = day_of(NOW)
T = TypeVar("T")
Args = TypeVarTuple("Args")


class Here:
    """Runs at once, in this process, and remembers what was heavy."""

    def __init__(self) -> None:
        self.heavies: list[str] = []

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        self.heavies.append(run.__name__)
        return run(*args)

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return run(*args)


class Told:
    """Who was told what; deaf: they cannot be written to now."""

    def __init__(self) -> None:
        self.words: dict[int | None, list[str]] = {}
        self.keys: set[bytes] = set()
        self.deaf: set[int | None] = set()

    async def __call__(self, member_id: int | None, words: str, key: bytes) -> bool:
        assert len(key) == 16
        if member_id in self.deaf:
            return False
        if key not in self.keys:
            self.words.setdefault(member_id, []).append(words)
            self.keys.add(key)
        return True


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.groups.meet("qun", "1", NOW, name="学习群", bound_by="test")
    for number in range(1, 41):
        await store.members.meet("qun", f"o_{number}", NOW)
    yield store
    await store.close()


async def fill(store: Store, rows: Sequence[tuple[int, float, int, str]]) -> None:
    """Turns of the group with what was read out of them: (member, at, label, terms)."""

    def run(conn: Any) -> None:
        for member, at, label, terms in rows:
            row_id = conn.execute(
                "insert into talk (key, place, member_id, at, kind, text) "
                "values (randomblob(16), 'qun:1', ?, ?, 'text', ?) returning id",
                (member, at, f"成员{member}说 {terms}"),
            ).fetchone()[0]
            conn.execute(
                "insert into readings (source, row_id, place, member_id, at, label, negative, "
                "positive, terms, model) values ('t', ?, 'qun:1', ?, ?, ?, ?, 0.1, ?, 'm')",
                (row_id, member, at, label, 0.95 if label < 0 else 0.05, terms),
            )

    await store.db.write(run)


def usual_days(first: int, last: int, each: int = 60) -> list[tuple[int, float, int, str]]:
    """Days on which one message in ten is negative, whoever writes it."""
    return [
        (n % 40 + 1, first_second(day) + 32_400 + n * 300, -1 if n % 10 == day % 10 else 0, "课程")
        for day in range(first, last)
        for n in range(each)
    ]


def bad_day(each: int = 60, member: int | None = None) -> list[tuple[int, float, int, str]]:
    midnight = first_second(TODAY)
    return [
        (member or n % 40 + 1, midnight + 3600 + n * 300, -1 if n % 10 < 5 else 0, "直播")
        for n in range(each)
    ]


# Turns


async def test_a_group_whose_mood_drops_is_told_of_once(store: Store) -> None:
    await fill(store, usual_days(TODAY - 28, TODAY))
    crunch = Here()
    watch = Watch(store, crunch)
    assert await watch.tick(NOW) == ""
    await fill(store, bad_day())
    assert await watch.tick(NOW) == "1 moods turned"
    assert await watch.tick(NOW + 60) == ""
    assert await Watch(store, crunch).tick(NOW + 120) == "", "started anew"
    (one,) = await store.alerts.newest(5)
    assert (one.kind, one.place, one.member_id) == ("mood_drop", "qun:1", None)
    assert 0.08 < one.data["usual"] < 0.13
    assert 3 <= len(one.rows) <= 6
    assert "说" not in str(one.data), "no words are kept"
    assert crunch.heavies == ["usual", "usual"], "what is usual is worked out once a day"


async def test_the_next_day_it_is_still_no_news(store: Store) -> None:
    await fill(store, usual_days(TODAY - 28, TODAY))
    await fill(store, bad_day())
    watch = Watch(store, Here())
    await watch.tick(NOW)
    tomorrow = [(who, at + DAY_S, label, terms) for who, at, label, terms in bad_day()]
    await fill(store, tomorrow)
    assert await watch.tick(NOW + DAY_S) == ""


async def angry(store: Store, member: int, at: float = NOW - 900) -> None:
    await fill(store, [(member, at + 60 * n, -1, "退款") for n in range(6)])


async def test_a_member_who_turns_angry_is_told_of_once_a_day(store: Store) -> None:
    await fill(store, usual_days(TODAY - 28, TODAY))
    await angry(store, 7)
    watch = Watch(store, Here())
    assert await watch.tick(NOW) == "1 moods turned"
    await angry(store, 7, NOW)
    assert await watch.tick(NOW + 600) == ""
    (one,) = await store.alerts.newest(5)
    assert (one.kind, one.member_id, one.place) == ("member_angry", 7, "qun:1")


async def test_of_who_withheld_it_no_alert_is_made(store: Store) -> None:
    await fill(store, usual_days(TODAY - 28, TODAY))
    await angry(store, 7)
    await store.db.write(
        lambda conn: conn.execute(
            "insert into consents (member_id, purpose, granted, at, source) "
            "values (7, 'profiling', 0, 0, 'test')"
        )
    )
    assert await Watch(store, Here()).tick(NOW) == ""
    assert await Watch(store, Here(), opt_in=True).tick(NOW) == ""


async def test_a_bot_that_starts_and_one_without_messages_find_nothing(store: Store) -> None:
    assert await Watch(store, Here()).tick(NOW) == ""
    await fill(store, bad_day(30))
    assert await Watch(store, Here()).tick(NOW) == "", "nothing is usual yet"


# Telling


def say(alert: Alert, title: str, texts: Sequence[str]) -> str:
    return "" if alert.kind == "silent" else f"{alert.kind} {title} {'|'.join(texts)}"


async def raised(store: Store, name: str = "drop", kind: str = "mood_drop") -> None:
    data = {"rows": [["t", 1], ["t", 2], ["t", 3], ["t", 4]]}
    new = NewAlert(key=key_of(name), kind=kind, at=NOW, place="qun:1", data=data)
    await store.alerts.raise_(new)


async def test_operators_are_told_once_with_what_can_still_be_read(store: Store) -> None:
    await fill(store, bad_day(4))
    await store.members.set_role(1, "operator")
    await store.members.set_role(2, "owner")
    await store.db.write(lambda c: c.execute("update talk set message_id = 'm1' where id = 1"))
    await raised(store)
    await store.talk.recall("qun:1", "m1")
    told = Told()
    assert await alerts.tick(store, say, told, NOW) == "1 alerts told"
    assert await alerts.tick(store, say, told, NOW + 10) == ""
    words = "mood_drop 学习群 成员2说 直播|成员3说 直播|成员4说 直播"
    assert told.words == {1: [words], 2: [words]}


async def incident(store: Store, *, drop: bool) -> None:
    """Six members complain of one thing: a topic rises, and the mood of the group drops."""
    await fill(store, [(who, NOW - 900 + who, -1, "直播") for who in range(1, 7)])
    rows = [["t", number] for number in range(1, 4)]
    burst = NewAlert(
        key=key_of("burst"), kind="topic_burst", at=NOW, place="qun:1", topic="直播",
        data={"people": 6, "terms": ["直播"], "rows": rows},
    )  # fmt: skip
    await store.alerts.raise_(burst)
    if drop:
        await raised(store)


def words(alert: Alert, title: str, texts: Sequence[str]) -> str:
    also, bad = alert.data.get("also"), alert.data.get("negative")
    return f"{alert.kind} {also} {bad} {len(texts)} {len(set(texts))}"


async def test_a_mood_and_a_topic_of_one_incident_are_told_once(store: Store) -> None:
    await incident(store, drop=True)
    await store.members.set_role(1, "owner")
    told = Told()
    assert await alerts.tick(store, words, told, NOW) == "1 alerts told"
    assert told.words == {1: ["mood_drop ['直播'] None 3 3"]}
    assert await alerts.tick(store, words, told, NOW + 10) == ""


async def test_a_topic_of_an_incident_that_was_told_is_only_kept(store: Store) -> None:
    await raised(store)
    await store.members.set_role(1, "owner")
    told = Told()
    await alerts.tick(store, words, told, NOW)
    await incident(store, drop=False)
    assert await alerts.tick(store, words, told, NOW + 600) == ""
    assert len(told.words[1]) == 1
    assert len(await store.alerts.newest(9)) == 2
    assert await store.alerts.untold(0.0) == []


async def test_a_topic_that_rises_says_how_many_of_its_messages_are_bad(store: Store) -> None:
    await incident(store, drop=False)
    await store.members.set_role(1, "owner")
    told = Told()
    await alerts.tick(store, words, told, NOW)
    assert told.words == {1: ["topic_burst [] 6 3 3"]}


async def test_a_topic_elsewhere_is_news_of_its_own(store: Store) -> None:
    await fill(store, [(who, NOW - 900 + who, -1, "直播") for who in range(1, 7)])
    await store.members.set_role(1, "owner")
    await raised(store)
    other = NewAlert(
        key=key_of("b"), kind="topic_burst", at=NOW, place="qun:2", topic="直播", data={}
    )
    await store.alerts.raise_(other)
    assert await alerts.tick(store, words, Told(), NOW) == "2 alerts told"


async def test_a_kill_before_it_is_noted_tells_nobody_twice(store: Store) -> None:
    await store.members.set_role(1, "owner")
    await raised(store)
    told = Told()
    await alerts.tick(store, say, told, NOW)
    await store.db.write(lambda c: c.execute("update alerts set told_at = null"))
    await alerts.tick(store, say, told, NOW + 10)
    assert len(told.words[1]) == 1


async def test_who_cannot_be_told_is_tried_again_until_it_is_no_news(store: Store) -> None:
    await raised(store)
    told = Told()
    assert await alerts.tick(store, say, told, NOW) == "", "there is nobody yet"
    await store.members.set_role(1, "owner")
    told.deaf = {1}
    assert await alerts.tick(store, say, told, NOW + 60) == ""
    told.deaf = set()
    assert await alerts.tick(store, say, told, NOW + alerts.LATE_S + 1) == "", "too late"
    assert await alerts.tick(store, say, told, NOW + alerts.LATE_S - 1) == "1 alerts told"
    await raised(store, "other", "silent")
    assert await alerts.tick(store, say, told, NOW + 90) == "1 alerts told"
    assert len(told.words[1]) == 1, "a kind without words is told to nobody"


# Learning


async def labelled(store: Store, count: int) -> None:
    """Messages that the model has wrong, all alike, and what operators say of them."""

    def run(conn: Any) -> None:
        for n in range(count):
            conn.execute(
                "insert into mood_labels (source, row_id, member_id, text, label, was, at, by) "
                "values ('t', ?, 1, ?, -1, 1, ?, 'member:1')",
                (n + 1, f"这效率真是太好了，真棒，第{n}次了", NOW + n),
            )

    await store.db.write(run)


async def test_the_model_learns_when_asked_and_tells_once_what_that_brought(store: Store) -> None:
    await labelled(store, 12)
    crunch, told = Here(), Told()

    def words(found: Learned) -> str:
        return f"{found.labels} {found.before:.2f} {found.after:.2f}"

    async def tick() -> str:
        return await mood_learning.tick(store, crunch, Wanted(), words, told, NOW)

    assert await tick() == "", "nobody asked"
    deed = Deed(NOW, "member:1", "mood.retrain")
    await store.mood_labels.want(hashlib.sha256(b"m").hexdigest(), 1, deed)
    assert (await tick()).startswith("12 labels learned")
    assert await tick() == ""
    assert crunch.heavies == ["measure"]
    model = await store.mood_labels.model()
    assert model.version == 1
    assert model.after is not None
    assert model.before is not None
    assert model.after > model.before, "labels that it did not see, too"
    assert told.words == {1: [f"12 {model.before:.2f} {model.after:.2f}"]}


async def test_what_is_measured_is_not_what_was_learned(store: Store) -> None:
    await labelled(store, 1)
    found = mood_learning.measure(store.db.path, Wanted())
    assert found.ids == [1]
    assert found.before == found.after, "one label teaches nothing about itself"
    await store.db.write(lambda conn: conn.execute("delete from mood_labels"))
    assert mood_learning.measure(store.db.path, Wanted()) == ([], 0.0, 0.0)


# The report


async def test_the_report_is_left_for_all_and_for_each_group(store: Store) -> None:
    await fill(store, usual_days(TODAY - 10, TODAY) + bad_day(120))
    assert await moods.refresh(store, Here(), NOW, "私聊") == "2 mood reports"
    data = await store.interactions.finding("report:mood:")
    assert data is not None
    found = from_json(data)
    negative = found.figures[0]
    assert negative.name == "mood_negative"
    assert negative.n == 6 * 60 + 115, "what is not said yet does not count"
    assert [row.label for row in found.lists[0].rows] == ["学习群"]
    assert await store.interactions.finding("report:mood:qun:1") is not None
    assert await moods.today(store, Here(), NOW + DAY_S, "私聊") == "1 mood reports"


async def test_without_messages_the_report_says_so(store: Store) -> None:
    assert await moods.refresh(store, Here(), NOW, "私聊") == "1 mood reports"
    data = await store.interactions.finding("report:mood:")
    assert data is not None
    found = from_json(data)
    assert found.note == "mood_none"
    assert found.figures[0].value is None
    assert found.lists == ()
