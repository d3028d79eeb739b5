"""What all figures share: how series differ, what coincides, where labels stand."""

from itertools import pairwise

import pytest

from pytest_kernelbench.report.render.figures.labels import LABEL_INCHES, PANEL_INCHES, inches_for, labels_beside
from pytest_kernelbench.report.render.figures.style import (
    SERIES,
    curves,
    house_style,
    new_figure,
    panel_title,
    percent_axis,
    room_around,
    series_of,
)


@pytest.fixture
def axis():
    with house_style():
        yield new_figure()[1][0]


def flat(value: float) -> dict:
    return {"value": [value] * 3, "low": None, "high": None}


def test_series_differ_by_marker_and_dash_and_not_by_colour_alone():
    assert len({each.marker for each in SERIES}) == len({str(each.dash) for each in SERIES}) == len(SERIES)


def test_more_than_eight_series_still_differ_in_black_and_white():
    looks = [series_of(number) for number in range(32)]
    assert len({(each.marker, str(each.dash)) for each in looks}) == 32


def test_curves_that_coincide_are_one_line_with_all_names_and_lie_where_their_values_are(axis):
    named = {"a": (flat(0.5), SERIES[0]), "b": (flat(0.502), SERIES[1]), "c": (flat(0.7), SERIES[2])}
    curves(axis, [1, 2, 3], named)
    assert [line.get_label() for line in axis.get_lines()] == ["a = b", "c"]
    assert [list(line.get_ydata()) for line in axis.get_lines()] == [[50.0] * 3, [70.0] * 3]


def test_points_that_coincide_stay_and_their_labels_are_set_apart(axis):
    percent_axis(axis, "")
    labels_beside(axis, [(1, 50, "a"), (1, 50.5, "b,\nc"), (2, 51, "d"), (1, 90, "e")])
    places = {text.get_text(): (text.xy, text.xyann[1]) for text in axis.texts}
    assert [places[name][0] for name in ("a", "b,\nc", "d", "e")] == [(1, 50), (1, 50.5), (2, 51), (1, 90)]
    line = LABEL_INCHES / PANEL_INCHES
    heights = [places[name][1] for name in ("a", "b,\nc", "d", "e")]
    assert heights[1] - heights[0] >= 1.5 * line - 1e-9 and heights[2] - heights[1] >= 1.5 * line - 1e-9
    assert heights[3] == pytest.approx((90 + 3) / 106)


def test_labels_of_ten_points_at_one_end_of_the_axis_stay_beside_it_and_apart(axis):
    percent_axis(axis, "")
    labels_beside(axis, [(1, n / 4, f"strategy {n}") for n in range(10)], panel_inches=inches_for(10))
    places = [text.xyann[1] for text in axis.texts]
    line = LABEL_INCHES / inches_for(10)
    assert min(places) >= line / 2 - 1e-9 and max(places) <= 1 - line / 2 + 1e-9
    assert all(b - a >= line - 1e-9 for a, b in pairwise(places))


def test_curves_that_coincide_on_one_of_several_panels_are_named_above_it_and_the_legend_names_each_once():
    named = {"a": (flat(0.5), SERIES[0]), "b": (flat(0.502), SERIES[1])}
    apart = {"a": (flat(0.5), SERIES[0]), "b": (flat(0.7), SERIES[1])}
    with house_style():
        figure, (above, below) = new_figure(2)
        for axis, each in ((above, named), (below, apart)):
            curves(axis, [1, 2, 3], each)
        panel_title(above, "one")
    assert above.get_title(loc="left") == "one\na = b" and below.get_title(loc="right") == ""
    labels = {line.get_label() for axis in figure.axes for line in axis.get_lines()}
    assert labels == {"a", "b"}


def test_an_interval_of_two_tasks_does_not_hide_what_was_measured():
    low, high = room_around([0.8, 1.5], [0.001, 900.0, 0.7])
    assert low == pytest.approx(0.8 / 4 / 1.05) and high == pytest.approx(1.5 * 4 * 1.05)
    assert room_around([], []) == pytest.approx((1 / 1.05, 1.05))
