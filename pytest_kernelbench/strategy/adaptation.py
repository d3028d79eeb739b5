"""``[adaptation]`` and the sections inside of it: how a policy is trained on rewards of its own rollouts.

Records and hashes of a run hold all settings in one flat table, under the names from before there were sections
(``lora_rank``; the metadata ``recorded`` of a field). Runs of earlier versions can therefore be read and resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pytest_kernelbench.registries import ADVANTAGES, LOSSES, REDUCTIONS, REWARDS

SDPO = "sdpo"
CHECKPOINTS = ("every", "last", "best", "best-per-task")
TEACHERS = ("current", "start", "average")
DISTILLATIONS = ("drawn", "distribution")


class Methods:
    """The values of ``[adaptation] method``: every advantage of the registry, and ``sdpo``, which has a teacher."""

    def __iter__(self) -> Iterator[str]:
        return iter((*ADVANTAGES, SDPO))

    def __contains__(self, name: object) -> bool:
        return name == SDPO or name in ADVANTAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """``[adaptation.rewards]``: changes to rewards, for every method but ``sdpo``, which uses no rewards.

    ``threshold``: for the reward ``fast``, the speed-up that a candidate's interval must exceed. ``correct_bonus``: is
    added to the reward of every correct rollout. ``drop_equal``: leave out groups whose rewards are all equal.
    ``shuffle``: assign the rewards of a step to its rollouts at random, as a control.
    """

    threshold: float = field(default=1.0, metadata={"minimum": 0, "recorded": "threshold"})
    correct_bonus: float = field(default=0.0, metadata={"minimum": 0, "recorded": "correct_bonus"})
    drop_equal: bool = field(default=False, metadata={"recorded": "drop_equal"})
    shuffle: bool = field(default=False, metadata={"recorded": "shuffle_rewards"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxK:
    """``[adaptation.maxk]``: ``k`` of the objective max@k."""

    k: int = field(default=8, metadata={"minimum": 2, "recorded": "max_of"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdpo:
    """``[adaptation.sdpo]``: a teacher model that is shown ``feedback`` on a rollout, and ``demonstrations``: another
    rollout that is correct.

    ``feedback_beside_solution`` false: a teacher that reads a demonstration reads no feedback. ``mask`` leaves out
    rollouts with neither. The ``teacher`` has the ``current`` weights, those of the ``start``, or the moving
    ``average`` of all steps with the rate ``teacher_rate``. ``distil`` compares teacher and student on
    the token that was ``drawn``, or their ``distribution`` over the ``top_k`` likeliest tokens and all others as one,
    by the Jensen-Shannon divergence in whose mixture the teacher weighs ``teacher_share``.
    """

    feedback: bool = field(default=True, metadata={"recorded": "feedback"})
    demonstrations: bool = field(default=False, metadata={"recorded": "demonstrations"})
    feedback_beside_solution: bool = field(default=True, metadata={"recorded": "feedback_beside_solution"})
    mask: bool = field(default=False, metadata={"recorded": "mask"})
    teacher: str = field(default="current", metadata={"choices": TEACHERS, "recorded": "teacher"})
    teacher_rate: float = field(default=0.05, metadata={"minimum": 0, "maximum": 1, "recorded": "teacher_rate"})
    distil: str = field(default="drawn", metadata={"choices": DISTILLATIONS, "recorded": "distil"})
    top_k: int = field(default=100, metadata={"minimum": 1, "recorded": "top_k"})
    teacher_share: float = field(default=0.5, metadata={"minimum": 0, "maximum": 1, "recorded": "teacher_share"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    """``[adaptation.clipped]``: ratios are bounded to 1 - ``low`` and 1 + ``high``, as in PPO, GRPO and DAPO."""

    low: float = field(default=0.2, metadata={"minimum": 0, "recorded": "clip_low"})
    high: float = field(default=0.28, metadata={"minimum": 0, "recorded": "clip_high"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """``[adaptation.lora]``: the adapter that is trained.

    ``targets`` are layers: ``all-linear`` or names such as "q_proj,v_proj". ``all-linear``: the layers of attention,
    state space and MLP, without the output layer and routers. ``experts`` adds the experts of a mixture, and
    ``parameters`` other weights that are no layers, by name.
    """

    rank: int = field(default=16, metadata={"minimum": 1, "recorded": "lora_rank"})
    alpha: int = field(default=32, metadata={"minimum": 1, "recorded": "lora_alpha"})
    dropout: float = field(default=0.0, metadata={"minimum": 0, "recorded": "lora_dropout"})
    targets: str = field(default="all-linear", metadata={"recorded": "lora_targets"})
    parameters: str = field(default="", metadata={"recorded": "lora_parameters"})
    experts: bool = field(default=False, metadata={"recorded": "lora_experts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """``[adaptation.ending]``: when no further step is taken, although ``steps`` would allow it.

    ``patience``: stop after this many steps without a better one; None: do not stop for this reason. ``collapse``: stop
    if the rate of correct rollouts is below this share of the rate at step 0. ``max_kl``: stop if the divergence from
    the weights of step 0, in nats a token, exceeds it.
    """

    patience: int | None = field(default=None, metadata={"minimum": 1, "recorded": "patience"})
    collapse: float = field(default=0.1, metadata={"minimum": 0, "recorded": "collapse"})
    max_kl: float | None = field(default=None, metadata={"minimum": 0, "recorded": "max_kl"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """``[adaptation]``: the settings of all methods. ``steps`` updates, each from ``sampling.k`` rollouts a task.

    ``method`` says where a token's advantage comes from: ``batch`` (rewards standardised over all tasks of a step),
    ``grpo`` (over each task's group), ``dr-grpo`` (group mean taken off), ``maxk`` (max@k), ``entropic``, or ``sdpo``
    (a teacher). ``reward`` is the ``speedup``, that ``normalised`` by the median of the task's correct rollouts, its
    ``log``, or 1 for a candidate that is ``fast`` or ``correct``.

    ``scope``: one adapter for the ``batch`` of all tasks, of which ``tasks_per_step`` are trained on at a step (None:
    all), or one for each ``task``. The batch is the tasks collected, or the tasks that ``train_on`` names as
    ``--tasks`` does: the other tasks then measure transfer. ``drop_truncated`` leaves out answers that were
    cut off at ``max_tokens``.

    ``checkpoint``: the steps whose candidates count: ``every`` step's, the ``last``'s, or the step that is ``best`` by
    per-sample fast_1, over all tasks or ``best-per-task``; with ``holdout``, by so many further rollouts a task,
    which train nothing.

    ``loss`` and ``reduction`` make the objective; ``temperature`` is the loss's own (None: the sampler's); ``passes``
    are made over the rollouts of a step; ``kl`` and ``entropy`` weigh a penalty on the divergence from the start and a
    bonus on entropy. ``max_grad_norm`` None: gradients are not clipped.
    """

    method: str = field(default="batch", metadata={"choices": Methods()})
    reward: str = field(default="normalised", metadata={"choices": REWARDS})
    steps: int = field(default=5, metadata={"minimum": 1})
    scope: str = field(default="batch", metadata={"choices": ("batch", "task")})
    train_on: str | None = None
    tasks_per_step: int | None = field(default=None, metadata={"minimum": 1})
    drop_truncated: bool = False
    holdout: int = field(default=0, metadata={"minimum": 0})
    checkpoint: str = field(default="every", metadata={"choices": CHECKPOINTS})
    learning_rate: float = field(default=1e-5, metadata={"minimum": 0})
    loss: str = field(default="importance-sampling", metadata={"choices": LOSSES})
    reduction: str = field(default="sum", metadata={"choices": REDUCTIONS})
    temperature: float | None = field(default=None, metadata={"minimum": 1e-3})
    passes: int = field(default=1, metadata={"minimum": 1})
    max_grad_norm: float | None = field(default=None, metadata={"minimum": 0})
    kl: float = field(default=0.0, metadata={"minimum": 0})
    entropy: float = field(default=0.0, metadata={"minimum": 0})
    rewards: Rewards = field(default_factory=Rewards, metadata={"section": Rewards})
    maxk: MaxK = field(default_factory=MaxK, metadata={"section": MaxK})
    sdpo: Sdpo = field(default_factory=Sdpo, metadata={"section": Sdpo})
    clipped: Clipped = field(default_factory=Clipped, metadata={"section": Clipped})
    lora: Lora = field(default_factory=Lora, metadata={"section": Lora})
    ending: Ending = field(default_factory=Ending, metadata={"section": Ending})

    def to_json(self) -> dict[str, Any]:
        """The settings for ``run.json`` and hashes: all settings side by side, under their recorded names."""
        row = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if "section" in each.metadata:
                row |= {_recorded(inner): getattr(value, inner.name) for inner in fields(value)}
            else:
                row[each.name] = value
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Adaptation:
        """The inverse of ``to_json``, of this version or an earlier one; a missing setting has its default."""
        values: dict[str, Any] = {}
        for each in fields(cls):
            section = each.metadata.get("section")
            if section is None:
                values |= {each.name: row[each.name]} if each.name in row else {}
            else:
                found = {inner.name: row[_recorded(inner)] for inner in fields(section) if _recorded(inner) in row}
                values[each.name] = section(**found)
        return cls(**values)


def _recorded(each: Any) -> str:
    name: str = each.metadata["recorded"]
    return name


# Keys that stood in ``[adaptation]`` itself before there were sections, and where each is now.
MOVED: Mapping[str, tuple[str, str]] = {
    _recorded(inner): (each.name, inner.name)
    for each in fields(Adaptation)
    if "section" in each.metadata
    for inner in fields(each.metadata["section"])
}
