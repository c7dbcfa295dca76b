"""Bodies of batches: what is too much is refused before it becomes values."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.intake import MAX_LINE, EventIn
from bot.problem import Problem
from bot.rest_all import ALL
from bot.rest_body import Line, batch_reader
from bot.rest_events import MAX_LINES
from tests.bot.api_world import api


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """One line."""

    name: str
    data: dict[str, Any] = {}


READ = batch_reader(Thing, 5, 100)
A, LONG = b'{"name":"a"}', b'{"name":"' + b"a" * 100 + b'"}'


def told(lines: list[Line[Any]]) -> list[tuple[int, bool]]:
    """Numbers, and whether each is good."""
    return [(line.number, line.fault is None) for line in lines]


def refused(read: Callable[[bytes, bool], Any], body: bytes, ndjson: bool) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        read(body, ndjson)
    return caught.value.status, caught.value.type


def peak(read: Callable[[], Any]) -> int:
    """How many bytes were taken besides what was there."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_lines_keep_their_numbers_and_blank_ones_do_not_count() -> None:
    assert told(READ(b"\n" + A + b"\r\n\r\n  \t\n" + A + b"\n[]\n", True)) == [
        (2, True),
        (5, True),
        (6, False),
    ]
    assert READ(b"", True) == READ(b"\n\r\n", True) == []


@pytest.mark.parametrize("ndjson", [True, False])
def test_a_mark_at_the_beginning_does_not_matter(ndjson: bool) -> None:
    assert told(READ(b"\xef\xbb\xbf" + A, ndjson)) == [(1, True)]


def test_an_array_is_read_element_by_element() -> None:
    assert told(READ(b" \n[" + A + b", 1 ," + A + b"]", False)) == [
        (1, True),
        (2, False),
        (3, True),
    ]
    (line,) = READ(b"[1]", False)
    assert line.fault is not None
    assert line.fault.pointer == "/0"
    assert READ(b"[]", False) == []


def test_as_many_as_may_be_and_one_more() -> None:
    assert len(READ(b"\n".join([A] * 5), True)) == 5
    assert len(READ(b"[" + b",".join([A] * 5) + b"]", False)) == 5
    assert refused(READ, b"\n".join([A] * 6), True) == (413, "too-many-lines")
    assert refused(READ, b"[" + b",".join([A] * 6) + b"]", False) == (413, "too-many-lines")


@pytest.mark.parametrize("body", [b"[", b"[" + A, b"[" + A + b",]", b"[1] 2", b"[\xff]"])
def test_what_is_no_json_at_all_is_refused_whole(body: bytes) -> None:
    assert refused(READ, body, False) == (400, "malformed-json")


def test_a_line_that_is_too_long_is_bad_and_the_others_are_not() -> None:
    for lines in (
        READ(A + b"\n" + LONG + b"\n" + A, True),
        READ(b"[" + b",".join([A, LONG, A]) + b"]", False),
    ):
        assert told(lines) == [(1, True), (2, False), (3, True)]
        assert lines[1].fault is not None
        assert lines[1].fault.detail == "is longer than 100 bytes"
    assert told(READ(LONG, False)) == [(1, False)]


@pytest.mark.parametrize(
    ("body", "ndjson"),
    [
        (b"[" + b"1," * (1 << 20) + b"1]", False),
        (b"[" + b"[]," * (1 << 20) + b"[]]", False),
        (b'{"name":"a","data":{"a":[' + b"[]," * (1 << 20) + b"1]}}", False),
        (b'{"name":"a","data":{"a":[' + b"[]," * (1 << 20) + b"1]}}", True),
        (b"\n" * (2 << 20), True),
        (b"1\n" * (1 << 20), True),
        (b" \n" * (1 << 20), True),
    ],
    ids=["numbers", "lists", "one object", "one line", "line breaks", "short lines", "blanks"],
)
def test_megabytes_of_small_values_take_no_memory_of_their_own(body: bytes, ndjson: bool) -> None:
    def run() -> None:
        with suppress(Problem):
            assert told(READ(body, ndjson)) == [(1, False)]

    run()  # what is made once, such as decoders
    assert peak(run) < 2 * len(body)


def test_the_data_of_events_is_not_made_into_values() -> None:
    line = b'{"id":"e","kind":"view","item":"x","data":{"a":[' + b"[]," * 20_000 + b"1]}}"
    body = b"\n".join([line] * 20)
    read = batch_reader(EventIn, MAX_LINES, MAX_LINE)
    assert len(line) < MAX_LINE
    assert peak(lambda: read(body, True)) < 4 * len(body)


def test_a_batch_of_items_has_room_for_the_longest_item() -> None:
    sizes = {one.name: one for one in ALL if one.body_type == "ndjson" or one.name == "putItem"}
    assert sizes["putItems"].max_line >= sizes["putItem"].max_bytes
    assert sizes["addEvents"].max_line == MAX_LINE


async def test_over_http_it_is_a_problem_that_says_so(tmp_path: Path) -> None:
    ndjson = {"Content-Type": "application/x-ndjson"}
    view = b'{"id":"e1","kind":"view","item":"x"}'
    async with api(tmp_path) as world:
        got = await world.post("/events/batch", data=b"\n" * (1 << 20), headers=ndjson)
        assert (got.status, got.json["type"]) == (413, "urn:zhiqun:too-many-lines")
        long = b'{"id":"e2","data":{"a":"' + b"x" * MAX_LINE + b'"}}'
        body = b"\xef\xbb\xbf" + view + b"\n" + long
        got = await world.post("/events/batch", data=body, headers=ndjson)
        assert (got.status, got.json["errors"][0]["line"]) == (422, 2)
        got = await world.post("/events/batch?partial=true", data=body, headers=ndjson)
        assert (got.status, got.json["stored"], got.json["refused"]) == (200, 1, 1)
