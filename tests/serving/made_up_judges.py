"""Judges that take no time: every source is incorrect, but for those whose text asks for something else."""

import time

from pytest_kernelbench.errors import HarnessError, JudgeEnded
from pytest_kernelbench.evaluation import EvaluatorPool
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of


class MadeUpJudge:
    deaths: list[str]

    def __init__(self, **settings):
        pass

    def start(self):
        pass

    def evaluate(self, task, sources):
        for source in sources:
            if source == "slow":
                time.sleep(0.5)
            if source == "dies twice" and self.deaths.append(source) is None and len(self.deaths) <= 2:
                raise JudgeEnded("the judge on cpu ended (made up); run again to resume")
            if source == "fault":
                raise HarnessError(f"{task.id}: the reference does not run on cpu (made up)")
            outcome = Outcome.CORRECT if source == "right" else Outcome.INCORRECT
            yield Evaluation(source_sha256=sha256_of(source), outcome=outcome)

    def close(self):
        pass


def made_up_pool(judges=2):
    kind = type("Judge", (MadeUpJudge,), {"deaths": []})
    return EvaluatorPool(devices=["cpu"] * judges, evaluator=kind)
