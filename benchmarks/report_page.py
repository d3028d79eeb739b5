"""How large ``report.html`` gets, and how soon it can be used: 20 tasks x 64 candidates x 7 strategies, every
candidate a program of its own of about 3 KB.

    python benchmarks/report_page.py

Needs the extra ``browser`` and Chromium.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from run_folders import rows_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from made_up_run import make_synthetic_run

from pytest_kernelbench.records import sha256_of
from pytest_kernelbench.report.records import RunRecords, merged
from pytest_kernelbench.report.render import report_json, write_reports

WORDS = "threadIdx blockDim float half acc tile load store mask stride offset range for if return torch empty".split()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = make_synthetic_run(Path(folder), seeds=(0, 1, 2))
        for run in runs:
            make_every_source_its_own(run)
        for used in (runs[:1], runs):
            records = merged({str(run): RunRecords.load(run) for run in used})
            write_reports(records, report_json(records), runs[0])
            page = runs[0] / "report.html"
            loaded, opened = seconds_in_browser(page)
            print(
                f"{len(used)} of 3 seeds: {page.stat().st_size / 1e6:.1f} MB, loaded in {loaded:.2f} s, "
                f"a task opened in {opened:.2f} s"
            )


def make_every_source_its_own(run: Path) -> None:
    rng = random.Random(str(run.name))
    sources = {}
    completions = rows_of(run / "completions.jsonl")
    for row in completions:
        lines = ["    " + " ".join(f"{rng.choice(WORDS)}{rng.randrange(100)}" for _ in range(8)) for _ in range(55)]
        source = "class ModelNew:\n" + "\n".join(lines)
        sources[row["task"], row["index"]] = sha256_of(source)
        row["text"] = f"```python\n{source}\n```"
    evaluations = rows_of(run / "evaluations.jsonl")
    for row in evaluations:
        row["source_sha256"] = sources[row["task"], row["index"]]
    for name, rows in (("completions", completions), ("evaluations", evaluations)):
        (run / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def seconds_in_browser(path: Path) -> tuple[float, float]:
    """Until the page has loaded and its script has run; and from a press of Enter until a task is unpacked."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(offline=True)
        page.goto("about:blank")
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector(".filters:not([hidden])")
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        page.locator("#task-0 > summary").press("Enter")
        page.wait_for_selector("#task-0 .candidate")
        opened = time.perf_counter() - start
        browser.close()
    return loaded, opened


if __name__ == "__main__":
    main()
