"""Members are taken out of what jobs wrote; the rest of it stays as it was."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from insights.report import Chart, Figure, Listing, Report, Row, Series, from_json, to_json
from store import Store
from store.dialect import Connection
from store.scrub import Said, _may_hold, without
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


KEYS = ("count", "share", "score", "mood", "bars", "lines", "angry", "c", "s", "few_people", "t")


@pytest.mark.parametrize("name", KEYS)
async def test_who_is_called_like_a_key_takes_no_key_with_them(store: Store, name: str) -> None:
    lin = await answered(store, 1, text="active_members 是什么")
    sql = "insert into member_settings (member_id, name, value) values (?, 'name', ?)"
    await store.db.write(partial(_execute, sql=sql, args=(lin, name)))
    made = report(Row(label="退款", figures=(replace(figure(0.5), note="few_people"),)))
    made = replace(made, scope="count", figures=(replace(figure(1.0), name="active_members"),))
    await store.interactions.put_finding(NAME, to_json(made), NOW)
    data = json.dumps({"label": "x", "scope": "share", "rows": [["t", 5]]})
    sql = "insert into alerts (key, kind, at, data) values (x'01', 'topic_burst', 0, ?)"
    await store.db.write(partial(_execute, sql=sql, args=(data,)))
    await store.members.erase(lin, NOW)
    assert await kept(store) == made
    ((left,),) = ask_file(store.db.path, "select data from alerts")
    assert json.loads(left) == json.loads(data)


def test_a_line_of_a_chart_that_is_called_like_them_is_called_nothing() -> None:
    lines = [{"name": "林小满", "values": [1]}, {"name": "curve", "values": [1]}]
    their = Said("", frozenset({"林小满", "curve"}))
    assert without({"series": lines}, set(), their)["series"] == [
        {"name": "", "values": [1]},
        {"name": "curve", "values": [1]},
    ]


async def test_a_report_that_was_worked_out_meanwhile_does_not_bring_them_back(
    store: Store,
) -> None:
    lin, mei, ann = [await answered(store, n, who) for n, who in enumerate((LIN, MEI, "o_ann"), 1)]
    made = to_json(report(*(Row(member_id=one) for one in (lin, mei, ann)), Row(label="退款")))
    await store.members.erase(lin, NOW)
    await store.consents.decide(ann, "profiling", False, NOW, "mp")
    await store.interactions.put_finding(NAME, made, NOW)
    assert (await kept(store)).lists[0].rows == (Row(member_id=mei), Row(label="退款"))
    await store.interactions.put_finding("other", f'{{"member_id": {lin}}}', NOW)
    assert await store.interactions.finding("other") == f'{{"member_id": {lin}}}'


@pytest.mark.parametrize("refused", [False, True])
async def test_what_operators_were_shown_of_them_cannot_be_asked_about(
    store: Store, refused: bool
) -> None:
    lin, mei, boss = [await answered(store, n, w) for n, w in enumerate((LIN, MEI, "o_boss"), 1)]
    for member, label in ((boss, f"成员 {lin}"), (mei, f"成员 {lin}0"), (lin, "退款")):
        shown = {"role": "operator", "asked": [{"l": "退款"}, {"l": label}]}
        await store.members.set_state(member, "report", shown, NOW + 9)
    if refused:
        await store.consents.decide(lin, "profiling", False, NOW, "mp")
    else:
        await store.members.erase(lin, NOW)
    assert await store.members.state(boss, "report", NOW) is None
    assert await store.members.state(mei, "report", NOW) is not None


def test_much_is_looked_for_in_much_without_a_search_for_each() -> None:
    """The only writer waits meanwhile, and with it every answer."""
    rng, letters = random.Random(7), "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出"
    words = "\n".join("".join(rng.choices(letters, k=30)) for _ in range(4000))
    texts = ["".join(rng.choices(letters, k=12)) for _ in range(4000)] + [words[31:51]]
    began = time.process_time()
    searched = [text in words for text in texts]
    between = time.process_time()
    their = Said(words, frozenset())
    assert [their.has(text) for text in texts] == searched
    assert sum(searched) >= 1
    assert time.process_time() - between < (between - began) / 2


def test_a_word_that_is_a_key_everywhere_is_looked_for_where_it_is_none() -> None:
    their = Said("topic_people", frozenset({"count", "林"}))
    for text in ('{"name":"topic_people","unit": "count"}', '{"count": 1, "topic_people" : 2}'):
        assert not _may_hold(text, set(), their)
    for text in ('{"label":"count"}', '["topic_people", 1]', '{"name":"林","values":[]}'):
        assert _may_hold(text, set(), their)


def test_what_looks_like_json_and_is_none_is_left_alone() -> None:
    for text in ('{"a": "\\x 我的孩子在三班读书"', '"\\', "", '{"member_id": }'):
        assert not _may_hold(text, {1}, Said("我的孩子在三班读书", frozenset({"林"})))
    their = Said("我的孩子在三班读书", frozenset())
    assert _may_hold('{"a": "\\u6211的孩子在三班读书"}', set(), their)


def _execute(conn: Connection, sql: str, args: tuple[object, ...]) -> None:
    conn.execute(sql, args)
