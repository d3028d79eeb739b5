"""The training of the tiny policy: the tokenizer, the batches, a few steps, and the saved files."""

import json
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.tiny_policy import train
from pytest_kernelbench.tiny_policy.corpus.mixture import mixture
from pytest_kernelbench.tiny_policy.examples import Batches, Example, encode, split
from pytest_kernelbench.tiny_policy.model import END, MAX_BYTES, PAD, Shape, build_model, train_tokenizer

SMALL = Shape(hidden=32, layers=1, heads=2, ffn=64, vocabulary=400)


@pytest.fixture(scope="module")
def rows():
    return [item for item in mixture("tiny") if item.template.task == 19 and item.template.target == "cpu"]


@pytest.fixture(scope="module")
def tokenizer(rows):
    return train_tokenizer([item.row.prompt + item.row.completion for item in rows], 400)


@settings(max_examples=50)
@given(st.text())
def test_any_text_survives_the_tokenizer(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    if not any(token in text for token in (PAD, END)):
        assert tokenizer.decode(ids) == text


def test_examples_end_with_the_end_token_and_know_their_prompt(rows, tokenizer):
    for item, example in zip(rows, encode(rows, tokenizer), strict=True):
        assert example.ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(example.ids[: example.prompt]) == item.row.prompt
        assert tokenizer.decode(example.ids[example.prompt : -1]) == item.row.completion


def test_no_text_is_both_trained_on_and_held_out():
    rows = mixture("tiny")
    training, held = split(rows, seed=3)
    texts = {(item.row.prompt, item.row.completion) for item in training}
    assert held
    assert texts.isdisjoint((item.row.prompt, item.row.completion) for item in held)
    assert {item.template.id for item in training} == {item.template.id for item in rows}


def test_batches_draw_rows_by_their_weight():
    examples = [
        Example(ids=(5,) * 10, prompt=4, weight=0.6),
        Example(ids=(6,) * 20, prompt=4, weight=0.3),
        Example(ids=(7,) * 100, prompt=4, weight=0.1),
    ]
    batches = iter(Batches(examples, batch_tokens=1280, device="cpu", pad=0, prompt_weight=0.5, seed=0))
    counts = Counter()
    for _ in range(2000):
        ids, weights = next(batches)
        assert ids.numel() == 1280
        counts.update(ids[:, 0].tolist())
    total = sum(counts.values())
    assert counts[5] / total == pytest.approx(0.6, abs=0.02)
    assert counts[7] / total == pytest.approx(0.1, abs=0.02)
    assert weights[0, :4].tolist() == [0.5] * 4
    assert weights[0, 4:].sum() == int((ids[0, 4:] != 0).sum())


@torch.no_grad()
def test_padding_and_prompt_do_not_count_in_the_loss(tokenizer):
    torch.manual_seed(0)
    model = build_model(SMALL, tokenizer).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    padded = torch.tensor([[5, 6, 7, 8, 0, 0]])
    weights = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    long = torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]])
    assert float(train.loss_of(model, padded, long)) == pytest.approx(
        float(train.loss_of(model, ids, weights)), rel=1e-5
    )


def test_the_learning_rate_warms_up_and_cools_down():
    recipe = train.Recipe(learning_rate=1.0, warmup=0.1, final=0.02)
    assert train.learning_rate_at(0.05, recipe) == pytest.approx(0.5)
    assert train.learning_rate_at(0.1, recipe) == pytest.approx(1.0)
    assert train.learning_rate_at(1.0, recipe) == pytest.approx(0.02)


def test_the_default_model_is_small_enough(tokenizer):
    model = build_model(Shape(), tokenizer)
    assert 4e6 < sum(weight.numel() for weight in model.parameters()) < 8e6


def test_a_trained_policy_loads_as_any_other_model(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    recipe = train.Recipe(tokens=20_000, minutes=1, batch_tokens=1024)
    record = train.train("tiny", tmp_path, recipe=recipe, shape=SMALL, device="cpu", tasks=[19])
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert json.loads((tmp_path / "training.json").read_text()) == record
    assert record["tokens"] >= 20_000
    assert record["training_nats_per_token"] is None
    assert record["held_out_nats_per_token"] > 0
    assert model.config.eos_token_id == tokenizer.eos_token_id
    text = "<target>cpu</target>\n"
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids[0]) == text
    drawn = model.generate(ids, max_new_tokens=4, do_sample=True, pad_token_id=tokenizer.pad_token_id)
    assert drawn.shape[1] <= ids.shape[1] + 4
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= MAX_BYTES


def test_the_same_seed_trains_the_same_model(tmp_path):
    recipe = train.Recipe(tokens=4_000, minutes=1, batch_tokens=1024, learning_rate=0.0)
    for name in ("a", "b"):
        train.train("tiny", tmp_path / name, recipe=recipe, shape=SMALL, device="cpu", tasks=[19])
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
