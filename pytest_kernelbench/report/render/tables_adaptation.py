"""Tables of adaptation: by step, on other tasks, by learning rate, and at search's number of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.cells import (
    Table,
    interval_of,
    number_of,
    on,
    p_of,
    point_of,
    points_of,
    rate_of,
    rho_of,
)
from pytest_kernelbench.report.render.numbers import as_digits, as_rate

Report = Mapping[str, Any]


def adaptation_table(report: Report) -> Table | None:
    rows = []
    for each in report["analyses"]["adaptation"] or ():
        for number in each["steps"]:
            rows.append(
                [
                    f"{each['strategy']}, step {number}",
                    rate_of(point_of(each["per_sample"]["verified"], number)),
                    _difference(each["against_start"]["verified"], number),
                    rate_of(point_of(each["per_sample"]["raw"], number)),
                    rate_of(point_of(each["any_of_k"]["verified"], number)),
                    rate_of(point_of(each["correct"], number)),
                    number_of(each["kl"][number]),
                    number_of(each["entropy"][number]),
                ]
            )
    flat = [
        f"{each['strategy']}: equal rates at all steps have p = {p_of(test['p'])}"
        for each in report["analyses"]["adaptation"] or ()
        if (test := each["flat_test"]["verified"]) is not None
    ]
    caption = f"Adaptation by step. {'; '.join(flat)}{'. ' if flat else ''}{on(report)}"
    head = [
        "step",
        "per sample [95 %]",
        "- step 0 [95 %]",
        "raw",
        "any of the step's",
        "correct",
        "KL, nats/token",
        "entropy",
    ]
    return Table(caption=caption, head=head, rows=rows)


def transfer_table(report: Report) -> Table | None:
    found = report["analyses"]["transfer"] or {"sets": {}, "rows": []}
    rows = []
    for row in found["rows"]:
        for name, cell in row["cells"].items():
            for of in () if "refusal" in cell else ("per_sample", "any_of_k"):
                sides = [cell[of][reading] for reading in ("verified", "raw")]
                itself = f"{name} (trained on{', step chosen by it' if row['chosen_on_itself'] else ''})"
                label = f"any of {row['rollouts']}" if of == "any_of_k" else "per sample"
                rows.append(
                    [
                        f"{row['strategy']} on {itself if cell['trained'] else name}, {label}",
                        str(cell["tasks"]),
                        *(rate_of(sides[0][side]) for side in ("base", "adapted")),
                        _of_difference(sides[0]["difference"]),
                        *(rate_of(sides[1][side]) for side in ("base", "adapted")),
                        _of_difference(sides[1]["difference"]),
                    ]
                )
    caption = (
        "Before and after adaptation, on the tasks that were trained on and on others: the same tasks, as many answers "
        f"each, one session, first timings; differences in points. {on(report)}"
    )
    head = ["adapted, evaluated", "tasks", "base [95 %]", "adapted [95 %]", "difference [95 %]"]
    return Table(caption=caption, head=[*head, "base, raw", "adapted, raw", "difference, raw"], rows=rows)


def equal_budget_table(report: Report) -> Table | None:
    rows = []
    for each in report["analyses"]["cost"]["equal_budget"]:
        for reading in () if "refusal" in each else ("verified", "raw"):
            both = each[reading]
            rows.append(
                [
                    f"{each['strategy']}, {reading}",
                    str(each["rollouts"]),
                    str(each["step"]),
                    rate_of(both["adapted"]),
                    rate_of(both["searched"]),
                    _of_difference(both["difference"]),
                ]
            )
    caption = (
        "Any fast among the rollouts of the first steps of adaptation, against any among as many answers of the policy "
        f"as loaded, on first timings; the difference in points. {on(report)}"
    )
    head = ["strategy", "rollouts", "to step", "adapted [95 %]", "searched [95 %]", "difference [95 %]"]
    return Table(caption=caption, head=head, rows=rows)


def probe_table(report: Report) -> Table | None:
    """Over-sharpening, as in the paper: by step, the correlation of surprisal and speed-up of correct rollouts."""
    rows = [
        [
            f"{each['strategy']}, step {point['step']}",
            str(point["n"]),
            "-" if point["mean_nll"] is None else as_digits(point["mean_nll"]),
            rho_of(point["rho"], point["p"]),
            rho_of(point["tail_rho"], point["tail_p"]),
            interval_of(point["within_task_rho"]),
        ]
        for each in report["analyses"]["adaptation"] or ()
        for point in each["probe"] or ()
    ]
    caption = (
        "Spearman's rho of negative log-probability (nats, summed) and speed-up among correct rollouts (p), pooled, of "
        "the quarter that was least expected, and within tasks; below 0 the expected ones are faster. Of the rollouts "
        "of step 0 under the weights of each step where these were scored again, else of each step's own. "
        f"{on(report)}"
    )
    head = ["step", "n", "mean NLL", "pooled", "least expected quarter", "within task [95 %]"]
    return Table(caption=caption, head=head, rows=rows)


def coverage_table(report: Report) -> Table | None:
    """Headroom after search: number of tasks by their number of fast rollouts at step 0."""
    rows = [
        [
            f"{each['strategy']}, {COVERAGE[name]}",
            str(cell["units"]),
            as_rate(cell["base"]),
            as_rate(cell["at_best_step"]),
        ]
        for each in report["analyses"]["adaptation"] or ()
        for kinds in (each["coverage_regimes"], each["coverage_split"])
        for name, cell in kinds.items()
    ]
    caption = (
        "Tasks (with a seed) by the share of step 0's rollouts that are verified fast: that share, and the one at the "
        "best step. Even where no step changes anything, the first kind can only gain and the last only lose. "
        f"{on(report)}"
    )
    return Table(caption=caption, head=["strategy, fast at step 0", "cases", "step 0", "best step"], rows=rows)


COVERAGE = {
    "none": "none",
    "partial": "some",
    "saturated": "90 % or more",
    "over_30": "over 30 %",
    "up_to_30": "up to 30 %",
}


def learning_rates_table(report: Report) -> Table | None:
    """Strategies that adapt, by learning rate: where they start, what each lineage's best step has, and the gain."""
    runs = [each for each in report["analyses"]["adaptation"] or () if each["learning_rate"] is not None]
    if len({each["learning_rate"] for each in runs}) < 2:
        return None
    rows = []
    for each in sorted(runs, key=lambda one: one["learning_rate"]):
        chosen, last = each["checkpoint"], len(each["steps"]) - 1
        rows.append(
            [
                f"{each['learning_rate']:g}, {each['strategy']}",
                rate_of(point_of(each["per_sample"]["verified"], 0)),
                ", ".join(map(str, chosen["best_steps"])),
                as_rate(chosen["value"]),
                rate_of(point_of(each["per_sample"]["verified"], last)),
                _difference(each["against_start"]["verified"], last),
            ]
        )
    caption = (
        "Learning rates: verified fast rollouts at step 0, at the best step of each lineage by its own rollouts (which "
        f"flatters it) and at the last, with the paired difference of the last to step 0 in points. {on(report)}"
    )
    head = ["learning rate, strategy", "step 0 [95 %]", "best steps", "best", "last [95 %]", "last - step 0 [95 %]"]
    return Table(caption=caption, head=head, rows=rows)


def _difference(curve: Mapping[str, Any], step: int) -> str:
    return points_of(curve["value"][step], point_of(curve, step))


def _of_difference(difference: Mapping[str, Any] | None) -> str:
    return "-" if difference is None else points_of(difference["value"], difference)
