"""Judges that take no time: every source is incorrect, but for those whose text asks for something else, as the
kernels of ``ci_project`` do.

A kernel that is compared with its baseline takes as long as its text says ("takes 1.1"), or 1.
"""

import re
import time

from pytest_kernelbench.errors import HarnessError, JudgeEnded
from pytest_kernelbench.evaluation import EvaluatorPool
from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of

TIMES = {
    **{"speedup": 1.0, "speedup_low": 0.9, "speedup_high": 1.1, "pairs": 6},
    **{"reference_ms": 1.0, "candidate_ms": 1.0, "candidate_times_ms": (1.0, 1.1, 0.9) * 2},
}


def time_in(source):
    found = re.search(r"takes ([\d.]+)", source)
    return float(found[1]) if found else 1.0


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
            self.refuse(task, source)
            if "REPEATS" in source:
                yield Evaluation(source_sha256=sha256_of(source), outcome=Outcome.CORRECT, **TIMES)
                continue
            outcome = Outcome.CORRECT if source == "right" else Outcome.INCORRECT
            yield Evaluation(source_sha256=sha256_of(source), outcome=outcome)

    def compared(self, task, source, baseline_source, gate):
        self.refuse(task, source)
        slowdown = time_in(source) / time_in(baseline_source)
        verdict = "slower" if slowdown > gate.max_slowdown else "same_or_faster"
        return Comparison(
            verdict=verdict, slowdown=slowdown, low=slowdown, high=slowdown, series=gate.sizes, seconds=gate.seconds
        )

    def refuse(self, task, source):
        if source == "dies twice" and self.deaths.append(source) is None and len(self.deaths) <= 2:
            raise JudgeEnded("the judge on cpu ended (made up); run again to resume")
        if source == "fault":
            raise HarnessError(f"{task.id}: the reference does not run on cpu (made up)")

    def close(self):
        pass


def made_up_pool(judges=2):
    kind = type("Judge", (MadeUpJudge,), {"deaths": []})
    return EvaluatorPool(devices=["cpu"] * judges, evaluator=kind)
