"""One loaded dictionary for all tests of the room: loading takes a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowledge import Entry, Knowledge, Words

FAQ = (
    Entry("faq:1", ("怎么申请退款？", "我想退钱", "买错了能退吗")),
    Entry("faq:2", ("课程有效期是多久？", "买了可以看多长时间")),
    Entry("faq:3", ("如何开发票？", "能报销吗")),
    Entry("faq:4", ("在哪里看直播回放？",)),
    Entry("faq:5", ("怎么联系人工客服？",)),
    Entry("faq:6", ("优惠券怎么用？", "优惠码在哪里填")),
    Entry("faq:7", ("忘记密码怎么办？",)),
    Entry("faq:8", ("可以用手机看课吗？", "有没有app")),
)
ITEMS = (
    Entry(
        "item:py", ("Python 数据分析三十讲", "数据分析 编程 零基础"), "从读表格到画图，边学边练。"
    ),
    Entry(
        "item:write", ("写作训练营", "写作 表达"), "四周写出能发布的文章，也讲数据分析报告怎么写。"
    ),
    Entry("item:pm", ("产品经理入门课", "产品 职场"), "需求、原型和上线。"),
)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this run keeps its dictionary cache."""
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="session")
def words(cache_dir: Path) -> Words:
    """Loaded, without user words: tests that add some make their own."""
    words = Words()
    words.load(cache_dir)
    return words


@pytest.fixture(scope="session")
def small_shop(cache_dir: Path) -> Knowledge:
    """Eight FAQ entries and three items; read only."""
    knowledge = Knowledge()
    knowledge.load(cache_dir)
    knowledge.replace_all([*FAQ, *ITEMS])
    return knowledge
