"""Device memory of the judge that a worker opens by its handle; the runtime is made up."""

import ctypes
from types import SimpleNamespace

import pytest
import torch

from pytest_kernelbench.evaluation.device import cuda, cuda_memory
from pytest_kernelbench.evaluation.device.foreign import NotThere, Place

# Where a handle opens what is there, 1000 bytes each.
ALLOCATIONS = [10_000, 20_000, 30_000]
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

    def cudaIpcGetMemHandle(self, handle, start):
        self.did.append(("get", start.value))
        if start.value not in ALLOCATIONS:
            return 1
        ctypes.memmove(handle, bytes.fromhex(HANDLES[ALLOCATIONS.index(start.value)]), 64)
        return 0

    def cudaGetLastError(self):
        self.did.append(("forget", 0))

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


class Output:
    """A tensor at an address."""

    shape, dtype, device = (), torch.float32, "cpu"

    def __init__(self, at, count=1):
        self.at, self.count = at, count

    def data_ptr(self):
        return self.at

    def numel(self):
        return self.count


@pytest.fixture
def asked(runtime, monkeypatch):
    """The addresses whose allocation the driver was asked for."""
    asked = []

    def range_of(pointer):
        asked.append(pointer)
        return pointer // 10_000 * 10_000, 1000

    monkeypatch.setattr(cuda_memory, "range_of", range_of)
    return asked


def test_outputs_are_told_by_their_allocations_each_of_which_is_asked_for_once_in_a_row(runtime, asked):
    outputs = [Output(10_000), Output(10_500), Output(30_999), Output(5, count=0), Output(30_000), Output(10_999)]
    told = cuda.exported(outputs)
    assert told.tensors == outputs
    assert (told.at, told.handle) == ([0, 500, 999, 0, 0, 999], [0, 0, 1, 0, 1, 0])
    assert told.handles == [HANDLES[0], HANDLES[2]]
    assert asked == [10_000, 30_999, 10_999]
    assert runtime.did == [("get", 10_000), ("get", 30_000)]


def test_outputs_without_elements_need_no_allocation(runtime, asked):
    told = cuda.exported([Output(0, count=0)])
    assert (told.at, told.handle, told.handles, asked) == ([0], [0], [""], [])


def test_an_output_that_no_other_process_can_open_is_copied(runtime, asked, monkeypatch):
    copy = Output(20_008)
    monkeypatch.setattr(torch, "empty", lambda *shape, **how: SimpleNamespace(copy_=lambda output: copy))
    told = cuda.exported([Output(40_000), Output(40_004)])
    assert told.tensors == [copy, copy]
    assert (told.at, told.handle, told.handles) == ([8, 8], [0, 0], [HANDLES[1]])
    assert runtime.did == [("get", 40_000), ("forget", 0), ("get", 20_000)]
    copy.at = 50_000
    with pytest.raises(RuntimeError, match=r"^torch's memory cannot be shared with another process$"):
        cuda.exported([Output(40_000)])


@pytest.fixture
def there(runtime, monkeypatch):
    """Two allocations of another process, 64 bytes each, whose values are their places."""
    made = SimpleNamespace(bytes={4096 * (1 + n): torch.arange(64 * n, 64 * n + 64, dtype=torch.uint8) for n in (0, 1)})
    made.laid_out = []

    def as_tensor(span, device):
        pointer, _ = span.__cuda_array_interface__["data"]
        made.laid_out.append(pointer)
        return made.bytes[pointer]

    monkeypatch.setattr(torch, "as_tensor", as_tensor)
    monkeypatch.setattr(cuda_memory, "range_of", lambda pointer: (pointer, 64))
    return made


def test_outputs_are_read_where_they_are_in_an_allocation_that_is_opened_once(runtime, there):
    memory, like = cuda.memory_of(1), torch.empty(2, 3, dtype=torch.int16)
    for number, at, strides in ((0, 0, (3, 1)), (0, 52, (1, 2)), (1, 6, (3, 1))):
        found = memory.tensor(Place(at, strides, HANDLES[number]), like)
        first = 64 * number + at
        expected = torch.arange(first, first + 12, dtype=torch.uint8).view(torch.int16)
        assert torch.equal(found, expected.as_strided((2, 3), strides))
        # A copy: what is written there afterwards does not count.
        before = found.clone()
        there.bytes[4096 * (1 + number)][at] += 100
        assert torch.equal(found, before)
        there.bytes[4096 * (1 + number)][at] -= 100
    assert there.laid_out == [4096, 8192]
    memory.close()
    assert sorted(runtime.did) == [(how, HANDLES[number]) for how in ("close", "open") for number in (0, 1)]


@pytest.mark.parametrize(("at", "said"), [(54, "12 bytes at 54 of 64"), (1, "12 bytes at 1 of 64")])
def test_outputs_that_are_not_within_an_allocation_are_not_read(runtime, there, at, said):
    with pytest.raises(NotThere, match=said):
        cuda.memory_of(1).tensor(Place(at, (3, 1), HANDLES[0]), torch.empty(2, 3, dtype=torch.int16))


@pytest.fixture
def pool(monkeypatch):
    """torch's memory in this process: bytes that it holds, of which 1 MB are in use, and what it is asked for."""
    made = SimpleNamespace(held=4 << 20, asked=[])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: made.held)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 1 << 20)
    monkeypatch.setattr(torch, "empty", lambda size, dtype, device: made.asked.append((size, dtype, device)))
    return made


@pytest.mark.parametrize(
    ("sizes", "asked"),
    [
        ([3 << 19] * 2, []),
        ([3 << 20], []),
        # Whole blocks of 512 bytes.
        ([3 << 19, (3 << 19) + 1], [(3 << 20) + 512]),
        ([3 << 20] * 4, [12 << 20]),
        # Small tensors have other allocations: of these it is not known what is unused.
        ([1 << 20, 3 << 20, 100], [1 << 20, 100]),
        ([], []),
    ],
)
def test_memory_for_large_tensors_is_taken_at_once_where_less_is_unused_and_for_small_ones_each(pool, sizes, asked):
    cuda.hold_for(sizes)
    assert pool.asked == [(size, torch.uint8, "cuda") for size in asked]


def test_memory_that_is_not_there_is_not_held(pool, monkeypatch):
    def no_memory(size, dtype, device):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch, "empty", no_memory)
    cuda.hold_for([1 << 30])
