"""What an event must say, and files of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.intake import FILE_CHUNK, EventIn, event_of, import_events
from store import Store
from store.events import NewEvent
from tests.blank import blank

NOW = 1_763_600_000.0
VIEW = {"id": "e1", "kind": "view", "item": "c1"}
BOUGHT = {"id": "e1", "kind": "purchase", "item": "c1", "amount_cents": 1, "visitor": "v"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield store
    await store.close()


def read(**fields: Any) -> NewEvent | list[str]:
    """The event, or where it is wrong."""
    event = msgspec.json.decode(json.dumps(fields), type=EventIn)
    found = event_of(event, NOW)
    return found if isinstance(found, NewEvent) else [fault.pointer for fault in found]


def test_an_event_says_all_that_is_kept() -> None:
    found = read(
        id="o-1",
        kind="purchase",
        at="2025-11-01T08:00:00+08:00",
        member=7,
        channel="mp",
        openid="o1",
        unionid="u1",
        visitor="v1",
        click="r1",
        item="c1",
        chapter="ch1",
        percent=10,
        amount_cents=9900,
        order="20251101-1",
        campaign="双十一",
        variant="b",
        ref="faq:12",
        data={"coupon": "x"},
    )
    assert found == NewEvent(
        "o-1",
        "purchase",
        1_761_955_200.0,
        7,
        "mp",
        "o1",
        "u1",
        "v1",
        "r1",
        "c1",
        "ch1",
        10,
        9900,
        "20251101-1",
        "双十一",
        "b",
        "campaign",
        "faq:12",
        None,
        '{"coupon":"x"}',
    )


def test_without_a_time_it_happened_now() -> None:
    found = read(**VIEW)
    assert isinstance(found, NewEvent)
    assert (found.at, found.source, found.data) == (NOW, "", "")


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"kind": "purchase", "visitor": "v"}, ["/amount_cents"]),
        ({"kind": "refund", "visitor": "v", "amount_cents": 5, "item": None}, [""]),
        ({"kind": "progress", "visitor": "v"}, [""]),
        ({"kind": "progress", "visitor": "v", "item": None, "percent": 5}, ["/item"]),
        ({"kind": "enroll"}, [""]),
        ({"kind": "complete", "visitor": "v", "item": None}, ["/item"]),
        ({"kind": "claim", "visitor": "v", "item": None}, [""]),
        ({"kind": "exposure", "item": None}, [""]),
        ({"item": None}, ["/item"]),
        ({"openid": "o1"}, ["/channel"]),
        ({"channel": "mp"}, ["/openid"]),
        ({"channel": "unionid", "openid": "o1"}, ["/channel"]),
        ({"id": "click:abc"}, ["/id"]),
        ({"at": "1999-12-31T23:59:59+00:00"}, ["/at"]),
        ({"at": "2026-11-21T00:00:00+08:00"}, ["/at"]),
        ({"data": {"long": "x" * 2048}}, ["/data"]),
        ({"data": {"long": "汉" * 700}}, ["/data"]),
        ({"data": {"small": [[]] * 9000}}, ["/data"]),
        ({"data": "text"}, ["/data"]),
        ({"data": {"much": "1" * 20_000}}, ["/data"]),
        ({"kind": "purchase", "item": None}, ["", "/amount_cents", ""]),
    ],
)
def test_what_is_missing_is_said(change: dict[str, Any], pointers: list[str]) -> None:
    assert read(**(VIEW | change)) == pointers


def test_data_is_counted_as_it_is_kept() -> None:
    for raw in (
        '{"a":"' + "\\u6c49" * 600 + '"}',  # 3.6 KB as sent, 1.8 KB of UTF-8
        '{ "a": 1' + " " * 4000 + "}",
    ):
        event = msgspec.json.decode(json.dumps(VIEW)[:-1] + f', "data": {raw}}}', type=EventIn)
        kept = event_of(event, NOW)
        assert isinstance(kept, NewEvent)
        assert json.loads(kept.data) == json.loads(raw)
    found = read(**VIEW, data=None)
    assert isinstance(found, NewEvent)
    assert found.data == ""


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": 1e400}',
        b'{"a": ' + b"[" * 1500 + b"]" * 1500 + b"}",
    ],
)
async def test_data_that_cannot_be_read_is_a_fault_of_its_line(
    store: Store, tmp_path: Path, raw: bytes
) -> None:
    line = json.dumps(VIEW)[:-1].encode() + b', "data": ' + raw + b"}"
    told = await import_events(store, a_file(tmp_path, VIEW, line), NOW, partial=False)
    assert (told.stored, [fault.line for fault in told.faults]) == (0, [2])


@pytest.mark.parametrize("kind", ["exposure", "view", "click", "add_to_cart"])
def test_looking_around_needs_no_name(kind: str) -> None:
    assert isinstance(read(**(VIEW | {"kind": kind})), NewEvent)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "x" * 129},
        {"id": "line\n"},
        {"id": "a\u0000b"},
        {"kind": "stare"},
        {"at": "2025-11-01T08:00:00"},
        {"at": 1761955200},
        {"member": 0},
        {"openid": ""},
        {"percent": 101},
        {"amount_cents": -1},
        {"amount_cents": 1.5},
        {"source": "chance"},
        {"price": 1},
    ],
)
def test_what_has_the_wrong_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(**(VIEW | change))


def a_file(tmp_path: Path, *lines: Any, name: str = "events.ndjson") -> Path:
    """Lines as JSON, bytes as they are."""
    raw = b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


async def test_a_file_is_taken_in_and_a_second_time_changes_nothing(
    store: Store, tmp_path: Path
) -> None:
    count = 2 * FILE_CHUNK + 3
    lines = [VIEW | {"id": f"e{n}"} for n in range(count)]
    path = a_file(tmp_path, *lines, b"", name="events.ndjson.gz")
    done = await import_events(store, path, NOW, partial=False)
    assert (done.stored, done.repeated, done.refused, done.faults) == (count, 0, 0, [])
    again = await import_events(store, path, NOW, partial=False)
    assert (again.stored, again.repeated) == (0, count)


BAD = [
    (b"{not json", ""),
    (b'{"id": "\xff"}', ""),
    (b"[" * 60_000, ""),
    (b'{"id": "' + b"x" * 70_000 + b'"}', ""),
    (VIEW | {"kind": "stare"}, "/kind"),
    (VIEW | {"id": "e9", "member": 99}, "/member"),
    (VIEW | {"at": "1999-01-01T00:00:00Z"}, "/at"),
]


async def test_one_bad_line_refuses_the_file_and_every_one_is_told(
    store: Store, tmp_path: Path
) -> None:
    path = a_file(tmp_path, VIEW, b"", *(line for line, _ in BAD), VIEW | {"id": "e2"})
    told = await import_events(store, path, NOW, partial=False)
    assert (told.stored, told.repeated, told.refused) == (0, 0, len(BAD))
    assert [(fault.line, fault.pointer) for fault in told.faults] == [
        (number, pointer) for number, (_, pointer) in enumerate(BAD, 3)
    ]
    assert await store.events.page() == []


async def test_partial_stores_the_good_lines(store: Store, tmp_path: Path) -> None:
    path = a_file(tmp_path, VIEW, *(line for line, _ in BAD), VIEW | {"id": "e2"})
    told = await import_events(store, path, NOW, partial=True)
    assert (told.stored, told.refused, len(told.faults)) == (2, len(BAD), len(BAD))
    assert [one.event_id for one in await store.events.page()] == ["e1", "e2"]


async def test_a_mark_at_the_beginning_and_windows_line_ends_do_not_matter(
    store: Store, tmp_path: Path
) -> None:
    raw = b"\xef\xbb\xbf" + json.dumps(VIEW).encode() + b"\r\n"
    assert (await import_events(store, a_file(tmp_path, raw), NOW, partial=False)).stored == 1


async def test_a_damaged_archive_is_refused_with_its_line(store: Store, tmp_path: Path) -> None:
    path = a_file(tmp_path, *[VIEW | {"id": f"e{n}"} for n in range(500)], name="e.ndjson.gz")
    path.write_bytes(path.read_bytes()[:-200])
    told = await import_events(store, path, NOW, partial=False)
    assert (told.stored, told.refused) == (0, 1)
    assert told.faults[0].detail.startswith("cannot be read from here on")
    path.write_bytes(b"no archive at all")
    assert (await import_events(store, path, NOW, partial=False)).faults[0].line == 1


async def test_only_the_first_hundred_faults_are_told(store: Store, tmp_path: Path) -> None:
    told = await import_events(store, a_file(tmp_path, *[b"x"] * 3000), NOW, partial=False)
    assert (told.refused, len(told.faults)) == (3000, 100)


async def test_no_such_file_is_an_error_of_its_own(store: Store, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        await import_events(store, tmp_path / "nothing.ndjson", NOW, partial=False)
