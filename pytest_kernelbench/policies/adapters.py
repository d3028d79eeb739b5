"""A peft adapter on a loaded model, as ``+ADAPTER`` in ``--policy`` names it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from safetensors import safe_open

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.decoding import Model

EMBEDDINGS = re.compile(r"\b(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight$")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


def with_adapter(model: Model, folder: Path, name: str) -> Model:
    """``model`` with the adapter in ``folder``, frozen. Raises PolicyError if the adapter does not fit the model.

    If the adapter has more embeddings than the model, for added tokens, the model's embeddings are resized.
    """
    from peft import PeftModel

    rows = _embedding_rows(folder)
    if rows is not None and rows != model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows)
    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for this attribute by its old name.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            # peft warns of merging adapters, which is not done here.
            warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)
            return PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        # Torch's first line says that a weight does not fit; the lines after it name the weight and its sizes.
        reason = next((line.strip() for line in lines if "size mismatch" in line), lines[0])
        raise PolicyError(
            f"--policy={name}: adapter {folder} does not fit ({reason}); it must be saved by peft for this very model"
        ) from error


def own_tokenizer(folder: Path) -> bool:
    """Whether an adapter's folder has a tokenizer. It was trained with this tokenizer, so this tokenizer is used."""
    return (folder / "tokenizer_config.json").is_file() and (
        (folder / "tokenizer.json").is_file() or (folder / "tokenizer.model").is_file()
    )


def _embedding_rows(folder: Path) -> int | None:
    """The number of rows of the embeddings in an adapter (``modules_to_save``); None if it has no embeddings."""
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        return None
    with safe_open(file, framework="pt") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys() if EMBEDDINGS.search(name)]  # noqa: SIM118
    return max((int(shape[0]) for shape in shapes), default=None)


def adapter_files(folder: Path) -> list[Path]:
    """The files whose content identifies the adapter."""
    return [folder / file for file in (*FILES, *TOKENIZER_FILES) if (folder / file).is_file()]
