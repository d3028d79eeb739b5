"""``report.html`` in a real Chromium, without a network: what hostile sources do, the keyboard, axe, both schemes."""

import json
import shutil
from pathlib import Path

import pytest
from made_up_run import TASKS, make_synthetic_run, write_run

from pytest_kernelbench.records import sha256_of
from pytest_kernelbench.report.render import RunRecords, report_json
from pytest_kernelbench.report.render.figures import draw_figures
from pytest_kernelbench.report.render.html import html_report

pytestmark = pytest.mark.browser

QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SOURCE = '''import torch
CPP = """
#include <torch/extension.h>
__global__ void scale(float* x) { x[threadIdx.x] *= 2; }  // in place
"""


class ModelNew(torch.nn.Module):
    def forward(self, A, B):
        return A * B
'''
HOSTILE = (
    "</script><script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">\n"
    "<style>body { display: none }</style>\n# \u202e reversed\nclass ModelNew: pass\n"
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Five tasks; of the third, candidate 0 is an honest kernel with C++ in it and candidate 1 is hostile."""
    folder = write_run(tmp_path_factory.mktemp("run"), "oracle", "surprisal", k=8, policy_label="made up")
    judged = {0: SOURCE, 1: HOSTILE}

    def written(row):
        if row["task"] != TASKS[2] or row["index"] not in judged:
            return row
        source = judged[row["index"]]
        if "text" in row:
            return {**row, "text": f"```python\n{source}\n```"}
        evidence = {"outcome": "void", "speedup": None, "flags": ["<b>flag</b>"], "detail": HOSTILE}
        calls = {"candidate_times_ms": [1.0, 1.25, 1.5]}
        return {**row, "source_sha256": sha256_of(source), **(evidence if row["index"] == 1 else calls)}

    for name in ("completions", "evaluations", "selections"):
        path = folder / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        # A choice of what is void now would contradict it.
        kept = [row for row in rows if name != "selections" or row["task"] != TASKS[2]]
        path.write_text("".join(json.dumps(written(row) if name != "selections" else row) + "\n" for row in kept))
    records = RunRecords.load(folder)
    numbers = report_json(records)
    path = folder / "report.html"
    path.write_text(html_report(records, numbers, draw_figures(numbers)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def adapted_report(tmp_path_factory) -> Path:
    """Two tasks under one strategy that searches and one that adapts, so that each task has two sets of candidates."""
    folder = tmp_path_factory.mktemp("adapted")
    (run,) = make_synthetic_run(folder, tasks=2, k=8, steps=1, strategies=("best-of-64",))
    records = RunRecords.load(run)
    path = folder / "report.html"
    path.write_text(html_report(records, report_json(records)), encoding="utf-8")
    return path


@pytest.fixture(params=["light", "dark"])
def scheme(request) -> str:
    return request.param


@pytest.fixture
def page(browser, report):
    """The report, just opened; at the end, the browser must have had nothing to complain about."""
    page = browser.new_page(offline=True)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(report.as_uri())
    yield page
    assert said == []
    page.close()


def open_candidate(page, task: int, index: int) -> None:
    page.evaluate(f"location.hash = '#task-{task}/{index}'")
    page.wait_for_selector(f"#task-{task} .candidate[open] pre")


def column(page, number: int) -> list[str]:
    cells = page.locator(f".filtered tbody tr:visible > :nth-child({number})")
    return cells.all_inner_texts()


def test_a_hostile_source_is_shown_and_never_runs(page):
    open_candidate(page, 2, 1)
    opened = page.locator("#task-2 .candidate[open]")
    assert opened.locator("pre").inner_text() == HOSTILE.replace("\u202e", "U+202E")
    assert opened.locator("p.log").inner_text().startswith("</script><script>document.title")
    assert page.title() == "tiny on 5 tasks"
    assert page.locator("#flags td.log").first.is_visible()


def test_the_policy_stops_a_script_that_got_into_the_page(browser, report):
    page = browser.new_page()
    page.goto(report.as_uri())
    page.evaluate(
        """() => {
            addEventListener("securitypolicyviolation", (event) => { window.stopped = event.effectiveDirective; });
            const script = document.createElement("script");
            script.textContent = "document.title = 'ran'";
            document.body.append(script);
        }"""
    )
    page.wait_for_function("window.stopped")
    assert page.evaluate("window.stopped") == "script-src-elem"
    assert page.title() == "tiny on 5 tasks"
    page.close()


def test_a_source_is_highlighted_without_a_character_lost(page):
    open_candidate(page, 2, 0)
    source = page.locator("#task-2 .candidate[open] pre")
    assert source.evaluate("each => each.textContent") == SOURCE
    assert "class" in source.locator(".keyword").all_inner_texts()
    assert "void" in source.locator(".keyword").all_inner_texts()
    assert "// in place" in source.locator(".comment").all_inner_texts()
    assert page.locator("#task-2 .candidate[open] circle.call").count() == 3


def test_sources_are_unpacked_when_they_are_asked_for(page):
    assert page.locator(".candidate").count() == 0
    page.locator("#task-2 > summary").press("Enter")
    page.wait_for_selector("#task-2 .candidate")
    assert page.locator("#task-2 pre").count() == 0
    page.locator("#task-2 .candidate > summary").first.press("Enter")
    page.wait_for_selector("#task-2 pre")
    assert page.locator("#task-3 .candidate").count() == 0


def test_a_link_leads_to_the_candidate_of_its_own_strategy(browser, adapted_report):
    page = browser.new_page(offline=True)
    page.goto(adapted_report.as_uri())
    link = page.locator("tr[data-strategy=batch-ttt] a[href*='/']").first
    index = link.inner_text()
    link.press("Enter")
    opened = page.locator(".candidate[open]")
    opened.wait_for()
    above = opened.evaluate(
        "each => { while (each.tagName !== 'H3') each = each.previousSibling; return each.textContent; }"
    )
    assert above == "batch-ttt"
    assert index in opened.inner_text()
    page.close()


def test_the_table_is_sorted_by_keyboard_and_says_so(page):
    head = page.locator(".filtered th", has_text="Speed-up [95 %]")
    assert head.get_attribute("aria-sort") is None
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    shown = column(page, 5)
    values = [float(text.split("x")[0]) for text in shown if text != "-"]
    assert values == sorted(values, reverse=True)
    assert shown[-2:] == ["-", "-"]  # what has no speed-up is last either way
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, 5)[-2:] == ["-", "-"]
    assert page.locator(".filtered th[aria-sort]").count() == 1


def test_the_table_is_filtered_and_counts_what_is_left(page):
    page.locator("input[name=task]").fill("matmul")
    page.locator("select[name=strategy]").select_option("surprisal")
    assert set(column(page, 2)) == {"surprisal"}
    assert page.locator(".filters output").inner_text() == "2 of 10 rows"
    # The task whose choice was taken out, because the report has a void candidate in its place.
    page.locator("select[name=verdict]").select_option("missing")
    assert column(page, 1) == ["level1/12 Matmul with diagonal matrices"]
    page.locator("input[name=task]").fill("relu")
    assert column(page, 1) == []


def test_the_skip_link_is_the_first_stop_of_the_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the tasks"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#tasks"


def test_axe_finds_nothing_amiss_with_a_candidate_open(page, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    open_candidate(page, 2, 0)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_every_figure_is_drawn_from_within_the_page(page):
    sizes = page.locator("figure img").evaluate_all("images => images.map((image) => image.naturalWidth)")
    assert len(sizes) >= 3 and all(size > 100 for size in sizes)


@pytest.mark.parametrize("width", [360, 500, 1280])
def test_every_figure_is_shown_in_full_whatever_the_width_of_the_page(page, width):
    """A figure that scrolls within its own frame is cut, on a screenshot and for whoever does not see that it does."""
    page.set_viewport_size({"width": width, "height": 800})
    cut = page.locator("figure").evaluate_all(
        "figures => figures.filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.id)"
    )
    assert cut == [] and page.locator("figure").count() >= 3


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_itself_never_scrolls_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    open_candidate(page, 2, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_there_are_no_controls(page):
    page.emulate_media(media="print")
    assert not page.locator(".filters").is_visible() and not page.locator("nav").is_visible()
    assert page.locator(".filtered").is_visible()


@pytest.mark.parametrize("width", [360, 500, 1280])
def test_no_table_scrolls_sideways_and_every_cell_of_a_narrow_one_says_what_it_is_of(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('#tables details').forEach((each) => { each.open = true; })")
    page.wait_for_timeout(50)  # toggles are told of later
    wide = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth + 1)"
        ".map((each) => each.ariaLabel)"
    )
    assert wide == []
    stacked = page.locator("table.stacked tbody td:not(.plot):visible")
    assert (stacked.count() > 0) == (width < 1280)
    assert all(stacked.evaluate_all("cells => cells.map((cell) => cell.dataset.label)"))


def test_a_dark_page_has_dark_figures(page, scheme):
    page.emulate_media(color_scheme=scheme)
    paper = page.locator("figure img").first.evaluate(
        """async (image) => {
            await image.decode();
            const canvas = new OffscreenCanvas(1, 1);
            const pen = canvas.getContext("2d");
            pen.drawImage(image, 0, 0, 1, 1);
            return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }"""
    )
    assert all(part < 80 for part in paper) if scheme == "dark" else all(part > 200 for part in paper)
