"""From a completion to a candidate: the module in its answer, or the reason why there is none."""

from __future__ import annotations

from dataclasses import replace

from pytest_kernelbench.prompting.extraction import Extraction, extract
from pytest_kernelbench.records import Candidate, Completion, Task

REFUSALS = frozenset(("refusal", "content_filter"))


def candidate_of(completion: Completion, task: Task, *, answer: str, max_tokens: int) -> Candidate:
    """The candidate, and the part of the answer that it is; ``max_tokens`` is the limit that the answer had."""
    found = extract(completion.text, answer=answer, task=task)
    completion = replace(completion, answer_part=found.part)
    if found.source is not None:
        return Candidate(completion=completion, source=found.source)
    return Candidate(completion=completion, source=None, missing=_why_none(completion, found, max_tokens))


def _why_none(completion: Completion, found: Extraction, max_tokens: int) -> str:
    """Why an answer holds no source, as the words after "the answer"."""
    if completion.stop_reason in REFUSALS:
        return "is a refusal"
    if completion.stop_reason == "tool_calls":
        return "calls a tool"
    where = " in its reasoning" if completion.reasoning is not None and not completion.text.strip() else ""
    if completion.cut_off:
        return f"is cut off at {completion.n_tokens or max_tokens} tokens{where}"
    return f"ends{where}" if where else str(found.missing)
