"""One item goes forward: from the hook to the record, calls are of modules further down, but for those counted here."""

import json

from project import Project

# In the project's own conftest.py: evaluations are made up, and the calls of the first item are noted.
CONFTEST = """
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, {tests!r})

from climbs import traced
from made_up_bench import evaluation_of

from pytest_kernelbench.workbench import Workbench


class MadeUp:
    clocks, findings, was_asked = None, {{}}, True

    def describe(self):
        return {{}}

    def evaluate(self, task, sources):
        for source in sources:
            yield evaluation_of(source, None if "x + 1" in source else 1.5)

    def make_ready(self, task):
        pass

    def prepare(self, task, sources):
        pass

    def release(self):
        pass

    close = release


Workbench._local = lambda bench, strategy: MadeUp()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    with traced() as trace:
        yield
    found = {{"climbs": trace.climbs, "modules": sorted(trace.modules), "calls": len(trace.calls)}}
    Path("trace.json").write_text(json.dumps(found))
"""


def trace_of(folder, *arguments, **settings):
    project = Project(folder)
    (folder / "conftest.py").write_text(CONFTEST.format(tests=__file__.rpartition("/")[0]))
    done = project.run(*arguments, **settings)
    assert done.returncode == 0, done.stdout
    return json.loads((folder / "trace.json").read_text())


def test_the_only_calls_of_a_search_that_go_up_ask_a_ranking_what_it_needs(tmp_path):
    found = trace_of(tmp_path, strategy="surprisal")
    assert found["climbs"] == [
        "strategy/strategy.py:needs_logprobs -> selection/base.py:needs_logprobs",
        "strategy/strategy.py:needs_self_certainty -> selection/base.py:needs_self_certainty",
    ]
    assert {"plugin/collection.py", "plugin/session.py", "pipeline.py", "rollouts.py"} <= set(found["modules"])
