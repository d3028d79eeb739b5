"""The candidates of each task as the page shows them: one entry for all that share a text and a verdict."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pytest_kernelbench.prompting.extraction import extract_source, fenced_blocks
from pytest_kernelbench.records import Evaluation, Outcome, Selection, Task, sha256_of
from pytest_kernelbench.report.metrics import Sample, StrategyResults, TaskResults
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.numbers import as_digits, as_times, ends_of

Entry = dict[str, Any]
ORDER = {outcome.value: place for place, outcome in enumerate(Outcome)}
NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCandidates:
    """``packed`` is unpacked by the page when the task is opened: JSON, gzipped, in base64.

    Candidates that several sets share are counted once. ``fast`` counts those that are verified on their first timing;
    ``distinct`` counts texts. ``flagged`` has an entry for each piece of evidence, with the answers that it is about.
    """

    task: str
    drawn: int
    correct: int
    fast: int
    distinct: int
    flagged: tuple[Entry, ...]
    packed: str


def candidates_by_task(records: RunRecords) -> list[TaskCandidates]:
    """The candidates of each unit, in the order of the run's units."""
    groups = list(_groups(records))
    refuted: dict[str, dict[str | None, Evaluation]] = {}
    for (_, _, task, _), again in records.confirmations.items():
        if not again.correct:
            refuted.setdefault(task, {})[again.source_sha256] = again
    tasks = []
    for task in records.tasks:
        texts: dict[str, str] = {}
        sets: list[Entry] = []
        for results, users in groups:
            of_task = {user.strategy: _of_unit(user, task) for user in users}
            chosen = {name: found.selection for name, found in of_task.items()}
            entries = _entries(_of_unit(results, task), results.margin, chosen, refuted.get(task, {}), texts)
            sets.append({"strategies": [user.strategy for user in users], "candidates": entries})
        judged = _once((sample, results.margin) for results, _ in groups for sample in _of_unit(results, task).samples)
        tasks.append(
            TaskCandidates(
                task=task,
                drawn=len(judged),
                correct=sum(each.evaluation is not None and each.evaluation.correct for each, _ in judged),
                fast=sum(each.evaluation is not None and each.evaluation.fast(1.0, margin) for each, margin in judged),
                distinct=len(texts),
                flagged=_flagged(entry for each in sets for entry in each["candidates"]),
                packed=_packed({"sets": sets, "texts": texts}),
            )
        )
    return tasks


def _of_unit(results: StrategyResults, unit: str) -> TaskResults:
    """The results of a strategy on a unit; empty if it was not asked to solve that unit."""
    return next((task for task in results.tasks if task.unit == unit), TaskResults(task=unit))


def _once(samples: Iterable[tuple[Sample, float]]) -> list[tuple[Sample, float]]:
    """Sets that share a candidate hold one and the same record of it."""
    found = {(each.index, id(each.completion), id(each.evaluation)): (each, margin) for each, margin in samples}
    return list(found.values())


def _flagged(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    found: dict[tuple[Any, ...], Entry] = {}
    for entry in entries:
        if entry["flags"]:
            evidence = {key: entry[key] for key in ("flags", "outcome", "detail")}
            row = found.setdefault((*entry["flags"], entry["outcome"], entry["detail"]), {**evidence, "indices": []})
            row["indices"] = sorted({*row["indices"], *entry["indices"]})
    return tuple(found.values())


def _groups(records: RunRecords) -> Iterator[tuple[StrategyResults, list[StrategyResults]]]:
    """Each distinct set of candidates as the strategy with the largest K sees it, and all that use it."""
    users: dict[tuple[Any, ...], list[StrategyResults]] = {}
    for strategy in records.strategies:
        results = records.results(strategy)
        drawn_from = (strategy.sampling_sha256, strategy.evaluation_sha256, strategy.adaptation_sha256)
        users.setdefault((*drawn_from, results.indices if strategy.adaptation else None), []).append(results)
    for group in users.values():
        yield max(group, key=lambda results: results.k), group


def _entries(
    task: TaskResults,
    margin: float,
    chosen: dict[str, Selection | None],
    refuted: dict[str | None, Evaluation],
    texts: dict[str, str],
) -> list[Entry]:
    """``refuted`` holds, by source, the second evaluations of choices that turned out not to be correct."""
    alike: dict[tuple[str | None, str], list[Sample]] = {}
    for sample in task.samples:
        key = _text(sample, texts)
        alike.setdefault((key, repr(sample.evaluation)), []).append(sample)
    entries = [_entry(samples, key, margin, chosen, refuted) for (key, _), samples in alike.items()]
    return sorted(entries, key=lambda entry: (ORDER.get(entry["outcome"], len(ORDER)), -(entry["speedup"] or [0])[0]))


def _text(sample: Sample, texts: dict[str, str]) -> str | None:
    """The key in ``texts`` of the judged source, or of the whole answer if the source is not a part of it."""
    if sample.completion is None:
        return None
    answer = sample.completion.text
    wanted = sample.evaluation.source_sha256 if sample.evaluation else None
    if wanted is not None and wanted not in texts:
        parts = _parts(answer, sample.completion.task)
        texts.update((wanted, text) for text in islice((each for each in parts if sha256_of(each) == wanted), 1))
    if wanted in texts:
        return wanted
    key = sha256_of(answer)
    texts[key] = answer
    return key


def _parts(answer: str, task: str) -> Iterator[str]:
    """Texts that may be the module that was judged. Extraction comes last, because it parses the answer again."""
    plain = answer.replace("\r\n", "\n").replace("\r", "\n")
    yield from fenced_blocks(plain)
    yield plain
    yield extract_source(answer, answer="module", task=Task(id=task, source="")) or ""


def _entry(
    samples: Sequence[Sample],
    text: str | None,
    margin: float,
    chosen: dict[str, Selection | None],
    refuted: dict[str | None, Evaluation],
) -> Entry:
    evaluation = samples[0].evaluation
    indices = [sample.index for sample in samples]
    choices = {name: each for name, each in chosen.items() if each is not None and each.index in indices}
    entry: Entry = {
        "indices": indices,
        "text": text,
        "outcome": NOT_JUDGED,
        "fast": False,
        "speedup": None,
        "shown": "",
        "detail": "",
        "log": "",
        "flags": [],
        "calls_ms": [],
        "chosen": list(choices),
        "facts": [],
    }
    if evaluation is not None:
        entry |= {
            "outcome": evaluation.outcome.value,
            "fast": evaluation.fast(1.0, margin),
            "speedup": evaluation.counted_speedup
            and [evaluation.counted_speedup, evaluation.counted_low, evaluation.counted_high],
            "shown": as_times(evaluation.counted_speedup, ends_of(evaluation.counted_low, evaluation.counted_high))
            if evaluation.counted_speedup
            else "",
            "detail": evaluation.detail,
            "log": evaluation.log or "",
            "flags": list(evaluation.flags),
            "calls_ms": [float(f"{each:.4g}") for each in evaluation.candidate_times_ms or ()],
        }
        if again := refuted.get(evaluation.source_sha256):
            said = f"chosen, and when timed again {again.outcome.value}: {again.detail}"
            entry["detail"] = "\n".join(filter(None, [evaluation.detail, said]))
            entry["flags"] += [flag for flag in again.flags if flag not in evaluation.flags]
    entry["facts"] = list(_facts(samples, evaluation, choices, text))
    return entry


def _facts(
    samples: Sequence[Sample], evaluation: Evaluation | None, choices: dict[str, Selection], text: str | None
) -> Iterator[tuple[str, str]]:
    for name, choice in choices.items():
        again = as_times(choice.confirmed_speedup, ends_of(choice.confirmed_low, choice.confirmed_high))
        how = "timed again" if choice.retimed else "by its one timing"
        yield f"chosen by {name}", f"#{choice.index}, {how}: {again}"
    if evaluation is not None:
        if evaluation.reference_ms is not None and evaluation.candidate_ms is not None:
            both = f"{as_digits(evaluation.reference_ms)} ms, {as_digits(evaluation.candidate_ms)} ms"
            yield "reference, candidate", f"{both} (medians of {evaluation.pairs} pairs)"
        if evaluation.seconds:
            yield "seconds", ", ".join(f"{stage} {as_digits(spent)}" for stage, spent in evaluation.seconds.items())
    surprise = [each.completion.mean_logprob for each in samples if each.completion]
    known = [f"{each:.4g}" for each in sorted(each for each in surprise if each is not None)]
    if known:
        yield "log-probability", f"{_span(known)} nats a token"
    lengths = sorted(each.completion.n_tokens for each in samples if each.completion and each.completion.n_tokens)
    if lengths:
        yield "tokens", _span([str(length) for length in lengths])
    stopped = sorted({each.completion.stop_reason or "" for each in samples if each.completion} - {""})
    if stopped:
        yield "stopped by", ", ".join(stopped)
    if evaluation is not None and evaluation.source_sha256 is not None:
        yield "SHA-256 of the source", evaluation.source_sha256
        if text is not None and text != evaluation.source_sha256:
            yield "shown below", _how_assembled(samples)


def _how_assembled(samples: Sequence[Sample]) -> str:
    """How the answer that is shown differs from the module that was judged, which is not in the records."""
    parts = {each.completion.answer_part or "" for each in samples if each.completion}
    if len(parts) == 1 and "reference" in (part := parts.pop()):
        return f"the answer; judged was {part}, whose text is in the task's file"
    return "the answer; the module that was judged was assembled from it"


def _span(ordered: Sequence[str]) -> str:
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"


def _packed(value: Entry) -> str:
    # Escaped to ASCII: an answer may hold half a surrogate pair, which UTF-8 cannot.
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    return base64.b64encode(gzip.compress(text, compresslevel=6, mtime=0)).decode("ascii")
