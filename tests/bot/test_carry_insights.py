"""Reports at the terminal: told whole, written to files, and members under pseudonyms."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import build_parser
from bot.carry_insights import FEATURE_COLUMNS, REFRESH, REPORT_COLUMNS
from insights.report import KINDS, Chart, Figure, Listing, Report, Row, Series, name_of, to_json
from store import Store
from store.pseudonyms import pseudonym
from tests.blank import blank
from tests.bot.test_main import NOW, Shell, _visit

DAY_S = 86_400.0
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, capsys)
    blank(shell.database)
    return shell


def figure(name: str, value: float | None, **more: Any) -> Figure:
    usual = {"unit": "count", "since": NOW - 7 * DAY_S, "until": NOW, "n": 50}
    return Figure(name=name, value=value, **{**usual, **more})


def put(shell: Shell, kind: str, place: str = "") -> int:
    """A report with a line about a member, a label that would be a formula, and a chart."""

    async def work(store: Store) -> int:
        member = await _visit(store)
        member_row = Row(member_id=member, figures=(figure("silent_days", 29, unit="days"),))
        formula = Row(label="=1+1", figures=(figure("topic_people", 9, people=3),))
        chart = Chart(
            name="topics",
            kind="bars",
            unit="count",
            labels=("作业", "笔记"),
            series=(Series(name="this_window", values=(3.0, 4.0)),),
        )
        few = figure("paying_members", 3, people=3, before=2.0)
        rest = [figure("messages", number, of=f"第 {number} 群") for number in range(30)]
        report = Report(
            kind=kind,
            scope=place,
            made_at=NOW,
            since=NOW - 7 * DAY_S,
            until=NOW,
            figures=(few, *rest),
            lists=(
                Listing(name="leaving", rows=(member_row,)),
                Listing(name="topics", rows=(formula,) * 30),
            ),
            charts=(chart,),
        )
        await store.interactions.put_finding(name_of(kind, place), to_json(report), NOW)
        return member

    return shell.store(work)


def columns(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))


def test_every_kind_of_report_and_nothing_else_can_be_asked_for() -> None:
    for kind in (*KINDS, REFRESH):
        assert build_parser().parse_args(["report", kind]).what == kind
    with pytest.raises(SystemExit):
        build_parser().parse_args(["report", "everything"])


def test_a_report_is_told_whole_as_to_the_owner(shell: Shell) -> None:
    member = put(shell, "week")
    assert shell.run("report", "week") == 0
    lines = shell.out.splitlines()
    assert lines[0].startswith("【一周】")
    assert lines[1] == "1. 付费成员 3，前一周 2", "of three people: the owner may see it"
    assert "31. 消息·第 29 群 29" in lines
    assert f"32. 成员 {member}：沉默 29 天" in lines
    assert sum("=1+1" in one for one in lines) == 30
    assert "放不下" not in shell.out


def test_a_groups_report_is_asked_by_number_alias_or_name(shell: Shell) -> None:
    shell.store(lambda store: store.groups.meet("qun", "1", NOW, name="读书会"))
    put(shell, "mood", "qun:1")
    for name in ("1", "读书会"):
        assert shell.run("report", "mood", "--group", name) == 0
        assert shell.out.startswith("【情绪·读书会】")
    assert shell.run("report", "mood", "--group", "没有") == 1
    assert "zhiqun groups list" in shell.err


def test_json_has_what_every_figure_means_and_nobodys_number(shell: Shell) -> None:
    member = put(shell, "week")
    key = shell.store(lambda store: store.pseudonyms.key())
    assert shell.run("report", "week", "--json") == 0
    found = json.loads(shell.out)
    assert (found["kind"], found["title"]) == ("week", "一周")
    first = found["figures"][0]
    assert first["why"].startswith("这段时间下过单")
    assert (first["value"], first["sample"], first["people"], first["before"]) == (3, 50, 3, 2)
    leaving, topics = found["lists"]
    assert leaving["rows"][0]["label"] == pseudonym(key, member)
    assert topics["rows"][0]["label"] == "=1+1", "JSON is no spreadsheet"
    assert found["charts"][0]["labels"] == ["作业", "笔记"]


def test_csv_is_one_figure_a_line_that_no_spreadsheet_runs(shell: Shell) -> None:
    member = put(shell, "week")
    key = shell.store(lambda store: store.pseudonyms.key())
    out = shell.folder / "week.csv"
    assert shell.run("report", "week", "--csv", out) == 0
    assert shell.err == "62 figures written\n"
    assert out.stat().st_mode & 0o777 == 0o600
    rows = columns(out.read_text("utf-8"))
    assert tuple(rows[0]) == REPORT_COLUMNS
    assert (rows[0]["name"], rows[0]["value"], rows[0]["before"]) == ("paying_members", "3", "2")
    assert (rows[31]["list"], rows[31]["row"]) == ("leaving", pseudonym(key, member))
    assert rows[32]["row"] == "'=1+1"
    assert shell.run("report", "week", "--csv", "-") == 0
    assert columns(shell.out) == rows


def test_the_chart_is_a_picture(shell: Shell) -> None:
    put(shell, "week")
    out = shell.folder / "week.png"
    assert shell.run("report", "week", "--chart", out) == 0
    assert out.read_bytes().startswith(PNG)
    assert shell.run("report", "week", "--chart", shell.folder / "nowhere" / "x.png") == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("week", "--group", "1"), "--group is for group, topic"),
        (("group",), "say of which group"),
        (("week", "--json", "--csv", "-"), "one of"),
        (("refresh", "--json"), "takes nothing else"),
        (("refresh", "--group", "1"), "takes nothing else"),
    ],
)
def test_what_does_not_go_together_is_2(shell: Shell, args: tuple[str, ...], says: str) -> None:
    assert shell.run("report", *args) == 2
    assert says in shell.err


def test_a_report_that_is_not_there_or_broken_says_what_to_do(shell: Shell) -> None:
    assert shell.run("report", "week") == 1
    assert "zhiqun report refresh" in shell.err
    shell.store(lambda store: store.interactions.put_finding("report:week:", "{}", NOW))
    assert shell.run("report", "week") == 1
    assert "Traceback" not in shell.err


def test_a_report_without_a_chart_draws_none(shell: Shell) -> None:
    report = Report(kind="week", made_at=NOW, since=NOW - DAY_S, until=NOW)
    data = to_json(report)
    shell.store(lambda store: store.interactions.put_finding("report:week:", data, NOW))
    assert shell.run("report", "week", "--chart", shell.folder / "x.png") == 1
    assert "no chart" in shell.err
    assert not (shell.folder / "x.png").exists()


def test_nothing_is_worked_out_where_it_is_switched_off(shell: Shell) -> None:
    shell.config.write_text(shell.config.read_text() + "[insights]\nenabled = false\n")
    assert shell.run("report", "refresh") == 1
    assert "insights.enabled" in shell.err


# Features


def features(shell: Shell, count: int = 3) -> None:
    """So many members of whom something was concluded."""

    async def work(store: Store) -> None:
        for number in range(count):
            await store.members.meet("mp", f"o{number}", NOW)
        sql = (
            "insert into member_features (member_id, first_at, last_at, acts, active_days, "
            "last_day, days28, questions, spent_cents, orders, progress, data, state, churn, "
            "updated_at) select id, ?, ?, 7, 3, '2026-11-20', 1, 2, 19900, 1, 40, '{}', "
            "'leaving', 0.5, ? from members"
        )
        await store.db.write(lambda conn: conn.execute(sql, (NOW, NOW, NOW)) and None)

    shell.store(work)


def test_features_go_out_under_pseudonyms(shell: Shell) -> None:
    features(shell)
    key = shell.store(lambda store: store.pseudonyms.key())
    assert shell.run("export", "insights", "-") == 0
    rows = [json.loads(line) for line in shell.out.splitlines()]
    assert [row["member"] for row in rows] == [pseudonym(key, number) for number in (1, 2, 3)]
    assert tuple(rows[0]) == FEATURE_COLUMNS
    assert (rows[0]["state"], rows[0]["churn"], rows[0]["spent_cents"]) == ("leaving", 0.5, 19_900)
    assert rows[0]["first_at"].endswith("+08:00")
    assert shell.err == "3 members written\n"
    out = shell.folder / "members.csv"
    assert shell.run("export", "insights", out) == 0
    assert [row["member"] for row in columns(out.read_text("utf-8"))] == [
        row["member"] for row in rows
    ]
    assert out.stat().st_mode & 0o777 == 0o600
    assert shell.run("export", "insights", "-", "--numbers") == 0
    assert json.loads(shell.out.splitlines()[0])["member"] == 1
    actions = shell.store(lambda store: store.audit.newest())
    assert [row.action for row in actions] == ["export.insights"] * 3


def test_who_withheld_profiling_is_in_no_export(shell: Shell) -> None:
    features(shell)
    shell.store(lambda store: store.consents.decide(2, "profiling", False, NOW, "chat"))
    assert shell.run("export", "insights", "-") == 0
    assert len(shell.out.splitlines()) == 2


def test_nobody_yet_is_an_empty_file_with_its_columns(shell: Shell) -> None:
    assert shell.run("export", "insights", shell.folder / "none.csv") == 0
    assert shell.err == "0 members written\n"
    text = (shell.folder / "none.csv").read_text("utf-8")
    assert text.lstrip("\ufeff").strip() == ",".join(FEATURE_COLUMNS)
