"""What asks for a recommendation, and what only has the word in it."""

from __future__ import annotations

import pytest

from handlers.recommend_words import asked, cents_in, topic_in


@pytest.mark.parametrize(
    "typed",
    [
        "推荐",
        "推荐？",
        "给我推荐",
        "给我推荐一下吧",
        "老师，能不能推荐几门课",
        "推荐几门课",
        "推荐一门课",
        "推荐3门课",
        "有什么推荐",
        "有什么推荐的课吗",
        "有课程推荐吗",
        "有没有好课推荐",
        "课程推荐",
        "求推荐",
        "再推荐几个",
        "你们推荐哪门课",
        "猜你喜欢",
        "适合我的课",
        "有适合我的课吗",
        "哪门课适合我",
        "我该学什么",
        "接下来学什么",
    ],
)
def test_anything_at_all(typed: str) -> None:
    wish = asked(typed)
    assert wish is not None
    assert (wish.topic, wish.most_cents) == ("", None)


@pytest.mark.parametrize(
    ("typed", "topic", "cents"),
    [
        ("推荐 python", "python", None),
        ("推荐 Ｐｙｔｈｏｎ", "python", None),
        ("推荐：写作", "写作", None),
        ("推荐写作课", "写作", None),
        ("求推荐python课", "python", None),
        ("能给我推荐几门写作方面的课吗", "写作", None),
        ("有没有写作课推荐", "写作", None),
        ("想学写作推荐什么课", "写作", None),
        ("我想学编程，推荐一下", "编程", None),
        ("零基础推荐哪门课", "零基础", None),
        ("推荐几本书", "书", None),
        ("推荐 100元以内", "", 10_000),
        ("推荐100以内的写作课", "写作", 10_000),
        ("推荐 数据分析 200块以内", "数据分析", 20_000),
        ("100以内的课", "", 10_000),
        ("有没有一百块以内的课", "", 10_000),
        ("不超过一百五的课", "", 15_000),
        ("两百元以下的写作课", "写作", 20_000),
        ("50块以内", "", 5_000),
        ("免费的课", "", 0),
        ("有免费的课吗", "", 0),
        ("有没有免费的直播", "直播", 0),
        ("推荐免费的电子书", "电子书", 0),
    ],
)
def test_a_topic_or_a_price(typed: str, topic: str, cents: int | None) -> None:
    wish = asked(typed)
    assert wish is not None
    assert (wish.topic, wish.most_cents) == (topic, cents)


@pytest.mark.parametrize(
    "typed",
    [
        "推荐人是谁",
        "推荐人怎么填",
        "怎么推荐朋友",
        "怎么推荐给同事",
        "推荐朋友",
        "推荐 朋友",
        "推荐好友有奖励吗",
        "推荐码怎么用",
        "我的推荐码",
        "推荐奖励",
        "推荐有礼",
        "推荐有奖吗",
        "推荐官怎么申请",
        "推荐信怎么写",
        "推荐位怎么上",
        "推荐给朋友有积分吗",
        "我推荐的人买了吗",
        "推荐的课怎么退款",
        "推荐课程多少钱",
        "推荐是怎么算的",
        "推荐算法是什么",
        "推荐不准",
        "推荐太烂了",
        "为什么推荐这个",
        "别推荐这个了",
        "取消推荐",
        "关闭推荐功能",
        "理财课会推荐股票吗",
        "老师推荐股票吗",
        "推荐股票",
        "我被推荐了优秀文章",
        "这门课是朋友推荐的",
        "有没有推荐的老师",
        "推荐成功了吗",
        "推荐了几个人",
        "我是被同事推荐来的",
        "免费",
        "免费试听",
        "免费吗",
        "100以内",
        "100以内可以退款吗",
        "100元以内可以开发票吗",
        "课程多少钱",
        "不超过三天能退款吗",
        "适合我吗",
        "学什么都行",
        "一周内能学完吗",
        "24小时内回复",
        "推荐" * 30,
    ],
)
def test_the_word_alone_is_no_order(typed: str) -> None:
    assert asked(typed) is None


def test_prices_are_read_in_digits_and_in_words() -> None:
    assert cents_in("二十块以内")[1] == 2_000
    assert cents_in("三十五元以下")[1] == 3_500
    assert cents_in("预算500")[1] == 50_000
    assert cents_in("一千以内")[1] == 100_000
    assert cents_in("python") == ("python", None)


def test_a_topic_is_bared_of_what_stands_around_it() -> None:
    assert topic_in("写作方面的课程") == "写作"
    assert topic_in("「Python」") == "Python"
    assert topic_in("好的课") == ""
    assert topic_in("朋友") is None
