"""Device memory of the judge that a worker opens by its handle; the runtime is made up."""

import ctypes

import pytest
import torch

from pytest_kernelbench.evaluation.device import cuda, cuda_memory

HANDLES = [f"{number:02x}" * 64 for number in range(3)]


class Runtime:
    """The calls that open and close memory; as CUDA's, it opens a handle once."""

    def __init__(self):
        self.did = []

    def cudaIpcOpenMemHandle(self, pointer, handle, flags):
        name = bytes(handle.reserved).hex()
        assert name not in {each for how, each in self.did if how == "open"} - {
            each for how, each in self.did if how == "close"
        }
        self.did.append(("open", name))
        pointer._obj.value = 4096 * (1 + HANDLES.index(name))
        return 0

    def cudaIpcCloseMemHandle(self, pointer):
        self.did.append(("close", HANDLES[pointer.value // 4096 - 1]))
        return 0


@pytest.fixture
def runtime(monkeypatch):
    made = Runtime()
    monkeypatch.setattr(cuda_memory, "runtime", lambda: made)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: made.did.append(("wait", "")))
    monkeypatch.setattr(torch, "as_tensor", lambda span, device: torch.empty(span.__cuda_array_interface__["shape"]))
    monkeypatch.setattr(cuda_memory.CudaMemory, "_opened", {})
    return made


def test_memory_is_opened_once_until_it_is_unmapped_and_then_anew(runtime):
    first = cuda.map_memory(HANDLES[0], 64, iter(()))
    assert cuda.map_memory(HANDLES[0], 64, iter(())) is first
    cuda.map_memory(HANDLES[1], 64, iter(()))
    assert runtime.did == [("open", HANDLES[0]), ("open", HANDLES[1])]
    runtime.did.clear()
    cuda.unmap_memory()
    assert runtime.did[0] == ("wait", "")
    assert sorted(runtime.did[1:]) == [("close", HANDLES[0]), ("close", HANDLES[1])]
    assert cuda.map_memory(HANDLES[0], 64, iter(())) is not first


def test_a_handle_is_read_as_it_was_written(runtime):
    memory = cuda.map_memory(HANDLES[2], 64, iter(()))
    assert (memory.name, memory._pointer, memory.bytes.numel()) == (HANDLES[2], 3 * 4096, 64)
    assert ctypes.sizeof(cuda_memory.Handle) == 64
