"""The run folder: rows that are appended are read back, by any process, after any interruption."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_kernelbench
from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.ledger import Ledger, Table, read_run
from pytest_kernelbench.records import Completion, Evaluation, Outcome, Selection
from pytest_kernelbench.strategy import EvaluationSettings, Sampling, Strategy

STRATEGY = Strategy(name="some", sampling=Sampling(k=4))
TASK = "level1/1_One"


def facts(**changes):
    run = {
        "policy": "tiny",
        "seed": 0,
        "device_kind": "cpu",
        "sizes": "small",
        "strategies": [STRATEGY.to_json()],
        "tasks": [TASK],
        "task_sha256": {TASK: "aa"},
    }
    return {**run, **changes}


@pytest.fixture
def ledger(tmp_path):
    return Ledger.open(tmp_path / "run", facts())


def completion(index, **changes):
    return Completion(**{"task": TASK, "index": index, "text": "text", "policy": "tiny", **changes})


def evaluation(source="s", **changes):
    return Evaluation(**{"source_sha256": source, "outcome": Outcome.INCORRECT, **changes})


@given(
    text=st.text(),
    logprobs=st.none() | st.lists(st.floats(-1e6, 0), min_size=1).map(tuple),
    stop=st.none() | st.text(),
)
@settings(max_examples=30, deadline=None)
def test_a_completion_is_read_back_as_it_was(tmp_path_factory, text, logprobs, stop):
    folder = tmp_path_factory.mktemp("run")
    written = completion(2, text=text, logprobs=logprobs, stop_reason=stop, token_ids=(1, 2))
    Ledger.open(folder, facts()).add_completion(written, STRATEGY)
    assert Ledger(folder).completions(TASK, STRATEGY) == {2: written}


def test_evaluations_and_selections_are_read_back_as_they_were(ledger):
    judged = evaluation(outcome=Outcome.CORRECT, speedup=1.5, speedup_low=1.4, flags=("a",), seconds={"build": 0.1})
    ledger.add_evaluation(TASK, 0, STRATEGY, judged)
    ledger.add_evaluation(TASK, None, STRATEGY, judged, "null")
    chosen = Selection(task=TASK, strategy="some", index=0, considered=(0, 2), cost={"rollouts": 4}, fast=True)
    ledger.add_selection(chosen, STRATEGY)
    again = Ledger(ledger.folder)
    assert again.evaluations(TASK, STRATEGY) == again.evaluations(TASK, STRATEGY, "null") == {"s": judged}
    assert again.judged_indices(TASK, STRATEGY) == {0}
    assert again.selection(TASK, STRATEGY) == chosen
    assert again.evaluations("level1/2_Two", STRATEGY) == {}


def test_a_smaller_k_takes_the_first_of_the_samples(ledger):
    for index in range(4):
        ledger.add_completion(completion(index), STRATEGY)
    fewer = Strategy(name="fewer", sampling=Sampling(k=2))
    assert sorted(ledger.completions(TASK, fewer)) == [0, 1]


def test_other_settings_share_nothing(ledger):
    ledger.add_completion(completion(0), STRATEGY)
    ledger.add_evaluation(TASK, 0, STRATEGY, evaluation())
    hotter = Strategy(name="hotter", sampling=Sampling(k=4, temperature=1.0))
    faster = Strategy(name="faster", sampling=STRATEGY.sampling, evaluation=EvaluationSettings(protocol="fast"))
    assert ledger.completions(TASK, hotter) == {}
    assert ledger.judged_indices(TASK, hotter) == set()
    # The same source is judged the same, whoever wrote it.
    assert ledger.evaluations(TASK, hotter) == {"s": evaluation()}
    assert ledger.evaluations(TASK, faster) == {}
    assert ledger.completions(TASK, faster) == {0: completion(0)}


def test_what_another_process_appends_is_seen(ledger):
    other = Ledger(ledger.folder)
    for index in range(3):
        other.add_completion(completion(index), STRATEGY)
        assert sorted(ledger.completions(TASK, STRATEGY)) == list(range(index + 1))


@given(cut=st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_a_torn_last_line_is_cut_off_and_said(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("run")
    ledger = Ledger.open(folder, facts())
    for index in range(2):
        ledger.add_completion(completion(index), STRATEGY)
    path = folder / "completions.jsonl"
    os.truncate(path, path.stat().st_size - cut)
    again = Ledger.open(folder, facts())
    assert again.warnings == [f"{path}:2: cut off a record that was not finished; it is made again"]
    again.add_completion(completion(1), STRATEGY)
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == [0, 1]
    assert Ledger.open(folder, facts()).warnings == []


def test_a_record_is_never_glued_to_one_that_another_process_left_torn(ledger):
    path = ledger.folder / "completions.jsonl"
    ledger.add_completion(completion(0), STRATEGY)
    with path.open("a") as stream:
        stream.write('{"task": "level')
    ledger.add_completion(completion(1), STRATEGY)
    assert sorted(Ledger(ledger.folder).completions(TASK, STRATEGY)) == [0, 1]


def test_a_line_torn_over_many_blocks_is_cut_where_it_begins(tmp_path):
    table = Table(tmp_path / "t.jsonl")
    table.append({"task": TASK, "n": 0})
    with table.path.open("a") as stream:
        stream.write("x" * 200_000)
    table.append({"task": TASK, "n": 1})
    assert [row["n"] for row in table.rows(TASK)] == [0, 1]


@pytest.mark.parametrize("line", ["not json", "[]", '{"index": 0}'])
def test_a_line_in_the_middle_that_is_no_record_is_named(ledger, line):
    path = ledger.folder / "evaluations.jsonl"
    ledger.add_evaluation(TASK, 0, STRATEGY, evaluation())
    with path.open("a") as stream:
        stream.write(f"{line}\n")
    ledger.add_evaluation(TASK, 1, STRATEGY, evaluation())
    with pytest.raises(UsageError) as caught:
        Ledger.open(ledger.folder, facts())
    assert str(caught.value) == f"{path}:2: not a record; remove the line, or start another run"


def test_a_record_with_a_value_of_another_type_is_named(ledger):
    path = ledger.folder / "evaluations.jsonl"
    ledger.add_evaluation(TASK, 0, STRATEGY, Evaluation(source_sha256="s", outcome=Outcome.CORRECT, speedup=2.0))
    path.write_text(path.read_text().replace("2.0", '"x"'))
    with pytest.raises(UsageError) as caught:
        ledger.evaluations(TASK, STRATEGY)
    assert str(caught.value) == (
        f'{path}: a row of {TASK} cannot be read (speedup is "x", not a number); '
        "remove it, or start another run with --kernelbench-run"
    )


def test_a_number_that_json_lacks_is_a_fault_of_the_harness(ledger):
    with pytest.raises(HarnessError) as refused:
        ledger.add_completion(completion(0, logprobs=(float("-inf"),)), STRATEGY)
    assert str(refused.value) == (
        f"{ledger.folder}/completions.jsonl: a record of level1/1_One is no JSON: "
        "logprobs[0] is -inf; a number that is not finite must be None"
    )
    assert ledger.completions(TASK, STRATEGY) == {}


def test_two_processes_appending_at_once_lose_and_mix_nothing(ledger):
    code = (
        "import sys; from pathlib import Path; from pytest_kernelbench.ledger import Table\n"
        "table = Table(Path(sys.argv[1]))\n"
        "for n in range(200): table.append({'task': sys.argv[2], 'n': n, 'text': 'x' * 5000})\n"
    )
    path = ledger.folder / "completions.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(pytest_kernelbench.__file__).parent.parent)}
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen([*command, name], env=environment) for name in "ab"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    table = Table(path)
    assert [[row["n"] for row in table.rows(name)] for name in "ab"] == [list(range(200))] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 7}, "was made with --kernelbench-seed=0, not --kernelbench-seed=7"),
        (
            {"policy": "hf:x", "sizes": "full"},
            "was made with --policy=tiny --kernelbench-sizes=small, not --policy=hf:x --kernelbench-sizes=full",
        ),
        (
            {"baseline": "eager,compile"},
            "was made with --kernelbench-baseline=eager, not --kernelbench-baseline=eager,compile",
        ),
        ({"device_kind": "cuda"}, "was made with --kernelbench-device=cpu, not --kernelbench-device=cuda"),
        (
            {"strategies": [Strategy(name="some", sampling=Sampling(k=5)).to_json()]},
            "was made with other settings of strategy some",
        ),
    ],
)
def test_a_run_with_other_settings_is_refused_by_what_differs(ledger, changes, message):
    with pytest.raises(UsageError) as caught:
        Ledger.open(ledger.folder, facts(**changes))
    remedy = "resume with the same, or start another run with --kernelbench-run"
    assert str(caught.value) == f"{ledger.folder}: {message}; {remedy}"


@pytest.mark.parametrize("form", ["replay:{}a.jsonl", "{}policy.toml", "hf:{}weights", "hf:Qwen/Qwen3+{}adapter"])
def test_a_policy_whose_file_is_seen_from_another_folder_is_the_same_policy(tmp_path, monkeypatch, form):
    for name in ("a.jsonl", "policy.toml"):
        (tmp_path / name).touch()
    for name in ("weights", "adapter", "elsewhere"):
        (tmp_path / name).mkdir()
    run = tmp_path / "run"
    Ledger.open(run, facts(policy=form.format(""), called_from=".."))
    monkeypatch.chdir(tmp_path / "elsewhere")
    Ledger.open(run, facts(policy=form.format("../"), called_from="../elsewhere"))
    assert read_run(run)["policy"] == form.format("")
    with pytest.raises(UsageError, match="was made with --policy="):
        Ledger.open(run, facts(policy=form.format("../nosuch/"), called_from="../elsewhere"))


OPENS_WITHOUT_ROOM = """
import json, resource, sys
from pathlib import Path
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger import Ledger

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # as on a full disk: folders can be made, files cannot be written
try:
    Ledger.open(Path(sys.argv[1]), json.loads(sys.argv[2]))
except UsageError as error:
    sys.exit(str(error))
"""


def opens_without_room(folder):
    package = Path(pytest_kernelbench.__file__).parent.parent
    command = [sys.executable, "-c", OPENS_WITHOUT_ROOM, str(folder), json.dumps(facts())]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(package)})
    remedy = "name another folder with --kernelbench-run"
    assert done.stderr.strip() == f"{folder}: cannot hold a run (File too large); {remedy}"


def test_a_full_disk_at_the_start_leaves_no_folder_and_no_file(tmp_path):
    opens_without_room(tmp_path / "runs" / "today" / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_folders_that_were_there_and_what_lies_in_them(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("")
    opens_without_room(tmp_path / "run")
    assert [str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")] == ["run", "run/notes.txt"]


def test_a_task_whose_text_changed_is_refused(ledger):
    with pytest.raises(UsageError, match="was made with another text of level1/1_One; start another run"):
        Ledger.open(ledger.folder, facts(task_sha256={TASK: "bb"}))


def test_a_resumed_run_adds_tasks_and_strategies_and_loses_none(ledger):
    other = Strategy(name="other")
    more = facts(strategies=[other.to_json()], tasks=["level1/2_Two"], task_sha256={"level1/2_Two": "bb"})
    Ledger.open(ledger.folder, more)
    run = read_run(ledger.folder)
    assert [row["name"] for row in run["strategies"]] == ["some", "other"]
    assert run["tasks"] == [TASK, "level1/2_Two"]


def test_a_strategy_that_joins_later_leaves_the_denominators_of_others_alone(ledger, tmp_path):
    first, other = ({**Strategy(name=name).to_json(), "tasks": [task]} for name, task in (("one", TASK), ("two", "t2")))
    Ledger.open(tmp_path / "r", facts(strategies=[first]))
    joined = facts(strategies=[other], tasks=["t2"], task_sha256={"t2": "bb"})
    Ledger.open(tmp_path / "r", joined)
    Ledger.open(tmp_path / "r", facts(strategies=[{**other, "tasks": ["t3"]}], tasks=["t3"], task_sha256={}))
    rows = {row["name"]: row["tasks"] for row in read_run(tmp_path / "r")["strategies"]}
    assert rows == {"one": [TASK], "two": ["t2", "t3"]} and read_run(tmp_path / "r")["tasks"] == [TASK, "t2", "t3"]


def test_a_comparison_that_is_named_when_the_run_has_begun_is_told_as_such(tmp_path):
    named = {"primary": "surprisal:random:success", "primary_by": "strategy surprisal"}
    Ledger.open(tmp_path / "r", facts(primary=None, primary_by=None))
    Ledger.open(tmp_path / "r", facts(**named))
    assert read_run(tmp_path / "r")["primary_by"] == "strategy surprisal, after the run had begun"
    Ledger.open(tmp_path / "q", facts(**named))
    with pytest.raises(UsageError, match=r"was made with --kernelbench-primary=surprisal:random:success, not "):
        Ledger.open(tmp_path / "q", facts(primary="confidence:random:success"))


def test_other_weights_under_the_same_name_are_refused(ledger):
    ledger.note(policy_version="v1", policy_label=None)
    ledger.note(policy_version="v1")
    with pytest.raises(UsageError, match="was made with policy_version v1, and now it is v2; start another run"):
        ledger.note(policy_version="v2")


def test_a_task_is_owned_by_one_process_at_a_time(ledger):
    code = (
        "import sys; from pathlib import Path; from pytest_kernelbench.ledger import Ledger\n"
        f"with Ledger(Path(sys.argv[1])).sole_owner({TASK!r}): print('mine', flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(pytest_kernelbench.__file__).parent.parent)}
    command = [sys.executable, "-c", code, str(ledger.folder)]
    with ledger.sole_owner(TASK):
        waiting = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=1)
    assert waiting.communicate(timeout=30)[0] == "mine\n"
