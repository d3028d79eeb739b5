"""What the tiny policies write: how much parses, how much is correct, how much is fast, how much is new.

    python benchmarks/tiny_policy.py --device cpu --tasks level1:subset1,level1/30 --k 32

One line a temperature, for the tasks it was trained on and for those held out, then the languages it wrote.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import time
from collections import Counter, defaultdict

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.strategy import Sampling
from pytest_kernelbench.tasks import load_tasks
from pytest_kernelbench.tiny_policy.corpus import all_templates
from pytest_kernelbench.tiny_policy.corpus.base import HELD_OUT

LANGUAGES = {"compile_cuda": "cuda", "triton": "triton", "compile_c": "c"}


def language_of(source: str) -> str:
    return next((name for word, name in LANGUAGES.items() if word in source), "torch")


def parses(source: str | None) -> bool:
    if source is None:
        return False
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def number_of(task: Task) -> int:
    return int(task.short_id.rpartition("/")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="tiny")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--tasks", default="level1:subset1")
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--temperatures", default="0.25,0.7,1.0")
    parser.add_argument("--no-held-out", action="store_true")
    options = parser.parse_args()

    sizes = "full" if options.device == "cuda" else "small"
    trained = [t for t in load_tasks(options.tasks, sizes=sizes) if number_of(t) not in HELD_OUT]
    held_out = [] if options.no_held_out else load_tasks([f"level1/{n}" for n in sorted(HELD_OUT)], sizes=sizes)
    corpus = {source.strip() for template in all_templates() for source in template.sources}
    policy = load_policy(options.policy, device=options.device)
    print(f"{options.policy} on {options.device}, {len(trained)} trained tasks, K = {options.k}")
    print("                  T  parse correct  fast distinct  sd sum-lp  corpus text  s a task")
    with Evaluator(device=options.device, protocol="fast") as evaluator:
        for name, tasks in (("trained", trained), ("held out", held_out)):
            by_language: dict[str, Counter[str]] = defaultdict(Counter)
            for temperature in (float(each) for each in options.temperatures.split(",")) if tasks else ():
                sampling = Sampling(k=options.k, temperature=temperature, max_tokens=1024, answer="module")
                counts: Counter[str] = Counter()
                distinct, spreads, seconds = [], [], []
                for task in tasks:
                    start = time.perf_counter()
                    completions = list(policy.sample(task, sampling, seed=0, indices=range(options.k)))
                    seconds.append(time.perf_counter() - start)
                    sources = [extract_source(c.text, answer="module", task=task) for c in completions]
                    evaluations: list[Evaluation] = list(evaluator.evaluate(task, sources))
                    distinct.append(len(set(sources)))
                    spreads.append(statistics.pstdev(c.sum_logprob or 0.0 for c in completions))
                    for source, evaluation in zip(sources, evaluations, strict=True):
                        counts["parse"] += parses(source)
                        counts["correct"] += evaluation.correct
                        counts["fast"] += evaluation.fast(margin=evaluator.margin)
                        counts["corpus"] += source is not None and source.strip() in corpus
                        counts["all"] += 1
                        by_language[language_of(source or "")][evaluation.outcome.value] += 1
                n = counts["all"]
                print(
                    f"{name:14} {temperature:5.2f} {counts['parse'] / n:6.2f} {counts['correct'] / n:7.2f} "
                    f"{counts['fast'] / n:5.2f} {statistics.mean(distinct):8.1f} {statistics.median(spreads):10.2f} "
                    f"{counts['corpus'] / n:12.0%} {statistics.median(seconds):9.1f}",
                    flush=True,
                )
            for language, outcomes in sorted(by_language.items()):
                print(f"  {name}, {language}: " + ", ".join(f"{n} {o}" for o, n in outcomes.most_common()))


if __name__ == "__main__":
    main()
