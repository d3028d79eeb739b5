"""A typed description of a structure of values: the arguments and the result of a model.

A tree has a node for each container and each plain value, and a ``Tensor`` for each tensor. Taking a structure apart
gives its tree and its tensors, and both together give the structure again. Judge and worker exchange trees as JSON;
a worker's trees are parsed with bounds, and only compared and printed, never built.

    (x, {"mask": None}, 3)   ->   Branch("tuple", (Tensor, Branch("dict", (Plain(None),)), Plain(3))),  [x]

A number in a result may depend on the inputs, so it is a tensor of one element (``Number``) and compared as such: a
float or complex number in single precision, since it was computed at the task's precision.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

MAX_DEPTH = 8
MAX_NODES = 2000
MAX_TEXT = 1000
MAX_DIMENSIONS = 64
NUMBERS = {"bool": torch.bool, "int": torch.int64, "float": torch.float32, "complex": torch.complex64}
JUDGED = "tensors, numbers, text and None, in tuples, lists, dicts, named tuples and dataclasses"
_DTYPES = {str(each).removeprefix("torch."): each for each in vars(torch).values() if isinstance(each, torch.dtype)}
# Looked up now, before a candidate could replace them by functions that compute an answer when its shape is read.
_shape, _dtype = torch._C.TensorBase.shape.__get__, torch._C.TensorBase.dtype.__get__
_layout, _is_quantized = torch._C.TensorBase.layout.__get__, torch._C.TensorBase.is_quantized.__get__


class Unjudgeable(Exception):
    """A structure contains a value that cannot be described; the text names the value and its place."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's type and shape."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a result: its Python type. It travels as a tensor of one element."""

    kind: str

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Plain:
    """A value that is the same in every call: its type, and its JSON value."""

    kind: str
    value: Any

    def __str__(self) -> str:
        if self.kind in ("None", "bool", "int", "float", "str"):
            return f"{self.value!r}"[:60]
        return f"torch.{self.value}" if self.kind == "torch" else f"{self.kind}({self.value})"[:60]


@dataclass(frozen=True, slots=True)
class Branch:
    """A container. ``keys``: of a dict, or the fields of a named tuple or a dataclass, whose class is ``name``."""

    kind: str
    children: tuple[Tree, ...]
    keys: tuple[str | int, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        parts = [str(child) for child in self.children]
        if self.kind == "list":
            return f"[{', '.join(parts)}]"
        if self.kind == "tuple":
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if self.kind == "dict":
            return "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(self.keys, parts, strict=True)) + "}"
        fields = ", ".join(f"{key}={part}" for key, part in zip(self.keys, parts, strict=True))
        return f"{self.name.rpartition('.')[2]}({fields})"


Tree = Tensor | Number | Plain | Branch


def take_apart(value: Any, *, result: bool = False) -> tuple[Tree, list[Any]]:
    """The tree of a structure and its tensors, in order; in a ``result`` the numbers are among them.

    Raises Unjudgeable for a value that is none of ``JUDGED``, and for too large a structure.
    """
    walk = _Walk(result)
    return walk.node(value, "", 0), walk.taken


class _Walk:
    """One walk through a structure.

    A class, because a nested function that calls itself is a cycle, which would hold the tensors until Python collects
    cycles: 600 MB for a task of 24 MB.
    """

    def __init__(self, result: bool) -> None:
        self.taken: list[Any] = []
        self._result = result
        self._nodes = 0

    def node(self, value: Any, where: str, depth: int) -> Tree:
        """The tree below a value; its tensors are appended to ``taken``."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise Unjudgeable(f"more than {MAX_NODES} values, or {MAX_DEPTH} containers in each other")
        # Exact types only: a subclass could compute when it is looked at, after the timing.
        kind = type(value)
        if kind is torch.Tensor or kind is torch.nn.Parameter:
            self.taken.append(value)
            return _tensor(value, where)
        if self._result and kind in (bool, int, float, complex):
            try:
                self.taken.append(torch.tensor(value, dtype=NUMBERS[kind.__name__]))
            except (RuntimeError, OverflowError, ValueError):
                raise Unjudgeable(f"an integer beyond 64 bits{where}") from None
            return Number(kind.__name__)
        branch = _branch(value, where)
        if branch is None:
            plain = _plain(value, where)
            if not _is_short(plain.value):
                raise Unjudgeable(f"a {type(value).__name__} of more than {MAX_TEXT} characters{where}")
            return plain
        kind_of_branch, name, items = branch
        named = kind_of_branch not in ("tuple", "list")
        children = tuple(self.node(child, f"{where or ' at '}[{key!r}]", depth + 1) for key, child in items)
        return Branch(kind_of_branch, children, tuple(key for key, _ in items) if named else (), name)


def _tensor(value: torch.Tensor, where: str) -> Tensor:
    if _layout(value) is not torch.strided or _is_quantized(value):
        raise Unjudgeable(f"a tensor of layout {_layout(value)}{' (quantised)' if _is_quantized(value) else ''}{where}")
    return Tensor(str(_dtype(value)).removeprefix("torch."), tuple(_shape(value)))


def _branch(value: Any, where: str) -> tuple[str, str, list[tuple[Any, Any]]] | None:
    """Kind, class and items of a container; None for any other value."""
    kind = type(value)
    if kind in (tuple, list):
        return kind.__name__, "", list(enumerate(value))
    if kind in (dict, OrderedDict):
        if not all(type(key) in (str, int) for key in value):
            raise Unjudgeable(f"a dict with keys that are neither text nor integers{where}")
        return "dict", "" if kind is dict else "collections.OrderedDict", list(value.items())
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, tuple) and kind is not torch.Size:
        if hasattr(kind, "_fields"):
            return "named", name, list(zip(kind._fields, value, strict=True))
        if kind.__module__ == "torch.return_types":
            fields = [each for each in dir(kind) if not each.startswith("_") and each not in ("count", "index")]
            ordered = [field for one in value for field in fields if getattr(value, field) is one]
            return "named", name, list(zip(ordered, value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return "dataclass", name, [(field, getattr(value, field)) for field in fields]
    return None


def _plain(value: Any, where: str) -> Plain:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return Plain("None" if value is None else kind.__name__, value)
    if kind is complex:
        return Plain("complex", [value.real, value.imag])
    if kind is bytes:
        return Plain("bytes", value.hex())
    if kind in (torch.dtype, torch.layout, torch.memory_format):
        return Plain("torch", str(value).removeprefix("torch."))
    if kind is torch.device:
        return Plain("device", str(value))
    if kind in (torch.Size, range, slice):
        parts = list(value) if kind is torch.Size else [value.start, value.stop, value.step]
        if all(part is None or type(part) is int for part in parts):
            return Plain(kind.__name__, parts)
    if value is Ellipsis:
        return Plain("ellipsis", None)
    if isinstance(value, enum.Enum):
        return Plain("enum", [f"{kind.__module__}.{kind.__qualname__}", value.name])
    raise Unjudgeable(f"a value of type {kind.__module__}.{kind.__qualname__}{where}".replace("builtins.", ""))


def put_together(tree: Tree, tensors: Iterator[Any]) -> Any:
    """The structure of a tree of arguments around ``tensors``; classes are found in the modules that were loaded."""
    if isinstance(tree, Tensor | Number):
        return next(tensors)
    if isinstance(tree, Plain):
        return _PLAIN[tree.kind](tree.value)
    children = [put_together(child, tensors) for child in tree.children]
    if tree.kind in ("list", "tuple"):
        return children if tree.kind == "list" else tuple(children)
    if tree.kind == "dict":
        items = zip(tree.keys, children, strict=True)
        return OrderedDict(items) if tree.name else dict(items)
    found = _class_named(tree.name)
    if tree.kind == "named":
        return found._make(children) if hasattr(found, "_make") else found(children)
    made = object.__new__(found)
    for key, child in zip(tree.keys, children, strict=True):
        # A frozen dataclass allows no other way.
        object.__setattr__(made, str(key), child)
    return made


def _class_named(name: str) -> Any:
    module, _, rest = name.partition(".")
    while module not in sys.modules or not hasattr(sys.modules[module], rest.partition(".")[0]):
        step, _, rest = rest.partition(".")
        module = f"{module}.{step}"
    found = sys.modules[module]
    for part in rest.split("."):
        found = getattr(found, part)
    return found


_PLAIN = {
    "None": lambda _: None,
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "complex": lambda parts: complex(*parts),
    "bytes": bytes.fromhex,
    "torch": lambda name: getattr(torch, name),
    "device": torch.device,
    "Size": torch.Size,
    "range": lambda parts: range(*parts),
    "slice": lambda parts: slice(*parts),
    "ellipsis": lambda _: Ellipsis,
    "enum": lambda parts: _class_named(parts[0])[parts[1]],
}


def like(expected: Tree, returned: Tree) -> list[int] | None:
    """For each tensor of ``expected``, its place among the tensors of ``returned``; None if the structures differ.

    Tensors have the same type and shape, numbers the same Python type, and plain values are equal. A list may replace
    a tuple (C++ returns lists), and a plain tuple a named one; the keys of a dict may be in any order. A container of
    one value is different from that value.
    """
    count = [0]

    def numbered(tree: Tree) -> Any:
        if isinstance(tree, Branch):
            return [numbered(child) for child in tree.children]
        if isinstance(tree, Plain):
            return None
        count[0] += 1
        return count[0] - 1

    def match(want: Tree, got: Tree, numbers: Any) -> list[int] | None:
        if not isinstance(want, Branch) or not isinstance(got, Branch):
            if want != got:
                return None
            return [] if isinstance(want, Plain) else [numbers]
        if len(want.children) != len(got.children):
            return None
        order = range(len(want.children))
        if want.kind in ("dict", "dataclass"):
            if got.kind != want.kind or set(want.keys) != set(got.keys):
                return None
            order = [got.keys.index(key) for key in want.keys]
        elif got.kind in ("dict", "dataclass"):
            return None
        found = []
        for child, place in zip(want.children, order, strict=True):
            below = match(child, got.children[place], numbers[place])
            if below is None:
                return None
            found += below
        return found

    return match(expected, returned, numbered(returned))


def to_json(tree: Tree) -> list[Any]:
    """The tree for a message."""
    match tree:
        case Tensor():
            return ["tensor", tree.dtype, list(tree.shape)]
        case Number():
            return ["number", tree.kind]
        case Plain():
            return ["plain", tree.kind, tree.value]
        case Branch():
            return ["branch", tree.kind, tree.name, list(tree.keys), [to_json(child) for child in tree.children]]


def from_json(found: Any) -> Tree:
    """The tree in a message. Raises ValueError for anything else, of any size and depth."""
    return _parsed(found, 0, [0])


def _parsed(found: Any, depth: int, nodes: list[int]) -> Tree:
    nodes[0] += 1
    if depth > MAX_DEPTH or nodes[0] > MAX_NODES or not isinstance(found, list) or not found:
        raise ValueError("expected a tree")
    match found:
        case ["tensor", str(dtype), list(shape)] if dtype in _DTYPES and _are_sizes(shape):
            return Tensor(dtype, tuple(shape))
        case ["number", str(kind)] if kind in NUMBERS:
            return Number(kind)
        case ["plain", str(kind), value] if kind in _PLAIN and _is_short(value):
            return Plain(kind, value)
        case ["branch", str(kind), str(name), list(keys), list(children)]:
            keyed = kind in ("dict", "named", "dataclass")
            if (kind not in ("list", "tuple") and not keyed) or len(name) > MAX_TEXT or len(children) > MAX_NODES:
                raise ValueError("expected a container")
            if len(keys) != keyed * len(children) or not all(type(k) in (str, int) and _is_short(k) for k in keys):
                raise ValueError("expected its keys")
            return Branch(kind, tuple(_parsed(each, depth + 1, nodes) for each in children), tuple(keys), name)
    raise ValueError("expected a tree")


def _are_sizes(shape: Sequence[Any]) -> bool:
    return len(shape) <= MAX_DIMENSIONS and all(type(size) is int and 0 <= size < 2**63 for size in shape)


def _is_short(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_DIMENSIONS and not any(isinstance(each, list) or not _is_short(each) for each in value)
    if isinstance(value, str):
        return len(value) <= MAX_TEXT
    return value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < 2**63)
