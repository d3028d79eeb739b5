"""A benchmark is described in a benchmark's words: no court sits in the evaluation."""

import re
from pathlib import Path

import pytest_kernelbench.evaluation

FOLDER = Path(pytest_kernelbench.evaluation.__file__).parent
OF_A_COURT = re.compile(
    r"\b(accused|acquit\w*|convict\w*|confront\w*|dock|docks|warden\w*|guilty|innocent)\b", re.IGNORECASE
)


def test_no_name_comment_or_message_of_the_evaluation_is_a_court_s():
    found = {
        f"{path.relative_to(FOLDER)}:{number}": word[0]
        for path in sorted(FOLDER.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for word in OF_A_COURT.finditer(line.replace("_", " "))
    }
    assert found == {}
