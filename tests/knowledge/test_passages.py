"""Passages and items: what a question is about is found, what makes it a question is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowledge import PASSAGE_AT, Band, Entry, Knowledge

PASSAGES = (
    Entry(
        "doc:1",
        (
            "退款规则",
            "购买后七天内没有学习超过三节的课程可以申请退款。",
            "客服审核后三个工作日内原路退回支付账户。会员卡、电子书与代金券不支持退款。",
        ),
    ),
    Entry(
        "doc:2",
        (
            "直播与回放",
            "直播课每周四晚上八点开始，提前十分钟开放进入。",
            "结束后两小时内生成回放，回放保存一年。错过直播的同学可以在目录里找到。",
        ),
    ),
    Entry(
        "doc:3",
        (
            "作业与证书",
            "每一章结束后有一份作业，在作业页上传图片或文档提交。",
            "助教会在四十八小时内批改。完成全部作业的学员获得电子证书，可在个人中心下载。",
        ),
    ),
    Entry("doc:4", ("学习设备", "编程练习需要安装 Python 3.11 和 VS Code，内存至少 8GB。")),
    Entry("doc:5", ("社群公约", "群内禁止发布广告、二维码与无关链接，违反者移出群聊。")),
)


@pytest.fixture(scope="module")
def shelf(cache_dir: Path) -> Knowledge:
    """Five passages, a FAQ entry and three items; read only."""
    knowledge = Knowledge()
    knowledge.load(cache_dir)
    knowledge.replace_all(
        [
            *PASSAGES,
            Entry("faq:1", ("怎么开发票？",)),
            Entry(
                "item:py",
                ("Python 数据分析", "编程 零基础", "第一章 认识表格", "第二章 画图与配色"),
                "边学边练",
            ),
            Entry("item:mind", ("清单工作法", "效率", "第一章 收集", "第二章 整理")),
            Entry("item:ppt", ("幻灯片设计", "职场", "配色三原则")),
        ]
    )
    return knowledge


@pytest.mark.parametrize(
    ("asked", "id"),
    [
        ("电子书可以退款吗", "doc:1"),
        ("请问七天内能退款吗？", "doc:1"),
        ("回放保存多久", "doc:2"),
        ("错过直播怎么办", "doc:2"),
        ("作业怎么提交呢", "doc:3"),
        ("证书在哪下载", "doc:3"),
        ("内存要多大", "doc:4"),
    ],
)
def test_a_passage_that_answers_is_found(shelf: Knowledge, asked: str, id: str) -> None:
    hit = shelf.passages(asked)[0]
    assert hit.id == id
    assert PASSAGE_AT <= hit.confidence <= 1


@pytest.mark.parametrize(
    "chatter",
    ["今天天气真好啊", "哈哈哈哈", "我先去吃饭了", "你们周末去哪里玩", "在吗", "收到", "笑死我了"],
)
def test_chatter_finds_no_passage(shelf: Knowledge, chatter: str) -> None:
    assert all(hit.confidence < PASSAGE_AT for hit in shelf.passages(chatter))


@pytest.mark.parametrize(
    "text", ["", "？？！", "怎么", "请问多久呢", "\x00\x1b", "\ud800", "😀" * 99]
)
def test_a_question_about_nothing_finds_nothing(shelf: Knowledge, text: str) -> None:
    assert shelf.passages(text) == []


def test_words_of_asking_do_not_count_against_a_passage(shelf: Knowledge) -> None:
    plain = shelf.passages("回放保存")[0]
    asked = shelf.passages("请问一下，回放可以保存多长时间呢？")[0]
    assert asked.id == plain.id
    assert asked.confidence == pytest.approx(plain.confidence)


def test_the_piece_that_matched_comes_back(shelf: Knowledge) -> None:
    assert shelf.passages("回放保存多久")[0].question == PASSAGES[1].questions[2]


def test_a_heading_and_its_text_are_read_together(shelf: Knowledge) -> None:
    whole = shelf.passages("证书与作业批改")[0]
    assert whole.id == "doc:3"
    assert whole.confidence > 0.7
    assert shelf.passages("公约")[0].id == "doc:5"


def test_passages_questions_and_items_are_kept_apart(shelf: Knowledge) -> None:
    assert len(shelf) == 9
    assert {hit.id[:4] for hit in shelf.passages("申请退款", 9)} == {"doc:"}
    assert shelf.ask("怎么开发票").hits[0].id == "faq:1"
    assert shelf.ask("电子书可以退款吗").band is not Band.SURE
    assert all(hit.id.startswith("item:") for hit in shelf.find("Python"))
    assert len(shelf.passages("作业 证书 直播 退款", 1)) == 1


def test_a_passage_can_be_added_replaced_and_removed(cache_dir: Path) -> None:
    knowledge = Knowledge()
    knowledge.load(cache_dir)
    assert knowledge.passages("积分兑换") == []
    knowledge.put(Entry("doc:9", ("邀请有礼", "积分可以兑换优惠券与电子书。")))
    assert knowledge.passages("积分兑换")[0].id == "doc:9"
    knowledge.put(Entry("doc:9", ("邀请有礼", "邀请一位好友各得一张券。")))
    assert knowledge.passages("积分兑换") == []
    assert knowledge.remove("doc:9")
    assert not knowledge.remove("doc:9")
    assert knowledge.passages("邀请好友") == []


def test_an_item_is_found_by_its_chapters_and_tags_as_by_its_title(shelf: Knowledge) -> None:
    assert shelf.find("整理")[0].id == "item:mind"
    assert shelf.find("效率")[0].id == "item:mind"
    assert {hit.id for hit in shelf.find("配色")} == {"item:py", "item:ppt"}
    # The title's words count with the chapter's.
    both = shelf.find("Python 配色")
    assert both[0].id == "item:py"
    assert both[0].confidence > 0.9
    # A chapter counts fully, a summary does not.
    assert shelf.find("整理")[0].confidence > 0.9 > shelf.find("边学边练")[0].confidence
