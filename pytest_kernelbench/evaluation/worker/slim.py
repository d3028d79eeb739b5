"""torch's tensor class without the operators that a source does not name, and complex numbers without Thrust.

A third of what nvcc reads for a small kernel, three times over, is the signatures of 700 operators and CUDA's C++
library, which torch includes for complex numbers alone. A source that needs something that was left out does not
compile, and is then compiled with torch's own headers.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

TENSOR = "ATen/core/TensorBody.h"
METHODS = "ATen/MethodOperators.h"
_WORD = re.compile(r"\w+")
# An operator as a method: defined below the class, in one to three lines, and declared inside it.
_DEFINED = re.compile(r"^(?://[^\n]*\n)?inline [^\n]*? Tensor::(\w+)\([^\n]*\n(?:    [^\n]*\n)*\}\n", re.MULTILINE)
_DECLARED = re.compile(r"^  [^\n(]*?[ &](\w+)\([^\n]*\) const;\n", re.MULTILINE)
_INCLUDED = re.compile(r"^#include <ATen/ops/(\w+)_ops\.h>\n", re.MULTILINE)
_CALLED = re.compile(r"\bat::_ops::(\w+)::call\b")

COMPLEX_IN = "torch/headeronly/util/complex.h"
_NAMES_COMPLEX = re.compile(r"complex|thrust|\bcub\b", re.IGNORECASE)
WITHOUT_THRUST = {
    "thrust/complex.h": """\
#pragma once
namespace thrust {
template <typename T> struct complex;
template <typename T> T abs(const complex<T>&);
template <typename T> complex<T> polar(const T&, const T&);
}
""",
    "c10/util/complex_math.h": """\
#pragma once
#ifndef __CUDACC__
#include_next <c10/util/complex_math.h>
#endif
""",
}


def slim_headers(source: str, headers: Path) -> dict[str, str]:
    """The texts of slim headers, by the name under which they are included, made from ``headers`` for one source.

    Empty where the headers of this torch have another form.
    """
    texts = dict(WITHOUT_THRUST) if _can_do_without_thrust(source, headers) else {}
    tensor, methods, operators = headers / TENSOR, headers / METHODS, headers / "ATen" / "TensorOperators.h"
    if all(each.exists() for each in (tensor, methods, operators)):
        named = {*_WORD.findall(source), *_WORD.findall(operators.read_text())}
        kept = slim_tensor(tensor.read_text(), named)
        # By its macro, a precompiled header that holds the class is known: its text may be another source's.
        guarded = f"#ifndef KERNELBENCH_TENSOR\n#define KERNELBENCH_TENSOR\n{kept}\n#endif\n"
        texts |= {TENSOR: guarded, METHODS: slim_methods(methods.read_text(), kept)}
    return texts


def _can_do_without_thrust(source: str, headers: Path) -> bool:
    return _NAMES_COMPLEX.search(source) is None and (headers / COMPLEX_IN).exists()


def slim_tensor(header: str, named: Set[str]) -> str:
    """The text of the tensor class without operators that are neither ``named`` nor used by the rest of the class."""
    operators = _operators_of(header)
    used = set(_WORD.findall(_without(header, operators)))
    return _without(header, operators - named - used)


def left_out(headers: Path) -> frozenset[str]:
    """Operators that the class lacks for a source that names none; empty where this torch's has another form."""
    tensor = slim_headers("", headers).get(TENSOR)
    if tensor is None:
        return frozenset()
    return frozenset(_operators_of((headers / TENSOR).read_text()) - _operators_of(tensor))


def _operators_of(header: str) -> set[str]:
    return {found[1] for found in _DEFINED.finditer(header)}


def _without(header: str, operators: Set[str]) -> str:
    def cut(found: re.Match[str]) -> str:
        return "" if found[1] in operators else found[0]

    return _DECLARED.sub(cut, _DEFINED.sub(cut, header))


def slim_methods(header: str, tensor: str) -> str:
    """``ATen/MethodOperators.h`` without the includes of operators that the class in ``tensor`` does not call.

    ``add__Tensor`` is in ``add_ops.h``, and ``sum_to_size`` not in ``sum_ops.h``; for ``__and___Tensor``, which is in
    ``and_ops.h``, all are left in.
    """
    known = _INCLUDED.findall(header)
    called = {*_CALLED.findall(tensor)}
    kept = {max((name for name in known if each.startswith(name)), key=len, default="") for each in called}
    return header if "" in kept else _INCLUDED.sub(lambda found: found[0] if found[1] in kept else "", header)
