"""``python -m pytest_kernelbench replay``: a recorded candidate is judged again, and shown where it is wrong."""

import json
import re

import pytest
from project import RELU, answer

from pytest_kernelbench import evaluation
from pytest_kernelbench.__main__ import main
from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Completion, Evaluation, Outcome, sha256_of
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import load_tasks

STRATEGY = Strategy(name="surprisal").to_json()
TASK = "level1/1_Relu"
WRONG_BELOW_MINUS_TWO = "torch.where(x < -2, x, torch.relu(x))"


@pytest.fixture(scope="module", autouse=True)
def one_evaluator():
    """The commands of this file start one evaluator, which takes 3 s of a core: all ask for one with its settings."""
    made = {}

    class Shared:
        def __init__(self, **settings):
            self.evaluator = made.setdefault(repr(sorted(settings.items())), None) or Evaluator(**settings)
            made[repr(sorted(settings.items()))] = self.evaluator

        def __enter__(self):
            return self.evaluator

        def __exit__(self, *_):
            self.evaluator.release()

    Evaluator = evaluation.Evaluator
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "Evaluator", Shared)
        yield
    assert len(made) == 1
    for evaluator in made.values():
        evaluator.close()


@pytest.fixture
def record(tmp_path):
    """Writes a run of one small task: each candidate is the expression it returns, and the draw it failed on."""
    problems = tmp_path / "problems" / "level1"
    problems.mkdir(parents=True)
    (problems / "1_Relu.py").write_text(RELU.replace("200_000", "7, 300").replace("torch.rand(n)", "torch.rand(*n)"))
    (task,) = load_tasks(str(problems))

    def write(candidates, **options):
        folder = tmp_path / "run"
        folder.mkdir()
        run = {
            "tasks": [TASK],
            "task_sha256": {TASK: task.sha256},
            "selectors": [str(problems)],
            "strategies": [STRATEGY],
            "seed": 0,
            "device_kind": "cpu",
            "sizes": "full",
        }
        (folder / "run.json").write_text(json.dumps(run | options))
        completions, evaluations = [], []
        for index, (expression, draw) in enumerate(candidates):
            text = "no program" if expression is None else answer(expression)
            source = extract_source(text, answer="module", task=task)
            completions.append(Completion(task=TASK, index=index, text=text, policy="made up").to_json())
            outcome = Outcome.NO_SOURCE if source is None else Outcome.INCORRECT if draw else Outcome.CORRECT
            known = {"source_sha256": source and sha256_of(source), "outcome": outcome, "draw": draw}
            of = {"task": TASK, "index": index, "evaluation_sha256": STRATEGY["evaluation_sha256"]}
            evaluations.append(of | Evaluation(**known, detail="as it was then" if draw else "").to_json())
        for name, rows in {"completions": completions, "evaluations": evaluations}.items():
            lines = [json.dumps(row | {"sampling_sha256": STRATEGY["sampling_sha256"]}) for row in rows]
            (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return folder

    return write


def said(capsys, *arguments):
    status = main(["replay", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out.splitlines(), told.err.strip()


def test_a_wrong_kernel_fails_again_on_the_draw_on_which_it_failed_and_its_elements_are_shown(record, capsys):
    folder = record([("torch.relu(x)", None), (WRONG_BELOW_MINUS_TWO, "wide")])
    status, lines, error = said(capsys, folder, "level1/1", 1)
    assert (status, error) == (0, "")
    assert lines[0] == f"{TASK} #1, recorded: incorrect (as it was then)"
    assert re.fullmatch(r"on new wide inputs: incorrect \(wide inputs: error .* is allowed \(element .*\)\)", lines[1])
    count = int(re.fullmatch(r"(\d+) wrong elements, the first 10:", lines[2])[1])
    # Half of the 2,100 are negative, and at that scale hardly one is above -2.
    assert 900 < count < 1200
    shown = [re.fullmatch(r"  output 0 \[(\d), (\d+)\] is (-\S+), expected 0 \(\+- \S+\)", line) for line in lines[3:]]
    assert len(shown) == 10
    places = [(int(each[1]), int(each[2])) for each in shown]
    assert places == sorted(places)
    assert all(float(each[3]) < -2 for each in shown)


def test_a_right_kernel_is_judged_again_as_a_whole(record, capsys):
    folder = record([("torch.clamp(x, min=0)", None)])
    status, lines, _ = said(capsys, folder, TASK, 0)
    assert (status, lines[0]) == (0, f"{TASK} #0, recorded: correct")
    assert lines[1].startswith("judged again, all of it: correct")


def test_another_kind_of_inputs_can_be_asked_for(record, capsys):
    folder = record([(WRONG_BELOW_MINUS_TWO, "wide")])
    status, lines, _ = said(capsys, folder, TASK, 0, "--draw=positive")
    assert (status, lines[1:]) == (0, ["on new positive inputs: correct"])


def test_what_raises_on_the_draw_is_told(record, capsys):
    folder = record([("torch.linalg.cholesky(x)", "signed")])
    status, lines, _ = said(capsys, folder, TASK, 0)
    assert status == 0
    assert lines[1].startswith("on new signed inputs: runtime_error (")


def test_a_kind_that_there_is_not_is_told_in_one_line(record, capsys):
    folder = record([("torch.relu(x)", "wide")])
    assert said(capsys, folder, TASK, 0, "--draw=sideways")[::2] == (
        4,
        "error: --draw=sideways: no such kind of inputs; there are task, signed, scaled, wide, moderate, offset, "
        "negative, positive, ties, unit, dominating, tiny, zeros, non-finite, mixed, moved parameters",
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["level1/2", 0], "{folder}: has no task level1/2; it has level1/1_Relu"),
        (["level1/1", 7], "{folder}: has no candidate 7 of level1/1_Relu; it has 0 to 1"),
        (["level1/1", 1], "{folder}: candidate 1 of level1/1_Relu has no program that could be judged; name another"),
        (["level1/1", 0, "--strategy=x"], "{folder}: has no strategy x; it has surprisal"),
        (
            ["level1/1", 0, "--tasks=level1/3"],
            "{folder}: level1/1_Relu is not among level1/3; name its place with --tasks",
        ),
    ],
)
def test_what_a_run_does_not_hold_is_told_in_one_line(record, capsys, arguments, error):
    folder = record([("torch.relu(x)", None), (None, None)])
    assert said(capsys, folder, *arguments) == (4, [], f"error: {error.format(folder=folder)}")


def test_a_folder_without_a_run_is_told_in_one_line(tmp_path, capsys):
    status, lines, error = said(capsys, tmp_path / "nowhere", "level1/1", 0)
    assert (status, lines) == (4, [])
    assert error.startswith(f"error: {tmp_path / 'nowhere'}") and "\n" not in error


def test_a_task_that_has_changed_since_is_not_replayed(record, capsys):
    folder = record([("torch.relu(x)", None)], task_sha256={TASK: "another"})
    _, _, error = said(capsys, folder, "level1/1", 0)
    assert (
        error == f"error: {folder}: {TASK} had another text or sizes; "
        "name the place of the recorded ones with --tasks, or a file of their sizes with --small"
    )
