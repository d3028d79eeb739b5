"""docs/measurements.md: its contents name every section."""

from pathlib import Path

from test_docs_links import HEADING, anchors_of, targets_in

PAGE = Path(__file__).parents[2] / "docs" / "measurements.md"


def test_the_contents_lead_to_every_section():
    text = PAGE.read_text()
    _, _, rest = text.partition("## Contents\n")
    contents, _, sections = rest.partition("\n## Words\n")
    assert len(HEADING.findall(sections)) > 20
    assert {f"#{anchor}" for anchor in anchors_of(sections)} <= set(targets_in(contents))
