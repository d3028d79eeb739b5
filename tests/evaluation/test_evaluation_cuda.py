"""What NVML says of a GPU, where the library is there; the library and the GPU are made up."""

from types import SimpleNamespace

import pytest

from pytest_kernelbench.evaluation.device import cuda

UUID = "GPU-3b634269-b2d1-d750-ceda-afa0b40fdb44"


class NVMLError(Exception):
    pass


class Library:
    """NVML of a GPU whose clocks nothing but a power cap holds back."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid != UUID:
            raise NVMLError("Not Found")
        return "handle"

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return {self.NVML_CLOCK_SM: 1980, self.NVML_CLOCK_MEM: 3201}[kind]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return 0x4

    def nvmlSystemGetDriverVersion(self):
        return "580.159.04"


@pytest.mark.parametrize(
    ("library", "uuid", "said"),
    [
        (Library(), UUID, ["580.159.04", "1980", "3201", "0x0000000000000004"]),
        (Library(), "GPU-of-another-machine", None),
        (SimpleNamespace(NVMLError=NVMLError), UUID, None),
        (None, UUID, None),
    ],
    ids=["as nvidia-smi writes it", "unknown GPU", "older library", "no library"],
)
def test_the_state_of_a_gpu_is_asked_of_the_library(monkeypatch, library, uuid, said):
    monkeypatch.setattr(cuda, "_nvml", lambda: library)
    assert cuda._state(uuid) == said


def test_without_the_library_nvidia_smi_is_asked_and_without_that_nothing_is_known(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "580.159.04, 345, 3201, 0x0000000000000001"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert cuda._asked(UUID) == ["580.159.04", "345", "3201", "0x0000000000000001"]
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cuda._asked(UUID) == [None] * 4
