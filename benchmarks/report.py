"""How long a report takes, and of what: a made-up study of 20 tasks x 64 candidates x 3 seeds x 7 strategies.

    python benchmarks/report.py [--tasks 20] [--k 64] [--seeds 3] [--steps 0]

Each stage in one process, then the command in a new one. Where other programs compete for the cores, only its time on a
core says what it takes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="of adaptation, as an eighth strategy")
    options = parser.parse_args()

    from made_up_run import make_synthetic_run

    with tempfile.TemporaryDirectory() as there:
        folders = make_synthetic_run(
            Path(there), tasks=options.tasks, k=options.k, seeds=range(options.seeds), steps=options.steps
        )
        megabytes = sum(path.stat().st_size for path in Path(there).rglob("*.jsonl")) / 1e6
        print(f"records: {megabytes:.1f} MB")

        from pytest_kernelbench.report.records import RunRecords, merged
        from pytest_kernelbench.report.render import REPORTS, report_json

        start = time.perf_counter()
        records = merged({str(folder): RunRecords.load(folder) for folder in folders})
        loaded = time.perf_counter()
        print(f"read and merged: {loaded - start:.2f} s")
        content = report_json(records)
        print(f"analysed:        {time.perf_counter() - loaded:.2f} s")
        for name, write in REPORTS.items():
            before = time.perf_counter()
            write(records, content, folders[0])
            print(f"{name + ':':16} {time.perf_counter() - before:.2f} s")
        before, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "pytest_kernelbench", "report", *map(str, folders)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - before, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        print(f"the command, cold: {wall:.2f} s, of which on a core {cpu:.2f} s")


if __name__ == "__main__":
    main()
