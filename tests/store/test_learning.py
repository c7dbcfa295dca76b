"""Changes of the FAQ by hand: whole or not at all, once for a message, and back again."""

from __future__ import annotations

import itertools
import random

import pytest

from store import Store
from store.content import Faq, NewFaq
from store.learning import By, Change, Refused, Why
from tests.store.rows import CHANNEL, LIN, NOW, answered, key

LIMIT = 64
_numbers = itertools.count(1000)


def by(at: float = NOW, actor: str = "member:1", number: int | None = None) -> By:
    """An operator, with a message of its own unless one is named."""
    return By(actor, at, key(next(_numbers) if number is None else number))


def done(result: Change | Refused) -> Change:
    assert isinstance(result, Change), result
    return result


def why(result: Change | Refused) -> Why:
    assert isinstance(result, Refused), result
    return result.why


async def refund(store: Store, *aliases: str) -> int:
    """The entry of these tests; says its number."""
    return await store.content.add_faq(NewFaq("怎么退款", "七天内退。", aliases), NOW)


async def ask(store: Store, question: str, times: int = 1, at: float = NOW) -> None:
    """A question that nobody could answer."""
    for _ in range(times):
        await store.content.add_gap(question, f"{question}？", at, key(next(_numbers)))


async def told(store: Store) -> dict[int, tuple[tuple[str, ...], str]]:
    return {one.id: (one.questions, one.answer) for one in await store.content.faqs()}


async def gaps(store: Store) -> dict[str, int]:
    return {gap.question: gap.count for gap in await store.content.gaps(99)}


# Teaching


async def test_a_new_lesson_is_an_entry_with_its_aliases_and_closes_its_gaps(store: Store) -> None:
    await ask(store, "有夜校吗", 3)
    await ask(store, "怎么加盟")
    change = done(
        await store.learning.teach(
            ["有夜校吗", "夜校有吗"], "有。", by(), limit=LIMIT, gaps=["有夜校吗", "没问过的"]
        )
    )
    assert (change.kind, change.before, change.gaps) == ("add", None, ("有夜校吗？",))
    assert await told(store) == {change.faq_id: (("有夜校吗", "夜校有吗"), "有。")}
    assert await gaps(store) == {"怎么加盟": 1}


async def test_a_lesson_for_a_known_question_replaces_the_answer(store: Store) -> None:
    number = await refund(store, "退钱")
    change = done(
        await store.learning.teach(["退钱", "能退吗"], "十四天。", by(NOW + 1), limit=LIMIT)
    )
    assert (change.kind, change.faq_id) == ("replace", number)
    assert change.before == Faq(number, ("怎么退款", "退钱"), "七天内退。", NOW)
    assert await told(store) == {number: (("怎么退款", "能退吗", "退钱"), "十四天。")}


async def test_the_same_message_again_changes_nothing(store: Store) -> None:
    first = await store.learning.teach(["问"], "答", by(number=7), limit=LIMIT)
    await store.learning.edit(done(first).faq_id, "别的", by())
    again = await store.learning.teach(["问"], "答", by(number=7), limit=LIMIT)
    assert done(again).id == done(first).id
    assert [answer for _, answer in (await told(store)).values()] == ["别的"]
    assert len(await store.learning.changes()) == 2


async def test_the_same_words_in_another_message_change_nothing_and_say_so(store: Store) -> None:
    await store.learning.teach(["问", "别"], "答", by(), limit=LIMIT)
    before, revision = await store.content.faqs(), await store.content.revision()
    for words in (["问"], ["别", "问"]):
        assert why(await store.learning.teach(words, "答", by(NOW + 9), limit=LIMIT)) is Why.SAME
    assert await store.content.faqs() == before
    assert await store.content.revision() == revision
    assert len(await store.learning.changes()) == 1


async def test_a_question_known_already_may_still_close_a_gap(store: Store) -> None:
    """An import brought the entry; the gap was there before."""
    number = await refund(store)
    await ask(store, "怎么退款")
    gap = ["怎么退款"]
    change = done(await store.learning.alias(number, gap, by(), limit=LIMIT, gaps=gap))
    assert change.gaps == ("怎么退款？",)
    done(await store.learning.undo(by()))
    assert await gaps(store) == {"怎么退款": 1}
    assert await told(store) == {number: (("怎么退款",), "七天内退。")}


async def test_a_wording_of_another_entry_stops_all_of_it(store: Store) -> None:
    number = await refund(store, "退钱")
    await ask(store, "新问题")
    before = await told(store)
    found = await store.learning.teach(["新问题", "退钱"], "答", by(), limit=LIMIT, gaps=["新问题"])
    assert found == Refused(Why.TAKEN, number, "退钱")
    other = done(await store.learning.teach(["另一个"], "答", by(), limit=LIMIT)).faq_id
    found = await store.learning.alias(other, ["好的问法", "退钱"], by(), limit=LIMIT)
    assert found == Refused(Why.TAKEN, number, "退钱")
    assert await told(store) == {**before, other: (("另一个",), "答")}
    assert await gaps(store) == {"新问题": 1}


async def test_an_entry_holds_so_many_wordings_and_no_more(store: Store) -> None:
    number = await refund(store)
    words = [f"问法{n}" for n in range(4)]
    assert why(await store.learning.alias(number, words, by(), limit=4)) is Why.FULL
    assert why(await store.learning.teach(["x", *words], "答", by(), limit=4)) is Why.FULL
    done(await store.learning.alias(number, words[:3], by(), limit=4))
    done(await store.learning.edit(number, "别的", by()))
    assert why(await store.learning.alias(number, words[3:], by(), limit=4)) is Why.FULL


async def test_an_entry_over_the_limit_may_still_get_another_answer(store: Store) -> None:
    """An import knows no limit."""
    await refund(store, *(f"问法{n}" for n in range(9)))
    done(await store.learning.teach(["怎么退款"], "别的", by(), limit=4))


async def test_what_is_not_there_is_not_changed(store: Store) -> None:
    number = await refund(store)
    await store.learning.delete(number, by())
    for nobody in (number, 99):
        assert why(await store.learning.edit(nobody, "答", by())) is Why.MISSING
        assert why(await store.learning.delete(nobody, by())) is Why.MISSING
        assert why(await store.learning.unalias(nobody, "问", by())) is Why.MISSING
        assert why(await store.learning.alias(nobody, ["问"], by(), limit=LIMIT)) is Why.MISSING
        assert await store.learning.entry(nobody) is None


async def test_a_wording_goes_the_main_question_stays(store: Store) -> None:
    number = await refund(store, "退钱", "能退吗")
    done(await store.learning.unalias(number, "退钱", by()))
    assert await told(store) == {number: (("怎么退款", "能退吗"), "七天内退。")}
    assert why(await store.learning.unalias(number, "怎么退款", by())) is Why.MAIN
    assert why(await store.learning.unalias(number, "退钱", by())) is Why.SAME


async def test_a_deleted_entry_frees_its_questions(store: Store) -> None:
    number = await refund(store, "退钱")
    change = done(await store.learning.delete(number, by()))
    assert change.before == Faq(number, ("怎么退款", "退钱"), "七天内退。", NOW)
    assert await told(store) == {}
    again = done(await store.learning.teach(["怎么退款"], "答", by(), limit=LIMIT)).faq_id
    assert again != number, "votes on the old one are not about the new one"


# Undoing


async def test_every_kind_of_change_can_be_undone(store: Store) -> None:
    number = await refund(store, "退钱")
    await ask(store, "有夜校吗", 3)
    await ask(store, "能退吗", 2)
    start = await store.content.faqs(), await store.content.gaps()
    for change in (
        store.learning.teach(["有夜校吗"], "有。", by(NOW + 1), limit=LIMIT, gaps=["有夜校吗"]),
        store.learning.teach(["怎么退款", "求退"], "别的", by(NOW + 1), limit=LIMIT),
        store.learning.edit(number, "别的", by(NOW + 1)),
        store.learning.alias(number, ["能退吗"], by(NOW + 1), limit=LIMIT, gaps=["能退吗"]),
        store.learning.unalias(number, "退钱", by(NOW + 1)),
        store.learning.delete(number, by(NOW + 1)),
        store.learning.dismiss(["有夜校吗", "能退吗"], by(NOW + 1)),
    ):
        made = done(await change)
        assert (await store.content.faqs(), await store.content.gaps()) != start, made.kind
        revision = await store.content.revision()
        undone = done(await store.learning.undo(by(NOW + 2)))
        assert (undone.id, undone.undone) == (made.id, True)
        faqs, left = await store.content.faqs(), await store.content.gaps()
        assert faqs == start[0], made.kind
        assert [(gap.question, gap.count) for gap in left] == [
            (gap.question, gap.count) for gap in start[1]
        ], made.kind
        assert await store.content.revision() == revision + 1, "the index must follow"
    assert all(one.undone for one in await store.learning.changes())


async def test_an_undo_that_runs_twice_undoes_one_change(store: Store) -> None:
    number = await refund(store)
    await store.learning.edit(number, "一", by())
    await store.learning.edit(number, "二", by())
    first = done(await store.learning.undo(by(number=5)))
    again = done(await store.learning.undo(by(number=5)))
    assert (again.id, again.undone) == (first.id, True)
    assert await told(store) == {number: (("怎么退款",), "一")}


async def test_undo_goes_back_step_by_step_through_ones_own_changes(store: Store) -> None:
    number = await refund(store)
    for answer in ("一", "二"):
        await store.learning.edit(number, answer, by())
    done(await store.learning.teach(["别人的"], "答", by(actor="member:2"), limit=LIMIT))
    answers = []
    for _ in range(2):
        done(await store.learning.undo(by()))
        answers.append((await told(store))[number][1])
    assert answers == ["一", "七天内退。"]
    assert await store.learning.undo(by()) == Refused(Why.MISSING)
    assert len(await told(store)) == 2, "the other operator's stays"


async def test_a_later_change_of_the_same_entry_is_in_the_way(store: Store) -> None:
    number = await refund(store)
    first = done(await store.learning.edit(number, "一", by()))
    second = done(await store.learning.alias(number, ["退钱"], by(), limit=LIMIT))
    found = await store.learning.undo(by(actor="member:2"), first.id)
    assert found == Refused(Why.LATER, number, change_id=second.id)
    done(await store.learning.undo(by(actor="member:2"), second.id))
    done(await store.learning.undo(by(actor="member:2"), first.id))
    assert await told(store) == {number: (("怎么退款",), "七天内退。")}
    found = await store.learning.undo(by(), first.id)
    assert found == Refused(Why.UNDONE, change_id=first.id)


async def test_an_import_in_between_is_not_overwritten(store: Store) -> None:
    number = await refund(store)
    change = done(await store.learning.edit(number, "一", by()))
    await store.content.import_faq([NewFaq("怎么退款", "导入的")], NOW + 1)
    found = await store.learning.undo(by(), change.id)
    assert found == Refused(Why.MOVED, number, change_id=change.id)
    assert await told(store) == {number: (("怎么退款",), "导入的")}


async def test_a_freed_question_that_another_entry_took_is_named(store: Store) -> None:
    number = await refund(store, "退钱")
    change = done(await store.learning.delete(number, by()))
    other = done(await store.learning.teach(["退钱"], "新的", by(), limit=LIMIT)).faq_id
    found = await store.learning.undo(by(), change.id)
    assert found == Refused(Why.TAKEN, other, "退钱", change.id)
    assert await told(store) == {other: (("退钱",), "新的")}


async def test_gaps_closed_afterwards_come_back_as_well(store: Store) -> None:
    await ask(store, "夜校", 2)
    change = done(await store.learning.teach(["有夜校吗"], "有。", by(), limit=LIMIT))
    assert await store.learning.close(change.id, ["夜校", "没有的"]) == 1
    assert await store.learning.close(change.id, ["夜校"]) == 0
    done(await store.learning.undo(by()))
    assert await gaps(store) == {"夜校": 2}
    assert await store.learning.close(change.id, ["夜校"]) == 0, "that change is no more"


async def test_a_gap_asked_again_counts_on_from_where_it_was(store: Store) -> None:
    await ask(store, "夜校", 2, NOW)
    done(await store.learning.dismiss(["夜校"], by()))
    await ask(store, "夜校", 1, NOW + 5)
    done(await store.learning.undo(by()))
    (gap,) = await store.content.gaps()
    assert (gap.count, gap.last_at) == (3, NOW + 5)


async def test_nothing_to_dismiss_is_no_change(store: Store) -> None:
    assert why(await store.learning.dismiss(["没有的"], by())) is Why.MISSING
    assert await store.learning.changes() == []


async def test_the_history_is_of_all_or_of_one_entry(store: Store) -> None:
    number = await refund(store)
    await store.learning.edit(number, "一", by())
    other = done(await store.learning.teach(["别的"], "答", by(), limit=LIMIT)).faq_id
    await store.learning.undo(by())
    assert [(one.kind, one.faq_id, one.undone) for one in await store.learning.changes()] == [
        ("add", other, True),
        ("edit", number, False),
    ]
    assert [one.kind for one in await store.learning.changes(faq_id=number)] == ["edit"]
    assert [one.kind for one in await store.learning.changes(1)] == ["add"]


async def anything(store: Store, rng: random.Random, words: list[str], who: By) -> Change | Refused:
    """One change of any kind, sensible or not."""
    some, number, answer = rng.sample(words, 2), rng.randint(1, 6), f"答{rng.random()}"
    return await rng.choice(
        (
            lambda: store.learning.teach(some, answer, who, limit=5, gaps=some),
            lambda: store.learning.edit(number, answer, who),
            lambda: store.learning.alias(number, some, who, limit=5, gaps=some),
            lambda: store.learning.unalias(number, some[0], who),
            lambda: store.learning.delete(number, who),
            lambda: store.learning.dismiss(some, who),
        )
    )()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_was_done_can_be_undone_to_the_first_state(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    words = [f"问法{n}" for n in range(12)]
    for number in range(3):
        await store.content.import_faq([NewFaq(f"开始{number}", "答")], NOW)
    for word in words:
        await ask(store, word, rng.randint(1, 3))
    start = await store.content.faqs(), await gaps(store)
    made = 0
    for step in range(40):
        made += isinstance(await anything(store, rng, words, by(NOW + step)), Change)
    assert made > 10
    for _ in range(made):
        done(await store.learning.undo(by(NOW + 99)))
    assert (await store.content.faqs(), await gaps(store)) == start
    assert await store.learning.undo(by()) == Refused(Why.MISSING)


# Votes and use


async def voters(store: Store, count: int) -> list[int]:
    return [(await store.members.meet(CHANNEL, f"o{n}", NOW)).id for n in range(count)]


async def test_a_members_latest_word_counts(store: Store) -> None:
    number = await refund(store)
    (lin,) = await voters(store, 1)
    await store.learning.vote(lin, number, True, NOW + 1)
    await store.learning.vote(lin, number, False, NOW + 2)
    await store.learning.vote(lin, number, True, NOW + 1)
    await store.learning.vote(999, number, True, NOW + 1)
    (entry,) = (await store.learning.report(NOW)).entries
    assert (entry.useful, entry.useless) == (0, 1)
    assert entry.quality == pytest.approx(1 / 3)


async def test_five_members_who_find_it_useless_demote_an_entry(store: Store) -> None:
    number = await refund(store)
    turned = [
        await store.learning.vote(member, number, False, NOW + 1)
        for member in await voters(store, 6)
    ]
    assert turned == [False, False, False, False, True, False]
    assert await store.learning.demoted() == {number}
    assert await store.learning.demoted(min_votes=7) == frozenset()


async def test_a_corrected_answer_starts_anew_and_an_undo_brings_its_votes_back(
    store: Store,
) -> None:
    number = await refund(store)
    for member in await voters(store, 5):
        await store.learning.vote(member, number, False, NOW + 1)
    await store.learning.edit(number, "更好的", by(NOW + 2))
    assert await store.learning.demoted() == frozenset()
    (entry,) = (await store.learning.report(NOW)).entries
    assert (entry.useless, entry.quality) == (0, 0.5)
    await store.learning.undo(by(NOW + 3))
    assert await store.learning.demoted() == {number}
    await store.learning.alias(number, ["退钱"], by(NOW + 4), limit=LIMIT)
    assert await store.learning.demoted() == {number}, "another wording is no other answer"


async def test_the_report_counts_uses_in_the_period_and_remembers_the_last(store: Store) -> None:
    used = await refund(store, "退钱", "能退吗")
    idle = await store.content.add_faq(NewFaq("问", "答"), NOW)
    item = f"faq:{used}"
    for number, (handler, at, thing) in enumerate(
        (
            ("faq", NOW - 50, item),
            ("faq", NOW + 1, item),
            ("faq", NOW + 2, item),
            ("faq.offer", NOW + 1, ""),
            ("faq.unknown", NOW + 1, ""),
            ("faq.unknown", NOW - 50, ""),
            ("faq.useless", NOW + 1, item),
        ),
        1,
    ):
        await answered(store, number, LIN, handler=handler, at=at, item=thing)
    report = await store.learning.report(NOW)
    assert (report.answered, report.offered, report.unknown) == (2, 1, 1)
    first, second = report.entries
    assert (first.faq_id, first.uses, first.last_used_at, first.aliases) == (used, 2, NOW + 2, 2)
    assert (second.faq_id, second.uses, second.last_used_at) == (idle, 0, 0.0)
