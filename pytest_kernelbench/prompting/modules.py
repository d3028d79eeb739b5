"""The names that a piece of Python defines, from its text: it is parsed and never run."""

from __future__ import annotations

import ast
import builtins
import symtable
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache

MODEL_NEW = "ModelNew"
MAIN_GUARDS = ("__name__ == '__main__'", "'__main__' == __name__")
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom)
BUILTINS = frozenset(dir(builtins)) | {"__file__", "__name__", "__doc__"}


@lru_cache(maxsize=64)
def parsed(source: str) -> ast.Module | None:
    """The syntax tree, which callers must not change; None where the text is no Python."""
    with warnings.catch_warnings():
        # An invalid escape in an answer is the answer's affair.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        # Null bytes and lone surrogates are ValueErrors, deep nesting the last two.
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, and of its ``if``, ``try`` and ``with`` blocks, which bind names of the module too."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            inner = getattr(node, part, [])
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from statements([each for each in inner if isinstance(each, ast.stmt)])
                for handler in (each for each in inner if isinstance(each, ast.ExceptHandler)):
                    yield from statements(handler.body)


def binds(node: ast.stmt, name: str) -> bool:
    """Whether a statement defines the class ``name``, or assigns to it."""
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return node.value is not None and isinstance(node.target, ast.Name) and node.target.id == name
    return isinstance(node, ast.ClassDef) and node.name == name


def defines_model_new(source: str) -> bool:
    """Whether the text is a module that binds ``ModelNew``."""
    if MODEL_NEW not in source:
        return False
    tree = parsed(source)
    return tree is not None and any(binds(node, MODEL_NEW) for node in statements(tree.body))


def only_imports(source: str) -> bool:
    """Whether the text is Python that imports, and does nothing else."""
    tree = parsed(source)
    return tree is not None and bool(tree.body) and all(isinstance(n, ast.Import | ast.ImportFrom) for n in tree.body)


def is_complete(source: str) -> bool:
    """Whether ``ModelNew`` has a ``forward`` that does something: of its own, or of a class of the module."""
    tree = parsed(source)
    if tree is None:
        return False
    classes = {node.name: node for node in statements(tree.body) if isinstance(node, ast.ClassDef)}
    found = [node for node in statements(tree.body) if binds(node, MODEL_NEW)]
    if not found:
        return False
    last = found[-1]
    if isinstance(last, ast.ClassDef):
        return _does_something(last, classes, frozenset())
    value = last.value if isinstance(last, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Name) and value.id in classes:
        return _does_something(classes[value.id], classes, frozenset())
    return True


def _does_something(node: ast.ClassDef, classes: dict[str, ast.ClassDef], seen: frozenset[str]) -> bool:
    if any(isinstance(each, ast.FunctionDef) and _is_left_out(each) for each in node.body):
        return False
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == "forward":
            return not _is_stub(each)
        if binds(each, "forward"):
            return True
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return any(
        base in classes and base not in seen and _does_something(classes[base], classes, seen | {node.name})
        for base in bases
    )


def _is_left_out(method: ast.FunctionDef) -> bool:
    """``...``: the rest is as before."""
    return any(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and each.value.value is Ellipsis
        for each in method.body
    )


def _is_stub(forward: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        or (isinstance(each, ast.Raise) and "NotImplemented" in ast.unparse(each))
        or (isinstance(each, ast.Return) and (each.value is None or ast.unparse(each.value) == "None"))
        for each in forward.body
    )


@lru_cache(maxsize=64)
def bound_names(source: str) -> frozenset[str]:
    """Names that a module binds at its top."""
    table = _symbols(source)
    if table is None:
        return frozenset()
    return frozenset(each.get_name() for each in table.get_symbols() if each.is_assigned() or each.is_imported())


@lru_cache(maxsize=64)
def unbound_names(source: str) -> frozenset[str]:
    """Names that a module reads and neither binds nor inherits from Python; none where it imports ``*``."""
    table = _symbols(source)
    tree = parsed(source)
    if table is None or tree is None:
        return frozenset()
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return frozenset()
    read: set[str] = set()
    waiting = [table]
    while waiting:
        scope = waiting.pop()
        waiting += scope.get_children()
        read |= {
            each.get_name()
            for each in scope.get_symbols()
            if each.is_referenced() and (each.is_global() or scope is table)
        }
    return frozenset(read) - bound_names(source) - BUILTINS


def _symbols(source: str) -> symtable.SymbolTable | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return symtable.symtable(source, "answer", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def without_future_imports(source: str) -> tuple[str, list[str]]:
    """``source`` with ``pass`` for each ``from __future__ import`` at its top level, and the imports.

    The imports must be at the top of the module into which ``source`` is inserted.
    """
    tree = parsed(source)
    found = [node for node in tree.body if _is_future(node)] if tree is not None else []
    lines = source.split("\n")
    for node in reversed(found):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before = lines[first].encode()[: node.col_offset].decode()
        after = lines[last].encode()[node.end_col_offset :].decode()
        alone = not before.strip() and not after.strip()
        lines[first : last + 1] = [] if alone else [f"{before}pass{after}"]
    return "\n".join(lines), [ast.unparse(node) for node in found]


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.level == 0


def unguarded(source: str) -> str:
    """``source`` with the definitions under ``if __name__ == "__main__"`` outside of it, if ``ModelNew`` is only there.

    The other statements under it, which use the class, are left out.
    """
    tree = parsed(source)
    if tree is None:
        return source
    guards = [node for node in tree.body if isinstance(node, ast.If) and _is_main_guard(node.test)]
    outside = [node for node in tree.body if node not in guards]
    if any(binds(node, MODEL_NEW) for node in statements(outside)):
        return source
    lines = source.split("\n")
    for guard in reversed(guards):
        kept = [node for node in guard.body if isinstance(node, DEFINITIONS) or binds(node, MODEL_NEW)]
        if any(binds(node, MODEL_NEW) for node in kept):
            parts = [textwrap.dedent("\n".join(lines[_first_line(node) - 1 : node.end_lineno])) for node in kept]
            lines[guard.lineno - 1 : guard.end_lineno] = "\n\n".join(parts).split("\n")
    return "\n".join(lines)


def without_import_of(source: str, names: frozenset[str]) -> str:
    """``source`` without ``from model import Model``: the reference is no module, and all of ``names`` are its own."""
    tree = parsed(source)
    lines = source.split("\n")
    for node in reversed(tree.body if tree is not None else []):
        imported = (
            {each.name for each in node.names if each.asname is None} if isinstance(node, ast.ImportFrom) else set()
        )
        alone = lines[node.lineno - 1].startswith("from ") and ";" not in lines[(node.end_lineno or node.lineno) - 1]
        if "Model" in imported and imported <= names and alone:
            lines[node.lineno - 1 : node.end_lineno] = []
    return "\n".join(lines)


def _is_main_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and ast.unparse(test) in MAIN_GUARDS


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
