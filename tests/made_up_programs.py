"""Programs that were never written, with log-probabilities, verdicts and speed-ups, and candidates drawn from them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import exp, log

from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged, Outcome, sha256_of

STUDY_TASKS = (
    "4_Matrix_vector_multiplication_ 5_Matrix_scalar_multiplication 12_Matmul_with_diagonal_matrices_ "
    "14_Matmul_for_upper_triangular_matrices 15_Matmul_for_lower_triangular_matrices 18_Matmul_with_transposed_both "
    "28_HardSigmoid 29_Softplus 30_Softsign 32_HardTanh 36_RMSNorm_ 55_conv_standard_2D 65_conv_transposed_2D "
    "70_conv_transposed_3D 76_conv_standard_1D 82_conv_depthwise_2D 87_conv_pointwise_2D 89_cumsum "
    "95_CrossEntropyLoss 98_KLDivLoss"
).split()
STUDY_STRATEGIES = (
    "best-of-64",
    "surprisal-top3",
    "surprisal",
    "confidence",
    "confidence-top3",
    "random",
    "random-top3",
)
VOID_FLAGS = ("excessive_speedup", "side_stream", "retained_inputs", "patched_clock")


def evaluation_of(speedup: float, half_width: float = 0.02, source: str = "0" * 64) -> Evaluation:
    return Evaluation(
        source_sha256=source,
        outcome=Outcome.CORRECT,
        speedup=speedup,
        speedup_low=speedup * (1 - half_width),
        speedup_high=speedup * (1 + half_width),
        reference_ms=1.0,
        candidate_ms=1 / speedup,
        pairs=30,
    )


def study_group(
    task: str, indices: Sequence[int], seed: int, *, learned: float = 0.0, version: str = "0"
) -> list[Judged]:
    """Candidates of ``task``. What programs there are depends on the task alone, what is drawn on the seed too.

    ``learned`` raises the log-probability of a program by so many nats for each nat of its speed-up.
    """
    programs = _study_programs(task)
    logprobs = [logprob + learned * log(each.speedup or 0.5) for _, _, logprob, each in programs]
    group = []
    for index in indices:
        draw = random.Random(f"{seed} {task} {index}")
        number = draw.choices(range(len(programs)), [exp(logprob) for logprob in logprobs])[0]
        source, n_tokens, _, evaluation = programs[number]
        share = logprobs[number] / n_tokens
        completion = Completion(
            task=task,
            index=index,
            text=f"```python\n{source}```",
            policy="tiny",
            policy_version=version,
            seed=seed,
            token_ids=tuple(range(n_tokens)),
            logprobs=tuple(round(share * (1 + (-1) ** place * 0.5), 6) for place in range(n_tokens)),
            stop_reason="stop",
            seconds=round(0.02 * n_tokens, 3),
        )
        group.append(Judged(candidate=Candidate(completion=completion, source=source), evaluation=evaluation))
    return group


@lru_cache
def _study_programs(task: str) -> list[tuple[str, int, float, Evaluation]]:
    """Source, tokens, log-probability and evaluation of each."""
    rng = random.Random(task)
    reference_ms = exp(rng.uniform(log(0.05), log(20)))
    hard = rng.random() < 0.1
    spread = rng.choice([0.05, 0.6, 1.5])  # of the summed log-probability: flat, medium and wide tasks
    programs = []
    for number in range(12):
        source = _study_source(task, number)
        kind = rng.random()
        half_width = rng.uniform(0.002, 0.02)
        if not hard and kind < 0.7:
            timed = evaluation_of(exp(rng.gauss(0.0, 0.4) if number % 3 else rng.gauss(0, 0.005)), half_width)
            evaluation = replace(
                timed,
                reference_ms=reference_ms,
                candidate_ms=reference_ms / timed.speedup,
                source_sha256=sha256_of(source),
                seconds={"build": 0.2, "check": 0.3, "time": rng.uniform(0.4, 1.2), "total": 1.9},
            )
        else:
            void = kind > 0.96
            failed = rng.choice([Outcome.BUILD_ERROR, Outcome.INCORRECT, Outcome.RUNTIME_ERROR])
            evaluation = Evaluation(
                source_sha256=sha256_of(source),
                outcome=Outcome.VOID if void else failed,
                detail="made up",
                flags=(rng.choice(VOID_FLAGS),) if void else (),
                seconds={"build": 0.2, "check": 0.3, "total": 0.5},
            )
        programs.append((source, len(source) // 4, -abs(rng.gauss(2 * spread, spread)), evaluation))
    return programs


def _study_source(task: str, number: int) -> str:
    lines = [f"        x = x + {number} * {i} - {number} * {i}" for i in range(number)]
    return (
        f"# {task}, way {number}\nimport torch\n\n\nclass ModelNew(torch.nn.Module):\n"
        "    def forward(self, x):\n" + "".join(line + "\n" for line in lines) + "        return torch.relu(x)\n"
    )
