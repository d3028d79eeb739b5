"""The report page as text; ``tests/browser`` opens it in a browser."""

import base64
import gzip
import hashlib
import json
import random
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up_run import STUDY_STRATEGIES, TASKS, make_synthetic_run, write_run

from pytest_kernelbench.prompting.extraction import extract
from pytest_kernelbench.records import Task, sha256_of
from pytest_kernelbench.report.render import RunRecords, report_json
from pytest_kernelbench.report.render.html import html_report
from pytest_kernelbench.report.render.html.candidates import candidates_by_task

HOSTILE = '</script></textarea></style><script>document.title = "ran"</script><img src=x onerror=alert(1)>\ud800\u202e'


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.shown = ""
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open = tag

    def handle_endtag(self, tag):
        self.open = ""

    def handle_data(self, data):
        if self.open in self.inside:
            self.inside[self.open].append(data)
        else:
            self.shown += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def candidates(self) -> list[dict]:
        packed = [text for text in self.inside["script"] if text.startswith("H4sI")]
        return [json.loads(gzip.decompress(base64.b64decode(text))) for text in packed]


def page_of(folder: Path) -> str:
    records = RunRecords.load(folder)
    return html_report(records, report_json(records))


def edit(path: Path, change) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, **change(row)}) + "\n" for row in rows))


def forget_choices(folder: Path) -> None:
    """A choice among verdicts that are edited could contradict them, and a report of such a run is refused."""
    (folder / "selections.jsonl").write_text("")
    (folder / "confirmations.jsonl").write_text("")


CORRECT = {"outcome": "correct", "speedup": 2.0, "speedup_low": 1.9, "speedup_high": 2.1, "flags": []}


def answer_with(source: str):
    return lambda row: {"text": f"Here it is.\n```python\n{source}\n```\n"}


def test_the_page_names_no_other_file_and_no_network(tmp_path):
    page = Page(page_of(write_run(tmp_path, "oracle")))
    for _, attributes in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "@import" not in page.inside["style"][0] and "url(" not in page.inside["style"][0]


def test_the_page_s_policy_allows_its_own_script_and_style_alone(tmp_path):
    page = Page(page_of(write_run(tmp_path, "oracle")))
    (policy,) = [each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    own = {"script": page.inside["script"][-1], "style": page.inside["style"][0]}
    allowed = {
        f"{name}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for name, text in own.items()
    }
    assert set(policy.split("; ")) == {
        "default-src 'none'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        *allowed,
    }


def test_what_a_candidate_wrote_is_never_markup(tmp_path):
    plain = Page(page_of(write_run(tmp_path / "plain", "oracle")))
    folder = write_run(tmp_path / "hostile", "oracle", policy_label=HOSTILE, policy=HOSTILE)
    edit(folder / "completions.jsonl", answer_with(HOSTILE))
    edit(folder / "evaluations.jsonl", lambda row: {"detail": HOSTILE, "flags": [HOSTILE]})
    hostile = Page(page_of(folder))
    assert len(hostile.all("script")) == len(plain.all("script")) == len(TASKS) + 1
    assert not hostile.all("img") and len(hostile.all("style")) == 1
    assert '<script>document.title = "ran"</script>' in hostile.shown


def test_a_source_that_many_candidates_share_is_stored_once(tmp_path):
    folder = write_run(tmp_path, "oracle", k=8, tasks=TASKS[2:3])
    source = "class ModelNew: ..."
    edit(folder / "completions.jsonl", answer_with(source))
    edit(folder / "evaluations.jsonl", lambda row: {"source_sha256": sha256_of(source), **CORRECT})
    (task,) = Page(page_of(folder)).candidates
    assert task["texts"] == {sha256_of(source): source}
    (samples,) = task["sets"]
    indices = sorted(index for entry in samples["candidates"] for index in entry["indices"])
    assert indices == list(range(8))


def test_a_program_that_is_a_block_of_its_answer_is_found_without_analysing_its_names(tmp_path, monkeypatch):
    folder = write_run(tmp_path, "oracle", k=8, tasks=TASKS[2:3])
    sources = [f"class ModelNew:\n    number = {index}" for index in range(8)]
    edit(folder / "completions.jsonl", lambda row: answer_with(sources[row["index"]])(row))
    edit(folder / "evaluations.jsonl", lambda row: {"source_sha256": sha256_of(sources[row["index"]]), **CORRECT})
    analysed = []
    monkeypatch.setattr("symtable.symtable", lambda source, *rest: analysed.append(source))
    (task,) = Page(page_of(folder)).candidates
    assert task["texts"] == {sha256_of(source): source for source in sources}
    assert analysed == []


def test_candidates_with_one_text_and_verdict_are_one_line(tmp_path):
    folder = write_run(tmp_path, "oracle", k=8, tasks=TASKS[2:3], confirm=False)
    same = {"source_sha256": "0" * 64, "reference_ms": 2.0, "candidate_ms": 1.0, "pairs": 30, **CORRECT}
    void = {**same, "source_sha256": "1" * 64, "outcome": "void", "speedup": None}
    forget_choices(folder)
    edit(folder / "evaluations.jsonl", lambda row: same if row["index"] else void)
    (task,) = Page(page_of(folder)).candidates
    entries = [entry for samples in task["sets"] for entry in samples["candidates"]]
    assert [(entry["outcome"], entry["indices"]) for entry in entries] == [
        ("correct", [1, 2, 3, 4, 5, 6, 7]),
        ("void", [0]),
    ]
    assert entries[0]["shown"] == "2.00x [1.90, 2.10]"


def test_an_answer_whose_module_was_assembled_is_shown_as_it_was_given(tmp_path):
    folder = write_run(tmp_path, "oracle", k=1, tasks=TASKS[2:3])
    edit(folder / "completions.jsonl", lambda row: {"text": "return A * B"})
    (task,) = Page(page_of(folder)).candidates
    (entry,) = task["sets"][0]["candidates"]
    assert task["texts"][entry["text"]] == "return A * B"
    assert ["shown below", "the answer; the module that was judged was assembled from it"] in entry["facts"]


def test_an_answer_that_inherits_from_the_reference_is_said_to_have_been_judged_after_it(tmp_path):
    folder = write_run(tmp_path, "oracle", k=1, tasks=TASKS[2:3])
    answer = "```python\nclass ModelNew(Model):\n    pass\n```\n"
    reference = Task(id=TASKS[2], source="class Model:\n    pass\n")
    found = extract(answer, answer="module", task=reference)
    edit(folder / "completions.jsonl", lambda row: {"text": answer, "answer_part": found.part})
    edit(folder / "evaluations.jsonl", lambda row: {"source_sha256": sha256_of(found.source)})
    (task,) = Page(page_of(folder)).candidates
    (entry,) = task["sets"][0]["candidates"]
    assert task["texts"][entry["text"]] == answer
    said = "the answer; judged was block 1 of 1, after the reference, whose text is in the task's file"
    assert ["shown below", said] in entry["facts"]


def test_every_flag_stands_beside_its_evidence(tmp_path):
    folder = write_run(tmp_path, "oracle", k=2, tasks=TASKS[2:3])
    found = {"outcome": "void", "speedup": None, "flags": ["side_stream"], "detail": "work on stream 7 after the event"}
    forget_choices(folder)
    edit(folder / "evaluations.jsonl", lambda row: found if row["index"] else {})
    shown = Page(page_of(folder)).shown
    assert "side_stream" in shown and "work on stream 7 after the event" in shown
    without = Page(page_of(write_run(tmp_path / "none", "oracle", tasks=()))).shown
    assert "None: the judge found no evidence of cheating." in without


def test_one_piece_of_evidence_is_one_row_however_many_sets_of_candidates_share_it(tmp_path):
    (run,) = make_synthetic_run(tmp_path, tasks=8, k=16, steps=2, strategies=("oracle",))
    records = RunRecords.load(run)
    flagged = [row for task in candidates_by_task(records) for row in task.flagged]
    assert flagged
    for task in candidates_by_task(records):
        evidence = [(tuple(row["flags"]), row["outcome"], row["detail"]) for row in task.flagged]
        assert len(evidence) == len(set(evidence))
        assert all(row["indices"] == sorted(set(row["indices"])) for row in task.flagged)


def test_a_candidate_that_search_and_adaptation_share_is_counted_once(tmp_path):
    (run,) = make_synthetic_run(tmp_path, tasks=3, k=16, steps=2, strategies=("oracle",))
    records = RunRecords.load(run)
    for task in candidates_by_task(records):
        mine = {key: each for key, each in records.evaluations.items() if key[2] == task.task}
        held_out = [key for key in mine if key[0] != records.strategies[0].sampling_sha256 and key[3] % 5 == 4]
        counted = [each for key, each in mine.items() if key not in held_out]
        assert (task.drawn, task.correct) == (len(counted), sum(each.correct for each in counted))


def test_the_floor_is_a_column_where_it_is_known_and_a_kernel_beyond_it_is_said_to_be(tmp_path):
    folder = write_run(tmp_path, "oracle", k=8)
    assert "Of the floor" not in Page(page_of(folder)).shown.split("How every number was made")[0]
    edit(folder / "evaluations.jsonl", lambda row: {"floor_ms": 0.2})
    shown = Page(page_of(folder)).shown
    assert "Of the floor" in shown and "(4 of 5)" in shown and "Floor" in shown
    assert "At most" in shown and "5.00x" in shown
    assert "1 choice took less than the floor (over 100 % in the tasks' table)." in shown


def test_a_compiler_s_words_lie_beside_the_source_that_it_refused(tmp_path):
    folder = write_run(tmp_path, "oracle", k=1, tasks=TASKS[2:3])
    found = {"outcome": "build_error", "speedup": None, "detail": "cc failed", "log": "cc failed:\nline 3: </script>"}
    forget_choices(folder)
    edit(folder / "evaluations.jsonl", lambda row: found)
    page = Page(page_of(folder))
    (entry,) = page.candidates[0]["sets"][0]["candidates"]
    assert entry["log"] == "cc failed:\nline 3: </script>"
    assert "line 3: </script>" not in page.shown


def test_a_choice_that_was_not_correct_the_second_time_says_so(tmp_path):
    folder = write_run(tmp_path, "oracle", k=1, tasks=TASKS[2:3])
    (row,) = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    void = {**row, "outcome": "void", "speedup": None, "flags": ["side_stream"], "detail": "work on stream 7"}
    (folder / "confirmations.jsonl").write_text(json.dumps(void) + "\n")
    page = Page(page_of(folder))
    (entry,) = page.candidates[0]["sets"][0]["candidates"]
    assert entry["outcome"] == "correct" and entry["flags"] == ["side_stream"]
    assert entry["detail"] == "chosen, and when timed again void: work on stream 7"
    assert "chosen, and when timed again void: work on stream 7" in page.shown


def test_strategies_that_draw_differently_have_candidates_of_their_own(tmp_path):
    folder = write_run(tmp_path, "oracle", "random", k=4, tasks=TASKS[:1])
    run = json.loads((folder / "run.json").read_text())
    run["strategies"][1]["sampling_sha256"] = "hotter"
    (folder / "run.json").write_text(json.dumps(run))
    (task,) = Page(page_of(folder)).candidates
    assert [samples["strategies"] for samples in task["sets"]] == [["oracle"], ["random"]]


def test_the_same_records_make_the_same_page(tmp_path):
    folder = write_run(tmp_path, "oracle", "surprisal")
    assert page_of(folder) == page_of(folder)


@pytest.mark.parametrize("lost", [TASKS, TASKS[:2]])
def test_a_run_that_stopped_early_has_a_page(tmp_path, lost):
    assert "missing" in Page(page_of(write_run(tmp_path, "oracle", lost=lost))).shown


def test_twenty_tasks_of_64_candidates_that_all_differ_stay_under_10_mb(tmp_path):
    (folder,) = make_synthetic_run(tmp_path, strategies=STUDY_STRATEGIES)
    rng = random.Random(0)
    words = "threadIdx blockDim float half acc tile load store mask stride offset range for if return".split()

    def unlike(row):
        source = " ".join(rng.choice(words) + str(rng.randrange(100)) for _ in range(600))
        return answer_with(f'class ModelNew:\n    """{source}"""')(row)

    edit(folder / "completions.jsonl", unlike)
    page = page_of(folder)
    assert sum(len(task["texts"]) for task in Page(page).candidates) == 20 * 64
    assert len(page.encode()) < 10e6


def test_the_page_begins_with_the_primary_comparison_the_null_the_counts_and_five_words(tmp_path):
    options = {"primary": "surprisal-top3:random-top3:success"}
    (run,) = make_synthetic_run(
        tmp_path, tasks=4, k=8, strategies=("surprisal-top3", "random-top3"), steps=1, **options
    )
    shown = Page(page_of(run)).shown
    parts = [
        "The primary comparison",
        "primary: surprisal-top3 against random-top3 in verified success",
        "The null",
        "verified fast in 0 of 4 trials",
        "Numbers of candidates",
        "Five words",
        "fast_1, verified",
    ]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)


def test_the_counts_of_the_page_are_those_of_the_records(tmp_path):
    (run,) = make_synthetic_run(tmp_path, tasks=3, k=8, strategies=("oracle",))
    records = RunRecords.load(run)
    (samples,) = report_json(records)["samples"]
    correct = [each for each in records.evaluations.values() if each.correct]
    assert samples["drawn"] == samples["judged"] == 24
    assert samples["correct"] == samples["timed"] == samples["ranked"] == len(correct)
    assert samples["programs"] == len({each.source_sha256 for each in correct})
    edit(run / "completions.jsonl", lambda row: dict.fromkeys(("logprobs", "sum_logprob")) if row["index"] == 0 else {})
    (samples,) = report_json(RunRecords.load(run))["samples"]
    first = sum(each.correct for (*_, index), each in records.evaluations.items() if index == 0)
    assert samples["ranked"] == len(correct) - first


def test_a_page_without_a_primary_comparison_or_a_null_says_so(tmp_path):
    page = Page(page_of(write_run(tmp_path, "oracle", null=False)))
    assert "None was named before the run, so every comparison below is secondary" in page.shown
    assert "Not measured: the reference was not timed against itself" in page.shown


def test_the_page_names_the_tasks_that_carry_a_mean_in_place_of_its_interval(tmp_path):
    folder = write_run(tmp_path, "oracle")
    records = RunRecords.load(folder)
    report = report_json(records)
    (line,) = {each["warnings"]["geomean_speedup"] for each in report["strategies"].values()}
    assert line in Page(html_report(records, report)).shown


def test_a_choice_without_a_second_timing_has_a_star_and_a_line_that_explains_it(tmp_path):
    explained = "* by the first timing, which is too large on average because timings chose the candidate"
    unconfirmed = Page(page_of(write_run(tmp_path / "once", "oracle", tasks=TASKS[:2], confirm=False))).shown
    confirmed = Page(page_of(write_run(tmp_path / "twice", "oracle", tasks=TASKS[:2]))).shown
    assert explained in unconfirmed and "]*" in unconfirmed
    assert explained not in confirmed and "]*" not in confirmed


def test_the_page_has_every_section_of_a_strategy_and_no_folder_of_the_machine(tmp_path):
    (run,) = make_synthetic_run(tmp_path, tasks=2, k=8, strategies=("oracle",), called_from="/home/someone/project")
    settings = json.loads((run / "run.json").read_text())
    settings["strategies"][0] |= {
        "search": {"method": "refine"},
        "stopping": {"cost": 0.25},
        "prompt": {"style": "ours"},
    }
    (run / "run.json").write_text(json.dumps(settings))
    shown = Page(page_of(run)).shown
    assert all(part in shown for part in ("method = refine", "cost = 0.25", "style = ours"))
    assert "/home/someone" not in shown
