"""What asks for a recommendation, and what only has the word in it."""

from __future__ import annotations

import re

import pytest

from handlers.recommend_prices import PRICE, Price, price_in, within
from handlers.recommend_words import FORMS, asked, count_in, topic_in
from handlers.router import folded


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
        "来点推荐",
        "随便推荐一个",
        "推 荐",
        "给我推荐点东西看看",
        "推荐推荐",
        "推薦",
        "給我推薦幾門課",
        "有什么课值得买",
        "哪门课值得学",
        "你们有什么好课",
        "有好课吗",
    ],
)
def test_anything_at_all(typed: str) -> None:
    wish = asked(typed)
    assert wish is not None
    assert (wish.topic, wish.price, wish.order) == ("", PRICE, "")
    assert _looked_at(typed)


@pytest.mark.parametrize(
    ("typed", "topic", "cents"),
    [
        ("推荐 python", "python", None),
        ("推荐 Ｐｙｔｈｏｎ", "Python", None),
        ("推荐 SQL", "SQL", None),
        ("推荐学python的课", "python", None),
        ("推荐 关于理财的", "理财", None),
        ("推荐学习方法的课", "学习方法", None),
        ("python推荐", "python", None),
        ("推荐 写作 三门", "写作", None),
        ("有没有适合新手的课", "新手", None),
        ("新手学什么", "新手", None),
        ("适合上班族的课", "上班族", None),
        ("推荐 100", "", 10_000),
        ("推荐 ￥100以内", "", 10_000),
        ("推荐 100 元以内", "", 10_000),
        ("百元以内的课", "", 10_000),
        ("99.9元以内的课", "", 9_990),
        ("零元课", "", 0),
        ("推荐0元的课", "", 0),
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
    assert (wish.topic, wish.price) == (topic, Price(0, cents))
    assert _looked_at(typed)


@pytest.mark.parametrize(
    ("typed", "topic", "price"),
    [
        ("推荐 50到100元", "", Price(5_000, 10_000)),
        ("推荐 50 到 100 元", "", Price(5_000, 10_000)),
        ("50-100元的写作课", "写作", Price(5_000, 10_000)),
        ("推荐 100元以上", "", Price(10_000, None)),
        ("100元以上的课", "", Price(10_000, None)),
        ("推荐 100元的课", "", Price(7_000, 13_000, about=True)),
        ("100块的课", "", Price(7_000, 13_000, about=True)),
        ("推荐 200元左右", "", Price(14_000, 26_000, about=True)),
        ("推荐两百块左右的写作课", "写作", Price(14_000, 26_000, about=True)),
    ],
)
def test_a_price_has_two_ends(typed: str, topic: str, price: Price) -> None:
    wish = asked(typed)
    assert wish is not None
    assert (wish.topic, wish.price) == (topic, price)
    assert _looked_at(typed)


@pytest.mark.parametrize(
    ("typed", "topic"),
    [
        ("推荐 便宜的", ""),
        ("推荐不贵的", ""),
        ("推荐个最便宜的", ""),
        ("便宜的课", ""),
        ("便宜点的", ""),
        ("有便宜点的吗", ""),
        ("性价比高的课", ""),
        ("哪门课最便宜", ""),
        ("有没有便宜的python课", "python"),
        ("推荐便宜的写作课", "写作"),
    ],
)
def test_what_is_cheap_is_an_order_and_no_topic(typed: str, topic: str) -> None:
    wish = asked(typed)
    assert wish is not None
    assert (wish.topic, wish.price, wish.order) == (topic, PRICE, "cheap")
    assert _looked_at(typed)


@pytest.mark.parametrize(
    ("typed", "topic"),
    [
        ("热门", ""),
        ("热门课程", ""),
        ("爆款", ""),
        ("最火的课", ""),
        ("什么课最火", ""),
        ("最受欢迎的课", ""),
        ("哪门课最受欢迎", ""),
        ("大家都在学什么", ""),
        ("最近大家在学什么", ""),
        ("推荐热门课", ""),
        ("热门的写作课", "写作"),
    ],
)
def test_what_is_popular_may_be_asked_for(typed: str, topic: str) -> None:
    wish = asked(typed)
    assert wish is not None
    assert (wish.topic, wish.order) == (topic, "popular")
    assert _looked_at(typed)


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ("推荐5个", 5),
        ("推荐三个", 3),
        ("推荐两本书", 2),
        ("帮我推荐一门课", 1),
        ("再来四个", 4),
        ("推荐20个", 5),
        ("写作课推荐三门", 3),
        ("推荐几个", 0),
        ("推荐一下", 0),
        ("推荐三个月学会的课", 0),
    ],
)
def test_how_many_are_asked_for(typed: str, size: int) -> None:
    assert count_in(typed) == size


def _looked_at(typed: str) -> bool:
    """Whether the rule hands it to who reads it."""
    return re.fullmatch(FORMS, folded(typed), re.IGNORECASE | re.DOTALL) is not None


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
        "停止推荐",
        "别给我推荐了",
        "关闭个性化推荐",
        "不要推荐",
        "便宜",
        "便宜点",
        "能便宜点吗",
        "太贵了",
        "贵不贵",
        "100元",
        "有什么课程",
        "你们有什么课",
        "适合新手吗",
        "这门课适合零基础吗",
        "零基础可以学吗",
        "满100元以上减多少",
        "有100元以上的发票吗",
        "大家都在群里吗",
        "大家好",
        "最受欢迎的老师",
        "什么时候有课",
    ],
)
def test_the_word_alone_is_no_order(typed: str) -> None:
    assert asked(typed) is None


def test_prices_are_read_in_digits_and_in_words() -> None:
    assert price_in("二十块以内")[1] == within(20)
    assert price_in("三十五元以下")[1] == within(35)
    assert price_in("预算500")[1] == within(500)
    assert price_in("一千以内")[1] == within(1_000)
    assert price_in("一百五以内")[1] == within(150)
    assert price_in("一百零五以内")[1] == within(105)
    assert price_in("三百六十块以内")[1] == within(360)
    assert price_in("python") == ("python", PRICE)
    assert price_in("30天")[1] == PRICE


def test_a_round_price_is_not_free() -> None:
    for typed in ("100元以内", "10元", "一百零元"):
        assert price_in(typed)[1] != Price(0, 0)
    assert price_in("0元")[1] == Price(0, 0)
    # The last end counts, too.
    assert Price(5_000, 10_000).holds(10_000)
    assert not Price(5_000, 10_000).holds(4_999)
    assert Price(10_000).holds(39_900)


def test_a_topic_is_bared_of_what_stands_around_it() -> None:
    assert topic_in("写作方面的课程") == "写作"
    assert topic_in("「Python」") == "Python"
    assert topic_in("好的课") == ""
    assert topic_in("朋友") is None
