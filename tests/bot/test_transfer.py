"""CSV and JSON lines: a file is taken whole or not at all, and every fault names its line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.transfer import (
    FAQ_COLUMNS,
    ITEM_COLUMNS,
    ITEM_KINDS,
    MAX_ANSWER,
    MAX_FILE_BYTES,
    MAX_PROBLEMS,
    MAX_QUESTION,
    BadFile,
    faq_csv,
    items_csv,
    items_jsonl,
    line_of,
    read_faq,
    read_items,
)
from store.catalogue import Chapter, Item, Tier
from store.content import Faq, NewFaq

HEAD = ",".join(ITEM_COLUMNS) + "\n"


def day(text: str) -> float:
    """When this day began in Shanghai."""
    return datetime.fromisoformat(f"{text}T00:00+08:00").timestamp()


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
    assert items == [Item("a-1", "live", "一场直播")]


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
        ({"url": "https://"}, "url must begin"),
        ({"url": "https:// shop.example"}, "url must begin"),
        ({"tags": "长" * 41}, "tags must be"),
        ({"tags": "|".join(f"t{n}" for n in range(21))}, "tags must be"),
        ({"authors": "长" * 41}, "authors must be"),
        ({"level": "难" * 21}, "level has more"),
        ({"tiers": "早鸟"}, "a tier must look like"),
        ({"tiers": "早鸟:九十九"}, "tier 早鸟: price must look"),
        ({"tiers": "|".join(f"{n}:1" for n in range(13))}, "there are more than 12 tiers"),
        ({"chapters": "[c1]"}, "a chapter's title must have"),
        ({"chapters": "[第一章]开篇"}, "chapter 开篇: its id is no id"),
        ({"chapters": "开篇 ftp://x.example/1"}, "chapter 开篇: url must begin"),
        ({"chapters": "[2]开篇|变量"}, "two chapters have the same id"),
        ({"chapters": "|".join("章" * 501)}, "there are more than 500 chapters"),
        ({"published_at": "2026/11/21"}, "published_at must look"),
        ({"published_at": "2026-02-30"}, "published_at must look"),
        ({"published_at": "2026-11-21T25:00"}, "published_at must look"),
        ({"published_at": "0001-01-01"}, "published_at must look"),
        ({"published_at": "20261121"}, "published_at must look"),
        ({"needs_tier": "月度会员"}, "needs_tier must be a tier"),
        ({"series": "列" * 41}, "series must have at most 40"),
        ({"requires": "py 101"}, "requires must be ids"),
        ({"id": "py-1", "requires": "sql|py-1"}, "requires must be ids of at most 20 other"),
        ({"requires": "|".join(f"i{n}" for n in range(21))}, "requires must be ids"),
        ({"available_from": "soon"}, "available_from must look"),
        ({"available_until": "2026/11/21"}, "available_until must look"),
        (
            {"available_from": "2026-11-21", "available_until": "2026-11-21"},
            "available_until must be after",
        ),
    ],
)
def test_a_bad_item_names_the_line(tmp_path: Path, fields: dict[str, str], say: str) -> None:
    path = _file(tmp_path, HEAD + _item(id="good") + _item(**fields))
    with pytest.raises(BadFile) as refused:
        read_items(path)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(f"line 3: {say}")


def test_the_columns_of_before_are_still_taken(tmp_path: Path) -> None:
    text = "id,kind,title,author,published_on\na-1,live,一场直播,苏老师,2026-11-21\n"
    (item,) = read_items(_file(tmp_path, text))
    assert item.authors == ("苏老师",)
    assert item.published_at == day("2026-11-21")
    both = "id,kind,title,author,authors\na-1,live,一场直播,苏老师,苏老师\n"
    with pytest.raises(BadFile, match="line 1: the columns must be"):
        read_items(_file(tmp_path, both))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0.0),
        ("2026-11-21", day("2026-11-21")),
        ("2026-11-21T20:00", day("2026-11-21") + 20 * 3600),
        ("2026-11-21 20:00:30", day("2026-11-21") + 20 * 3600 + 30),
        ("2026-11-20T16:00:00Z", day("2026-11-21")),
        ("2026-11-21T01:00:00+09:00", day("2026-11-21")),
    ],
)
def test_a_time_without_an_offset_is_shanghais(tmp_path: Path, text: str, at: float) -> None:
    (item,) = read_items(_file(tmp_path, HEAD + _item(published_at=text)))
    assert item.published_at == at


def test_tiers_and_chapters_have_a_short_form(tmp_path: Path) -> None:
    row = _item(
        tiers="早鸟:99|团购：79.50 | 会员:0",
        chapters="开篇|[c-2]变量 https://x.example/2|C++ std::vector|循环 https://x.example/4",
        authors="苏老师|陈默",
    )
    (item,) = read_items(_file(tmp_path, HEAD + row))
    assert item.authors == ("苏老师", "陈默")
    assert item.tiers == (Tier("早鸟", 9900), Tier("团购", 7950), Tier("会员", 0))
    assert item.chapters == (
        Chapter("1", "开篇"),
        Chapter("c-2", "变量", "https://x.example/2"),
        Chapter("3", "C++ std::vector"),
        Chapter("4", "循环", "https://x.example/4"),
    )


def test_an_id_stands_once_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="line 3: this id stands in line 2 too"):
        read_items(_file(tmp_path, HEAD + _item() + _item()))


def _lines(folder: Path, *lines: str, name: str = "in.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_an_item_may_be_a_line_of_json(tmp_path: Path) -> None:
    path = _lines(
        tmp_path,
        '{"id": "a", "kind": "live", "title": " 一场直播 "}',
        "",
        '{"id": "b", "kind": "course", "title": "课\u2028", "price": 79.5, "tags": ["甲", "甲"],'
        ' "tiers": [{"name": "早鸟", "price": "59.90"}, {"name": "团", "price_cents": 5000}],'
        ' "chapters": ["开篇", {"id": "v", "title": "变量", "url": "https://x.example/v"}],'
        ' "published_at": "2026-11-21"}\r',
        name="in.NDJSON",
    )
    assert read_items(path) == [
        Item("a", "live", "一场直播"),
        Item(
            id="b",
            kind="course",
            title="课",
            tags=("甲",),
            price_cents=7950,
            tiers=(Tier("早鸟", 5990), Tier("团", 5000)),
            chapters=(Chapter("1", "开篇"), Chapter("v", "变量", "https://x.example/v")),
            published_at=day("2026-11-21"),
        ),
    ]


@pytest.mark.parametrize(
    ("line", "say"),
    [
        ("not json", "JSON is malformed"),
        ('{"id": "a", "kind": "live"}', "Object missing required field `title`"),
        ('{"id": "a", "kind": "live", "title": 5}', "Expected `str`, got `int`"),
        ('{"id": "a", "kind": "live", "title": "题", "autor": "谁"}', "Object contains unknown"),
        ('{"id": "a", "kind": "live", "title": "题", "price": 1e9}', "price must look"),
        ('{"id": "a", "kind": "live", "title": "题", "price": -1}', "price must look"),
        ('{"id": "a", "kind": "live", "title": "题", "price": 0.005}', "price must look"),
        (
            '{"id": "a", "kind": "live", "title": "题", "price": 1, "price_cents": 100}',
            "price must look",
        ),
        ('{"id": "a", "kind": "live", "title": "题", "tiers": [{"name": "早"}]}', "tier 早: price"),
        ('{"id": "a", "kind": "live", "title": "题", "tags": ["a|b"]}', "tags must be"),
        ('{"id": "a", "kind": "live", "title": "题", "chapters": ["一|二"]}', "a chapter's title"),
        ('{"id": "a", "kind": "live", "title": "\\u0000"}', "holds a NUL character"),
        ("[" * 100_000, "Expected `object`"),
        ('["a"]', "Expected `object`"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, line: str, say: str) -> None:
    path = _lines(tmp_path, '{"id": "good", "kind": "live", "title": "题"}', line)
    with pytest.raises(BadFile) as refused:
        read_items(path)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(f"line 2: {say}")


def test_an_id_stands_once_in_a_json_file(tmp_path: Path) -> None:
    line = '{"id": "a", "kind": "live", "title": "题"}'
    with pytest.raises(BadFile, match="line 3: this id stands in line 1 too"):
        read_items(_lines(tmp_path, line, "", line))


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


_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="|\0"), max_size=20).map(str.strip)
_LINKS = st.sampled_from(["", "https://x.example/a?b=1&c=,", "http://x.example"])
_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,5}", fullmatch=True)
_TITLES = _WORDS.filter(lambda title: title and "://" not in title)
_CENTS = st.integers(0, 999_999_999)
_ITEMS = st.lists(
    st.builds(
        Item,
        id=_IDS,
        kind=st.sampled_from(ITEM_KINDS),
        title=_TITLES,
        summary=_WORDS,
        tags=st.lists(_TITLES, max_size=3, unique=True).map(tuple),
        authors=st.lists(_TITLES, max_size=3, unique=True).map(tuple),
        level=_WORDS,
        price_cents=_CENTS,
        url=_LINKS,
        cover_url=_LINKS,
        published_at=st.sampled_from([0.0, day("2025-01-31"), 1_763_600_000.0, 1_763_600_000.5]),
        tiers=st.lists(
            st.builds(Tier, _TITLES.filter(lambda name: "：" not in name), _CENTS), max_size=3
        ).map(tuple),
        chapters=st.lists(
            st.builds(Chapter, _IDS, _TITLES | st.just("[1]括号"), _LINKS),
            max_size=3,
            unique_by=lambda chapter: chapter.id,
        ).map(tuple),
        needs_tier=st.sampled_from(["", "trial", "paid-monthly"]),
        series=_WORDS,
        requires=st.lists(st.sampled_from(["x-before", "y.1"]), unique=True).map(tuple),
        available_from=st.sampled_from([0.0, day("2025-01-31")]),
        available_until=st.sampled_from([None, day("2025-02-01"), 1_763_600_000.5]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item.id,
)


@settings(max_examples=40, deadline=None)
@given(items=_ITEMS)
def test_a_catalogue_that_was_written_is_read_back(
    items: list[Item], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("catalogue")
    assert read_items(_file(folder, items_csv(items))) == items
    assert read_items(_lines(folder, items_jsonl(items))) == items


def test_exports_open_in_excel() -> None:
    """Without the mark at the start Excel takes UTF-8 for the system's own encoding."""
    assert faq_csv([]).startswith("\ufeff" + ",".join(FAQ_COLUMNS))
    assert items_csv([]).startswith("\ufeff" + ",".join(ITEM_COLUMNS))
