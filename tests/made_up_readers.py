"""Policies that read what became of earlier answers, or do not, for the pipeline with a made-up evaluator."""

from made_up_bench import Bench, module

from pytest_kernelbench.records import Completion
from pytest_kernelbench.strategy import EvaluationSettings, Sampling, SearchSettings, SelectionSettings, Strategy

SPEEDUPS = {"good": 1.2, "best": 2.0, "reference": 1.0}


class Reader(Bench):
    """Answers wrongly at first, and repairs what the verdict that it reads names."""

    def __init__(self, folder, **settings):
        super().__init__(folder, [], SPEEDUPS, **settings)
        self.read = {}

    def sample(self, task, sampling, *, seed, indices, advice=""):
        for index in indices:
            self.tick()
            self.sampled.append(index)
            self.read[index] = advice
            word = self.answer_to(advice)
            text = f"```python\n{module(word)}```"
            yield Completion(task=task.id, index=index, text=text, policy="fake", logprobs=(-float(index),))

    def answer_to(self, advice):
        if "outcome: incorrect" in advice:
            return "good"
        return "best" if "speed-up: 1.2x" in advice or "speed-up: 2x" in advice else "wrong"


class Deaf(Reader):
    def answer_to(self, advice):
        return "wrong"


def searching(method, k=6, width=2):
    return Strategy(
        name=method,
        sampling=Sampling(k=k),
        evaluation=EvaluationSettings(protocol="fast"),
        selection=SelectionSettings(by="fastest"),
        search=SearchSettings(method=method, width=width) if method in ("refine", "evolve") else None,
    )
