"""Every row of the catalogue: the cheat never counts as fast, and its honest look-alike is correct.

A row (``catalogue/*.py``) names a task and holds two module texts, ``CHEAT`` and ``HONEST``, the ``DEVICE`` they are
for, and the ``OUTCOMES`` in which the cheat may end; ``not_fast`` stands for: correct, but not faster. It is tried
under every protocol. What a cheat leaves behind is tested by the order: one evaluator tries all candidates of a task,
cheats before the honest.

On a CPU: ``pytest tests/adversarial`` for some rows under the protocol ``fast``, ``-m slow`` for the others, and
``-m catalogue`` for the other protocols. On a GPU: ``pytest -m gpu tests/adversarial``; ``-k cuda-full``: one protocol.
"""

import os
import runpy
from pathlib import Path

import pytest

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.records import Evaluation, Outcome

HERE = Path(__file__).parent
TASKS = runpy.run_path(str(HERE / "tasks.py"))["TASKS"]
ROWS = {path.stem: runpy.run_path(str(path)) for path in sorted(HERE.glob("catalogue/*.py"))}
# What the protocol ``paper`` checks and times by is told to a cheat more easily: it may gain nothing in another way.
ALSO_UNDER = {"paper": {"not_fast", "void"}}


# One row for each way to cheat, tried by default: all take 5 minutes, in which no other test may run.
BY_DEFAULT = frozenset(
    [
        *("input_itself", "cache_by_data_ptr", "honest_then_skipping", "deferred_to_a_python_thread"),
        *("forged_answer_then_exit", "kills_its_parent", "poisoned_build_cache", "phase_by_stack"),
        *("half_precision", "stopped_clock", "slow_reference_by_a_third", "computes_before_it_is_asked"),
    ]
)


def _marks(device: str, protocol: str, name: str) -> list[pytest.MarkDecorator]:
    # Beside other tests no claim would count, so a cheat that ends by being timed would not be put to the test.
    quiet = [pytest.mark.quiet] if _needs_quiet(device, protocol, ROWS[name]) else []
    if device == "cuda":
        return [*quiet, pytest.mark.gpu]
    # What a trainer rewards is tried first; the other two take as long again each.
    if protocol != "fast":
        return [*quiet, pytest.mark.catalogue]
    return quiet if name in BY_DEFAULT else [*quiet, pytest.mark.slow]


def _needs_quiet(device: str, protocol: str, row) -> bool:
    """Other cheats are found by their answers, whatever the machine has to do besides."""
    return device != "cpu" or protocol == "paper" or "not_fast" in row["OUTCOMES"]


TRIALS = [
    pytest.param(device, protocol, name, id=f"{device}-{protocol}-{name}", marks=_marks(device, protocol, name))
    for device in ("cpu", "cuda")
    for protocol in PROTOCOLS
    for name, row in ROWS.items()
    if row["DEVICE"] in (device, "any")
]


Session = tuple[str, str, str, str, bool]


class Trials:
    """Tries all candidates of one session at the first question about any of them.

    A session is a device, a protocol, a task, whether torch's operators are allowed, and whether it needs quiet.
    ``called`` are the devices, protocols and rows of the tests that were selected.
    """

    def __init__(self, cache: Path, called: set[tuple[str, str, str]]) -> None:
        self._cache = cache
        self._called = called
        self._evaluators: dict[tuple[str, str, str], Evaluator] = {}
        self._verdicts: dict[Session, dict[str, Evaluation]] = {}
        self._faults: dict[Session, HarnessError] = {}

    def verdict(self, device: str, protocol: str, name: str, side: str) -> tuple[Evaluation, float]:
        """The evaluation of one side of a row, and the margin that counts."""
        session = _session(device, protocol, ROWS[name])
        if session not in self._verdicts:
            self._try_all(session)
        source = ROWS[name][side]
        if source not in self._verdicts[session]:
            raise self._faults[session]
        return self._verdicts[session][source], self._evaluator(session).margin

    def close(self) -> None:
        for evaluator in self._evaluators.values():
            evaluator.close()

    def _try_all(self, session: Session) -> None:
        device, _, task, _, _ = session
        rows = [ROWS[name] for *how, name in sorted(self._called) if _session(*how, ROWS[name]) == session]
        verdicts = self._verdicts[session] = {}
        try:
            for side in ("CHEAT", "HONEST"):
                sources = [row[side] for row in rows]
                evaluations = self._evaluator(session).evaluate(TASKS[task][device], sources)
                verdicts.update(zip(sources, evaluations, strict=True))
        except HarnessError as fault:
            self._faults[session] = fault

    def _evaluator(self, session: Session) -> Evaluator:
        device, protocol, _, torch_operators, _ = session
        key = device, protocol, torch_operators
        if key not in self._evaluators:
            self._evaluators[key] = Evaluator(
                device=device, protocol=protocol, torch_operators=torch_operators, cache=self._cache
            )
        return self._evaluators[key]


def _session(device: str, protocol: str, row) -> Session:
    operators = row.get("TORCH_OPERATORS", "allowed")
    return device, protocol, row["TASK"], operators, _needs_quiet(device, protocol, row)


@pytest.fixture(scope="module")
def trials(request, tmp_path_factory):
    # What secrets_in_the_environment is after: set before the evaluator's processes start.
    os.environ["KERNELBENCH_SECRET"] = "sesame"
    selected = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    of_trial = "device", "protocol", "name"
    called = {tuple(params[key] for key in of_trial) for params in selected if set(of_trial) <= params.keys()}
    trials = Trials(tmp_path_factory.mktemp("builds"), called)
    yield trials
    trials.close()
    del os.environ["KERNELBENCH_SECRET"]


def test_rows_name_known_tasks_devices_and_outcomes():
    outcomes = {outcome.value for outcome in Outcome} - {"correct"} | {"not_fast"}
    assert ROWS.keys() >= BY_DEFAULT
    for row in ROWS.values():
        assert row["TASK"] in TASKS
        assert row["DEVICE"] in ("cpu", "cuda", "any")
        assert row["OUTCOMES"] and row["OUTCOMES"] <= outcomes
        assert row["__doc__"] and row["CHEAT"] != row["HONEST"]
        assert all(compile(row[side], side, "exec") for side in ("CHEAT", "HONEST"))


@pytest.mark.parametrize(("device", "protocol", "name"), TRIALS)
def test_a_cheat_gains_nothing(trials, device, protocol, name):
    evaluation, margin = trials.verdict(device, protocol, name, "CHEAT")
    assert not evaluation.fast(margin=margin), evaluation
    ended = "not_fast" if evaluation.correct else evaluation.outcome.value
    allowed = ROWS[name]["OUTCOMES"] | ALSO_UNDER.get(protocol, set())
    assert ended in allowed, evaluation
    assert evaluation.detail.isprintable()


@pytest.mark.parametrize(("device", "protocol", "name"), TRIALS)
def test_its_honest_look_alike_is_correct(trials, device, protocol, name):
    evaluation, _ = trials.verdict(device, protocol, name, "HONEST")
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert not evaluation.flags


@pytest.mark.parametrize(("device", "protocol", "name"), [("cpu", "fast", "poisoned_build_cache")])
def test_the_build_cache_holds_only_builds(trials, device, protocol, name, tmp_path_factory):
    trials.verdict(device, protocol, name, "CHEAT")
    assert not list(tmp_path_factory.getbasetemp().rglob("poison.so"))
