"""README, CONTRIBUTING, CHANGELOG and docs/: a relative link leads to a file that is there, an anchor to a heading."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = [*(PROJECT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *PROJECT.glob("docs/*.md")]

FENCED = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1[`~]*$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\[[^][]*\]\(\s*<?([^)\s>]+)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def targets_in(text):
    """Where the links of a page lead, without those in code."""
    prose = INDENTED.sub("", FENCED.sub("", text))
    # The text of a link may be code.
    return LINK.findall(CODE.sub("code", prose))


def anchors_of(text):
    """The anchors of a page's headings, as GitHub makes them: the second of a name ends with -1."""
    anchors = []
    for heading in HEADING.findall(FENCED.sub("", text)):
        shown = re.sub(r"\[([^][]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        times = sum(each == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", each) is not None for each in anchors)
        anchors.append(f"{anchor}-{times}" if times else anchor)
    return anchors


def dead_links_in(page, root=PROJECT):
    """The links of ``page`` that lead nowhere, each with why."""
    dead = {}
    for target in targets_in(page.read_text()):
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / unquote(name)).resolve() if name else page
        if not (file.exists() and file.is_relative_to(root)):
            dead[target] = "no such file"
        elif anchor and anchor not in anchors_of(file.read_text()):
            dead[target] = "no such heading"
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    assert dead_links_in(page) == {}


def test_every_page_is_reached_from_the_readme():
    reached, to_read = set(), [PROJECT / "README.md"]
    while to_read:
        page = to_read.pop()
        reached.add(page)
        linked = {
            (page.parent / unquote(target.partition("#")[0])).resolve() for target in targets_in(page.read_text())
        }
        to_read += [each for each in linked & set(PAGES) if each not in reached]
    assert {page.name for page in set(PAGES) - reached} <= {"CHANGELOG.md"}


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "other.md").write_text("# One `thing`, said\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md), [b](other.md#one-thing-said), [c](other.md#twice-1), ![d](gone.png) and\n[`e`\nf](#there).\n\n"
        "    [code](nowhere.md)\n\n## There\n\n```\n[g](nowhere.md)\n```\n\n`[h](nowhere.md)`, [i](https://x.org/y),\n"
        "[j](other.md#no-heading), [k](#nowhere), [l](other.md#twice-2), [m](../beyond.md)\n"
    )
    (tmp_path.parent / "beyond.md").write_text("# Beyond\n")
    assert dead_links_in(page, tmp_path) == {
        "gone.png": "no such file",
        "other.md#no-heading": "no such heading",
        "#nowhere": "no such heading",
        "other.md#twice-2": "no such heading",
        "../beyond.md": "no such file",
    }
