"""``python -m pytest_kernelbench probe RUN``: one fixed set of answers, scored under every checkpoint of a run.

It shows whether training sharpens the policy on answers that it already preferred: the answers stay the same, and only
the weights that score them change.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.commands.present_tasks import AS_RECORDED, Places, add_places, present_tasks
from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.policies import Policy, load_policy, require_trainable
from pytest_kernelbench.records import AdaptationStep, Completion, Task, json_text
from pytest_kernelbench.report.analyses.adaptation import adaptation
from pytest_kernelbench.report.analyses.base import Study
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.records.rows import Row, completion_row, evaluation_row, rows_of, run_json
from pytest_kernelbench.strategy import Adaptation

FILE = "probes.jsonl"

# The policy is the run's.
OTHER_NAMES = {"--policy": "the policy of the run: "}

Key = tuple[str | None, str, int]  # sampling hash, task, index


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One answer of the fixed set under the weights of ``step``: ``nll`` in nats at temperature 1, over ``n_tokens``.

    ``speedup`` is None where it is not correct. One line of ``probes.jsonl``.
    """

    lineage: str
    step: int
    task: str
    index: int
    nll: float
    n_tokens: int
    speedup: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run with an adaptation strategy")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the policy; default: cpu")
    parser.add_argument(
        "--samples",
        metavar="STRATEGY",
        help="a search of the run whose samples are scored (default: step 0's rollouts)",
    )
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Score one fixed set of answers under every checkpoint of a run. Loads the policy and torch."""
    places = Places.named_by(options)
    for line in probe_folder(options.folder, device=options.device, samples=options.samples, places=places):
        print(line)


def probe_folder(
    folder: Path, *, device: str, samples: str | None = None, places: Places = AS_RECORDED
) -> Iterator[str]:
    """Write ``probes.jsonl`` into the run folder. Yields tables of the correlation of likelihood and speed-up.

    ``samples`` and ``places``: as for ``probe_run``. The row ``tail`` is about the quarter of rollouts that was least
    likely at step 0. The column ``within tasks`` is the mean of the tasks' own correlations, which differences between
    tasks do not affect.
    """
    probes = list(probe_run(folder, device=device, samples=samples, places=places))
    try:
        text = "".join(json_text(asdict(each)) + "\n" for each in probes)
    except ValueError as error:
        raise HarnessError(f"{folder / FILE}: is not written: {error}") from error
    (folder / FILE).write_text(text, encoding="utf-8")
    of = f"samples of {samples}" if samples else "rollouts of step 0"
    for found in adaptation(Study.of(RunRecords.load(folder))) or ():
        yield f"{found['strategy']}: rho of NLL (nats, temperature 1) and speed-up of correct {of}"
        yield "  step    n  mean NLL     rho        p  within tasks     tail        p"
        for row in found["probe"] or ():
            within = (row["within_task_rho"] or {}).get("value")
            yield (
                f"  {row['step']:4} {row['n']:4} {row['mean_nll']:9.3f}  {_shown(row['rho'])}  {_shown(row['p'])}"
                f"       {_shown(within)}  {_shown(row['tail_rho'])}  {_shown(row['tail_p'])}"
            )
    yield f"wrote {FILE} in {folder}"


def probe_run(
    folder: Path, *, device: str, samples: str | None = None, places: Places = AS_RECORDED
) -> Iterator[Probe]:
    """One set of answers under every step's weights: each lineage's rollouts of step 0, or those of ``samples``.

    ``samples`` names a strategy of the run that searched the same tasks, such as best-of-64: the paper's probe has 64
    samples of each of 5 tasks. ``places``: where the tasks are now. Raises UsageError where the run has no adaptation,
    or no such samples, and where a task is not there or has another text.
    """
    from pytest_kernelbench.adaptation.trainers import trainer_of

    RunRecords.load(folder)  # which says what cannot be read
    settings = run_json(folder / "run.json")
    steps = list(_rows(folder / "adaptation.jsonl", AdaptationStep.from_json))
    if not steps:
        raise UsageError(f"{folder}: holds no adaptation; run a strategy such as batch-ttt first")
    by_hash = {row["adaptation_sha256"]: row for row in settings["strategies"] if row.get("adaptation")}
    chosen = None if samples is None else _strategy_named(samples, settings, folder)
    drawn, speedups = _drawn(folder), _speedups(folder)
    policies: dict[str, Policy] = {}
    firsts = [step for step in steps if step.step == 0]
    if lost := [step.lineage for step in firsts if step.adaptation_sha256 not in by_hash]:
        raise UsageError(f"{folder}: run.json has no strategy of {lost[0]}; name the folder of one whole run")
    tasks = _tasks(folder, settings, firsts, by_hash, places)
    for first in firsts:
        strategy = by_hash[first.adaptation_sha256]
        fixed = _Fixed.of(first, chosen)
        spec = strategy["sampling"]["policy"] or settings.get("policy")
        if spec is None:
            raise UsageError(f"{folder}: run.json names no policy, so no weights can be loaded")
        policy = policies.get(spec) or policies.setdefault(spec, load_policy(spec, device=device))
        require_trainable(policy, "probe")
        own = {task: _scorable(fixed, task, drawn, folder, samples) for task in first.group}
        trainer = trainer_of(
            policy,
            Adaptation.from_json(strategy["adaptation"]),
            temperature=1.0,
            max_tokens=strategy["sampling"]["max_tokens"],
            seed=0,
        )
        with closing(trainer):
            for step in (step for step in steps if step.lineage == first.lineage and step.policy_version):
                if step.checkpoint is not None:
                    trainer.load(folder / step.checkpoint, step=step.step)
                    trainer.use_adapted(str(step.policy_version))
                for task, completions in own.items():
                    token_ids = [each.token_ids or () for each in completions]
                    scored = trainer.score(tasks[task], fixed.answer or strategy["sampling"]["answer"], token_ids)
                    for completion, logprobs in zip(completions, scored, strict=True):
                        yield Probe(
                            lineage=first.lineage,
                            step=step.step,
                            task=task,
                            index=completion.index,
                            nll=-sum(logprobs),
                            n_tokens=len(logprobs),
                            speedup=speedups.get((fixed.sampling_sha256, task, completion.index)),
                        )


def _tasks(
    folder: Path,
    settings: Mapping[str, Any],
    firsts: Sequence[AdaptationStep],
    by_hash: Mapping[str, Mapping[str, Any]],
    places: Places,
) -> dict[str, Task]:
    """The tasks of all lineages, by id. A strategy's ``train_on`` says where it found its own."""
    ids: dict[str | None, dict[str, None]] = {}
    for first in firsts:
        learnt_on = by_hash[first.adaptation_sha256]["adaptation"].get("train_on")
        ids.setdefault(learnt_on, {}).update(dict.fromkeys(first.group))
    found: dict[str, Task] = {}
    for learnt_on, named in ids.items():
        selectors = [] if learnt_on is None else [learnt_on]
        found |= present_tasks(folder, settings, named, places, selectors)
    return found


@dataclass(frozen=True, slots=True)
class _Fixed:
    """The rows of ``completions.jsonl`` that are scored. ``answer``: the prompt's kind; None for the lineage's."""

    sampling_sha256: str | None
    indices: range
    answer: str | None = None

    @classmethod
    def of(cls, first: AdaptationStep, samples: Mapping[str, Any] | None) -> _Fixed:
        if samples is None:
            return cls(first.sampling_sha256, range(first.first_index, first.first_index + first.rollouts))
        sampling = samples["sampling"]
        return cls(samples["sampling_sha256"], range(sampling["k"]), sampling["answer"])


def _strategy_named(name: str, settings: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    searches = {row["name"]: row for row in settings["strategies"] if not row.get("adaptation")}
    if name not in searches:
        there = ", ".join(searches) or "none"
        raise UsageError(f"{folder}: --samples={name} is no search of this run; there are {there}")
    found: Mapping[str, Any] = searches[name]
    return found


def _scorable(
    fixed: _Fixed, task: str, drawn: Mapping[Key, Completion], folder: Path, samples: str | None
) -> list[Completion]:
    keys = [(fixed.sampling_sha256, task, index) for index in fixed.indices]
    found = [drawn[key] for key in keys if key in drawn]
    if samples is not None and not found:
        raise UsageError(
            f"{folder}: --samples={samples} has no samples of {task}; sample the tasks that were adapted to"
        )
    if any(each.token_ids is None for each in found):
        raise UsageError(f"{folder}: an answer to {task} has no token ids, so that it cannot be scored again")
    return found


def _drawn(folder: Path) -> dict[Key, Completion]:
    return dict(_rows(folder / "completions.jsonl", completion_row))


def _speedups(folder: Path) -> dict[Key, float | None]:
    return {
        (sampling, task, index): evaluation.counted_speedup
        for (sampling, _, task, index), evaluation in _rows(folder / "evaluations.jsonl", evaluation_row)
    }


def _rows(path: Path, parse: Callable[[Mapping[str, Any]], Row]) -> Iterator[Row]:
    # A last line that was cut short belongs to no finished step.
    return rows_of(path, parse, notes=[])


def _shown(value: float | None) -> str:
    return "      -" if value is None else f"{value:7.3g}"
