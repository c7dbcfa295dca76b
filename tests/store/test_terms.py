"""What was talked about, as it is kept: days, and what one member takes out of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from store import Store
from store.catalogue import Item
from store.insight_reads import reading
from store.readings import NewReading, drop
from store.talk import NewTalk
from store.terms import (
    CURSOR,
    EVERYTHING,
    NEW_WORDS,
    PRIVATE,
    SLICE,
    YOUNG_DAYS,
    TermDay,
    crowds,
    day_of,
    days,
    kept_days,
    merge,
    named,
    names,
    offered,
    said_days,
    spoken,
    starts,
    texts,
)

TODAY = 20_778
NOON = starts(TODAY) + 43_200
GATE = "qun"
PLACE = "qun:1"


class Group:
    """A group in which things are said, and read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = 0

    async def says(self, who: str, text: str, terms: str, at: float = NOON) -> int:
        """Says the number of the turn."""
        self.count += 1
        await self.store.members.meet(GATE, who, at)
        key = self.count.to_bytes(16, "big")
        await self.store.talk.say(NewTalk(key, PLACE, GATE, who, at, "text", text, name=who))
        row = await self.store.db.read(
            lambda conn: conn.execute("select id from talk where key = ?", (key,)).fetchone()[0]
        )
        read = NewReading(row, 1, 0.25, 0.75, terms, "test")
        await self.store.readings.put("t", [read], "read", row, at)
        return int(row)

    async def rows(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(scope, term) -> (turns, people) of today."""

        def run(conn: object) -> dict[tuple[str, str], tuple[int, int]]:
            return {
                (one.scope, term): (turns, people)
                for one in days(conn, TODAY, TODAY)  # type: ignore[arg-type]
                for term, turns, people in zip(one.term, one.turns, one.people, strict=True)
            }

        return await self.store.db.read(run)


@pytest.fixture
async def group(store: Store) -> Group:
    await store.groups.meet(GATE, "1", NOON, name="读书群")
    return Group(store)


def row(scope: str, term: str, turns: int, people: int, day: int = TODAY) -> TermDay:
    return TermDay(scope, day, term, turns, people, 0.5 * turns)


def test_days_are_those_of_shanghai() -> None:
    assert named(TODAY) == "2026-11-21"
    assert day_of(starts(TODAY)) == TODAY
    assert day_of(starts(TODAY) - 1) == TODAY - 1


async def test_days_are_written_once_and_written_over(group: Group) -> None:
    terms = group.store.terms
    many = [row(PLACE, f"词{number}", 1, 1) for number in range(SLICE + 5)]
    assert await terms.put(many) == SLICE + 5
    await terms.put([row(PLACE, "词0", 4, 2)])
    for day in (TODAY, TODAY - 1):
        await terms.reach(day, NOON)
    found = await group.rows()
    assert len(found) == SLICE + 5
    assert found[PLACE, "词0"] == (4, 2)
    assert await group.store.readings.position(CURSOR) == TODAY


async def test_words_of_few_people_are_forgotten_when_their_day_is_old(group: Group) -> None:
    old = TODAY - YOUNG_DAYS - 1
    rows = [row("", "独", 1, 1, old), row("", "众", 9, 3, old), row("", "新", 1, 1)]
    await group.store.terms.put(rows)
    assert await group.store.terms.trim(TODAY) == 1
    assert await group.store.terms.trim(TODAY) == 0
    with reading(group.store.db.path) as conn:
        left = [term for one in days(conn, old, TODAY) for term in one.term]
    assert sorted(left) == ["众", "新"]


async def count_today(group: Group) -> None:
    """What the nightly job writes: counted by hand for two members."""
    rows = [row(scope, "", 4, 2) for scope in (EVERYTHING, PLACE)]
    rows += [row(scope, "退款", 3, 2) for scope in (EVERYTHING, PLACE)]
    rows += [row(scope, "秘密", 1, 1) for scope in (EVERYTHING, PLACE)]
    await group.store.terms.put(rows)
    await group.store.terms.reach(TODAY, NOON)


async def test_who_is_forgotten_takes_their_words_along(group: Group) -> None:
    await group.says("lin", "退款", "退款")
    await group.says("lin", "退款的秘密", "退款 秘密")
    await group.says("wang", "退款", "退款")
    await group.says("wang", "好", "")
    await count_today(group)
    lin = await group.store.members.meet(GATE, "lin", NOON)
    await group.store.members.erase(lin.id, NOON)
    assert await group.rows() == {
        (EVERYTHING, ""): (2, 1),
        (EVERYTHING, "退款"): (1, 1),
        (PLACE, ""): (2, 1),
        (PLACE, "退款"): (1, 1),
    }


async def test_examples_are_read_when_they_are_shown(group: Group) -> None:
    first = await group.says("lin", "退款怎么办", "退款")
    second = await group.says("wang", "退款要多久", "退款")
    refs = [f"t:{second}", f"t:{first}", "t:999", "i:1", "item:a", "t:x", ""]
    found = await group.store.terms.examples(refs)
    assert [(one.ref, one.place, one.text) for one in found] == [
        (f"t:{second}", PLACE, "退款要多久"),
        (f"t:{first}", PLACE, "退款怎么办"),
    ]
    await group.store.talk.hide((1).to_bytes(16, "big"))
    wang = await group.store.members.meet(GATE, "wang", NOON)
    await group.store.members.erase(wang.id, NOON)
    assert await group.store.terms.examples(refs) == []


async def test_what_was_said_is_read_back_for_the_job(group: Group) -> None:
    number = await group.says("lin", "退款怎么办", "退款")
    await group.says("wang", "好", "", NOON + 86_400)
    with reading(group.store.db.path) as conn:
        (one,) = spoken(conn, starts(TODAY), starts(TODAY + 1))
        assert (one.source, one.row_id, one.place) == ("t", number, PLACE)
        assert (one.mood, one.terms) == (0.5, "退款")
        assert [text.text for text in texts(conn, 0.0)] == ["好", "退款怎么办"]
        assert [text.text for text in texts(conn, 0.0, 1)] == ["好"]
        assert said_days(conn, TODAY, TODAY + 1) == {TODAY: 1, TODAY + 1: 1}
        assert kept_days(conn, TODAY, TODAY + 1) == {}
        assert names(conn) == {"lin", "wang"}
        assert crowds(conn, 1, 5) == []


async def test_terms_are_told_anew_after_words_were_learned(group: Group) -> None:
    number = await group.says("lin", "小鹅通卡了", "")
    assert await group.store.terms.retell([("t", number, "小鹅通"), ("t", 999, "无")]) == 1
    with reading(group.store.db.path) as conn:
        assert [one.terms for one in spoken(conn, 0.0, NOON * 2)] == ["小鹅通"]


async def test_learned_words_are_kept_in_a_finding(group: Group) -> None:
    assert await group.store.terms.words() == []
    data = json.dumps({"words": [{"word": "小鹅通", "people": 5, "since": NOON}]})
    await group.store.interactions.put_finding(NEW_WORDS, data, NOON)
    assert await group.store.terms.words() == ["小鹅通"]


@pytest.mark.parametrize("data", ["{}", "", "[]", "null", '{"words": [1]}', '{"words": [{}]}', "{"])
async def test_learned_words_that_are_damaged_are_none(group: Group, data: str) -> None:
    await group.store.interactions.put_finding(NEW_WORDS, data, NOON)
    assert await group.store.terms.words() == []


async def test_items_and_gaps_are_what_a_topic_may_be_about(group: Group) -> None:
    store = group.store
    await store.catalogue.put([Item("py-101", "course", "Python 入门", tags=("编程",))], NOON)
    await store.content.add_gap("退款要多久", "退款要多久？", NOON, b"k")
    with reading(store.db.path) as conn:
        item, gap = offered(conn)
    assert (item.ref, item.words) == ("item:py-101", ("Python 入门", "编程"))
    assert gap.ref.startswith("gap:")
    assert gap.words == ("退款要多久",)


async def test_a_database_without_readings_has_no_topics(store: Store, tmp_path: Path) -> None:
    with reading(store.db.path) as conn:
        assert list(days(conn, 0, TODAY)) == []
        assert list(days(conn, 0, TODAY, [PRIVATE])) == []
        assert list(spoken(conn, 0.0, NOON)) == []
        assert offered(conn) == []
    assert await store.terms.trim(TODAY) == 0
    assert await store.terms.retell([]) == 0


async def test_a_message_that_is_taken_back_no_longer_counts(group: Group) -> None:
    number = await group.says("lin", "退款的秘密", "退款 秘密")
    await group.says("lin", "退款", "退款")
    await group.says("wang", "退款", "退款")
    await group.says("wang", "好", "")
    await count_today(group)
    await group.store.db.write(lambda conn: drop(conn, "t", [number, 999]))
    found = await group.rows()
    assert (PLACE, "秘密") not in found
    # They said it twice: still one of two people.
    assert found[PLACE, "退款"] == (2, 2)
    assert found[EVERYTHING, ""] == (3, 2)


async def test_two_members_who_are_one_count_once(group: Group) -> None:
    await group.says("lin", "退款", "退款")
    await group.says("lin", "退款的秘密", "退款 秘密")
    await group.says("wang", "退款", "退款")
    await group.says("wang", "好", "")
    await count_today(group)
    lin = await group.store.members.meet(GATE, "lin", NOON)
    wang = await group.store.members.meet(GATE, "wang", NOON)
    await group.store.db.write(lambda conn: merge(conn, lin.id, wang.id))
    found = await group.rows()
    assert found[PLACE, "退款"] == (3, 1)
    assert found[PLACE, "秘密"] == (1, 1)
    assert found[EVERYTHING, ""] == (4, 1)
