"""Quizzes in chat: one attempt, one question at a time, each with its clock."""

from __future__ import annotations

import re

import pytest

from handlers.quiz_text import read
from handlers.texts import MAX_TEXT_BYTES
from store.offers import NewOffer
from store.quiz_play import Pay
from store.quizzes import Quiz
from tests.handlers.conftest import Conversation

WRITTEN = """Python 小测验
速度加分 50%
1. 列表用哪种括号？（20分 20秒）
A. ()
*B. []
C. {}
2. 哪些是关键字？（10分 20秒）
*A. if
B. then
*C. for
3. 作者是谁？（10分 20秒）
答案：Guido van Rossum / 吉多"""

SHORT = "题\n1. 首都是哪里？（60秒）\n答案：北京 / 北京市\n2. 谁写的？（60秒）\n答案：吉多"

PLAIN = "另一场\n1. 一加一？\n*A. 二\nB. 三"


async def running(
    talk: Conversation, text: str = WRITTEN, minutes: float = 30, audience: str = ""
) -> Quiz:
    """A quiz that has begun just now."""
    if audience:
        head, _, rest = text.partition("\n")
        text = f"{head}\n对象：{audience}\n{rest}"
    quiz, _ = await talk.store.quizzes.create(read(text), talk.at, "import")
    begun = await talk.store.quizzes.start(quiz.id, talk.at, talk.at + 60 * minutes)
    assert begun is not None
    return begun


async def begin(talk: Conversation, who: str = "o_lin") -> str:
    """The rules, then the first question."""
    await talk.say("答题", who)
    return await talk.say("开始", who)


async def answers_of(talk: Conversation) -> list[tuple[object, ...]]:
    sql = "select position, text, outcome, score from quiz_answers order by position"
    return await talk.store.db.read(lambda conn: conn.execute(sql).fetchall())


async def test_a_quiz_from_its_first_question_to_the_card(talk: Conversation) -> None:
    await running(talk)
    said = await talk.say("答题")
    assert said.startswith("《Python 小测验》共 3 题，每题限时，只能答一次，11:00 结束。")
    assert "列表" not in said
    assert (talk.handler, talk.item) == ("quiz.begin", "quiz:1")
    said = await talk.say("开始")
    assert said.startswith("第 1/3 题（20 分，限 20 秒）\n列表用哪种括号？\nA. ()\nB. []\nC. {}")
    assert (talk.handler, talk.item) == ("quiz.begin", "quiz:1")
    talk.later(seconds=10)
    said = await talk.say("ｂ")
    assert said.startswith("答对了，+25 分。\n第 2/3 题（10 分，限 20 秒）")
    assert "多选" in said
    assert talk.handler == "quiz.answer"
    said = await talk.say("A")
    assert said.startswith("答错了，这题不得分。\n第 3/3 题")
    talk.later(seconds=20)
    said = await talk.say("guido  van rossum。")
    assert said == (
        "答对了，+10 分。\n《Python 小测验》成绩\n得分 35，答对 2/3，用时 30 秒\n"
        "目前第 1 名，共 1 人参加\n11:00 公布最终名次，回复「排名」随时看。"
    )
    assert await answers_of(talk) == [
        (1, "B", "right", 25),
        (2, "A", "wrong", 0),
        (3, "guido  van rossum。", "right", 10),
    ]


async def test_the_longest_question_still_fits_one_message(talk: Conversation) -> None:
    question = "问" * 490
    text = f"{'题' * 40}\n每题 1000分 600秒\n" + "\n".join(
        f"{n}. {question}\n*A. 甲\n*B. 乙" for n in (1, 2)
    )
    await running(talk, text)
    assert len((await begin(talk)).encode()) <= MAX_TEXT_BYTES
    assert len((await talk.say("AB")).encode()) <= MAX_TEXT_BYTES


async def test_one_attempt_each(talk: Conversation) -> None:
    await running(talk, PLAIN)
    await begin(talk)
    await talk.say("B")
    assert (await talk.say("答题")).startswith("《另一场》成绩\n得分 0")
    assert "得分" not in await talk.say("A")
    assert len(await answers_of(talk)) == 1


async def test_several_right_choices_in_any_order_and_width(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    await talk.say("2")
    assert (await talk.say("Ｃ、a")).startswith("答对了")


async def test_a_late_answer_scores_nothing_and_the_next_question_comes(
    talk: Conversation,
) -> None:
    await running(talk)
    await begin(talk)
    talk.later(seconds=21)
    said = await talk.say("B")
    assert said.startswith("超时了，这题不得分。\n第 2/3 题（10 分，限 20 秒）")
    assert await answers_of(talk) == [(1, "B", "late", 0)]


async def test_the_clock_runs_on_without_the_member(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    talk.later(seconds=5)
    assert "第 1/3 题（20 分，还剩 15 秒）" in await talk.say("答题")
    talk.later(seconds=16)
    said = await talk.say("答题", crash_first=True)
    assert said.startswith("超时了，这题不得分。\n第 2/3 题（10 分，限 20 秒）")
    assert await answers_of(talk) == [(1, "", "late", 0)]


async def test_a_message_that_waited_for_us_is_not_late(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    talk.later(seconds=12)
    waiting = talk.message("B")
    talk.later(seconds=60)
    assert (await talk.hear(waiting)).startswith("答对了，+21 分。")


@pytest.mark.parametrize("several", [False, True])
async def test_the_same_message_twice_begins_once_and_shows_the_same(
    talk: Conversation, several: bool
) -> None:
    await running(talk)
    if several:
        await running(talk, PLAIN)
        assert "2. 另一场" in await talk.say("答题", crash_first=True)
        assert "《Python 小测验》共 3 题" in await talk.say("1", crash_first=True)
    else:
        assert "《Python 小测验》共 3 题" in await talk.say("答题", crash_first=True)
    said = await talk.say("开始", crash_first=True)
    assert said.startswith("第 1/3 题（20 分，限 20 秒）")
    assert await answers_of(talk) == []


async def test_the_same_answer_twice_counts_once_and_shows_the_same_question(
    talk: Conversation,
) -> None:
    await running(talk)
    await begin(talk)
    said = await talk.say("B", crash_first=True)
    assert said.startswith("答对了，+30 分。\n第 2/3 题")
    said = await talk.say("AC", crash_first=True)
    assert said.startswith("答对了，+15 分。\n第 3/3 题")
    said = await talk.say("吉多", crash_first=True)
    assert said.startswith("答对了，+15 分。\n《Python 小测验》成绩\n得分 60")
    assert [row[0] for row in await answers_of(talk)] == [1, 2, 3]


async def test_a_question_that_nobody_saw_starts_with_the_reply_that_shows_it(
    talk: Conversation,
) -> None:
    await running(talk)
    await begin(talk)
    message = talk.message("B")
    await talk.hear(message)
    talk.later(seconds=60)
    assert "第 2/3 题（10 分，限 20 秒）" in await talk.hear(message)
    talk.later(seconds=20)
    assert (await talk.say("ac")).startswith("答对了，+10 分。")


async def test_what_is_no_answer_keeps_its_meaning(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    assert (await talk.say("怎么退款")).startswith("七天内可以")
    assert "零基础学 Python" in await talk.say("课程")
    assert talk.handler.startswith("content")
    assert "一直" in await talk.say("课程会过期吗")
    assert (await talk.say("B")).startswith("答对了")


async def test_while_words_are_asked_for_commands_still_come_first(talk: Conversation) -> None:
    await running(talk, "题\n1. 谁？（60秒）\n答案：吉多")
    await begin(talk)
    for word, handler in (("课程", "content"), ("订阅", "topics"), ("帮助", "help")):
        await talk.say(word)
        assert talk.handler.startswith(handler)
    assert (await talk.say("南京")).startswith("答错了")


async def test_an_impossible_choice_is_asked_again(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    assert await talk.say("D") == talk.texts("quiz.which_letters", last="C")
    assert await talk.say("AB") == talk.texts("quiz.one_letter")
    assert await answers_of(talk) == []


async def test_a_number_long_after_its_time_picks_from_lists_again(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    await talk.say("课程")
    talk.later(seconds=90)
    assert "《零基础学 Python》" in await talk.say("1")
    assert (await talk.say("b")).startswith("超时了")


async def test_words_long_after_their_time_are_a_question_again(talk: Conversation) -> None:
    await running(talk, "题\n1. 谁？（20秒）\n答案：吉多\n2. 谁？\n答案：吉多")
    await begin(talk)
    talk.later(seconds=81)
    assert (await talk.say("怎么退款")).startswith("七天内可以")
    assert (await talk.say("答题")).startswith("超时了，这题不得分。\n第 2/2 题")


async def test_leaving_gives_words_back_and_the_quiz_goes_on_later(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    said = await talk.say("退出", crash_first=True)
    assert said == talk.texts("quiz.left", title="Python 小测验")
    assert not (await talk.say("B")).startswith("答")
    assert await talk.say("退出") == talk.texts("common.cancelled")
    talk.later(seconds=5)
    assert "还剩 15 秒" in await talk.say("答题")
    assert (await talk.say("B")).startswith("答对了")


async def test_leaving_calls_off_an_erasure_too_and_says_both(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    await talk.say("忘记我")
    left = talk.texts("quiz.left", title="Python 小测验")
    assert await talk.say("退出") == f"{talk.texts('privacy.forget_cancelled')}\n{left}"
    assert await talk.say("确认忘记") == talk.texts("privacy.forget_nothing")
    await talk.say("忘记我")
    assert await talk.say("退出") == talk.texts("privacy.forget_cancelled")


async def test_without_a_quiz_it_says_so(talk: Conversation) -> None:
    assert await talk.say("答题") == talk.texts("quiz.none")
    assert await talk.say("退出") == talk.texts("common.nothing_to_cancel")
    assert "答" not in await talk.say("A")


async def test_a_scheduled_quiz_says_when_and_begins_at_its_time(talk: Conversation) -> None:
    quiz, _ = await talk.store.quizzes.create(read(PLAIN), talk.at, "import")
    await talk.store.quizzes.schedule(quiz.id, talk.at + 3600, talk.at + 5400)
    said = await talk.say("知识竞赛")
    assert said == "《另一场》11:30 开始，共 1 题。到时回复「答题」参加。"
    talk.later(hours=1)
    assert "第 1/1 题" in await begin(talk)


async def test_a_quiz_whose_time_passed_unseen_does_not_begin(talk: Conversation) -> None:
    quiz, _ = await talk.store.quizzes.create(read(PLAIN), talk.at, "import")
    await talk.store.quizzes.schedule(quiz.id, talk.at + 60, talk.at + 120)
    talk.later(hours=1)
    assert await talk.say("答题") == talk.texts("quiz.none")


async def test_of_several_one_is_chosen(talk: Conversation) -> None:
    await running(talk)
    await running(talk, PLAIN)
    said = await talk.say("竞赛")
    assert "1. Python 小测验（3 题，11:00 结束）\n2. 另一场（1 题" in said
    assert "《Python 小测验》共 3 题" in await talk.say("1")
    assert "《另一场》共 1 题" in await talk.say("2")
    assert (await talk.say("开始")).startswith("第 1/1 题")
    assert (await talk.say("1")).startswith("答对了")
    # With one begun and not finished, 答题 goes on with it.
    await talk.say("答题")
    await talk.say("一")
    await talk.say("开始")
    assert (await talk.say("答题")).startswith("第 1/3 题（20 分")


async def test_a_number_of_another_list_shown_since_is_not_a_quiz(talk: Conversation) -> None:
    await running(talk)
    await running(talk, PLAIN)
    await talk.say("答题")
    talk.later(seconds=1)
    await talk.say("课程")
    assert "《零基础学 Python》" in await talk.say("1")


async def test_who_is_not_meant_hears_so(talk: Conversation) -> None:
    await running(talk, audience="tag:VIP")
    said = await talk.say("答题")
    assert re.fullmatch("《Python 小测验》只给.+的成员，这次你不在其中。", said)
    await talk.store.tags.add(await talk.member(), "VIP", talk.at, limit=9)
    assert "第 1/3 题" in await begin(talk)


async def test_the_ranking_while_it_runs(talk: Conversation) -> None:
    await running(talk, PLAIN)
    for who, answer, seconds in (("o_a", "A", 4), ("o_b", "B", 1), ("o_c", "A", 2)):
        await begin(talk, who)
        talk.later(seconds=seconds)
        await talk.say(answer, who)
    c, a = await talk.member("o_c"), await talk.member("o_a")
    said = await talk.say("排名", "o_b")
    assert said.splitlines()[0] == "《另一场》排名（3 人参加）"
    assert said.splitlines()[1] == f"1. 成员…{c}：14 分，2 秒"
    assert said.splitlines()[2] == f"2. 成员…{a}：14 分，4 秒"
    assert "（你）：0 分" in said.splitlines()[3]
    assert (await talk.say("我的成绩", "o_a")).startswith("《另一场》成绩\n得分 14")


async def test_ranking_shows_ten_and_ones_own_place(talk: Conversation) -> None:
    await running(talk, PLAIN)
    for number in range(12):
        await begin(talk, f"o_{number}")
        await talk.say("B" if number == 11 else "A", f"o_{number}")
    lines = (await talk.say("排名", "o_11")).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "你：第 12 名，0 分"


async def test_names_are_shortened_and_may_stay_out(talk: Conversation) -> None:
    await running(talk, PLAIN)
    for who in ("o_a", "o_b"):
        await begin(talk, who)
        await talk.say("A", who)
    await talk.store.points.call(await talk.member("o_a"), "林小满")
    await talk.store.points.list_in_rankings(await talk.member("o_b"), False)
    said = await talk.say("排名", "o_c")
    assert "林小满" not in said
    assert "1. 林＊：" in said
    assert "1. 林小满（你）：" in await talk.say("排名", "o_a"), "as in 排行榜"
    assert "2. 匿名" in said


async def test_an_answer_after_the_end_hears_how_it_ended(talk: Conversation) -> None:
    quiz = await running(talk, minutes=1)
    await begin(talk)
    await talk.say("B")
    talk.later(seconds=61)
    assert (await talk.say("A")).startswith("《Python 小测验》成绩\n得分 30，答对 1/3")
    await talk.store.quizzes.close(quiz.id, talk.at)
    said = await talk.say("A")
    assert said.startswith("《Python 小测验》已结束\n得分 30，答对 1/3")
    assert "第 1 名，共 1 人参加" in said
    assert len(await answers_of(talk)) == 1
    talk.later(minutes=11)
    assert "得分" not in await talk.say("A")
    assert "已结束" in await talk.say("我的成绩")


async def test_the_card_names_the_prize_when_it_is_paid(talk: Conversation) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=5)
    await talk.store.offers.create(offer, talk.at, "member:1")
    quiz = await running(talk, PLAIN.replace("\n", "\n奖品 1: 30积分 + 券 早鸟\n", 1))
    await begin(talk)
    await talk.say("A")
    closed = await talk.store.quizzes.close(quiz.id, talk.at)
    assert closed is not None
    await talk.store.quiz_play.pay_places(closed, 0, 10, talk.at, Pay())
    assert (await talk.say("我的成绩")).endswith(
        "获得 30 积分，获得优惠券「早鸟券」，回复「我的券」查看"
    )
    assert (await talk.store.points.balance(await talk.member())).balance == 30


async def test_a_cancelled_quiz_takes_nothing_more(talk: Conversation) -> None:
    quiz = await running(talk)
    await begin(talk)
    await talk.store.quizzes.cancel(quiz.id, talk.at)
    assert not (await talk.say("B")).startswith("答")
    assert await talk.say("答题") == talk.texts("quiz.none")


async def test_a_voice_may_answer(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    assert (await talk.say("B。", kind="voice")).startswith("答对了")


async def test_a_menu_button_begins(talk: Conversation) -> None:
    await running(talk, PLAIN)
    assert "《另一场》共 1 题" in await talk.happen("click", "quiz")
    assert "第 1/1 题" in await talk.say("开始")


# Before and after


async def test_the_rules_name_what_can_be_won(talk: Conversation) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=5)
    await talk.store.offers.create(offer, talk.at, "member:1")
    prizes = "奖品 1: 30积分 + 券 早鸟\n奖品 2: 券 早鸟\n参与: 5积分\n"
    quiz = await running(talk, PLAIN.replace("\n", f"\n{prizes}", 1))
    said = (await talk.say("答题")).splitlines()
    assert said[1:] == [
        "第 1 名：30 积分 + 券「早鸟券」",
        "第 2 名：券「早鸟券」",
        "参与：5 积分",
        talk.texts("quiz.faster"),
        talk.texts("quiz.ready"),
    ]
    assert [one.id for one in await talk.store.quizzes.paying_with("早鸟")] == [quiz.id]
    assert await talk.store.quizzes.paying_with("别的") == []


async def test_what_is_closed_is_not_promised(talk: Conversation) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=5)
    made = await talk.store.offers.create(offer, talk.at, "member:1")
    assert made is not None
    await running(talk, PLAIN.replace("\n", "\n奖品 1: 券 早鸟\n", 1))
    await talk.store.offers.set_status(made.id, "closed", talk.at)
    assert "早鸟" not in await talk.say("答题")


async def test_the_clock_waits_for_who_reads_the_rules(talk: Conversation) -> None:
    await running(talk)
    await talk.say("答题")
    talk.later(minutes=2)
    assert (await talk.say("开始")).startswith("第 1/3 题（20 分，限 20 秒）")
    talk.later(seconds=5)
    assert "还剩 15 秒" in await talk.say("开始")


async def test_who_has_not_read_the_rules_reads_them_first(talk: Conversation) -> None:
    await running(talk)
    assert "只能答一次" in await talk.say("开始")
    assert (await talk.say("开始")).startswith("第 1/3 题")


async def test_without_a_quiz_starting_means_nothing_here(talk: Conversation) -> None:
    await talk.say("开始")
    assert not talk.handler.startswith("quiz")


async def test_the_list_shows_what_one_may_take(talk: Conversation) -> None:
    await running(talk)
    await running(talk, PLAIN, audience="tag:VIP")
    assert "《Python 小测验》共 3 题" in await talk.say("答题")


async def test_without_any_quiz_there_are_no_places(talk: Conversation) -> None:
    assert await talk.say("排名") == talk.texts("quiz.rank_none")
    assert await talk.say("我的成绩") == talk.texts("quiz.result_none")
    assert await talk.store.content.gaps(9) == []


async def test_who_has_not_played_hears_how_to(talk: Conversation) -> None:
    await running(talk, PLAIN)
    await begin(talk, "o_a")
    await talk.say("A", "o_a")
    for text in ("排名", "我的成绩"):
        said = await talk.say(text)
        assert "1. " in said
        assert said.endswith(talk.texts("quiz.join"))
    assert talk.texts("quiz.join") not in await talk.say("排名", "o_a")


async def test_between_the_end_and_the_clock_there_are_places(talk: Conversation) -> None:
    await running(talk, PLAIN, minutes=1)
    await begin(talk)
    await talk.say("A")
    talk.later(seconds=61)
    assert "得分 15" in await talk.say("我的成绩")
    assert "1. " in await talk.say("排名", "o_b")


async def test_until_it_is_paid_the_card_says_that_the_prize_comes(talk: Conversation) -> None:
    quiz = await running(talk, PLAIN.replace("\n", "\n参与: 5积分\n", 1))
    await begin(talk)
    await talk.say("A")
    closed = await talk.store.quizzes.close(quiz.id, talk.at)
    assert closed is not None
    assert (await talk.say("我的成绩")).endswith(talk.texts("quiz.prize_soon"))
    await talk.store.quiz_play.pay_places(closed, 0, 9, talk.at, Pay())
    await talk.store.quiz_play.paid(quiz.id, talk.at)
    assert (await talk.say("我的成绩")).endswith("获得 5 积分")


async def test_whose_coupon_failed_hears_who_will_help(talk: Conversation) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=5)
    made = await talk.store.offers.create(offer, talk.at, "member:1")
    assert made is not None
    quiz = await running(talk, PLAIN.replace("\n", "\n奖品 1: 券 早鸟\n", 1))
    await begin(talk)
    await talk.say("A")
    await talk.store.offers.set_status(made.id, "closed", talk.at)
    closed = await talk.store.quizzes.close(quiz.id, talk.at)
    assert closed is not None
    await talk.store.quiz_play.pay_places(closed, 0, 9, talk.at, Pay())
    assert (await talk.say("我的成绩")).endswith(talk.texts("quiz.prize_owed"))
    await talk.promote("o_su")
    said = await talk.say(f"/quiz report {quiz.id}", "o_su")
    assert f"没能收到券的成员：{await talk.member()}（" in said


async def test_an_answer_after_the_last_question_is_no_gap(talk: Conversation) -> None:
    await running(talk, SHORT)
    await begin(talk)
    await talk.say("北京")
    await talk.say("林纳斯")
    assert (await talk.say("吉多")).startswith("《题》成绩")
    assert await talk.store.content.gaps(9) == []
    assert (await talk.say("怎么退款")).startswith("七天内可以")
    talk.later(seconds=61)
    await talk.say("吉多")
    assert not talk.handler.startswith("quiz")


async def test_who_stops_is_never_ahead_of_who_goes_on(talk: Conversation) -> None:
    quiz = await running(talk, SHORT.replace("题\n", "题\n速度加分 0%\n", 1))
    for who in ("o_stops", "o_goes"):
        await begin(talk, who)
        talk.later(seconds=5)
        await talk.say("北京", who)
    talk.later(seconds=50)
    await talk.say("林纳斯", "o_goes")
    live = await talk.store.quiz_play.standings(quiz.id, 2)
    await talk.store.quizzes.close(quiz.id, talk.at)
    assert await talk.store.quiz_play.standings(quiz.id, 2) == live
    assert live.rows[0].member_id == await talk.member("o_goes")


async def test_who_knows_the_answers_takes_no_part(talk: Conversation) -> None:
    me = await talk.member("o_author")
    quiz, _ = await talk.store.quizzes.create(read(PLAIN), talk.at, f"member:{me}")
    await talk.store.quizzes.start(quiz.id, talk.at, talk.at + 60)
    await talk.promote("o_su")
    for who in ("o_author", "o_su"):
        for text in ("答题", "开始"):
            assert await talk.say(text, who) == talk.texts("quiz.insider", title="另一场")
    assert "回复「开始」" in await talk.say("答题")
