"""Cold builds of kernels that others published, one after the other, with nothing cached.

    taskset -c 2 python benchmarks/corpus_builds.py ../CUDA-L1 --device cuda --json corpus_builds.jsonl

Of a checkout that ``real_corpora`` can read, each candidate that builds extensions is evaluated alone; on one core, as
``taskset`` gives it, everything that it waits for is in ``seconds.build``: the process that goes through it, and the
compilers. One line for each; then how many built, with the median and the 90th percentile of their seconds.
After ``--limit-s`` no further candidate is begun. A run that goes on with the same ``--json`` leaves out what is in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from real_corpora import Corpus, read_corpus
from results import Limit, Results

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.evaluation.worker.extensions import uses_extensions
from pytest_kernelbench.records import Outcome


def corpus_that_builds(checkout: Path, *, gpu: str, levels: str) -> Corpus:
    """The corpus in a checkout with those candidates that build extensions; ``levels`` as in an option: ``1,2``."""
    corpus = read_corpus(checkout, gpu=gpu, levels=[int(each) for each in levels.split(",")], tasks="level1")
    return replace(corpus, candidates=[each for each in corpus.candidates if uses_extensions(each.source)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--gpu", default="h100", help="which file of published kernels")
    parser.add_argument("--levels", default="1,2")
    parser.add_argument("--sizes", default="full", choices=["full", "small"])
    parser.add_argument("--limit-s", type=float, help="begin nothing more after so many seconds")
    parser.add_argument("--json", type=Path, help="add rows to this file")
    options = parser.parse_args()
    limit = Limit(options.limit_s)
    corpus = corpus_that_builds(options.checkout, gpu=options.gpu, levels=options.levels)
    known = options.json.read_text().splitlines() if options.json and options.json.exists() else []
    before = [json.loads(line) for line in known]
    seconds = [row["build_s"] for row in before if row["outcome"] != Outcome.BUILD_ERROR.value]

    with (
        tempfile.TemporaryDirectory(prefix="corpus-") as folder,
        Evaluator(device=options.device, protocol="fast", cache=Path(folder, "cache")) as evaluator,
    ):
        hardware = evaluator.describe()["hardware"]["name"]
        results = Results(options.json, hardware=hardware)
        tasks = {task.short_id: task for task in corpus.loaded_tasks(Path(folder), options.sizes)}
        print(f"{hardware}, {cores()} cores, {len(corpus.candidates)} candidates of {corpus.name}", flush=True)
        for number, candidate in enumerate(corpus.candidates):
            if limit.over:
                break
            if any((row["task"], row["number"]) == (candidate.task, number) for row in before):
                continue
            try:
                (evaluation,) = evaluator.evaluate(tasks[candidate.task], [candidate.source])
            except HarnessError as error:
                print(f"{candidate.task} #{number}: not measured, {error}", flush=True)
                continue
            build_s = evaluation.seconds.get("build", 0.0)
            said = f"{evaluation.outcome.value} {evaluation.detail[:100]}".rstrip()
            print(f"{candidate.task} #{number}: build {build_s:.1f} s, {said}", flush=True)
            row = {"task": candidate.task, "number": number, "build_s": build_s, "outcome": evaluation.outcome.value}
            results.add([{**row, "detail": evaluation.detail, "seconds": evaluation.seconds}])
            if evaluation.outcome is not Outcome.BUILD_ERROR:
                seconds.append(build_s)

    print(f"\n{len(seconds)} built, or went on without what did not build")
    if seconds:
        ordered = sorted(seconds)
        p90 = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
        print(f"seconds.build: median {statistics.median(seconds):.1f} s, 90th percentile {p90:.1f} s")


if __name__ == "__main__":
    main()
