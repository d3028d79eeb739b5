"""Verdicts as text for a policy: for a teacher (SDPO), and for the next turn of a search."""

from __future__ import annotations

from pytest_kernelbench.records import Evaluation, Judged

DETAIL_LINES, DETAIL_CHARACTERS = 3, 300
LOG_LINES = 6

EARLIER = """\
An earlier answer of yours:

```python
{source}
```

What became of it:
{feedback}"""
NO_MODULE = "# (it held no module)"
BETTER = "Write a better one, in the form asked for above: right first, then faster."


def feedback_on(evaluation: Evaluation) -> str:
    """One fact a line; the detail is cut to 3 lines and 300 characters."""
    lines = [f"outcome: {evaluation.outcome.value}"]
    if evaluation.counted_speedup is not None:
        lines.append(f"speed-up: {evaluation.counted_speedup:.3g}x")
    if evaluation.candidate_ms is not None and evaluation.reference_ms is not None:
        lines.append(f"time: {evaluation.candidate_ms:.3g} ms; reference: {evaluation.reference_ms:.3g} ms")
    if evaluation.detail and not evaluation.correct:
        lines.append("\n".join(evaluation.detail.splitlines()[:DETAIL_LINES])[:DETAIL_CHARACTERS])
    return "\n".join(lines)


def history_of(earlier: list[Judged], *, characters: int) -> str:
    """Earlier answers, the newest last, each with its verdict; then the request for a better answer.

    The middle of a source longer than ``characters`` is left out. Empty where there is no earlier answer.
    """
    if not earlier:
        return ""
    shown = [
        EARLIER.format(
            source=shortened(each.candidate.source or NO_MODULE, characters), feedback=_in_full(each.evaluation)
        )
        for each in earlier
    ]
    return "\n\n".join([*shown, BETTER])


def shortened(source: str, characters: int) -> str:
    """``source`` without its middle where it is longer: imports and the end of the module stay."""
    if len(source) <= characters:
        return source
    left_out = len(source) - characters
    head = characters // 2
    return f"{source[:head]}\n# ... {left_out} characters left out ...\n{source[len(source) - (characters - head) :]}"


def _in_full(evaluation: Evaluation) -> str:
    """``feedback_on``, with the floor of the task and the compiler's first lines where there are any."""
    lines = [feedback_on(evaluation)]
    if evaluation.uncounted_because:
        lines.append(f"not counted as faster: {evaluation.uncounted_because}")
    if evaluation.floor_ms is not None:
        lines.append(f"least time that the device needs for this work: {evaluation.floor_ms:.3g} ms")
    if evaluation.log:
        lines += ["the compiler said:", *evaluation.log.splitlines()[:LOG_LINES]]
    return "\n".join(lines)
