"""Points: given once, spent once, oldest first, and every sum right whoever comes and goes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from store import Store
from store.dialect import Connection
from store.learning import By
from store.points import EARNING, Account, Outcome, Posted, Reason, post, shanghai_day
from tests.store.rows import CHANNEL, LIN, MEI, NOW, ask_file, change_file

DAY = 86_400.0


@pytest.fixture
async def lin(store: Store) -> int:
    return (await store.members.meet(CHANNEL, LIN, NOW)).id


@pytest.fixture
async def mei(store: Store) -> int:
    return (await store.members.meet(CHANNEL, MEI, NOW)).id


async def sound(store: Store) -> None:
    assert await store.points.audit_sums() == []


async def lots(store: Store, member_id: int) -> list[int]:
    sql = "select remaining from point_lots where member_id = ? order by transfer_id"
    return [row[0] for row in ask_file(store.db.path, sql, (member_id,))]


def test_a_day_is_shanghais() -> None:
    assert shanghai_day(1_763_654_399.0) == "2025-11-20"
    assert shanghai_day(1_763_654_400.0) == "2025-11-21", "16:00 in London"


async def test_a_source_counts_once_and_says_the_same_again(store: Store, lin: int) -> None:
    first = await store.points.post(lin, 30, "purchase", "event:1", NOW)
    assert first == Posted(Outcome.POSTED, 30, 30)
    await store.points.post(lin, 5, "quiz", "quiz:1", NOW)
    again = await store.points.post(lin, 999, "purchase", "event:1", NOW + 9)
    assert again == Posted(Outcome.AGAIN, 30, 30), "as it was then"
    assert await store.points.posted("event:1") == again
    assert await store.points.posted("event:2") is None
    assert await store.points.balance(lin) == Account(35, 35)
    await sound(store)


async def test_nobody_spends_more_than_they_have(store: Store, lin: int) -> None:
    await store.points.post(lin, 30, "checkin", "a", NOW)
    short = await store.points.post(lin, -31, "coupon", "b", NOW)
    assert short == Posted(Outcome.SHORT, 30)
    assert await store.points.post(lin, -30, "coupon", "b", NOW) == Posted(Outcome.POSTED, 0, -30)
    assert await store.points.balance(lin) == Account(0, 30), "spending lowers no level"
    await sound(store)


async def test_who_never_had_points_is_short_of_them(store: Store, lin: int) -> None:
    assert (await store.points.post(lin, -1, "coupon", "a", NOW)).outcome is Outcome.SHORT
    assert await store.points.balance(lin) == Account()
    assert await store.points.history(lin) == []


async def test_nobody_gets_and_loses_nothing(store: Store) -> None:
    for amount in (10, -10):
        posted = await store.points.post(404, amount, "operator", "a", NOW)
        assert posted == Posted(Outcome.NOBODY)
    assert ask_file(store.db.path, "select count(*) from point_transfers") == [(0,)]


async def test_nonsense_is_refused(store: Store, lin: int) -> None:
    with pytest.raises(ValueError, match="0 points"):
        await store.points.post(lin, 0, "quiz", "a", NOW)
    with pytest.raises(ValueError, match="luck"):
        await store.points.post(lin, 1, "luck", "a", NOW)


async def test_what_ends_first_is_spent_first(store: Store, lin: int) -> None:
    await store.points.post(lin, 10, "checkin", "for ever", NOW)
    await store.points.post(lin, 10, "checkin", "late", NOW, ends_at=NOW + 9 * DAY)
    await store.points.post(lin, 10, "checkin", "soon", NOW, ends_at=NOW + DAY)
    await store.points.post(lin, 10, "checkin", "soon too", NOW, ends_at=NOW + DAY)
    await store.points.post(lin, -15, "coupon", "spent", NOW)
    assert await lots(store, lin) == [10, 10, 0, 5]
    assert (await store.points.balance(lin)).ends_next == (5, NOW + DAY)
    await store.points.post(lin, -16, "coupon", "more", NOW)
    assert await lots(store, lin) == [9, 0, 0, 0]
    assert (await store.points.balance(lin)).ends_next is None


async def test_what_is_taken_at_most_is_what_is_there(store: Store, lin: int) -> None:
    await store.points.post(lin, 20, "referral", "referral:1", NOW)
    await store.points.post(lin, -15, "coupon", "coupon:1", NOW)
    taken = await store.points.post(lin, -20, "held", "held:1", NOW, at_most=True)
    assert taken == Posted(Outcome.POSTED, 0, -5), "what only waits is not owed"
    assert await store.points.balance(lin) == Account(0, 15)
    none = await store.points.post(lin, -20, "held", "held:2", NOW, at_most=True)
    assert none == Posted(Outcome.POSTED, 0, 0)
    await store.points.post(lin, 7, "quiz", "quiz:1", NOW)
    again = await store.points.post(lin, -20, "held", "held:2", NOW, at_most=True)
    assert again == Posted(Outcome.AGAIN, 0, 0), "a repeat does not take what came later"
    assert [entry.amount for entry in await store.points.history(lin)] == [7, -5, -15, 20]
    await sound(store)


async def test_what_was_spent_before_it_is_taken_back_is_owed_and_paid_first(
    store: Store, lin: int, mei: int
) -> None:
    await store.points.post(lin, 20, "purchase", "event:1", NOW)
    await store.points.post(lin, -15, "coupon", "coupon:1", NOW)
    taken = await store.points.post(lin, -20, "refund", "event:2", NOW, at_most=True)
    assert taken == Posted(Outcome.POSTED, 0, -5, 15)
    assert await store.points.balance(lin) == Account(0, 0, owed=15), "levels know at once"
    for ranking in (await store.points.ranking(), await store.points.ranking("2000-01-01")):
        assert ranking.rows == ()
    assert (await store.points.totals("2000-01-01")).owed == 15
    assert await store.points.post(lin, 10, "quiz", "q:1", NOW) == Posted(Outcome.POSTED, 0, 10)
    assert await store.points.balance(lin) == Account(0, 10, owed=5)
    assert await store.points.post(lin, 10, "quiz", "q:2", NOW) == Posted(Outcome.POSTED, 5, 10)
    again = await store.points.post(lin, 10, "quiz", "q:2", NOW)
    assert again == Posted(Outcome.AGAIN, 5, 10)
    assert await store.points.balance(lin) == Account(5, 20)
    amounts = [(entry.reason, entry.amount) for entry in await store.points.history(lin)]
    assert amounts[:4] == [("owed", -5), ("quiz", 10), ("owed", -10), ("quiz", 10)]
    await sound(store)


async def test_nobody_owes_more_than_they_ever_earned(store: Store, lin: int) -> None:
    await store.points.post(lin, 20, "purchase", "event:1", NOW)
    await store.points.post(lin, -20, "coupon", "coupon:1", NOW)
    for number in (2, 3):
        await store.points.post(lin, -20, "refund", f"event:{number}", NOW, at_most=True)
    assert await store.points.balance(lin) == Account(0, 0, owed=20)
    await sound(store)


async def test_points_end_when_they_are_due(store: Store, lin: int, mei: int) -> None:
    for number, member in enumerate((lin, mei, lin)):
        key = f"checkin:{number}"
        await store.points.post(member, 10, "checkin", key, NOW, ends_at=NOW + (1 + number) * DAY)
    await store.points.post(lin, -4, "coupon", "coupon:1", NOW)
    assert await store.points.expire(NOW) == 0
    assert await store.points.expire(NOW + 2 * DAY, limit=1) == 1, "there may be more"
    assert await store.points.expire(NOW + 2 * DAY) == 1
    assert await store.points.expire(NOW + 2 * DAY) == 0
    assert await store.points.balance(lin) == Account(10, 20, (10, NOW + 3 * DAY))
    assert await store.points.balance(mei) == Account(0, 10)
    newest = (await store.points.history(lin))[0]
    assert (newest.reason, newest.amount, newest.balance) == ("expired", -6, 10)
    await sound(store)


async def test_what_has_ended_cannot_be_spent_before_the_clock_comes(
    store: Store, lin: int
) -> None:
    await store.points.post(lin, 10, "checkin", "a", NOW, ends_at=NOW + DAY)
    await store.points.post(lin, 3, "checkin", "b", NOW)
    short = await store.points.post(lin, -5, "coupon", "c", NOW + DAY)
    assert short == Posted(Outcome.SHORT, 3)
    assert await store.points.expire(NOW + DAY) == 0, "it has been done"
    await sound(store)


async def test_an_operators_gift_raises_a_level_and_what_they_take_lowers_none(
    store: Store, lin: int
) -> None:
    await store.points.post(lin, 100, "operator", "a", NOW, actor="member:9", note="活动奖励")
    await store.points.post(lin, -40, "operator", "b", NOW, actor="member:9", note="发错了")
    await store.points.post(lin, -20, "held", "c", NOW)
    await store.points.post(lin, 20, "released", "d", NOW)
    assert await store.points.balance(lin) == Account(60, 100)
    entry = (await store.points.history(lin))[-2]
    assert (entry.note, entry.actor, entry.balance) == ("发错了", "member:9", 60)
    await sound(store)


async def test_two_who_spend_the_same_points_at_once(store: Store, lin: int) -> None:
    """Two processes to the file, each with a writer of its own."""
    await store.points.post(lin, 100, "purchase", "a", NOW)
    other = Store(store.db.path, durability="process")
    await other.open()
    try:
        outcomes = await asyncio.gather(
            *(
                one.points.post(lin, -10, "coupon", f"{number}", NOW)
                for number in range(15)
                for one in (store, other)
            )
        )
    finally:
        await other.close()
    counted = Counter(posted.outcome for posted in outcomes)
    assert counted[Outcome.POSTED] == 10, "and each of them once, whoever was asked"
    assert counted[Outcome.AGAIN] == 10
    assert counted[Outcome.SHORT] == 10
    assert await store.points.balance(lin) == Account(0, 100)
    await sound(store)


async def test_what_fails_with_its_neighbours_leaves_nothing(store: Store, lin: int) -> None:
    def run(conn: Connection) -> None:
        post(conn, lin, 10, "quiz", "quiz:1", NOW)
        raise RuntimeError("the rest of the transaction")

    with pytest.raises(RuntimeError):
        await store.db.write(run)
    assert await store.points.posted("quiz:1") is None
    assert await store.points.balance(lin) == Account()


async def test_totals_by_reason_and_days(store: Store, lin: int, mei: int) -> None:
    await store.points.post(lin, 10, "checkin", "a", NOW - 3 * DAY)
    await store.points.post(lin, 10, "checkin", "b", NOW)
    await store.points.post(mei, 50, "operator", "c", NOW)
    await store.points.post(mei, -50, "operator", "d", NOW)
    await store.points.post(lin, -5, "coupon", "e", NOW)
    today = await store.points.totals(shanghai_day(NOW))
    assert today.reasons == {"checkin": (10, 0), "coupon": (0, 5), "operator": (50, 50)}
    assert (today.issued, today.spent) == (60, 55)
    assert (today.members, today.outstanding) == (1, 15)
    before = await store.points.totals("", shanghai_day(NOW - DAY))
    assert before.reasons == {"checkin": (10, 0)}
    await store.members.erase(lin, NOW)
    assert (await store.points.totals("")).issued == 70, "what was given out was given out"


def test_earning_reasons_are_those_that_members_can_earn_by() -> None:
    assert (
        set(Reason)
        - {
            Reason.COUPON,
            Reason.MAKEUP,
            Reason.EXPIRED,
            Reason.OPERATOR,
        }
        == EARNING
    )


async def test_the_audit_finds_what_does_not_add_up(store: Store, lin: int) -> None:
    await store.points.post(lin, 10, "checkin", "a", NOW)
    await store.points.post(lin, -4, "coupon", "b", NOW)
    path = store.db.path
    change_file(path, "update point_accounts set balance = 7")
    assert len(await store.points.audit_sums()) == 2, "neither postings nor lots say 7"
    change_file(path, "update point_accounts set balance = 6, earned = 9")
    assert "earned" in (await store.points.audit_sums())[0]
    change_file(path, "update point_accounts set earned = 10")
    await sound(store)
    change_file(path, "update point_postings set amount = 3 where account = 'coupon'")
    assert await store.points.audit_sums() == ["transfer 2: its two sides do not add up to zero"]


# Useful answers


async def taught(store: Store, teacher: int, question: str = "怎么退款") -> int:
    by = By(f"member:{teacher}", NOW)
    change = await store.learning.teach((question,), f"{question}：找老师", by, limit=8)
    faq_id = getattr(change, "faq_id", 0)
    assert isinstance(faq_id, int)
    return faq_id


async def test_a_useful_answer_earns_once_for_each_who_finds_it_so(
    store: Store, lin: int, mei: int
) -> None:
    faq_id = await taught(store, lin)
    for _ in range(2):
        assert await store.points.useful(faq_id, mei, 2, 10, NOW) == lin
    assert (await store.points.balance(lin)).balance == 2
    assert await store.points.useful(faq_id, lin, 2, 10, NOW) is None, "their own"
    assert await store.points.useful(faq_id + 1, mei, 2, 10, NOW) is None, "no such entry"


async def test_who_corrects_an_answer_earns_from_then_on(store: Store, lin: int, mei: int) -> None:
    faq_id = await taught(store, lin)
    await store.learning.edit(faq_id, "新的回答", By(f"member:{mei}", NOW + 1))
    zhou = (await store.members.meet(CHANNEL, "oTEST_zhou", NOW)).id
    assert await store.points.useful(faq_id, zhou, 2, 10, NOW) == mei
    assert (await store.points.balance(mei)).balance == 2
    await store.learning.undo(By(f"member:{mei}", NOW + 2))
    assert await store.points.useful(faq_id, mei, 2, 10, NOW) == lin
    assert (await store.points.balance(lin)).balance == 2
    await store.learning.edit(faq_id, "从文件来的", By("cli", NOW + 3))
    assert await store.points.useful(faq_id, zhou, 2, 10, NOW) is None


async def test_useful_answers_earn_so_much_a_day(store: Store, lin: int) -> None:
    faq_id = await taught(store, lin)
    voters = [(await store.members.meet(CHANNEL, f"oTEST_{n}", NOW)).id for n in range(4)]
    posted = [await store.points.useful(faq_id, voter, 2, 3, NOW) for voter in voters]
    assert [one is not None for one in posted] == [True, True, True, False]
    assert await store.points.useful(faq_id, voters[3], 2, 3, NOW + DAY) is not None


async def test_a_teacher_who_left_earns_nothing(store: Store, lin: int, mei: int) -> None:
    faq_id = await taught(store, lin)
    await store.members.erase(lin, NOW)
    assert await store.points.useful(faq_id, mei, 2, 10, NOW) is None


# Whose points they are


async def test_the_export_has_all_of_it(store: Store, lin: int, mei: int) -> None:
    await store.points.post(lin, 10, "operator", "a", NOW, note="补发", place="g1")
    await store.points.post(mei, 99, "quiz", "b", NOW)
    told = await store.members.export(lin)
    assert told is not None
    assert told["point_accounts"] == [{"balance": 10, "earned": 10, "owed": 0}]
    assert told["point_postings"] == [
        {"at": NOW, "reason": "operator", "place": "g1", "note": "补发", "amount": 10}
        | {"balance": 10}
    ]
    assert told["point_lots"] == [{"remaining": 10, "expires_at": None}]


async def test_erasing_leaves_figures_of_nobody(store: Store, lin: int, mei: int) -> None:
    await store.points.post(lin, 10, "checkin", f"checkin:{lin}:2025-11-20", NOW)
    await store.points.post(lin, 5, "operator", "b", NOW, actor=f"member:{mei}", note="给小林")
    await store.points.post(mei, 5, "operator", "c", NOW, actor=f"member:{lin}", note="谢谢")
    await store.points.post(mei, 2, "useful", f"useful:7:{lin}", NOW)
    await store.points.post(mei, 2, "useful", f"useful:7:{lin}0", NOW)
    await store.audit.add(NOW, f"member:{lin}", "points.grant", f"member:{mei}")
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    counted = {name: erased.rows[name] for name in ("point_postings", "point_lots")}
    assert counted == {"point_postings": 2, "point_lots": 2}
    kept = ask_file(
        store.db.path, "select id, source_key, actor, note from point_transfers order by id"
    )
    assert kept == [
        (1, "erased:1", "", ""),
        (2, "erased:2", f"member:{mei}", ""),
        (3, "c", "", "谢谢"),
        (4, "erased:4", "", ""),
        (5, f"useful:7:{lin}0", "", ""),
    ]
    sides = ask_file(
        store.db.path,
        "select account, member_id, amount, balance from point_postings where transfer_id = 1",
    )
    assert sorted(sides) == [("checkin", None, -10, None), ("erased", None, 10, None)]
    assert await store.points.posted("erased:1") == Posted(Outcome.AGAIN, 0, 10)
    await sound(store)


async def test_of_two_members_one_history_is_made(store: Store, lin: int) -> None:
    other = (await store.members.meet("team", "oTEST_other", NOW)).id
    mei = (await store.members.meet(CHANNEL, MEI, NOW)).id
    for number, (member, amount) in enumerate(
        ((lin, 10), (other, 20), (lin, -5), (other, -20), (lin, 1))
    ):
        reason = "quiz" if amount > 0 else "coupon"
        await store.points.post(member, amount, reason, f"{number}", NOW, ends_at=NOW + DAY)
    for faq_id, voter in ((7, lin), (7, other), (8, other)):
        await store.points.post(mei, 2, "useful", f"useful:{faq_id}:{voter}", NOW)
    await store.members.unite(CHANNEL, LIN, "uTEST")
    assert await store.members.unite("team", "oTEST_other", "uTEST") == lin
    assert await store.points.balance(lin) == Account(6, 31, (6, NOW + DAY))
    history = await store.points.history(lin)
    assert [one.balance for one in reversed(history)] == [10, 30, 25, 5, 6]
    again = await store.points.posted(f"useful:8:{lin}")
    assert again is not None, "they do not find it useful a second time"
    assert await store.points.posted(f"useful:7:{other}") is None
    await sound(store)
