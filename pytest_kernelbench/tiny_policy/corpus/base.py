"""The nouns of the corpus: a template is one strategy for one task on one target, as whole module texts.

Everything that is not strategy is fixed (names, layout, imports), so that what a trained policy finds
surprising is the strategy and not the spelling. Performance-relevant nuisances (block size, unroll,
``num_warps``) are written ``$name`` in a text and expanded by :func:`variants`.
"""

from __future__ import annotations

import itertools
import re
import string
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Target = Literal["cpu", "cuda"]
Language = Literal["torch", "c", "triton", "cuda"]
Pace = Literal["fast", "plain", "slow"]

# Never in the corpus: what the policy does on these tasks shows whether anything transfers.
HELD_OUT = frozenset({17, 22, 39, 48, 91, 97})


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One way to solve (or, if not ``correct``, to miss) a level-1 task, in every spelling of its nuisances.

    ``pace`` is measured against the reference on the target: ``fast`` at 1.05x or more, ``slow`` below 0.8x.
    ``sources`` are module texts that differ in nuisances only; the first is the default.
    """

    task: int
    target: Target
    language: Language
    strategy: str
    pace: Pace
    correct: bool
    sources: tuple[str, ...]

    @property
    def id(self) -> str:
        """``19/cpu/c/omp_simd``: unique in the corpus."""
        return f"{self.task}/{self.target}/{self.language}/{self.strategy}"


def variants(text: str, **choices: Sequence[object]) -> tuple[str, ...]:
    """``text`` with each ``$name`` replaced, for every combination of ``choices``; KeyError for a name without one."""
    combinations = itertools.product(*choices.values())
    return tuple(string.Template(text).substitute(dict(zip(choices, values, strict=True))) for values in combinations)


def torch_module(forward: str, *, arguments: str = "x", init: str = "", setup: str = "") -> str:
    """A module of PyTorch operators; ``forward`` and ``setup`` are the statements of the two methods.

    ``init`` names the parameters of ``__init__``; without any, and without ``setup``, there is no ``__init__``.
    """
    return f"{_imports(forward + setup)}\n\n{_class(forward, arguments, init, setup)}"


def c_module(source: str, forward: str, *, arguments: str = "x", init: str = "", setup: str = "") -> str:
    """A module around ``void kernel(...)`` in C."""
    return _compiled_module("compile_c", source, forward, arguments, init, setup)


def cuda_module(source: str, forward: str, *, arguments: str = "x", init: str = "", setup: str = "") -> str:
    """A module around ``extern "C" void kernel(..., cudaStream_t stream)`` that launches ``device_kernel``."""
    return _compiled_module("compile_cuda", source, forward, arguments, init, setup)


def triton_module(source: str, forward: str, *, arguments: str = "x", init: str = "", setup: str = "") -> str:
    """A module around one ``@triton.jit`` function: ``source`` starts at ``def kernel(``."""
    imports = _imports(forward + setup) + "import triton\nimport triton.language as tl\n"
    return f"{imports}\n\n@triton.jit\n{_text(source)}\n\n\n{_class(forward, arguments, init, setup)}"


class Sheet:
    """Collects the templates of one task; ``arguments``, ``init`` and ``setup`` are shared by all of them.

    A ``$name`` in a text takes every value of the keyword ``name``. A torch form serves both targets: ``cpu``
    and ``cuda`` give its pace there, and None leaves that target out.
    """

    def __init__(self, task: int, *, arguments: str = "x", init: str = "", setup: str = "") -> None:
        self.task = task
        self.templates: list[Template] = []
        self._signature = {"arguments": arguments, "init": init, "setup": setup}

    def torch(
        self,
        strategy: str,
        forward: str,
        *,
        cpu: Pace | None = "plain",
        cuda: Pace | None = "plain",
        correct: bool = True,
        setup: str | None = None,
        **choices: Sequence[object],
    ) -> None:
        text = torch_module(forward, **self._with(setup))
        if cpu is not None:
            self._add("cpu", "torch", strategy, cpu, correct, text, choices)
        if cuda is not None:
            self._add("cuda", "torch", strategy, cuda, correct, text, choices)

    def c(
        self,
        strategy: str,
        source: str,
        forward: str,
        *,
        pace: Pace = "plain",
        correct: bool = True,
        setup: str | None = None,
        **choices: Sequence[object],
    ) -> None:
        self._add("cpu", "c", strategy, pace, correct, c_module(source, forward, **self._with(setup)), choices)

    def triton(
        self,
        strategy: str,
        source: str,
        forward: str,
        *,
        pace: Pace = "plain",
        correct: bool = True,
        setup: str | None = None,
        **choices: Sequence[object],
    ) -> None:
        text = triton_module(source, forward, **self._with(setup))
        self._add("cuda", "triton", strategy, pace, correct, text, choices)

    def cuda(
        self,
        strategy: str,
        source: str,
        forward: str,
        *,
        pace: Pace = "plain",
        correct: bool = True,
        setup: str | None = None,
        **choices: Sequence[object],
    ) -> None:
        text = cuda_module(source, forward, **self._with(setup))
        self._add("cuda", "cuda", strategy, pace, correct, text, choices)

    def _with(self, setup: str | None) -> dict[str, str]:
        return self._signature if setup is None else {**self._signature, "setup": setup}

    def _add(
        self,
        target: Target,
        language: Language,
        strategy: str,
        pace: Pace,
        correct: bool,
        text: str,
        choices: dict[str, Sequence[object]],
    ) -> None:
        self.templates.append(
            Template(
                task=self.task,
                target=target,
                language=language,
                strategy=strategy,
                pace=pace,
                correct=correct,
                sources=variants(text, **choices),
            )
        )


def _compiled_module(compiler: str, source: str, forward: str, arguments: str, init: str, setup: str) -> str:
    imports = _imports(forward + setup) + f"from pytest_kernelbench.inline import {compiler}\n"
    kernel = f'kernel = {compiler}("""\n{_text(source)}\n""")'
    return f"{imports}\n{kernel}\n\n\n{_class(forward, arguments, init, setup)}"


def _imports(body: str) -> str:
    lines = ["import math"] if re.search(r"\bmath\.", body) else []
    lines += ["import torch", "import torch.nn as nn"]
    lines += ["import torch.nn.functional as F"] if re.search(r"\bF\.", body) else []
    return "\n".join(lines) + "\n"


def _class(forward: str, arguments: str, init: str, setup: str) -> str:
    lines = ["class ModelNew(nn.Module):"]
    if init or setup:
        parameters = f"self, {init}" if init else "self"
        lines += [f"    def __init__({parameters}):", "        super().__init__()"]
        lines += [textwrap.indent(_text(setup), " " * 8), ""] if setup else [""]
    lines += [f"    def forward(self, {arguments}):", textwrap.indent(_text(forward), " " * 8)]
    return "\n".join(lines) + "\n"


def _text(block: str) -> str:
    return textwrap.dedent(block).strip("\n")
