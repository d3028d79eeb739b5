"""The text of a task: check that it is a task, find its constants, and change their values.

Tasks are parsed with ``ast`` and never imported here.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_kernelbench.errors import TaskError, suggestion

PARTS = {"Model": "class", "get_inputs": "function", "get_init_inputs": "function"}


def check(source: str, place: str) -> None:
    """Raise TaskError, which names ``place``, unless ``source`` defines ``Model`` and the two functions of a task."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte, before Python 3.12
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise TaskError(f"{place}{line}: does not parse ({reason}); correct it or leave it out") from error
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    defined |= assignments(tree).keys()
    missing = [f"no {kind} {name}" for name, kind in PARTS.items() if name not in defined]
    if missing:
        raise TaskError(
            f"{place}: {', '.join(missing)}; a KernelBench task defines Model, get_inputs and get_init_inputs"
        )


def with_sizes(source: str, sizes: Mapping[str, Any]) -> str:
    """``source`` with the module-level constants named in ``sizes`` set to these values.

    Only the assigned values change. Where one statement assigns several names (``a = b = 3``,
    ``M, N = 4, 8``), or updates one, the new value is assigned after it: ``a = b = 3; a = 5``. Raises
    TaskError for a name that no module-level statement assigns.
    """
    assigned = assignments(parse(source))
    for name in sizes:
        if name not in assigned:
            raise TaskError(f'cannot size "{name}": {no_constant(name, assigned)}')
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


def parse(source: str) -> ast.Module:
    """The syntax tree. Raises SyntaxError, or ValueError for a null byte before Python 3.12."""
    # Some tasks have strings such as "\d", for which Python warns. That must not fail where warnings are errors.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def assignments(tree: ast.Module) -> dict[str, list[ast.stmt]]:
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
    """The value expression of a statement that assigns one name and does nothing else; None for other statements."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return statement.value if isinstance(statement.targets[0], ast.Name) else None
    return statement.value if isinstance(statement, ast.AnnAssign) else None


def text_for_a_number(value: Any, assigned: Iterable[ast.stmt]) -> str | None:
    """The error text for a size that is a text, where the statements of the constant assign a number; else None.

    A list is allowed: ``kernel_size = 3`` may become ``(3, 5)``.
    """
    constants = [_lone_value(statement) for statement in assigned]
    numbers = [each for each in constants if isinstance(each, ast.Constant) and type(each.value) in (int, float)]
    if not isinstance(value, str) or not numbers:
        return None
    return f'it is a number in the task, and "{value[:40]}" is a text; write a number'


def no_constant(name: str, assigned: Iterable[str]) -> str:
    """The error text for a size whose ``name`` is not a constant of the task. Suggests the most similar constant."""
    known = list(assigned)
    hint = suggestion(name, known) or f"there are {', '.join(known) or 'none'}"
    return f"the task assigns no such module-level constant; {hint}"
