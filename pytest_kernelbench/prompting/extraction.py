"""From the text of an answer to the source of a module that defines ``ModelNew``.

Only an answer with nothing in it has no source. Code that does not parse is a source all the same: its verdict
is ``build_error``, with the line, and not ``no_source``.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.records import Task

FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})(?P<tag>[^`]*)")
MENTIONS_MODEL_NEW = re.compile(r"^[ \t]*class[ \t]+ModelNew\b", re.MULTILINE)
MODEL_NEW = "ModelNew"


def extract_source(text: str, *, answer: str, task: Task) -> str | None:
    """The module that an answer means, or None where there is none.

    ``module``: the last fenced block that parses and defines ``ModelNew``, else the last that has a
    ``class ModelNew`` (a truncated answer), else the whole text if it parses and defines it.

    ``forward_body``: the first fenced block that is not blank, else the whole text, appended to the reference:
    statements become ``forward`` of a ``ModelNew(Model)`` with the reference's signature, a ``def forward``
    becomes its method, a class is taken as it is.

    Never raises for any ``text``. Raises TaskError where the reference has no ``Model.forward``.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _module(text) if answer == "module" else _with_forward(text, task)


def answered_code(text: str, *, answer: str) -> str | None:
    """The part of ``text`` that ``extract_source`` takes for the answer's code, or None where there is none."""
    return _module(text) if answer == "module" else _first_block(text)


def fenced_blocks(text: str) -> Iterator[str]:
    """Contents of the fenced blocks, without the fence's own indentation; the last may lack its end."""
    marks, indent = "", ""
    lines: list[str] = []
    for line in text.split("\n"):
        fence = FENCE.fullmatch(line)
        if not marks:
            if fence:
                marks, indent, lines = fence["marks"], fence["indent"], []
        elif fence and fence["marks"].startswith(marks) and not fence["tag"].strip():
            yield "\n".join(lines)
            marks = ""
        else:
            lines.append(line.removeprefix(indent))
    if marks:
        yield "\n".join(lines)


def _module(text: str) -> str | None:
    blocks = list(fenced_blocks(text))
    for block in reversed(blocks):
        if _defines_model_new(block):
            return block
    for block in reversed(blocks):
        if MENTIONS_MODEL_NEW.search(block):
            return block
    return text if _defines_model_new(text) else None


def _defines_model_new(source: str) -> bool:
    tree = _parsed(source)
    return tree is not None and any(_binds(node, MODEL_NEW) for node in tree.body)


def _binds(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return isinstance(node, ast.ClassDef) and node.name == name


def _first_block(text: str) -> str | None:
    return next((block for block in list(fenced_blocks(text)) or [text] if block.strip()), None)


def _with_forward(text: str, task: Task) -> str | None:
    answer = _first_block(text)
    if answer is None:
        return None
    answer = _dedented(answer)
    tree = _parsed(answer)
    body = tree.body if tree is not None else []
    if any(_binds(node, MODEL_NEW) for node in body):
        addition = answer
    elif classes := [node for node in body if isinstance(node, ast.ClassDef) and _forward_in(node.body)]:
        addition = f"{answer.rstrip()}\n\n\n{MODEL_NEW} = {classes[-1].name}"
    elif forward := _forward_in(body):
        addition = _with_method(answer, forward)
    else:
        addition = _class_of(_signature(task) + "\n" + _indented(answer))
    return f"{task.source.rstrip()}\n\n\n{addition.rstrip()}\n"


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
    tree = _parsed(task.source)
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
    if _parsed(dedented) is None:
        first, _, rest = text.partition("\n")
        continued = f"{first.strip()}\n{textwrap.dedent(rest)}"
        if _parsed(continued) is not None:
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
    tree = _parsed(source)
    return frozenset(
        number
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
        for number in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    )


def _parsed(source: str) -> ast.Module | None:
    with warnings.catch_warnings():
        # An invalid escape in an answer is the answer's affair.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        # Null bytes and lone surrogates are ValueErrors, deep nesting the last two.
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
