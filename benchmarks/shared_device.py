"""A 30 B policy and the judge on one GPU: weights are put aside before a task is judged, and back to sample the next.

    python benchmarks/shared_device.py                     one GPU: level1:eval, 61 GB of random weights
    python benchmarks/shared_device.py --card-gb 80        the same on a larger GPU, of which 80 GB are left
    python benchmarks/shared_device.py --small             the same code on a CPU, with a toy

The policy samples as any other, with random weights in Qwen3-Coder-30B-A3B's shape; what it says is then taken to be
the task's own reference, so that there is a candidate to judge, with its largest tensors twice. A line a task: verdict,
and seconds of sampling, of moving weights and of all the rest. With ``--card-gb`` a process holds the rest of the
device's memory. After ``--limit-s`` no task begins; the same command with the same ``--run`` goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from shapes import model_of

from pytest_kernelbench.evaluation import reference_as_candidate
from pytest_kernelbench.ledger import Ledger, read_run
from pytest_kernelbench.pipeline import run_item
from pytest_kernelbench.policies import Policy
from pytest_kernelbench.policies.causal_lm import CausalLMPolicy
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import EvaluationSettings, Sampling, Strategy
from pytest_kernelbench.tasks import load_tasks
from pytest_kernelbench.workbench import Workbench, margin_of

POLICY = "random weights"


class RandomPolicy(CausalLMPolicy):
    """Samples tokens of no meaning; the text of each answer is the task's reference."""

    def __init__(self, model: Any, prompt_tokens: int) -> None:
        self.name = self.version = POLICY
        self.model, self.eos_ids = model, frozenset()
        self.prompt_tokens = prompt_tokens

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        generator = torch.Generator().manual_seed(len(task.id))
        return torch.randint(1, self.model.config.vocab_size, (self.prompt_tokens,), generator=generator).tolist()

    def decode(self, token_ids: Sequence[int]) -> str:
        return ""

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], **_: Any
    ) -> Iterator[Completion]:
        text = f"```python\n{reference_as_candidate(task)}\n```"
        for done in super().sample(task, sampling, seed=seed, indices=indices):
            yield replace(done, text=text)


class SharedBench(Workbench):
    """The workbench of a session, with a policy that is there already."""

    policy: Policy

    def _loaded(self, spec: str) -> Policy:
        self._policies[spec] = self.policy
        return self.policy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a toy on the CPU, with small sizes")
    parser.add_argument("--tasks", default="level1:eval")
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=16, help="of each rollout")
    parser.add_argument("--run", type=Path, default=Path("shared-device-run"))
    parser.add_argument("--limit-s", type=float, default=500, help="no task begins later")
    parser.add_argument("--card-gb", type=float, help="leave so much of the device's memory")
    options = parser.parse_args()
    with nullcontext() if options.card_gb is None else only(options.card_gb):
        judge_all(options)


@contextmanager
def only(card_gb: float) -> Iterator[None]:
    """A context in which a process holds all of the device's memory but ``card_gb``, and computes nothing."""
    hold = (
        "import sys, torch\n"
        f"rest = torch.cuda.mem_get_info()[0] - int({card_gb} * 1e9)\n"
        "held = torch.empty(max(rest, 0), dtype=torch.uint8, device='cuda')\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"{card_gb:g} GB of the device cannot be left; is it in use?")
        yield
        process.stdin.close()


def judge_all(options: argparse.Namespace) -> None:
    """Sample and judge one task after the other, and print a line for each."""
    start = time.perf_counter()
    device = "cpu" if options.small else "cuda"
    tasks = load_tasks([options.tasks], sizes="small" if options.small else "full")
    strategy = Strategy(
        name="shared",
        sampling=Sampling(k=options.rollouts, temperature=1.0, max_tokens=options.tokens),
        evaluation=EvaluationSettings(protocol="fast"),
    )
    facts = {
        **{"policy": POLICY, "seed": 0, "device_kind": device, "sizes": "small" if options.small else "full"},
        **{"margin": margin_of(strategy, device), "strategies": [strategy.to_json()]},
        **{"tasks": [task.id for task in tasks], "task_sha256": {task.id: task.sha256 for task in tasks}},
    }
    ledger = Ledger.open(options.run, facts)
    bench = SharedBench(
        ledger, policy=POLICY, device=device, seed=0, tasks=tasks, null=False, tell=lambda line: print(line, flush=True)
    )
    model = model_of("toy", "cpu", torch.float32) if options.small else model_of("Qwen3-Coder-30B-A3B", "cuda")
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    print(f"{weights / 2**30:.1f} GiB of weights, made in {time.perf_counter() - start:.0f} s", flush=True)
    bench.policy = RandomPolicy(model, 256)
    verdicts: list[str] = []
    for task in tasks:
        if time.perf_counter() - start > options.limit_s:
            print(f"{task.short_id:44} not reached")
            continue
        before, began = spent(ledger), time.perf_counter()
        run_item(task, strategy, bench)
        bench.release()
        now, took = spent(ledger), time.perf_counter() - began
        each = {stage: now.get(stage, 0.0) - before.get(stage, 0.0) for stage in ("sampling", "moving the policy")}
        rest = took - sum(each.values())
        (verdict,) = {row["outcome"] for row in evaluations(ledger.folder) if row["task"] == task.id}
        verdicts.append(verdict)
        shown = "  ".join(f"{stage} {seconds:5.1f} s" for stage, seconds in {**each, "judging": rest}.items())
        print(f"{task.id:44} {verdict:10} {shown}", flush=True)
    print(f"{len(verdicts)} of {len(tasks)} tasks, {verdicts.count('correct')} references judged correct")
    bench.close()


def spent(ledger: Ledger) -> dict[str, float]:
    return dict((read_run(ledger.folder) or {}).get("seconds", {}))


def evaluations(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
