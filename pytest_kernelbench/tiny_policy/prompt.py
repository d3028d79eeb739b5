"""The prompt of the tiny policy: the target, and the parts of the task that define computation and inputs."""

from __future__ import annotations

import ast

from pytest_kernelbench.errors import TaskError, suggestion

TARGETS = ("cpu", "cuda")


class _Bare(ast.NodeTransformer):
    """Drops annotations and docstrings."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def _without_docstring(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node


def compact(source: str) -> str:
    """A KernelBench file's constants, class ``Model`` and ``get_inputs``, without docstrings, comments, annotations.

    The class alone would not do: of level 1, nine tasks that differ only in their shapes share it to the letter.
    Raises TaskError if ``source`` does not parse or defines no class ``Model``.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise TaskError(f"task source: line {error.lineno} does not parse ({error.msg}); correct the file") from None
    constants = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    named = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    if not isinstance(named.get("Model"), ast.ClassDef):
        raise TaskError("task source: no class Model; a KernelBench task defines one")
    parts = [*constants, named["Model"], *([named["get_inputs"]] if "get_inputs" in named else [])]
    bare = [node for part in parts if (node := _Bare().visit(part)) is not None]
    return "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in bare)


def prompt_for(source: str, target: str) -> str:
    """The whole prompt for ``target`` (``cpu`` or ``cuda``); ValueError for another one."""
    if target not in TARGETS:
        hint = suggestion(target, TARGETS) or "it knows cpu and cuda"
        raise ValueError(f'tiny policy: unknown target "{target}"; {hint}')
    return f"<target>{target}</target>\n{compact(source)}\n"


def fenced(module: str) -> str:
    """A module text as the policy writes it: the whole completion."""
    return f"```python\n{module.strip()}\n```"
