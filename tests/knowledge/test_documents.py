"""Documents: what a person would read comes out in pieces that know where they are from."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.documents import MAX_BYTES, BadDocument, Document, Passage, read, windows
from tests.knowledge.files import pdf, repacked, word

SENTENCE = "报名以后七天之内都可以申请退款，提交以后由客服在一个工作日之内处理。"
LONG = SENTENCE * 3
LINES = [LONG[at : at + 26] for at in range(0, len(LONG), 26)]
"""The same as a page's width parts it."""


def told(document: Document) -> list[tuple[str, str]]:
    return [(passage.heading, passage.text) for passage in document.passages]


def refused(name: str, data: bytes) -> tuple[str, str]:
    with pytest.raises(BadDocument) as caught:
        read(name, data)
    return caught.value.where, caught.value.reason


# Markdown


def test_markdown_is_split_by_heading_and_remembers_its_lines() -> None:
    text = f"# 学员手册\n\n{LONG}\n\n## 退款\n\n### 期限\n\n{LONG}\n\n### 方式\n\n{LONG}\n"
    document = read("手册.md", text.encode())
    assert (document.kind, document.title, document.pages) == ("markdown", "学员手册", None)
    assert told(document) == [("学员手册", LONG), ("退款 › 期限", LONG), ("退款 › 方式", LONG)]
    assert [passage.line for passage in document.passages] == [3, 9, 13]


def test_two_chapters_are_headings_and_the_file_names_the_document() -> None:
    document = read("学员 手册.md", f"# 退款\n{LONG}\n# 发票\n{LONG}\n".encode())
    assert document.title == "学员 手册"
    assert [heading for heading, _ in told(document)] == ["退款", "发票"]


def test_markup_scripts_pictures_and_comments_are_left_out() -> None:
    text = (
        "---\ntitle: 不用\n---\n# 手册\n七天**内**可[申请](https://a.example)，`/退`。\n"
        "![图](x.png)\n<!-- 秘密 -->\n\n<script>steal()</script>\n\n<div>另见<b>发票</b></div>\n"
    )
    (passage,) = read("a.md", text.encode()).passages
    assert passage.text == "七天内可申请，/退。\n另见发票"
    assert passage.line == 5, "the front matter counts"


def test_lists_code_and_tables_stay_readable() -> None:
    text = (
        "# 价\n\n| 课 | 元 |\n|---|---|\n| **A** | 9 |\n\n"
        "1. 甲\n2. 乙\n   - 丙\n\n```\nx = 1\n```\n"
    )
    (passage,) = read("a.md", text.encode()).passages
    assert passage.text == "课 | 元\nA | 9\n1. 甲\n2. 乙\n- 丙\nx = 1"


def test_wrapped_lines_are_joined_as_the_script_wants_it() -> None:
    (passage,) = read("a.md", "七天\n可退。\nSee the\nrules".encode()).passages
    assert passage.text == "七天可退。 See the rules"


# Plain text


def test_text_headings_are_known_by_their_numbers() -> None:
    text = f"第一章 退款\n\n一、期限\n{LONG}\n二、方式\n{LONG}\n第二章 发票\n{LONG}\n"
    assert [heading for heading, _ in told(read("a.txt", text.encode()))] == [
        "第一章 退款 › 期限",
        "第一章 退款 › 方式",
        "第二章 发票",
    ]


def test_the_items_of_a_list_are_no_headings() -> None:
    text = f"1. 怎么退款\n{LONG}\n1. 打开微信\n2. 点击订单\n3. 申请退款\n\n2. 怎么开票\n{LONG}\n"
    document = read("a.txt", text.encode())
    assert [heading for heading, _ in told(document)] == ["怎么退款", "怎么开票"]
    assert "1. 打开微信\n2. 点击订单\n3. 申请退款" in document.passages[0].text


def test_questions_and_answers_become_sections() -> None:
    text = f"问：怎么退款？\n答：{LONG}\n问：怎么开票？\n答：{LONG}\n"
    assert [heading for heading, _ in told(read("a.txt", text.encode()))] == [
        "怎么退款？",
        "怎么开票？",
    ]


def test_hash_and_underlined_headings_work_in_text_too() -> None:
    text = f"手册\n====\n\n## 退款 #\n{LONG}\n\n发票\n----\n{LONG}\n-----\n"
    document = read("a.txt", text.encode())
    assert [heading for heading, _ in told(document)] == ["退款", "发票"]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
def test_the_encodings_of_chinese_editors_are_read(codec: str) -> None:
    assert told(read("a.txt", "七天内可以退款。\r\n找客服。".encode(codec))) == [
        ("a", "七天内可以退款。\n找客服。")
    ]


def test_bytes_of_no_encoding_are_refused_with_their_line() -> None:
    where, reason = refused("a.txt", "第一行\n第二行\n".encode() + b"\xff\xff\xfe\n")
    assert where == "line 3"
    assert "save the file as UTF-8" in reason


@pytest.mark.parametrize("garbage", ["\0", "\x1b[2J", "\x7f"])
def test_control_characters_are_refused_with_their_line(garbage: str) -> None:
    assert refused("a.txt", f"好\n好{garbage}\n".encode())[0] == "line 2"
    assert refused("a.md", f"好\r\n\r\n{garbage}".encode())[0] == "line 3"


def test_marks_that_hide_or_turn_text_are_taken_out() -> None:
    (passage,) = read("a.txt", "七\u200b天\u202e内\ufeff\u3000\u00a0可退".encode()).passages
    assert passage.text == "七天内 可退"


# HTML


def test_html_shows_what_a_browser_would() -> None:
    page = """<html><head><title>站点</title><style>p{}</style></head><body>
    <nav><a>首页</a></nav><h1>手册</h1><!-- 秘密 --><h2>退 款</h2>
    <p>七天<br>之内，
    可以退。<script>var x = "坏"</script><img alt="图"><p hidden>藏</p>
    <p style="display: none">藏</p><ul><li>甲<li>乙</ul><ol><li>丙</li></ol>
    <table><tr><th>课<th>元<tr><td>A &amp; B</td><td><p>9</p></td></tr></table>
    <pre>x = 1
  y = 2</pre><footer>备案</footer></body></html>"""
    document = read("a.html", page.encode())
    assert document.title == "手册"
    assert told(document) == [
        ("退 款", "七天\n之内，可以退。\n- 甲\n- 乙\n1. 丙\n课 | 元\nA & B | 9\nx = 1\ny = 2")
    ]
    assert document.passages[0].line == 3


def test_a_table_that_only_arranges_the_page_keeps_its_headings() -> None:
    page = f"<table><tr><td>边栏</td><td><h2>退款</h2>{LONG}<h2>发票</h2>{LONG}</td></tr></table>"
    document = read("a.htm", page.encode())
    assert [heading for heading, _ in told(document)] == ["a", "退款", "发票"]


def test_a_declared_charset_counts() -> None:
    page = '<meta charset="big5"><p>七天內可以退款</p>'
    assert told(read("a.html", page.encode("big5"))) == [("a", "七天內可以退款")]


# DOCX


def test_word_headings_lists_and_tables_are_read() -> None:
    data = word(
        ("Title", "学员手册"),
        ("Heading 1", "退款"),
        ("Heading 2", "一、期限"),
        ("", LONG),
        [["课程", "天数"], ["入门", "7"]],
        ("Heading 1", "发票"),
        ("List Bullet", "电子发票"),
        ("List Bullet", LONG),
    )
    document = read("手册.docx", data)
    assert (document.kind, document.title) == ("docx", "学员手册")
    assert told(document) == [
        ("退款 › 期限", f"{LONG}\n课程 | 天数\n入门 | 7"),
        ("发票", f"- 电子发票\n- {LONG}"),
    ]


def test_word_without_heading_styles_is_split_by_numbers_and_bold() -> None:
    import io

    import docx

    document = docx.Document()
    for text, bold in (("退款须知", True), (LONG, False), ("开票须知", True), (LONG, False)):
        document.add_paragraph().add_run(text).bold = bold
    out = io.BytesIO()
    document.save(out)
    assert told(read("a.docx", out.getvalue())) == [("退款须知", LONG), ("开票须知", LONG)]


# PDF


def test_pdf_pages_are_numbered_and_the_outline_gives_the_headings() -> None:
    pages = [["学员手册"], ["退款", *LINES], ["发票", *LINES]]
    document = read("手册.pdf", pdf(pages, bookmarks=[(1, "退款"), (2, "发 票")]))
    assert (document.kind, document.pages) == ("pdf", 3)
    assert document.passages == (
        Passage("手册", "学员手册", 1, None),
        Passage("退款", LONG, 2, None),
        Passage("发票", LONG, 3, None),
    )


def test_pdf_without_outline_is_split_by_numbers_and_short_lines() -> None:
    pages = [["第一章 退款", SENTENCE * 2, "怎么申请", SENTENCE * 2, "第二章 发票", SENTENCE * 2]]
    headings = [heading for heading, _ in told(read("a.pdf", pdf(pages)))]
    assert headings == ["第一章 退款", "第一章 退款 › 怎么申请", "第二章 发票"]


def test_running_titles_and_page_numbers_are_left_out() -> None:
    pages = [["知群 学员手册", *LINES[:at], LONG, f"- {at} -"] for at in range(1, 6)]
    document = read("a.pdf", pdf(pages))
    text = "".join(text for _, text in told(document))
    assert text.count(LONG) == 5
    assert "学员手册" not in text
    assert "- 3 -" not in text


def test_a_font_without_characters_is_refused_with_its_page() -> None:
    where, reason = refused("a.pdf", pdf([["好" * 20], ["\ue001\ue002\ufffd" * 9]]))
    assert where == "page 2"
    assert "OCR" in reason


def test_a_scan_is_told_to_be_recognised_first() -> None:
    assert "OCR" in refused("a.pdf", pdf([[""], [""]]))[1]
    assert "OCR" in refused("a.pdf", pdf([["1"], ["2"], ["3"]]))[1]


# Splitting


def test_long_sections_end_at_sentences() -> None:
    text = "".join(f"第{at}件事要记住，它很重要。" for at in range(400))
    document = read("a.txt", text.encode())
    assert "".join(piece for _, piece in told(document)) == text
    assert all(300 <= len(piece) <= 1200 and piece[-1] == "。" for _, piece in told(document))


def test_paragraphs_are_kept_whole_when_they_can_be() -> None:
    paragraph = SENTENCE * 10
    document = read("a.txt", "\n\n".join([paragraph] * 4).encode())
    assert [piece for _, piece in told(document)] == [paragraph] * 4


def test_text_without_any_pause_is_cut_all_the_same() -> None:
    document = read("a.txt", ("好" * 5000).encode())
    assert [len(piece) for _, piece in told(document)] == [600] * 8 + [200]


def test_tiny_neighbours_are_told_together_under_their_parent() -> None:
    text = f"# 退款\n{LONG}\n## 期限\n七天。\n## 方式\n原路。\n# 发票\n## 抬头\n\n# 其他\n{LONG}\n"
    assert told(read("a.md", text.encode())) == [
        ("退款", LONG),
        ("退款", "期限\n七天。\n方式\n原路。"),
        ("发票", "抬头"),
        ("其他", LONG),
    ]


def test_a_heading_trail_stays_short() -> None:
    text = "".join(f"{'#' * depth} {'题' * 90}{depth}\n{LONG}\n" for depth in range(1, 7))
    assert all(len(heading) <= 200 for heading, _ in told(read("a.md", text.encode())))


def test_windows_hold_whole_sentences_and_overlap() -> None:
    text = "".join(f"这是第{at}句话，说明了退款里的一件事。" for at in range(40))
    pieces = windows(Passage("退款", text, None, None))
    assert all(len(piece) <= 200 and piece[-1] == "。" for piece in pieces)
    assert all(before[-10:] in after for before, after in pairwise(pieces))
    assert windows(Passage("a", "短", None, None)) == ("短",)


@given(st.text(alphabet="好。，a. \n！", min_size=1, max_size=1200))
@settings(max_examples=60, deadline=None)
def test_windows_lose_nothing(text: str) -> None:
    pieces = windows(Passage("", text, None, None))
    assert all(0 < len(piece) <= 200 for piece in pieces)
    assert len(pieces) <= 64, "an entry of the index has no more rows"
    assert set("".join(pieces)) >= set(text) - {" ", "\n"}


# Refused at the door


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .docx"),
        ("a.docm", word(), "macros"),
        ("a.xlsx", word(), "kind that is not read"),
        ("README", b"x", "kind that is not read"),
        (".md", b"x", "kind that is not read"),
        ("", b"x", "plain file name"),
        ("../a.md", b"x", "plain file name"),
        ("a\n.md", b"x", "plain file name"),
        ("a.md", b"", "is empty"),
        ("a.md", b" \n\t", "is empty"),
        ("a.md", b"***\n\n![](x)", "holds no text"),
        ("a.txt", b"%PDF-1.7 ...", "is a PDF file, not text"),
        ("a.pdf", b"plain words", "not pdf"),
        ("a.pdf", b"%PDF-1.7\nplain words", "is damaged"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 9, "password"),
        ("a.docx", b"PK\x03\x04 and then nothing", "is damaged"),
        ("a.docx", b"%PDF-1.7", "is a PDF file, not docx"),
        ("a.html", b"\x89PNG\r\n", "a picture"),
        ("a.txt", b"x" * (MAX_BYTES + 1), "at most 20 MB"),
        ("a.txt", b"word. " * 1_500_000, "split it"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(name: str, data: bytes, says: str) -> None:
    assert says in refused(name, data)[1]


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html"])
@given(st.text(max_size=300) | st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(name: str, data: str | bytes) -> None:
    try:
        document = read(name, data.encode("utf-8", "replace") if isinstance(data, str) else data)
    except BadDocument as bad:
        assert len(bad.reason) < 300  # noqa: PT017 - both ends are allowed
        return
    for passage in document.passages:
        assert passage.text
        assert len(passage.text) <= 1200
        (passage.heading + passage.text + document.title).encode()


SOUND = {
    "a.docx": word(("Heading 1", "退款"), ("", LONG)),
    "a.pdf": pdf([["退款", LONG]], bookmarks=[(0, "退款")]),
}


@pytest.mark.parametrize("name", sorted(SOUND))
@given(at=st.floats(0, 1), new=st.binary(max_size=40), gone=st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_a_damaged_file_is_read_or_refused(name: str, at: float, new: bytes, gone: int) -> None:
    data = SOUND[name]
    place = int(at * len(data))
    try:
        assert read(name, data[:place] + new + data[place + gone :]).passages
    except BadDocument as bad:
        assert len(bad.reason) < 300  # noqa: PT017 - both ends are allowed


@given(xml=st.binary(max_size=200))
@settings(max_examples=25, deadline=None)
def test_a_word_file_with_any_bytes_for_its_text_is_read_or_refused(xml: bytes) -> None:
    with pytest.raises(BadDocument):
        read("a.docx", repacked(SOUND["a.docx"], [("word/document.xml", xml)]))
