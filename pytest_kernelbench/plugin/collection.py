"""Task files as pytest nodes: ``tasks/level1/19_ReLU.py::kernel[surprisal-top3]``. No task is ever imported."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_kernelbench.errors import KernelBenchError, TaskError
from pytest_kernelbench.pinned.regressions import ItemResult, id_of
from pytest_kernelbench.plugin.kept import Gone
from pytest_kernelbench.plugin.session import Session
from pytest_kernelbench.records import Selection, Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import is_task_file, parse_task

# The folder that a task from outside the root folder has in its id.
ELSEWHERE = "tasks"


SESSION = pytest.StashKey[Session]()


class TaskSet(pytest.Directory):
    """Replaces the root folder's collector when no path was named. Collects the run's tasks from any folder."""

    def collect(self) -> Iterator[pytest.File]:
        for task in self.config.stash[SESSION].tasks:
            yield TaskFile.of_task(self, task)


def items_beside_tests(session: pytest.Session) -> Iterator[pytest.Item]:
    """The items of all tasks of the run, for a session that also collects the repository's own tests."""
    tasks = TaskSet.from_parent(session, path=session.config.rootpath)
    for file in tasks.collect():
        yield from session.genitems(file)


class TaskFile(pytest.Module):
    """The file of one task. A pytest Module, since Functions need one as parent; its Python module is empty."""

    task: Task

    @classmethod
    def of_task(cls, parent: pytest.Collector, task: Task) -> TaskFile:
        root = parent.config.rootpath
        path = task.path
        if path is None or not path.is_relative_to(root):
            # Node ids are relative to the root folder; a task from elsewhere gets the place it would have here.
            path = root / ELSEWHERE / f"{task.id}.py"
        self: TaskFile = cls.from_parent(parent, path=path)
        self.obj = types.ModuleType(path.stem)
        self.task = task
        return self

    @property
    def ihook(self) -> Any:
        # Only folders that pytest walked through have their conftest's hooks: a task found elsewhere has the root's.
        return self.parent.ihook if isinstance(self.parent, TaskSet) else super().ihook

    def collect(self) -> Iterator[pytest.Item]:
        session = self.config.stash.get(SESSION, None)
        if session is None:
            return
        for strategy in session.strategies:
            if session.belongs(self.task, strategy):
                yield KernelItem.of_strategy(self, strategy)


class KernelItem(pytest.Function):
    """One task under one strategy. A harness fault is an error of the item; a missed gate of a kept kernel, a failure.

    Set when the item has run: ``selection`` is the chosen candidate, ``entry`` its times for pytest-benchmark, ``gate``
    the result of its gate for the terminal; the latter two None if there are none.
    """

    task: Task
    strategy: Strategy
    selection: Selection | None = None
    entry: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None

    @classmethod
    def of_strategy(cls, parent: TaskFile, strategy: Strategy) -> KernelItem:
        name = f"kernel[{strategy.name}]"
        self: KernelItem = cls.from_parent(parent, name=name, callobj=kernel)
        if hasattr(self, "_id"):
            # From pytest 9.2 on ids are compared by their parts, and --lf finds only ids with equal parts.
            self._id = type(self._id).parse(self.nodeid)
        self.task, self.strategy = parent.task, strategy
        self.add_marker(marker_of(parent.task, strategy.name))
        return self

    @property
    def ihook(self) -> Any:
        assert self.parent is not None
        return self.parent.ihook

    def run(self) -> None:
        result = self.config.stash[SESSION].run_item(self.task, self.strategy)
        self.selection, self.entry = result.selection, result.entry
        self.gate = result.gated.to_json(id_of(self.task.id, self.strategy.name)) if result.gated else None
        self.user_properties += properties_of(result)
        if result.failure is not None:
            pytest.fail(result.failure, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.task.id}[{self.strategy.name}]"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], **settings: Any) -> Any:
        if isinstance(excinfo.value, KernelBenchError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, **settings)


class GoneItem(pytest.Item):
    """Takes the place of the item of a kernel file whose task is renamed or gone, and fails with one line."""

    # As of a task's item: --benchmark-only and --benchmark-skip select by the name of this fixture.
    fixturenames = ("benchmark",)
    gone: Gone

    @classmethod
    def of(cls, session: pytest.Session, gone: Gone) -> GoneItem:
        file = GoneFile.from_parent(session, path=session.config.rootpath / ELSEWHERE / f"{gone.task}.py")
        self: GoneItem = cls.from_parent(file, name=f"kernel[{gone.strategy}]")
        self.gone = gone
        self.add_marker(marker_of(Task(id=gone.task, source=""), gone.strategy))
        return self

    def runtest(self) -> None:
        pytest.fail(self.gone.why, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, id_of(self.gone.task, self.gone.strategy)


class GoneFile(pytest.File):
    """The file that the task would be in."""

    def collect(self) -> Iterator[pytest.Item]:
        return iter(())


def properties_of(result: ItemResult) -> list[tuple[str, object]]:
    """Names and values for JUnit's XML: verdict, speed-up, times, device, gate. Without a choice, the verdict alone."""
    selection = result.selection
    if selection.index is None:
        return [("verdict", "unsolved")]
    timed = result.entry["extra_info"] if result.entry else {}
    measured = {
        "index": selection.index,
        "speedup": selection.confirmed_speedup,
        "speedup_low": selection.confirmed_low,
        "speedup_high": selection.confirmed_high,
        **{name: timed.get(name) for name in ("candidate_ms", "reference_ms", "device")},
    }
    known = [(name, value) for name, value in measured.items() if value is not None]
    gated = result.gated.properties() if result.gated else []
    return [("verdict", "fast" if selection.fast else "correct"), *known, *gated]


def word_for(selection: Selection | None) -> str:
    """``fast 1.42x``, ``correct 0.97x`` or ``unsolved``; empty where the harness failed."""
    if selection is None:
        return ""
    if selection.index is None:
        return "unsolved"
    speedup = selection.confirmed_speedup
    return ("fast" if selection.fast else "correct") + (f" {speedup:.2f}x" if speedup is not None else "")


def marker_of(task: Task, strategy: str | None) -> pytest.MarkDecorator:
    """The arguments of an item's mark, for ``-m "kernelbench(level=1, strategy='random')"``."""
    level = task.level.removeprefix("level")
    of_strategy = {} if strategy is None else {"strategy": strategy}
    return pytest.mark.kernelbench(level=int(level) if level.isdecimal() else level, task=task.id, **of_strategy)


def kernel(request: pytest.FixtureRequest) -> None:
    """The body of every item."""
    request.node.run()


def files_at(path: Path, parent: pytest.Collector, others: list[pytest.Collector]) -> list[pytest.Collector]:
    """The collectors to use for the file ``path``. ``others`` are the collectors of pytest and of other plugins.

    A task file has a TaskFile and no other collector. With ``--strategy``, files that are no tasks are collected only
    if the command line names them. Without it, a task file named on the command line collects nothing: pytest would
    import it.
    """
    session = parent.config.stash.get(SESSION, None)
    named = parent.session.isinitpath(path)
    if session is None and not named:
        return others
    try:
        task = _task_at(path)
        if task is None:
            return others if named or session is None or session.asked.beside_tests else []
        if session and session.asked.beside_tests and not named:
            return []  # ``items_beside_tests`` has the tasks of the run
        task = session.sized(task) if session else task
    except KernelBenchError as error:
        raise parent.CollectError(str(error)) from error
    return [TaskFile.of_task(parent, task)] if task else []


def _task_at(path: Path) -> Task | None:
    if not is_task_file(path):
        return None
    try:
        return parse_task(path)
    except TaskError:
        if path.stem[0].isdigit():
            raise
        return None


def items_named(arguments: Sequence[str], root: Path) -> dict[str, str]:
    """Item ids among the command line's ``arguments`` whose task is not below ``root``, and the id of each task.

    Such an id is ``tasks/level1/19_ReLU.py::kernel[random]``, as pytest prints it for a packaged task, where no file
    of that name exists. Empty unless every argument is such an id.
    """
    found = {}
    for argument in arguments:
        file = Path(argument.partition("::")[0])
        if file.parts[:1] != (ELSEWHERE,) or file.suffix != ".py" or (root / file).exists():
            return {}
        found[argument] = "/".join(file.with_suffix("").parts[1:])
    return found


def in_order(
    items: Sequence[pytest.Item], strategies: Sequence[str], shard: tuple[int, int], *, named: Sequence[str] = ()
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The items to run, and the items to deselect.

    Items are sorted by task, then in the order of ``strategies``, whatever order another plugin gave them: a task is
    then sampled once for all strategies. Deselected are the items of other shards and, if ids are ``named``, the items
    that have none of these ids.

    Raises pytest.UsageError if two files have the same task id, or if no item has an id that is ``named``.
    """
    kernels = [item for item in items if isinstance(item, KernelItem)]
    files: dict[str, Path] = {}
    for item in kernels:
        if files.setdefault(item.task.id, item.path) != item.path:
            other = files[item.task.id]
            raise pytest.UsageError(f"{item.path} and {other} are both {item.task.id}; name one of them")
    place = {name: number for number, name in enumerate(strategies)}
    kernels.sort(key=lambda item: (_natural(item.task.id), place[item.strategy.name]))
    i, n = shard
    ours = {task for place, task in enumerate(sorted(files, key=_natural)) if place % n == i - 1}
    kept = [item for item in kernels if item.task.id in ours]
    for name in named:
        if not any(_is_or_has(name, item) for item in kernels):
            raise pytest.UsageError(f"{name}: no such item; pytest --collect-only -q lists them")
    if named:
        kept = [item for item in kept if any(_is_or_has(name, item) for name in named)]
    rest = [item for item in items if not isinstance(item, KernelItem)]
    left_out = set(kernels) - set(kept)
    return [*kept, *rest], [item for item in kernels if item in left_out]


def _is_or_has(name: str, item: pytest.Item) -> bool:
    return item.nodeid == name or item.nodeid.startswith(f"{name}::")


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
