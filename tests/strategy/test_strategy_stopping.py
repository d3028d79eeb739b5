"""``[stopping]``: what goes with it, and whom an override of it is for."""

from pathlib import Path

import pytest

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.strategy import load_strategies
from pytest_kernelbench.strategy.stopping import Stopping

PACKAGED = Path(__file__).parents[2] / "strategies"


def packaged(*names, overrides=()):
    return load_strategies(names, folders=[PACKAGED], overrides=overrides)


def refusal(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(StrategyError) as caught:
        load_strategies([str(tmp_path / "x.toml")], folders=[])
    return str(caught.value).partition(": ")[2]


def test_the_candidates_of_one_that_stops_are_those_of_one_that_does_not():
    fixed, adaptive = packaged("best-of-64", "adaptive-64")
    assert adaptive.stopping == Stopping(gain="fast", cost=0.01, every=8)
    assert adaptive.sampling_sha256 == fixed.sampling_sha256
    assert adaptive.sha256 != fixed.sha256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[stopping]\n[adaptation]\n",
            "[stopping] and [adaptation] both say how much is drawn; leave one of them out, or set "
            "adaptation.ending.patience",
        ),
        (
            "[search]\n[stopping]\nevery = 4\n",
            "[stopping] every is the width of [search] where there is one; leave it out",
        ),
        ("[stopping]\nscale = 1\n", '[stopping] scale is read with gain = "speedup" only; leave it out'),
        ('[stopping]\ngain = "luck"\n', '[stopping] gain must be fast or speedup, not "luck"'),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_one_line(tmp_path, text, said):
    assert refusal(tmp_path, text) == said


@pytest.mark.parametrize("override", ["stopping.cost=0.1", "search.width=4"])
def test_an_override_of_a_section_is_for_the_strategies_that_have_it(override):
    section = override.partition(".")[0]
    fixed, *others = packaged("best-of-64", "adaptive-64", "refine-8x8", overrides=(override,))
    assert (fixed.search, fixed.stopping) == (None, None)
    assert sum(getattr(each, section) is not None for each in others) == 1
    with pytest.raises(StrategyError) as caught:
        packaged("best-of-64", overrides=(override,))
    assert str(caught.value) == f"--kernelbench-set {override}: none of these strategies has [{section}]"
