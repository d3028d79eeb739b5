"""``Device``: a CPU and a CUDA module with one interface; no other file asks which of the two it has."""

import ast
import inspect
import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import torch

import pytest_kernelbench.evaluation
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.device import Device, cpu, cuda, cuda_memory, device_named
from pytest_kernelbench.evaluation.device.names import is_gpu, needs_no_gpu
from pytest_kernelbench.evaluation.device.traits import DEVICES, DeviceTraits
from pytest_kernelbench.registries import PROTOCOLS

FOLDER = Path(pytest_kernelbench.evaluation.__file__).parent
QUESTIONS = sorted(name for name in vars(Device) if not name.startswith("_"))


def device_names_in(path):
    """Lines on which a value is compared with the text "cpu" or "cuda", or a dictionary has one of them as a key."""
    for node in ast.walk(ast.parse(path.read_text())):
        values = []
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
            values = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            values = node.keys
        if any(isinstance(each, ast.Constant) and each.value in DEVICES for each in values):
            yield node.lineno


def test_no_file_outside_of_device_compares_or_keys_by_the_name_of_a_device():
    outside = [path for path in FOLDER.rglob("*.py") if FOLDER / "device" not in path.parents]
    found = {str(path.relative_to(FOLDER)): [*device_names_in(path)] for path in outside}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_device_has_a_margin_for_each_protocol_that_has_one():
    having = {name for name, protocol in PROTOCOLS.items() if protocol.has_margin}
    for name, traits in DEVICES.items():
        assert set(traits.margins) == having, name
    assert {name: PROTOCOLS[name].margin("cuda") for name in PROTOCOLS} == {"full": 0.01, "fast": 0.02, "paper": 0.0}


def test_a_device_s_traits_travel_as_json():
    for traits in DEVICES.values():
        assert DeviceTraits(**json.loads(json.dumps(asdict(traits)))) == traits


@pytest.mark.parametrize("module", [cpu, cuda])
def test_both_modules_answer_every_question_with_the_arguments_of_the_protocol(module):
    assert QUESTIONS
    for name in QUESTIONS:
        wanted = list(inspect.signature(getattr(Device, name)).parameters)[1:]
        assert list(inspect.signature(getattr(module, name)).parameters) == wanted, name


def test_a_device_is_found_by_its_name():
    assert device_named("cpu") is cpu
    assert device_named("cuda") is cuda
    assert [is_gpu(name) for name in ("cpu", "cuda", "cuda:1", "meta")] == [False, True, True, False]
    assert [needs_no_gpu(name) for name in ("cpu", "cuda", "auto", "meta")] == [True, False, False, False]


def test_the_plugin_can_ask_which_devices_there_are_without_torch():
    code = "import sys; from pytest_kernelbench.evaluation.device import names; print(names.resolve_device('cpu')); "
    code += "print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["cpu", "False"]


def test_a_cpu_tells_its_memory_and_keeps_none_for_later():
    assert 0 < cpu.free_bytes() <= cpu.memory_bytes()
    assert cpu.obtainable_bytes() >= 0
    assert cpu.bytes_of_others() <= cpu.memory_bytes()
    assert (cpu.held_bytes(), cpu.leave_room(), cpu.gpu_file(), cpu.gpu_properties()) == (0, None, None, None)
    assert cpu.works()
    assert cpu.describe()["cores"] == cpu.cores() == cpu.threads()


def test_memory_that_is_mapped_again_shows_the_same_bytes():
    made = cpu.new_memory(64)
    seen = cpu.map_memory(made.name, 64, iter([os.dup(made.descriptor)]))
    made.bytes[3] = 7
    assert (seen.bytes[3], seen.name) == (7, made.name)


def test_pages_of_memory_that_is_mapped_again_are_there_before_their_first_use():
    size, faults = 32 << 20, partial(resource.getrusage, resource.RUSAGE_SELF)
    made = cpu.new_memory(size)
    made.bytes.fill_(1)
    seen = cpu.map_memory(made.name, size, iter([os.dup(made.descriptor)]))
    before = faults().ru_minflt
    seen.bytes.fill_(2)
    # Each of 8,192 pages is a fault otherwise.
    assert faults().ru_minflt - before < 2000
    assert made.bytes[-1] == 2


class Driver:
    """What the CUDA module asks torch for, without a GPU: 1,000 bytes, of which torch holds 300 and uses 100."""

    def __init__(self):
        self.said = []

    def synchronize(self):
        self.said.append("synchronize")

    def empty_cache(self):
        self.said.append("empty_cache")

    def mem_get_info(self):
        return 400, 1000

    def memory_reserved(self):
        return 300

    def memory_allocated(self):
        return 100

    def current_device(self):
        return 0

    def get_device_capability(self):
        return 9, 0

    def get_device_properties(self, number):
        return type("Properties", (), {"total_memory": 1000})


@pytest.fixture
def driver(monkeypatch):
    made = Driver()
    for name in dir(Driver):
        if not name.startswith("_"):
            monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    return made


def test_the_memory_of_a_gpu_is_counted_as_its_driver_and_torch_tell(driver):
    assert (cuda.free_bytes(), cuda.held_bytes(), cuda.memory_bytes()) == (400, 300, 1000)
    assert cuda.obtainable_bytes() == 600
    assert cuda.bytes_of_others() == 300
    assert cuda.architecture() == "9.0"


def test_a_gpu_s_unused_memory_goes_back_unless_enough_is_free(driver):
    cuda.leave_room(wanted_bytes=400)
    assert driver.said == []
    cuda.leave_room(wanted_bytes=401)
    cuda.leave_room()
    assert driver.said == ["empty_cache", "empty_cache"]


@pytest.mark.parametrize(("unused", "given_back"), [(1, [False, False]), (10, [False, True]), (30, [True, True])])
def test_a_judge_that_waits_for_long_keeps_less_of_a_gpu_s_memory(driver, monkeypatch, unused, given_back):
    monkeypatch.setattr(cuda, "unused_bytes", lambda: unused)
    for for_long, expected in zip((False, True), given_back, strict=True):
        driver.said.clear()
        cuda.leave_room(for_long=for_long)
        assert driver.said == ["empty_cache"] * expected


def test_a_gpu_that_met_an_error_works_no_longer(driver, monkeypatch):
    assert cuda.works()
    assert driver.said == ["synchronize"]

    def fail():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    assert not cuda.works()


def test_an_error_of_cuda_names_the_call_and_a_remedy():
    cuda_memory.expect(0, "cudaFree")
    with pytest.raises(HarnessError) as raised:
        cuda_memory.expect(2, "cudaFree")
    assert str(raised.value) == (
        "shared device memory: cudaFree failed with CUDA error 2; free memory on the device and run again"
    )
