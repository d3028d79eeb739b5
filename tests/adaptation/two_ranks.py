"""Under torchrun: a tiny model that two processes share gives what one process has alone. Prints one line of JSON."""

import json
import sys
from pathlib import Path

import torch
from made_up_policies import ROWS, WordPolicy
from policies.random_models import llama
from torch import distributed as dist

from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.ranks import ProcessGroup
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.policies.causal_lm import sample_rows, score_rows
from pytest_kernelbench.policies.sharding import least_of, shard, whole_of
from pytest_kernelbench.strategy import Adaptation, Lora


def rows():
    alone = llama()
    found = []
    for prompt, answers in ROWS:
        for answer, logprobs, advantage in zip(answers, score_rows(alone, prompt, answers), (1, -0.5, 2), strict=True):
            found.append(
                TrainingRow(
                    prompt_ids=prompt, token_ids=answer, behaviour=logprobs, advantages=(advantage,) * len(answer)
                )
            )
    return found[:5]  # an odd number of batches of one row each


def measured(model, ranks, folder):
    policy = WordPolicy(model)
    uniforms = torch.rand(3, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = {done.row: done.token_ids for done in sample_rows(model, (5, 6, 7), uniforms, temperature=1.0, eos_ids={0})}
    settings = Adaptation(learning_rate=1e-2, passes=2, loss="clipped", lora=Lora(rank=4))
    with PeftTrainer(
        policy, settings=settings, temperature=1.0, max_tokens=16, seed=0, ranks=ranks, gradient_checkpointing=True
    ) as trainer:
        gradient = trainer.gradient(rows())
        update = trainer.update(rows(), step=1)
        trainer.use_adapted("1")
        scores = [score_rows(model, prompt, answers) for prompt, answers in ROWS]
        if dist.get_rank() == 0:
            trainer.save(folder, update)
        dist.barrier()
        trainer.load(folder, step=1)
        trainer.use_adapted("1")
        again = [score_rows(model, prompt, answers) for prompt, answers in ROWS]
    return {
        "drawn": [drawn[row] for row in range(3)],
        "gradient": torch.cat([gradient[name].flatten() for name in sorted(gradient)]),
        "update": update,
        "scores": scores,
        "again": again,
    }


def main(folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    from pytest_kernelbench.adaptation import objective

    objective.TOKENS_AT_ONCE["cpu"] = 1
    from pytest_kernelbench.adaptation.ranks import OneProcess

    alone = measured(llama(), OneProcess(), folder / "alone")
    real = {**dict(llama().named_parameters()), **dict(llama().named_buffers())}
    with torch.device("meta"):
        skeleton = llama()
    shared = shard(skeleton, lambda name, like: real[name], torch.device("cpu"))
    local = sum(each.to_local().numel() for each in shared.parameters())
    whole = all(torch.equal(whole_of(each), real[name]) for name, each in shared.named_parameters())
    both = measured(shared, ProcessGroup(), folder / "both")
    if dist.get_rank() == 0:
        print(
            json.dumps(
                {
                    "cosine": float(torch.nn.functional.cosine_similarity(alone["gradient"], both["gradient"], dim=0)),
                    "norms": float(both["gradient"].norm() / alone["gradient"].norm()),
                    "same_draws": alone["drawn"] == both["drawn"],
                    "updates": [alone["update"], both["update"]],
                    "scores": [alone["scores"], both["scores"]],
                    "reloaded": both["again"] == both["scores"],
                    "share": local / sum(each.numel() for each in llama().parameters()),
                    "whole": whole,
                }
            )
        )
    least = least_of(5 + dist.get_rank(), torch.device("cpu"))
    assert least == 5
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
