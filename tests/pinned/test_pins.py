"""``pin``: the kernels of a run that it keeps, and the errors for kernels that it cannot keep."""

import json
from pathlib import Path

import pytest

from pytest_kernelbench.__main__ import main
from pytest_kernelbench.prompting.extraction import extract_source
from pytest_kernelbench.records import Completion, Evaluation, Outcome, Selection, Task, sha256_of
from pytest_kernelbench.strategy import Sampling, Strategy

TASKS = ("level1/19_ReLU", "level1/20_LeakyReLU", "level1/21_Sigmoid")


def module(word):
    return f"import torch\n\n\nclass ModelNew(torch.nn.Module):\n    word = {word!r}\n"


def write(folder, chosen, *, answer="module", retimed=True):
    """A run in which strategies chose ``{(task, strategy): (index, text, speedup, fast)}``; timed again or not."""
    folder.mkdir()
    names = dict.fromkeys(name for _, name in chosen)
    # Each draws candidates of its own.
    strategies = {
        name: Strategy(name=name, sampling=Sampling(answer=answer, temperature=1 + place / 10))
        for place, name in enumerate(names)
    }
    run = {"tasks": TASKS, "device": "a device", "strategies": [each.to_json() for each in strategies.values()]}
    (folder / "run.json").write_text(json.dumps(run))
    judged = ["evaluations", "confirmations"] if retimed else ["evaluations"]
    tables = {name: [] for name in ("completions", *judged, "selections")}
    for (task, name), (index, text, speedup, fast) in chosen.items():
        strategy = strategies[name]
        hashes = {"sampling_sha256": strategy.sampling_sha256, "evaluation_sha256": strategy.evaluation_sha256}
        source = extract_source(text, answer=answer, task=Task(id=task, source=REFERENCE))
        again = Evaluation(source_sha256=sha256_of(source), outcome=Outcome.CORRECT, speedup=speedup)
        tables["completions"].append({**Completion(task=task, index=index, text=text, policy="p").to_json(), **hashes})
        for table in judged:
            tables[table].append({"task": task, "index": index, **again.to_json(), **hashes})
        selection = Selection(
            task=task,
            strategy=name,
            index=index,
            considered=(index,),
            cost={},
            confirmed_speedup=speedup,
            confirmed_low=speedup - 0.1,
            confirmed_high=speedup + 0.1,
            fast=fast,
            retimed=retimed,
        )
        tables["selections"].append(selection.to_json())
    for name, rows in tables.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


REFERENCE = """\
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x


def get_inputs():
    return [torch.rand(2)]


def get_init_inputs():
    return []
"""


def fenced(source):
    return f"Here it is:\n```python\n{source}```\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "run",
        {
            ("level1/19_ReLU", "a"): (3, fenced(module("three")), 1.5, True),
            ("level1/19_ReLU", "b"): (4, fenced(module("four")), 1.7, True),
            ("level1/20_LeakyReLU", "a"): (0, fenced(module("slow")), 0.8, False),
        },
    )
    return tmp_path


def test_the_fastest_of_those_that_are_fast_is_kept_with_where_it_comes_from(run, capsys):
    assert main(["pin", "run"]) == 0
    assert capsys.readouterr().out == "kept kernels/level1/19_ReLU.py: b #4, 1.7x [1.6, 1.8]\n"
    text = (run / "kernels/level1/19_ReLU.py").read_text()
    assert text == "# level1/19_ReLU: b #4, 1.7x [1.6, 1.8] on a device\n" + module("four")
    assert not (run / "kernels/level1/20_LeakyReLU.py").exists()


def test_a_kernel_that_was_timed_once_is_kept_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    only = {("level1/19_ReLU", "a"): (3, fenced(module("three")), 1.5, True)}
    write(tmp_path / "run", only, retimed=False)
    assert main(["pin", "run"]) == 0
    text = (tmp_path / "kernels/level1/19_ReLU.py").read_text()
    assert text == "# level1/19_ReLU: a #3, 1.5x [1.4, 1.6] on a device\n" + module("three")


@pytest.mark.parametrize(("strategy", "word"), [("a", "three"), ("b", "another three")])
def test_of_two_strategies_that_chose_the_same_index_each_has_its_own_text(tmp_path, monkeypatch, strategy, word):
    monkeypatch.chdir(tmp_path)
    chosen = {"a": (3, fenced(module("three")), 1.5, True), "b": (3, fenced(module("another three")), 1.7, True)}
    write(tmp_path / "run", {("level1/19_ReLU", name): each for name, each in chosen.items()})
    assert main(["pin", "run", f"--strategy={strategy}"]) == 0
    text = (tmp_path / "kernels/level1/19_ReLU.py").read_text()
    assert text.startswith(f"# level1/19_ReLU: {strategy} #3, ") and text.endswith(module(word))


def test_a_choice_that_another_strategy_had_timed_again_is_kept(tmp_path, monkeypatch):
    """Strategies that choose the same text share its second timing, whose row has the index of one of them."""
    monkeypatch.chdir(tmp_path)
    same = fenced(module("same"))
    write(
        tmp_path / "run", {("level1/19_ReLU", "a"): (3, same, 1.5, True), ("level1/19_ReLU", "b"): (4, same, 1.5, True)}
    )
    rows = (tmp_path / "run" / "confirmations.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "confirmations.jsonl").write_text(rows[0])
    assert main(["pin", "run", "--strategy=b"]) == 0
    assert (tmp_path / "kernels/level1/19_ReLU.py").read_text().endswith(module("same"))


def test_a_text_that_is_not_there_is_said_in_one_line(run, capsys):
    (run / "run" / "completions.jsonl").write_text("")
    assert main(["pin", "run"]) == 4
    assert capsys.readouterr().err == (
        "error: run: the text of level1/19_ReLU #4 is not there; was the run cut short?\n"
    )


INHERITS = "class ModelNew(Model):\n    def forward(self, x):\n        return x.clone()\n"


@pytest.fixture
def own_task(tmp_path, monkeypatch):
    """A run on a task of the user's own; its text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"{__name__}.TASKS", ("ours/1_Same",))

    def made(answer, text):
        write(tmp_path / "run", {("ours/1_Same", "a"): (0, fenced(text), 1.5, True)}, answer=answer)
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        (tmp_path / "run" / "run.json").write_text(json.dumps({**record, "selectors": ["ours"]}))
        for name in ("1_Same", "2_Other"):
            (tmp_path / "ours" / f"{name}.py").write_text(REFERENCE)
        return tmp_path / "ours" / "1_Same.py"

    (tmp_path / "ours").mkdir()
    return made


@pytest.mark.parametrize(("answer", "text"), [("module", INHERITS), ("forward_body", "return x.clone()\n")])
def test_a_part_of_the_reference_is_kept_with_the_reference(own_task, answer, text):
    own_task(answer, text)
    assert main(["pin", "run"]) == 0
    kept = Path("kernels/ours/1_Same.py").read_text().partition("\n")[2]
    assert kept.startswith(REFERENCE) and "class ModelNew(Model):" in kept


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_text(f"{REFERENCE}\nn = 1\n")])
@pytest.mark.parametrize(("answer", "text"), [("module", INHERITS), ("forward_body", "return x.clone()\n")])
def test_a_part_of_a_reference_that_is_gone_is_said_in_one_line(own_task, capsys, answer, text, change):
    change(own_task(answer, text))
    assert main(["pin", "run"]) == 4
    assert capsys.readouterr().err == (
        "error: run: ours/1_Same #0 is not what was judged, because its task is gone or has another text; "
        "pin it with the tasks of the run\n"
    )


def test_a_task_that_is_named_is_kept_however_fast_and_a_kept_one_is_replaced(run, capsys):
    assert main(["pin", "run", "level1/20"]) == 0
    assert main(["pin", "run", "level1/*", "--strategy=a", "--to=ours"]) == 0
    assert main(["pin", "run", "level1/20", "--to=ours"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "kept kernels/level1/20_LeakyReLU.py: a #0, 0.8x [0.7, 0.9]",
        "kept ours/level1/19_ReLU.py: a #3, 1.5x [1.4, 1.6]",
        "kept ours/level1/20_LeakyReLU.py: a #0, 0.8x [0.7, 0.9]",
        "replaced ours/level1/20_LeakyReLU.py: a #0, 0.8x [0.7, 0.9]",
    ]


def test_a_kernel_that_was_kept_before_has_one_header(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = "# level1/19_ReLU: pinned #0, 1x [0.9, 1.1] on another device\n" + module("kept")
    write(tmp_path / "run", {("level1/19_ReLU", "pinned"): (0, fenced(kept), 1.2, True)})
    assert main(["pin", "run"]) == 0
    text = (tmp_path / "kernels/level1/19_ReLU.py").read_text()
    assert text == "# level1/19_ReLU: pinned #0, 1.2x [1.1, 1.3] on a device\n" + module("kept")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["level1/21"], "run: nothing was chosen for level1/21; name other tasks"),
        (["level1/99"], f"run: has no task level1/99; it has {', '.join(TASKS)}"),
        (["--strategy=c"], "run: has no strategy c; it has a, b"),
        (
            ["--to=run/run.json"],
            "run/run.json/level1/19_ReLU.py: cannot be written (Not a directory); name a folder with --to",
        ),
    ],
)
def test_what_cannot_be_kept_is_said_in_one_line(run, capsys, arguments, line):
    assert main(["pin", "run", *arguments]) == 4
    assert capsys.readouterr().err == f"error: {line}\n"


def test_a_run_without_a_fast_kernel_says_how_to_keep_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "run", {("level1/19_ReLU", "a"): (0, fenced(module("slow")), 0.8, False)})
    assert main(["pin", "run"]) == 4
    assert capsys.readouterr().err == (
        "error: run: no choice is verified fast; name tasks to keep what was chosen for them\n"
    )
