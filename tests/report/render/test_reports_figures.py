"""Figures: texts lie inside the frame, equal numbers give equal files, dark variants, and reasons for missing ones."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_up_run import make_synthetic_run, write_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import pytest_kernelbench
from pytest_kernelbench.report.render import RunRecords, report_json, write_reports
from pytest_kernelbench.report.render.figures import FIGURES, draw_figures, write_figures
from pytest_kernelbench.report.render.figures.dark import DARK, PAPER, themed
from pytest_kernelbench.report.render.figures.style import (
    COLUMN_INCHES,
    IDENTITY,
    NULL,
    SERIES,
    NotDrawn,
    house_style,
)
from pytest_kernelbench.report.render.numbers import as_rate


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> dict:
    """Six tasks under five strategies, two of which adapt, at two learning rates."""
    folder = tmp_path_factory.mktemp("study")
    searching = ("best-of-64", "surprisal-top3", "random-top3")
    (run,) = make_synthetic_run(folder, tasks=6, k=16, steps=2, strategies=searching, rates=(1e-5, 1e-6))
    return report_json(RunRecords.load(run))


@pytest.fixture(scope="module")
def figures(study):
    return draw_figures(study)


def report_of(folder: Path) -> dict:
    return report_json(RunRecords.load(folder))


def test_a_study_with_adaptation_and_null_has_every_figure(figures):
    assert [figure.name for figure in figures.drawn] == list(FIGURES)
    assert figures.absent == {}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_svg_and_png_with_a_title_and_a_caption(figures, name):
    (figure,) = [each for each in figures.drawn if each.name == name]
    root = ElementTree.fromstring(figure.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert figure.png.startswith(b"\x89PNG")
    assert len(figure.title) > 20, "a title says what the figure shows"
    assert figure.caption.endswith("."), "a caption is a sentence"


@pytest.fixture(scope="module")
def drawn(study) -> dict:
    """The figures as matplotlib draws them for a screen, by name."""
    found = {}
    with house_style():
        for name, draw in FIGURES.items():
            found[name] = draw(study).figure
            FigureCanvasAgg(found[name]).draw()
    return found


def tick_labels(axis) -> list[list]:
    """Of both axes those that are drawn: others stand ready beyond the limits."""
    found = []
    for ticks, labels, (low, high) in (
        (axis.get_xticks(), axis.get_xticklabels(), sorted(axis.get_xlim())),
        (axis.get_yticks(), axis.get_yticklabels(), sorted(axis.get_ylim())),
    ):
        shown = [label for tick, label in zip(ticks, labels, strict=True) if low <= tick <= high and label.get_text()]
        found.append(shown)
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_written_in_a_figure_lies_within_it(drawn, name):
    assert_written_within(drawn[name])


def test_what_is_written_in_the_figures_of_a_run_of_one_or_two_tasks_lies_within_them_and_under_the_title(tmp_path):
    for tasks in (1, 2):
        (run,) = make_synthetic_run(
            tmp_path / str(tasks), tasks=tasks, k=4, steps=1, strategies=("best-of-64", "random")
        )
        report, found = report_of(run), {}
        with house_style():
            for name, draw in FIGURES.items():
                try:
                    found[name] = draw(report).figure
                except NotDrawn:
                    continue
                FigureCanvasAgg(found[name]).draw()
        assert {"null", "teaser", "scaling", "selection", "cost"} <= found.keys()
        for figure in found.values():
            assert_written_within(figure)
            title = figure._suptitle.get_window_extent()
            labels = [text for axis in figure.axes for text in (axis.xaxis.label, axis.yaxis.label) if text.get_text()]
            assert not [text for text in labels if text.get_window_extent().overlaps(title)]


def assert_written_within(figure):
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes if axis.get_legend())]
    texts = [
        figure._suptitle,
        *(text for legend in legends for text in legend.get_texts()),
        *(text for axis in figure.axes for text in (axis.xaxis.label, axis.yaxis.label, *axis.texts)),
        *(label for axis in figure.axes for labels in tick_labels(axis) for label in labels),
    ]
    for text in (each for each in texts if each.get_text() and each.get_visible()):
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text


@pytest.mark.parametrize("name", FIGURES)
def test_the_labels_of_an_axis_do_not_run_into_each_other(drawn, name):
    for axis in drawn[name].axes:
        for labels in tick_labels(axis):
            boxes = [label.get_window_extent() for label in labels]
            for number, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[number + 1 :]), labels[number]


def test_the_same_numbers_make_the_same_file(study, figures):
    assert draw_figures(study) == figures


@pytest.mark.parametrize("crowd", [4, 10, 24])
def test_the_labels_of_the_cost_figure_never_overlap(study, crowd):
    found = {f"a-strategy-called-{n}": each for n, each in enumerate(made_up_costs(study, crowd))}
    cost = {**study["analyses"]["cost"], "strategies": found, "adaptation": []}
    report = {**study, "analyses": {**study["analyses"], "cost": cost}}
    with house_style():
        figure = FIGURES["cost"](report).figure
        FigureCanvasAgg(figure).draw()
        for axis in figure.axes:
            boxes = [Text.get_window_extent(text) for text in axis.texts]  # without the line to the point
            assert len(boxes) == crowd
            for number, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[number + 1 :])
                assert axis.bbox.y0 - 2 <= box.y0 and box.y1 <= axis.bbox.y1 + 2


def made_up_costs(study, count):
    """As many strategies as ``count``, of one cost, all between 0 and 25 % of success."""
    one = next(iter(study["analyses"]["cost"]["strategies"].values()))
    return [{**one, "fast_1": {"value": 0.25 * n / count, "low": 0.0, "high": 0.5}} for n in range(count)]


@pytest.mark.parametrize("name", FIGURES)
def test_panels_stand_below_each_other_and_no_figure_is_wider_than_a_column(drawn, name):
    """On a page of 500 pixels a figure of two columns would be cut, or too small to read."""
    assert drawn[name].get_figwidth() == COLUMN_INCHES
    assert {axis.get_subplotspec().colspan.start for axis in drawn[name].axes} == {0}


def test_what_is_the_same_raw_and_verified_stands_beside_each_other(study):
    with house_style():
        (axis,) = FIGURES["teaser"](study).figure.axes
    rows = {line.get_label(): set() for line in axis.get_lines()}
    for line in axis.get_lines():
        rows[line.get_label()] |= set(line.get_ydata())
    assert not rows["raw"] & rows["verified [95 %]"]


def test_what_holds_until_more_is_spent_is_drawn_in_steps(study):
    with house_style():
        drawing = FIGURES["budget"](study)
    lines = [line for axis in drawing.figure.axes for line in axis.get_lines()]
    assert lines and all(line.get_drawstyle() == "steps-post" for line in lines)


def test_the_margin_figure_steps_at_the_low_end_of_each_choice_s_interval(study):
    with house_style():
        axis = FIGURES["margins"](study).figure.axes[0]
    line = next(line for line in axis.get_lines() if "best-of-64" in line.get_label())
    lows = [row["low"] for row in study["strategies"]["best-of-64"]["tasks"].values() if row["low"]]
    assert line.get_drawstyle() == "steps-post"
    assert list(line.get_xdata())[1:-1] == pytest.approx(sorted({100 * (low - 1) for low in lows if low > 1}))
    assert list(line.get_ydata())[-1] == 100 * sum(low > 1.5 for low in lows) / 6


def test_in_the_dark_every_colour_of_every_figure_has_another_and_the_drawing_is_the_same(figures):
    for figure in figures.drawn:
        dark = themed(figure.svg)
        (style,) = re.findall(r"<style>(@media.*?)</style>", dark)
        assert dark.replace(f"<style>{style}</style>", "", 1) == figure.svg
        used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", figure.svg))
        unknown = used - {colour.lower() for colour in DARK}
        assert not unknown, f"{figure.name}: take colours of style.py, or give these a counterpart in dark.py"


def test_on_a_dark_page_every_series_has_contrast():
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for each in (*SERIES, NULL, IDENTITY):
        assert (luminance(DARK[each.color]) + 0.05) / (luminance(PAPER) + 0.05) >= 4.5


def test_a_figure_without_data_is_not_drawn_and_the_reason_is_said(tmp_path):
    folder = write_run(tmp_path, "oracle", null=False)
    (folder / "completions.jsonl").unlink()
    absent = draw_figures(report_of(folder)).absent
    assert absent == {
        "prefilter": "it takes two programs of every task with log-probabilities",
        "regimes": "no candidate has log-probabilities",
        "trajectory": "no strategy adapted the policy",
        "rho_trajectory": "no step of an adaptation has rollouts whose surprisal and speed-up are known",
        "null": "the reference was not timed against itself",
        "budget": "it takes two strategies that draw candidates of their own",
        "learning_rates": "it takes strategies that adapt at two learning rates",
        "transfer": "no strategy adapted to some of the tasks and not to others",
        "calibration": "no correct program has a log-probability and a speed-up",
    }


def test_a_run_without_tasks_has_no_figure_and_a_reason_for_each(tmp_path):
    figures = draw_figures(report_of(write_run(tmp_path, "oracle", tasks=(), null=False)))
    assert [figure.name for figure in figures.drawn] == [], "without data, raise NotDrawn with the reason"
    assert list(figures.absent) == list(FIGURES)


def test_a_run_of_one_task_with_one_candidate_is_drawn_as_far_as_it_goes(tmp_path):
    figures = draw_figures(report_of(write_run(tmp_path, "oracle", k=1, tasks=("level1/12_x",))))
    assert {"teaser", "null"} <= {figure.name for figure in figures.drawn}


def test_a_strategy_may_be_called_anything(tmp_path):
    folder = write_run(tmp_path, "oracle", "random")
    for path in (folder / "run.json", folder / "selections.jsonl"):
        path.write_text(path.read_text().replace('"oracle"', '"$x_1$ <b>&amp; \u6700\u901f"'))
    with house_style():
        drawing = FIGURES["teaser"](report_of(folder))
        drawing.figure.savefig(tmp_path / "teaser.svg")
    assert "$x_1$" in drawing.title


def test_a_figure_of_an_earlier_report_does_not_outlive_its_data(tmp_path, figures):
    write_figures(figures, tmp_path / "figures")
    assert len(list((tmp_path / "figures").iterdir())) == 2 * len(FIGURES)
    write_figures(replace(figures, drawn=(), absent={"null": "gone"}), tmp_path / "figures")
    assert not list((tmp_path / "figures").glob("null.*"))
    assert len(list((tmp_path / "figures").iterdir())) == 2 * len(FIGURES) - 2


def test_the_title_of_the_teaser_claims_a_lead_only_where_intervals_are_apart(study):
    def title(*rates_and_intervals) -> str:
        metrics = [
            {
                "k": 8,
                "metrics": {"fast_1": rate, "fast_1_raw": rate},
                "intervals": {"fast_1": interval},
            }
            for rate, interval in rates_and_intervals
        ]
        strategies = dict(zip("abc", metrics, strict=False))
        with house_style():
            return FIGURES["teaser"]({**study, "strategies": strategies}).title

    assert title((0.9, [0.8, 1.0]), (0.2, [0.1, 0.3])) == "a is ahead of all others: 90 % of tasks verified fast"
    assert title((0.5, [0.2, 0.8]), (0.4, [0.1, 0.7])) == "a is highest with 50 % of tasks, but intervals overlap"
    assert title((0.0, [0.0, 0.4]), (0.0, [0.0, 0.4])) == "No strategy finds a verified fast kernel"


def test_the_title_of_the_selection_figure_is_about_the_paper_s_claim_and_its_control(study):
    with house_style():
        title = FIGURES["selection"](study).title
    (each,) = study["analyses"]["selection"][:1]
    rates = [as_rate(each["selectors"][name]["fast_1"]["value"]) for name in ("surprisal-top3", "random-top3")]
    assert title.startswith(f"surprisal-top3 is fast for {rates[0]} of tasks, random-top3 for {rates[1]} (difference ")


def test_the_title_of_the_prefilter_figure_says_where_a_ranking_is_over_and_under_random_order(study):
    (each,) = study["analyses"]["prefilter"][:1]
    n = len(each["m"])
    apart = {
        "surprisal": {"low": [0.1] * 3 + [-0.1] * (n - 3), "high": [0.2] * n},
        "confidence": {"low": [-0.2] * n, "high": [0.1] * (n - 1) + [-0.1]},
    }
    against = {name: {"verified": bounds} for name, bounds in apart.items()}
    analyses = {**study["analyses"], "prefilter": [{**each, "against_random": against}]}
    with house_style():
        assert FIGURES["prefilter"]({**study, "analyses": analyses}).title == (
            "Against random order, least expected first finds more at m = 1 to 3; "
            f"most expected first finds fewer at m = {n}"
        )


def test_without_matplotlib_the_page_is_written_and_one_line_says_what_is_missing(tmp_path):
    folder = write_run(tmp_path, "oracle")
    code = (
        "import sys; sys.modules['matplotlib'] = None; from pytest_kernelbench.__main__ import main; "
        f"sys.exit(main(['report', {str(folder)!r}]))"
    )
    root = Path(pytest_kernelbench.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "\nno figures: they need matplotlib; pip install 'pytest-kernelbench[report]'\n" in done.stdout
    assert not (folder / "figures").exists()
    assert "Not drawn: they need matplotlib." in (folder / "report.html").read_text()


def test_the_report_of_a_run_is_a_folder_of_files(tmp_path):
    folder = write_run(tmp_path, "oracle", "surprisal")
    records = RunRecords.load(folder)
    left_out = write_reports(records, report_json(records), folder)
    assert (folder / "report.html").exists() and (folder / "figures" / "scaling.svg").exists()
    assert "no figure trajectory: no strategy adapted the policy" in left_out
