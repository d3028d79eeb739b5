"""How carefully a candidate is checked and timed: the named protocols.

``full`` is the default. ``fast`` is for rewards in training, which needs thousands of them. ``paper`` measures as
KernelBench's evaluator does (one side after the other, mean of the trials, no interval, no margin), so that
published figures can be reproduced and compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.registries import PROTOCOLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way to check and time candidates.

    ``draws`` names the kinds of inputs to check, one call each (see ``domain.py``); ``beyond``: whether all other
    kinds, other sizes and moved parameters are checked too. The worker's timing has at least ``pairs_min`` pairs unless
    the answer is plain, and at most ``pairs_max``; it ends when the half-width of the speed-up's interval, as a share,
    is under ``half_width`` (see ``timing.enough``). ``sequential_trials``: so many calls of one side after the other
    take the place of pairs. ``has_margin``: whether a verified speed-up must exceed 1 by the device's margin, or only
    1. ``starts_beside_timing``: whether, on a device that checks several candidates at once, workers start while a
    candidate is timed, so that more candidates are judged a minute. No more turns were late for it (of 1,600, H200).
    """

    name: str
    draws: tuple[str, ...]
    pairs_min: int
    pairs_max: int
    half_width: float
    sequential_trials: int | None = None
    beyond: bool = True
    has_margin: bool = True
    starts_beside_timing: bool = False

    def margin(self, device: str) -> float:
        """A speed-up on ``device`` is verified if the lower end of its interval exceeds 1 by this margin."""
        return traits_of(device).margins[self.name] if self.has_margin else 0.0


FAST = Protocol(
    name="fast",
    draws=("signed",),
    pairs_min=6,
    pairs_max=16,
    half_width=0.03,
    starts_beside_timing=True,
)
FULL = Protocol(
    name="full",
    draws=("task", "signed", "scaled", "task", "task"),
    pairs_min=8,
    pairs_max=42,
    half_width=0.01,
)
PAPER = Protocol(
    name="paper",
    draws=("task", "task", "task", "task", "task"),
    pairs_min=0,
    pairs_max=0,
    half_width=0.0,
    sequential_trials=50,
    beyond=False,
    has_margin=False,
)

__all__ = ["PROTOCOLS", "Protocol", "protocol_named"]


def protocol_named(name: str) -> Protocol:
    """The protocol called ``name``. Raises UsageError."""
    if name not in PROTOCOLS:
        raise UsageError(f'protocol = "{name}": no such protocol; there are {", ".join(PROTOCOLS)}')
    return PROTOCOLS[name]
