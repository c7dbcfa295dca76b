"""Members are taken out of what jobs wrote; the rest of it stays as it was."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from insights.report import Chart, Figure, Listing, Report, Row, Series, from_json, to_json
from store import Store
from store.dialect import Connection
from store.scrub import Said, without
from tests.store.rows import LIN, MEI, NOW, answered, ask_file

SAID = "我的孩子在三班读书"
NAME = "report:mood:"


def figure(value: float) -> Figure:
    return Figure(name="mood", value=value, unit="score", since=0.0, until=7.0)


def report(*rows: Row) -> Report:
    return Report(
        kind="mood",
        made_at=9.0,
        since=0.0,
        until=7.0,
        figures=(figure(0.5),),
        lists=(Listing(name="angry", rows=rows),),
        charts=(
            Chart(
                name="c",
                kind="bars",
                unit="score",
                labels=(SAID, "乙"),
                series=(Series(name="s", values=(1.0, 2.0)),),
            ),
        ),
    )


async def kept(store: Store) -> Report:
    return from_json(await store.interactions.finding(NAME) or "")


async def test_lines_and_quotations_of_a_member_go_and_all_else_stays(store: Store) -> None:
    lin = await answered(store, 1, text=f"{SAID}，老师好")
    mei = await answered(store, 2, MEI, text="公开的一句话")
    rows = (
        Row(member_id=lin, figures=(figure(-0.9),)),
        Row(member_id=mei, details=("公开的一句话", f"{SAID}，…")),
        Row(label="退款", details=(SAID, "公开的一句话", "老师好")),
    )
    await store.interactions.put_finding(NAME, to_json(report(*rows)), NOW)
    await store.members.erase(lin, NOW)
    made = await kept(store)
    assert made.lists[0].rows == (
        Row(member_id=mei, details=("公开的一句话",)),
        Row(label="退款", details=("公开的一句话", "老师好")),
    ), "short words are everybody's"
    assert made.figures == (figure(0.5),)
    assert made.charts[0].labels == ("", "乙"), "the second bar stays the second"


async def test_what_they_are_called_goes_too(store: Store) -> None:
    lin = await answered(store, 1)
    sql = "insert into member_settings (member_id, name, value) values (?, 'name', '林小满')"
    await store.db.write(partial(_execute, sql=sql, args=(lin,)))
    await store.interactions.put_finding(NAME, to_json(report(Row(label="林小满"))), NOW)
    await store.members.erase(lin, NOW)
    assert (await kept(store)).lists[0].rows == (Row(label=""),)


async def test_numbers_of_those_they_were_merged_with_are_theirs(store: Store) -> None:
    lin = await answered(store, 1)
    other = (await store.members.meet("team", "lin", NOW)).id
    await store.interactions.put_finding(NAME, to_json(report(Row(member_id=other))), NOW)
    for place in (("mp", LIN), ("team", "lin")):
        await store.members.unite(*place, "u_lin")
    await store.members.erase(lin, NOW)
    assert (await kept(store)).lists[0].rows == ()


async def test_alerts_of_a_group_lose_the_example_and_stay(store: Store) -> None:
    lin = await answered(store, 1, text=SAID)
    data = json.dumps({"examples": [SAID, "别人说的话"], "z": 3.1}, ensure_ascii=False)
    sql = "insert into alerts (key, kind, at, data) values (x'01', 'topic_negative', 0, ?)"
    await store.db.write(partial(_execute, sql=sql, args=(data,)))
    await store.members.erase(lin, NOW)
    ((left,),) = ask_file(store.db.path, "select data from alerts")
    assert json.loads(left) == {"examples": ["别人说的话"], "z": 3.1}


async def test_findings_of_other_shapes_are_left_alone(store: Store) -> None:
    lin = await answered(store, 1, text=SAID)
    for name, data in (("lessons", f'[[1, true, "{SAID}", 2]]'), ("report:broken", "no JSON")):
        await store.interactions.put_finding(name, data, NOW)
    await store.members.erase(lin, NOW)
    assert await store.interactions.finding("lessons") == f'[[1, true, "{SAID}", 2]]'
    assert await store.interactions.finding("report:broken") == "no JSON"


async def test_of_a_question_that_others_asked_too_only_their_wording_goes(store: Store) -> None:
    lin = await answered(store, 1, text="我家孩子能退款吗？")
    for number, question in enumerate(("孩子退款", "孩子退款", "只有我问的")):
        sample = "我家孩子能退款吗？" if question == "孩子退款" else "words 1"
        await store.content.add_gap(question, sample, NOW, bytes([number]))
    await answered(store, 3, LIN, text="words 1")
    await store.members.erase(lin, NOW)
    assert [(gap.question, gap.sample) for gap in await store.content.gaps()] == [
        ("孩子退款", "孩子退款")
    ]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ({"a": [{"member_id": 7}, {"member_id": 8}]}, {"a": [{"member_id": 8}]}),
        ({"a": {"member": 7, "x": 1}, "b": 2}, {"b": 2}),
        ({"member_id": True, "n": 1}, {"member_id": True, "n": 1}),
        ({"member_id": [7], "n": {}}, {"member_id": [7], "n": {}}),
        ([["一句够长的话", 3]], [["", 3]]),
        ({"t": "一句够长的话…"}, {"t": ""}),
        ({"t": "一句"}, {"t": "一句"}),
        ("林小满", ""),
        (7, 7),
        (None, None),
    ],
)
def test_whatever_the_shape(value: Any, left: Any) -> None:
    their = Said("前面 一句够长的话 后面", frozenset({"林小满"}))
    assert without(value, {7, 1}, their) == left


def _execute(conn: Connection, sql: str, args: tuple[object, ...]) -> None:
    conn.execute(sql, args)
