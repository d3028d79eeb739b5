"""Every packaged level-1 task against recorded facts: what the original defines, draws and computes.

The facts hold names, constants, signatures, parameters, and the ATen operations of the inputs and of the
reference, recorded at full size. Here they are recomputed on the meta device, where nothing is allocated.
"""

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

TASKS = Path(__file__).parents[2] / "tasks" / "level1"
FACTS_TEXT = Path(__file__).with_name("level1_facts.jsonl").read_text(encoding="utf-8")
FACTS = [json.loads(line) for line in FACTS_TEXT.splitlines()]

# Keywords that say where a tensor lives, not what is computed: left out of the facts.
PLACEMENT = {"device", "pin_memory", "layout"}

each_task = pytest.mark.parametrize("fact", FACTS, ids=[fact["name"] for fact in FACTS])


class Recorder(TorchDispatchMode):
    """Spells each operation as the facts do: ``aten.mm(T[4096, 4096], T[4096, 4096])``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        arguments = [spelled(argument) for argument in args]
        arguments += [f"{name}={spelled(value)}" for name, value in kwargs.items() if name not in PLACEMENT]
        self.calls.append(f"{str(func).removesuffix('.default')}({', '.join(arguments)})")
        return func(*args, **kwargs)


def spelled(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"T{list(value.shape)}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, torch.Tensor) for item in value):
        return str([spelled(item) for item in value])
    return str(value)


def load(name: str) -> ModuleType:
    module = ModuleType(name)
    source = (TASKS / f"{name}.py").read_text(encoding="utf-8")
    exec(compile(source, f"{name}.py", "exec"), vars(module))
    return module


def plain(value: Any) -> Any:
    """``value`` as JSON knows it: tuples as lists."""
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def described(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    return value


def parameters_of(function: object) -> list[dict[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [
        {"name": parameter.name}
        if parameter.default is inspect.Parameter.empty
        else {"name": parameter.name, "default": plain(parameter.default)}
        for parameter in parameters
    ]


def test_there_is_one_file_for_each_fact_and_no_other():
    assert {path.stem for path in TASKS.glob("*.py")} == {fact["name"] for fact in FACTS}
    assert [fact["id"] for fact in FACTS] == list(range(1, 101))


@each_task
def test_the_text_defines_what_kernelbench_defines(fact):
    module = load(fact["name"])
    constants = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, (bool, int, float, str, tuple, list)) and not name.startswith("__")
    }
    assert plain(list(constants.items())) == plain(list(fact["constants"].items()))
    assert not any(isinstance(value, list) for value in constants.values())
    init = parameters_of(module.Model.__init__) if "__init__" in vars(module.Model) else []
    assert init == fact["init_parameters"]
    assert parameters_of(module.Model.forward) == [{"name": name} for name in fact["forward_arguments"]]
    assert plain(module.get_init_inputs()) == fact["init_inputs"]


@each_task
def test_the_text_draws_and_computes_what_kernelbench_does(fact):
    module = load(fact["name"])
    with torch.device("meta"), torch.no_grad():
        with Recorder() as drawn:
            inputs = module.get_inputs()
        model = module.Model(*module.get_init_inputs())
        with Recorder() as computed:
            output = model(*inputs)
    assert [described(value) for value in inputs] == fact["inputs"]
    assert {name: list(value.shape) for name, value in model.state_dict().items()} == fact["parameters"]
    assert described(output) == fact["output"]
    assert drawn.calls == fact["input_trace"]
    assert computed.calls == fact["aten_trace"]
