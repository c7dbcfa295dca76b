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
        before=5.0,
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
    assert [row.figures[0].value is None for row in made.rows] == [True, True, False]
    assert [row.label for row in made.rows] == ["甲", "乙", "丙"], (
        "that there is such a group stays"
    )


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
    series = Series(name="s", values=(0.0, 4.0, 25.0, None, 3.5))
    seen = drawn(chart("lines", "count", series, split=4))
    assert seen.values == (0.0, None, 25.0, None, 3.5)
    shares = Series(name="s", values=(0.5, 4.0))
    assert drawn(chart("lines", "share", shares)) == shares


def test_an_empty_report_stays_empty() -> None:
    assert masked(report(), LEAST, owner=False) == report()


def test_every_note_that_is_put_is_named() -> None:
    assert {FEW, HIDDEN} == NOTES
