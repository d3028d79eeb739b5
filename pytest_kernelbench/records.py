"""The nouns of the story, in the order in which they come into being. Standard library only.

    Task -> Completion -> Candidate -> Evaluation -> Selection

``None`` always means "not measured" or "not known".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

Record = TypeVar("Record")


def sha256_of(text: str) -> str:
    """Hexadecimal SHA-256 of ``text`` in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fields_of(cls: type[Record], row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass that a JSON object holds, lists as tuples; what else it holds is left out."""
    names: Mapping[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    values = {name: row[name] for name in names if name in row}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One KernelBench problem, as text: it is parsed, never imported, by the process that holds this.

    ``id`` is ``level1/12_Matmul_with_diagonal_matrices_``. ``source`` is the file's own text. ``sizes``
    replaces module-level constants by name when the task is instantiated (``small.toml``); empty: full size.
    """

    id: str
    source: str
    path: Path | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of the text and the sizes that it is instantiated with."""
        return sha256_of(f"{self.source}\0{sorted(self.sizes.items())}")

    @property
    def level(self) -> str:
        """``level1``."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """``12_Matmul_with_diagonal_matrices_``."""
        return self.id.partition("/")[2]

    @property
    def short_id(self) -> str:
        """``level1/12``, or the whole id where the name carries no number."""
        number, _, _ = self.name.partition("_")
        return f"{self.level}/{number}" if number.isdigit() else self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a policy answered: one line of ``completions.jsonl``.

    ``text`` is the answer, and ``reasoning`` what the model thought before it: None where it did not, "" where the
    server keeps it to itself. ``cut_off`` says whether it ends because its tokens ran out, or inside its reasoning,
    which leaves no answer. ``answer_part`` is the part of ``text`` that was taken for its code ("block 2 of 3").

    ``logprobs`` are the log-probabilities in nats of ``token_ids`` (end token included) at temperature 1 with
    no truncation, under the policy version that sampled them. ``sampling_logprobs`` are those of the
    distribution drawn from, where the two differ. A replayed completion may know only ``sum_logprob`` and
    ``n_tokens``. ``logprobs_missing`` says why there are none. ``answer_tokens`` and ``code_tokens`` are the first
    token of the answer without its reasoning, or of its code, and the one after the last, counted in ``logprobs``.

    ``prompt_sha256`` is the hash of what was asked: the messages to a server, the prompt's text to a model here.
    ``prompt_tokens`` is its number of tokens. ``self_certainty`` is the Kullback-Leibler divergence of the next token's
    distribution at temperature 1 from the uniform one, KL(uniform || policy) in nats, mean over all tokens drawn; from
    a server over its likeliest tokens alone (docs/policies.md).
    ``seconds`` is the wall time that drawing it took; rows drawn together share theirs.
    """

    task: str
    index: int
    text: str
    policy: str
    policy_version: str = "0"
    seed: int | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    sampling_logprobs: tuple[float, ...] | None = None
    stop_reason: str | None = None
    sum_logprob: float | None = None
    n_tokens: int | None = None
    answer_tokens: tuple[int, int] | None = None
    code_tokens: tuple[int, int] | None = None
    seconds: float | None = None
    reasoning: str | None = None
    answer_part: str | None = None
    cut_off: bool | None = None
    prompt_sha256: str | None = None
    prompt_tokens: int | None = None
    logprobs_missing: str | None = None
    self_certainty: float | None = None

    def __post_init__(self) -> None:
        if self.logprobs is not None:
            object.__setattr__(self, "sum_logprob", float(sum(self.logprobs)))
            object.__setattr__(self, "n_tokens", len(self.logprobs))

    @property
    def mean_logprob(self) -> float | None:
        """Nats a token, or None where log-probabilities or the number of tokens are not known."""
        if self.sum_logprob is None or not self.n_tokens:
            return None
        return self.sum_logprob / self.n_tokens

    def summed(self, span: str) -> tuple[float, int] | None:
        """Sum of log-probabilities and number of tokens of a ``span``; None where they are not known, or it is empty.

        ``all``: reasoning, answer and whatever is between them. ``answer``: without the reasoning, end token included.
        ``code``: the part that became the candidate.
        """
        whole = self.sum_logprob is not None and bool(self.n_tokens)
        if span == "all":
            hidden = self.reasoning is not None and self.answer_tokens is not None and self.answer_tokens[0] == 0
            return (float(self.sum_logprob or 0), self.n_tokens or 0) if whole and not hidden else None
        tokens = self.answer_tokens if span == "answer" else self.code_tokens
        if tokens is None or self.logprobs is None:
            return self.summed("all") if span == "answer" and self.reasoning is None else None
        of_span = self.logprobs[slice(*tokens)]
        return (float(sum(of_span)), len(of_span)) if of_span else None

    def score(self, span: str, kind: str) -> float | None:
        """Log-probability of a span: the ``sum`` in nats, or the ``mean`` in nats a token; None where not known."""
        found = self.summed(span)
        if found is None:
            return None
        return found[0] if kind == "sum" else found[0] / found[1]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Completion:
        return cls(**fields_of(cls, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A completion and the Python module extracted from it.

    ``source`` is None where there was none, and ``missing`` says why ("defines no ModelNew").
    """

    completion: Completion
    source: str | None
    missing: str | None = None

    @property
    def task(self) -> str:
        return self.completion.task

    @property
    def index(self) -> int:
        return self.completion.index


class Outcome(str, Enum):
    """How the evaluation of a candidate ended; exactly one of these, and never a fault of the harness."""

    CORRECT = "correct"
    NO_SOURCE = "no_source"
    BUILD_ERROR = "build_error"
    RUNTIME_ERROR = "runtime_error"
    TIMEOUT = "timeout"
    INCORRECT = "incorrect"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Verdict on one source, and its timings if it is correct.

    Two clocks measured it. ``speedup`` is the worker's own timing, the median over pairs of reference time / candidate
    time; ``speedup_low`` and ``speedup_high`` bound its 95 % interval. The candidate shares a process with that clock,
    so this timing only ranks candidates and decides which of them are measured by the judge. ``attested``, between
    ``attested_low`` and ``attested_high``, is the judge's measurement; None where none was made. ``counted`` says
    whether the candidate's claim to be fast counts: True if it was attested, False if it was not (``uncounted_because``
    says why), None if it claims nothing that would have to be attested. ``counted_speedup`` and its bounds are the
    numbers that tables, rewards and ``fast`` use.

    ``candidate_times_ms`` are the candidate's times in each pair, of which ``candidate_ms`` is the median.
    ``floor_ms`` is the least time that the device needs for this task. ``flags`` names rows of the cheat catalogue.
    ``detail`` is one line for people; ``draw`` names the kind of inputs on which an incorrect candidate failed.
    ``log`` is what a compiler said of a source that does not build (at most 4,000 characters). ``quoted``: ``detail``
    and ``log`` hold words that the candidate chose, or a compiler's about it. ``seconds`` maps stage
    (``build``, ``load``, ``check``, ``time``, ``attest``, ``total``) to wall time. ``precision`` is the declared one,
    ``baseline`` what the candidate was timed against (``eager``, ``compile``), and ``weights`` whether it was judged
    with the weights that its own constructor drew (``seeded``) or with the reference's (``reference``).
    """

    source_sha256: str | None
    outcome: Outcome
    detail: str = ""
    log: str | None = None
    quoted: bool = False
    flags: tuple[str, ...] = ()
    reference_ms: float | None = None
    candidate_ms: float | None = None
    floor_ms: float | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    pairs: int | None = None
    candidate_times_ms: tuple[float, ...] | None = None
    attested: float | None = None
    attested_low: float | None = None
    attested_high: float | None = None
    counted: bool | None = None
    uncounted_because: str = ""
    precision: str | None = None
    baseline: str | None = None
    weights: str | None = None
    draw: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.speedup is not None and self.outcome is not Outcome.CORRECT:
            raise ValueError(f"an evaluation that is {self.outcome.value} cannot have a speed-up")
        if self.counted and self.attested is None:
            raise ValueError("an evaluation whose claim counts must have an attested speed-up")

    @property
    def correct(self) -> bool:
        return self.outcome is Outcome.CORRECT

    @property
    def counted_speedup(self) -> float | None:
        """The speed-up that counts: the attested one; of a claim that does not count, no more than 1."""
        if self.counted is None or self.speedup is None:
            return self.speedup
        measured = self.speedup if self.attested is None else self.attested
        return measured if self.counted else min(1.0, measured)

    @property
    def counted_low(self) -> float | None:
        """Lower end of the 95 % interval of ``counted_speedup``; None where it is not known."""
        if self.counted is None:
            return self.speedup_low
        return self.attested_low if self.counted else None

    @property
    def counted_high(self) -> float | None:
        """Upper end of the 95 % interval of ``counted_speedup``; None where it is not known."""
        if self.counted is None:
            return self.speedup_high
        return self.attested_high if self.counted else None

    def fast(self, p: float = 1.0, margin: float = 0.0) -> bool:
        """Verified: correct, and the lower end of the interval that counts is above ``p * (1 + margin)``."""
        return self.correct and self.counted_low is not None and self.counted_low > p * (1 + margin)

    def fast_raw(self, p: float = 1.0) -> bool:
        """As the literature counts: correct, and the point estimate is above ``p``."""
        return self.correct and self.speedup is not None and self.speedup > p

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "outcome": self.outcome.value, "flags": list(self.flags)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Evaluation:
        return cls(**{**fields_of(cls, row), "outcome": Outcome(row["outcome"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate with its evaluation: what a selector chooses among."""

    candidate: Candidate
    evaluation: Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What one strategy chose for one task: one line of ``selections.jsonl``.

    ``index`` is None when no candidate could be chosen. ``considered`` are the indices whose timing the
    strategy was allowed to look at, ``unranked`` those of correct candidates without a log-probability, where the
    strategy goes by it; ``cost`` is what the choice took, by kind. ``confirmed_*`` come from
    timing the chosen candidate again on fresh inputs, and ``fast`` is decided on them alone.

    Under adaptation ``policy_version`` and ``step`` are those of the chosen candidate, and ``checkpoint_step``
    is the step whose weights the strategy settled on; None where the candidates of every step counted.

    Of a strategy that stops by itself, ``asked`` is how many candidates it asked for, the first so many, and
    ``stopped`` why it asked for no more. ``unread``: why a forecast that the strategy goes by was none.
    """

    task: str
    strategy: str
    index: int | None
    considered: tuple[int, ...]
    unranked: tuple[int, ...] = ()
    cost: Mapping[str, float | None]
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    confirmed_speedup: float | None = None
    confirmed_low: float | None = None
    confirmed_high: float | None = None
    fast: bool = False
    fast_raw: bool = False
    policy_version: str | None = None
    step: int | None = None
    checkpoint_step: int | None = None
    asked: int | None = None
    stopped: str | None = None
    unread: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Selection:
        return cls(**fields_of(cls, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a policy said when it was asked which of its correct programs is the fastest: a line of ``forecasts.jsonl``.

    ``asked_sha256`` is the hash of the question and of what the candidates were drawn from. ``shown`` are the indices
    of the candidates that stood in the question, in that order, and ``named`` the one that the answer names; None where
    it names none, or could not be asked, ``missing`` says why. ``tokens`` are those of prompt and answer.
    """

    task: str
    asked_sha256: str
    shown: tuple[int, ...]
    named: int | None = None
    missing: str | None = None
    text: str | None = None
    tokens: int | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Forecast:
        return cls(**fields_of(cls, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationStep:
    """One version of the weights, how it was made and how it did: one line of ``adaptation.jsonl``.

    The docstring of ``pytest_kernelbench.adaptation`` says what each field holds.
    """

    lineage: str
    adaptation_sha256: str
    group: tuple[str, ...]
    step: int
    policy_version: str | None = None
    sampling_sha256: str | None = None
    first_index: int
    rollouts: int
    holdout: int = 0
    checkpoint: str | None = None
    trained_on: tuple[str, ...] = ()
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    entropy: float | None = None
    kl: float | None = None
    update: Mapping[str, float] | None = None
    stopped: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> AdaptationStep:
        return cls(**fields_of(cls, row))
