"""The next items are sampled and built while one is judged, and their results are the same as without that."""

import contextlib
import dataclasses
import json
import threading
import time
from types import SimpleNamespace

import pytest
from project import RELU, Project

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.ledger import Ledger
from pytest_kernelbench.lookahead import Lookahead
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import EvaluationSettings, Sampling, SearchSettings, SelectionSettings, Strategy

TASKS = [Task(id=f"level1/{number}_Task", source="class Model: ...\n") for number in range(1, 5)]
STRATEGY = Strategy(
    name="fastest",
    sampling=Sampling(k=3),
    evaluation=EvaluationSettings(protocol="fast"),
    selection=SelectionSettings(by="fastest"),
)
ITEMS = [(task, STRATEGY) for task in TASKS]


class Bench:
    """A workbench whose policy is ``loaded`` or not, and which keeps what it is asked to prepare."""

    def __init__(self, folder, *, loaded=True, needs_a_device=False):
        run = {"policy": "fake", "seed": 0, "device_kind": "cpu", "sizes": "full", "strategies": [], "tasks": []}
        self.ledger = Ledger.open(folder, {**run, "task_sha256": {}})
        self.seed = 0
        self.loaded = loaded
        self.policy = SimpleNamespace(sample=self.sample, needs_a_device=needs_a_device)
        self.prepared, self.drawn = [], []
        self.judge_was_asked = True
        self.wait = threading.Event()
        self.wait.set()

    def loaded_policy(self, strategy):
        return self.policy if self.loaded else None

    def spending(self, stage):
        return contextlib.nullcontext()

    def prepare(self, task, strategy, sources):
        if self.judge_was_asked:
            self.prepared.append((task.id, list(sources)))
        return self.judge_was_asked

    def sample(self, task, sampling, *, seed, indices):
        for index in indices:
            self.wait.wait(10)
            self.drawn.append((task.id, index))
            text = f"```python\nclass ModelNew: ...  # {task.id} {index % 2}\n```"
            yield Completion(task=task.id, index=index, policy="fake", policy_version="1", text=text, seed=seed)


@contextlib.contextmanager
def looking(bench, items):
    lookahead = Lookahead(bench)
    lookahead.look(items)
    try:
        yield lookahead
    finally:
        bench.wait.set()
        lookahead.close()


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_answers_are_drawn_and_recorded_and_their_distinct_sources_prepared_in_order(tmp_path):
    bench = Bench(tmp_path)
    with looking(bench, ITEMS):
        wait_for(lambda: len(bench.prepared) == 4)
    assert [task for task, _ in bench.prepared] == [task.id for task in TASKS]
    assert [len(sources) for _, sources in bench.prepared] == [2] * 4
    assert all(set(bench.ledger.completions(task.id, STRATEGY)) == {0, 1, 2} for task in TASKS)
    assert len(bench.drawn) == len(set(bench.drawn)) == 12


def test_what_is_recorded_needs_no_policy(tmp_path):
    with looking(Bench(tmp_path), ITEMS[:1]) as _:
        wait_for(lambda: (tmp_path / "completions.jsonl").exists() and _rows(tmp_path) == 3)
    bench = Bench(tmp_path, loaded=False)
    with looking(bench, ITEMS):
        wait_for(lambda: bench.prepared)
    assert [task for task, _ in bench.prepared] == [TASKS[0].id]
    assert bench.drawn == []


def _rows(folder):
    return len((folder / "completions.jsonl").read_text().splitlines())


def test_a_policy_that_is_not_loaded_yet_is_waited_for(tmp_path):
    bench = Bench(tmp_path, loaded=False)
    with looking(bench, ITEMS[:2]):
        time.sleep(0.2)
        assert bench.drawn == []
        bench.loaded = True
        wait_for(lambda: len(bench.prepared) == 2)


def test_builds_for_later_begin_once_the_judge_was_asked_for_its_first_answers(tmp_path):
    bench = Bench(tmp_path)
    bench.judge_was_asked = False
    with looking(bench, ITEMS[:2]):
        wait_for(lambda: len(bench.drawn) == 6)
        time.sleep(0.2)
        assert bench.prepared == []
        bench.judge_was_asked = True
        wait_for(lambda: len(bench.prepared) == 2)
    assert len(bench.drawn) == 6


def test_a_policy_that_needs_a_device_draws_when_its_turn_comes(tmp_path):
    bench = Bench(tmp_path, needs_a_device=True)
    with looking(bench, ITEMS):
        time.sleep(0.3)
    assert bench.drawn == bench.prepared == []


def test_answers_that_depend_on_verdicts_are_drawn_when_their_turn_comes(tmp_path):
    bench = Bench(tmp_path)
    searching = dataclasses.replace(STRATEGY, search=SearchSettings())
    with looking(bench, [(task, searching) for task in TASKS]):
        time.sleep(0.3)
    assert bench.drawn == bench.prepared == []


def test_a_task_that_somebody_has_is_left_to_him(tmp_path):
    bench = Bench(tmp_path)
    with bench.ledger.sole_owner(TASKS[0].id), looking(bench, ITEMS[:2]):
        wait_for(lambda: bench.prepared)
        assert [task for task, _ in bench.prepared] == [TASKS[1].id]
    assert not any(task == TASKS[0].id for task, _ in bench.drawn)


def test_closed_it_stops_after_the_answer_that_is_on_its_way(tmp_path):
    bench = Bench(tmp_path)
    bench.wait.clear()
    lookahead = Lookahead(bench)
    lookahead.look(ITEMS)
    closing = threading.Thread(target=lookahead.close)
    closing.start()
    wait_for(lookahead._closed.is_set)
    bench.wait.set()
    closing.join(10)
    assert bench.drawn == [(TASKS[0].id, 0)]
    assert len(bench.ledger.completions(TASKS[0].id, STRATEGY)) == 1


def test_what_fails_is_left_to_its_turn(tmp_path):
    bench = Bench(tmp_path)
    draw = bench.sample

    def fail(task, *arguments, **named):
        if task is TASKS[0]:
            raise PolicyError("no answer")
        return draw(task, *arguments, **named)

    bench.policy.sample = fail
    with looking(bench, ITEMS[:2]):
        wait_for(lambda: bench.prepared)
    assert [task for task, _ in bench.prepared] == [TASKS[1].id]


MODULE = '''```python
import torch
from pytest_kernelbench.inline import compile_c
kernel = compile_c("""
void kernel(const float *x, float *y, long n) { for (volatile long i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0; }
/* note */
""")

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
```'''


@pytest.mark.parametrize(
    "more", [pytest.param((), id="alone"), pytest.param(("-n1",), id="xdist", marks=pytest.mark.slow)]
)
def test_in_a_session_the_next_items_are_ready_when_their_turn_comes(tmp_path, more):
    project = Project(tmp_path)
    (tmp_path / "problems" / "level1" / "2_Sum.py").unlink()
    for number in range(2, 4):
        (tmp_path / "problems" / "level1" / f"{number}_Relu.py").write_text(RELU)
    # No earlier run has built these.
    texts = [MODULE.replace("note", f"{tmp_path} {number}") for number in range(1, 4)]
    project.answers = [{"task": f"level1/{number}", "text": text} for number, text in enumerate(texts, start=1)]
    project.write_answers()
    done = project.run("-q", *more, strategy="best-of-64")
    assert done.returncode == 0, done.stdout
    rows = project.rows("evaluations")
    assert [(row["task"], row["index"], row["outcome"]) for row in rows] == [
        (f"level1/{number}_Relu", 0, "correct") for number in range(1, 4)
    ]
    assert len(project.rows("completions")) == 3
    # The first item is built in its own turn, and the others meanwhile.
    assert sum("build" in row["seconds"] for row in rows[1:]) <= 1, json.dumps([row["seconds"] for row in rows])
