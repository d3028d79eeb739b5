"""Adapter and optimizer on disk, one folder for each step. Training resumes from them after any interruption.

Every random draw of training is seeded by the step's number, so that no state of a generator is saved.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from pytest_kernelbench.errors import HarnessError

ADAPTER, CONFIG, OPTIMIZER, UPDATE = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "optimizer.safetensors",
    "update.json",
)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder to write into; it is renamed to ``folder`` when the block ends without an error.

    Raises HarnessError if it cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise HarnessError(f"{folder}: cannot be written ({error.strerror}); make room and run again") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """``adapter`` and ``optimizer`` tensors by name; ``config`` is peft's; ``update`` says how they were made."""

    adapter: Mapping[str, Tensor]
    config: Mapping[str, Any]
    optimizer: Mapping[str, Tensor]
    update: Mapping[str, float]

    def write(self, folder: Path) -> None:
        """Write the whole checkpoint, or nothing. Raises HarnessError if there is no room."""
        with written_whole(folder) as partial:
            save_file(dict(self.adapter), partial / ADAPTER)
            save_file(dict(self.optimizer), partial / OPTIMIZER)
            (partial / CONFIG).write_text(json.dumps(self.config, indent=1, sort_keys=True, default=list) + "\n")
            (partial / UPDATE).write_text(json.dumps(self.update, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        return cls(
            adapter=load_file(folder / ADAPTER),
            config=json.loads((folder / CONFIG).read_text()),
            optimizer=load_file(folder / OPTIMIZER),
            update=json.loads((folder / UPDATE).read_text()),
        )
