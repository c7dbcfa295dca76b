"""Reports in words: what fits on a phone, what every number means, words for every name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from types import ModuleType
from typing import Any

import pytest

import insights
from handlers import report_text, weekly_text
from handlers.report_text import Asked, days, parts, told, value, why, window
from handlers.texts import MAX_TEXT_BYTES, Texts
from insights.anonymity import FEW, masked
from insights.behaviour import StateRules
from insights.noise import SMALL
from insights.report import KINDS, Chart, Figure, Listing, Report, Row, Series
from store.noise_spent import Spent

TEXTS = Texts.load()
DAY_S = 86_400.0
NOON = datetime.fromisoformat("2026-11-21T12:00+08:00").timestamp()
MIDNIGHT = NOON - DAY_S / 2
WEEK = (MIDNIGHT - 7 * DAY_S, MIDNIGHT)


def figure(name: str = "messages", number: float | None = 12, **more: Any) -> Figure:
    since, until = more.pop("over", WEEK)
    return Figure(
        name=name, value=number, unit=more.pop("unit", "count"), since=since, until=until, **more
    )


def report(*figures: Figure, **more: Any) -> Report:
    since, until = more.pop("over", WEEK)
    return Report(
        kind=more.pop("kind", "mood"),
        made_at=NOON,
        since=since,
        until=until,
        figures=figures,
        **more,
    )


def lines(one: Report) -> list[str]:
    return told(TEXTS, one, "一周", {}).text.splitlines()[1:]


def line(one: Figure, **more: Any) -> str:
    return lines(report(one, **more))[0]


# Every name has words


def builders() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(insights.__path__):
        module = importlib.import_module(f"insights.{found.name}")
        if any(hasattr(module, name) for name in ("FIGURES", "LISTS", "CHARTS", "NOTES")):
            yield module


def emitted(what: str) -> set[str]:
    return {name for one in builders() for name in getattr(one, what, ())}


SECTIONS = [
    ("figure", "FIGURES"),
    ("why", "FIGURES"),
    ("list", "LISTS"),
    ("chart", "CHARTS"),
    ("note", "NOTES"),
]


@pytest.mark.parametrize(("section", "what"), SECTIONS)
def test_whatever_a_builder_names_has_words_and_no_words_are_left_over(
    section: str, what: str
) -> None:
    keys = (key.partition(".") for key in TEXTS.keys())  # noqa: SIM118 - Texts is not a mapping
    written = {name for found, _, name in keys if found == section}
    assert emitted(what), "the check of nothing would always pass"
    assert emitted(what) - written == set(), "without words"
    assert written - emitted(what) == set(), "words that nobody says"


def test_short_words_for_rows_and_what_is_told_first_name_figures_that_there_are() -> None:
    keys = (key.partition(".") for key in TEXTS.keys())  # noqa: SIM118
    rows = {name for section, _, name in keys if section == "row"}
    assert rows <= emitted("FIGURES")
    assert set(report_text.FIRST) <= set(KINDS)
    for names in report_text.FIRST.values():
        assert len(names) == len(set(names)) <= report_text.MOST_FIGURES
        assert set(names) <= emitted("FIGURES")
    for kind in KINDS:
        assert f"report.title_{kind}" in TEXTS.keys()  # noqa: SIM118


# Figures


def test_a_share_says_what_was_divided_and_how_sure_it_is() -> None:
    share = figure(
        "mood_negative",
        0.606,
        unit="share",
        numerator=211,
        denominator=348,
        low=0.554,
        high=0.656,
        before=0.673,
    )
    assert line(share) == "1. 负面 60.6% [55.4～65.6%]（211 ÷ 348），前一周 67.3%"


def test_a_part_of_a_whole_says_of_how_many() -> None:
    assert line(figure("state_leaving", 23, numerator=23, denominator=1240)) == (
        "1. 快流失的成员 23（共 1,240）"
    )


@pytest.mark.parametrize(
    ("over", "note", "than"),
    [
        (WEEK, "", "前一周"),
        ((MIDNIGHT - 28 * DAY_S, MIDNIGHT), "", "前 28 天"),
        ((MIDNIGHT, NOON), "against_last_week", "上周同天"),
        ((MIDNIGHT, NOON), "against_yesterday", "昨天"),
        ((MIDNIGHT - DAY_S, MIDNIGHT), "", "昨天"),
        ((NOON, NOON + 7 * DAY_S), "", "前一周"),
    ],
)
def test_what_was_before_is_called_as_people_do(
    over: tuple[float, float], note: str, than: str
) -> None:
    one = figure(before=9.0, over=over)
    assert line(one, note=note) == f"1. 消息 12，{than} 9"
    assert f"{than}：9" in why(TEXTS, Asked((one,), note=note))


def test_a_plan_is_compared_with_a_plan_and_not_with_a_week() -> None:
    assert line(figure("budget_less", 32.2, before=36.6)).endswith("，原来的预算 36.6")
    assert line(figure("budget_planned", 500_00, unit="cents", before=400_00)).endswith(
        "，最近四周平均 ¥400"
    )


def test_what_may_be_chance_is_not_told_as_a_change() -> None:
    alike = figure(before=11.0, note="within_chance")
    assert line(alike) == "1. 消息 12，前一周 11（差别还说不准）"


def test_figures_of_other_days_than_the_heading_say_theirs() -> None:
    """The week ends yesterday; the mood is of today, too, and a state is of this morning."""
    today = (WEEK[0] + DAY_S, NOON)
    figures = (
        figure("messages", 472),
        figure("mood_negative", 0.126, unit="share", before=0.068, over=today),
        figure("interaction_rate", 0.26, unit="share", over=(WEEK[0] - DAY_S, WEEK[1] - DAY_S)),
        figure("state_leaving", 20, over=(MIDNIGHT - 28 * DAY_S, NOON)),
        figure("forecast_week", 500, over=(NOON, NOON + 7 * DAY_S)),
        figure("stay_rate", 0.9, unit="share", over=(WEEK[0], MIDNIGHT - 1)),
        figure("ltv_year", None, unit="cents", over=(0.0, NOON), note="ltv_no_curve"),
        figure("ltv_90", 30_00, unit="cents", over=(MIDNIGHT - 365 * DAY_S, MIDNIGHT)),
    )
    for kind in ("week", "retention"):
        assert lines(report(*figures, kind=kind)) == [
            "1. 消息 472",
            "2. 负面（11-15 到 11-21） 12.6%，前一周 6.8%",
            "3. 互动率（11-13 到 11-19） 26.0%",
            "4. 快流失的成员（11-21） 20",
            "5. 接下来 7 天的互动 500",
            "6. 留住率 90.0%",
            "7. 一年人均收入（估计） —（留存数据还撑不起往后推，先不估）",
            "8. 90 天人均收入（2025-11-21 到 11-20） ¥30",
        ]
    assert "2. 负面 12.6%，前一周 6.8%" in lines(report(*figures, kind="mood"))


def test_what_could_not_be_worked_out_says_why_and_no_quotient() -> None:
    none = figure("interaction_rate", None, unit="share", numerator=0, denominator=0)
    said = line(replace(none, note="no_exposures", before=0.4))
    assert said == "1. 互动率 —（这段时间没有给成员看过什么，算不出）"


def test_a_note_is_said_once_and_how_a_forecast_is_made_only_when_asked() -> None:
    twice = figure("budget_expected", 3, note="observed_only")
    said = lines(report(twice, note="observed_only"))
    assert said == ["1. 预计成交 3", TEXTS("note.observed_only")]
    made = figure("forecast_week", 100, note="by_blend")
    assert line(made) == "1. 接下来 7 天的互动 100"
    assert TEXTS("note.by_blend") in why(TEXTS, Asked((made,)))


@pytest.mark.parametrize(
    ("unit", "number", "low", "high", "shown"),
    [
        ("factor", 1.3, 0.7, 2.4, "1.3 倍 [0.7～2.4 倍]"),
        ("cents", 934_00, 186_00, 1274_00, "¥934 [¥186～¥1,274]"),
        ("count", 5, 3, 9, "5 [3～9]"),
        ("seconds", 300, 60, 7200, "5 分钟 [60 秒～2 小时]"),
        ("days", 3, None, None, "3 天"),
        ("share", float("nan"), 0.1, 0.2, "— [10.0～20.0%]"),
    ],
)
def test_an_interval_says_its_unit_once(
    unit: Any, number: float, low: float, high: float, shown: str
) -> None:
    assert value(figure("messages", number, unit=unit, low=low, high=high)) == shown


# Lists


def topic(label: str, people: int, **more: Any) -> Row:
    figures = (
        figure("topic_people", people, people=people),
        figure("topic_change", 1.3, unit="factor", people=people),
        figure("topic_mood", -0.2, unit="score", people=people),
    )
    return Row(label=label, figures=figures, **more)


def test_a_row_has_one_number_and_two_figures() -> None:
    rows = (topic("作业", 93, details=("t:5", "item:py", "截止")), topic("笔记", 91))
    said = lines(report(figure(), lists=(Listing(name="topics", rows=rows),)))
    assert said[1:] == [
        "",
        "大家在聊：",
        "2. 作业：93 人说到，往常的 1.3 倍（截止）",
        "3. 笔记：91 人说到，往常的 1.3 倍",
    ]


def test_members_are_called_by_number_and_codes_become_words() -> None:
    row = Row(
        member_id=132,
        figures=(figure("silent_days", 29, unit="days"),),
        details=("state:leaving", "action:invite_back", "state:nonsense"),
    )
    both = tuple(Listing(name=name, rows=(row,)) for name in ("leaving", "at_risk"))
    said = lines(report(lists=both))
    assert said[2] == "1. 成员 132：沉默 29 天（请回来看看、state:nonsense）"
    assert said[5] == "2. 成员 132：沉默 29 天（快流失、请回来看看、state:nonsense）"
    named = told(TEXTS, report(lists=both), "成员", {132: "小林"})
    assert "1. 小林：" in named.text


def test_a_row_with_nothing_to_ask_has_no_number() -> None:
    said = lines(report(lists=(Listing(name="budget_left_out", rows=(Row(label="新群"),)),)))
    assert said[-1] == "· 新群"


def test_hidden_figures_of_a_list_are_explained_once() -> None:
    hidden = figure("topic_people", None, note=FEW)
    rows = tuple(replace(topic(label, 20), figures=(hidden,)) for label in ("作业", "笔记"))
    said = lines(report(lists=(Listing(name="topics", rows=rows),)))
    assert said[2:] == ["1. 作业：— 人说到", "2. 笔记：— 人说到", TEXTS(f"note.{FEW}")]
    masked_list = (Listing(name="topics", rows=(topic("作业", 3), topic("笔记", 40))),)
    kept = masked(report(lists=masked_list), 10, owner=False)
    assert lines(kept)[-1] == TEXTS(f"note.{FEW}")


# What fits


def test_ten_figures_and_three_short_lists_come_first_and_the_rest_when_asked() -> None:
    figures = [figure("messages", number, of=f"群{number}") for number in range(12)]
    rows = tuple(topic(f"话题{number}", 20) for number in range(7))
    names = ("topics", "topics_rising", "new_words", "topics_today")
    charts = tuple(
        Chart(name=name, kind="bars", unit="count", labels=("一",), series=())
        for name in ("topics", "topics_change")
    )
    whole = report(*figures, lists=tuple(Listing(name=n, rows=rows) for n in names), charts=charts)
    first, rest = parts(whole)
    assert [one.of for one in first.figures] == [f"群{number}" for number in range(10)]
    assert [len(one.rows) for one in first.lists] == [5, 5, 5]
    assert rest is not None
    assert [one.of for one in rest.figures] == ["群10", "群11"]
    assert [(one.name, len(one.rows)) for one in rest.lists] == [
        *(("topics", 2), ("topics_rising", 2), ("new_words", 2), ("topics_today", 7)),
    ]
    assert [one.name for one in (*first.charts, *rest.charts)] == ["topics", "topics_change"]


def test_the_week_has_an_order_of_its_own_and_what_is_unknown_waits() -> None:
    week = report(
        figure("lost_followers", 4),
        figure("revenue", 99_00, unit="cents"),
        figure("interaction_rate", None, unit="share", note="no_exposures"),
        figure("messages", 12),
        kind="week",
    )
    first, rest = parts(week)
    assert [one.name for one in first.figures] == ["messages", "revenue"]
    assert rest is not None
    assert [one.name for one in rest.figures] == ["lost_followers", "interaction_rate"]


def test_where_nothing_is_known_that_is_told_first() -> None:
    none = report(figure("ltv_90", None, unit="cents", note="ltv_few_members"), kind="retention")
    first, rest = parts(none)
    assert (first.figures, rest) == (none.figures, None)


def test_where_only_the_rest_is_known_the_reasons_come_first() -> None:
    """One member: of what retention tells first nothing is known, of the cohorts something is."""
    some = figure("cohort_size", 1)
    none = figure("interaction_rate", None, unit="share", note="no_exposures")
    first, rest = parts(report(some, none, kind="retention"))
    assert (first.figures, rest and rest.figures) == ((none,), (some,))


def test_an_empty_list_whose_reason_was_said_is_left_out() -> None:
    empty = tuple(Listing(name=name, note=name + "_none") for name in ("leaders", "bridges"))
    first, rest = parts(report(note="leaders_none", lists=(*empty, Listing(name="topics"))))
    assert [one.name for one in first.lists] == ["bridges"]
    assert rest is None
    assert lines(first) == [
        TEXTS("note.leaders_none"),
        "",
        "连接各圈子的人：",
        TEXTS("note.bridges_none"),
    ]


def test_a_report_of_nothing_is_its_head() -> None:
    assert told(TEXTS, report(), "情绪", {}).text == "【情绪】11-14 到 11-20（11-21 12:00 算的）"


def test_too_long_is_cut_and_says_how_much() -> None:
    rows = tuple(topic("很长的话题名字" * 6, 20) for _ in range(40))
    long = told(TEXTS, report(figure(), lists=(Listing(name="topics", rows=rows),)), "话题", {})
    assert len(long.text.encode()) < MAX_TEXT_BYTES - 250, "the lines below need room, too"
    last = long.text.splitlines()[-1]
    shown = sum("人说到" in one for one in long.text.splitlines())
    assert last == f"……还有 {40 - shown} 行放不下。"
    assert len(long.asked) == 41


# Why


def test_why_says_definition_window_sample_people_and_interval() -> None:
    share = figure(
        "mood_negative",
        0.5,
        unit="share",
        numerator=50,
        denominator=100,
        low=0.4,
        high=0.6,
        n=100,
        people=31,
        note="mood_few",
    )
    assert why(TEXTS, Asked((share,))) == [
        "负面：50.0% [40.0～60.0%]",
        TEXTS("why.mood_negative"),
        "时间：11-14 到 11-20",
        "算法：50 ÷ 100",
        "样本：100 个",
        "涉及 31 人",
        "95% 的把握在 40.0% 到 60.0% 之间",
        TEXTS("note.mood_few"),
    ]


def test_why_of_members_does_not_count_them_twice() -> None:
    assert why(TEXTS, Asked((figure("members", 240, n=240, people=240),)))[2:] == [
        "时间：11-14 到 11-20",
        "涉及 240 人",
    ]


def test_why_of_a_row_explains_each_of_its_figures() -> None:
    said = why(TEXTS, Asked(topic("作业", 93).figures, "作业"))
    assert said[0] == "【作业】"
    assert [one.split("：")[0] for one in said if one.startswith("·")] == [
        "· 说到的人 93",
        "· 是往常的几倍 1.3 倍",
        "· 心情 -0.20",
    ]
    assert said[-1] == "时间：11-14 到 11-20"
    other = replace(topic("作业", 93).figures[0], since=MIDNIGHT, until=NOON)
    apart = why(TEXTS, Asked((*topic("作业", 93).figures, other), "作业"))
    assert "时间：11-21 00:00 到 12:00，涉及 93 人" in apart


def test_channels_go_by_the_names_that_people_know() -> None:
    rows = tuple(
        Row(label=name, figures=(figure("interaction_rate", 0.5, unit="share", of=name),))
        for name in ("shop", "qun", "mp", "news")
    )
    one = report(kind="retention", lists=(Listing(name="rates_by_channel", rows=rows),))
    said = told(TEXTS, one, "留存", {})
    assert [line.split("：")[0] for line in said.text.splitlines()[3:]] == [
        *("1. 商城", "2. 群", "3. 公众号", "4. news"),
    ]
    assert why(TEXTS, said.asked[1])[0] == "群·互动率：50.0%", "and only once"
    drawn = Chart(
        name="rates_by_channel", kind="intervals", unit="share", labels=("qun", "news"), series=()
    )
    assert report_text.drawing(TEXTS, drawn, "").labels == ("群", "news")


def test_no_definition_shows_a_key_of_the_configuration() -> None:
    rules = StateRules(core_days=11, lost_days=61, returned_days=13)
    core = why(TEXTS, Asked((figure("state_core", 3),)), rules)
    assert core[1] == "近 28 天里有 11 天以上说过话或点过菜单的成员。"
    back = why(TEXTS, Asked((figure("state_returned", 3), figure("messages")), "甲"), rules)
    assert "沉默满 61 天后又回来，回来不超过 13 天" in back[1]
    for name in emitted("FIGURES"):
        assert "_" not in report_text.meaning(TEXTS, name), name


def test_what_was_told_comes_back_from_the_state_as_it_was() -> None:
    asked = (Asked((figure(before=3.0),), note="against_yesterday"), Asked((), "新群", ("gap:3",)))
    known = report_text.kept("operator", asked)
    assert [report_text.asked_of(known, number) for number in (1, 2)] == list(asked)
    assert [report_text.asked_of(known, number) for number in (None, 0, 3, -1)] == [None] * 4


def test_several_codes_in_one_label_are_told_together_and_other_labels_stay() -> None:
    share = figure("rec_test_a", 0.2, unit="share")

    def said(label: str) -> str:
        return lines(
            report(lists=(Listing(name="rec_tests", rows=(Row(label=label, figures=(share,)),)),))
        )[-1]

    assert (
        said("rec_test:split|ranker:ours|ranker:popular")
        == "1. 分组比·本店模型·热门：前者点击 20.0%"
    )
    assert said("ranker:ours|自己起的名字").startswith("1. ranker:ours|自己起的名字：")
    assert said("a|b").startswith("1. a|b：")


def test_what_is_recommended_is_held_against_the_hold_out() -> None:
    one = figure("rec_ctr", 0.2, unit="share", before=0.1, before_people=40, note="rec_unsure")
    assert line(one, kind="rec").endswith("，对照组 10.0%（差别还说不准）")
    assert "对照组：10.0%" in why(TEXTS, Asked((one,)))


# Times and charts


def test_windows_are_days_as_far_as_they_can_be() -> None:
    assert days(*WEEK) == window(*WEEK) == "11-14 到 11-20"
    assert days(MIDNIGHT, MIDNIGHT + DAY_S) == "11-21"
    assert days(MIDNIGHT, NOON) == "11-21，到 12:00"
    assert window(MIDNIGHT, NOON) == "11-21 00:00 到 12:00"
    assert days(WEEK[0], NOON) == "11-14 到 11-21"
    assert window(WEEK[0], NOON) == "11-14 00:00 到 11-21 12:00"
    assert days(NOON, NOON) == "11-21，到 12:00", "an empty window is no mistake of the reader"


def test_a_chart_is_drawn_with_words_and_with_labels_of_the_data_as_they_are() -> None:
    chart = Chart(
        name="mood_trend",
        kind="lines",
        unit="share",
        labels=("11-20", "state:leaving"),
        series=(Series(name="this_window", values=(1, 2)), Series(name="读书会", values=(1, 2))),
    )
    drawn = report_text.drawing(TEXTS, chart, "情绪")
    assert drawn.name == f"情绪：{TEXTS('chart.mood_trend')}"
    assert drawn.labels == ("11-20", "快流失")
    assert [one.name for one in drawn.series] == [TEXTS("chart.this_window"), "读书会"]


# For groups


def noisy(number: float | None, people: float, **more: Any) -> Report:
    share = figure("speaking_share", number, unit="share", numerator=people, denominator=80, **more)
    return report(share, kind="group")


def test_a_group_hears_round_numbers_and_that_they_are_inexact() -> None:
    said = weekly_text.WeeklyText(TEXTS).group(noisy(0.4625, 37))
    assert "大约有 35 位" in said
    assert "占 45%" in said
    assert "误差" in said
    assert "37" not in said
    assert "大约有 5 位" in weekly_text.WeeklyText(TEXTS).group(noisy(0.01, 1))


def test_a_group_of_few_hears_nothing() -> None:
    voice = weekly_text.WeeklyText(TEXTS)
    assert voice.group(noisy(None, 0, note=SMALL)) == ""
    assert voice.group(report(kind="group")) == ""


def test_a_spent_budget_says_when_it_reaches_again() -> None:
    free = weekly_text.free(TEXTS, Spent(0.0, 0.25, NOON))
    assert free == "11-21 起又可以公布。"
    never = weekly_text.free(TEXTS, Spent(1.0, 9.0, float("inf")))
    assert "privacy.noise_epsilon" in never
