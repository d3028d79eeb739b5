"""docs/architecture.md: its answers are true, and its steps are those of the picture."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def answers():
    section = PAGE.partition("## Where does it go?")[2]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_six_answers_name_places_that_exist():
    assert list(answers()) == [
        "a cheat",
        "a selector",
        "a server dialect",
        "a figure",
        "a device",
        "a limit of the sandbox",
    ]
    for place, table in answers().values():
        path = place.split("`")[1]
        others = list(ROOT.glob(path.replace("<name>", "*"))) if "<name>" in path else [ROOT / path]
        assert others and others[0].exists(), path
        if found := re.fullmatch(r"`(\w+)` in `([^`]+)`", table):
            name, file = found.groups()
            assert re.search(rf"^(class )?{name}\b", (ROOT / file).read_text(), re.MULTILINE), table


def test_the_steps_of_the_page_are_those_of_the_picture():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from draw_architecture import STEPS
    finally:
        sys.path.remove(str(ROOT / "docs"))
    steps = re.findall(r"^(\d)\. \*\*(\w+)\*\*", PAGE, re.MULTILINE)
    drawn = sorted((number, room) for room, numbers in STEPS.items() for number in numbers.split())
    assert steps == drawn and len(steps) == 9


def test_the_page_has_the_limits_that_the_test_holds():
    from test_architecture import MOST_ARGUMENTS, MOST_LINES, MOST_LINES_OF_A_FUNCTION

    function = f"a function at most {MOST_LINES_OF_A_FUNCTION}"
    assert f"at most {MOST_LINES} lines, {function}, an argument list at most {MOST_ARGUMENTS}." in PAGE
