"""A normal form of programs: equal for programs that differ only in names, comments, layout and constants.

Names that a module binds itself are numbered in the order in which they come; what it takes from elsewhere
(``torch.relu``, ``tl.load``) stays, since that is what it does. Constants become their type. A text that holds code in
another language, as C and CUDA kernels do, is normalised as such; any other text is a constant.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from itertools import pairwise

# Keywords of C, C++ and CUDA; other words are names.
WORDS = frozenset(
    "alignas auto bool break case char class const constexpr continue default do double else enum extern float for "
    "goto half if inline int int32_t int64_t long namespace operator register restrict return short signed size_t "
    "sizeof static struct switch template typedef typename uint32_t uint64_t union unsigned using void volatile while "
    "__device__ __global__ __host__ __restrict__ __shared__ __forceinline__ __syncthreads include define pragma omp "
    "parallel simd reduction collapse schedule blockIdx blockDim threadIdx gridDim".split()
)
CALLS_BEFORE = frozenset(("return", "else", "case", "do"))
TOKEN = re.compile(r"[A-Za-z_]\w*|\.?\d[\w.+-]*|[^\s\w]")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
NUMBER = "0"


def normal_form(source: str) -> str:
    """The same text for two sources that differ in nothing that counts. One that is no Python is its own."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    names = _numbered(_bound_in(tree))
    return ast.dump(_Normal(names).visit(tree), annotate_fields=False)


def normal_form_of_c(code: str) -> str:
    """The tokens of C, C++ or CUDA without comments: numbers as one, names that the code declares by their order.

    A name that is called and never follows a type (``expf(``) is defined elsewhere and is kept.
    """
    tokens = TOKEN.findall(COMMENT.sub(" ", code))
    called = {token for token, after in pairwise(tokens) if after == "(" and _is_name(token)}
    declared = {token for before, token in pairwise(tokens) if _declares(before) and _is_name(token)}
    names = _numbered(token for token in tokens if _is_name(token) and token not in called - declared)
    return " ".join(
        # ``threadIdx.x`` is no name of the code's own.
        NUMBER if _is_number(token) else token if before == "." else names.get(token, token)
        for before, token in pairwise(["", *tokens])
    )


def _is_number(token: str) -> bool:
    return token[0].isdigit() or (token[0] == "." and len(token) > 1)


def _is_word(token: str) -> bool:
    return bool(token) and (token[0].isalpha() or token[0] == "_")


def _is_name(token: str) -> bool:
    return _is_word(token) and token not in WORDS


def _declares(before: str) -> bool:
    return _is_word(before) and before not in CALLS_BEFORE


def _numbered(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name, f"v{len(found)}")
    return found


def _bound_in(tree: ast.AST) -> list[str]:
    """Names, and attributes that are assigned to, in the order in which a module binds them."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.arg):
            found.append(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.append(node.attr)
    return found


class _Normal(ast.NodeTransformer):
    """Renames, and takes away docstrings, annotations and the values of constants."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(id=self._names.get(node.id, node.id), ctx=node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = self.visit(node.value)
        return ast.Attribute(value=value, attr=self._names.get(node.attr, node.attr), ctx=node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(arg=self._names.get(node.arg, node.arg))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._strip(node)
        node.returns = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._strip(node)
        return self.generic_visit(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        # A string that is a statement is a docstring or a comment.
        node.body = [each for each in node.body if not _is_text(each)]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.visit(ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and "{" in node.value and ";" in node.value:
            return ast.Constant(value=normal_form_of_c(node.value))
        return ast.Constant(value=None if node.value is None else type(node.value).__name__)

    def _strip(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        node.name = self._names.get(node.name, node.name)
        node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
