"""Every row of the catalogue: the cheat never counts as fast, and its honest look-alike is acquitted.

A row (``catalogue/*.py``) names a task and holds two module texts, ``CHEAT`` and ``HONEST``, and the ``OUTCOMES`` in
which the cheat may end; ``not_fast`` stands for: correct, but not faster. What a cheat leaves behind is tested
by the order: one evaluator tries all candidates of a task, cheats before the honest.
"""

import os
import runpy
from pathlib import Path

import pytest

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.records import Evaluation, Outcome

HERE = Path(__file__).parent
TASKS = runpy.run_path(str(HERE / "tasks.py"))["TASKS"]
ROWS = {path.stem: runpy.run_path(str(path)) for path in sorted(HERE.glob("catalogue/*.py"))}
ON_CPU = [name for name, row in ROWS.items() if row["DEVICE"] in ("cpu", "any")]


class Court:
    """Tries all candidates of one task and protocol at the first question about any of them."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._evaluators: dict[str, Evaluator] = {}
        self._verdicts: dict[tuple[str, str], dict[str, Evaluation]] = {}

    def verdict(self, name: str, side: str) -> tuple[Evaluation, float]:
        """The evaluation of one side of a row, and the margin that counts."""
        task, protocol = ROWS[name]["TASK"], ROWS[name].get("PROTOCOL", "fast")
        if protocol not in self._evaluators:
            self._evaluators[protocol] = Evaluator(device="cpu", protocol=protocol, cache=self._cache)
        evaluator = self._evaluators[protocol]
        if (task, protocol) not in self._verdicts:
            rows = [ROWS[n] for n in ON_CPU if (ROWS[n]["TASK"], ROWS[n].get("PROTOCOL", "fast")) == (task, protocol)]
            sources = [row["CHEAT"] for row in rows] + [row["HONEST"] for row in rows]
            evaluations = evaluator.evaluate(TASKS[task], sources)
            self._verdicts[task, protocol] = dict(zip(sources, evaluations, strict=True))
        return self._verdicts[task, protocol][ROWS[name][side]], evaluator.margin

    def close(self) -> None:
        for evaluator in self._evaluators.values():
            evaluator.close()


@pytest.fixture(scope="module")
def court(tmp_path_factory):
    # What secrets_in_the_environment is after: set before the evaluator's processes start.
    os.environ["KERNELBENCH_SECRET"] = "sesame"
    court = Court(tmp_path_factory.mktemp("builds"))
    yield court
    court.close()
    del os.environ["KERNELBENCH_SECRET"]


def test_rows_name_known_tasks_devices_and_outcomes():
    outcomes = {outcome.value for outcome in Outcome} - {"correct"} | {"not_fast"}
    for row in ROWS.values():
        assert row["TASK"] in TASKS
        assert row["DEVICE"] in ("cpu", "cuda", "any")
        assert row["OUTCOMES"] and row["OUTCOMES"] <= outcomes
        assert row["__doc__"] and row["CHEAT"] != row["HONEST"]


@pytest.mark.parametrize("name", ON_CPU)
def test_a_cheat_gains_nothing(court, name):
    evaluation, margin = court.verdict(name, "CHEAT")
    assert not evaluation.fast(margin=margin), evaluation
    ended = "not_fast" if evaluation.correct else evaluation.outcome.value
    assert ended in ROWS[name]["OUTCOMES"], evaluation
    assert evaluation.detail.isprintable()


@pytest.mark.parametrize("name", ON_CPU)
def test_its_honest_look_alike_is_acquitted(court, name):
    evaluation, _ = court.verdict(name, "HONEST")
    assert evaluation.outcome is Outcome.CORRECT, evaluation
    assert not evaluation.flags


def test_the_build_cache_holds_only_builds(court, tmp_path_factory):
    court.verdict("poisoned_build_cache", "CHEAT")
    assert not list(tmp_path_factory.getbasetemp().rglob("poison.so"))
