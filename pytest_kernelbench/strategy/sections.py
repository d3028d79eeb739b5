"""The sections of a strategy file, all but ``[adaptation]`` and ``[prompt]``: one frozen dataclass each.

A field's metadata says what a value may be: ``minimum``, ``maximum``, ``choices`` (any collection of names),
``section`` (a dataclass: the field is a section inside of this one), ``set_by`` (no key of a file sets it).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_kernelbench.registries import PRECISIONS, PROTOCOLS, RANKINGS, SEARCHES

SPANS = ("answer", "code", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """``[sampling]``: how candidates are drawn, ``k`` a task, each of at most ``max_tokens`` tokens.

    ``answer`` is what the policy is asked for: a whole ``module``, or a ``forward_body`` as the paper did.
    ``policy`` is where they come from; empty: what ``--policy`` says. ``question`` is what ``[prompt]`` makes of
    ``answer``, as text; empty: this project's own words.
    """

    k: int = field(default=64, metadata={"minimum": 1})
    temperature: float = field(default=0.25, metadata={"minimum": 0})
    max_tokens: int = field(default=1024, metadata={"minimum": 1})
    answer: str = field(default="module", metadata={"choices": ("module", "forward_body")})
    policy: str = ""
    question: str = field(default="", metadata={"set_by": "[prompt]"})

    @property
    def asked(self) -> str:
        """What a policy is asked for: see ``pytest_kernelbench.prompting.question``."""
        return self.question or self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """``[evaluation]``: how a candidate is checked and timed.

    ``precision``: ``float32`` means neither TF32 nor half precision; ``tf32`` is what PyTorch does unless it is told
    otherwise (convolutions in TF32), and what the protocol ``paper`` takes; with ``bfloat16`` and ``float16``, inputs,
    weights and reference are of that type. ``parameters``: ``followed`` demands that a candidate answers right after
    its parameters and buffers were set to other values; with ``any``, a candidate that does not has a remark.
    """

    protocol: str = field(default="full", metadata={"choices": PROTOCOLS})
    precision: str = field(default="", metadata={"choices": PRECISIONS})
    torch_operators: str = field(default="allowed", metadata={"choices": ("allowed", "forbidden")})
    parameters: str = field(default="any", metadata={"choices": ("any", "followed")})

    def __post_init__(self) -> None:
        if not self.precision:
            object.__setattr__(self, "precision", "tf32" if self.protocol == "paper" else "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSettings:
    """``[selection]``: of the first ``top`` correct candidates ranked ``by``, the one that ``then`` names is taken.

    ``logprob`` says whether a candidate's log-probability is the ``mean`` over the tokens of a ``span`` or their
    ``sum``: of its ``answer`` without the reasoning before it, of its ``code`` alone, or of ``all`` tokens. A candidate
    for which it is not known is not ranked. ``distinct``: candidates with the same source are one program, which has
    the score of the first of its answers, so that top 3 looks at three programs; false: each candidate counts, as in
    the paper, and one program may fill all three places.
    """

    by: str = field(default="fastest", metadata={"choices": RANKINGS})
    logprob: str = field(default="mean", metadata={"choices": ("mean", "sum")})
    span: str = field(default="answer", metadata={"choices": SPANS})
    top: int = field(default=1, metadata={"minimum": 1})
    then: str = field(default="fastest", metadata={"choices": ("fastest",)})
    distinct: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """``[search]``: answers are drawn in turns of ``width``, ``sampling.k / width`` turns, and prompts show verdicts.

    ``refine``: ``width`` chains; a prompt shows the last ``history`` answers of its chain. ``evolve``: a tree over
    distinct programs; a prompt shows its parent, chosen by PUCT with the constant ``exploration``. Of each source that
    is shown, ``characters`` are kept: its middle is left out.
    """

    method: str = field(default="refine", metadata={"choices": SEARCHES})
    width: int = field(default=8, metadata={"minimum": 1})
    history: int = field(default=1, metadata={"minimum": 1})
    exploration: float = field(default=1.0, metadata={"minimum": 0})
    characters: int = field(default=6000, metadata={"minimum": 200})
