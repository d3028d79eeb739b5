"""Published kernels and sampled ones, read from checkouts that are named at run time; nothing of them is kept.

Two layouts are known by what lies in the checkout:

- ``optimized_cuda_code/<gpu>.json`` (github.com/deepreinforce-ai/CUDA-L1): one JSON object a line with the text of a
  task, one kernel for it and the speed-up that was published;
- ``results/level_L_problem_N_sample_I_kernel.py`` (github.com/yoenoo/eh_kernelbench): samples of a language model for
  KernelBench's own tasks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import load_tasks

SAMPLE = re.compile(r"level_(\d+)_problem_(\d+)_sample_(\d+)_kernel\.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One kernel for one task. ``published`` is the speed-up that its authors report; None where they report none."""

    task: str
    source: str
    published: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """``task_texts`` by short id (``level1/12``); empty where the tasks are this project's own, ``tasks``."""

    name: str
    tasks: str
    task_texts: dict[str, str]
    candidates: list[Candidate]

    def loaded_tasks(self, folder: Path, sizes: str) -> list[Task]:
        """The tasks of the corpus; texts of its own are written below ``folder``."""
        for short_id, text in self.task_texts.items():
            level, number = short_id.split("/")
            (folder / level).mkdir(exist_ok=True)
            (folder / level / f"{number}_task.py").write_text(text)
        levels = sorted({short_id.split("/")[0] for short_id in self.task_texts})
        where = ",".join(str(folder / level) for level in levels) if levels else self.tasks
        wanted = {candidate.task for candidate in self.candidates}
        return [task for task in load_tasks(where, sizes=sizes) if task.short_id in wanted]


def read_corpus(checkout: Path, *, gpu: str, levels: Sequence[int], tasks: str) -> Corpus:
    """The corpus in a checkout. Raises ValueError for a folder of another layout.

    ``gpu`` picks the file of published kernels, ``levels`` which of their levels; ``tasks`` which of KernelBench's
    tasks sampled kernels are taken for.
    """
    published = checkout / "optimized_cuda_code" / f"{gpu}.json"
    if published.exists():
        rows = [json.loads(line) for line in published.read_text().splitlines()]
        # Where none was found faster, the file holds no kernel, or the word None.
        rows = [r for r in rows if int(r["level_id"]) in levels and "ModelNew" in (r["custom_code"] or "")]
        return Corpus(
            name=f"published kernels ({checkout.name}, {gpu})",
            tasks="",
            task_texts={_short_id(row): row["ref_code"] for row in rows},
            candidates=[
                Candidate(task=_short_id(row), source=row["custom_code"], published=_score(row["score_default"]))
                for row in rows
            ],
        )
    if (checkout / "results").is_dir():
        wanted = {task.short_id for task in load_tasks(tasks)}
        found = [candidate for candidate in _samples(checkout / "results") if candidate.task in wanted]
        return Corpus(name=f"sampled kernels ({checkout.name})", tasks=tasks, task_texts={}, candidates=found)
    raise ValueError(
        f"{checkout}: neither optimized_cuda_code/{gpu}.json nor results/ is there; "
        "give a checkout of one of the two corpora"
    )


def _short_id(row: dict[str, object]) -> str:
    return f"level{row['level_id']}/{row['task_id']}"


def _score(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _samples(folder: Path) -> Iterator[Candidate]:
    named = [(match, path) for path in folder.iterdir() if (match := SAMPLE.fullmatch(path.name))]
    for match, path in sorted(named, key=lambda each: [int(number) for number in each[0].groups()]):
        yield Candidate(task=f"level{match[1]}/{match[2]}", source=path.read_text())
