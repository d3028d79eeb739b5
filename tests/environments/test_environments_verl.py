"""The reward function of docs/rl_trainer.md in the released verl; in an environment of its own: pytest -m verl."""

import asyncio
import re
from pathlib import Path

import pytest
from policies.random_models import save_tokenizer

from pytest_kernelbench.evaluation import reference_as_candidate

PAGE = Path(__file__).parents[2] / "docs" / "rl_trainer.md"
# The library warns of its own affairs.
pytestmark = [pytest.mark.verl, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def manager(tmp_path):
    """verl's own reward manager, which loads the function from the file that its configuration names."""
    from omegaconf import OmegaConf
    from transformers import PreTrainedTokenizerFast
    from verl.trainer.ppo.reward import load_reward_manager

    path = tmp_path / "kernel_reward.py"
    path.write_text(re.search(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1])
    save_tokenizer(tmp_path)
    reward = {
        "custom_reward_function": {"path": str(path), "name": "compute_score"},
        "reward_manager": {"source": "register", "name": "naive"},
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), eos_token="<end>")
    made = load_reward_manager(OmegaConf.create({"reward": reward}), tokenizer)
    yield made
    made.compute_score.args[0].__globals__["pool"].close()


def answer_as_data(tokenizer, text, task):
    """One rollout as verl hands it over."""
    import numpy
    import torch
    from verl import DataProto

    ids = torch.tensor([tokenizer.encode(text)])
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == text
    said = {"data_source": "kernels", "reward_model": {"ground_truth": task}, "extra_info": {}}
    return DataProto.from_dict(
        tensors={"prompts": ids[:, :1], "responses": ids, "attention_mask": torch.ones(1, ids.shape[1] + 1).long()},
        non_tensors={name: numpy.array([value], dtype=object) for name, value in said.items()},
    )


def test_verl_s_reward_manager_gives_what_the_judge_found(manager):
    task = manager.compute_score.args[0].__globals__["tasks"]["level1/19_ReLU"]
    good = reference_as_candidate(task)
    texts = [f"```python\n{source}\n```" for source in (good, good.replace("torch.relu(x)", "x"))]

    async def run():
        data = [answer_as_data(manager.tokenizer, text, task.id) for text in (*texts, "I cannot.")]
        return await asyncio.gather(*map(manager.run_single, data))

    right, wrong, silent = manager.loop.run_until_complete(run())
    assert 0.3 <= right["reward_score"] < 0.5
    assert right["reward_extra_info"]["correct"] == 1.0
    assert wrong["reward_score"] == silent["reward_score"] == 0.0
