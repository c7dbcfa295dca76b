"""Rows about members' behaviour: with the logs or not at all, and nobody's who does not want it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from store import Store, feature_reads
from store.events import NewEvent
from store.feature_reads import Shop
from store.features import NOWHERE, Judged, Row
from store.talk import NewTalk
from tests.store.rows import CHANNEL, LIN, MEI, NOW, answered, ask_file, change_file

DAY_S = 86_400.0


def data(days: int = 1, **fields: Any) -> str:
    kept = {
        "hours": [1] + [0] * 23,
        "channels": {"mp": 1},
        "topics": {"faq:1": 1},
        "gaps": [],
        "reply_s": None,
        "replies": [[5.0, 60.0]],
        "weeks": "1",
        "days": f"{days:x}",
        "shop": [None, 0, 0],
    }
    return json.dumps({**kept, **fields})


def row(member_id: int, **fields: Any) -> Row:
    plain: dict[str, Any] = {
        **dict.fromkeys(Row._fields, 0),
        "member_id": member_id,
        "first_at": NOW,
        "last_at": NOW,
        "returned_at": None,
        "acts": 1,
        "active_days": 1,
        "last_day": "2025-11-20",
        "days28": 1,
        "last_order_at": None,
        "data": data(),
        "state": "active",
        "churn": None,
        "reasons": "",
        "action": "keep",
        "updated_at": NOW,
    }
    return Row(**{**plain, **fields})


async def two(store: Store) -> tuple[int, int]:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    mei = await store.members.meet(CHANNEL, MEI, NOW)
    return lin.id, mei.id


UNTIL = (5, 4, 3, 2)


# Rows and positions


async def test_rows_and_how_far_they_reach_are_written_together(store: Store) -> None:
    lin, mei = await two(store)
    assert await store.features.positions() is None
    assert await store.features.put([row(lin), row(mei)], {}, None, UNTIL, NOW, opt_in=False)
    assert await store.features.positions() == UNTIL
    assert await store.features.of(lin) == row(lin)
    later = row(lin, acts=2, updated_at=NOW + 1)
    assert await store.features.put([later], {lin: NOW}, UNTIL, UNTIL, NOW, opt_in=False)
    assert await store.features.of(lin) == later


@pytest.mark.parametrize("meanwhile", ["another round", "merged", "forgotten", "gone", "opted out"])
async def test_what_changed_while_it_was_worked_on_is_not_overwritten(
    store: Store, meanwhile: str
) -> None:
    lin, mei = await two(store)
    await store.features.put([row(lin)], {}, None, UNTIL, NOW, opt_in=False)
    since, was = UNTIL, {lin: NOW}
    if meanwhile == "another round":
        await store.features.reach((6, 4, 3, 2), NOW)
    elif meanwhile == "merged":
        change_file(store.db.path, "update member_features set updated_at = -1")
    elif meanwhile == "forgotten":
        await store.features.drop([lin])
    elif meanwhile == "gone":
        mei = 99
    else:
        change_file(
            store.db.path,
            "insert into consents (member_id, purpose, granted, at, source) "
            f"values ({mei}, 'profiling', 0, 0, 'mp')",
        )
    rows = [row(lin, acts=7, updated_at=NOW + 1), row(mei)]
    until = (9, 9, 9, 9)
    assert not await store.features.put(rows, was, since, until, NOW, opt_in=False)
    assert ask_file(store.db.path, "select count(*) from member_features where acts = 7") == [(0,)]
    assert await store.features.positions() != until


async def test_where_only_who_agreed_is_looked_at_the_silent_are_not(store: Store) -> None:
    lin, mei = await two(store)
    change_file(
        store.db.path,
        "insert into consents (member_id, purpose, granted, at, source) "
        f"values ({lin}, 'profiling', 1, 0, 'mp')",
    )
    assert await store.features.make([row(lin), row(mei)], opt_in=True) == {mei}
    assert await store.features.of(mei) is None


async def test_conclusions_are_not_written_over_a_newer_row(store: Store) -> None:
    lin, mei = await two(store)
    await store.features.make([row(lin), row(mei, updated_at=NOW + 9)], opt_in=False)
    concluded = [
        Judged(one, 5, 4, 3, "core", NOW, 0.25, "fewer_days", "thank", NOW) for one in (lin, mei)
    ]
    assert await store.features.judge(concluded) == 1
    found = await store.features.of(lin)
    assert found is not None
    assert found[14:22] == concluded[0][1:9]
    assert (await store.features.of(mei) or row(0)).state == "active"
    assert await store.features.count_states("2026-11-20") == {"core": 1, "active": 1}
    assert await store.features.count_states("2026-11-20") == {"core": 1, "active": 1}
    days = await store.db.read(lambda conn: feature_reads.state_days(conn, "2026-11-01"))
    assert days == [("2026-11-20", "active", 1), ("2026-11-20", "core", 1)]


# What is new


async def news(store: Store, **fields: Any) -> feature_reads.News:
    args: dict[str, Any] = {"since": NOWHERE, "limit": 100, "now": NOW, "opt_in": False}
    return await store.db.read(lambda conn: feature_reads.news(conn, **{**args, **fields}))


async def test_messages_taps_and_turns_are_acts_and_coming_is_none(store: Store) -> None:
    lin = await answered(store, 1, item="faq:1")
    await answered(store, 2, kind="event:CLICK", handler="menu")
    await answered(store, 3, kind="event:subscribe", handler="follow")
    await answered(store, 4, handler="course", item="item:py-101")
    change_file(store.db.path, "update interactions set place = 'qun:1' where id = 4")
    await store.talk.say(NewTalk(b"t" * 16, "qun:1", CHANNEL, LIN, NOW, "text", "大家好"))
    await store.talk.say(
        NewTalk(b"h" * 16, "qun:1", CHANNEL, LIN, NOW, "text", "广告", hidden=True)
    )
    found = (await news(store)).happened[lin]
    told = [(one.act, one.channel, one.question, one.topic) for one in found]
    assert told == [
        (True, "mp", True, "faq:1"),
        (True, "mp", False, ""),
        (False, "", False, "item:py-101"),
        (True, "group:qun", False, ""),
    ]


async def test_what_is_new_comes_in_pages_and_ends(store: Store) -> None:
    for number in range(1, 8):
        await answered(store, number)
    first = await news(store, limit=3)
    assert (first.until, first.more) == ((3, 0, 0, 1), True)
    await store.features.make([row(1)], opt_in=False)
    last = await news(store, since=(6, 0, 0, 1), limit=3)
    assert (last.until, last.more, len(last.happened[1])) == ((7, 0, 0, 1), False, 1)
    assert (await news(store, since=(7, 0, 0, 1))).known == {}


async def test_of_who_lost_their_row_everything_is_new(store: Store) -> None:
    for number in range(1, 8):
        await answered(store, number)
    found = await news(store, since=(6, 0, 0, 1))
    assert found.known[1].row is None
    assert len(found.happened[1]) == 7


async def test_nothing_is_read_of_who_does_not_want_it(store: Store) -> None:
    lin = await answered(store, 1)
    mei = await answered(store, 2, MEI)
    change_file(
        store.db.path,
        "insert into consents (member_id, purpose, granted, at, source) "
        f"values ({lin}, 'profiling', 0, 0, 'mp')",
    )
    found = await news(store)
    assert found.known.keys() == found.happened.keys() == {mei}
    nobody = await news(store, opt_in=True)
    assert (nobody.known, nobody.happened, nobody.until[0]) == ({}, {}, 2)


async def test_of_whom_groups_may_know_nothing_only_private_messages_count(store: Store) -> None:
    lin = await answered(store, 1)
    await answered(store, 2, handler="faq")
    change_file(store.db.path, "update interactions set place = 'qun:1' where id = 2")
    await store.talk.opt(lin, recorded=False)
    assert [one.act for one in (await news(store)).happened[lin]] == [True]


async def test_opting_out_of_being_recorded_drops_what_groups_told(store: Store) -> None:
    lin, _ = await two(store)
    await store.features.make([row(lin, data=data(channels={"group:qun": 1}))], opt_in=False)
    await store.talk.opt(lin, recorded=False)
    assert await store.features.of(lin) is None


async def test_who_answers_a_push_within_a_day_is_known_to(store: Store) -> None:
    lin = await answered(store, 1, at=NOW)
    await answered(store, 2, at=NOW - 3 * DAY_S)
    push = (
        "insert into deliveries (campaign_id, member_id, status, claimed_at) "
        f"values (1, {lin}, 'accepted', {NOW - 60})"
    )
    change_file(
        store.db.path,
        "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
        "created_at, created_by) values (1, '上新', 'mp', 'everyone', 'custom', 'running', 0, "
        "x'00', 0, 'cli')",
    )
    change_file(store.db.path, push)
    assert [one.pushed_at for one in (await news(store)).happened[lin]] == [NOW - 60, 0.0]


async def test_who_wants_nothing_or_left_everywhere_is_paused(store: Store) -> None:
    for openid in ("follows", "left", "in group", "wrote", "退订", "订阅"):
        await store.members.meet(CHANNEL, openid, NOW)
        if openid not in ("wrote",):
            await store.members.follow(CHANNEL, openid, True, NOW)
    for openid in ("left", "in group"):
        await store.members.follow(CHANNEL, openid, False, NOW)
    joined = "insert into group_members (place, member_id, since) values ('qun:1', 3, 0)"
    change_file(store.db.path, joined)
    for member_id in (5, 6):
        await store.optouts.leave_all(member_id, NOW)
    await store.content.subscribe(6, "新课", NOW)
    known = (await news(store)).known
    assert [known[one].paused for one in range(1, 7)] == [False, True, False, False, True, False]
    assert [known[one].present for one in range(1, 5)] == [True, False, True, False]


# The shop


async def shop(store: Store, *events: NewEvent) -> Shop:
    await store.events.add(events, NOW)
    return await store.db.read(lambda conn: feature_reads.shops_of(conn, [1])[1])


def bought(number: int, kind: str = "purchase", **fields: Any) -> NewEvent:
    return NewEvent(f"e{number}", kind, NOW + number, 1, **fields)


async def test_refunds_are_taken_off_in_whatever_order_they_come(store: Store) -> None:
    await two(store)
    first = bought(1, amount_cents=9900, order_id="a", item_id="x")
    second = bought(2, amount_cents=5000, order_id="b", item_id="y")
    whole = bought(3, "refund", order_id="a")
    part = bought(4, "refund", amount_cents=1000, order_id="b")
    found = await shop(store, whole, part, second, first)
    assert (found.spent_cents, found.orders, found.last_order_at) == (4000, 1, NOW + 2)
    assert found.seen[0] == 4


async def test_progress_is_that_of_the_course_they_are_farthest_in(store: Store) -> None:
    await two(store)
    found = await shop(
        store,
        bought(1, "progress", percent=30, item_id="x"),
        bought(2, "progress", percent=70, item_id="y"),
        bought(3, "view", item_id="z"),
    )
    assert (found.progress, found.learnt_at, found.orders) == (70, NOW + 2, 0)
    assert (await shop(store, bought(4, "complete", item_id="x"))).progress == 100
    everyone = await store.db.read(feature_reads.all_shops)
    assert everyone.keys() == {1}


# What does not agree


async def test_the_night_finds_what_does_not_agree(store: Store) -> None:
    ids = [(await store.members.meet(CHANNEL, f"o{number}", NOW)).id for number in range(6)]
    fine, bare, buyer, opted, silent, poorer = ids
    rows = [row(one) for one in (fine, buyer, opted)]
    rows.append(row(silent, data=data(channels={"group:qun": 2})))
    rows.append(row(poorer, data=data(shop=[None, 1, 99])))
    await store.features.put(rows, {}, None, (9, 9, 9, 9), NOW, opt_in=False)
    await store.events.add([NewEvent("late", "purchase", NOW, buyer, amount_cents=1)], NOW)
    change_file(
        store.db.path,
        "insert into consents (member_id, purpose, granted, at, source) "
        f"values ({opted}, 'profiling', 0, 0, 'mp')",
    )
    change_file(
        store.db.path,
        "insert into member_settings (member_id, name, value) "
        f"values ({silent}, 'unrecorded', '1')",
    )
    missing, other, gone = await store.db.read(
        lambda conn: feature_reads.wrong(conn, 9, opt_in=False)
    )
    assert missing == [bare, silent]
    assert sorted(other) == [buyer, poorer]
    assert sorted(gone) == [opted, silent]


# Of one person


async def test_forgetting_leaves_nothing_of_them(store: Store) -> None:
    lin, mei = await two(store)
    await store.features.make([row(lin), row(mei)], opt_in=False)
    told = await store.members.export(lin)
    assert told is not None
    assert [one["state"] for one in told["member_features"]] == ["active"]
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    assert erased.rows["member_features"] == 1
    assert ask_file(store.db.path, "select member_id from member_features") == [(mei,)]


async def united(store: Store, *rows: Row) -> Row:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    other = await store.members.meet("team", MEI, NOW)
    ids = {1: lin.id, 2: other.id}
    await store.features.make(
        [one._replace(member_id=ids[one.member_id]) for one in rows], opt_in=False
    )
    await store.members.unite(CHANNEL, LIN, "uTEST")
    keep = await store.members.unite("team", MEI, "uTEST")
    assert keep is not None
    found = ask_file(store.db.path, "select member_id from member_features")
    assert found == ([(keep,)] if rows else [])
    return await store.features.of(keep) or row(0)


async def test_what_two_did_one_did_when_they_are_one(store: Store) -> None:
    early = row(1, last_day="2025-11-10", data=data(0b1001), acts=3, progress=40, updated_at=5.0)
    late = row(2, first_at=NOW - 9, data=data(0b11), acts=2, spent_cents=7, questions=1)
    one = await united(store, early, late)
    kept = json.loads(one.data)
    assert int(kept["days"], 16) == 0b11 | 0b1001 << 10
    assert (kept["hours"][0], kept["channels"], kept["topics"]) == (2, {"mp": 2}, {"faq:1": 2})
    assert (one.acts, one.progress, one.spent_cents, one.questions) == (5, 40, 7, 1)
    assert (one.first_at, one.last_day, one.state) == (NOW - 9, "2025-11-20", "")
    assert one.updated_at not in (NOW, 5.0), "who works on one of the two sees it"
    assert (await news(store, since=(99, 99, 99, 99))).known.keys() == {one.member_id}


@pytest.mark.parametrize("had", [1, 2])
async def test_where_only_one_of_the_two_had_a_row_it_is_theirs(store: Store, had: int) -> None:
    one = await united(store, row(had, acts=4))
    assert one.acts == 4


async def test_two_without_rows_become_one_without(store: Store) -> None:
    await united(store)
