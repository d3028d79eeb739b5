"""Several workers on one lineage: one makes the updates, all of them sample and judge its rollouts."""

import time
from contextlib import nullcontext
from threading import Thread, get_ident

import pytest
from made_up_world import strategy

from pytest_kernelbench.adaptation.checkpoints import written_whole
from pytest_kernelbench.adaptation.lineage import Lineage
from pytest_kernelbench.adaptation.loop import take_steps
from pytest_kernelbench.ledger import Ledger
from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome, Task

TASKS = {f"level1/{n}_Task": Task(id=f"level1/{n}_Task", source=f"class Model: {n}\n") for n in range(1, 7)}
ROLLOUT_S = 0.15


class Trainer:
    """Takes a step at once, and has nothing that learns."""

    version, temperature, scores_exactly = "v", 1.0, True

    def update(self, rows, *, step):
        return {"loss": 0.0, "update_tokens": 1}

    def save(self, folder, update):
        with written_whole(folder) as partial:
            (partial / "update.json").write_text('{"update_tokens": 1, "teacher_tokens": 0, "seconds": 0.1}')

    def prompt_ids(self, task, answer, *, advice=""):
        return [1]

    def score(self, task, answer, token_ids, **_):
        return [(-1.0,) for _ in token_ids]

    def as_loaded(self):
        return nullcontext()


class Worker:
    """A stage of adaptation. ``judged`` is shared: which worker judged a task at a step.

    A rollout takes ``seconds``, in which the other workers come as well.
    """

    def __init__(self, folder, judged, *, dies_at=None, seconds=0.0):
        run = {"policy": "p", "seed": 0, "device_kind": "cpu", "sizes": "full", "strategies": [], "tasks": list(TASKS)}
        self.ledger = Ledger.open(folder, {**run, "task_sha256": {}})
        self.judged, self.dies_at, self.seconds = judged, dies_at, seconds
        self.margin, self.say = 0.0, lambda line: None

    def trainer(self, at):
        return Trainer()

    def spending(self, stage):
        return nullcontext()

    def checkpoint(self, at):
        return self.ledger.folder / f"step-{at.version.step}"

    def rollouts(self, task, at):
        with self.ledger.sole_owner(task.id):
            key = at.version.step, task.id
            if key not in self.judged:
                if self.dies_at == at.version.step:
                    raise KeyboardInterrupt
                time.sleep(self.seconds)
                self.judged[key] = get_ident()
        completion = Completion(
            task=task.id, index=at.indices.start, text="", policy="p", token_ids=(5,), logprobs=(-1.0,)
        )
        outcome = Evaluation(source_sha256=None, outcome=Outcome.INCORRECT)
        return [Judged(candidate=Candidate(completion=completion, source=None), evaluation=outcome)]


def lineage(**settings):
    return Lineage(strategy=strategy(k=1, **settings), group=tuple(TASKS), tasks=TASKS, seed=0)


def start(worker, lineage, found):
    thread = Thread(target=lambda: found.append(take_steps(lineage, worker)))
    thread.start()
    return thread


@pytest.mark.parametrize("settings", [{}, {"tasks_per_step": 3}])
def test_rollouts_of_a_step_are_work_for_every_worker_and_each_is_made_once(tmp_path, settings):
    judged, found, shared = {}, [], lineage(steps=2, **settings)
    threads = [start(Worker(tmp_path, judged, seconds=ROLLOUT_S), shared, found) for _ in range(3)]
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 3 and all(steps == found[0] for steps in found)
    assert [each.step for each in found[0]] == [0, 1, 2]
    assert sorted(judged) == sorted((step, name) for step in range(3) for name in shared.sampled(step))
    workers = [{judged[step, name] for name in shared.sampled(step)} for step in range(3)]
    assert len(set.union(*workers)) > 1 and len(workers[0]) > 1
    assert len((tmp_path / "adaptation.jsonl").read_text().splitlines()) == 3


def test_where_the_first_worker_dies_another_takes_the_updates(tmp_path):
    judged, found, shared = {}, [], lineage(steps=2)
    with pytest.raises(KeyboardInterrupt):
        take_steps(shared, Worker(tmp_path, judged, dies_at=1))
    assert {step for step, _ in judged} == {0}
    start(Worker(tmp_path, judged), shared, found).join(timeout=60)
    assert [each.step for each in found[0]] == [0, 1, 2]


def test_a_worker_that_comes_when_all_is_done_waits_for_nobody(tmp_path):
    judged, found, shared = {}, [], lineage(steps=1)
    worker = Worker(tmp_path, judged)
    take_steps(shared, worker)
    with worker.ledger.sole_owner(f"lineage-{shared.id}"):
        start(Worker(tmp_path, {}), shared, found).join(timeout=60)
    assert [each.step for each in found[0]] == [0, 1]
