"""A judge that takes no time, for pools."""

import threading

from pytest_kernelbench.errors import HarnessError, JudgeEnded
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of


class MadeUpJudge:
    """Says of each source that it is incorrect, and notes what it was asked; sources can have it die or wait."""

    asked: list[tuple[str, tuple[str, ...]]]
    wait: threading.Event

    def __init__(self, **settings):
        self.settings = settings

    def start(self):
        pass

    def evaluate(self, task, sources):
        self.asked.append((task.name, tuple(sources)))
        for source in sources:
            if source.startswith("wait"):
                assert self.wait.wait(10)
            if source.endswith("die") or (source == "die once" and len(self.asked) == 1):
                raise JudgeEnded("the judge on cpu ended (made up); run again to resume")
            if source == "bug":
                raise ZeroDivisionError("a bug\nin two lines")
            if source == "refuse":
                raise HarnessError(f"{task.id}: the reference does not run on cpu (made up)")
            yield Evaluation(source_sha256=sha256_of(source), outcome=Outcome.INCORRECT)

    def close(self):
        self.wait.set()
