"""From a file's bytes to headings and paragraphs: plain text, Markdown and HTML.

Readers keep what a person would read and drop the rest: markup, scripts, menus, images. They
hold no state and open nothing; formats that carry more than text stand in `packed.py`. Parsers
may raise anything on hostile bytes: `documents.read` catches it, a child process (see
`bot/reading.py`) survives the memory and the time that they may take.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

CELL = " | "
"""Between two cells of a table's row."""


class BadDocument(Exception):
    """The document cannot be read; nothing of it is used.

    where: "line 12", "page 3" or "" for the whole file. reason: what is wrong and what to do,
    for an operator; never more than 60 characters of the file.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.where = where
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (level 1 is the highest) or, with level 0, text.

    gap: whether a paragraph begins here; False for the next line or item of the same one.
    page, line: where it begins, counted from 1; None where the format has none.
    """

    level: int
    text: str
    page: int | None = None
    line: int | None = None
    gap: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """A file as read. title: "" when it names none; pages: None when it has none."""

    title: str
    pages: int | None
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text without markup, before headings are told from paragraphs.

    level: of a known heading, 0 when unknown. style: a hint that it may be a heading
    ("bold", "short"), TEXT that it is none.
    """

    text: str
    page: int | None = None
    line: int | None = None
    level: int = 0
    style: str = ""
    gap: bool = False


TEXT = "text"

CJK = "\u2e80-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
# Control characters, half pairs, marks that reorder or hide text, code points of nobody.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\uffff\ud800-\udfff]"
)
# PDFs name characters by their shape: Kangxi radicals and ligatures stand for plain ones.
_SHAPES = re.compile("[\u2e80-\u2fdf\ufb00-\ufb06]")
_BLANKS = re.compile("[ \t\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_WRAP = re.compile(rf"(?<=[{CJK}])[ \t]*\n[ \t]*(?=[{CJK}])")


def clean(text: str) -> str:
    """Text as it may be stored and shown: single blanks, no unseen characters, no empty line."""
    text = _UNSEEN.sub("", text.replace("\r", "\n").replace("\v", "\n").replace("\f", "\n"))
    text = _SHAPES.sub(lambda shape: unicodedata.normalize("NFKC", shape[0]), text)
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def unwrap(text: str) -> str:
    """Line ends that only wrap a paragraph: nothing between Chinese characters, else a blank."""
    return _WRAP.sub("", text).replace("\n", " ")


# Bytes to text

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=[\s\"']{0,9}([\w-]{1,20})", re.IGNORECASE)
_CHARSETS = {"big5": "big5", "big5-hkscs": "big5hkscs", "utf-8": "utf-8", "utf8": "utf-8"}


def decode(data: bytes, kind: str) -> str:
    """The text of a file, lines ending in "\\n". Errors: BadDocument with the line.

    UTF-8 (with or without a mark), UTF-16 with a mark, else GB18030, which covers GBK and
    GB2312; a HTML page may also declare Big5. Nothing is guessed or replaced.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            codecs_to_try = [codec]
            break
    else:
        codecs_to_try = ["utf-8", "gb18030"]
        declared = _DECLARED.search(data[:4096]) if kind == "html" else None
        if declared is not None:
            named = _CHARSETS.get(declared[1].decode("ascii", "replace").lower())
            if named is not None and named not in codecs_to_try:
                codecs_to_try.insert(1, named)
    furthest = 0
    for codec in codecs_to_try:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError as error:
            furthest = max(furthest, error.start)
            continue
        found = _CONTROL.search(text.rstrip("\x1a"))
        if found is None:
            return text.rstrip("\x1a").replace("\r\n", "\n").replace("\r", "\n")
        raise BadDocument(
            f"line {text.count(chr(10), 0, found.start()) + 1}",
            f"holds the control character U+{ord(found[0]):04X}, so this is no text file: "
            "save it as UTF-8 text",
        )
    raise BadDocument(
        f"line {data.count(bytes([10]), 0, furthest) + 1}",
        "is neither UTF-8 nor GB18030 text: save the file as UTF-8",
    )


# Headings by their look

_N = "[一二三四五六七八九十百零〇两\\d]{1,5}"
_STYLES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("part", rf"第{_N}(?:部分|[编篇部卷])(?=[\s:：、.．]|$)"),
        ("chapter", rf"第{_N}(?:章|单元)|第{_N}[讲课回](?=[\s:：、.．]|$)"),
        ("chapter", r"(?:Chapter|CHAPTER|Part|PART)\s+[\dIVX]{1,5}\b"),
        ("section", rf"第{_N}节"),
        ("article", rf"第{_N}条"),
        ("question", r"(?:问|Q\d{0,3})\s?[:：、.．]\s?"),
        ("numeral", r"[一二三四五六七八九十]{1,3}[、.．]\s?"),
        ("bracketed", r"[（(][一二三四五六七八九十]{1,3}[)）]\s?"),
        ("decimal3", r"\d{1,2}[.．]\d{1,2}[.．]\d{1,2}(?![\d.．%])"),
        ("decimal2", r"\d{1,2}[.．]\d{1,2}(?![\d.．%元万亿折倍分])"),
        ("decimal", r"\d{1,2}[.．、](?!\d)\s?"),
    )
)
_NUMBER = frozenset({"question", "numeral", "bracketed", "decimal"})
_HASHES = re.compile(r"(#{1,6})[ \t]+(\S.*?)[ \t]*#*$")
_UNDERLINE = re.compile(r"(?:={3,}|-{3,})$")
_ENDS = tuple("。；，！、,;!…|—")

MAX_HEADING = 40
"""Characters of a line that may be a heading by its look alone."""


def style_of(text: str) -> str:
    """The numbering a heading begins with ("chapter", "numeral" …), "" for none."""
    for name, pattern in _STYLES:
        if pattern.match(text):
            return name
    return ""


def bare(heading: str) -> str:
    """A heading without "一、", "1." or "问：", which say nothing in an answer's source."""
    for name, pattern in _STYLES:
        found = pattern.match(heading)
        if found is not None:
            rest = heading[found.end() :].strip()
            return rest if name in _NUMBER and rest else heading
    return heading


def outlined(lines: Sequence[Line]) -> Iterator[Block]:
    """Lines as blocks, numbered and hinted ones raised to headings.

    A numbered line beside the one that counts on from it is an item of a list. Numberings
    nest in the order in which they first appear: "第一章", in it "一、", in it "1.".
    """
    styles = [_guess(line) for line in lines]
    open_styles: list[str] = []
    for at, line in enumerate(lines):
        if line.level:
            open_styles.clear()
            yield Block(line.level, line.text, line.page, line.line)
            continue
        style = styles[at]
        is_item = (at > 0 and _counts_on(lines, styles, at - 1)) or _counts_on(lines, styles, at)
        if not style or is_item:
            yield Block(0, line.text, line.page, line.line, line.gap)
            continue
        if style in open_styles:
            del open_styles[open_styles.index(style) + 1 :]
        else:
            open_styles.append(style)
        # Below every heading that says its own level.
        yield Block(10 + len(open_styles), line.text, line.page, line.line)


def _counts_on(lines: Sequence[Line], styles: Sequence[str], at: int) -> bool:
    """Whether the next line carries on the numbering of this one: "1." and "2."."""
    if at + 1 >= len(lines) or not styles[at] or styles[at] != styles[at + 1]:
        return False
    here, after = (re.match(r"\d+(?=[.．、]\D)", lines[one].text) for one in (at, at + 1))
    return here is None or after is None or int(after[0]) == int(here[0]) + 1


def _guess(line: Line) -> str:
    if line.level or line.style == TEXT:
        return ""
    text = line.text
    if len(text) > MAX_HEADING or text.endswith(_ENDS) or "\n" in text or CELL in text:
        return ""
    return style_of(text) or line.style


# Plain text


def read_text(data: bytes) -> Draft:
    """A text file: "# " and underlined headings, numbered ones, blank lines."""
    raw = decode(data, "text").split("\n")
    lines: list[Line] = []
    gap = True
    for at, written in enumerate(raw):
        text = clean(written)
        if not text:
            gap = True
            continue
        hashes = _HASHES.match(text)
        if hashes is not None:
            lines.append(Line(hashes[2], None, at + 1, len(hashes[1])))
        elif _UNDERLINE.match(text):
            # A rule, or the line that makes a heading of the one above.
            if lines and lines[-1].line == at and len(lines[-1].text) <= MAX_HEADING:
                above = lines.pop()
                lines.append(Line(above.text, None, at, 1 if text[0] == "=" else 2))
        else:
            lines.append(Line(text, None, at + 1, gap=gap))
        gap = False
    return Draft("", None, tuple(outlined(lines)))


# Markdown

_MARKUP = re.compile(r"[\\`*_\[\]<>!&~]")
_PAIR = re.compile(r"([A-Za-z_][\w-]{0,40}):\s*(.*)$")
_MATTER_LINES = 100


def read_markdown(data: bytes) -> Draft:
    """CommonMark with tables; front matter gives the title; pictures and comments are dropped."""
    from markdown_it import MarkdownIt

    title, text = _front_matter(decode(data, "markdown"))
    md = MarkdownIt("commonmark").enable("table")
    # Most paragraphs hold no markup; those that do are looked at below, one by one.
    md.core.ruler.enableOnly(["normalize", "block"])
    env: dict[str, Any] = {}
    tokens = md.parse(text, env)
    blocks: list[Block] = []
    rows: list[list[str]] = []
    markers: list[str] = []
    bullet = ""
    begins = True
    for at, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else None
        if token.type == "list_item_open":
            bullet = f"{token.info}. " if token.info else "- "
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            markers.append(token.type)
            begins = len(markers) == 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            markers.pop()
            bullet = ""
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            table = "\n".join(CELL.join(row) for row in rows)
            blocks.append(Block(0, table, None, line or _line(tokens, at)))
            rows = []
        elif token.type in ("fence", "code_block"):
            blocks.append(Block(0, token.content, None, line))
        elif token.type == "html_block":
            _, inside = _html_blocks(token.content, (line or 1) - 1)
            blocks += inside
        elif token.type == "inline":
            words = _inline(md, token.content, env)
            kind = tokens[at - 1].type
            if kind in ("th_open", "td_open"):
                rows[-1].append(words.replace("\n", " "))
            elif kind == "heading_open":
                level = int(tokens[at - 1].tag[1])
                blocks.append(Block(level, words.replace("\n", " "), None, line))
            else:
                blocks.append(Block(0, bullet + words, None, line, begins or not bullet))
                bullet, begins = "", False
    return Draft(title, None, tuple(blocks))


def _line(tokens: Sequence[Any], at: int) -> int | None:
    """Where the table that ends at token `at` begins."""
    while at and tokens[at].type != "table_open":
        at -= 1
    return tokens[at].map[0] + 1 if tokens[at].map else None


def _front_matter(text: str) -> tuple[str, str]:
    """The title of the "---" block at the top, and the text with that block blanked out."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return "", text
    title = ""
    for at, line in enumerate(lines[1:_MATTER_LINES], 1):
        if line.rstrip() in ("---", "..."):
            return title, "\n" * (at + 1) + "\n".join(lines[at + 1 :])
        pair = _PAIR.match(line)
        if pair is not None and pair[1].lower() == "title":
            title = pair[2].strip().strip("\"'")
        elif pair is None and line.strip() and not line.startswith((" ", "\t", "-", "#")):
            break
    return "", text


def _inline(md: Any, content: str, env: dict[str, Any]) -> str:
    if _MARKUP.search(content) is None:
        # A blank or two at a line's end are markup as well: a line break that is meant.
        return "\n".join(unwrap(part) for part in re.split(r" {2,}\n", content))
    tokens: list[Any] = []
    md.inline.parse(content, md, env, tokens)
    parts = []
    for token in tokens:
        if token.type in ("text", "code_inline", "text_special"):
            parts.append(token.content)
        elif token.type == "softbreak":
            parts.append("\n")
        elif token.type == "hardbreak" or token.content.lower().startswith("<br"):
            parts.append("\v")
    return unwrap("".join(parts)).replace("\v", "\n")


# HTML

_SKIPPED = re.compile(
    "script|style|nav|template|noscript|svg|math|iframe|object|embed|canvas|audio|video|img"
    "|picture|map|head|title|footer|button|select|textarea|datalist|dialog|rp|rt"
)
_BLOCKS = re.compile(
    "address|article|aside|blockquote|body|caption|center|dd|details|div|dl|dt|fieldset"
    "|figcaption|figure|form|header|hr|html|legend|li|main|menu|ol|p|pre|section|summary"
    "|table|tbody|td|tfoot|th|thead|tr|ul"
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACE = re.compile("[ \t\r\n\f]+")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def read_html(data: bytes) -> Draft:
    """A HTML page: what a browser would show of its text, menus and footers left out."""
    title, blocks = _html_blocks(decode(data, "html"))
    return Draft(title, None, tuple(blocks))


@dataclass(slots=True)
class _Table:
    """A table being read. layout: it only arranges other blocks, so it has no rows."""

    line: int | None
    rows: list[list[str]]
    layout: bool = False
    in_cell: bool = False


class _Page:
    """What is being gathered from a page."""

    def __init__(self, above: int) -> None:
        self.above = above
        self.blocks: list[Block] = []
        self.parts: list[str] = []
        self.tables: list[_Table] = []
        self.lists: list[int | None] = []
        self.bullet = ""
        self.level = 0
        self.pre = 0
        self.line: int | None = None

    def flush(self) -> None:
        text = "".join(self.parts)
        self.parts.clear()
        if text.strip():
            again = bool(self.bullet) and bool(self.blocks) and self.blocks[-1].text[:2] == "- "
            self.blocks.append(
                Block(self.level, self.bullet + text.strip(), None, self.line, not again)
            )
            self.bullet = ""
            self.level = 0

    def end_cell(self, table: _Table) -> None:
        """Cells and rows need no closing tag in HTML: the next one closes them."""
        if table.in_cell and not table.layout:
            table.in_cell = False
            cell = clean("".join(self.parts)).replace("\n", " ")
            self.parts.clear()
            if not table.rows:
                table.rows.append([])
            table.rows[-1].append(cell)

    def end_rows(self, table: _Table) -> None:
        rows = [CELL.join(row) for row in table.rows if any(row)]
        table.rows = []
        if rows:
            self.blocks.append(Block(0, "\n".join(rows), None, table.line))

    def open(self, name: str, line: int | None) -> None:
        table = self.tables[-1] if self.tables else None
        if table is not None and (name == "table" or name in _HEADINGS):
            # Nobody puts headings or tables into a table of data.
            table.layout = True
            self.end_rows(table)
        in_cell = table is not None and not table.layout
        if table is not None and name in ("tr", "td", "th"):
            self.end_cell(table)
            table.in_cell = name != "tr"
        if _BLOCKS.fullmatch(name) or name in _HEADINGS:
            if in_cell and name not in ("table", "tr", "td", "th"):
                self.parts.append(" ")
            else:
                self.flush()
            self.line = line
        if name == "table":
            self.tables.append(_Table(line, []))
        elif name == "tr" and table is not None:
            table.rows.append([])
        elif name in ("ul", "ol", "menu"):
            self.lists.append(0 if name == "ol" else None)
        elif name == "li" and not in_cell:
            count = self.lists[-1] if self.lists else None
            if count is None:
                self.bullet = "- "
            else:
                self.lists[-1] = count + 1
                self.bullet = f"{count + 1}. "
        elif name in _HEADINGS:
            self.level = _HEADINGS[name]
            self.bullet = ""
        elif name == "pre":
            self.pre += 1
        elif name == "br":
            self.parts.append(" " if in_cell else "\n")

    def close(self, name: str) -> None:
        table = self.tables[-1] if self.tables else None
        in_cell = table is not None and not table.layout
        if name in ("tr", "td", "th") and table is not None and in_cell:
            self.end_cell(table)
        elif name in _HEADINGS:
            self.flush()
            self.level = 0
        elif name == "table" and table is not None:
            self.end_cell(table)
            self.flush()
            self.end_rows(table)
            self.tables.pop()
        elif _BLOCKS.fullmatch(name):
            if in_cell:
                self.parts.append(" ")
            else:
                self.flush()
        if name in ("ul", "ol", "menu") and self.lists:
            self.lists.pop()
        elif name == "pre":
            self.pre -= 1

    def write(self, text: str) -> None:
        if self.pre:
            self.parts.append(text)
            return
        text = _SPACE.sub(" ", _WRAP.sub("", text))
        if text != " " or self.parts:
            self.parts.append(text)


def _html_blocks(markup: str, above: int = 0) -> tuple[str, list[Block]]:
    """Title and blocks of a page or a piece of one. above: lines of the file before it."""
    from bs4 import BeautifulSoup
    from bs4.element import NavigableString, Tag

    with warnings.catch_warnings():
        # It warns of texts that look like file names or XML; we know what we read.
        warnings.simplefilter("ignore")
        soup = BeautifulSoup(markup, "html.parser")
    page = _Page(above)
    # A stack of our own: pages nest deeper than Python calls may.
    stack: list[tuple[str, Iterator[Any]]] = [("", iter(soup.contents))]
    while stack:
        name, children = stack[-1]
        node = next(children, None)
        if node is None:
            stack.pop()
            page.close(name)
        elif isinstance(node, Tag):
            if _SKIPPED.fullmatch(node.name) or node.has_attr("hidden"):
                continue
            if _HIDDEN.search(str(node.get("style", ""))):
                continue
            page.open(node.name, (node.sourceline or 1) + page.above)
            stack.append((node.name, iter(node.contents)))
        elif type(node) is NavigableString:
            page.write(node)
    page.flush()
    return ("" if soup.title is None else soup.title.get_text()[:500]), page.blocks
