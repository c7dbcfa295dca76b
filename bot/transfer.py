"""Files in and out: the FAQ as CSV, the catalogue as CSV or JSON lines.

All of a file is right, or none of it is used. A CSV cell with several values puts | between
them; what a spreadsheet cannot say (a chapter's own id and page) has a short form.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from store.catalogue import Chapter, Item, Tier
from store.content import Faq, NewFaq

MAX_FILE_BYTES = 20 << 20
MAX_QUESTION = 200
MAX_ANSWER = 4000
MAX_PROBLEMS = 20
MAX_CHAPTERS = 500
MAX_TIERS = 12
MAX_TAGS = 20
MAX_AUTHORS = 10
MAX_REQUIRES = 20
MAX_SERIES = 40

FAQ_COLUMNS = ("question", "answer", "aliases")
ITEM_COLUMNS = (
    "id",
    "kind",
    "title",
    "summary",
    "tags",
    "authors",
    "level",
    "price",
    "tiers",
    "chapters",
    "url",
    "cover_url",
    "published_at",
    "needs_tier",
    "series",
    "requires",
    "available_from",
    "available_until",
)
ITEM_KINDS = ("course", "column", "ebook", "live", "consulting")

_FORMER = {"author": "authors", "published_on": "published_at"}
"""Columns by the names they had before."""

_SHANGHAI = ZoneInfo("Asia/Shanghai")
_PRICE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,2})?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_YEARS = range(1971, 2200)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TIER = re.compile(r"(?:[a-z0-9][a-z0-9-]{0,31})?")
_LINK = re.compile(r"https?://[^\s/?#\\]+\S*")
_CHAPTER = re.compile(
    r"(?:\[(?P<id>[^\]]*)\])?\s*(?P<title>.*?)(?:\s+(?P<url>[a-z]+://\S+))?", re.DOTALL
)


class BadFile(Exception):
    """A file that cannot be imported; every problem names its line, nothing was stored."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        shown = list(problems[:MAX_PROBLEMS])
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"… and {len(problems) - MAX_PROBLEMS} more")
        super().__init__(f"{path.name}: nothing was imported\n  " + "\n  ".join(shown))
        self.problems = tuple(problems)


class _TierLine(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tier as JSON says it: the price in yuan, or in fen."""

    name: str
    price: int | float | str | None = None
    price_cents: int | None = None


class _ChapterLine(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A chapter as JSON says it. id: its place in the item when left out."""

    title: str
    id: str = ""
    url: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An item as a file says it, before anything is checked but the types."""

    id: str
    kind: str
    title: str
    summary: str = ""
    tags: list[str] = []
    authors: list[str] = []
    level: str = ""
    price: int | float | str | None = None
    price_cents: int | None = None
    tiers: list[_TierLine] = []
    chapters: list[_ChapterLine | str] = []
    url: str = ""
    cover_url: str = ""
    published_at: str = ""
    needs_tier: str = ""
    series: str = ""
    requires: list[str] = []
    available_from: str = ""
    available_until: str = ""


def _bytes(path: Path) -> bytes:
    """What the file holds, without Excel's mark at the start. Errors: BadFile."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadFile(path, [f"the file has {size} bytes, at most {MAX_FILE_BYTES} are read"])
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise BadFile(path, [f"cannot be read: {error.strerror}"]) from error


def text_of(path: Path, hint: str) -> str:
    """The file's text. hint: what to do about another encoding. Errors: BadFile."""
    data = _bytes(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadFile(path, [f"line {line}: not UTF-8; {hint}"]) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadFile(path, [f"line {line}: holds a NUL character; is this really a text file?"])
    return text


def csv_rows(
    path: Path,
    required: Sequence[str],
    allowed: Sequence[str],
    former: Mapping[str, str] | None = None,
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV with their lines. former: old name of a column -> its name now."""
    text = text_of(path, "in Excel choose “CSV UTF-8” when saving")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[str] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        header = [(former or {}).get(name, name) for name in header]
        missing = [name for name in required if name not in header]
        unknown = [name for name in header if name not in allowed]
        if missing or unknown or len(set(header)) != len(header):
            raise BadFile(
                path,
                [
                    f"line 1: the columns must be {','.join(allowed)} "
                    f"(needed: {','.join(required)}), not {','.join(header)[:200] or 'nothing'}"
                ],
            )
        before = reader.line_num
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problems.append(
                    f"line {line}: {len(cells)} cells instead of {len(header)}; "
                    "quote cells that hold a comma"
                )
                continue
            rows.append((line, {n: c.strip() for n, c in zip(header, cells, strict=True)}))
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}; check the quotes")
    if problems:
        raise BadFile(path, problems)
    return rows


def read_faq(path: Path) -> list[NewFaq]:
    """Entries of a CSV with the columns question, answer and, if wanted, aliases (a|b|c).

    Errors: BadFile, naming every bad line.
    """
    entries: list[NewFaq] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for line, row in csv_rows(path, FAQ_COLUMNS[:2], FAQ_COLUMNS):
        question, answer = row["question"], row["answer"]
        aliases = _parts(row.get("aliases", ""))
        if not question or not answer:
            problems.append(f"line {line}: the {'answer' if question else 'question'} is empty")
            continue
        for wording in (question, *aliases):
            if len(wording) > MAX_QUESTION:
                problems.append(
                    f"line {line}: a question has {len(wording)} characters, "
                    f"at most {MAX_QUESTION} fit"
                )
            if wording in seen and seen[wording] != line:
                problems.append(f"line {line}: this question stands in line {seen[wording]} too")
            seen.setdefault(wording, line)
        if len(answer) > MAX_ANSWER:
            problems.append(
                f"line {line}: the answer has {len(answer)} characters, at most {MAX_ANSWER} fit"
            )
        entries.append(NewFaq(question, answer, aliases))
    if not entries and not problems:
        problems.append("line 2: there are no entries")
    if problems:
        raise BadFile(path, problems)
    return entries


def line_of(path: Path, wording: str) -> int:
    """The line of a FAQ file whose entry has this question or alias; 0 when none has."""
    for line, row in csv_rows(path, FAQ_COLUMNS[:2], FAQ_COLUMNS):
        if wording in (row["question"], *_parts(row.get("aliases", ""))):
            return line
    return 0


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split("|") if part.strip())


def read_items(path: Path) -> list[Item]:
    """Catalogue items of a CSV with ITEM_COLUMNS, or of JSON lines (.jsonl, .ndjson).

    CSV: prices in yuan, tags and authors as a|b, tiers as 早鸟:99|团购:79.50, chapters as
    titles 开篇|变量 or, where a chapter has its own id or page, [c1]开篇 https://….
    JSON: one object a line, its keys those of `Item`; a price in yuan, or price_cents.
    Errors: BadFile, naming every bad line.
    """
    found = _json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_lines(path)
    items: list[Item] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, line in found:
        if isinstance(line, str):
            problems.append(f"line {number}: {line}")
            continue
        wrong = _problems(line)
        if line.id in seen:
            wrong.append(f"this id stands in line {seen[line.id]} too")
        seen.setdefault(line.id, number)
        problems += [f"line {number}: {say}" for say in wrong]
        if not wrong:
            items.append(_item(line))
    if not items and not problems:
        problems.append("line 2: there are no items")
    if problems:
        raise BadFile(path, problems)
    return items


def _csv_lines(path: Path) -> Iterator[tuple[int, _Line | str]]:
    for number, row in csv_rows(path, ("id", "kind", "title"), ITEM_COLUMNS, _FORMER):
        tiers = [_tier_line(part) for part in _parts(row.get("tiers", ""))]
        chapters: list[_ChapterLine | str] = []
        for part in _parts(row.get("chapters", "")):
            cell = _CHAPTER.fullmatch(part)
            # The pattern takes every text; its parts are checked with those of JSON.
            assert cell is not None
            chapters.append(_ChapterLine(cell["title"], cell["id"] or "", cell["url"] or ""))
        yield (
            number,
            _Line(
                row["id"],
                row["kind"],
                row["title"],
                tags=list(_parts(row.get("tags", ""))),
                authors=list(_parts(row.get("authors", ""))),
                price=row.get("price") or None,
                tiers=tiers,
                chapters=chapters,
                published_at=row.get("published_at", ""),
                summary=row.get("summary", ""),
                level=row.get("level", ""),
                url=row.get("url", ""),
                cover_url=row.get("cover_url", ""),
                needs_tier=row.get("needs_tier", ""),
                series=row.get("series", ""),
                requires=list(_parts(row.get("requires", ""))),
                available_from=row.get("available_from", ""),
                available_until=row.get("available_until", ""),
            ),
        )


def _tier_line(part: str) -> _TierLine:
    name, _, price = part.replace("：", ":").rpartition(":")
    return _TierLine(name.strip(), price.strip())


def _json_lines(path: Path) -> Iterator[tuple[int, _Line | str]]:
    decoder = msgspec.json.Decoder(_Line)
    # Only \n ends a line: JSON may hold the other line ends of Unicode.
    for number, text in enumerate(text_of(path, "JSON is always UTF-8").split("\n"), 1):
        if not text.strip():
            continue
        if "\\u0000" in text:
            yield number, "holds a NUL character"
            continue
        try:
            line = decoder.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, f"{error}"
            continue
        line.id, line.title = line.id.strip(), line.title.strip()
        line.tags = [tag.strip() for tag in line.tags]
        line.authors = [author.strip() for author in line.authors]
        line.series = line.series.strip()
        yield number, line


def _problems(line: _Line) -> list[str]:
    """What is wrong with an item, in words; [] when it may be stored."""
    checks = [
        (bool(_ID.fullmatch(line.id)), "id must be letters, digits, - _ ., at most 64"),
        (line.kind in ITEM_KINDS, f"kind must be one of {', '.join(ITEM_KINDS)}"),
        (0 < len(line.title) <= 120, "title must have 1 to 120 characters"),
        (len(line.summary) <= 2000, "summary has more than 2000 characters"),
        (_are_words(line.tags, MAX_TAGS), f"tags must be at most {MAX_TAGS} words {_WORD_RULE}"),
        (
            _are_words(line.authors, MAX_AUTHORS),
            f"authors must be at most {MAX_AUTHORS} names {_WORD_RULE}",
        ),
        (len(line.level) <= 20, "level has more than 20 characters"),
        (cents_of(line.price, line.price_cents) is not None, _PRICE_RULE),
        (_is_link(line.url), "url must begin with http:// or https://"),
        (_is_link(line.cover_url), "cover_url must begin with http:// or https://"),
        (
            moment_of(line.published_at) is not None,
            "published_at must look like 2026-11-21 or 2026-11-21T20:00",
        ),
        (bool(_TIER.fullmatch(line.needs_tier)), "needs_tier must be a tier such as paid-monthly"),
        *_about_when(line),
        (
            len(line.series) <= MAX_SERIES and "|" not in line.series,
            f"series must have at most {MAX_SERIES} characters, without |",
        ),
        (
            len(line.requires) <= MAX_REQUIRES
            and all(_ID.fullmatch(one) and one != line.id for one in line.requires),
            f"requires must be ids of at most {MAX_REQUIRES} other items",
        ),
        (len(line.tiers) <= MAX_TIERS, f"there are more than {MAX_TIERS} tiers"),
        (len(line.chapters) <= MAX_CHAPTERS, f"there are more than {MAX_CHAPTERS} chapters"),
    ]
    for tier in line.tiers:
        named = 0 < len(tier.name) <= 20 and "|" not in tier.name
        checks.append((named, "a tier must look like 早鸟:99, its name at most 20 characters"))
        asked = tier.price is not None or tier.price_cents is not None
        priced = asked and cents_of(tier.price, tier.price_cents) is not None
        checks.append((priced or not named, f"tier {tier.name}: {_PRICE_RULE}"))
    chapters = _chapters(line)
    for chapter in chapters:
        title = chapter.title
        checks += [
            (
                0 < len(title) <= 120 and "|" not in title and "://" not in title,
                "a chapter's title must have 1 to 120 characters, without | and ://",
            ),
            (bool(_ID.fullmatch(chapter.id)), f"chapter {title[:20]}: its id is no id"),
            (
                _is_link(chapter.url),
                f"chapter {title[:20]}: url must begin with http:// or https://",
            ),
        ]
    ids = [chapter.id for chapter in chapters]
    checks.append((len(set(ids)) == len(ids), "two chapters have the same id"))
    return list(dict.fromkeys(say for fine, say in checks if not fine))


def _about_when(line: _Line) -> list[tuple[bool, str]]:
    """Checks of the times between which it may be had."""
    begins, ends = moment_of(line.available_from), moment_of(line.available_until)
    rule = "must look like 2026-11-21 or 2026-11-21T20:00"
    checks = [
        (begins is not None, f"available_from {rule}"),
        (ends is not None, f"available_until {rule}"),
    ]
    if begins is not None and ends:
        checks.append((begins < ends, "available_until must be after available_from"))
    return checks


_WORD_RULE = "of 1 to 40 characters, without |"
_PRICE_RULE = "price must look like 199.00 (yuan), or be price_cents (fen)"


def _item(line: _Line) -> Item:
    """The item of a line without problems."""
    return Item(
        id=line.id,
        kind=line.kind,
        title=line.title,
        summary=line.summary.strip(),
        tags=tuple(dict.fromkeys(line.tags)),
        authors=tuple(dict.fromkeys(line.authors)),
        level=line.level.strip(),
        price_cents=cents_of(line.price, line.price_cents) or 0,
        url=line.url,
        cover_url=line.cover_url,
        published_at=moment_of(line.published_at) or 0.0,
        needs_tier=line.needs_tier,
        series=line.series,
        requires=tuple(dict.fromkeys(line.requires)),
        available_from=moment_of(line.available_from) or 0.0,
        available_until=moment_of(line.available_until) or None,
        tiers=tuple(Tier(t.name, cents_of(t.price, t.price_cents) or 0) for t in line.tiers),
        chapters=_chapters(line),
    )


def _chapters(line: _Line) -> tuple[Chapter, ...]:
    """The chapters, each with an id: its own, or its place."""
    return tuple(
        Chapter(str(place), chapter.strip())
        if isinstance(chapter, str)
        else Chapter(chapter.id.strip() or str(place), chapter.title.strip(), chapter.url.strip())
        for place, chapter in enumerate(line.chapters, 1)
    )


def _are_words(words: Sequence[str], limit: int) -> bool:
    return len(words) <= limit and all(0 < len(word) <= 40 and "|" not in word for word in words)


def cents_of(price: float | str | None, cents: int | None) -> int | None:
    """A price in fen; 0 when nothing is said, None when it is no price, or said twice."""
    if price is None:
        return 0 if cents is None else cents if 0 <= cents < 10**9 else None
    text = str(price).strip()
    if cents is not None or not _PRICE.fullmatch(text):
        return None
    yuan, _, fen = text.partition(".")
    return int(yuan) * 100 + int((fen + "00")[:2])


def moment_of(text: str) -> float | None:
    """An ISO day or time in Unix seconds, Shanghai's when it names no offset.

    0.0 for "", None when it is no time of these centuries.
    """
    if not text:
        return 0.0
    try:
        time = datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        time = None
    if time is None or time.year not in _YEARS:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=_SHANGHAI)).timestamp()


def _is_link(url: str) -> bool:
    return not url or (len(url) <= 1024 and bool(_LINK.fullmatch(url)))


def faq_csv(faqs: Iterable[Faq]) -> str:
    """The FAQ as CSV that `read_faq` takes back; with a BOM, so that Excel reads it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(FAQ_COLUMNS)
    for faq in faqs:
        writer.writerow(
            (faq.questions[0] if faq.questions else "", faq.answer, "|".join(faq.questions[1:]))
        )
    return "\ufeff" + out.getvalue()


def items_csv(items: Iterable[Item]) -> str:
    """The catalogue as CSV that `read_items` takes back."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(ITEM_COLUMNS)
    for item in items:
        writer.writerow(
            (
                item.id,
                item.kind,
                item.title,
                item.summary,
                "|".join(item.tags),
                "|".join(item.authors),
                item.level,
                yuan_of(item.price_cents),
                "|".join(f"{tier.name}:{yuan_of(tier.price_cents)}" for tier in item.tiers),
                "|".join(_cell(place, one) for place, one in enumerate(item.chapters, 1)),
                item.url,
                item.cover_url,
                iso_of(item.published_at),
                item.needs_tier,
                item.series,
                "|".join(item.requires),
                iso_of(item.available_from),
                iso_of(item.available_until or 0.0),
            )
        )
    return "\ufeff" + out.getvalue()


def items_jsonl(items: Iterable[Item]) -> str:
    """The catalogue as JSON lines that `read_items` takes back; what is empty is left out."""
    encode = msgspec.json.Encoder().encode
    return "".join(
        encode(
            _Line(
                item.id,
                item.kind,
                item.title,
                item.summary,
                list(item.tags),
                list(item.authors),
                item.level,
                price_cents=item.price_cents,
                tiers=[_TierLine(tier.name, price_cents=tier.price_cents) for tier in item.tiers],
                chapters=[_ChapterLine(one.title, one.id, one.url) for one in item.chapters],
                url=item.url,
                cover_url=item.cover_url,
                published_at=iso_of(item.published_at),
                needs_tier=item.needs_tier,
                series=item.series,
                requires=list(item.requires),
                available_from=iso_of(item.available_from),
                available_until=iso_of(item.available_until or 0.0),
            )
        ).decode()
        + "\n"
        for item in items
    )


def yuan_of(cents: int) -> str:
    """Fen as yuan with two places, "199.00"."""
    return f"{cents // 100}.{cents % 100:02d}"


def _cell(place: int, chapter: Chapter) -> str:
    """A chapter in its short form; the id only where it is not just its place."""
    plain = chapter.id == str(place) and not chapter.title.startswith("[")
    title = chapter.title if plain else f"[{chapter.id}]{chapter.title}"
    return f"{title} {chapter.url}" if chapter.url else title


def iso_of(at: float) -> str:
    """The day in Shanghai, with the time when it is not midnight; "" for 0."""
    if not at:
        return ""
    time = datetime.fromtimestamp(at, _SHANGHAI)
    return time.isoformat().removesuffix("T00:00:00+08:00")
