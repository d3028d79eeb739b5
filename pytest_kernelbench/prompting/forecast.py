"""Asking a policy which of its own correct programs is the fastest, and reading its answer.

A change of a word here changes the hash of the question, under which forecasts are recorded: old ones are not reused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_kernelbench.prompting.feedback import shortened

# The value of ``Sampling.answer`` while a forecast is asked for.
FORECAST = "forecast"
# Programs that are shown at most, and characters of each: 8 of 4,000 are some 10,000 tokens.
MOST_SHOWN = 8
CHARACTERS = 4000

QUESTION = "Which of these is fastest? Answer with its number alone, on one line, and write no code."
PROGRAM = """\
Program {number}:

```python
{source}
```"""
# "Program 3", "**3**", "The fastest is program 3.", "Answer: #3"
ANSWER = re.compile(
    r"\W*(?:the\s+)?(?:(?:fastest|answer)(?:\s+(?:program|one))?(?:\s+is)?\W*)?(?:program\s*|number\s*)?\W*(\d{1,4})\W*",
    re.IGNORECASE,
)


def forecast_question(sources: Sequence[str]) -> str:
    """The programs, numbered from 1, and the question; it comes after the task."""
    shown = [
        PROGRAM.format(number=number, source=shortened(source, CHARACTERS)) for number, source in enumerate(sources, 1)
    ]
    return "\n\n".join([*shown, QUESTION])


def forecast_in(text: str, n: int) -> int | None:
    """The place from 0, of ``n`` programs, that an answer names in its last line, or else in its first; None: none."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    for line in (lines[-1], lines[0]) if lines else ():
        found = ANSWER.fullmatch(line)
        if found and 1 <= int(found[1]) <= n:
            return int(found[1]) - 1
    return None
