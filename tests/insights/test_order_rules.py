"""The rules of order: floods, repeats, raids, words, links, and what they add up to."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from insights.order_reading import MAX_CHARS, mark, read
from insights.order_rules import (
    FINE,
    FLOOD_ENDS_S,
    REPEAT_S,
    Finding,
    Judgement,
    Lately,
    Word,
    Words,
    repeated,
    suspicions,
    weigh,
)

NOW = 1_800_000_000.0
HERE = "qun:1@chatroom"
THERE = "qun:2@chatroom"
LIN, SU, MEI = ("qun", "lin"), ("qun", "su"), ("qun", "mei")
OWN = frozenset({"zhixing.example"})


def banned(words: Words, text: str, place: str = HERE) -> int:
    return words.banned(read(text), place)


# Words


@pytest.mark.parametrize(
    "typed",
    [
        "有人需要代考吗",
        "代*考",
        "代♥考",
        "代\u200b考包过",
        "找我 代 考 吧",
        "ｄａｉｋａｏ",
        "d-a-i-k-a-o",
        "dаikаo",
        "加vx12345",
        "刷单，日结",
        "做 兼。职。刷。单 的",
    ],
)
def test_a_banned_word_is_seen_through_its_disguise(typed: str) -> None:
    assert banned(
        Words([Word("ban", one) for one in ("代考", "daikao", "vx", "兼职刷单", "刷单")]), typed
    )


@pytest.mark.parametrize(
    "typed",
    [
        "我们这一代，考试很难",
        "我们这一代 考试很难",
        "一代\n考完了",
        "ovxr 是什么",
        "class 里的 assert",
        "",
        "。。。",
    ],
)
def test_letters_that_meet_by_chance_are_no_banned_word(typed: str) -> None:
    assert not banned(Words([Word("ban", one) for one in ("代考", "vx", "ass")]), typed)


def test_a_banned_word_inside_a_longer_harmless_one_is_let_pass() -> None:
    words = Words([Word("ban", "代写"), Word("allow", "代写作业的危害")])
    assert not banned(words, "下周讲代写作业的危害，欢迎来听")
    assert banned(words, "代写作业的危害？不存在的，代写找我")
    assert banned(words, "代写找我")


def test_words_of_one_group_count_there_alone() -> None:
    words = Words(
        [Word("ban", "团购", HERE, 1), Word("ban", "刷单"), Word("ban", "刷单", THERE, 3)]
    )
    assert (banned(words, "团购吗"), banned(words, "团购吗", THERE)) == (1, 0)
    assert (banned(words, "刷单"), banned(words, "刷单", THERE)) == (2, 3)


def test_no_words_are_no_trouble() -> None:
    assert not banned(Words(), "代考")
    assert not banned(Words([Word("ban", "。。"), Word("allow", "")]), "。。")


def test_a_thousand_words_at_once_are_looked_for_in_bounds() -> None:
    many = Words([Word("ban", f"{chr(0x4E00 + n)}{chr(0x4E01 + n)}") for n in range(1000)])
    text = "".join(chr(0x4E00 + n) for n in range(1000))
    assert banned(many, text) == 2


# Links


def found(text: str, words: Words | None = None, code: bool = False) -> dict[str, int]:
    return dict(suspicions(read(text), words or Words(), OWN, HERE, code))


def test_everyday_links_are_nothing() -> None:
    for text in (
        "https://mp.weixin.qq.com/s/abc",
        "看 https://zhixing.example/py",
        "https://m.zhixing.example",
        "http://192.168.1.1:8080 和 http://127.0.0.1",
    ):
        assert found(text) == {} or found(text) == {"link": 0}, text
    assert found("http://192.168.1.1") == {"link": 0}


def test_suspicious_links_are_named() -> None:
    assert found("http://zhixing.example.evil.top/") == {"lookalike": 3}
    assert found("https://zhixing.top") == {"namesake": 1}
    assert found("abc点com") == {"hidden_link": 2}
    assert found("t.cn/abc") == {"short_link": 1}
    assert found("http://8.8.8.8/x") == {"ip_link": 1}
    assert found("http://134744072/") == {"ip_link": 1}
    assert found("https://shop.com") == {"link": 0}
    assert found("https://weixin.qq.com/g/abc") == {"joining": 1}
    assert found("https://weixin.qq.com/g/abc", code=True) == {"code": 2}


def test_what_an_operator_allows_goes_first() -> None:
    words = Words([Word("host", "evil.top"), Word("host", "t.cn", THERE)])
    assert found("http://zhixing.example.evil.top/", words) == {}
    assert found("t.cn/abc", words) == {"short_link": 1}


# Floods


def flood(lately: Lately, count: int, at: float, every: float = 1.0, who: Any = LIN) -> list[Any]:
    return [lately.flood(HERE, who, f"{who}{at}{n}", at + n * every) for n in range(count)]


def test_more_than_so_many_in_so_short_a_time_is_a_flood_and_one_flood() -> None:
    told = flood(Lately(10, 20.0), 14, NOW)
    assert told[:10] == [(False, False)] * 10
    assert told[10] == (True, False)
    assert told[11:] == [(True, True)] * 3


def test_a_lively_talk_is_no_flood() -> None:
    assert not any(over for over, _ in flood(Lately(10, 20.0), 100, NOW, every=2.1))


def test_members_and_groups_are_counted_apart() -> None:
    lately = Lately(3, 20.0)
    for number in range(3):
        for place in (HERE, THERE):
            for who in (LIN, SU):
                assert lately.flood(place, who, str(number), NOW) == (False, False)


def test_a_message_that_comes_twice_counts_once() -> None:
    lately = Lately(3, 20.0)
    assert [lately.flood(HERE, LIN, "same", NOW) for _ in range(9)] == [(False, False)] * 9


def test_after_a_pause_it_is_another_flood() -> None:
    lately = Lately(3, 20.0)
    assert flood(lately, 4, NOW)[-1] == (True, False)
    assert flood(lately, 4, NOW + FLOOD_ENDS_S + 10)[-1] == (True, False)


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0, -15.0])
def test_a_clock_that_jumps_makes_no_flood_and_is_forgotten(jump: float) -> None:
    lately = Lately(5, 20.0)
    flood(lately, 5, NOW, every=0.1)
    told = flood(lately, 5, NOW + jump, every=0.1)
    assert not any(over for over, _ in told)
    assert flood(lately, 1, NOW + jump + 1)[-1] == (True, False)


def test_memory_is_bounded_whoever_writes() -> None:
    lately = Lately(3, 20.0, remembered=50)
    for number in range(500):
        lately.flood(HERE, ("qun", str(number)), str(number), NOW)
        lately.again(number, HERE, LIN, str(number), NOW)
    assert len(lately) <= 100


def test_who_speaks_to_the_bot_may_say_twice_as_much() -> None:
    lately = Lately(10, 20.0)
    told = [lately.flood(HERE, LIN, str(n), NOW + n / 10, spared=True) for n in range(30)]
    assert told[:20] == [(False, False)] * 20
    assert told[20] == (True, False)
    assert told[21] == (True, True)
    assert lately.flood(HERE, LIN, "plain", NOW + 3.1) == (True, True)


def test_a_newcomer_is_one_for_five_ordinary_lines() -> None:
    lately = Lately(10, 20.0)
    for _ in range(5):
        assert lately.new(HERE, LIN)
        lately.ordinary(HERE, LIN)
    assert not lately.new(HERE, LIN)
    assert lately.new(THERE, LIN)
    assert lately.new(HERE, SU)


# Repeats and raids


def repeats(
    said: list[tuple[str, Any]], bait: int, text: str, every: float = 1.0, asked: bool = False
) -> list[Any]:
    lately = Lately(10, 20.0)
    told = []
    for number, (place, who) in enumerate(said):
        copies = lately.again(mark(text), place, who, str(number), NOW + number * every)
        told.append(repeated(copies, len(read(text).bare), bait, asked))
    return told


ADVERT = "加微信领取内部资料名额有限"


def test_a_raid_is_one_text_with_bait_from_several_members() -> None:
    told = repeats([(HERE, LIN), (HERE, SU), (HERE, MEI)], 2, ADVERT)
    assert told[1] == (None, False)
    assert told[2] == (Finding("raid", 3), False)


def test_a_raid_of_what_may_be_no_advert_is_noted() -> None:
    told = repeats([(HERE, LIN), (HERE, SU), (HERE, MEI)], 1, "王老师电话 13800138000")
    assert told[2] == (Finding("raid", 1), False)


def test_what_members_were_asked_to_say_is_no_raid() -> None:
    people = [(HERE, ("qun", str(n))) for n in range(30)]
    assert set(repeats(people, 2, "已填写 https://wj.example/a 加微信领礼品", asked=True)) == {
        (None, False)
    }


def test_good_wishes_from_everybody_are_no_raid() -> None:
    people = [(HERE, ("qun", str(n))) for n in range(30)]
    assert set(repeats(people, 0, "收到，谢谢老师")) == {(None, False)}
    assert set(repeats(people, 0, "祝老师节日快乐，身体健康，万事如意，桃李满天下")) == {
        (None, False)
    }


def test_a_question_asked_twice_is_nothing_and_often_is_noted() -> None:
    told = repeats([(HERE, LIN)] * 7, 0, "请问作业在哪里交")
    assert told[:2] == [(None, False)] * 2
    assert told[2] == (Finding("repeat", 1), False)
    assert told[3] == (Finding("repeat", 1), True)
    assert told[4] == (Finding("repeat", 2), False)
    assert told[6] == (Finding("repeat", 2), True)
    assert set(repeats([(HERE, LIN)] * 7, 0, "哈哈哈")) == {(None, False)}


def test_the_same_in_three_groups_is_cross_posting() -> None:
    places = [(HERE, LIN), (THERE, LIN), ("qun:3@chatroom", LIN)]
    assert repeats(places, 1, ADVERT)[2] == (Finding("cross_post", 2), False)
    assert repeats(places, 0, "请问今晚几点上课")[2] == (Finding("cross_post", 1), False)


def test_what_was_said_long_ago_is_no_repeat() -> None:
    assert set(repeats([(HERE, LIN)] * 5, 2, ADVERT, every=REPEAT_S + 1)) == {(None, False)}


# Together


def judged(*rules: Finding, score: float | None = None, new: bool = False) -> Judgement:
    return weigh(rules, score, report_at=0.9, act_at=0.98, new=new)


@pytest.mark.parametrize(
    ("rules", "score", "severity", "report", "certain"),
    [
        ([], None, 0, False, False),
        ([], 0.5, 0, False, False),
        ([], 0.95, 1, False, False),
        ([], 1.0, 1, False, False),
        ([("link", 0)], 1.0, 1, False, False),
        ([("contact", 1)], 0.1, 1, False, False),
        ([("contact", 1)], 1.0, 1, False, False),
        ([("joining", 1), ("contact", 1)], 1.0, 1, False, False),
        ([("lure", 0)], 0.5, 0, False, False),
        ([("lure", 0)], 0.95, 1, True, False),
        ([("lure", 0)], 1.0, 1, True, False),
        ([("link", 0), ("lure", 0)], 0.95, 2, True, False),
        ([("contact", 1), ("lure", 0)], 0.95, 2, True, False),
        ([("contact", 1), ("lure", 0)], 0.5, 1, False, False),
        ([("short_link", 1)], 0.95, 1, False, False),
        ([("short_link", 1)], 0.99, 2, True, False),
        ([("repeat", 1)], 0.99, 2, True, False),
        ([("banned", 2)], None, 2, True, False),
        ([("banned", 2)], 0.95, 2, True, False),
        ([("banned", 2)], 0.99, 3, True, False),
        ([("banned", 3)], 0.1, 3, True, True),
        ([("raid", 1)], None, 1, True, False),
        ([("raid", 3)], None, 3, True, False),
        ([("raid", 3)], 1.0, 3, True, False),
        ([("known", 3)], 0.2, 3, True, True),
        ([("lookalike", 3)], None, 3, True, True),
        ([("hidden_link", 2)], 1.0, 3, True, False),
        ([("raid", 3), ("contact", 1), ("lure", 0)], 1.0, 3, True, False),
    ],
)
def test_rules_and_model_together(
    rules: list[tuple[str, int]], score: float | None, severity: int, report: bool, certain: bool
) -> None:
    told = judged(*(Finding(*rule) for rule in rules), score=score)
    assert (told.severity, told.report, told.certain) == (severity, report, certain)


def test_the_model_alone_only_reports_and_only_newcomers() -> None:
    for said in (judged(score=1.0, new=True), judged(Finding("link", 0), score=1.0, new=True)):
        assert (said.severity, said.report, said.certain) == (1, True, False)
    assert not judged(score=0.97, new=True).report
    assert not judged(score=1.0).report
    assert not judged(Finding("link", 0), score=1.0).certain
    assert judged(score=1.0).reasons == ("model",)
    assert judged() == FINE


def test_a_hostile_text_costs_no_more_calls_than_a_long_one() -> None:
    """Work is counted, not timed: what Python calls while a text is read and judged."""
    words = Words([Word("ban", "代考"), Word("allow", "代考虑"), Word("ban", "加微信")])

    def work(text: str) -> int:
        count = 0

        def call(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(call)
        try:
            reading = read(text)
            words.banned(reading, HERE)
            suspicions(reading, words, OWN, HERE)
        finally:
            sys.setprofile(None)
        return count

    for piece in (
        "a.com ",
        "代考虑",
        "加-微-信",
        "1 3 8 ",
        "http://x@",
        "「",
        "\u200b",
        "微信 qq ",
    ):
        work(piece * 2000)
        assert work(piece * 20_000) <= work(piece * 2000) + 20, piece
        assert work(piece * 20_000) < 4 * MAX_CHARS, piece
