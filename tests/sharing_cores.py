"""How the workers of a suite under ``-n`` share the cores: quiet tests, who runs which file, and what is kept."""

import fcntl
import gc
import os
import sys
from importlib import import_module

import pytest
from xdist.scheduler import LoadFileScheduling

# In each worker, and in the processes that tests start, numpy's BLAS computes in one thread: with two of them on each
# of two workers, reports of 48 small runs took 6.7 s of a core and not 2.8. Candidates do not see it. It is read when
# numpy is imported, which is here: numpy cannot be imported a second time, as after a session within the process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import_module("numpy")

# Files that take longest. They begin first, so that none of them runs alone at the end while the other cores idle.
LONG = (
    # Quiet tests are in the first two. Each row of them waits for the end of the other worker's test, so that worker
    # begins with files whose tests take 2 s at most.
    *("test_adversarial", "test_evaluation_verdicts"),
    *("test_adaptation_learning", "test_plugin_benchmark", "test_plugin_manners"),
    *("test_evaluation_evaluator", "test_evaluation_tasks"),
    *("test_benchmarks_run", "test_serving_ray", "test_hostile", "test_plugin_adaptation", "test_evaluation_sandbox"),
    *("test_evaluation_sandbox_processes", "test_evaluation_builds_anywhere", "test_adaptation_fsdp"),
    *("test_plugin_ci_story", "test_adaptation_loop", "test_plugin_resume", "test_sharding", "test_reports_figures"),
    *("test_plugin_gates", "test_plugin_baselines", "test_evaluation_findings", "test_plugin_main_job", "test_docs_ci"),
    *("test_evaluation_pool", "test_durations", "test_lookahead", "test_plugin_fixtures", "test_evaluation_gates"),
)
# Folders and files whose tests have kernels judged. Judges of all workers take turns on the machine, so one worker has
# these files, and the others what needs no turn: two workers that each want a trial would wait for each other.
WITH_TRIALS = (
    *("adversarial/", "evaluation/", "test_benchmarks_kernelbench_peer.py", "test_benchmarks_run.py"),
    *("test_docs_ci.py", "test_docs_extending.py", "test_docs_how_to.py", "test_docs_records.py"),
    *("test_docs_rl_trainer.py", "test_lookahead.py", "test_plugin_baselines.py", "test_plugin_ci_story.py"),
    *("test_plugin_main_job.py", "test_plugin_resume.py", "test_replay.py", "test_task_check.py"),
)


class OneWorkerHasTheTrials(LoadFileScheduling):
    """As ``--dist loadfile``; of the files that are left, the first worker prefers those with trials, others the rest.

    A worker for which none of its kind is left takes one of the other kind.
    """

    def _assign_work_unit(self, node):
        has_trials = node is self.nodes[0]
        preferred = (file for file in self.workqueue if any(each in file for each in WITH_TRIALS) == has_trials)
        self.workqueue.move_to_end(next(preferred, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return OneWorkerHasTheTrials(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_configure(config):
    """Processes that tests start keep the bytecode of this package: each would compile it anew, 0.2 s of 1.4 s.

    Of files, those with the most tests come first under ``--dist loadfile``, unless told otherwise: ``LONG`` is better.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    config.option.loadscopereorder = False
    # What is imported and collected stays: going through it for garbage takes 2 s of a core while it comes, and 1 s
    # each time that a test, or Python, collects garbage.
    gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Long files begin first. In a file the quiet tests come last, in a row, after what others have started."""
    places = {name: place for place, name in enumerate(LONG)}
    files = {path: place for place, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (places.get(item.path.stem, len(LONG)), files[item.path], _is_quiet(item)))


def held(file, how):
    """An open file with a lock on it, which closing gives back."""
    opened = file.open("w")
    fcntl.flock(opened, how)
    return opened


# The lock with which this worker runs a test; a quiet test's keeps the other workers waiting.
FLOOR = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Under ``-n``, a test that is marked ``quiet`` runs, with its fixtures, while no other test does on any worker.

    All pass one gate, so that a quiet test, which waits in it, is not kept waiting by tests that come after it. Quiet
    tests in a row keep the floor: each would wait for the end of a test that another worker began in between.

    In this process torch has one thread: where the cores are busy, threads wait for each other (the tests of precisions
    took 16 s of a core, and over 63 s with two threads). Judges have the threads that they ask for.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    config = item.config
    if not hasattr(config, "workerinput"):
        return (yield)
    if FLOOR not in config.stash:
        config.stash[FLOOR] = _floor(config, fcntl.LOCK_EX if _is_quiet(item) else fcntl.LOCK_SH)
    try:
        return (yield)
    finally:
        if not (_is_quiet(item) and _is_quiet(nextitem)):
            config.stash[FLOOR].close()
            del config.stash[FLOOR]


def _is_quiet(item):
    return item is not None and item.get_closest_marker("quiet") is not None


def _floor(config, how):
    folder = config._tmp_path_factory.getbasetemp().parent
    with held(folder / "gate", fcntl.LOCK_EX):
        return held(folder / "floor", how)
