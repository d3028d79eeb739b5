"""The reward functions that the docs show give TRL's trainer and verl's reward manager their rewards."""

import asyncio
import re
from pathlib import Path

import pytest
from policies.random_models import llama, save_tokenizer

from pytest_kernelbench.evaluation import reference_as_candidate

PAGE = Path(__file__).parents[2] / "docs" / "rl_trainer.md"
REWARD, TRAINER = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
# What a test has not: a model of 8 billion parameters, a GPU, an hour.
INSTEAD = {
    "Qwen/Qwen3-8B": "model",
    "num_generations=8, max_completion_length=1024": "num_generations=2, max_completion_length=4, max_steps=1, "
    "per_device_train_batch_size=2, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[], "
    "logging_steps=1",
}


def answer(source):
    return [{"role": "assistant", "content": f"```python\n{source}\n```"}]


@pytest.fixture(scope="module")
def shown():
    names = {}
    exec(REWARD, names)
    yield names
    names["pool"].close()


def test_a_correct_kernel_earns_what_its_interval_supports_and_a_wrong_one_nothing(shown):
    task = shown["tasks"]["level1/19_ReLU"]
    good = reference_as_candidate(task)
    wrong = good.replace("torch.relu(x)", "x")
    assert wrong != good
    completions = [answer(wrong), answer(good), [{"role": "assistant", "content": "I cannot."}]]
    nothing, something, silence = shown["kernel_reward"](completions, [task.id] * 3)
    assert (nothing, silence) == (0.0, 0.0)
    assert 0.3 <= something < 0.5


def test_verl_s_function_says_the_same_of_many_answers_at_once(shown):
    """As verl's reward managers call it, all arguments by name; ``test_environments_verl.py`` has verl itself."""
    task = shown["tasks"]["level1/19_ReLU"]
    good = reference_as_candidate(task)

    async def scores():
        texts = [f"```python\n{source}\n```" for source in (good, good.replace("torch.relu(x)", "x"))]
        asked = {"data_source": "kernels", "ground_truth": task.id, "extra_info": {"num_turns": 1}}
        return await asyncio.gather(*(shown["compute_score"](solution_str=each, **asked) for each in (*texts, "No.")))

    right, wrong, silent = asyncio.run(scores())
    assert right["correct"] == 1.0 and 0.3 <= right["score"] < 0.5
    assert wrong == silent == {"score": 0.0, "correct": 0.0}


@pytest.mark.filterwarnings("ignore")  # TRL and datasets warn of their own affairs
def test_trl_s_trainer_takes_a_step_with_it(shown, tmp_path, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    llama().save_pretrained("model")
    save_tokenizer(Path("model"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file="model/tokenizer.json", eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained("model")
    code = TRAINER
    for theirs, ours in INSTEAD.items():
        assert theirs in code
        code = code.replace(theirs, ours)
    exec(code, shown)
    (logged, *_) = shown["trainer"].state.log_history
    assert logged["rewards/kernel_reward/mean"] == 0.0
