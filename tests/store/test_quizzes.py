"""Quizzes in the store: scores in whole numbers, one attempt, a ranking without ties."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from store import Store
from store.quiz_play import Pay, Turn
from store.quiz_rules import Question, is_right, judged, milliseconds, plain, score_of
from store.quizzes import LINGER_S, NewQuiz, Prize, Quiz
from tests.store.rows import CHANNEL, NOW, ask_file, change_file, key

CHOICE = Question("single", "一加一", ("二", "三"), ("A",), 10, 20)
MANY = Question("multiple", "偶数", ("二", "三", "四"), ("A", "C"), 7, 30)
WORDS = Question("short", "作者", (), ("Guido van Rossum", "吉多"), 9, 60)
NEW = NewQuiz(title="测验", questions=(CHOICE, MANY, WORDS), prizes=(Prize(1, 1, 100),))


async def begun(store: Store, new: NewQuiz = NEW, ends_at: float = NOW + 3600) -> Quiz:
    quiz, _ = await store.quizzes.create(new, NOW, "member:1")
    running = await store.quizzes.start(quiz.id, NOW, ends_at)
    assert running is not None
    return running


async def member(store: Store, who: str) -> int:
    return (await store.members.meet(CHANNEL, who, NOW)).id


# What an answer is worth


@pytest.mark.parametrize(
    ("accepted", "given", "right"),
    [
        ("Guido van Rossum", "ＧＵＩＤＯ　van-rossum。", True),
        ("吉多", "《吉多》", True),
        ("C#", "c＃", True),
        ("C#", "C", False),
        ("3.14", "3.14。", True),
        ("3.14", "314", False),
        ("-5", "5", False),
        ("-5", "−5", False),
        ("e-mail", "Email", True),
        ("100%", "100", False),
        ("/a+/", "aaa", False),
        ("？", "？", True),
        ("ß", "SS", True),
        ("答", "", False),
    ],
)
def test_short_answers_are_compared_without_case_width_and_punctuation(
    accepted: str, given: str, right: bool
) -> None:
    assert is_right(Question("short", "问", (), (accepted,)), given) is right


def test_choices_are_right_only_as_a_whole() -> None:
    assert is_right(MANY, "AC")
    assert not any(is_right(MANY, given) for given in ("A", "C", "ABC", "", "AB"))


@any_of(
    points=st.integers(1, 1000),
    bonus=st.integers(0, 100),
    seconds=st.integers(5, 600),
    took=st.integers(0, 700_000),
)
def test_a_score_is_whole_falls_with_time_and_never_leaves_its_bounds(
    points: int, bonus: int, seconds: int, took: int
) -> None:
    question = Question("short", "问", (), ("答",), points, seconds)
    outcome, score = judged(question, "答", bonus, took)
    assert (outcome == "late") is (took > seconds * 1000)
    if outcome == "late":
        assert score == 0
        return
    assert points <= score <= points + points * bonus // 100
    assert score == score_of(question, bonus, took) >= score_of(question, bonus, took + 1)
    assert judged(question, "别的", bonus, took) == ("wrong", 0)


def test_the_bonus_is_the_share_of_the_time_that_was_left() -> None:
    assert [score_of(CHOICE, 50, took) for took in (0, 5_000, 10_001, 20_000)] == [15, 13, 12, 10]


def test_who_waited_for_us_does_not_pay_for_it() -> None:
    assert milliseconds(100.0, 104.0, 104.5) == 4500
    assert milliseconds(100.0, 104.0, 190.0) == 9000
    assert milliseconds(100.0, 60.0, 101.0) == 0
    assert milliseconds(100.0, 99.0, 100.0) == 0


@any_of(st.text(max_size=60))
def test_only_blanks_are_no_answer_at_all(text: str) -> None:
    assert (plain(text) == "") is (text.split() == [])


# Its life


async def test_a_quiz_is_kept_as_it_was_written(store: Store) -> None:
    new = NewQuiz(
        title="题",
        questions=(CHOICE, MANY, WORDS),
        prizes=(Prize(1, 3, 9, "早鸟"), Prize(0, 0, 1)),
        speed_bonus=7,
        audience="tag:VIP",
    )
    quiz, fresh = await store.quizzes.create(new, NOW, "member:1", key(1))
    assert fresh
    assert (quiz.title, quiz.questions, quiz.prizes) == (new.title, new.questions, new.prizes)
    assert (quiz.speed_bonus, quiz.audience, quiz.status) == (7, "tag:VIP", "draft")
    assert await store.quizzes.create(new, NOW + 9, "member:2", key(1)) == (quiz, False)
    await store.quizzes.cancel(quiz.id, NOW)
    again, fresh = await store.quizzes.create(new, NOW + 9, "member:2", key(1))
    assert (fresh, again.id) == (True, quiz.id + 1)
    assert [one.id for one in await store.quizzes.page()] == [2, 1]
    assert [one.id for one in await store.quizzes.page(before=2)] == [1]


async def test_only_a_draft_or_a_planned_one_begins(store: Store) -> None:
    quiz, _ = await store.quizzes.create(NEW, NOW, "member:1")
    assert await store.quizzes.close(quiz.id, NOW) is None
    assert await store.quizzes.schedule(quiz.id, NOW + 10, NOW + 20) is not None
    assert await store.quizzes.start(quiz.id, NOW, NOW + 60) is not None
    assert await store.quizzes.schedule(quiz.id, NOW + 10, NOW + 20) is None
    assert await store.quizzes.start(quiz.id, NOW, NOW + 60) is None
    assert await store.quizzes.close(quiz.id, NOW) is not None
    assert await store.quizzes.cancel(quiz.id, NOW) is None
    assert await store.quizzes.start(99, NOW, NOW + 60) is None


async def test_what_passed_while_nobody_was_there_is_a_draft_again(store: Store) -> None:
    quiz, _ = await store.quizzes.create(NEW, NOW, "member:1")
    await store.quizzes.schedule(quiz.id, NOW + 10, NOW + 20)
    assert await store.quizzes.open_due(NOW + 20) == 0
    draft = await store.quizzes.get(quiz.id)
    assert draft is not None
    assert (draft.status, draft.starts_at) == ("draft", None)


async def test_what_is_on_is_known_without_the_database(store: Store) -> None:
    assert await store.quizzes.current(NOW) == ()
    change_file(
        store.db.path,
        "insert into quizzes (title, status, starts_at, ends_at, created_at, created_by) "
        "values ('题', 'running', ?, ?, ?, 'x')",
        (NOW, NOW + 60, NOW),
    )
    assert await store.quizzes.current(NOW) == ()
    store.quizzes.forget_cache()
    assert [quiz.title for quiz in await store.quizzes.on(NOW)] == ["题"]
    assert await store.quizzes.on(NOW + 60) == ()


async def test_a_closed_quiz_is_known_for_a_while(store: Store) -> None:
    quiz = await begun(store)
    await store.quizzes.close(quiz.id, NOW + 5)
    assert [one.status for one in await store.quizzes.current(NOW + 6)] == ["closed"]
    assert await store.quizzes.on(NOW + 6) == ()
    assert await store.quizzes.current(NOW + 5 + LINGER_S) == ()


# Taking part


async def test_five_hundred_at_once_end_in_the_order_of_a_model(store: Store) -> None:
    rng = random.Random(7)
    quiz = await begun(store)
    model: dict[int, tuple[int, int, float]] = {}
    numbers = iter(range(1, 10_000))

    async def play(who: int) -> None:
        me = await member(store, f"o_{who}")
        at = start = NOW + rng.randrange(40)
        score = elapsed = 0
        await store.quiz_play.begin(quiz, me, key(next(numbers)), at)
        for position, question in enumerate(quiz.questions[: rng.choice((2, 3, 3))], 1):
            took = rng.randrange(question.seconds * 1000 + 4000)
            right = rng.random() < 0.6
            letters = "".join(question.answers) if question.options else question.answers[0]
            at += took / 1000
            name = key(next(numbers))
            for _ in range(rng.choice((1, 1, 2))):
                await store.quiz_play.answer(
                    quiz, me, position, letters if right else "B", name, at, at
                )
            if right and took <= question.seconds * 1000:
                left = question.seconds * 1000 - took
                score += question.points + question.points * 50 * left // (
                    100 * question.seconds * 1000
                )
            elapsed += min(took, question.seconds * 1000)
        # What has no answer counts with all its time.
        elapsed += sum(one.seconds * 1000 for one in quiz.questions[position:])
        model[me] = (score, elapsed, start)

    await asyncio.gather(*(play(who) for who in range(500)))
    await store.quizzes.close(quiz.id, NOW + 3600)
    order = sorted(model, key=lambda me: (-model[me][0], model[me][1], model[me][2], me))
    rows = ask_file(
        store.db.path, "select rank, member_id, score, elapsed_s from quiz_attempts order by rank"
    )
    assert [row[0] for row in rows] == list(range(1, 501))
    assert [row[2] for row in rows] == [model[row[1]][0] for row in rows]
    assert [row[1] for row in rows] == order
    live = await store.quiz_play.standings(quiz.id, 3, order[99], offset=10)
    assert [place.member_id for place in live.rows] == order[10:13]
    assert live.mine is not None
    assert (live.mine.rank, live.count) == (100, 500)


async def test_places_so_far_are_those_of_closing(store: Store) -> None:
    quiz = await begun(store)
    members = [await member(store, f"o_{n}") for n in range(6)]
    for number, me in enumerate(members):
        await store.quiz_play.begin(quiz, me, key(number), NOW)
        given = "A" if number % 2 else "B"
        await store.quiz_play.answer(quiz, me, 1, given, key(100 + number), NOW + 2, NOW + 2)
    before = [(await store.quiz_play.standings(quiz.id, 9, me)) for me in members]
    await store.quizzes.close(quiz.id, NOW + 9)
    after = [(await store.quiz_play.standings(quiz.id, 9, me)) for me in members]
    assert before == after
    assert [place.member_id for place in before[0].rows] == [2, 4, 6, 1, 3, 5]


async def test_an_answer_to_a_question_that_is_not_open_changes_nothing(store: Store) -> None:
    quiz = await begun(store)
    me = await member(store, "o_me")
    play = store.quiz_play
    assert (await play.answer(quiz, me, 1, "A", key(1), NOW, NOW)).turn is Turn.PASSED
    await play.begin(quiz, me, key(2), NOW)
    assert (await play.answer(quiz, me, 2, "AC", key(3), NOW, NOW)).turn is Turn.PASSED
    first, second = await asyncio.gather(
        play.answer(quiz, me, 1, "A", key(4), NOW, NOW),
        play.answer(quiz, me, 1, "B", key(5), NOW, NOW),
    )
    assert (first.turn, first.outcome, second.turn) == (Turn.ASKED, "right", Turn.PASSED)
    assert ask_file(store.db.path, "select text from quiz_answers") == [("A",)]


async def test_after_the_end_nothing_counts(store: Store) -> None:
    quiz = await begun(store, ends_at=NOW + 60)
    me, late = await member(store, "o_me"), await member(store, "o_late")
    await store.quiz_play.begin(quiz, me, key(1), NOW)
    step = await store.quiz_play.answer(quiz, me, 1, "A", key(2), NOW + 60, NOW + 60)
    assert step.turn is Turn.OVER
    assert (await store.quiz_play.begin(quiz, late, key(3), NOW + 60)).turn is Turn.OVER
    await store.quizzes.close(quiz.id, NOW + 60)
    assert (await store.quiz_play.begin(quiz, late, key(3), NOW + 30)).turn is Turn.OVER


async def test_two_processes_close_it_once(store: Store, tmp_path: Path) -> None:
    quiz = await begun(store)
    other = Store(tmp_path / "zhiqun.db", durability="process")
    await other.open()
    try:
        done = await asyncio.gather(
            store.quizzes.close(quiz.id, NOW + 1), other.quizzes.close(quiz.id, NOW + 2)
        )
    finally:
        await other.close()
    assert sum(one is not None for one in done) == 1


# Prizes


@pytest.mark.parametrize(
    ("rank", "score", "answered", "won"),
    [
        (1, 5, True, (105, "金")),
        (2, 5, True, (55, "常")),
        (3, 5, True, (55, "常")),
        (4, 5, True, (5, "常")),
        (1, 0, True, (5, "常")),
        (1, 0, False, (0, "")),
    ],
)
def test_places_win_what_was_promised(
    rank: int, score: int, answered: bool, won: tuple[int, str]
) -> None:
    quiz = Quiz(
        id=1,
        status="closed",
        created_at=NOW,
        created_by="",
        title="题",
        questions=(CHOICE,),
        prizes=(Prize(0, 0, 5, "常"), Prize(1, 1, 100, "金"), Prize(2, 3, 50)),
    )
    assert quiz.prize_of(rank, score, answered) == won


async def test_prizes_are_paid_once_however_many_pay(store: Store, tmp_path: Path) -> None:
    quiz = await begun(store)
    me = await member(store, "o_me")
    await store.quiz_play.begin(quiz, me, key(1), NOW)
    await store.quiz_play.answer(quiz, me, 1, "A", key(2), NOW, NOW)
    assert await store.quiz_play.pay_places(quiz, 0, 9, NOW, Pay()) == []
    closed = await store.quizzes.close(quiz.id, NOW + 1)
    assert closed is not None
    other = Store(tmp_path / "zhiqun.db", durability="process")
    await other.open()
    try:
        pages = await asyncio.gather(
            *(one.quiz_play.pay_places(closed, 0, 9, NOW, Pay()) for one in (store, other) * 5)
        )
    finally:
        await other.close()
    assert all(page == pages[0] for page in pages)
    assert pages[0][0].points == 100
    assert (await store.points.balance(me)).balance == 100


# Members


async def test_what_is_kept_of_a_member_is_told_and_forgotten(store: Store) -> None:
    quiz = await begun(store)
    me, other = await member(store, "o_me"), await member(store, "o_other")
    for number, who in enumerate((me, other)):
        await store.quiz_play.begin(quiz, who, key(number), NOW)
        await store.quiz_play.answer(quiz, who, 1, "A", key(10 + number), NOW, NOW)
    closed = await store.quizzes.close(quiz.id, NOW)
    assert closed is not None
    await store.quiz_play.pay_places(closed, 0, 9, NOW, Pay())
    told = await store.members.export(me)
    assert told is not None
    assert [row["score"] for row in told["quiz_attempts"]] == [15]
    assert [row["text"] for row in told["quiz_answers"]] == ["A"]
    assert [row["points"] for row in told["quiz_prizes"]] == [100]
    erased = await store.members.erase(me, NOW)
    assert erased is not None
    assert [erased.rows[f"quiz_{name}"] for name in ("attempts", "answers", "prizes")] == [1, 1, 1]
    standings = await store.quiz_play.standings(quiz.id, 9, other)
    assert [(place.rank, place.member_id) for place in standings.rows] == [(2, other)]
    assert (await store.quiz_play.begin(quiz, me, key(99), NOW)).turn is Turn.OVER


async def test_two_who_are_one_keep_the_attempt_begun_first(store: Store) -> None:
    quiz, second = await begun(store), await begun(store)
    older, younger = await member(store, "o_old"), await member(store, "o_young")
    for number, (which, who, at, given) in enumerate(
        (
            (quiz, older, 5, "B"),
            (quiz, younger, 1, "A"),
            (second, younger, 2, "A"),
        )
    ):
        await store.quiz_play.begin(which, who, key(number), NOW + at)
        await store.quiz_play.answer(which, who, 1, given, key(10 + number), NOW + at, NOW + at)
    await store.members.unite(CHANNEL, "o_old", "union")
    await store.members.unite(CHANNEL, "o_young", "union")
    rows = "select quiz_id, member_id, score from quiz_attempts order by quiz_id"
    assert ask_file(store.db.path, rows) == [(1, older, 15), (2, older, 15)]
    rows = "select quiz_id, member_id, text from quiz_answers order by quiz_id"
    assert ask_file(store.db.path, rows) == [(1, older, "A"), (2, older, "A")]
