"""Every packaged strategy that adapts takes a step in the made-up world, and does what its description says."""

import json

import pytest
from made_up_world import World

from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.strategy import load_strategies

FOLDER = data_folder("strategies")
NAMES = [path.stem for path in sorted(FOLDER.glob("*.toml")) if "[adaptation" in path.read_text()]
# Two steps of few, short answers, of which by chance none may be correct.
SMALL = (
    "sampling.k=6",
    "sampling.max_tokens=3",
    "sampling.temperature=1.0",
    "adaptation.steps=2",
    "adaptation.collapse=0",
)


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_its_steps_and_chooses(name, tmp_path):
    (strategy,) = load_strategies([name], folders=[FOLDER], overrides=SMALL)
    world = World(tmp_path, strategies=[strategy])
    selections = [run_item(task, strategy, world).selection for task in world.tasks]
    steps = [json.loads(line) for line in (tmp_path / "adaptation.jsonl").read_text().splitlines()]
    updates = [step["update"] for step in steps if step["update"]]
    assert updates and all(step["stopped"] is None for step in steps)
    for update in updates:
        # A step on several passes, or on answers that nobody read differently, still began at a ratio of 1.
        assert update.get("ratio_max", 1.0) == pytest.approx(1, abs=1e-5)
        assert update["learning_rate"] == strategy.adaptation.learning_rate
    assert all(selection.cost["rollouts"] >= 6 for selection in selections)
    if name == "ttt-zero-lr":
        assert [step["kl"] for step in steps] == [None, *[pytest.approx(0, abs=1e-9)] * 2]
