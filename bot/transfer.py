"""Files in and out: FAQ and catalogue as CSV. All of a file is right, or none of it is used."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from store.content import Faq, Item, NewFaq

MAX_FILE_BYTES = 20 << 20
MAX_QUESTION = 200
MAX_ANSWER = 4000
MAX_PROBLEMS = 20

FAQ_COLUMNS = ("question", "answer", "aliases")
ITEM_COLUMNS = (
    "id",
    "kind",
    "title",
    "summary",
    "tags",
    "author",
    "level",
    "price",
    "url",
    "cover_url",
    "published_on",
)
ITEM_KINDS = ("course", "column", "ebook", "live", "consulting")

_PRICE = re.compile(r"\d{1,7}(\.\d{1,2})?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class BadFile(Exception):
    """A file that cannot be imported; every problem names its line, nothing was stored."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        shown = list(problems[:MAX_PROBLEMS])
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"… and {len(problems) - MAX_PROBLEMS} more")
        super().__init__(f"{path.name}: nothing was imported\n  " + "\n  ".join(shown))
        self.problems = tuple(problems)


def _rows(
    path: Path, required: Sequence[str], allowed: Sequence[str]
) -> list[tuple[int, dict[str, str]]]:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadFile(path, [f"the file has {size} bytes, at most {MAX_FILE_BYTES} are read"])
        data = path.read_bytes()
    except OSError as error:
        raise BadFile(path, [f"cannot be read: {error.strerror}"]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadFile(
            path, [f"line {line}: not UTF-8; in Excel choose “CSV UTF-8” when saving"]
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadFile(path, [f"line {line}: holds a NUL character; is this really a CSV file?"])
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[str] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
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
    for line, row in _rows(path, FAQ_COLUMNS[:2], FAQ_COLUMNS):
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
    for line, row in _rows(path, FAQ_COLUMNS[:2], FAQ_COLUMNS):
        if wording in (row["question"], *_parts(row.get("aliases", ""))):
            return line
    return 0


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split("|") if part.strip())


def read_items(path: Path) -> list[Item]:
    """Catalogue items of a CSV with ITEM_COLUMNS; price in yuan, tags as a|b.

    Errors: BadFile, naming every bad line.
    """
    items: list[Item] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for line, row in _rows(path, ("id", "kind", "title"), ITEM_COLUMNS):
        get = row.get
        checks = (
            (bool(_ID.fullmatch(row["id"])), "id must be letters, digits, - _ ., at most 64"),
            (row["kind"] in ITEM_KINDS, f"kind must be one of {', '.join(ITEM_KINDS)}"),
            (0 < len(row["title"]) <= 120, "title must have 1 to 120 characters"),
            (len(get("summary", "")) <= 2000, "summary has more than 2000 characters"),
            (bool(_PRICE.fullmatch(get("price") or "0")), "price must look like 199.00"),
            (_is_link(get("url", "")), "url must begin with http:// or https://"),
            (_is_link(get("cover_url", "")), "cover_url must begin with http:// or https://"),
            (
                _is_day(get("published_on", "")),
                "published_on must be a day that looks like 2026-11-21",
            ),
            (row["id"] not in seen, f"this id stands in line {seen.get(row['id'])} too"),
        )
        problems += [f"line {line}: {say}" for fine, say in checks if not fine]
        seen.setdefault(row["id"], line)
        if all(fine for fine, _ in checks):
            yuan, _, fen = (get("price") or "0").partition(".")
            items.append(
                Item(
                    id=row["id"],
                    kind=row["kind"],
                    title=row["title"],
                    summary=get("summary", ""),
                    tags=_parts(get("tags", "")),
                    author=get("author", ""),
                    level=get("level", ""),
                    price_cents=int(yuan) * 100 + int((fen + "00")[:2]),
                    url=get("url", ""),
                    cover_url=get("cover_url", ""),
                    published_on=get("published_on", ""),
                )
            )
    if not items and not problems:
        problems.append("line 2: there are no items")
    if problems:
        raise BadFile(path, problems)
    return items


def _is_day(day: str) -> bool:
    if not day:
        return True
    try:
        return bool(_DAY.fullmatch(day)) and bool(date.fromisoformat(day))
    except ValueError:
        return False


def _is_link(url: str) -> bool:
    return not url or (url.startswith(("http://", "https://")) and len(url) <= 1024)


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
                item.author,
                item.level,
                f"{item.price_cents // 100}.{item.price_cents % 100:02d}",
                item.url,
                item.cover_url,
                item.published_on,
            )
        )
    return "\ufeff" + out.getvalue()
