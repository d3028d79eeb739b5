"""A repository that keeps two kernels of about 0.1 ms, and a CI job that gates on them."""

from __future__ import annotations

import json
from pathlib import Path

from project import RELU, Project

# So few elements that torch uses one thread, and a kernel so short that it is seldom interrupted: the machine that
# tests has other things to do, and no GPU.
TASK = RELU.replace("200_000", "20_000")
KERNEL = """import torch

REPEATS = 20


class ModelNew(torch.nn.Module):
    def forward(self, x):
        for _ in range(REPEATS):
            torch.exp(x[:4000])
        return torch.clamp(x, min=0)
"""
SAVE = ("--benchmark-save=main",)
GATE = ("--benchmark-compare=0001", "--benchmark-compare-fail=median:5%")


class CIProject(Project):
    """``kernels/level1`` holds ``1_Relu.py`` and ``2_Relu.py``, each the candidate of the task of its name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "problems" / "level1" / "2_Sum.py").unlink()
        for name in ("1_Relu", "2_Relu"):
            (folder / "problems" / "level1" / f"{name}.py").write_text(TASK)
            self.write_kernel(name, KERNEL)

    def kernel(self, name: str) -> Path:
        return self.folder / "kernels" / "level1" / f"{name}.py"

    def write_kernel(self, name: str, source: str) -> None:
        self.kernel(name).parent.mkdir(parents=True, exist_ok=True)
        self.kernel(name).write_text(source)

    def command(self, *arguments: str, strategy: str = "pinned") -> list[str]:
        # Where pytest-codspeed is installed, it switches pytest-benchmark off.
        own = super().command("-p", "no:codspeed", "--no-kernelbench-null", *arguments, strategy=strategy)
        if strategy != "pinned":
            return own
        # A job has no run to resume, and no policy.
        return [each for each in own if each not in ("--kernelbench-run=run", "--policy=replay:answers.jsonl")]

    def saved(self, number: int = 1) -> dict:
        (file,) = self.folder.glob(f".benchmarks/*/{number:04}_*.json")
        return json.loads(file.read_text())
