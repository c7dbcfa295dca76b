"""What was read out of messages: once, never more than the message may say, forgotten with it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from store import Store, readings
from store.insight_reads import reading
from store.ledgers import Deed
from store.mood_labels import Learned
from store.readings import PRIVATE, TALK, Heard, NewReading
from store.talk import NewTalk
from tests.blank import blank

NOW = 1_795_228_200.0
PLACE = "qun:1"
DEED = Deed(NOW, "member:1", "mood.label")
DAY_S = 86_400.0


def key(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.groups.meet("qun", "1", NOW, name="学习群", bound_by="test")
    yield store
    await store.close()


async def say(store: Store, text: str, who: str = "lin", at: float = NOW, **fields: Any) -> int:
    """A turn in the group; its number."""
    await store.members.meet("qun", who, at)
    name = f"{who} {text} {at}"
    new = NewTalk(key(name), PLACE, "qun", who, at, "text", text, message_id=name, **fields)
    await store.talk.say(new)
    return int((await ask(store, "select max(id) from talk"))[0][0])


async def write(store: Store, text: str, who: str = "lin", **fields: Any) -> int:
    """Something said in private; its number."""
    member = await store.members.meet("qun", who, NOW)
    row = {"kind": "text", "handler": "faq.unknown", "place": "", **fields}

    def run(conn: Any) -> int:
        return int(
            conn.execute(
                "insert into interactions (at, channel, member_id, kind, text, handler, item, "
                "place) values (?, 'qun', ?, ?, ?, ?, '', ?) returning id",
                (NOW, member.id, row["kind"], text, row["handler"], row["place"]),
            ).fetchone()[0]
        )

    return await store.db.write(run)


async def ask(store: Store, sql: str, *args: Any) -> list[tuple[Any, ...]]:
    return await store.db.read(lambda conn: conn.execute(sql, args).fetchall())


def read(row_id: int, label: int | None = -1, terms: str = "课程 退款") -> NewReading:
    return NewReading(row_id, label, 0.9 if label == -1 else 0.1, 0.05, terms, "m1")


async def put(store: Store, *found: NewReading, source: str = TALK, **fields: Any) -> int:
    last = max((one.row_id for one in found), default=0)
    return await store.readings.put(source, found, f"readings:{source}", last, NOW, **fields)


async def kept(store: Store) -> list[tuple[str, int]]:
    rows = await ask(store, "select source, row_id from readings order by source, row_id")
    return [(source, row_id) for source, row_id in rows]


async def refuse(store: Store, who: str, granted: bool = False) -> None:
    member = await store.members.meet("qun", who, NOW)
    await store.db.write(
        lambda conn: conn.execute(
            "insert into consents (member_id, purpose, granted, at, source) "
            "values (?, 'profiling', ?, ?, 'test')",
            (member.id, int(granted), NOW),
        )
    )


# What is to be read


async def test_what_is_said_is_read_commands_and_hidden_turns_are_not(store: Store) -> None:
    first = await say(store, "今天的课太难了")
    emoticon = await say(store, "/::) 挺好的")
    for text in ("/order ban 代写", "／help", ""):
        await say(store, text)
    await say(store, "加微信领资料", hidden=True)
    page = await store.readings.page(TALK, 0, 100)
    assert page.heard == [Heard(first, "今天的课太难了"), Heard(emoticon, "/::) 挺好的")]
    assert page.rows == 6
    assert page.to == emoticon + 4, "what is not read is passed, too"
    assert await store.readings.page(TALK, page.to, 100) == readings.Page([], page.to, 0)


async def test_in_private_only_conversation_is_read(store: Store) -> None:
    said = await write(store, "你们的课真不错")
    spoken = await write(store, "退款怎么这么慢", kind="voice", handler="faq")
    for text, fields in (
        ("图", {"kind": "image"}),
        ("CLICK", {"kind": "event:CLICK"}),
        ("（券码）", {"handler": "coupon.code"}),
        ("兑换", {"handler": "points.exchange"}),
        ("/stats", {"handler": "operator.stats"}),
        ("确认", {"handler": "confirm"}),
        ("群里说的", {"place": PLACE}),
    ):
        await write(store, text, **fields)
    page = await store.readings.page(PRIVATE, 0, 100)
    assert [one.row_id for one in page.heard] == [said, spoken]


async def test_who_withheld_it_is_not_read(store: Store) -> None:
    await say(store, "气死了", "mei")
    mine = await say(store, "挺好", "lin")
    await refuse(store, "mei")
    assert [one.row_id for one in (await store.readings.page(TALK, 0, 9)).heard] == [mine]
    assert (await store.readings.page(TALK, 0, 9, opt_in=True)).heard == []
    await refuse(store, "lin", granted=True)
    assert len((await store.readings.page(TALK, 0, 9, opt_in=True)).heard) == 1


async def test_the_past_is_read_backwards_down_to_an_age(store: Store) -> None:
    rows = [await say(store, f"话{n}", at=NOW - n * DAY_S) for n in (9, 2, 1)]
    page = await store.readings.page_back(TALK, rows[-1] + 1, 2, since=NOW - 3 * DAY_S)
    assert [one.row_id for one in page.heard] == [rows[2], rows[1]]
    assert page.to == rows[1]
    assert not (await store.readings.page_back(TALK, page.to, 2, since=NOW - 3 * DAY_S)).rows


async def test_beginning_twice_begins_once(store: Store) -> None:
    assert await store.readings.position("live") is None
    await say(store, "以前说的")
    await store.readings.begin(TALK, "live", "past", NOW)
    await say(store, "后来说的", at=NOW + 1)
    await store.readings.begin(TALK, "live", "past", NOW + 1)
    assert await store.readings.position("live") == 1
    assert await store.readings.position("past") == 2


# Writing


async def test_a_batch_is_written_once_with_where_it_ends(store: Store) -> None:
    rows = [await say(store, f"话{n}", at=NOW + n) for n in range(3)]
    found = [read(row) for row in rows]
    assert await put(store, *found) == 3
    assert await put(store, *found) == 0, "read again after a kill"
    assert await store.readings.position("readings:t") == rows[-1]
    assert len(await kept(store)) == 3


async def test_what_was_taken_back_while_it_was_read_is_not_written(store: Store) -> None:
    recalled, hidden, withheld, kept_row = [
        await say(store, word, who)
        for word, who in (("撤回", "a"), ("隐藏", "b"), ("不许", "c"), ("留下", "d"))
    ]
    await store.talk.recall(PLACE, f"a 撤回 {NOW}")
    await store.talk.hide(key(f"b 隐藏 {NOW}"))
    await refuse(store, "c")
    assert await put(store, *(read(row) for row in (recalled, hidden, withheld, kept_row))) == 1
    assert await kept(store) == [(TALK, kept_row)]
    assert await put(store, read(999), source=PRIVATE) == 0


@pytest.mark.parametrize("how", ["recall", "hide", "drop", "opt", "erase"])
async def test_a_reading_goes_with_its_message(store: Store, how: str) -> None:
    row = await say(store, "气死了")
    other = await say(store, "挺好", "mei")
    await put(store, read(row), read(other, 1))
    member = (await store.members.meet("qun", "lin", NOW)).id
    if how == "recall":
        await store.talk.recall(PLACE, f"lin 气死了 {NOW}")
    elif how == "hide":
        await store.talk.hide(key(f"lin 气死了 {NOW}"))
    elif how == "drop":
        assert await store.readings.drop(TALK, row)
        assert not await store.readings.drop(TALK, row)
    elif how == "opt":
        await store.talk.opt(member, False)
    else:
        await store.members.erase(member, NOW)
    assert await kept(store) == [(TALK, other)]


async def test_old_readings_are_removed_and_new_ones_stay(store: Store) -> None:
    rows = [await say(store, f"话{n}", at=NOW - n * DAY_S) for n in range(4)]
    await put(store, *(read(row) for row in rows))
    assert await store.readings.remove(NOW - 1.5 * DAY_S) == 2
    assert await store.readings.remove(NOW - 1.5 * DAY_S) == 0
    assert len(await kept(store)) == 2


# Read back


async def test_sums_by_day_member_and_word(store: Store) -> None:
    labels = (-1, 0, 1, None)
    rows = [await say(store, f"话{n}", at=NOW + n) for n in range(4)]
    late = await say(store, "次日", "mei", at=NOW + DAY_S)
    await put(store, *(read(row, label) for row, label in zip(rows, labels, strict=True)))
    await put(store, read(late, 1, ""))
    lin, mei = [(await store.members.meet("qun", who, NOW)).id for who in ("lin", "mei")]
    day = int((NOW + 28_800) // DAY_S)
    with reading(store.db.path) as conn:
        until = NOW + 2 * DAY_S
        assert readings.mood_days(conn, NOW, until) == [
            (PLACE, day, 1, 1, 1, 1, 1),
            (PLACE, day + 1, 0, 0, 1, 0, 1),
        ]
        assert readings.mood_members(conn, NOW, until) == {day: 1, day + 1: 1}
        assert readings.mood_people(conn, NOW, until) == [
            (PLACE, lin, 1, 1, 1, 1),
            (PLACE, mei, 0, 0, 1, 0),
        ]
        assert list(readings.mood_words(conn, NOW, until)) == [
            (PLACE, day, lin, label, "课程 退款") for label in labels
        ]
        assert [one.row_id for one in readings.messages(conn, NOW, NOW + DAY_S)] == rows
        assert readings.messages(conn, NOW, until)[0].terms == ("课程", "退款")
        assert readings.records(conn, {lin, mei, 999}, NOW, until) == {lin: (4, 1), mei: (1, 0)}
        assert readings.mood_days(conn, 0.0, NOW) == []


async def test_the_newest_are_listed_by_label_and_place_with_their_words(store: Store) -> None:
    first, second = await say(store, "气死了"), await say(store, "挺好", at=NOW + 1)
    private = await write(store, "太慢了")
    gone = await say(store, "撤回", at=NOW + 2)
    await put(store, read(first), read(second, 1), read(gone))
    await put(store, read(private), source=PRIVATE)
    await store.talk.blank(NOW + 0.5)
    await store.talk.recall(PLACE, f"lin 撤回 {NOW + 2}")
    found = await store.readings.latest(10)
    assert [(one.text, one.label) for one in found] == [("挺好", 1), ("太慢了", -1)]
    assert [one.text for one in await store.readings.latest(10, label=-1)] == ["太慢了"]
    assert [one.text for one in await store.readings.latest(10, place=PLACE)] == ["挺好"]
    assert await store.readings.latest(10, label=0) == []


async def test_texts_come_in_the_order_they_were_asked_for(store: Store) -> None:
    first, second = await say(store, "一"), await say(store, "二", hidden=True)
    third = await write(store, "三")
    refs = [(PRIVATE, third), (TALK, second), (TALK, first), (TALK, 99)]
    assert await store.readings.texts(refs) == ["三", "一"]
    assert await store.readings.texts([]) == []


# What operators correct


async def test_a_correction_counts_at_once_and_once(store: Store) -> None:
    row = await say(store, "这课真行啊 13800138000")
    await put(store, read(row, 1))

    def keep(text: str) -> str:
        return text[:5]

    assert await store.mood_labels.correct(TALK, row, -1, DEED, keep) is True
    assert await store.mood_labels.correct(TALK, row, -1, DEED, keep) is False
    assert await ask(store, "select text, label, was from mood_labels") == [("这课真行啊", -1, 1)]
    assert await ask(store, "select label, negative, model from readings") == [(-1, 1, "operator")]
    assert await store.mood_labels.correct(TALK, row, 0, DEED, keep) is True
    assert await ask(store, "select label, was from mood_labels") == [(0, 1)]
    assert len(await store.audit.newest()) == 2
    assert await put(store, read(row, 1)) == 0, "the model does not take it back"


async def test_what_is_gone_cannot_be_corrected(store: Store) -> None:
    row = await say(store, "气死了")
    assert await store.mood_labels.correct(TALK, row, 0, DEED, str) is None, "never read"
    await put(store, read(row))
    await store.talk.blank(NOW + 1)
    assert await store.mood_labels.correct(TALK, row, 0, DEED, str) is None


async def learned(store: Store) -> int:
    """One label that the model has learned; the row it is of."""
    row = await say(store, "气死了")
    await put(store, read(row, 0))
    await store.mood_labels.correct(TALK, row, -1, DEED, str)
    assert await store.mood_labels.want("aa", 7, DEED)
    new = await store.mood_labels.learned("aa", [1], 0.25, 0.5, NOW)
    assert new == Learned(1, 1, 0.25, 0.5, NOW)
    return row


async def test_a_wish_is_fulfilled_once_and_told(store: Store) -> None:
    assert await store.mood_labels.wanted() is None
    assert await store.mood_labels.model() == Learned()
    await learned(store)
    again = await store.mood_labels.learned("aa", [1], 0.9, 0.9, NOW + 9)
    assert again == Learned(1, 1, 0.25, 0.5, NOW), "a kill, and the same wish once more"
    assert await store.mood_labels.count() == (1, 0)
    wish = await store.mood_labels.wanted()
    assert wish is not None
    assert (wish.done, wish.by) == (True, 7)
    assert await store.mood_labels.want("aa", 7, DEED), "the same message"
    assert not await store.mood_labels.want("bb", 8, DEED), "another one waits"
    await store.mood_labels.settled("bb")
    await store.mood_labels.settled("aa")
    assert await store.mood_labels.wanted() is None


@pytest.mark.parametrize("how", ["recall", "erase", "correct"])
async def test_the_model_forgets_what_is_no_label_any_more(store: Store, how: str) -> None:
    row = await learned(store)
    if how == "recall":
        await store.talk.recall(PLACE, f"lin 气死了 {NOW}")
    elif how == "erase":
        await store.members.erase((await store.members.meet("qun", "lin", NOW)).id, NOW)
    else:
        await store.mood_labels.correct(TALK, row, 1, DEED, str)
    model = await store.mood_labels.model()
    assert (model.version, model.labels) == (2, 0)
