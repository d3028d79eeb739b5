"""From an answer with the body of ``forward`` to a module: the reference, then a ``ModelNew(Model)``."""

from __future__ import annotations

import ast
import textwrap

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.prompting.modules import MODEL_NEW, binds, parsed, without_future_imports
from pytest_kernelbench.records import Task


def parses_as_body(code: str) -> bool:
    """Whether the code, which may be indented, is Python and not blank."""
    return bool(code.strip()) and parsed(_dedented(code)) is not None


def with_forward(answer: str, task: Task) -> str:
    """The reference with the answer's ``forward``; raises TaskError where the reference has none itself."""
    answer, futures = without_future_imports(_dedented(answer))
    tree = parsed(answer)
    body = tree.body if tree is not None else []
    if any(binds(node, MODEL_NEW) for node in body):
        addition = answer
    elif classes := [node for node in body if isinstance(node, ast.ClassDef) and _forward_in(node.body)]:
        addition = f"{answer.rstrip()}\n\n\n{MODEL_NEW} = {classes[-1].name}"
    elif forward := _forward_in(body):
        addition = _with_method(answer, forward)
    else:
        addition = _class_of(_signature(task) + "\n" + _indented(answer))
    top = "".join(f"{line}\n" for line in futures)
    return f"{top}{task.source.rstrip()}\n\n\n{addition.strip(chr(10)).rstrip()}\n"


def _with_method(answer: str, forward: ast.FunctionDef) -> str:
    """``answer`` with its top-level ``forward`` moved into the class; imports and helpers stay before it."""
    lines = answer.split("\n")
    start = min([forward.lineno, *(node.lineno for node in forward.decorator_list)]) - 1
    method = "\n".join(lines[start : forward.end_lineno])
    others = "\n".join(lines[:start] + lines[forward.end_lineno :]).strip("\n")
    return (f"{others}\n\n\n" if others else "") + _class_of(method)


def _class_of(method: str) -> str:
    return f"class {MODEL_NEW}(Model):\n{_indented(method)}"


def _signature(task: Task) -> str:
    """``def forward(self, A: Tensor, B: Tensor) -> Tensor:``, as the reference has it."""
    tree = parsed(task.source)
    for node in tree.body if tree is not None else []:
        if isinstance(node, ast.ClassDef) and node.name == "Model" and (forward := _forward_in(node.body)):
            returns = f" -> {ast.unparse(forward.returns)}" if forward.returns else ""
            return f"def forward({ast.unparse(forward.args)}){returns}:"
    raise TaskError(f"{task.path or task.id}: no class Model with a forward; a KernelBench task defines both")


def _forward_in(statements: list[ast.stmt]) -> ast.FunctionDef | None:
    for node in statements:
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            return node
    return None


def _dedented(text: str) -> str:
    """``text`` at the margin. The first line may be there already: a body is often continued after ``def``."""
    text = text.strip("\n")
    dedented = textwrap.dedent(text)
    if parsed(dedented) is None:
        first, _, rest = text.partition("\n")
        continued = f"{first.strip()}\n{textwrap.dedent(rest)}"
        if parsed(continued) is not None:
            return continued
    return dedented


def _indented(source: str) -> str:
    """``source`` four columns further in, except for lines inside a string, which would change its value."""
    inside = _lines_inside_strings(source)
    return "\n".join(
        line if number in inside or not line.strip() else f"    {line}"
        for number, line in enumerate(source.split("\n"), start=1)
    )


def _lines_inside_strings(source: str) -> frozenset[int]:
    tree = parsed(source)
    return frozenset(
        number
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
        for number in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    )
