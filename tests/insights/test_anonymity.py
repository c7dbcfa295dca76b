"""Few people are shown to owners only, and not by subtraction either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from insights.anonymity import FEW, HIDDEN, NOTES, masked
from insights.report import Chart, Figure, Listing, Report, Row, Series, Unit

LEAST = 10


def figure(people: int | None, of: str = "", name: str = "active", unit: Unit = "count") -> Figure:
    return Figure(
        name=name,
        value=float(people or 7),
        unit=unit,
        since=0.0,
        until=7.0,
        of=of,
        numerator=3.0,
        denominator=7.0,
        low=1.0,
        high=9.0,
        n=people or 0,
        people=people,
        before=50.0,
    )


def report(
    *figures: Figure, lists: tuple[Listing, ...] = (), charts: tuple[Chart, ...] = ()
) -> Report:
    return Report(
        kind="week", made_at=9.0, since=0.0, until=7.0, figures=figures, lists=lists, charts=charts
    )


def shown(made: Report) -> list[str]:
    """Of whom the figures are that still have a value."""
    return [one.of for one in made.figures if one.value is not None]


def test_a_figure_of_few_people_loses_every_number_that_could_give_it_back() -> None:
    (one,) = masked(report(figure(9)), LEAST, owner=False).figures
    assert one.note == FEW
    assert one == Figure(name="active", value=None, unit="count", since=0.0, until=7.0, note=FEW)


def test_an_owner_sees_everything() -> None:
    made = report(figure(1), lists=(Listing(name="leaders", rows=(Row(member_id=3),)),))
    assert masked(made, LEAST, owner=True) == made


@pytest.mark.parametrize("people", [10, 11, 5000, 0, None])
def test_enough_people_nobody_and_what_is_not_about_people_is_shown(people: int | None) -> None:
    made = report(figure(people))
    assert masked(made, LEAST, owner=False) == made


def test_one_hidden_part_takes_the_next_smallest_with_it() -> None:
    parts = [figure(4, "甲"), figure(300, "乙"), figure(60, "丙"), figure(90, "丁")]
    made = masked(report(figure(454), *parts), LEAST, owner=False)
    assert shown(made) == ["", "乙", "丁"], "454 - 300 - 90 is of 64 people, not of 4"


def test_hidden_parts_that_are_few_together_take_more_with_them() -> None:
    parts = [figure(1, "甲"), figure(2, "乙"), figure(12, "丙"), figure(90, "丁")]
    made = masked(report(figure(105), *parts), LEAST, owner=False)
    assert shown(made) == ["", "丁"]


def test_hidden_parts_that_are_enough_together_hide_no_more() -> None:
    parts = [figure(6, "甲"), figure(7, "乙"), figure(12, "丙")]
    assert shown(masked(report(*parts), LEAST, owner=False)) == ["丙"]


def test_where_there_is_nothing_else_to_hide_all_of_it_is_hidden() -> None:
    made = masked(report(figure(4, "甲"), figure(50, "乙")), LEAST, owner=False)
    assert shown(made) == []


def test_figures_of_another_name_are_no_parts_of_this_one() -> None:
    made = masked(report(figure(4, "甲"), figure(50, "乙", name="paying")), LEAST, owner=False)
    assert shown(made) == ["乙"]


def test_the_whole_alone_of_few_people_hides_no_parts() -> None:
    made = masked(report(figure(4), figure(50, "乙")), LEAST, owner=False)
    assert shown(made) == ["乙"]


def test_lines_of_a_list_are_parts_though_their_figures_do_not_say_of_whom() -> None:
    rows = tuple(
        Row(label=label, figures=(figure(people),))
        for label, people in (("甲", 3), ("乙", 30), ("丙", 40))
    )
    (made,) = masked(report(lists=(Listing(name="groups", rows=rows),)), LEAST, owner=False).lists
    assert [(row.label, row.figures[0].value) for row in made.rows] == [("丙", 40.0)]
    assert made.note == FEW, "and it is said that there are others"


def test_a_line_of_which_something_may_be_shown_stays() -> None:
    row = Row(label="退款", figures=(figure(40, name="people"), figure(3, name="angry")))
    (made,) = masked(report(lists=(Listing(name="topics", rows=(row,)),)), LEAST, owner=False).lists
    assert [one.value for one in made.rows[0].figures] == [40.0, None]
    assert made.note == ""


def test_a_line_about_a_member_is_whole_for_who_looks_after_members() -> None:
    rows = (Row(member_id=3, figures=(figure(1),)), Row(label="甲", figures=(figure(40),)))
    made = report(lists=(Listing(name="a", rows=rows),))
    assert masked(made, LEAST, owner=False).lists == made.lists


def share(hits: float, of: int, people: int | None = None) -> Figure:
    return replace(
        figure(of if people is None else people, unit="share"),
        value=hits / of,
        numerator=hits,
        denominator=of,
    )


@pytest.mark.parametrize(
    ("one", "seen"),
    [
        (share(3, 200), False),
        (share(197, 200), False),
        (share(0, 200), True),
        (share(200, 200), True),
        (share(50, 200), True),
        (share(3, 900, people=200), True),
    ],
)
def test_a_share_of_members_tells_of_those_it_is_true_of(one: Figure, seen: bool) -> None:
    (made,) = masked(report(one), LEAST, owner=False).figures
    assert (made.value is not None) is seen
    assert seen or (made.numerator, made.denominator) == (None, None)


def test_what_was_before_is_hidden_when_it_was_of_few() -> None:
    was_few = replace(figure(12), before=3.0)
    told = replace(figure(12, unit="share"), before=0.5, before_people=3)
    many = replace(figure(12, unit="share"), before=0.5, before_people=30)
    made = masked(report(was_few, told, many), LEAST, owner=False)
    assert [(one.value, one.before) for one in made.figures] == [
        (12.0, None),
        (12.0, None),
        (12.0, 0.5),
    ]


def test_a_count_of_nobody_now_does_not_tell_of_the_few_before() -> None:
    """付费成员 0, the day before 1: what that one did is nobody's business."""
    few = replace(figure(0, name="paying_members"), value=0, before=1.0, note="within_chance")
    many = replace(figure(0, name="lost_followers"), value=0, before=12.0)
    nobody = replace(figure(12, name="new_followers"), before=0.0)
    made = masked(report(few, many, nobody), LEAST, owner=False)
    assert [(one.value, one.before) for one in made.figures] == [(0.0, None), (0.0, 12), (12.0, 0)]
    assert made.figures[0].note == "", "that the two are alike tells of it, too"
    assert masked(report(few), LEAST, owner=True).figures == (few,)


@pytest.mark.parametrize(
    ("was", "of", "seen"),
    [(1, 26, False), (25, 26, False), (0, 26, True), (26, 26, True), (13, 26, True)],
)
def test_a_share_before_tells_of_those_it_was_true_of(was: int, of: int, seen: bool) -> None:
    one = replace(share(0, 27), before=was / of, before_people=of)
    (made,) = masked(report(one), LEAST, owner=False).figures
    assert (made.value, made.before) == (0.0, was / of if seen else None)


def test_a_number_that_could_not_be_worked_out_is_not_told_by_its_parts() -> None:
    spent = replace(figure(60, unit="cents"), value=None, numerator=123456.0, denominator=60.0)
    (made,) = masked(report(spent), LEAST, owner=False).figures
    assert (made.value, made.numerator, made.denominator) == (None, None, None)


def test_a_part_that_gives_smaller_ones_away_is_hidden_wherever_it_stands() -> None:
    parts = [replace(figure(50), beside=beside) for beside in (0, 4, 10, None)]
    seen = [masked(report(one), LEAST, owner=False).figures[0].value for one in parts]
    assert seen == [50.0, None, 50.0, 50.0]


def test_a_report_of_few_has_no_charts() -> None:
    shares = Series(name="s", values=(0.2, None, 0.0), low=(0.1, None, 0.0))
    made = replace(report(figure(4)), charts=(chart("lines", "share", shares),))
    (seen,) = masked(made, LEAST, owner=False).charts
    assert seen.series == (Series(name="s", values=(None, None, 0.0), low=(None, None, 0.0)),)
    assert masked(made, LEAST, owner=True) == made


def test_messages_of_one_are_no_crowd() -> None:
    series = Series(name="s", values=(0.2, 0.5), n=(40, 400), people=(12, 1))
    seen = drawn(chart("lines", "share", series))
    assert (seen.values, seen.n, seen.people) == ((0.2, None), (40, 0), (12, 0))


def test_a_hidden_bar_is_not_called_by_what_few_said() -> None:
    series = Series(name="s", values=(3.0, 30.0, 40.0), n=(3, 30, 40))
    of_words = Chart(
        name="c", kind="bars", unit="count", labels=("张老师", "退款", "作业"), series=(series,)
    )
    of_hours = replace(of_words, labels=("8", "9", "10"))
    of_states = replace(of_words, labels=("state:core", "state:lost", "state:active"))
    made = masked(report(charts=(of_words, of_hours, of_states)), LEAST, owner=False)
    assert [one.labels for one in made.charts] == [
        ("", "", "作业"),
        of_hours.labels,
        of_states.labels,
    ]


def test_counts_out_of_the_same_whole_are_its_parts_whatever_they_are_called() -> None:
    def state(name: str, count: int) -> Figure:
        plain = figure(count, name=f"state_{name}")
        return replace(plain, value=count, numerator=count, denominator=105)

    states = [state("core", 3), state("lost", 12), state("active", 90)]
    made = masked(report(figure(105, name="members"), *states), LEAST, owner=False)
    assert [one.value for one in made.figures] == [105, None, None, 90]


def test_analysts_see_no_member_and_no_quotation() -> None:
    rows = (
        Row(member_id=12, figures=(figure(1),), details=("我想退款",)),
        Row(label="退款", figures=(figure(40),), details=("我想退款",)),
    )
    made = report(lists=(Listing(name="angry", rows=rows),))
    (seen,) = masked(made, LEAST, owner=False, members=False).lists
    assert [(row.label, row.details) for row in seen.rows] == [("退款", ())]
    assert seen.note == HIDDEN
    (operators,) = masked(made, LEAST, owner=False).lists
    assert [row.member_id for row in operators.rows] == [12, None]
    assert operators.rows[0].details == ("我想退款",)


def test_an_owner_may_ask_for_what_analysts_see() -> None:
    made = report(figure(2), lists=(Listing(name="a", rows=(Row(member_id=1),)),))
    seen = masked(made, LEAST, owner=True, members=False)
    assert seen.figures == made.figures
    assert seen.lists[0].rows == ()


def chart(kind: str, unit: Unit, one: Series, split: int | None = None) -> Chart:
    labels = tuple(str(n) for n in range(len(one.values)))
    return Chart(name="c", kind=kind, unit=unit, labels=labels, series=(one,), split=split)  # type: ignore[arg-type]


def drawn(one: Chart) -> Series:
    return masked(report(charts=(one,)), LEAST, owner=False).charts[0].series[0]


def test_points_of_few_are_left_out_of_a_chart_with_their_bands() -> None:
    series = Series(
        name="s", values=(0.2, 0.5, 0.9), low=(0.1, 0.4, 0.8), high=(0.3, 0.6, 1.0), n=(40, 3, 30)
    )
    seen = drawn(chart("lines", "share", series))
    assert seen == Series(
        name="s",
        values=(0.2, None, 0.9),
        low=(0.1, None, 0.8),
        high=(0.3, None, 1.0),
        n=(40, 0, 30),
    )


def test_one_hidden_bar_hides_the_next_smallest() -> None:
    seen = drawn(chart("bars", "share", Series(name="s", values=(0.2, 0.5, 0.9), n=(40, 3, 30))))
    assert seen.values == (0.2, None, None)


def test_a_count_without_sizes_is_its_own_size_and_a_forecast_is_of_nobody() -> None:
    series = Series(name="s", values=(0.0, 4.0, 25.0, None, 40.0, 3.5))
    seen = drawn(chart("lines", "count", series, split=5))
    assert seen.values == (0.0, None, None, None, 40.0, 3.5), "4 is not all less 40, either"
    shares = Series(name="s", values=(0.5, 4.0))
    assert drawn(chart("lines", "share", shares)) == shares


def test_an_empty_report_stays_empty() -> None:
    assert masked(report(), LEAST, owner=False) == report()


def test_every_note_that_is_put_is_named() -> None:
    assert {FEW, HIDDEN} == NOTES
