"""Whether a claim holds for a call that is alone in its turn. Imports no torch.

A turn has many short calls, and all their inputs are there when it begins. So a candidate can compute several calls at
once, as one large product that reads its weights once: a linear layer of 2048 features seemed 4.3 times as fast in this
way, while each call alone took as long as the reference's. So a claim that counts is measured once more, in turns of
one call, and must save a share of the claimed time there.

The measure is the milliseconds that are saved, not a ratio: a turn also holds the time in which a worker wakes up,
which is the same for both. But the first call after a pause finds cold caches, and a kernel that is launched from
Python (Triton) has more to fetch than one of torch's, by more than a call of 0.05 ms may save. So such turns come in
rows, and the first turn of each row does not count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from statistics import NormalDist, median
from typing import NamedTuple, Protocol

from pytest_kernelbench.evaluation.clock.attestation import Side, TwoProcesses, in_drawn_order
from pytest_kernelbench.evaluation.clock.estimates import CONFIDENCE_OF_A_LOOK, ERRORS_OF_A_LOOK, MOST_AROUND
from pytest_kernelbench.evaluation.clock.signed_ranks import centre_of

# A call alone must save this share of what it saves by the lower end of the claim's interval: it is a cold call, and
# does not save exactly what a call among many does.
SHARE_SEEN = 1 / 3
LOOKS = (11, 22, 44, 88, 176, 352)
# After so many seconds the claim is decided by what was measured: it holds if the centre is at least what is needed,
# and the interval at this confidence is above 0. Without the second condition, the linear layer above counted at a few
# percent, of which a third is a microsecond, while such turns differ by 0.1 ms (H200).
SECONDS = 3.0
LEAST_PAIRS_AT_LAST = 22
CONFIDENCE_AT_LAST = 0.9
ERRORS_AT_LAST = NormalDist().inv_cdf((1 + CONFIDENCE_AT_LAST) / 2)
# A claim that will hardly hold is given up. By simulation a call that saves nothing then takes 117 pairs in place of
# 149, one that is as much slower as a fourth of the noise 60 in place of 136, and as many of the others hold.
HOPELESS_ERROR = 0.01
ERRORS_LIKELY = NormalDist().inv_cdf(1 - HOPELESS_ERROR)
# Turns of many calls of the control, to know how long one call takes.
TURNS_OF_CONTROL = 5


class LoneTurns(TwoProcesses, Protocol):
    """Two processes that take turns of ``calls`` calls, or of one."""

    @property
    def calls(self) -> int: ...

    def lone_turns(self, side: Side) -> list[float]:
        """Seconds of some turns of one call, at least two, that follow each other; as many for either side."""


class Seen(NamedTuple):
    """Milliseconds that a call saves alone, the milliseconds that it must save, and whether the claim holds."""

    saved_ms: float
    needed_ms: float
    holds: bool

    @property
    def because(self) -> str:
        """Why the claim does not hold."""
        if self.saved_ms >= self.needed_ms:
            return f"a call that is alone in its turn saves {self.saved_ms:.3g} ms, too little to be told from none"
        return (
            f"a call that is alone in its turn saves {self.saved_ms:.3g} ms, and among others at least "
            f"{self.needed_ms / SHARE_SEEN:.3g} ms"
        )


def not_borne_out(two: LoneTurns, speedup_low: float) -> Seen | None:
    """What a call saves alone, if that is too little for a claim with this lower end; else None. See ``seen_alone``."""
    seen = seen_alone(two, speedup_low)
    return None if seen is None or seen.holds else seen


def seen_alone(two: LoneTurns, speedup_low: float) -> Seen | None:
    """What a call saves alone, for a claim whose interval has the lower end ``speedup_low``.

    None if the turns have one call anyway. Raises the exceptions of the turns.
    """
    if two.calls == 1:
        return None
    around_s = two.empty_turn()
    turns_s = [two.turn("control") for _ in range(TURNS_OF_CONTROL)]
    call_s = median(turn_s - min(around_s, MOST_AROUND * turn_s) for turn_s in turns_s) / two.calls
    needed_s = SHARE_SEEN * (1 - 1 / speedup_low) * call_s
    started = time.monotonic()
    saved_s: list[float] = []
    looks = iter(LOOKS)
    look = next(looks)
    while True:
        rows = {side: two.lone_turns(side)[1:] for side in in_drawn_order()}
        saved_s += [control - candidate for control, candidate in zip(rows["control"], rows["candidate"], strict=True)]
        pairs = len(saved_s)
        last = pairs >= LOOKS[-1] or (pairs >= LEAST_PAIRS_AT_LAST and time.monotonic() - started > SECONDS)
        if pairs >= look or last:
            look = next(looks, LOOKS[-1])
            middle, low, high = centre_of(saved_s, CONFIDENCE_OF_A_LOOK)
            if last or high < needed_s or low > needed_s:
                holds = low > needed_s or (middle >= needed_s and _is_told(saved_s, needed_s))
                return Seen(middle * 1e3, needed_s * 1e3, holds)
            at_last = min(LOOKS[-1], pairs * SECONDS / (time.monotonic() - started))
            if pairs >= LEAST_PAIRS_AT_LAST and _is_hopeless(middle, (high - low) / 2, needed_s, pairs / at_last):
                return Seen(middle * 1e3, needed_s * 1e3, holds=False)


def _is_hopeless(middle: float, reach: float, needed_s: float, share: float) -> bool:
    """Whether a claim would hold at last with a probability of ``HOPELESS_ERROR`` at most, by a ``share`` of its pairs.

    ``reach``: half of the interval. The centre of all pairs is predicted from the centre so far; it must then be what
    is needed, and above 0 by what ``_is_told`` asks for.
    """
    errors = reach / ERRORS_OF_A_LOOK
    likely = middle + ERRORS_LIKELY * errors * math.sqrt(max(0.0, 1 - share))
    return likely < (needed_s if needed_s <= 0 else max(needed_s, ERRORS_AT_LAST * errors * math.sqrt(share)))


def _is_told(saved_s: Sequence[float], needed_s: float) -> bool:
    """Whether more than nothing is saved, with confidence; a gate's kernel (``needed_s`` <= 0) need not save."""
    return needed_s <= 0 or centre_of(saved_s, CONFIDENCE_AT_LAST).low > 0
