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

    ``answer``: what the policy is asked for, a whole ``module`` or a ``forward_body`` as in the paper. ``policy``: the
    policy that is sampled; empty for the policy of ``--policy``. ``question``: the prompt that ``[prompt]`` makes, as
    text; empty for this project's own prompt.
    """

    k: int = field(default=64, metadata={"minimum": 1})
    temperature: float = field(default=0.25, metadata={"minimum": 0})
    max_tokens: int = field(default=1024, metadata={"minimum": 1})
    answer: str = field(default="module", metadata={"choices": ("module", "forward_body")})
    policy: str = ""
    question: str = field(default="", metadata={"set_by": "[prompt]"})

    @property
    def asked(self) -> str:
        """The question to the policy, as ``pytest_kernelbench.prompting.question`` takes it."""
        return self.question or self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """``[evaluation]``: how a candidate is checked and timed.

    ``precision``: ``float32`` forbids TF32 and half precision. ``tf32`` is PyTorch's default (convolutions in TF32) and
    the default of the protocol ``paper``. With ``bfloat16`` and ``float16``, inputs, weights and reference have that
    type. ``parameters``: with ``followed``, a candidate must still be correct after its parameters and buffers were set
    to other values. With ``any``, a candidate that is not gets a remark.
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
    """``[selection]``: rank the correct candidates ``by`` a score, time the first ``top``, and choose by ``then``.

    ``logprob``: whether a candidate's score is the ``mean`` or the ``sum`` of the log-probabilities of its tokens.
    ``span``: which tokens count: the ``answer`` without reasoning, its ``code`` alone, or ``all``. A candidate without
    log-probabilities is not ranked. ``distinct``: whether candidates with the same source are ranked as one program,
    with the score of its first answer, so that ``top = 3`` looks at three programs. If false, each candidate is ranked,
    as in the paper, and one program may take all three places.
    """

    by: str = field(default="fastest", metadata={"choices": RANKINGS})
    logprob: str = field(default="mean", metadata={"choices": ("mean", "sum")})
    span: str = field(default="answer", metadata={"choices": SPANS})
    top: int = field(default=1, metadata={"minimum": 1})
    then: str = field(default="fastest", metadata={"choices": ("fastest",)})
    distinct: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """``[search]``: sample in ``sampling.k / width`` turns of ``width`` answers; prompts show verdicts on earlier ones.

    ``method``: ``refine`` has ``width`` chains, and a prompt shows the last ``history`` answers of its chain.
    ``evolve`` has a tree of distinct programs, and a prompt shows the parent that PUCT chooses with the constant
    ``exploration``. ``characters``: the most characters of a source in a prompt; the middle of a longer one is cut.
    """

    method: str = field(default="refine", metadata={"choices": SEARCHES})
    width: int = field(default=8, metadata={"minimum": 1})
    history: int = field(default=1, metadata={"minimum": 1})
    exploration: float = field(default=1.0, metadata={"minimum": 0})
    characters: int = field(default=6000, metadata={"minimum": 200})
