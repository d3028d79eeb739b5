"""Where the seconds of the main job go, and what a second strategy on the same samples costs.

    python benchmarks/main_job.py

Runs ``pytest --strategy=surprisal-top3`` in an empty folder, then the same again (resumed) and with another
strategy, each in a process of its own, and adds up the stages that the records hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from run_folders import distinct_evaluations, trials

STAGES = {"load": "loading", "check": "checking", "time": "timing", "attest": "attesting"}


def run(folder: Path, *arguments: str) -> float:
    """Wall seconds of one pytest run. Raises CalledProcessError, with its output shown, when it fails."""
    command = [sys.executable, "-m", "pytest", "-q", f"--kernelbench-run={folder}", *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr, file=sys.stderr)
    done.check_returncode()
    return time.perf_counter() - start


def stages(folder: Path) -> Counter[str]:
    """Seconds by stage; an evaluation that several candidates share counts once."""
    spent: Counter[str] = Counter()
    for row in trials(folder):
        for stage, name in STAGES.items():
            spent[name] += row["seconds"].get(stage, 0.0)
    return spent + Counter(json.loads((folder / "run.json").read_text())["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", default="surprisal-top3")
    parser.add_argument("--other", default="confidence-top3")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "run")
        cold = run(folder, f"--strategy={options.strategy}")
        spent = stages(folder)
        resumed = run(folder, f"--strategy={options.strategy}")
        other = run(folder, f"--strategy={options.other}")
        distinct = distinct_evaluations(folder)
        print(f"{options.strategy}, cold: {cold:6.1f} s, {len(distinct)} distinct candidates")
        for name, seconds in spent.most_common():
            print(f"  {name:18} {seconds:6.1f} s  {seconds / cold:4.0%}")
        rest = cold - sum(spent.values())
        print(f"  {'overhead':18} {rest:6.1f} s  {rest / cold:4.0%}")
        print(f"the same, resumed: {resumed:.1f} s")
        print(f"{options.other} on the same samples: {other:.1f} s")


if __name__ == "__main__":
    main()
