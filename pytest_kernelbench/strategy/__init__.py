"""Strategy files: TOML to validated, hashed, frozen values. Everything that changes a number is in here.

A file has ``description``, ``source`` and ``primary`` at the top and the sections ``[sampling]``, ``[evaluation]``,
``[selection]`` and ``[gate]``, ``[search]`` if it asks again after verdicts, ``[stopping]`` if it may draw fewer than K
candidates and ``[adaptation]`` if it trains; what it leaves out has the default of the dataclass below.
"""

from __future__ import annotations

import difflib
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.prompting import extraction, question
from pytest_kernelbench.prompting.question import Prompt, question_for
from pytest_kernelbench.records import sha256_of
from pytest_kernelbench.strategy.primary import parse_primary
from pytest_kernelbench.strategy.rules import nothing_to_learn, nothing_to_read
from pytest_kernelbench.strategy.stopping import Stopping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROTOCOLS = ("fast", "full", "paper")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
RANKINGS = ("fastest", "random", "confidence", "surprisal")
SPANS = ("answer", "code", "all")
NEEDS_LOGPROBS = ("confidence", "surprisal")
ADVANTAGES = ("batch", "grpo", "dr-grpo", "maxk", "entropic")
SEARCH_METHODS = ("refine", "evolve")
METHODS = (*ADVANTAGES, "sdpo")
REWARDS = ("speedup", "normalised", "log", "fast", "correct")
LOSSES = ("importance-sampling", "clipped")
REDUCTIONS = ("sum", "token-mean", "constant")
CHECKPOINTS = ("every", "last", "best", "best-per-task")
TEACHERS = ("current", "start", "average")
DISTILLATIONS = ("drawn", "distribution")

Section = TypeVar(
    "Section",
    bound="Sampling | Prompt | EvaluationSettings | SelectionSettings | SearchSettings | Stopping | Adaptation",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How candidates are drawn: ``k`` a task, each of at most ``max_tokens`` tokens.

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
    """How a candidate is checked and timed.

    ``precision``: ``float32`` means neither TF32 nor half precision; ``tf32`` is what PyTorch does unless it is told
    otherwise (convolutions in TF32), and what the protocol ``paper`` takes; with ``bfloat16`` and ``float16``, inputs,
    weights and reference are of that type. ``parameters``: ``followed`` demands that a candidate answers right after
    its parameters and buffers were set to other values; with ``any``, one that does not has a remark.
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
    """Which correct candidate is taken: of the first ``top`` ranked ``by``, the one that ``then`` names.

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
class Adaptation:
    """How a policy is trained on rewards of its own rollouts: ``steps`` updates, ``sampling.k`` rollouts a task each.

    ``method`` says where a token's advantage comes from: ``batch`` (rewards standardised over all tasks of a step),
    ``grpo`` (over each task's group), ``dr-grpo`` (group mean taken off), ``maxk`` (max@``max_of``), ``entropic``,
    or ``sdpo``: from a teacher that reads ``feedback``, and with ``demonstrations`` another, correct answer;
    ``feedback_beside_solution`` false: one or the other. ``mask`` leaves out rollouts with neither. The ``teacher`` has
    the ``current`` weights, those of the ``start``, or an ``average`` of them all in which each step's weigh
    ``teacher_rate``. ``distil`` compares teacher and student on the token that was ``drawn``, or their ``distribution``
    over the ``top_k`` likeliest tokens and all others as one, by the Jensen-Shannon divergence in whose mixture
    the teacher weighs ``teacher_share``.
    ``reward`` is the ``speedup``, that ``normalised`` by the median of the task's correct rollouts, its ``log``, or 1
    for what is ``fast`` (its interval above ``threshold``) or ``correct``; all that is correct gets ``correct_bonus``.
    ``lora_targets`` are layers: ``all-linear`` or names such as "q_proj,v_proj". All are those of attention, state
    space and MLP, without the output layer and routers. ``lora_experts`` adds the experts of a mixture, and
    ``lora_parameters`` other weights that are no layers, by name.
    ``scope``: one adapter for the ``batch`` of all tasks, of which ``tasks_per_step`` are trained on at a step (None:
    all), or one for each ``task``. The batch is the tasks collected, or those that ``train_on`` names as ``--tasks``
    does: others then show what carries over to them. ``temperature`` is the loss's own; None: the one that was
    sampled at. ``kl`` and ``entropy`` weigh a penalty on the divergence from the start and a bonus on entropy.
    ``drop_equal`` leaves out groups whose rewards are all equal, ``drop_truncated`` answers that were cut off at
    ``max_tokens``.

    ``checkpoint`` says whose candidates count: ``every`` step's, the ``last``'s, or the step that is ``best`` by
    per-sample fast_1, over all tasks or ``best-per-task``; with ``holdout``, by so many further rollouts a task,
    which train nothing. ``patience``: stop after so many steps without a better one. ``collapse`` and ``max_kl`` are
    guardrails: stop where the rate of correct rollouts falls below that share of the start's, or the divergence
    from the start, in nats a token, exceeds it.
    """

    method: str = field(default="batch", metadata={"choices": METHODS})
    reward: str = field(default="normalised", metadata={"choices": REWARDS})
    threshold: float = field(default=1.0, metadata={"minimum": 0})
    correct_bonus: float = field(default=0.0, metadata={"minimum": 0})
    steps: int = field(default=5, metadata={"minimum": 1})
    scope: str = field(default="batch", metadata={"choices": ("batch", "task")})
    train_on: str | None = None
    tasks_per_step: int | None = field(default=None, metadata={"minimum": 1})
    holdout: int = field(default=0, metadata={"minimum": 0})
    checkpoint: str = field(default="every", metadata={"choices": CHECKPOINTS})
    patience: int | None = field(default=None, metadata={"minimum": 1})
    learning_rate: float = field(default=1e-5, metadata={"minimum": 0})
    lora_rank: int = field(default=16, metadata={"minimum": 1})
    lora_alpha: int = field(default=32, metadata={"minimum": 1})
    lora_dropout: float = field(default=0.0, metadata={"minimum": 0})
    lora_targets: str = "all-linear"
    lora_parameters: str = ""
    lora_experts: bool = False
    loss: str = field(default="importance-sampling", metadata={"choices": LOSSES})
    clip_low: float = field(default=0.2, metadata={"minimum": 0})
    clip_high: float = field(default=0.28, metadata={"minimum": 0})
    reduction: str = field(default="sum", metadata={"choices": REDUCTIONS})
    temperature: float | None = field(default=None, metadata={"minimum": 1e-3})
    passes: int = field(default=1, metadata={"minimum": 1})
    max_grad_norm: float | None = field(default=None, metadata={"minimum": 0})
    kl: float = field(default=0.0, metadata={"minimum": 0})
    entropy: float = field(default=0.0, metadata={"minimum": 0})
    drop_equal: bool = False
    drop_truncated: bool = False
    max_of: int = field(default=8, metadata={"minimum": 2})
    feedback: bool = True
    demonstrations: bool = False
    feedback_beside_solution: bool = True
    mask: bool = False
    teacher: str = field(default="current", metadata={"choices": TEACHERS})
    teacher_rate: float = field(default=0.05, metadata={"minimum": 0, "maximum": 1})
    distil: str = field(default="drawn", metadata={"choices": DISTILLATIONS})
    top_k: int = field(default=100, metadata={"minimum": 1})
    teacher_share: float = field(default=0.5, metadata={"minimum": 0, "maximum": 1})
    shuffle_rewards: bool = False
    collapse: float = field(default=0.1, metadata={"minimum": 0})
    max_kl: float | None = field(default=None, metadata={"minimum": 0})


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How answers are drawn that have read verdicts: in turns of ``width``, ``sampling.k / width`` of them.

    ``refine``: ``width`` chains; a prompt shows the last ``history`` answers of its chain. ``evolve``: a tree over
    distinct programs; a prompt shows its parent, chosen by PUCT with the constant ``exploration``. Of each source that
    is shown, ``characters`` are kept: its middle is left out.
    """

    method: str = field(default="refine", metadata={"choices": SEARCH_METHODS})
    width: int = field(default=8, metadata={"minimum": 1})
    history: int = field(default=1, metadata={"minimum": 1})
    exploration: float = field(default=1.0, metadata={"minimum": 0})
    characters: int = field(default=6000, metadata={"minimum": 200})


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Adapted weights: step ``step`` of a lineage; step 0 is the policy as loaded."""

    lineage: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One way to spend test-time compute. ``gate`` maps a metric's name to the least value that passes.

    ``version`` is None for what a file describes; ``at`` makes the strategy that samples with a version's weights.
    ``primary`` is the comparison that this strategy is there for, as ``--kernelbench-primary`` takes it.
    """

    name: str
    description: str = ""
    source: str = ""
    primary: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    prompt: Prompt = field(default_factory=Prompt)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    search: SearchSettings | None = None
    stopping: Stopping | None = None
    adaptation: Adaptation | None = None
    gate: Mapping[str, float] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    version: Version | None = None

    def at(self, lineage: str, step: int) -> Strategy:
        """This strategy with the weights of a step, and the candidates that are drawn from them."""
        return replace(self, version=Version(lineage=lineage, step=step))

    @property
    def indices(self) -> range:
        """Of a task's candidates. Those of a later step go on where the step before ended."""
        n = self.sampling.k + (self.adaptation.holdout if self.adaptation else 0)
        first = self.version.step * n if self.version else 0
        return range(first, first + n)

    @property
    def sha256(self) -> str:
        """Hash of all that changes a number: not of the name, the prose or the gate."""
        sections = [self._drawing, asdict(self.evaluation), asdict(self.selection)]
        sections += [asdict(each) for each in (self.search, self.stopping, self.adaptation) if each]
        return _sha256_of_json(sections)

    @property
    def _drawing(self) -> dict[str, Any]:
        """``[sampling]``, with how a question is put and how its answer is read."""
        versions = {"prompt_version": question.VERSION, "extraction_version": extraction.VERSION}
        return {**asdict(self.sampling), **versions}

    @property
    def sampling_sha256(self) -> str:
        """Hash of what candidate ``i`` is drawn from. ``k`` is not in it: fewer are the first of more."""
        settings = {key: value for key, value in self._drawing.items() if key != "k"}
        if self.version and self.version.step > 0:
            settings |= asdict(self.version)
        if self.search:
            # A prompt shows verdicts, which depend on how candidates are judged.
            settings |= {"search": asdict(self.search), "evaluation": asdict(self.evaluation)}
        return _sha256_of_json(settings)

    @property
    def adaptation_sha256(self) -> str | None:
        """Hash of what the weights of step ``s`` come from. How many steps and which one is taken is not in it."""
        if self.adaptation is None:
            return None
        settings = asdict(self.adaptation)
        for key in ("steps", "checkpoint", "patience"):
            del settings[key]
        return _sha256_of_json([self._drawing, asdict(self.evaluation), settings])

    @property
    def evaluation_sha256(self) -> str:
        """Hash of how a candidate is judged."""
        return _sha256_of_json(asdict(self.evaluation))

    @property
    def needs_logprobs(self) -> bool:
        return self.selection.by in NEEDS_LOGPROBS

    def to_json(self) -> dict[str, Any]:
        """As ``run.json`` holds it: every value of the file, and the hashes."""
        values = asdict(self)
        del values["version"]
        return {
            **values,
            "overrides": list(self.overrides),
            "sha256": self.sha256,
            "sampling_sha256": self.sampling_sha256,
            "evaluation_sha256": self.evaluation_sha256,
            "adaptation_sha256": self.adaptation_sha256,
        }


SECTIONS = {
    "sampling": Sampling,
    "prompt": Prompt,
    "evaluation": EvaluationSettings,
    "selection": SelectionSettings,
    "search": SearchSettings,
    "stopping": Stopping,
    "adaptation": Adaptation,
}
# A strategy without one of these does without what it is about.
OPTIONAL = ("search", "stopping", "adaptation")
TEXTS = ("description", "source", "primary")
TOP_LEVEL = (*TEXTS, *SECTIONS, "gate")
KINDS = {"int": "a whole number", "float": "a number", "str": "a string", "bool": "true or false"}


def load_strategies(names: Sequence[str], *, folders: Sequence[Path], overrides: Sequence[str] = ()) -> list[Strategy]:
    """The strategies that ``names`` name, in that order, each once.

    A name is a file's stem in one of ``folders`` (the first that has it) or the path of a TOML file; one
    string may hold several, separated by commas. ``overrides`` (``sampling.k=16``) apply to all of them.
    Raises StrategyError.
    """
    loaded: dict[str, tuple[Path, Strategy]] = {}
    for name in (part.strip() for text in names for part in text.split(",")):
        if not name:
            continue
        path = _find(name, folders)
        strategy = _load(path, overrides)
        if strategy.name in loaded and loaded[strategy.name][0].resolve() != path.resolve():
            other = _shown(loaded[strategy.name][0])
            raise StrategyError(f'--strategy: {other} and {_shown(path)} are both named "{strategy.name}"; rename one')
        loaded.setdefault(strategy.name, (path, strategy))
    for override in overrides if loaded else ():
        section = override.strip().partition(".")[0]
        if section in OPTIONAL and not any(getattr(strategy, section) for _, strategy in loaded.values()):
            raise StrategyError(f"--kernelbench-set {override}: none of these strategies has [{section}]")
    return [strategy for _, strategy in loaded.values()]


def did_you_mean(word: str, known: Iterable[str], quoted: str = '"{}"') -> str:
    """``; did you mean "temperature"?``, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {quoted.format(near[0])}?" if near else ""


def _find(name: str, folders: Sequence[Path]) -> Path:
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise StrategyError(f"--strategy={name}: no such file")
        return Path(name)
    for folder in folders:
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    near = did_you_mean(name, known)
    there = f"there are {', '.join(known)}" if known else "there are none"
    raise StrategyError(f"--strategy={name}: no such strategy{near or ';'} {there}")


def _load(path: Path, overrides: Sequence[str]) -> Strategy:
    place = _shown(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StrategyError(f"{place}: {error}") from error
    except UnicodeDecodeError as error:
        raise StrategyError(f"{place}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    _check(table, place)
    _sampling_and_adaptation(table, place)
    for override in overrides:
        _apply(override, table)
    # The file was checked before, so whatever is wrong now came from an override, whose place _apply names.
    sampling, adaptation = _sampling_and_adaptation(
        table, " ".join([place, *(f"--kernelbench-set {each}" for each in overrides)])
    )
    prompt = _section(Prompt, table, "prompt", place)
    sampling = replace(sampling, question=_question(prompt, sampling.answer, path, place))
    return Strategy(
        name=path.stem,
        description=table.get("description", ""),
        source=table.get("source", ""),
        primary=_primary(table, place),
        sampling=sampling,
        prompt=prompt,
        evaluation=_section(EvaluationSettings, table, "evaluation", place),
        selection=_section(SelectionSettings, table, "selection", place),
        search=_search(table, sampling, place),
        stopping=_stopping(table, place),
        adaptation=adaptation,
        gate=_gate(table, place),
        overrides=tuple(overrides),
    )


def _question(prompt: Prompt, answer: str, path: Path, place: str) -> str:
    """What is asked for, as text; empty where it is ``answer`` in this project's own words."""
    if prompt == Prompt():
        return ""

    def read(file: str) -> str:
        try:
            return (path.parent / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ValueError(f"file {file} cannot be read ({reason}); name it as seen from the strategy's") from None

    try:
        return question_for(prompt, answer, read)
    except ValueError as error:
        raise StrategyError(f"{place}: [prompt] {error}") from None


def _primary(table: Mapping[str, Any], place: str) -> str:
    text = table.get("primary", "")
    return str(parse_primary(text, f"{place}: primary = {_quoted(text)}")) if text else ""


def _sampling_and_adaptation(table: Mapping[str, Any], place: str) -> tuple[Sampling, Adaptation | None]:
    """Both sections; raises StrategyError where one setting makes another do nothing."""
    sampling = _section(Sampling, table, "sampling", place)
    adaptation = _section(Adaptation, table, "adaptation", place) if "adaptation" in table else None
    if adaptation and (refusal := nothing_to_read(adaptation) or nothing_to_learn(adaptation, sampling)):
        raise StrategyError(f"{place}: {refusal}")
    return sampling, adaptation


def _search(table: Mapping[str, Any], sampling: Sampling, place: str) -> SearchSettings | None:
    """The section, if there is one. Raises StrategyError where it does not go with the others."""
    if "search" not in table:
        return None
    search = _section(SearchSettings, table, "search", place)
    if "adaptation" in table:
        raise StrategyError(f"{place}: [search] and [adaptation] both say what is drawn next; leave one of them out")
    if sampling.k % search.width:
        raise StrategyError(
            f"{place}: [search] width = {search.width} does not divide sampling.k = {sampling.k}; "
            f"set sampling.k to a multiple of it"
        )
    for key, method in (("history", "refine"), ("exploration", "evolve")):
        if search.method != method and key in table["search"]:
            raise StrategyError(f'{place}: [search] {key} is read with method = "{method}" only; leave it out')
    return search


def _stopping(table: Mapping[str, Any], place: str) -> Stopping | None:
    """The section, if there is one. Raises StrategyError where it does not go with the others."""
    if "stopping" not in table:
        return None
    stopping = _section(Stopping, table, "stopping", place)
    if "adaptation" in table:
        raise StrategyError(
            f"{place}: [stopping] and [adaptation] both say how much is drawn; leave one of them out, "
            "or set adaptation.patience"
        )
    if "search" in table and "every" in table["stopping"]:
        raise StrategyError(f"{place}: [stopping] every is the width of [search] where there is one; leave it out")
    if stopping.gain != "speedup" and "scale" in table["stopping"]:
        raise StrategyError(f'{place}: [stopping] scale is read with gain = "speedup" only; leave it out')
    return stopping


def _apply(override: str, table: dict[str, Any]) -> None:
    place = f"--kernelbench-set {override}"
    target, equals, text = override.partition("=")
    section, dot, key = target.strip().partition(".")
    if not (equals and dot):
        raise StrategyError(f"{place}: write SECTION.KEY=VALUE, as in sampling.k=16")
    if section not in (*SECTIONS, "gate"):
        raise StrategyError(f"{place}: unknown section [{section}]{did_you_mean(section, (*SECTIONS, 'gate'), '[{}]')}")
    change = {section: {key: _value(text.strip())}}
    _check(change, place)
    if section in OPTIONAL and section not in table:
        return  # a strategy beside the one that is meant stays what it is
    table[section] = {**table.get(section, {}), **change[section]}


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if set(parsed) == {"value"} else text


def _check(table: Mapping[str, Any], place: str) -> None:
    for key, value in table.items():
        if key not in TOP_LEVEL and isinstance(value, dict):
            sections = (*SECTIONS, "gate")
            raise StrategyError(f"{place}: unknown section [{key}]{did_you_mean(key, sections, '[{}]')}")
        if key not in TOP_LEVEL:
            raise StrategyError(f'{place}: unknown key "{key}"{did_you_mean(key, TOP_LEVEL)}')
        if key in TEXTS:
            if not isinstance(value, str):
                raise StrategyError(f"{place}: {key} must be a string, not {_quoted(value)}")
        elif not isinstance(value, dict):
            raise StrategyError(f"{place}: {key} must be a section; write [{key}] above its keys")
        elif key == "gate":
            _gate(table, place)
        else:
            _section(SECTIONS[key], table, key, place)


def _section(cls: type[Section], table: Mapping[str, Any], name: str, place: str) -> Section:
    rows = {each.name: each for each in fields(cls)}
    values = {}
    for key, value in table.get(name, {}).items():
        if key not in rows or "set_by" in rows[key].metadata:
            raise StrategyError(f'{place}: [{name}] unknown key "{key}"{did_you_mean(key, rows)}')
        kind, limits = str(rows[key].type).removesuffix(" | None"), rows[key].metadata
        if kind == "float" and _is_number(value):
            value = float(value)
        if type(value).__name__ != kind or (kind == "float" and not math.isfinite(value)):
            raise StrategyError(f"{place}: [{name}] {key} must be {KINDS[kind]}, not {_quoted(value)}")
        if "minimum" in limits and value < limits["minimum"]:
            least = limits["minimum"]
            raise StrategyError(f"{place}: [{name}] {key} must be at least {least}, not {_quoted(value)}")
        if "maximum" in limits and value > limits["maximum"]:
            raise StrategyError(f"{place}: [{name}] {key} must be at most {limits['maximum']}, not {_quoted(value)}")
        if "choices" in limits and value not in limits["choices"]:
            choices = " or ".join(limits["choices"])
            raise StrategyError(f"{place}: [{name}] {key} must be {choices}, not {_quoted(value)}")
        values[key] = value
    return cls(**values)


def _gate(table: Mapping[str, Any], place: str) -> dict[str, float]:
    for metric, minimum in table.get("gate", {}).items():
        if not _is_number(minimum):
            raise StrategyError(f"{place}: [gate] {metric} must be a number, not {_quoted(minimum)}")
    return {metric: float(minimum) for metric, minimum in table.get("gate", {}).items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _quoted(value: Any) -> str:
    return json.dumps(value, default=str)


def _shown(path: Path) -> str:
    absolute = path.absolute()
    here = Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else path).as_posix()


def _sha256_of_json(value: Any) -> str:
    return sha256_of(json.dumps(value, sort_keys=True, separators=(",", ":")))
