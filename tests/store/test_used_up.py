"""Forgetting gives nothing anew: what was used up comes back with whoever comes back."""

from __future__ import annotations

from store import Store
from store.coupons import Claim, Claimant, Outcome
from store.offers import NewOffer, Offer
from store.quiz_play import Turn
from tests.store.rows import CHANNEL, LIN, MEI, NOW, ask_file, key
from tests.store.test_checkins import check_in
from tests.store.test_quizzes import begun

ELSEWHERE = "team"


async def meet(store: Store, who: str = LIN, channel: str = CHANNEL, now: float = NOW) -> int:
    return (await store.members.meet(channel, who, now)).id


async def offer(store: Store, **fields: int) -> Offer:
    wanted = {"value": 1000} | fields
    made = await store.offers.create(
        NewOffer(word="早鸟", title="早鸟券", kind="amount", **wanted),  # type: ignore[arg-type]
        NOW,
        "member:1",
    )
    assert made is not None
    return made


async def claim(store: Store, member_id: int, number: int) -> Claim:
    return await store.coupons.claim("早鸟", Claimant(member_id), key(number), NOW)


async def forgotten(store: Store, member_id: int, now: float = NOW) -> None:
    assert await store.members.erase(member_id, now) is not None


async def test_a_coupon_is_not_had_twice_by_being_forgotten(store: Store) -> None:
    made = await offer(store, per_member=2)
    lin = await meet(store)
    assert (await claim(store, lin, 1)).outcome is Outcome.CLAIMED
    await forgotten(store, lin)
    back = await meet(store)
    assert back != lin
    assert [one.id for one in await store.claimable.by(back, NOW)] == [made.id]
    assert (await claim(store, back, 2)).outcome is Outcome.CLAIMED, "the second of two"
    again = await claim(store, back, 3)
    assert (again.outcome, again.coupon is None) == (Outcome.ALREADY, False)
    await forgotten(store, back)
    third = await meet(store)
    assert await claim(store, third, 4) == Claim(Outcome.ALREADY, again.offer)
    assert await store.claimable.by(third, NOW) == []
    assert (await claim(store, await meet(store, MEI), 5)).outcome is Outcome.CLAIMED


async def test_who_was_two_is_known_by_either_and_by_their_unionid(store: Store) -> None:
    await offer(store)
    lin = await meet(store)
    await meet(store, "o_else", ELSEWHERE)
    await store.members.unite(CHANNEL, LIN, "uTEST")
    await store.members.unite(ELSEWHERE, "o_else", "uTEST")
    await claim(store, lin, 1)
    await forgotten(store, lin)
    else_ = await meet(store, "o_else", ELSEWHERE)
    assert (await claim(store, else_, 2)).outcome is Outcome.ALREADY
    third = await meet(store, "o_third", "third")
    assert (await store.members.unite("third", "o_third", "uTEST")) == third
    assert (await claim(store, third, 3)).outcome is Outcome.ALREADY
    merged = await store.members.unite(ELSEWHERE, "o_else", "uTEST")
    assert merged == else_
    assert (await claim(store, else_, 4)).outcome is Outcome.ALREADY
    told = await store.members.export(else_)
    assert told is not None
    assert {row["what"] for row in told["used_up"]} == {"offer:1"}
    await forgotten(store, else_)
    assert ask_file(store.db.path, "select count(*) from used_up where member_id is not null") == [
        (0,)
    ]


async def test_a_quiz_is_taken_once(store: Store) -> None:
    quiz = await begun(store)
    lin = await meet(store)
    assert (await store.quiz_play.begin(quiz, lin, key(1), NOW)).turn is Turn.ASKED
    await forgotten(store, lin)
    step = await store.quiz_play.begin(quiz, await meet(store), key(2), NOW)
    assert (step.turn, step.attempt) == (Turn.DONE, None)


async def test_a_day_is_checked_in_once(store: Store) -> None:
    lin = await meet(store)
    assert (await check_in(store, lin, 1)).fresh
    await forgotten(store, lin)
    back = await meet(store)
    again = await check_in(store, back, 1)
    assert (again.fresh, again.streak, again.balance) == (False, 0, 0)
    assert (await check_in(store, back, 2)).fresh


async def test_wrong_codes_go_on_counting(store: Store) -> None:
    for number, left in ((1, 2), (2, 1), (3, 0)):
        lin = await meet(store)
        tries = await store.members.wrong(lin, "coupon", NOW, key(number), limit=3, lock_s=60)
        assert tries == left
        await forgotten(store, lin)
    back = await meet(store)
    assert await store.members.locked_until(back, "coupon", NOW) == NOW + 60
    await forgotten(store, back)
    later = await meet(store, now=NOW + 61)
    assert await store.members.locked_until(later, "coupon", NOW + 61) == 0
    assert await store.members.wrong(later, "coupon", NOW, key(9), limit=3, lock_s=60) == 2


async def test_what_no_longer_matters_is_dropped(store: Store) -> None:
    made, quiz = await offer(store), await begun(store)
    lin = await meet(store)
    await claim(store, lin, 1)
    await store.quiz_play.begin(quiz, lin, key(2), NOW)
    await check_in(store, lin, 1)
    await forgotten(store, lin)
    assert await store.used_up.purge(NOW) == 0
    await store.offers.set_status(made.id, "closed", NOW)
    assert await store.used_up.purge(NOW) == 1
    assert await store.used_up.purge(NOW + 9 * 86_400) == 1
    assert await store.quizzes.cancel(quiz.id, NOW) is not None
    assert await store.used_up.purge(NOW) == 1
    lin = await meet(store)
    await forgotten(store, lin)
    assert ask_file(store.db.path, "select * from used_up") == []


async def test_the_wish_not_to_be_recorded_outlives_the_member(store: Store) -> None:
    lin = await meet(store)
    await store.talk.opt(lin, recorded=False)
    await forgotten(store, lin)
    await store.talk.load()
    back = await meet(store)
    assert store.talk.unrecorded(back)
    assert not store.talk.unrecorded(await meet(store, MEI))
    assert ask_file(store.db.path, "select member_id, name from member_settings") == [
        (back, "unrecorded")
    ]
    await forgotten(store, back)
    assert store.talk.unrecorded(await meet(store)), "however often"


async def test_who_wants_to_be_recorded_again_is_after_the_next_time_too(store: Store) -> None:
    lin = await meet(store)
    await store.members.unite(CHANNEL, LIN, "union")
    await store.talk.opt(lin, recorded=False)
    await forgotten(store, lin)
    back = await meet(store)
    await store.members.unite(CHANNEL, LIN, "union")
    assert await store.talk.opt(back, recorded=True)
    assert not store.talk.unrecorded(back)
    await forgotten(store, back)
    assert not store.talk.unrecorded(await meet(store))


async def test_the_wish_is_known_by_the_unionid_and_by_either_of_two(store: Store) -> None:
    lin = await meet(store)
    await store.members.unite(CHANNEL, LIN, "union")
    await store.talk.opt(lin, recorded=False)
    await forgotten(store, lin)
    elsewhere = await meet(store, "o_else", ELSEWHERE)
    assert not store.talk.unrecorded(elsewhere)
    await store.members.unite(ELSEWHERE, "o_else", "union")
    assert store.talk.unrecorded(elsewhere)
    other = await meet(store, MEI)
    await store.members.unite(CHANNEL, MEI, "union")
    assert store.talk.unrecorded(min(other, elsewhere))


async def test_two_made_one_are_not_recorded_when_either_wished_so(store: Store) -> None:
    first, second = await meet(store), await meet(store, "o_else", ELSEWHERE)
    await store.talk.opt(second, recorded=False)
    await store.members.unite(CHANNEL, LIN, "union")
    await store.members.unite(ELSEWHERE, "o_else", "union")
    assert store.talk.unrecorded(first)
