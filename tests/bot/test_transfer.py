"""CSV in and out: a file is taken whole or not at all, and every fault names its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.transfer import (
    FAQ_COLUMNS,
    ITEM_COLUMNS,
    MAX_ANSWER,
    MAX_FILE_BYTES,
    MAX_PROBLEMS,
    MAX_QUESTION,
    BadFile,
    faq_csv,
    items_csv,
    line_of,
    read_faq,
    read_items,
)
from store.content import Faq, Item, NewFaq

HEAD = ",".join(ITEM_COLUMNS) + "\n"


def _file(folder: Path, text: str | bytes) -> Path:
    path = folder / "in.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _item(**fields: str) -> str:
    usual = dict.fromkeys(ITEM_COLUMNS, "") | {"id": "a-1", "kind": "course", "title": "课"}
    return ",".join((usual | fields).values()) + "\n"


# What a FAQ file may look like


@pytest.mark.parametrize(
    "text",
    [
        "question,answer,aliases\n怎么退款,七天内,退款|退钱\n",
        "answer,aliases,question\n七天内,退款|退钱,怎么退款\n",
        " Question , ANSWER,Aliases\r\n 怎么退款 , 七天内 , 退款 | | 退钱 \r\n\r\n,,\r\n",
        "\ufeffquestion,answer,aliases\n怎么退款,七天内,退款|退钱",
    ],
    ids=["plain", "other order", "Windows and blanks", "Excel's BOM, no last newline"],
)
def test_the_same_entry_in_many_forms(tmp_path: Path, text: str) -> None:
    assert read_faq(_file(tmp_path, text)) == [NewFaq("怎么退款", "七天内", ("退款", "退钱"))]


def test_aliases_may_be_left_out(tmp_path: Path) -> None:
    assert read_faq(_file(tmp_path, "question,answer\n问,答\n")) == [NewFaq("问", "答")]


def test_an_answer_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    text = 'question,answer\n问,"第一行, ""引号""\n第二行"\n'
    assert read_faq(_file(tmp_path, text))[0].answer == '第一行, "引号"\n第二行'


# What is refused


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("", "line 1: the columns must be"),
        ("问题,答案\n问,答\n", "line 1: the columns must be"),
        ("question,answer,anser\n问,答,x\n", "line 1: the columns must be"),
        ("question;answer\n问;答\n", "line 1: the columns must be"),
        ("question,answer,answer\n问,答,答\n", "line 1: the columns must be"),
        ("question,answer\n", "line 2: there are no entries"),
        ("question,answer\n问,答\n,答\n", "line 3: the question is empty"),
        ("question,answer\n问,\n", "line 2: the answer is empty"),
        ("question,answer\n问,答,多\n", "line 2: 3 cells instead of 2; quote cells"),
        ('question,answer\n问,"答\n', "check the quotes"),
        ('question,answer\n问,"答"案\n', "line 2"),
        ("question,answer\n问,答\n问,答二\n", "line 3: this question stands in line 2 too"),
        ("question,answer,aliases\n问,答,\n问二,答,问\n", "line 3: this question stands in line 2"),
        (f"question,answer\n{'问' * (MAX_QUESTION + 1)},答\n", "line 2: a question has 201"),
        (f"question,answer\n问,{'答' * (MAX_ANSWER + 1)}\n", "line 2: the answer has 4001"),
        ("question,answer\n问,答\0\n", "line 2: holds a NUL character"),
    ],
)
def test_a_bad_faq_file_names_the_line(tmp_path: Path, text: str, say: str) -> None:
    with pytest.raises(BadFile, match=r"^in\.csv: nothing was imported") as refused:
        read_faq(_file(tmp_path, text))
    assert say in str(refused.value)


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    """A quoted answer of three lines and a blank line come before the bad row."""
    text = 'question,answer\n问,"一\n二\n三"\n\n坏,\n'
    with pytest.raises(BadFile) as refused:
        read_faq(_file(tmp_path, text))
    assert refused.value.problems == ("line 6: the answer is empty",)


def test_every_problem_is_named_at_once_up_to_a_limit(tmp_path: Path) -> None:
    rows = "".join(f"问{n},\n" for n in range(MAX_PROBLEMS + 5))
    with pytest.raises(BadFile) as refused:
        read_faq(_file(tmp_path, f"question,answer\n{rows}"))
    assert len(refused.value.problems) == MAX_PROBLEMS + 5
    assert str(refused.value).endswith("… and 5 more")


def test_a_file_in_gbk_is_told_how_to_be_saved(tmp_path: Path) -> None:
    text = b"question,answer\n" + "怎么退款,七天内\n".encode("gbk")
    with pytest.raises(BadFile, match="line 2: not UTF-8; in Excel choose"):
        read_faq(_file(tmp_path, text))


def test_a_file_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(BadFile, match=str(MAX_FILE_BYTES)):
        read_faq(path)


@pytest.mark.parametrize("name", ["none.csv", "."])
def test_what_is_no_file_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFile, match="cannot be read"):
        read_faq(tmp_path / name)


def test_the_line_of_a_wording_is_found(tmp_path: Path) -> None:
    path = _file(tmp_path, 'question,answer,aliases\n问,"一\n二",\n问二,答,别名|另一个\n')
    assert line_of(path, "问") == 2
    assert line_of(path, "另一个") == 4
    assert line_of(path, "没有") == 0


# The catalogue


def test_an_item_needs_only_id_kind_and_title(tmp_path: Path) -> None:
    items = read_items(_file(tmp_path, "id,kind,title\na-1,live,一场直播\n"))
    assert items == [Item("a-1", "live", "一场直播", "", (), "", "", 0, "", "", "")]


@pytest.mark.parametrize(
    ("price", "cents"), [("", 0), ("0", 0), ("199", 19_900), ("9.9", 990), ("29.05", 2_905)]
)
def test_a_price_is_exact_to_the_fen(tmp_path: Path, price: str, cents: int) -> None:
    items = read_items(_file(tmp_path, HEAD + _item(price=price)))
    assert items[0].price_cents == cents


@pytest.mark.parametrize(
    ("fields", "say"),
    [
        ({"id": ""}, "id must be"),
        ({"id": "课程1"}, "id must be"),
        ({"id": "x" * 65}, "id must be"),
        ({"kind": "book"}, "kind must be one of course"),
        ({"title": ""}, "title must have"),
        ({"title": "长" * 121}, "title must have"),
        ({"summary": "长" * 2001}, "summary has more"),
        ({"price": "-1"}, "price must look"),
        ({"price": "1.999"}, "price must look"),
        ({"price": "1e3"}, "price must look"),
        ({"url": "javascript:alert(1)"}, "url must begin"),
        ({"cover_url": "/cover.png"}, "cover_url must begin"),
        ({"published_on": "2026/11/21"}, "published_on must be"),
        ({"published_on": "2026-02-30"}, "published_on must be"),
    ],
)
def test_a_bad_item_names_the_line(tmp_path: Path, fields: dict[str, str], say: str) -> None:
    path = _file(tmp_path, HEAD + _item(id="good") + _item(**fields))
    with pytest.raises(BadFile) as refused:
        read_items(path)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(f"line 3: {say}")


def test_an_id_stands_once_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="line 3: this id stands in line 2 too"):
        read_items(_file(tmp_path, HEAD + _item() + _item()))


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="there are no items"):
        read_items(_file(tmp_path, HEAD))


# And out again


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    faqs = [
        Faq(1, ("怎么退款", "退款", "我要退钱"), '七天内, "全额"\n第二行', 0.0),
        Faq(2, ("=1+1 怎么算",), "😀", 0.0),
    ]
    assert read_faq(_file(tmp_path, faq_csv(faqs))) == [
        NewFaq(faq.questions[0], faq.answer, faq.questions[1:]) for faq in faqs
    ]
    items = [
        Item("a", "ebook", '标题, "一"', "两\n行", ("甲", "乙"), "谁", "入门", 5, "", "", ""),
        Item("b", "course", "题", "", (), "", "", 123_456, "https://x.example/", "", "2025-01-31"),
    ]
    assert read_items(_file(tmp_path, items_csv(items))) == items


def test_exports_open_in_excel() -> None:
    """Without the mark at the start Excel takes UTF-8 for the system's own encoding."""
    assert faq_csv([]).startswith("\ufeff" + ",".join(FAQ_COLUMNS))
    assert items_csv([]).startswith("\ufeff" + ",".join(ITEM_COLUMNS))
