"""docs/terminal.svg shows the output of a run, line by line."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

DOCS = Path(__file__).parent.parent.parent / "docs"
PICTURE = DOCS / "terminal.svg"
sys.path.insert(0, str(DOCS))

from draw_terminal import drawn, shown_of  # noqa: E402

sys.path.remove(str(DOCS))

PRINTED = """\
=== test session starts ===
rootdir: /home/me/project
collected 2 items

tasks/level1/19_ReLU.py .      [100%]

fast_p, %: verified / raw  p = 0
random             100 / 100

open /home/me/run/report.html
recorded in /home/me/run; to resume:
  pytest --kernelbench-run=/home/me/run
=== 2 passed in 3.00s ===
"""


def test_every_line_is_kept_but_the_head_and_those_that_name_a_folder_of_the_machine():
    assert shown_of(PRINTED) == [
        "collected 2 items",
        "",
        "tasks/level1/19_ReLU.py .      [100%]",
        "",
        "fast_p, %: verified / raw  p = 0",
        "random             100 / 100",
        "",
        "=== 2 passed in 3.00s ===",
    ]


def test_the_picture_has_each_line_at_its_column_and_nothing_is_wider_than_it():
    tree = ElementTree.fromstring(drawn(["  a < b & c", "x" * 90]))
    texts = [each for each in tree if each.tag.endswith("text")]
    assert [each.text for each in texts] == ["a < b & c", "x" * 90]
    ends = [float(each.get("x")) + float(each.get("textLength")) for each in texts]
    assert max(ends) < float(tree.get("width"))
    assert float(texts[0].get("x")) > float(texts[1].get("x"))


def test_the_picture_in_the_docs_is_small_and_of_a_whole_run():
    text = PICTURE.read_text()
    assert len(text) < 200_000
    assert "any of K, %" in text and re.search(r"\d passed in", text)
    assert not re.search(r"[ =]/(home|tmp|root|work)", unescape(text))


def test_what_is_no_run_s_output_is_refused_in_one_line(tmp_path):
    (tmp_path / "other.txt").write_text("nothing here\n")
    command = [sys.executable, str(DOCS / "draw_terminal.py"), "other.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "python docs/draw_terminal.py FILE: no line says how many items were collected; "
        "save the output of a whole run\n"
    )
