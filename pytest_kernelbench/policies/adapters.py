"""A peft adapter on a loaded model: what ``+ADAPTER`` in ``--policy`` names."""

from __future__ import annotations

import warnings
from pathlib import Path

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.decoding import Model

FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


def with_adapter(model: Model, folder: Path, name: str) -> Model:
    """``model`` with the adapter in ``folder``, frozen; raises PolicyError where the two do not fit."""
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for this attribute by its old name.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            return PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise PolicyError(
            f"--policy={name}: adapter {folder} does not fit ({reason}); it must be saved by peft for this very model"
        ) from error


def adapter_files(folder: Path) -> list[Path]:
    """What identifies the adapter."""
    return [folder / file for file in FILES if (folder / file).is_file()]
