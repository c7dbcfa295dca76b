"""Cases of order: once for each message, settled by operators, forgotten in time."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from store import Store
from store.ledgers import Deed
from store.order import (
    FALSE_ALARM,
    SPAM,
    Case,
    Lesson,
    NewCase,
    Verdict,
    WordRow,
)
from store.posts import NewPost, Post

NOW = 1_795_228_200.0
PLACE, OTHER = "qun:1", "qun:2"
DEED = Deed(NOW, "member:1", "order.spam")
DAY_S = 86_400.0


def key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def new(name: str, **fields: Any) -> NewCase:
    usual: dict[str, Any] = {
        "place": PLACE,
        "member_id": None,
        "message_id": name,
        "at": NOW,
        "text": f"words {name}",
        "reasons": ("contact", "model"),
        "score": 0.99,
        "severity": 2,
        "actions": ("hidden",),
        "report": True,
    }
    return NewCase(key=key(name), **{**usual, **fields})


def warning(name: str = "lin today") -> NewPost:
    return NewPost(
        key=key(name),
        channel="qun",
        place=PLACE,
        kind="order",
        body=Post("text", "注意"),
        due_at=NOW,
    )


def nothing(case: Case) -> NewPost | None:
    return None


async def opened(store: Store, name: str, **fields: Any) -> Case:
    return (await store.order.open(new(name, **fields), None, NOW)).case


async def person(store: Store, name: str) -> int:
    await store.groups.meet("qun", "1", NOW)
    return (await store.members.meet("qun", name, NOW)).id


async def posts(store: Store) -> int:
    return await store.db.read(
        lambda conn: int(conn.execute("select count(*) from posts").fetchone()[0])
    )


# Cases


async def test_the_same_message_is_the_same_case_with_one_warning(store: Store) -> None:
    first = await store.order.open(new("a"), warning(), NOW)
    again = await store.order.open(new("a", severity=3, text="others"), warning(), NOW + 9)
    assert (first.fresh, first.warned, again.fresh, again.warned) == (True, True, False, False)
    assert again.case == first.case
    assert first.case.actions == ("hidden", "warned")
    assert first.case.reasons == ("contact", "model")
    assert await posts(store) == 1


async def test_a_second_case_of_a_day_warns_nobody_and_says_so(store: Store) -> None:
    await store.order.open(new("a"), warning(), NOW)
    second = await store.order.open(new("b"), warning(), NOW)
    assert (second.fresh, second.warned, second.case.actions) == (True, False, ("hidden",))


async def test_who_asks_for_the_same_case_at_once_gets_one(store: Store) -> None:
    found = await asyncio.gather(*(store.order.open(new("a"), warning(), NOW) for _ in range(20)))
    assert [one.fresh for one in found].count(True) == 1
    assert [one.warned for one in found].count(True) == 1


async def test_a_member_who_is_gone_leaves_a_case_of_nobody(store: Store) -> None:
    assert (await opened(store, "a", member_id=99)).member_id is None


async def test_cases_are_listed_and_summed_by_group(store: Store) -> None:
    first = await opened(store, "a")
    await opened(store, "b", severity=1, report=False)
    await opened(store, "c", place=OTHER)
    await opened(store, "d", at=NOW - DAY_S)
    assert [one.message_id for one in await store.order.cases(PLACE, NOW)] == ["b", "a"]
    assert len(await store.order.cases("", 0.0)) == 4
    assert len(await store.order.cases("", 0.0, 2)) == 2
    await store.order.verdict(first.id, True, DEED, nothing)
    assert [tuple(one) for one in await store.order.sums(NOW)] == [
        (PLACE, 2, 0, 1),
        (OTHER, 1, 1, 1),
    ]
    assert await store.order.case(first.id) == (await store.order.cases(PLACE, NOW))[1]
    assert await store.order.case(99) is None


async def test_strikes_count_what_was_severe_and_no_false_alarm(store: Store) -> None:
    lin = await person(store, "lin")
    for name, fields in (
        ("a", {}),
        ("b", {"severity": 1}),
        ("c", {"at": NOW - DAY_S}),
        ("d", {"place": OTHER}),
        ("e", {}),
    ):
        await opened(store, name, **{"member_id": lin, **fields})
    assert await store.order.strikes(lin, PLACE, NOW) == 2
    last = (await store.order.cases(PLACE, NOW))[0]
    await store.order.verdict(last.id, False, DEED, nothing)
    assert await store.order.strikes(lin, PLACE, NOW) == 1


# What is meant, and reports


async def test_what_is_meant_waits_until_it_is_done_or_stale(store: Store) -> None:
    lin = await person(store, "lin")
    case = await opened(store, "a", member_id=lin, actions=("hidden", "silence"))
    [todo] = await store.order.pending(NOW)
    assert tuple(todo) == (case.id, "silence", PLACE, "lin")
    assert await store.order.pending(NOW + 1) == []
    assert await store.order.did(case.id, "silence", "silenced")
    assert not await store.order.did(case.id, "silence", "silenced")
    assert not await store.order.did(99, "silence", "silenced")
    assert await store.order.pending(NOW) == []


async def test_a_false_alarm_lets_who_was_silenced_speak_and_stops_what_was_meant(
    store: Store,
) -> None:
    lin = await person(store, "lin")
    done = await opened(store, "a", member_id=lin, actions=("hidden", "silenced"))
    meant = await opened(store, "b", member_id=lin, actions=("hidden", "kick"))
    for case in (done, meant):
        await store.order.verdict(case.id, False, DEED, nothing)
    assert [tuple(one) for one in await store.order.pending(NOW)] == [
        (done.id, "released", PLACE, "lin")
    ]


async def test_a_report_takes_all_that_waits_once_a_minute(store: Store) -> None:
    await opened(store, "a")
    await opened(store, "b", report=False)
    assert await store.order.unreported() == [PLACE]
    [case] = await store.order.report(PLACE, NOW, 60.0)
    assert (case.message_id, case.reported_at) == ("a", NOW)
    await opened(store, "c")
    await opened(store, "d")
    assert await store.order.report(PLACE, NOW + 59, 60.0) == []
    assert len(await store.order.report(PLACE, NOW + 60, 60.0)) == 2
    assert await store.order.unreported() == []
    assert [len(found) for found in await store.order.reported(NOW)] == [1, 2]
    assert await store.order.reported(NOW + 61) == []


# Verdicts


async def test_a_verdict_settles_what_was_said_alike_and_is_in_the_audit_once(
    store: Store,
) -> None:
    first = await opened(store, "a", text="same")
    second = await opened(store, "b", text="same", place=OTHER)
    await opened(store, "c", text="else")
    await opened(store, "d", text="same", at=NOW - 2 * DAY_S)
    settled = await store.order.verdict(first.id, True, DEED, nothing)
    assert settled is not None
    assert (settled.changed, settled.others, settled.case.verdict) == (True, (second.id,), SPAM)
    again = await store.order.verdict(first.id, True, DEED, nothing)
    assert again is not None
    assert (again.changed, again.others) == (False, ())
    assert [(row.action, row.target, row.detail) for row in await store.audit.newest()] == [
        ("order.spam", f"order:{first.id}", "spam and 1 alike")
    ]
    assert (await store.audit.verify()).sound
    assert await store.order.verdict(99, True, DEED, nothing) is None


async def test_the_other_verdict_turns_all_of_it_around(store: Store) -> None:
    first = await opened(store, "a", text="same")
    second = await opened(store, "b", text="same")
    await store.order.verdict(first.id, True, DEED, nothing)
    settled = await store.order.verdict(second.id, False, DEED, nothing)
    assert settled is not None
    assert settled.others == (first.id,)
    assert {one.verdict for one in await store.order.cases("", 0.0)} == {FALSE_ALARM}


async def test_an_apology_goes_to_who_was_warned_once(store: Store) -> None:
    await store.order.open(new("a", text="same"), warning(), NOW)
    case = (await store.order.cases("", 0.0))[0]
    await opened(store, "b", text="same")

    def sorry(one: Case) -> NewPost:
        return replace(warning(f"sorry {one.id}"), member_id=one.member_id)

    for spam in (False, True, False):
        await store.order.verdict(case.id, spam, DEED, sorry)
    assert await posts(store) == 2, "the warning and one apology"


async def test_people_of_a_case_are_known_by_their_id_on_the_channel(store: Store) -> None:
    lin = await person(store, "lin")
    case = await opened(store, "a", text="same", member_id=lin)
    alike = await opened(store, "b", text="same", member_id=await person(store, "su"))
    await opened(store, "c", text="same")
    assert await store.order.people(case.id) == {case.id: "lin", alike.id: "su"}
    assert await store.order.people(99) == {}


# Learning


async def test_verdicts_wait_until_they_are_learned_and_again_when_turned(store: Store) -> None:
    case = await opened(store, "a")
    await store.order.verdict(case.id, True, DEED, nothing)
    assert await store.order.unlearned() == [Verdict(case.id, True, "words a")]
    lesson = Lesson(case.id, True, "words a", -(2**63))
    assert await store.order.learned([Verdict(case.id, True, "words a")], [lesson], NOW) == [lesson]
    assert await store.order.unlearned() == []
    await store.order.verdict(case.id, False, DEED, nothing)
    [turned] = await store.order.unlearned()
    assert not turned.spam
    assert await store.order.learned([turned._replace(text="")], [], NOW) == [
        lesson._replace(spam=False)
    ], "also when its words are gone"
    assert await store.order.lessons() == [lesson._replace(spam=False)]


async def test_a_verdict_that_changed_while_it_was_learned_is_learned_again(store: Store) -> None:
    case = await opened(store, "a")
    await store.order.verdict(case.id, True, DEED, nothing)
    [old] = await store.order.unlearned()
    await store.order.verdict(case.id, False, DEED, nothing)
    await store.order.learned([old], [Lesson(case.id, True, "words a", 1)], NOW)
    [waiting] = await store.order.unlearned()
    assert not waiting.spam


# Forgetting


async def test_words_are_forgotten_unless_a_verdict_waits_to_be_learned(store: Store) -> None:
    old = NOW - 40 * DAY_S
    plain = await opened(store, "plain", at=old)
    noted = await opened(store, "noted", at=old, severity=1, report=False)
    waits = await opened(store, "waits", at=old)
    fresh = await opened(store, "fresh")
    await store.order.verdict(waits.id, True, DEED, nothing)
    assert await store.order.blank(NOW - 30 * DAY_S) == 2
    kept = {one.id: one.text for one in await store.order.cases("", 0.0)}
    assert kept == {plain.id: "", waits.id: "words waits", fresh.id: "words fresh"}
    assert noted.id not in kept
    await store.order.learned(await store.order.unlearned(), [], NOW)
    assert await store.order.blank(NOW - 30 * DAY_S) == 1
    assert await store.order.blank(NOW - 30 * DAY_S) == 0


async def test_who_is_forgotten_leaves_no_case_and_no_lesson(store: Store) -> None:
    lin, su = await person(store, "lin"), await person(store, "su")
    mine = await opened(store, "a", member_id=lin, text="my secret words")
    theirs = await opened(store, "b", member_id=su)
    for case in (mine, theirs):
        await store.order.verdict(case.id, True, DEED, nothing)
    verdicts = await store.order.unlearned()
    lessons = [Lesson(one.case_id, True, one.text, one.case_id) for one in verdicts]
    await store.order.learned(verdicts, lessons, NOW)
    assert [row["text"] for row in (await store.members.export(lin) or {})["order_cases"]] == [
        "my secret words"
    ]
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    assert erased.rows["order_cases"] == 1
    assert [one.case_id for one in await store.order.lessons()] == [theirs.id]
    late = [Lesson(mine.id, True, "my secret words", 1)]
    assert [one.case_id for one in await store.order.learned([], late, NOW)] == [theirs.id]


# Words


@pytest.mark.parametrize("place", ["", PLACE])
async def test_a_word_is_banned_once_and_taken_off_once(store: Store, place: str) -> None:
    word = WordRow("ban", "代考", place, 2)
    assert await store.order.set_word(word, DEED)
    assert not await store.order.set_word(word, DEED)
    assert await store.order.words() == [word]
    assert await store.order.set_word(word._replace(severity=3), DEED)
    assert not await store.order.drop_word(("allow",), "代考", place, DEED)
    assert await store.order.drop_word(("ban",), "代考", place, DEED)
    assert not await store.order.drop_word(("ban",), "代考", place, DEED)
    assert await store.order.words() == []
    assert len(await store.audit.newest()) == 3
