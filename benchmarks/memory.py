"""What a model takes on each GPU to sample and to train, computed from its shape: no weights, no GPU.

    python benchmarks/memory.py                                          the published models that docs/policies.md has
    python benchmarks/memory.py --model gpt-oss-120b --shards 8 --set lora.experts=true
    python benchmarks/memory.py --model path/to/a/model                  config.json is all that is read

GiB on each GPU, and whether 80 GB (79.6 GiB, less 5 % that the allocator loses) hold them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from shapes import SHAPES, model_of
from transformers import AutoConfig, AutoModelForCausalLM

from pytest_kernelbench.adaptation.memory import GIB, Load, for_sampling, for_training, total_gib, trained_parameters
from pytest_kernelbench.strategy import Adaptation
from pytest_kernelbench.strategy.overrides import overridden
from pytest_kernelbench.strategy.values import section_of

ROOM_GIB = 79.6 * 0.95
PUBLISHED = [
    *(("gpt-oss-20b", 1), ("gpt-oss-20b", 2), ("gpt-oss-120b", 4), ("gpt-oss-120b", 8)),
    *(("Qwen3-Coder-30B-A3B", 1), ("Qwen3-Coder-30B-A3B", 2), ("Qwen3-Coder-30B-A3B", 8)),
]


def skeleton(model: str) -> Any:
    if model in SHAPES:
        return model_of(model, "meta")
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(Path(model)), dtype=torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help=f"a folder with config.json, or one of {', '.join(SHAPES)}")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=1500)
    parser.add_argument("--tokens", type=int, default=4096, help="of each answer, its reasoning included")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of [adaptation]: lora.rank=32")
    parser.add_argument("--parts", action="store_true", help="every part of each sum")
    options = parser.parse_args()
    table: dict[str, Any] = {"adaptation": {}}
    for each in options.set:
        table = overridden(table, f"adaptation.{each}")
    settings = section_of(Adaptation, table["adaptation"], "adaptation", "--set")
    print(f"{options.rollouts} rollouts of {options.tokens} tokens after {options.prompt_tokens}, bfloat16")
    print(f"{'model':22} {'GPUs':>4}  {'B':>6}  {'adapter, M':>10}  {'sampling':>8}  {'training':>8}   GiB on each GPU")
    for name, shards in [(options.model, options.shards)] if options.model else PUBLISHED:
        model = skeleton(name)
        load = Load(
            rollouts=options.rollouts,
            prompt_tokens=options.prompt_tokens,
            max_tokens=options.tokens,
            shards=shards,
        )
        parameters = sum(each.numel() for each in model.parameters()) / 1e9
        parts = {"sampling": for_sampling(model, load), "training": for_training(model, load, settings)}
        sampling, training = (total_gib(each) for each in parts.values())
        fits = ", ".join(what for what, gib in (("samples", sampling), ("trains", training)) if gib <= ROOM_GIB)
        trained = trained_parameters(model, settings) / 1e6
        print(
            f"{name:22} {shards:4}  {parameters:6.1f}  {trained:10.1f}  {sampling:8.1f}  {training:8.1f}   "
            f"{fits or 'does not fit'}"
        )
        if options.parts:
            for what, each in parts.items():
                print(f"  {what}: " + ", ".join(f"{part} {size / GIB:.1f}" for part, size in each.items()))


if __name__ == "__main__":
    main()
