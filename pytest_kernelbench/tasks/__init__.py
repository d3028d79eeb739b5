"""KernelBench tasks as text: found by selector, parsed with ``ast``, never imported here.

A selector is one of

    level1                          a packaged level
    level1:eval                     one of its splits: train, eval, subset1, subset2 (seed 42)
    level1:seed43.eval              the split drawn with another seed
    level1/12                       a task by number, by name, or by a glob: level1/*ReLU*
    ./my_task.py                    a task file
    ../KernelBench                  a KernelBench checkout, or one level folder of it
    ../KernelBench/KernelBench/level1:eval, .../level2/5
    hf, hf:level2                   the dataset ScalingIntelligence/KernelBench

A packaged level is meant before a folder of the same name; write ``./level1`` for the folder.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.records import Task
from pytest_kernelbench.host.resources import data_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATASET = "ScalingIntelligence/KernelBench"
DEFAULT_SEED = 42
PARTS = {"Model": "class", "get_inputs": "function", "get_init_inputs": "function"}


def load_tasks(selectors: str | Sequence[str], *, sizes: str = "full", small: Path | None = None) -> list[Task]:
    """The tasks that ``selectors`` name (see above; commas separate), in natural order, each once.

    ``sizes`` is ``full`` for the task's own constants, or ``small`` for those that the file ``small`` has of the task,
    else the ``small.toml`` beside it, else that of the packaged level of that name.

    Raises TaskError for a selector that names nothing,
    a file that is no task, two different tasks with one id, and a missing or unfitting small size.
    """
    if sizes not in ("full", "small"):
        raise TaskError(f'--kernelbench-sizes={sizes}: no such sizes; there are "full" and "small"')
    listed = [selectors] if isinstance(selectors, str) else selectors
    names = [name.strip() for selector in listed for name in str(selector).split(",") if name.strip()]
    if not names:
        raise TaskError("--tasks: no task named; give level1, level1:eval, level1/12, a path or hf")
    found: dict[str, Task] = {}
    for name in names:
        for task in _select(name):
            known = found.setdefault(task.id, task)
            if known.path != task.path:
                raise TaskError(
                    f"--tasks={name}: {task.id} is both {known.path or DATASET} and {task.path or DATASET}; "
                    "name one of them"
                )
    tasks = sorted(found.values(), key=lambda task: _natural(task.id))
    return tasks if sizes == "full" else _small(tasks, small)


def parse_task(path: Path) -> Task:
    """The task in the file ``path``, with id ``<folder>/<stem>``.

    Raises TaskError when the file cannot be read, does not parse, or lacks one of the three definitions.
    """
    path = _absolute(path)
    try:
        source = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read ({error}); give a KernelBench task in UTF-8") from error
    _check(source, str(path))
    return Task(id=f"{path.parent.name}/{path.stem}", source=source, path=path)


def is_task_file(path: Path) -> bool:
    """Whether ``path`` is a Python file that mentions all a task defines: cheap, and sure only for a "no"."""
    if path.suffix != ".py" or not path.is_file():
        return False
    text = path.read_bytes()
    return all(name.encode() in text for name in PARTS)


def with_sizes(source: str, sizes: Mapping[str, Any]) -> str:
    """``source`` with the module-level constants named in ``sizes`` set to these values.

    Only the assigned values change. Where one statement assigns several names (``a = b = 3``,
    ``M, N = 4, 8``), or updates one, the new value is assigned after it: ``a = b = 3; a = 5``. Raises
    TaskError for a name that no module-level statement assigns.
    """
    assigned = _assignments(_parse(source))
    for name in sizes:
        if name not in assigned:
            raise TaskError(f'cannot size "{name}": {_no_constant(name, assigned)}')
    text = source.encode()
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", text))]
    edits: list[tuple[int, int, str]] = []
    for name, value in sizes.items():
        for statement in assigned[name]:
            constant = _lone_value(statement)
            node = constant or statement
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            edits.append((begin, end, repr(value)) if constant else (end, end, f"; {name} = {value!r}"))
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new.encode() + text[end:]
    return text.decode()


def _select(selector: str) -> list[Task]:
    place = f"--tasks={selector}"
    base, colon, choice = selector.rpartition(":")
    if selector == "hf" or base == "hf":
        return _dataset(place, level=choice if colon else None)
    if (folder := _level_folder(selector)) is not None:
        return _tasks_of(folder)
    path = Path(selector).expanduser()
    if path.is_file():
        return [parse_task(path)]
    if path.is_dir():
        return _checkout(path, place)
    if colon and (folder := _level_folder(base)) is not None:
        return _split(folder, choice, place)
    base, slash, choice = selector.rpartition("/")
    if slash and (folder := _level_folder(base)) is not None:
        return _matching(folder, choice, place)
    levels = _packaged_levels()
    near = difflib.get_close_matches(selector, [*levels, "hf"], n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; packaged: {', '.join(levels)}"
    raise TaskError(f"{place}: no such level, file or folder{hint}")


def _packaged_levels() -> list[str]:
    return sorted(folder.name for folder in data_folder("tasks").glob("level*") if folder.is_dir())


def _level_folder(name: str) -> Path | None:
    """The packaged level called ``name``, else the folder ``name`` if task files lie right in it."""
    if name in _packaged_levels():
        return data_folder("tasks") / name
    folder = Path(name).expanduser()
    return folder if name and folder.is_dir() and any(_task_files(folder)) else None


def _task_files(folder: Path) -> Iterator[Path]:
    # A numbered file is meant as a task: if it is none, that is an error to show, not a file to pass over.
    for path in folder.glob("*.py"):
        if _number(path.stem) is not None or is_task_file(path):
            yield path


def _tasks_of(folder: Path) -> list[Task]:
    return [parse_task(path) for path in sorted(_task_files(folder), key=lambda path: _natural(path.stem))]


def _checkout(folder: Path, place: str) -> list[Task]:
    levels = [level for root in (folder / "KernelBench", folder) for level in root.glob("level*")]
    tasks = [task for level in levels if level.is_dir() for task in _tasks_of(level)]
    if not tasks:
        raise TaskError(f"{place}: holds no KernelBench task; give a level folder or a KernelBench checkout")
    return tasks


def _split(folder: Path, choice: str, place: str) -> list[Task]:
    level = _absolute(folder).name
    stem = level.replace("level", "l") + "_seed"
    files = {path.stem.removeprefix(stem): path for path in data_folder("tasks").glob(f"splits/{stem}*.toml")}
    if not files:
        raise TaskError(f"{place}: {level} has no splits; give {level}, or tasks of it such as {level}/1")
    named_seed = re.fullmatch(r"seed([^.]*)\.(.*)", choice)
    seed, name = named_seed.groups() if named_seed else (str(DEFAULT_SEED), choice)
    if seed not in files:
        seeds = ", ".join(f"seed{known}" for known in sorted(files, key=_natural))
        raise TaskError(f"{place}: no such seed; there are {seeds}")
    splits = _toml(files[seed])
    if name not in splits:
        raise TaskError(f"{place}: no such split; there are {', '.join(splits)}")
    by_number = {_number(task.name): task for task in _tasks_of(folder)}
    for number in splits[name]:
        if number not in by_number:
            raise TaskError(f"{place}: the split has task {number}, which {folder} lacks")
    return [by_number[number] for number in splits[name]]


def _matching(folder: Path, choice: str, place: str) -> list[Task]:
    tasks, level = _tasks_of(folder), _absolute(folder).name
    if choice.isdecimal():
        chosen = [task for task in tasks if _number(task.name) == int(choice)]
    else:
        chosen = [task for task in tasks if choice == task.name or fnmatchcase(task.name, choice)]
    if chosen:
        return chosen
    if choice.isdecimal():
        numbers = [number for task in tasks if (number := _number(task.name)) is not None]
        there = f"{level} has " + (f"{min(numbers)} to {max(numbers)}" if numbers else "no numbered task")
    # Task names are long: a half-remembered one shares less than difflib's usual 0.6 with the right one.
    elif near := difflib.get_close_matches(choice, [task.name for task in tasks], n=1, cutoff=0.4):
        there = f"did you mean {level}/{near[0]}?"
    else:
        there = f"{level} has {len(tasks)}, the first is {tasks[0].id}"
    raise TaskError(f"{place}: no such task; {there}")


def _dataset(place: str, level: str | None) -> list[Task]:
    try:
        from datasets import load_dataset
    except ModuleNotFoundError as error:
        raise TaskError(
            f"{place}: needs the package datasets; pip install datasets, or give a KernelBench checkout"
        ) from error
    try:
        splits = load_dataset(DATASET)
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise TaskError(
            f"{place}: {DATASET} did not load ({reason}); go online once, or give a KernelBench checkout"
        ) from error
    tasks = [
        Task(id=f"level{row['level']}/{_numbered(row)}", source=row["code"]) for rows in splits.values() for row in rows
    ]
    chosen = [task for task in tasks if level in (None, task.level)]
    if not chosen:
        levels = sorted({task.level for task in tasks})
        raise TaskError(f"{place}: no such level; there are {', '.join(levels)}")
    for task in chosen:
        _check(task.source, f"{DATASET} {task.id}")
    return chosen


def _numbered(row: Mapping[str, Any]) -> str:
    name = str(row["name"]).removesuffix(".py")
    return name if _number(name) is not None else f"{row['problem_id']}_{name}"


def _small(tasks: Iterable[Task], small: Path | None) -> list[Task]:
    tables: dict[Path, dict[str, Any]] = {}
    if small is not None:
        if not small.is_file():
            raise TaskError(f"--kernelbench-small={small}: no such file; give a TOML file with a table for each task")
        tables[small] = _toml(small)
    sized = []
    for task in tasks:
        own = task.path.parent / "small.toml" if task.path else None
        packaged = data_folder("tasks") / task.level / "small.toml"
        file = own if own and own.is_file() else packaged
        # Two levels may have tasks of one name: a quoted ["level2/1_Name"] means one of them.
        key = next((key for key in (task.id, task.name) if small is not None and key in tables[small]), None)
        if small is not None and key is not None:
            file = own = small
        if file not in tables:
            tables[file] = _toml(file) if file.is_file() else {}
        sizes = tables[file].get(key or task.name)
        if sizes is not None and not isinstance(sizes, dict):
            raise TaskError(f"{file}: {task.name} is no table; write [{task.name}] and its constants below")
        assigned = _assignments(_parse(task.source))
        unknown = [name for name in sizes or () if name not in assigned]
        if unknown and file == own:
            raise TaskError(f'{file}: [{task.name}] "{unknown[0]}": {_no_constant(unknown[0], assigned)}')
        # A checkout's task may be of a version with other constants: then the packaged sizes are not for it.
        if sizes is None or unknown:
            remedy = f"add [{task.name}] to {own} or use" if own else "use"
            raise TaskError(
                f"--kernelbench-sizes=small: no small size for {task.id}; {remedy} --kernelbench-sizes=full"
            )
        sized.append(replace(task, sizes={name: _frozen(value) for name, value in sizes.items()}))
    return sized


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{file}: is not TOML ({error}); correct it") from error


def _check(source: str, place: str) -> None:
    try:
        tree = _parse(source)
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte, before Python 3.12
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise TaskError(f"{place}{line}: does not parse ({reason}); correct it or leave it out") from error
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    defined |= _assignments(tree).keys()
    missing = [f"no {kind} {name}" for name, kind in PARTS.items() if name not in defined]
    if missing:
        raise TaskError(
            f"{place}: {', '.join(missing)}; a KernelBench task defines Model, get_inputs and get_init_inputs"
        )


def _parse(source: str) -> ast.Module:
    # Tasks hold strings such as "\d", about which Python warns; where warnings are errors that is no fault.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _assignments(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Module-level names, each with the statements that give it a value, in order."""
    assigned: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)) and statement.value is not None:
            targets = [statement.target]
        else:
            continue
        nodes = [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        for name in dict.fromkeys(node.id for node in nodes if isinstance(node.ctx, ast.Store)):
            assigned.setdefault(name, []).append(statement)
    return assigned


def _lone_value(statement: ast.stmt) -> ast.expr | None:
    """The value of a statement that does nothing but give one name a value."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return statement.value if isinstance(statement.targets[0], ast.Name) else None
    return statement.value if isinstance(statement, ast.AnnAssign) else None


def _no_constant(name: str, assigned: Iterable[str]) -> str:
    known = list(assigned)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(known) or 'none'}"
    return f"the task assigns no such module-level constant; {hint}"


def _absolute(path: Path) -> Path:
    # Not resolve(): where a package manager links files in from a store, the link carries the task's name.
    return Path(os.path.abspath(path))


def _number(name: str) -> int | None:
    match = re.match(r"[0-9]+", name)
    return int(match[0]) if match else None


def _natural(text: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", text)]
