"""Forgetting a member: no row, no column and no free page of the file keeps a trace."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from store import Store
from store.dialect import Connection
from store.events import Added, NewEvent
from store.hooks import TOPICS
from tests.store.belongings import have_everything
from tests.store.rows import (
    CHANNEL,
    LIN,
    MEI,
    NOW,
    answered,
    ask_file,
    incoming,
    key,
    late,
    places_of,
    tables_of,
)

ELSEWHERE = "team"
OTHER_ID = "oTEST_lin_in_the_team"
TRACES = [LIN, OTHER_ID, "uTEST_union", "秘密"]


async def _life(store: Store) -> int:
    """A member who left something in every table that can hold it; a neighbour as well."""
    member_id = 0
    for number in range(1, 41):
        at = NOW + number
        await store.messages.record(incoming(number, body=f"秘密 {LIN}".encode() * 20, at=at))
        member_id = await answered(
            store,
            number,
            at=at,
            reply=f"<xml>{LIN} 秘密".encode() * 20,
            text=f"秘密 {number}" * 10,
            allowance=5,
            late=late(2, word="秘密"),
        )
        await answered(store, 500 + number, MEI, at=at, text="公开", allowance=5, late=late(1))
    await store.messages.record(incoming(100, body=f"秘密 {LIN}".encode()))
    for send in await store.sends.claim(NOW + 100):
        note = "秘密" if send.external_id == LIN else ""
        await store.sends.settle(send.id, "refused", NOW, errcode=40003, note=note)
    await store.members.meet(ELSEWHERE, OTHER_ID, NOW)
    await store.members.unite(CHANNEL, LIN, "uTEST_union")
    await store.members.unite(ELSEWHERE, OTHER_ID, "uTEST_union")
    await store.members.set_state(member_id, "offer", ["秘密"], NOW + 9999)
    await store.members.wrong(member_id, "claim", NOW, key(1), limit=5, lock_s=60)
    await store.content.subscribe(member_id, "秘密", NOW)
    await store.members.follow(CHANNEL, LIN, True, NOW)
    await _outside(store, member_id)
    return member_id


async def _outside(store: Store, member_id: int) -> None:
    """What both did in the shop and for their courses."""
    mei = (await store.members.meet(CHANNEL, MEI, NOW)).id
    for number, openid in enumerate((LIN, MEI)):
        word = "公开" if number else "秘密"
        bought = NewEvent(
            "",
            "purchase",
            NOW,
            channel=CHANNEL,
            openid=openid,
            visitor=f"{word} browser",
            item_id="c1",
            order_id=f"{word} order",
            ref=f"{word} of the shop",
            data=f'"{word}"',
        )
        await store.events.add([replace(bought, event_id=f"{number}.{n}") for n in range(3)], NOW)
    for member, word in ((member_id, "秘密"), (mei, "公开")):
        await store.audit.add(NOW, "key:k1", "member.tag", f"member:{member}", word)
        for sql in (
            "insert into member_tags (member_id, tag, since) values (?, ?, 0)",
            "insert into homework (member_id, item_id, chapter_id, text, submitted_at) "
            "values (?, 'c1', '1', ?, 0)",
            "insert into reminders (member_id, item_id, since) values (?, ?, 0)",
            "insert into faq_votes (member_id, faq_id, useful, at) values (?, length(?), 1, 0)",
        ):
            await store.db.write(partial(_execute, sql=sql, args=(member, word)))
        await have_everything(store, member, word)


def _execute(conn: Connection, sql: str, args: tuple[object, ...]) -> None:
    conn.execute(sql, args)


def _raw(folder: Path) -> bytes:
    return b"".join(one.read_bytes() for one in sorted(folder.iterdir()))


def _naming(store: Store, member_id: int) -> dict[str, int]:
    """Rows that name a member, by "table.column"."""
    found = {}
    for table, columns in tables_of(store.db.path).items():
        if table == "erasures":  # who is gone, by a number that means nobody
            continue
        for column in columns:
            if column in ("member_id", "inviter_id", "invitee_id", "from_id", "to_id"):
                sql = f"select count(*) from {table} where {column} = ?"
                found[f"{table}.{column}"] = ask_file(store.db.path, sql, (member_id,))[0][0]
    return found


async def test_every_column_that_names_a_member_is_filled_and_emptied(store: Store) -> None:
    member_id = await _life(store)
    await store.hooks.add("https://shop.example.com/h", TOPICS, "whsec_A", NOW, "cli")
    await store.members.follow(CHANNEL, LIN, False, NOW)
    before = _naming(store, member_id)
    assert [place for place, count in before.items() if not count] == []
    await store.members.erase(member_id, 0.0)
    after = {place for place, count in _naming(store, member_id).items() if count}
    assert after <= {"hook_deliveries.member_id"}, "only the news of the erasure itself"


async def test_two_members_made_one_leave_no_row_to_the_second(store: Store) -> None:
    first = (await store.members.meet(ELSEWHERE, "oTEST_first", NOW)).id
    second = await _life(store)
    await store.hooks.add("https://shop.example.com/h", TOPICS, "whsec_A", NOW, "cli")
    await store.members.follow(CHANNEL, LIN, False, NOW)
    await have_everything(store, first, "一样")
    keep, drop = sorted((first, second))
    had = _naming(store, drop)
    await store.members.unite(ELSEWHERE, "oTEST_first", "uTEST_union")
    assert set(_naming(store, drop).values()) == {0}
    lost = {place for place, count in _naming(store, keep).items() if had[place] and not count}
    assert lost == {"states.member_id", "attempts.member_id"}, "a question that waits is dropped"
    assert await store.points.audit_sums() == []


async def test_no_table_keeps_a_trace(store: Store) -> None:
    member_id = await _life(store)
    before = places_of(store.db.path, TRACES)
    assert {place.split(".")[0] for place in before} == {
        "identities",
        "interactions",
        "members",
        "messages",
        "sends",
        "states",
        "subscriptions",
        "aliases",
        "events",
        "homework",
        "member_tags",
        "reminders",
        "audit",
        "checkins",
        "coupon_steps",
        "coupons",
        "invites",
        "member_settings",
        "memberships",
        "point_transfers",
        "quiz_answers",
        "quiz_prizes",
        "referral_rewards",
        "wechat_tagged",
        "group_members",
        "order_cases",
        "posts",
        "signup_entries",
        "optouts",
        "notice_grants",
        "deliveries",
        "talk",
        "edges",
        "member_features",
        "member_findings",
        "consents",
        "readings",
        "mood_labels",
        "alerts",
        "recommendations",
        "rec_lists",
        "rec_shown",
        "dislikes",
    }, "the test must have something to find"
    erased = await store.members.erase(member_id, 0.0)
    assert erased is not None
    assert erased.member_id == member_id
    assert erased.rows == {
        "states": 1,
        "attempts": 1,
        "subscriptions": 1,
        "interactions": 40,
        "messages": 41,
        "sends": 80,
        "identities": 2,
        "members": 1,
        "events": 5,
        "member_tags": 1,
        "homework": 1,
        "reminders": 1,
        "faq_votes": 1,
        "hook_deliveries": 0,
        "member_settings": 1,
        "coupons": 2,
        "coupon_steps": 4,
        "point_accounts": 1,
        "point_postings": 1,
        "point_lots": 1,
        "checkins": 1,
        "badges": 1,
        "invites": 1,
        "referrals": 2,
        "referral_rewards": 1,
        "quiz_attempts": 1,
        "quiz_answers": 1,
        "quiz_prizes": 1,
        "used_up": 1,
        "mass_received": 1,
        "wechat_tagged": 1,
        "group_members": 1,
        "order_cases": 1,
        "signup_entries": 1,
        "optouts": 1,
        "notice_grants": 1,
        "journey_members": 1,
        "deliveries": 1,
        "memberships": 1,
        "talk": 1,
        "edges": 1,
        "posts": 1,
        "streams": 0,
        "customer_tasks": 0,
        "consents": 1,
        "member_features": 1,
        "community_members": 1,
        "member_findings": 1,
        "readings": 1,
        "mood_labels": 1,
        "alerts": 1,
        "recommendations": 1,
        "rec_lists": 1,
        "rec_shown": 1,
        "dislikes": 1,
        "rec_digests": 1,
    }
    assert places_of(store.db.path, TRACES) == set()
    assert store.members.known(CHANNEL, LIN) is None
    assert await store.members.find(LIN) == []


async def test_what_they_bought_stays_as_a_figure_of_nobody(store: Store) -> None:
    member_id = await _life(store)
    await store.members.erase(member_id, 0.0)
    lins = [one for one in await store.events.page() if one.event_id.startswith("0.")]
    assert len(lins) == 3
    assert {(one.member_id, one.who, one.item_id, one.order_id) for one in lins} == {
        (None, "", "c1", "")
    }
    again = NewEvent("0.1", "purchase", NOW, channel=CHANNEL, openid=LIN, item_id="c1")
    assert await store.events.add([again], NOW) == [Added.REPEATED], "and is not theirs again"
    assert (await store.events.page())[1].who == ""


async def test_a_tracked_link_keeps_what_it_was_made_for(store: Store) -> None:
    member_id = await answered(store, 1)
    click = NewEvent("click:r1", "click", NOW, member_id, click="r1", link_id=7, ref="faq:12")
    await store.events.add([click, replace(click, event_id="e2", link_id=None)], NOW)
    await store.members.erase(member_id, 0.0)
    assert [one.ref for one in await store.events.page()] == ["faq:12", ""]


async def test_the_audit_keeps_what_was_done_and_not_what_it_said_of_them(store: Store) -> None:
    member_id = await answered(store, 1)
    for target in (f"member:{member_id}", f"member:{member_id}0", "faq:1"):
        await store.audit.add(NOW, f"member:{member_id}", "did", target, "words")
    await store.members.erase(member_id, 0.0)
    kept = [(row.target, row.detail) for row in await store.audit.newest()]
    assert sorted(kept) == [
        ("faq:1", "words"),
        (f"member:{member_id}", ""),
        (f"member:{member_id}0", "words"),
    ]


async def test_what_was_said_of_them_before_two_members_became_one_goes_too(store: Store) -> None:
    numbers = []
    for channel, openid in ((CHANNEL, LIN), (ELSEWHERE, OTHER_ID)):
        numbers.append((await store.members.meet(channel, openid, NOW)).id)
        await store.audit.add(NOW, "cli", "member.tag", f"member:{numbers[-1]}", "秘密")
    for channel, openid in ((CHANNEL, LIN), (ELSEWHERE, OTHER_ID)):
        await store.members.unite(channel, openid, "uTEST_union")
    await store.members.erase(numbers[0], 0.0)
    assert places_of(store.db.path, TRACES) == set()


async def test_nobody_is_told_of_them_after_their_erasure(store: Store) -> None:
    await store.hooks.add("https://shop.example.com/h", TOPICS, "whsec_A", NOW, "cli")
    other = (await store.members.meet(ELSEWHERE, OTHER_ID, NOW)).id
    for channel, openid in ((CHANNEL, LIN), (ELSEWHERE, OTHER_ID)):
        member = await store.members.meet(channel, openid, NOW)
        await store.members.follow(channel, openid, True, NOW)
        click = NewEvent(f"click:{openid}", "click", NOW, member.id, link_id=7)
        await store.events.add([click], NOW)
    for telling in await store.hooks.claim(NOW):
        await store.hooks.settle(telling, telling.topic == "link.clicked", NOW, final=True)
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    assert [row["topic"] for row in ((await store.members.export(lin)) or {})["hook_deliveries"]]
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    assert erased.rows["hook_deliveries"] == 2
    left = ask_file(store.db.path, "select topic, member_id from hook_deliveries order by id")
    assert left == [("member.followed", other), ("link.clicked", other), ("member.erased", lin)]


async def test_what_two_members_made_one_are_told_of_goes_with_them(store: Store) -> None:
    await store.hooks.add("https://shop.example.com/h", TOPICS, "whsec_A", NOW, "cli")
    for channel, openid in ((CHANNEL, LIN), (ELSEWHERE, OTHER_ID)):
        await store.members.meet(channel, openid, NOW)
        await store.members.follow(channel, openid, True, NOW)
    for channel, openid in ((CHANNEL, LIN), (ELSEWHERE, OTHER_ID)):
        one = await store.members.unite(channel, openid, "uTEST_union")
    assert one is not None
    erased = await store.members.erase(one, NOW)
    assert erased is not None
    assert erased.rows["hook_deliveries"] == 2


async def test_no_byte_of_the_file_keeps_a_trace(store: Store, tmp_path: Path) -> None:
    """Deleted rows leave their text in free pages unless it is overwritten."""
    member_id = await _life(store)
    await store.optimise()
    assert all(trace.encode() in _raw(tmp_path) for trace in TRACES)
    await store.members.erase(member_id, 0.0)
    await store.optimise()
    assert [trace for trace in TRACES if trace.encode() in _raw(tmp_path)] == []
    assert MEI.encode() in _raw(tmp_path)


async def test_the_neighbours_keep_everything(store: Store) -> None:
    member_id = await _life(store)
    mei = (await store.members.meet(CHANNEL, MEI, NOW)).id
    assert mei != member_id
    before = await store.members.export(mei)
    await store.members.erase(member_id, 0.0)
    assert await store.members.export(mei) == before
    assert ask_file(store.db.path, "select count(*) from messages") == [(40,)]
    assert ask_file(store.db.path, "select count(*) from sends") == [(40,)]


async def test_the_message_that_asked_keeps_its_key_for_the_answer(store: Store) -> None:
    member_id = await answered(store, 1)
    await store.messages.record(incoming(2, body=f"忘记我 {LIN}".encode()))
    await store.members.erase(member_id, 0.0, keep_key=key(2))
    assert places_of(store.db.path, [LIN, "words 1"]) == set()
    again = await store.messages.record(incoming(2))
    assert not again.fresh, "WeChat's retry joins it"
    assert (await store.messages.record(incoming(1))).fresh


async def test_what_came_after_the_wish_still_gets_its_one_answer(store: Store) -> None:
    member_id = await answered(store, 1)
    await store.messages.record(incoming(2, body="确认忘记".encode()))
    await store.messages.record(incoming(3, body="还在吗".encode()))
    await store.members.erase(member_id, 0.0, keep_key=key(2))
    assert [one.key for one in await store.messages.unanswered()] == [key(3)]
    back = await answered(store, 3)
    assert back != member_id
    assert (await store.messages.record(incoming(3))).reply == b"reply 3"
    assert not (await store.messages.record(incoming(2))).fresh


async def test_erasing_nobody_says_so(store: Store) -> None:
    assert await store.members.erase(7, 0.0) is None
    member_id = await answered(store, 1)
    assert await store.members.erase(member_id, 0.0) is not None
    assert await store.members.erase(member_id, 0.0) is None


async def test_who_was_erased_comes_back_as_a_stranger(store: Store) -> None:
    member_id = await _life(store)
    await store.members.set_role(member_id, "operator")
    await store.members.erase(member_id, 0.0)
    back = await store.members.meet(CHANNEL, LIN, NOW)
    assert (back.fresh, back.role, back.followed) == (True, "member", False)
    assert back.id != member_id, "the audit speaks of members by number"
    card = await store.members.card(back.id)
    assert card is not None
    assert (card.messages, card.topics) == (0, ())
