"""Documents as passages: what an operator wrote for people, cut so that one piece answers.

A passage knows the headings above it and its page, so that an answer can name its source. All
of a document is read, or none of it. Reading hostile files costs memory and time that nothing
here can bound: whoever serves members calls `bot.reading.read_document`, which runs `read` in
a child process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from knowledge.packed import MAX_PAGES, read_docx, read_pdf
from knowledge.readers import (
    BadDocument,
    Block,
    Draft,
    bare,
    clean,
    read_html,
    read_markdown,
    read_text,
)

__all__ = [
    "KINDS",
    "MAX_BYTES",
    "MAX_PAGES",
    "MAX_PASSAGES",
    "BadDocument",
    "Document",
    "Passage",
    "kind_of",
    "read",
    "windows",
]

KINDS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".docx": "docx",
    ".pdf": "pdf",
}
"""Suffix -> kind."""

MAX_BYTES = 20 << 20
MAX_TEXT = MAX_PAGES * 4000
"""Characters: what the pages may hold, for the kinds that have no pages."""
MAX_PASSAGES = 20_000
MAX_NAME = 150

PASSAGE_AT_LEAST, PASSAGE_FULL, PASSAGE_AT_MOST = 300, 600, 1200
WINDOW = 200
_OVERLAP = 60
"""A sentence up to this long opens the next window as well."""
_TINY = 40
"""Sections shorter than this are told together with their neighbours."""
_LEAST = 150
"""What is left of a section and shorter than this stays with the passage before."""
_MAX_HEADING = 100
_MAX_TRAIL = 200
_MAX_TITLE = 100

SEPARATOR = " › "

_READERS: dict[str, Callable[[bytes], Draft]] = {
    "markdown": read_markdown,
    "text": read_text,
    "html": read_html,
    "docx": read_docx,
    "pdf": read_pdf,
}
_LIBRARIES = {"markdown": "markdown-it-py", "html": "beautifulsoup4", "docx": "python-docx"}

_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a zip archive or an Office file"),
    (_OLD_OFFICE, "an old or a password-protected Office file"),
    (b"{\\rtf", "a RTF file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x1f\x8b", "a packed file"),
    (b"Rar!", "a packed file"),
    (b"7z\xbc\xaf", "a packed file"),
)
_ADVICE = {
    ".doc": "is an old Word file: save it as .docx",
    ".docm": "is a Word file with macros, which are never opened: save it as .docx",
    ".dotm": "is a Word file with macros, which are never opened: save it as .docx",
    ".rtf": "is a RTF file: save it as .docx",
    ".wps": "is a WPS file: save it as .docx",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, at most 1,200 characters, mostly 300 to 600.

    heading: the headings above it, "退款 › 期限", or the document's title. page, line: where
    it begins, counted from 1; None where the format has none.
    """

    heading: str
    text: str
    page: int | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Document:
    """A document as read. pages: None for kinds without pages; passages: at least one."""

    name: str
    kind: str
    title: str
    pages: int | None
    passages: tuple[Passage, ...]


def kind_of(name: str) -> str:
    """The kind a file name promises. Errors: BadDocument, also for a name that is none."""
    if not name or len(name) > MAX_NAME or re.search(r"[\x00-\x1f\x7f/\\\ud800-\udfff]", name):
        raise BadDocument("", f"needs a plain file name of 1 to {MAX_NAME} characters")
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    if suffix in KINDS:
        return KINDS[suffix]
    raise BadDocument(
        "", _ADVICE.get(suffix, f"is of a kind that is not read: use one of {', '.join(KINDS)}")
    )


def read(name: str, data: bytes) -> Document:
    """Read a whole document. name: with its suffix, without folders.

    Errors: BadDocument, and nothing else, whatever the bytes are. Too large a file is refused
    before it is looked at, too many pages before the first one is read.
    """
    kind = kind_of(name)
    if len(data) > MAX_BYTES:
        raise BadDocument(
            "", f"has {len(data)} bytes, at most {MAX_BYTES >> 20} MB are read: split it"
        )
    _check_magic(kind, data)
    try:
        draft = _READERS[kind](data)
        blocks = _cleaned(draft.blocks)
        title, blocks = _titled(draft, blocks, name)
        passages = tuple(_passages(title, blocks))
    except BadDocument:
        raise
    except ImportError as error:
        raise BadDocument(
            "", f"cannot be read here: {_LIBRARIES.get(kind, 'pypdf')} is not installed"
        ) from error
    except MemoryError as error:
        raise BadDocument("", "took too much memory to read: split it or simplify it") from error
    except Exception as error:
        # Four parsers on anybody's bytes: what they raise is theirs, what it means is ours.
        raise BadDocument(
            "", f"is damaged ({type(error).__name__}): open it, save it again and retry"
        ) from error
    if not passages:
        raise BadDocument("", "holds no text")
    return Document(name, kind, title, draft.pages, passages)


def windows(passage: Passage) -> tuple[str, ...]:
    """The passage in pieces of whole sentences, at most 200 characters each, for an index.

    A short last sentence opens the next piece too: an answer may lie across the cut.
    """
    found: list[str] = []
    parts: list[str] = []
    fresh = False
    for piece in _pieces(passage.text, WINDOW):
        if parts and sum(map(len, parts)) + len(piece) > WINDOW:
            if fresh:
                found.append("".join(parts).strip())
            last = parts[-1]
            parts = [last] if len(last) <= _OVERLAP and len(last) + len(piece) <= WINDOW else []
        parts.append(piece)
        fresh = True
    if fresh:
        found.append("".join(parts).strip())
    return tuple(window for window in found if window)


def _check_magic(kind: str, data: bytes) -> None:
    """Refuse bytes that are not what the name says. Errors: BadDocument."""
    if not data.strip():
        raise BadDocument("", "is empty")
    found = next((label for magic, label in _MAGIC if data.startswith(magic)), "")
    if kind == "pdf":
        # Printers put bytes of their own before it.
        if b"%PDF-" in data[:1024]:
            return
    elif kind == "docx":
        if data.startswith(b"PK\x03\x04"):
            return
        if data.startswith(_OLD_OFFICE):
            raise BadDocument(
                "", "is an old or a password-protected Word file: save it as .docx without password"
            )
    elif not found:
        return
    raise BadDocument(
        "",
        f"is {found or 'something else'}, not {kind} as its name says: "
        "rename it or save it in the right format",
    )


# Headings


def _cleaned(blocks: Iterable[Block]) -> list[Block]:
    """Blocks fit to be stored. A heading too long to be one is text."""
    kept: list[Block] = []
    size = 0
    for block in blocks:
        text = clean(block.text)
        level = block.level
        if level:
            text = text.replace("\n", " ")
            level = level if len(text) <= _MAX_HEADING else 0
        if not any(character.isalnum() for character in text):
            continue
        size += len(text)
        if size > MAX_TEXT:
            where = f"page {block.page}" if block.page else ""
            where = f"line {block.line}" if block.line else where
            raise BadDocument(
                where,
                f"holds more than {MAX_TEXT} characters, as many as {MAX_PAGES} pages: split it",
            )
        kept.append(Block(level, text, block.page, block.line, block.gap))
    return kept


def _titled(draft: Draft, blocks: list[Block], name: str) -> tuple[str, list[Block]]:
    """The title, and the blocks without the one heading that is the title itself."""
    title = clean(draft.title).replace("\n", " ")
    headings = [at for at, block in enumerate(blocks) if block.level]
    if headings:
        first = headings[0]
        top = blocks[first]
        alone = all(blocks[at].level > top.level for at in headings[1:])
        # Above everything: the title. One among equals is a chapter.
        if first == 0 and alone:
            title, blocks = bare(top.text), blocks[1:]
    title = title or name[: name.rfind(".")].strip() or name
    return title[:_MAX_TITLE], blocks


@dataclass(slots=True)
class _Section:
    """A heading with the text right under it. path: which headings, by their number."""

    path: tuple[int, ...]
    trail: tuple[str, ...]
    heading: Block | None
    blocks: list[Block] = field(default_factory=list)
    is_leaf: bool = True

    @property
    def size(self) -> int:
        return sum(len(block.text) for block in self.blocks)


def _sections(blocks: Iterable[Block]) -> list[_Section]:
    sections = [_Section((), (), None)]
    above: list[tuple[int, int, str]] = []
    for number, block in enumerate(blocks):
        if not block.level:
            sections[-1].blocks.append(block)
            continue
        while above and above[-1][0] >= block.level:
            above.pop()
        if above and sections[-1].path[-1:] == (above[-1][1],):
            sections[-1].is_leaf = False
        above.append((block.level, number, bare(block.text)))
        sections.append(
            _Section(tuple(one[1] for one in above), tuple(one[2] for one in above), block)
        )
    return sections


def _merged(sections: Sequence[_Section]) -> Iterator[_Section]:
    """Sections with something to tell; tiny neighbours under one parent become one."""
    group: list[_Section] = []

    def told() -> Iterator[_Section]:
        if len(group) == 1 and group[0].blocks:
            yield group[0]
        elif group:
            one = _Section(group[0].path[:-1], group[0].trail[:-1], None)
            for section in group:
                one.blocks += ([section.heading] if section.heading else []) + section.blocks
            yield one
        group.clear()

    size = 0
    for section in sections:
        tiny = section.heading is not None and section.is_leaf and section.size < _TINY
        joins = tiny and group and group[0].path[:-1] == section.path[:-1]
        if not joins or size + section.size > PASSAGE_AT_LEAST:
            yield from told()
            size = 0
        if tiny:
            group.append(section)
            size += section.size + len(section.trail[-1])
        elif section.blocks:
            yield section
    yield from told()


def _trail(title: str, trail: Sequence[str]) -> str:
    """The headings as one line; the outermost give way when it grows too long."""
    kept: list[str] = []
    size = 0
    for heading in reversed(trail):
        size += len(heading) + len(SEPARATOR)
        if kept and size > _MAX_TRAIL:
            break
        kept.insert(0, heading)
    return SEPARATOR.join(kept) or title


# Passages


def _passages(title: str, blocks: Sequence[Block]) -> Iterator[Passage]:
    count = 0
    for section in _merged(_sections(blocks)):
        heading = _trail(title, section.trail)
        for text, first in _packed(section.blocks):
            count += 1
            if count > MAX_PASSAGES:
                raise BadDocument("", f"makes more than {MAX_PASSAGES} passages: split it")
            yield Passage(heading, text, first.page, first.line)


def _packed(blocks: Sequence[Block]) -> list[tuple[str, Block]]:
    """Texts of about 300 to 600 characters, each with the block it begins in."""
    packed: list[tuple[str, Block]] = []
    parts: list[str] = []
    size = 0
    first: Block | None = None
    left = sum(len(block.text) + 1 for block in blocks)

    def flush() -> None:
        nonlocal size, first
        text = "".join(parts).strip()
        if text and first is not None:
            packed.append((text, first))
        parts.clear()
        size, first = 0, None

    for block in blocks:
        if block.gap and size >= PASSAGE_AT_LEAST and size + left > PASSAGE_FULL:
            flush()
        left -= len(block.text) + 1
        for piece in _pieces(block.text + "\n", PASSAGE_FULL):
            if size and size + len(piece) > PASSAGE_FULL + 1:
                flush()
            first = first or block
            parts.append(piece)
            size += len(piece)
    flush()
    if len(packed) > 1 and len(packed[-1][0]) < _LEAST:
        (before, place), (rest, _) = packed[-2:]
        if len(before) + len(rest) < PASSAGE_AT_MOST:
            packed[-2:] = [(f"{before}\n{rest}", place)]
    return packed


_STOP = re.compile(r"(?:[。！？!?；;…]+[”’」』）)\"']*|\.(?=\s)|\n)\s*")
_PAUSE = re.compile(r"[，,、：:\s]")


def _pieces(text: str, limit: int) -> Iterator[str]:
    """Sentences with what follows them; longer ones than `limit` cut at a pause, or anywhere."""
    start = 0
    for end in (*(stop.end() for stop in _STOP.finditer(text)), len(text)):
        while end - start > limit:
            pauses = [
                pause.end() for pause in _PAUSE.finditer(text, start + limit // 2, start + limit)
            ]
            cut = pauses[-1] if pauses else start + limit
            yield text[start:cut]
            start = cut
        if end > start:
            yield text[start:end]
            start = end
