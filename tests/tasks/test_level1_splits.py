"""The splits follow the rule in their first line, and seed 42 gives the split that the paper published."""

import random
from pathlib import Path

import pytest

from pytest_kernelbench.tasks.files import tomllib

SPLITS = Path(__file__).parents[2] / "tasks" / "splits"


def split(seed: int) -> dict[str, list[int]]:
    return tomllib.loads((SPLITS / f"l1_seed{seed}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("seed", [42, 43, 44])
def test_a_split_is_the_sorted_parts_of_one_seeded_shuffle(seed):
    ids = list(range(1, 101))
    random.Random(seed).shuffle(ids)
    assert split(seed)["train"] == sorted(ids[:80])
    assert split(seed)["eval"] == sorted(ids[80:])


def test_seed_42_holds_the_paper_s_evaluation_tasks_and_subsets():
    seed_42 = split(42)
    assert seed_42["eval"] == [4, 5, 12, 14, 15, 18, 28, 29, 30, 32, 36, 55, 65, 70, 76, 82, 87, 89, 95, 98]
    assert seed_42["subset1"] == [4, 5, 12, 14, 15] == seed_42["eval"][:5]
    assert seed_42["subset2"] == [18, 28, 29, 30, 32] == seed_42["eval"][5:10]


def test_other_seeds_have_no_subsets():
    assert set(split(43)) == set(split(44)) == {"train", "eval"}
