"""Where the seconds of a build go: CPU seconds of each step of the compilers, for sources that others published.

    python benchmarks/build_phases.py ../CUDA-L1 --sample 12 --headers all --json build_phases.jsonl

Of a checkout that ``real_corpora`` can read, the sources that candidates hand to ``load_inline`` as literals are taken;
nothing of theirs is run. The compilers' commands for them are taken apart and run one step after the other:
``nvcc --dryrun`` names nvcc's own, and g++ is asked for the preprocessed text alone, for the syntax alone, and for the
object. ``--headers`` says which headers they read: this project's stand-ins, these with a precompiled header for the
host part, torch's own, or all three one after the other.

A phase has a figure only where all of its part compiles, so each line of the table says how many sources are in it.
Where torch is built for a CPU alone, ``--torch`` names a folder with a CUDA build's ``include``, ``lib`` and ``utils``,
as they lie in its wheel.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import itertools
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from corpus_builds import corpus_that_builds
from results import Limit, Results

from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.evaluation.worker import compiling, precompiled, stand_ins
from pytest_kernelbench.evaluation.worker.extensions import request_of

ARCHITECTURE = "9.0"
HEADERS = ("stand-ins", "precompiled", "torch's own")
PHASES = (
    "python: stand-ins and ninja's file",
    "g++: preprocessor",
    "g++: parser",
    "g++: code",
    "nvcc: preprocessor, device",
    "nvcc: preprocessor, host",
    "nvcc: cudafe++ (host parser)",
    "nvcc: cicc (device parser and code)",
    "nvcc: ptxas",
    "nvcc: fatbinary",
    "nvcc: g++ (host code)",
    "link",
)
ASSIGNED = re.compile(r"^([A-Za-z_]\w*)=(.*)$")


def requests_of(source: str) -> Iterator[dict[str, Any]]:
    """The extensions of a candidate whose ``load_inline`` has arguments that can be read without running anything."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    texts = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        called = {getattr(node.func, "id", ""), getattr(node.func, "attr", "")} if isinstance(node, ast.Call) else set()
        if "load_inline" in called:
            given = {each.arg: _read(each.value, texts) for each in node.keywords if each.arg is not None}
            read = all(
                given[each] is not None for each in ("cpp_sources", "cuda_sources", "functions") if each in given
            )
            request = request_of("load_inline", {**given, "name": "phases"}, Path("/nowhere"))
            if request is not None and "cpp_sources" in given and read:
                yield dict(request)


def _read(value: ast.expr, texts: Mapping[str, ast.expr]) -> Any:
    """A literal, a list of such, or a name for one; None for whatever else."""
    if isinstance(value, ast.Name):
        value = texts.get(value.id, value)
    if isinstance(value, ast.List):
        return [_read(each, texts) for each in value.elts]
    try:
        return ast.literal_eval(value)
    except ValueError:
        return None


def use_torch_of(folder: Path) -> None:
    """Build with the headers, libraries and flags of the torch in ``folder``, which is not loaded."""
    torch.version.cuda = re.search(r"(?m)^cuda.*'([\d.]+)'", (folder / "version.py").read_text())[1]
    spec = importlib.util.spec_from_file_location("torch.utils.cpp_extension", folder / "utils" / "cpp_extension.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = torch.utils.cpp_extension = module
    spec.loader.exec_module(module)
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    module.CUDA_HOME = os.environ.get("CUDA_HOME", str(Path(nvcc).resolve().parent.parent))
    compiling.torch_headers = stand_ins.torch_headers = lambda: folder / "include"


class Prepared(Exception):
    """All that comes before the compilers was done."""


def commands_of(request: Mapping[str, Any], folder: Path) -> tuple[list[str], float]:
    """The commands that would build a request in ``folder``, and CPU seconds of what was done for them."""

    def stop(parts: compiling.Parts, build_directory: str, verbose: bool, error_prefix: str) -> None:
        raise Prepared

    before_s, compiling.Parts.compile = sum(os.times()[:4]), stop
    try:
        compiling.build(request, "phases", folder)
    except compiling.BuildFailed as failure:
        if failure.complaint:
            raise
    spent_s = sum(os.times()[:4]) - before_s
    return compiling._commands(str(folder / "build")), spent_s


def run(command: str, folder: Path, environment: Mapping[str, str] | None = None) -> float | None:
    """CPU seconds of a command and all that it starts; None where it fails."""
    with subprocess.Popen(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime if process.returncode == 0 else None


def host_phases(command: str, folder: Path) -> dict[str, float]:
    """CPU seconds of a g++ command by phase; empty where it fails."""
    only = [re.sub(r" -c (\S+) -o \S+", rf" {each} \1", command) for each in ("-o /dev/null -E", "-fsyntax-only")]
    seconds = [run(each, folder) for each in (*only, command)]
    if None in seconds:
        return {}
    text_s, syntax_s, all_s = seconds
    return {
        "g++: preprocessor": text_s,
        "g++: parser": max(0.0, syntax_s - text_s),
        "g++: code": max(0.0, all_s - syntax_s),
    }


def device_phases(command: str, folder: Path) -> dict[str, float]:
    """CPU seconds of an nvcc command by step; empty where one fails."""
    compiler, _, rest = command.partition(" ")
    listed = subprocess.run(
        f"{compiler} --dryrun --keep {rest}", shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    environment, phases = dict(os.environ), {}
    for line in listed.stderr.splitlines():
        step = line.removeprefix("#$ ")
        assigned = ASSIGNED.match(step)
        if assigned:
            value = re.sub(r"\$(\w+)", lambda found: environment.get(found[1], ""), assigned[2])
            environment[assigned[1]] = value.replace('"', "").strip()
        elif not step.startswith(("rm ", "--")):
            seconds = run(step, folder, environment)
            if seconds is None:
                return {}
            phases[phase_of(step)] = phases.get(phase_of(step), 0.0) + seconds
    return phases


def phase_of(step: str) -> str:
    """The phase that a command of nvcc's belongs to."""
    if " -E " in step:
        return "nvcc: preprocessor, " + ("device" if "-D__CUDA_ARCH__=" in step else "host")
    program = Path(step.split()[0].strip('"')).name
    return next((each for each in PHASES if each.startswith(f"nvcc: {program}")), "nvcc: g++ (host code)")


def phases_of(request: Mapping[str, Any], headers: str, precompiled_in: Path) -> dict[str, float]:
    """CPU seconds of one build by phase, as far as its parts compile with these ``headers``."""
    with tempfile.TemporaryDirectory(prefix="phases-") as name:
        folder = Path(name)
        commands, prepared_s = commands_of(request, folder)
        if headers == "torch's own":
            commands = [each.replace(f"-I{folder / 'include'} ", "") for each in commands]
        phases = {"python: stand-ins and ninja's file": prepared_s}
        *parts, link = commands
        first = first_of(request, folder, precompiled_in) if headers == "precompiled" else ""
        for command in parts:
            if Path(command.split()[0]).name == "nvcc":
                phases |= device_phases(command, folder / "build")
            else:
                phases |= host_phases(command.replace(" -c ", f"{first} -c ", 1), folder / "build")
        # nvcc's own steps leave the object under the name that the linker is given.
        linked_s = run(link, folder / "build")
        return phases if linked_s is None else {**phases, "link": linked_s}


def first_of(request: Mapping[str, Any], folder: Path, precompiled_in: Path) -> str:
    """What the host part's command is given for a precompiled header; one is made for flags that have none."""
    flags = precompiled.flags_of(request)
    if flags is None:
        return ""
    made = precompiled_in / "-".join(["header", *flags])
    if not made.exists():
        made.mkdir()
        compiling.build_header(flags, made)
    header = made / "include" / f"{precompiled.HEADER}.gch"
    first = precompiled.offered(header, folder / "include", "\n".join(request["arguments"]["cpp_sources"]))
    return f" -include {first}" if first is not None else ""


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """The median of each phase over the sources that have it, by headers."""
    by_headers = {each: [row["phases"] for row in rows if row["headers"] == each] for each in HEADERS}
    by_headers = {name: phases for name, phases in by_headers.items() if phases}
    print(f"\n| CPU s, median (sources) | {' | '.join(by_headers)} |\n|---|{'---|' * len(by_headers)}")
    for phase in PHASES:
        told = [[each[phase] for each in phases if phase in each] for phases in by_headers.values()]
        cells = [f"{statistics.median(seconds):.2f} ({len(seconds)})" if seconds else "" for seconds in told]
        print(f"| {phase} | {' | '.join(cells)} |")
    whole = [[sum(each.values()) for each in phases if "link" in each] for phases in by_headers.values()]
    cells = [f"{statistics.median(seconds):.1f} ({len(seconds)})" if seconds else "" for seconds in whole]
    print(f"| all, where a library is made | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--gpu", default="h100", help="which file of published kernels")
    parser.add_argument("--levels", default="1,2,3")
    parser.add_argument("--sample", type=int, help="so many of the sources, drawn at random (default: all)")
    parser.add_argument("--tasks", help="only sources for these tasks (level1/23,level1/97)")
    parser.add_argument("--headers", default="stand-ins", choices=[*HEADERS, "all"])
    parser.add_argument("--torch", type=Path, help="a CUDA build of torch, unpacked (default: the one that is here)")
    parser.add_argument("--limit-s", type=float, help="begin nothing more after so many seconds")
    parser.add_argument("--json", type=Path, help="add rows to this file")
    options = parser.parse_args()
    limit = Limit(options.limit_s)
    corpus = corpus_that_builds(options.checkout, gpu=options.gpu, levels=options.levels)
    found = [(each.task, request) for each in corpus.candidates for request in requests_of(each.source)]
    tasks = options.tasks.split(",") if options.tasks else [task for task, _ in found]
    found = [(task, request) for task, request in found if task in tasks]
    if options.sample:
        found = random.Random(0).sample(found, min(options.sample, len(found)))
    if options.torch is not None:
        use_torch_of(options.torch)
    os.environ["TORCH_CUDA_ARCH_LIST"] = ARCHITECTURE
    results = Results(options.json, hardware=f"{os.uname().machine}, {cores()} cores")
    print(f"{len(found)} sources, {cores()} cores", flush=True)
    wanted = HEADERS if options.headers == "all" else (options.headers,)
    with tempfile.TemporaryDirectory(prefix="phases-") as folder:
        for (task, request), headers in itertools.product(found, wanted):
            if limit.over:
                break
            phases = phases_of(request, headers, Path(folder))
            made = "a library" if "link" in phases else "no library"
            print(f"{task}, {headers}: {sum(phases.values()):.1f} s, {made}", flush=True)
            results.add([{"task": task, "headers": headers, "phases": phases}])
    print_table(results.rows)


if __name__ == "__main__":
    main()
