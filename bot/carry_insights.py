"""Reports at the terminal, as files, and worked out anew; members' features under pseudonyms.

Who has the terminal has the database: reports are shown as to the owner. What goes into a file to
be taken elsewhere calls members by pseudonym.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bot.terminal import FAILED, OK, CommandError, UsageError, config_of_database, with_store

if TYPE_CHECKING:
    from bot.config import Config
    from handlers.texts import Texts
    from insights.report import Figure, Report, Row
    from store import Store
    from store.feature_pages import Feature

REFRESH = "refresh"
SCOPED = ("group", "topic", "mood", "leaders")
"""Reports that a group may have of its own."""

_PAGE = 1000
_WHOLE = 1 << 30
"""Room of a terminal, in bytes."""

REPORT_COLUMNS = (
    *("list", "row", "name", "title", "of", "value", "unit", "numerator", "denominator"),
    *("low", "high", "sample", "people", "since", "until", "before", "note"),
)
FEATURE_COLUMNS = (
    *("member", "first_at", "last_at", "acts", "active_days", "questions", "spent_cents", "orders"),
    *("progress", "recency", "frequency", "monetary", "state", "state_since", "churn", "reasons"),
    "action",
)


def report(args: argparse.Namespace) -> int:
    """`zhiqun report`."""
    forms = [one for one in (args.json, args.csv, args.chart) if one]
    if args.what == REFRESH:
        if forms or args.group:
            raise UsageError("zhiqun report refresh takes nothing else")
        return _refresh(args)
    if len(forms) > 1:
        raise UsageError("one of --json, --csv and --chart at a time")
    if args.group and args.what not in SCOPED:
        raise UsageError(f"--group is for {', '.join(SCOPED)} only")
    if args.what == "group" and not args.group:
        raise UsageError("say of which group: zhiqun report group --group NUMBER")
    config = config_of_database(args)

    async def work(store: Store) -> tuple[Report, str, Callable[[int], str]]:
        return await _read(store, args.what, args.group)

    found, group, called = with_store(config, work)
    from handlers.texts import Texts

    texts = Texts.load(config.texts.file)
    kind = texts(f"report.title_{found.kind}")
    title = texts("report.title_of", title=kind, group=group) if group else kind
    if args.json:
        plain = _plain(texts, config, found, title, called)
        json.dump(plain, sys.stdout, ensure_ascii=False, indent=1)
        print()
    elif args.csv:
        _write_csv(args.csv, texts, found, called)
    elif args.chart:
        _draw(config, texts, found, title, args.chart)
    else:
        print(_told(texts, found, title))
    return OK


async def _read(store: Store, kind: str, group: str) -> tuple[Report, str, Callable[[int], str]]:
    """The report, what its group is called, and what members are."""
    from functools import partial

    from bot.carry_groups import called
    from insights.report import known, name_of
    from store.pseudonyms import pseudonym

    one = called(store, group) if group else None
    name = name_of(kind, one.place if one is not None else "")
    found = known(await store.interactions.finding(name))
    if found is None:
        raise CommandError("there is no such report yet: zhiqun report refresh works them out")
    key = await store.pseudonyms.key()
    return found, one.title if one is not None else "", partial(pseudonym, key)


def _told(texts: Texts, found: Report, title: str) -> str:
    from handlers import report_text

    return report_text.told(texts, found, title, {}, room=_WHOLE).text


# As data


def _figure(texts: Texts, one: Figure) -> dict[str, Any]:
    from bot.rest import stamp

    return {
        "name": one.name,
        "title": texts(f"figure.{one.name}"),
        "of": one.of,
        "value": one.value,
        "unit": one.unit,
        "numerator": one.numerator,
        "denominator": one.denominator,
        "low": one.low,
        "high": one.high,
        "sample": one.n,
        "people": one.people,
        "since": stamp(one.since),
        "until": stamp(one.until),
        "before": one.before,
        "note": texts(f"note.{one.note}") if one.note else "",
    }


def _called(row: Row, called: Callable[[int], str]) -> str:
    return row.label if row.member_id is None else called(row.member_id)


def _plain(
    texts: Texts, config: Config, found: Report, title: str, called: Callable[[int], str]
) -> dict[str, Any]:
    """The whole report, each figure with what it means."""
    import msgspec

    from bot.insight_means import states_of
    from bot.rest import stamp
    from handlers.report_text import drawing, meaning

    states = states_of(config.insights)

    def explained(one: Figure) -> dict[str, Any]:
        return _figure(texts, one) | {"why": meaning(texts, one.name, states)}

    return {
        "kind": found.kind,
        "title": title,
        "made_at": stamp(found.made_at),
        "since": stamp(found.since),
        "until": stamp(found.until),
        "note": texts(f"note.{found.note}") if found.note else "",
        "figures": [explained(one) for one in found.figures],
        "lists": [
            {
                "name": one.name,
                "title": texts(f"list.{one.name}"),
                "note": texts(f"note.{one.note}") if one.note else "",
                "rows": [
                    {
                        "label": _called(row, called),
                        "details": list(row.details),
                        "figures": [explained(figure) for figure in row.figures],
                    }
                    for row in one.rows
                ],
            }
            for one in found.lists
        ],
        "charts": [msgspec.to_builtins(drawing(texts, one, "")) for one in found.charts],
    }


def _write_csv(name: str, texts: Texts, found: Report, called: Callable[[int], str]) -> None:
    """One figure a line: of the report, then of the rows of its lists."""
    from bot.carry_coupons import harmless

    def lines() -> Iterator[dict[str, Any]]:
        for one in found.figures:
            yield {"list": "", "row": "", **_figure(texts, one)}
        for listing in found.lists:
            for row in listing.rows:
                where = {"list": listing.name, "row": _called(row, called)}
                for one in row.figures or ():
                    yield where | _figure(texts, one)

    def cell(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return harmless(value) if isinstance(value, str) else value

    count = 0
    with _out(name) as out:
        writer = csv.writer(out)
        writer.writerow(REPORT_COLUMNS)
        for line in lines():
            writer.writerow([cell(line[column]) for column in REPORT_COLUMNS])
            count += 1
    print(f"{count} figures written", file=sys.stderr)


@contextmanager
def _out(name: str, *, comma: bool = True) -> Iterator[TextIO]:
    """The file, readable by its owner only; "-": the terminal. comma: it is a CSV, and begins with
    the mark that spreadsheets know UTF-8 by."""
    from bot.carry import private_file

    out = sys.stdout if name == "-" else private_file(name)
    try:
        out.write("\ufeff" if comma else "")
        yield out
    finally:
        if out is not sys.stdout:
            out.close()


def _draw(config: Config, texts: Texts, found: Report, title: str, name: str) -> None:
    from bot.carry import private_file
    from bot.chart import lettering
    from bot.report_chart import draw
    from handlers.report_text import days, drawing

    if not found.charts:
        raise CommandError("this report has no chart")
    private_file(name).close()
    foot = days(found.since, found.until)
    letters = lettering(config.campaigns.font)
    Path(name).write_bytes(draw(drawing(texts, found.charts[0], title), foot, letters))
    print(f"{name} written")


# Working out


class _NoUploads:
    """Nothing is shown to anybody from here."""

    async def picture(self, channel: str, png: bytes) -> str:
        return ""


def _refresh(args: argparse.Namespace) -> int:
    """Everything that the night works out, here and now; exit code 1 when a part failed."""
    config = config_of_database(args)
    if not config.insights.enabled:
        raise CommandError("insights are switched off: set insights.enabled in the configuration")
    from bot.chart import lettering
    from bot.insight_side import InsightSide
    from handlers.texts import Texts

    texts, letters = Texts.load(config.texts.file), lettering(config.campaigns.font)
    failed: list[str] = []

    def observe(name: str, fine: bool) -> None:
        print(f"{name}: {'done' if fine else 'FAILED, the log says why'}", flush=True)
        if not fine:
            failed.append(name)

    async def untold(member_id: int | None, words: str, key: bytes) -> bool:
        return False

    async def work(store: Store) -> str:
        side = InsightSide(
            config,
            store,
            texts,
            _NoUploads(),
            letters,
            official=frozenset(),
            pictures=frozenset(),
            now=time.time,
            tell=untold,
            observe=observe,
        )
        try:
            return await side.refreshed()
        finally:
            await side.close()

    print(with_store(config, work) or "nothing to work out yet")
    return FAILED if failed else OK


# Members' features


async def export(store: Store, name: str, called: Callable[[int], int | str]) -> int:
    """Everybody's features, page by page; how many. CSV where the name ends in .csv, else one
    JSON object a line. Members who withheld profiling have none. Errors: StoreError; OSError."""
    comma = name.endswith(".csv")
    count, after = 0, 0
    with _out(name, comma=comma) as out:
        if comma:
            csv.writer(out).writerow(FEATURE_COLUMNS)
        while page := await store.feature_pages.page(after, _PAGE):
            after = page[-1].member_id
            count += len(page)
            await asyncio.to_thread(_write_features, out, page, called, comma)
    return count


def _write_features(
    out: TextIO, page: Sequence[Feature], called: Callable[[int], int | str], comma: bool
) -> None:
    from bot.rest import stamp

    writer = csv.writer(out)
    for one in page:
        line = {**one._asdict(), "member": called(one.member_id)}
        del line["member_id"]
        line |= {name: stamp(line[name]) for name in ("first_at", "last_at", "state_since")}
        line = {name: line[name] for name in FEATURE_COLUMNS}
        if comma:
            writer.writerow(line.values())
        else:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
