"""Weights beside a judge: put aside where they leave too little room, and back to the bit."""

from types import SimpleNamespace

import pytest
import torch
from policies.random_models import llama

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.device_memory import (
    GIB,
    Aside,
    DeviceMemory,
    SharedDevice,
    may_stay,
    refuse_spill,
    refuse_spilled,
    weights_bytes,
)
from pytest_kernelbench.policies.hf import whole_precision

CPU = torch.device("cpu")


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(1, 9)[None], use_cache=False).logits


def test_weights_come_back_to_the_bit_and_an_adapter_that_is_off_never_leaves():
    model = llama()
    adapter = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    model.register_parameter("lora_A", adapter)
    before = logits(model)
    aside = Aside(model)
    held = {name: each.data_ptr() for name, each in model.named_parameters()}
    assert aside.bytes == sum(each.numel() * 4 for name, each in llama().named_parameters())
    for _ in range(2):
        assert aside.put() >= 0 and aside.is_aside
        away = {name: each.data_ptr() for name, each in model.named_parameters()}
        assert away["lora_A"] == held["lora_A"]
        assert all(away[name] != held[name] for name in held if name != "lora_A")
        assert aside.back() >= 0 and not aside.is_aside
        assert torch.equal(logits(model), before)


def shared(free, total=80 * GIB):
    told, spent = [], []
    device = SharedDevice(
        memory=lambda device: DeviceMemory(free=free, total=total),
        tell=told.append,
        spend=lambda stage, seconds: spent.append(stage),
    )
    return device, told, spent


def test_weights_that_leave_too_little_room_are_put_aside_before_judging_and_said_once():
    policy = SimpleNamespace(name="hf:large", model=llama())
    device, told, spent = shared(18 * GIB)
    device.before_sampling(policy)
    assert spent == []
    for _ in range(2):
        device.before_judging(policy, CPU)
        device.before_judging(policy, CPU)
        assert device.asides[id(policy)].is_aside
        device.before_sampling(policy)
        assert not device.asides[id(policy)].is_aside
    assert spent == ["moving the policy"] * 4
    (line,) = told
    assert line.startswith(
        "hf:large: 18.0 of 80.0 GiB are free beside its weights, too few for a judge; "
        "they are put aside while candidates are judged (0.0 GiB in "
    )


def test_weights_that_leave_room_stay_and_so_do_those_of_another_device_and_of_a_service():
    policy = SimpleNamespace(name="hf:small", model=llama())
    device, told, spent = shared(60 * GIB)
    device.before_judging(policy, CPU)
    device.before_judging(SimpleNamespace(name="tinker:x"), CPU)
    tight, *_ = shared(1)
    tight.before_judging(policy, torch.device("meta"))
    assert device.asides == tight.asides == {} and told == spent == []
    assert may_stay(DeviceMemory(free=36 * GIB, total=80 * GIB))
    assert not may_stay(DeviceMemory(free=35 * GIB, total=80 * GIB))


@pytest.mark.parametrize(
    ("config", "dtype", "share"),
    [
        ('{"dtype": "float32"}', torch.bfloat16, 0.5),
        ('{"torch_dtype": "bfloat16"}', torch.float32, 2),
        ('{"dtype": "bfloat16", "quantization_config": {}}', torch.bfloat16, 1),
        ('{"dtype": "bfloat16", "quantization_config": {"quant_method": "mxfp4"}}', torch.float32, 1),
        ("{}", torch.bfloat16, 1),
        ('{"dtype": "bfloat16"}', "auto", 1),
    ],
)
def test_the_size_of_weights_is_known_before_they_are_loaded(config, dtype, share, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(bytes(600))
    (tmp_path / "b.safetensors").write_bytes(bytes(400))
    (tmp_path / "config.json").write_text(config)
    expected = 2000 if config.startswith('{"torch') else round(1000 * share)
    assert weights_bytes(tmp_path, dtype) == expected


@pytest.mark.parametrize(
    ("config", "undone"),
    [
        ('{"quantization_config": {"quant_method": "mxfp4"}}', True),
        ('{"quantization_config": {}}', False),
        ("{}", False),
    ],
)
def test_mxfp4_is_undone_and_nothing_else(config, undone, tmp_path):
    assert whole_precision(tmp_path) == {}
    (tmp_path / "config.json").write_text(config)
    found = whole_precision(tmp_path)
    assert bool(found) is undone and (not undone or found["quantization_config"].dequantize)


def test_the_size_of_weights_in_other_files_is_not_known(tmp_path):
    assert weights_bytes(tmp_path, torch.bfloat16) is None
    refuse_spill("hf:x", None, {"cuda:0": 1})


def test_weights_that_would_spill_to_the_cpu_are_refused_before_and_after_loading():
    refuse_spill("hf:x", 70 * GIB, {"cuda:0": 80 * GIB})
    with pytest.raises(PolicyError) as caught:
        refuse_spill("hf:x", 230 * GIB, {"cuda:0": 79 * GIB, "cuda:1": 18 * GIB})
    assert str(caught.value) == (
        "--policy=hf:x: its weights take 230.0 GiB and 87.3 GiB are free for them on cuda:0, cuda:1, so a part would "
        "lie on the CPU; name more GPUs with --kernelbench-policy-gpus, or write shards into a policy file"
    )
    refuse_spilled("hf:x", {"model.layers.0": 0, "model.layers.1": 1})
    refuse_spilled("hf:x", None)
    with pytest.raises(PolicyError) as caught:
        refuse_spilled("hf:x", {"model.layers.0": 0, "model.layers.1": "cpu", "lm_head": "disk"})
    assert str(caught.value) == (
        "--policy=hf:x: 2 parts of it, model.layers.1 first, do not fit on the GPUs; "
        "name more of them with --kernelbench-policy-gpus, or write shards into a policy file"
    )
