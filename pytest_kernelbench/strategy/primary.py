"""The primary comparison: a selector, a control and an outcome, named before the run has results."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_kernelbench.errors import UsageError

OUTCOMES = ("success", "log_speedup")
SELECTOR = re.compile(r"(surprisal|confidence)((?:-(?:code|all|tempered))?(?:-sum)?)((?:-top3)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """A comparison of a ``selector`` with a ``control``, both named as in ``analyses["selection"]``.

    The control looks at as many programs as the selector, in random or in the opposite order: the randomisation test
    compares such pairs only. ``outcome``: ``success`` (verified fast_1) or ``log_speedup`` (the mean log speed-up).
    """

    selector: str
    control: str
    outcome: str = "success"

    def __str__(self) -> str:
        return f"{self.selector}:{self.control}:{self.outcome}"

    @property
    def top(self) -> int:
        """How many programs the selector looks at."""
        return 3 if self.selector.endswith("-top3") else 1

    @property
    def said(self) -> str:
        """The comparison in words, for reports."""
        what = "verified success" if self.outcome == "success" else "the mean log speed-up"
        return f"{self.selector} against {self.control} in {what}"


def parse_primary(text: str, place: str) -> Primary:
    """``SELECTOR[:CONTROL[:OUTCOME]]``; without a control the random one. Raises UsageError, which names ``place``."""
    selector, *rest = text.split(":")
    control, outcome, *more = [*rest, "", ""][:2] if len(rest) <= 2 else [*rest]
    found = SELECTOR.fullmatch(selector)
    if found is None or more:
        raise UsageError(f"{place}: write SELECTOR:CONTROL:OUTCOME, as in surprisal-top3:random-top3:success")
    score, span, top = found.groups()
    opposite = f"{'confidence' if score == 'surprisal' else 'surprisal'}{span}{top}"
    controls = (f"random{top}", opposite)
    if control and control not in controls:
        raise UsageError(f'{place}: the control of {selector} is {" or ".join(controls)}, not "{control}"')
    if outcome and outcome not in OUTCOMES:
        raise UsageError(f'{place}: the outcome is {" or ".join(OUTCOMES)}, not "{outcome}"')
    return Primary(selector=selector, control=control or controls[0], outcome=outcome or OUTCOMES[0])
