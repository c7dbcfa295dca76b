"""DOCX and PDF: formats that carry more than text.

Only text is looked at. Macros, scripts and embedded files are never opened, external links
never followed; what a file claims about its size is checked before anything is unpacked.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from knowledge.readers import (
    CELL,
    CJK,
    MAX_HEADING,
    TEXT,
    BadDocument,
    Draft,
    Line,
    clean,
    outlined,
    style_of,
)

if TYPE_CHECKING:
    from pypdf import PdfReader

MAX_PAGES = 2000

# DOCX

MAX_MEMBERS = 4000
MAX_UNPACKED = 200 << 20
MAX_RATIO = 200
"""How much smaller than its content a packed member may be. Deflate reaches 1,000 on
nothing but repetition; Word's own XML was seen at 10 to 40."""
_RATIO_FROM = 1 << 20
"""Members up to this size may be packed as tightly as they like."""

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_PAGES = re.compile(rb"<Pages>(\d{1,9})</Pages>")
_STYLE_LEVEL = re.compile(r"(?:heading|标题)\s*([1-9])$", re.IGNORECASE)

_INSIDE = frozenset(_W + name for name in ("sdt", "sdtContent", "ins", "customXml", "moveTo"))
_UNSAID = frozenset(
    {_FALLBACK} | {_W + name for name in ("del", "moveFrom", "pPr", "rPr", "instrText", "delText")}
)
_SAID = {
    _W + "tab": " ",
    _W + "br": "\n",
    _W + "cr": "\n",
    _W + "p": "\n",
    _W + "noBreakHyphen": "-",
}


def read_docx(data: bytes) -> Draft:
    """A Word document: body, tables, text boxes; no headers, footers, notes, deleted text.

    Headings by style or outline level; in a document without any, by numbering and bold.
    """
    _check_package(data)
    import docx

    document = docx.Document(BytesIO(data))
    levels = _style_levels(document.styles.element)
    lines: list[Line] = []
    bold: set[int] = set()
    for element in _paragraphs_and_tables(document.element.body):
        if element.tag == _W + "tbl":
            rows = (CELL.join(_row(row)) for row in element.iter(_W + "tr"))
            text = clean("\n".join(row for row in rows if row.strip(" |")))
            if text:
                lines.append(Line(text, style=TEXT, gap=True))
            continue
        text = clean(_said(element))
        level, is_item = _level(element, levels)
        if not text or level == _CONTENTS:
            continue
        if level:
            lines.append(Line(text.replace("\n", " "), level=level))
        else:
            if _is_bold(element):
                bold.add(len(lines))
            lines.append(Line(f"- {text}" if is_item else text, style=TEXT, gap=not is_item))
    if not any(line.level for line in lines):
        lines = [
            Line(line.text, style="bold" if at in bold else "", gap=line.gap)
            for at, line in enumerate(lines)
        ]
    return Draft("", None, tuple(outlined(lines)))


def _check_package(data: bytes) -> None:
    """Refuse what must not be unpacked, by the archive's own list. Errors: BadDocument."""
    with zipfile.ZipFile(BytesIO(data)) as package:
        members = package.infolist()
        names = {member.filename for member in members}
        if len(members) > MAX_MEMBERS:
            raise BadDocument(
                "", f"holds {len(members)} parts, at most {MAX_MEMBERS} are read: split it"
            )
        for member in members:
            if member.flag_bits & 1:
                raise BadDocument("", "is protected by a password: save it without one")
            if member.filename.lower().endswith(("vbaproject.bin", "vbadata.xml")):
                raise BadDocument("", "holds macros, which are never opened: save it as .docx")
            if member.file_size > max(_RATIO_FROM, member.compress_size * MAX_RATIO):
                raise BadDocument(
                    "",
                    f"unpacks to more than {MAX_RATIO} times its size, as a zip bomb does: "
                    "save it again from Word",
                )
        if sum(member.file_size for member in members) > MAX_UNPACKED:
            raise BadDocument(
                "", f"unpacks to more than {MAX_UNPACKED >> 20} MB: remove pictures or split it"
            )
        if "[Content_Types].xml" not in names or "word/document.xml" not in names:
            raise BadDocument("", "is an archive, but no Word document: save it as .docx")
        if b"macroenabled" in package.read("[Content_Types].xml").lower():
            raise BadDocument("", "is a document with macros: save it as .docx")
        if "docProps/app.xml" in names:
            pages = _PAGES.search(package.read("docProps/app.xml"))
            if pages is not None:
                _check_pages(int(pages[1]))
        for member in members:
            is_xml = member.filename.endswith((".xml", ".rels"))
            # Word never declares a document type; who does wants entities expanded.
            if is_xml and b"<!DOCTYPE" in package.read(member).replace(b"\0", b""):
                raise BadDocument(
                    "", "declares an XML document type, which no Word file has: save it again"
                )


def _check_pages(pages: int) -> None:
    if pages > MAX_PAGES:
        raise BadDocument("", f"has {pages} pages, at most {MAX_PAGES} are read: split it")


def _paragraphs_and_tables(body: Any) -> Iterator[Any]:
    """Paragraphs and tables in their order, also those in content controls."""
    stack = [iter(body)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag in (_W + "p", _W + "tbl"):
            yield element
        elif element.tag in _INSIDE:
            stack.append(iter(element))


def _said(paragraph: Any) -> str:
    """The text of an element, text boxes included, deleted text and field codes not."""
    parts: list[str] = []
    stack = [paragraph]
    while stack:
        element = stack.pop()
        if element.tag in _UNSAID:
            continue
        if element.tag in (_W + "t", _MATH_TEXT):
            parts.append(element.text or "")
            continue
        parts.append(_SAID.get(element.tag, ""))
        stack += reversed(element)
    return "".join(parts)


def _row(row: Any) -> Iterator[str]:
    for cell in row.iterchildren(_W + "tc"):
        yield clean(_said(cell)).replace("\n", " ")


_TITLE, _CONTENTS, _LIST = 1, -1, -2


def _style_levels(styles: Any) -> dict[str, int]:
    """Style id -> its level: 0 text, 1 the title, 2 "heading 1" …; _CONTENTS, _LIST."""
    own: dict[str, int] = {}
    based: dict[str, str] = {}
    for style in styles.iterchildren(_W + "style"):
        key = style.get(_W + "styleId") or ""
        name = style.find(_W + "name")
        spoken = "" if name is None else str(name.get(_W + "val") or "")
        heading = _STYLE_LEVEL.match(spoken)
        level = style.find(f"{_W}pPr/{_W}outlineLvl")
        if heading is not None:
            own[key] = _TITLE + int(heading[1])
        elif spoken.lower() in ("title", "标题"):
            own[key] = _TITLE
        elif spoken.lower().startswith(("toc ", "目录")):
            own[key] = _CONTENTS
        elif spoken.lower().startswith(("list bullet", "list number")):
            own[key] = _LIST
        elif level is not None:
            own[key] = _outline_level(level)
        parent = style.find(_W + "basedOn")
        if parent is not None:
            based[key] = parent.get(_W + "val") or ""
    for key in based:
        seen: set[str] = set()
        at = key
        while at not in own and at in based and at not in seen:
            seen.add(at)
            at = based[at]
        own.setdefault(key, own.get(at, 0))
    return own


def _outline_level(element: Any) -> int:
    """The level of a paragraph that says its own; Word counts from 0, 9 means text."""
    value = str(element.get(_W + "val") or "9")
    return _TITLE + 1 + int(value) if value in tuple("012345678") else 0


def _level(paragraph: Any, levels: Mapping[str, int]) -> tuple[int, bool]:
    """A paragraph's heading level, and whether it is an item of a list."""
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    own = paragraph.find(f"{_W}pPr/{_W}outlineLvl")
    level = 0 if style is None else levels.get(style.get(_W + "val") or "", 0)
    if own is not None and level != _CONTENTS:
        level = _outline_level(own)
    if level == _LIST:
        return 0, True
    return level, paragraph.find(f"{_W}pPr/{_W}numPr") is not None


def _is_bold(paragraph: Any) -> bool:
    """Whether every run that says something is bold."""
    said = False
    for run in paragraph.iterchildren(_W + "r"):
        if not any((text.text or "").strip() for text in run.iterchildren(_W + "t")):
            continue
        mark = run.find(f"{_W}rPr/{_W}b")
        if mark is None or mark.get(_W + "val") in ("0", "false", "off"):
            return False
        said = True
    return said


# PDF

_EDGE = 2
"""Lines at the top and the foot of a page that may be running titles or page numbers."""
_PAGE_NUMBER = re.compile(
    r"[-–—·\s]*(?:第\s*)?\d{1,4}(?:\s*页)?(?:\s*[/共]\s*\d{1,4}\s*页?)?[-–—·\s]*"
)
_DIGITS = re.compile(r"\d+")
_SPREAD = re.compile(rf"(?:[{CJK}] ){{2,}}[{CJK}]")
_STOPS = tuple("。！？；：.!?;:…”")
_ITEM = re.compile(r"[-•·●■◆*►✓○]\s?\S|[(（]?\d{1,2}[)）]")
_NO_CHARACTER = re.compile("[\x00-\x08\x0e-\x1f\ue000-\uf8ff\ufffd]")
"""What comes out where a font maps a shape to nothing."""
_MACHINE_TITLE = re.compile(
    r"untitled|microsoft|powerpoint|^(?:文档|演示文稿)\s*\d*$|\.(?:docx?|pptx?|indd|pdf|wps)$",
    re.IGNORECASE,
)


def read_pdf(data: bytes) -> Draft:
    """A PDF's text, page by page. Headings by its outline, else by numbering and short lines."""
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise BadDocument("", "is protected by a password: save it without one")
    root = reader.root_object.get("/Pages")
    claimed = root.get_object().get("/Count", 0) if root is not None else 0
    _check_pages(int(claimed))
    _check_pages(len(reader.pages))
    pages: list[list[str]] = []
    for number, page in enumerate(reader.pages, 1):
        try:
            raw = page.extract_text()
        except MemoryError:
            raise
        except Exception as error:
            # Whatever the parser trips over, the page is what helps to find it.
            raise BadDocument(
                f"page {number}",
                f"is damaged ({type(error).__name__}): print the file to PDF again",
            ) from error
        if len(_NO_CHARACTER.findall(raw)) > max(5, len(raw) * 0.2):
            raise BadDocument(
                f"page {number}",
                "has a font that does not say which characters it shows: run OCR first, or "
                "export the PDF again with embedded fonts",
            )
        text = clean(raw)
        said = text.split("\n") if text else []
        pages.append([one.replace(" ", "") if _SPREAD.fullmatch(one) else one for one in said])
    count = sum(len(one) for said in pages for one in said)
    # A scan may still carry a stamp or a page number.
    if count == 0 or (len(pages) > 2 and count < 10 * len(pages)):
        raise BadDocument("", "has no text, only pictures of it: run OCR first (text recognition)")
    lines = list(_numbered(_without_edges(pages)))
    headings = _bookmarks(reader)
    marked = [
        Line(line.text, line.page, level=headings.get((line.page, _key(line.text)), 0))
        for line in lines
    ]
    has_marks = any(line.level for line in marked)
    joined = _paragraphs(marked if has_marks else _short_lines(lines))
    return Draft(_pdf_title(reader), len(pages), tuple(outlined(joined)))


def _pdf_title(reader: PdfReader) -> str:
    try:
        title = clean((reader.metadata.title if reader.metadata else None) or "")
    except Exception:  # noqa: BLE001 - a title is a courtesy, whatever is wrong with it
        return ""
    return "" if _MACHINE_TITLE.search(title) else title.replace("\n", " ")


def _without_edges(pages: list[list[str]]) -> list[list[str]]:
    """Pages without running titles (on most pages, numbers aside) and page numbers."""
    seen: Counter[str] = Counter()
    for lines in pages:
        edges = {*lines[:_EDGE], *lines[-_EDGE:]}
        seen.update({_DIGITS.sub("#", line) for line in edges if len(line) <= MAX_HEADING})
    often = {line for line, count in seen.items() if len(pages) > 3 and count > len(pages) / 2}

    def is_edge(line: str) -> bool:
        return _DIGITS.sub("#", line) in often or _PAGE_NUMBER.fullmatch(line) is not None

    kept = []
    for lines in pages:
        first, last = 0, len(lines)
        while first < min(_EDGE, last) and is_edge(lines[first]):
            first += 1
        while last > max(first, len(lines) - _EDGE) and is_edge(lines[last - 1]):
            last -= 1
        kept.append(lines[first:last])
    return kept


def _numbered(pages: Iterable[list[str]]) -> Iterator[Line]:
    for number, lines in enumerate(pages, 1):
        for line in lines:
            yield Line(line, number)


def _key(text: str) -> str:
    return "".join(text.split()).lower()


def _bookmarks(reader: PdfReader) -> dict[tuple[int | None, str], int]:
    """(page, heading without blanks) -> level, from the outline; {} when there is none."""
    found: dict[tuple[int | None, str], int] = {}
    try:
        stack: list[tuple[int, Any]] = [(1, item) for item in reversed(reader.outline)]
        while stack:
            level, item = stack.pop()
            if isinstance(item, list):
                stack += ((level + 1, inner) for inner in reversed(item))
                continue
            page = reader.get_destination_page_number(item)
            if page is not None and item.title:
                found[page + 1, _key(clean(str(item.title)))] = min(level, 9)
    except Exception:  # noqa: BLE001 - without an outline the text is still worth reading
        return {}
    return found


def _widths(lines: Sequence[Line]) -> int:
    """The width of a full line: what one in ten reaches. Chinese characters count double."""
    ordered = sorted(_width(line.text) for line in lines)
    return ordered[len(ordered) * 9 // 10] if ordered else 0


def _width(text: str) -> int:
    return len(text) + sum(character > "\u2e7f" for character in text)


def _short_lines(lines: Sequence[Line]) -> list[Line]:
    """Lines with the hint "short": alone between a sentence's end and a long line."""
    full = _widths(lines)
    hinted = []
    for at, line in enumerate(lines):
        after = lines[at + 1].text if at + 1 < len(lines) else ""
        alone = at == 0 or lines[at - 1].text.endswith(_STOPS)
        is_short = (
            alone
            and 2 <= len(line.text) <= MAX_HEADING // 2
            and not line.text.endswith(_STOPS)
            and _width(line.text) < full * 0.5
            and _width(after) >= full * 0.7
        )
        hinted.append(Line(line.text, line.page, style="short" if is_short else ""))
    return hinted


def _paragraphs(lines: Sequence[Line]) -> list[Line]:
    """Lines that only the page's width has parted, put together again."""
    full = _widths(lines)
    joined: list[Line] = []
    parts: list[str] = []

    def flush() -> None:
        if parts:
            last = joined.pop()
            joined.append(Line("".join(parts), last.page, None, last.level, last.style, True))
            parts.clear()

    before: Line | None = None
    for line in lines:
        goes_on = (
            before is not None
            and not (before.level or before.style or line.level or line.style)
            and _width(before.text) >= full * 0.85
            and not before.text.endswith(_STOPS)
            and not _ITEM.match(line.text)
            and not style_of(line.text)
        )
        if goes_on and before is not None:
            blank = before.text[-1] < "\u2e80" and line.text[0] < "\u2e80"
            if blank and parts[-1].endswith("-"):
                parts[-1] = parts[-1][:-1]
            elif blank:
                parts.append(" ")
        else:
            flush()
            joined.append(line)
        parts.append(line.text)
        before = line
    flush()
    return joined
