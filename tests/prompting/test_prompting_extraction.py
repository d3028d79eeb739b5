"""Modules in answers of any form: which part is the candidate's source."""

import textwrap
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scale_task import TASK

from pytest_kernelbench.prompting.blocks import MOST_TRIED, Block, blocks_in, plain_blocks
from pytest_kernelbench.prompting.extraction import extract, extract_source, fenced_blocks

MODULE = "class ModelNew:\n    def forward(self, x):\n        return x"
CODE = st.text(st.sampled_from("`~\n\r\t class ModelNew:def forward(self)return x'\"\\\0\ud800#{}[]"), max_size=200)


def module(text: str) -> str | None:
    return extract_source(text, answer="module", task=TASK)


@pytest.mark.parametrize("tag", ["python", "py", "Python", "", " python3 {.numberLines}"])
@pytest.mark.parametrize("marks", ["```", "~~~", "````"])
def test_fenced_module_is_found_whatever_its_tag_and_marks(marks: str, tag: str) -> None:
    assert module(f"Here:\n\n{marks}{tag}\n{MODULE}\n{marks}\nDone.") == MODULE


def test_carriage_returns_do_not_reach_the_source() -> None:
    assert module(f"```python\n{MODULE}\n```\n".replace("\n", "\r\n")) == MODULE


def test_fence_inside_a_list_loses_its_indentation() -> None:
    assert module("1. so:\n" + textwrap.indent(f"```python\n{MODULE}\n```", "   ")) == MODULE


def test_of_several_modules_the_last_one_counts() -> None:
    later = MODULE.replace("return x", "return x + 1")
    assert module(f"```python\n{MODULE}\n```\nBetter:\n```python\n{later}\n```\nTry:\n```\nModelNew()\n```") == later


def test_finished_module_is_preferred_to_a_truncated_revision() -> None:
    assert module(f"```python\n{MODULE}\n```\nBetter:\n```python\nclass ModelNew:\n    def forward(") == MODULE


def test_truncated_module_is_a_source_and_left_to_fail_in_the_build() -> None:
    assert module("```python\nclass ModelNew:\n    def forward(") == "class ModelNew:\n    def forward("


def test_module_without_fences_is_taken_whole() -> None:
    assert module(MODULE) == MODULE


def test_name_bound_by_assignment_counts_as_defined() -> None:
    source = "class Fast:\n    pass\n\nModelNew = Fast"
    assert module(f"```\n{source}\n```") == source


@pytest.mark.parametrize("text", ["", "I cannot.", "```python\nx = 1\n```", "class ModelNew is what I would write"])
def test_answer_without_model_new_has_no_source(text: str) -> None:
    assert module(text) is None


def test_longer_fence_may_hold_a_shorter_one() -> None:
    assert list(fenced_blocks("````\na\n```\nb\n````\n")) == ["a\n```\nb"]


def test_invalid_escape_in_an_answer_warns_nobody() -> None:
    source = MODULE + '\n\nPATTERN = "\\d"'
    assert module(f"```python\n{source}\n```") == source


@given(text=st.one_of(st.text(), CODE), answer=st.sampled_from(["module", "forward_body"]))
def test_no_text_makes_extraction_raise(text: str, answer: str) -> None:
    source = extract_source(text, answer=answer, task=TASK)
    assert source is None or isinstance(source, str)


@given(
    st.lists(st.sampled_from(["x = 1", "if x:", "    y = 'a'", "# note", "", "class ModelNew: pass"]), max_size=8),
    st.sampled_from(["```", "~~~~"]),
)
def test_what_is_fenced_comes_out_unchanged(lines: list[str], marks: str) -> None:
    content = "\n".join(lines)
    assert list(fenced_blocks(f"words\n{marks}python\n{content}\n{marks}\nwords")) == [content]


# As a person would find it
MODULES = st.builds(
    lambda imports, doc, body: f"{imports}class ModelNew:\n{doc}    def forward(self, x):\n{body}",
    st.sampled_from(["", "import torch\n\n\n", "from __future__ import annotations\n\nimport torch\n"]),
    st.sampled_from(
        [
            "",
            '    """Scales."""\n\n',
            '    """Scales.\n\n    ```python\n    y = ModelNew()(x)\n    ```\n    """\n\n',
            '    """Scales.\n\n```\nno python at all\n```\n    """\n\n',
        ]
    ),
    st.lists(
        st.sampled_from(["        y = x * 2", "        # ```", "        s = '~~~ > x'", "", "        z = '''```'''"])
    ).map(lambda lines: "\n".join([*lines, "        return x"])),
)
WRAPS = {
    "plain": "{}\n```python\n{}\n```\nDone.",
    "tildes": "{}\n\n~~~~py\n{}\n~~~~\n",
    "shared opening": "<think>a</think>{} ```python\n{}\n```\n",
    "after a sentence": "{}: ```python\n{}\n```",
    "end token": "{}\n```python\n{}\n```<|im_end|>\n",
    "end token's line": "{}\n```python\n{}\n```\n<|endoftext|>",
    "shared closing": "{}\n```python\n{}```",
    "unclosed": "{}\n```python\n{}",
    "unclosed with end token": "{}\n```python\n{}<|im_end|>",
    "after a shell command": "{}\n```bash\npip install triton\n```\n```python\n{}\n```\nIt is fast.",
    "before an example": "{}\n```python\n{}\n```\nUse it:\n```python\nmodel = ModelNew()\n```\n",
    "before C++": "{}\n```python\n{}\n```\n```cpp\nint ModelNew;\n```\n",
    "stray fence before": "{} Fences are ```.\n```python\n{}\n```\n",
    "before a stub": "{}\n```python\n{}\n```\nIn short:\n```\nclass ModelNew:\n    def forward(self, x): ...\n```",
}
PROSE = st.sampled_from(["", "Here it is", "The naïve way is slow", "I'll write `ModelNew`"])


@given(MODULES, PROSE, st.sampled_from(sorted(WRAPS)))
def test_any_module_is_found_verbatim_whatever_is_around_it(source: str, prose: str, wrap: str) -> None:
    assert module(WRAPS[wrap].format(prose, source)) == source


@given(MODULES, PROSE)
def test_any_quoted_or_indented_module_is_found(source: str, prose: str) -> None:
    block = f"```python\n{source}\n```"
    quoted = "\n".join(f"> {line}".rstrip() for line in block.split("\n"))
    assert module(f"{prose}\n\n{quoted}\n\nDone.") == source
    assert module(f"{prose}\n\n1. So:\n\n" + textwrap.indent(block, "   ") + "\n") == source


@given(MODULES)
def test_any_module_without_fences_is_found_between_sentences(source: str) -> None:
    if "```" not in source:
        assert module(f"Here it is, I'd say:\n\n{source}\n\nThis reads x once, and isn't slow.") == source
        assert module(f"{source}\n\nEnjoy") == source


def test_a_naive_version_after_the_good_one_is_not_taken() -> None:
    naive = MODULE.replace("return x", "return x * 1")
    text = f"```python\n{MODULE}\n```\nFor comparison, the naive version:\n```python\n{naive}\n```\n"
    assert module(text) == MODULE
    better = f"```python\n{naive}\n```\nFaster than the naive version:\n```python\n{MODULE}\n```\n"
    assert module(better) == MODULE


@pytest.mark.parametrize(
    "stub",
    [
        "class ModelNew:\n    pass",
        "class ModelNew:\n    def forward(self, x):\n        pass",
        "class ModelNew:\n    def forward(self, x):\n        raise NotImplementedError",
        'class ModelNew:\n    def forward(self, x):\n        """Scales."""',
        "class ModelNew:\n    def __init__(self): ...  # as before\n    def forward(self, x):\n        return x",
    ],
)
def test_a_stub_is_taken_only_where_there_is_nothing_else(stub: str) -> None:
    assert module(f"```python\n{MODULE}\n```\nThe interface:\n```python\n{stub}\n```") == MODULE
    assert module(f"```python\n{stub}\n```") == stub


def test_a_forward_that_is_inherited_is_complete() -> None:
    source = "class Base:\n    def forward(self, x):\n        return x\n\n\nclass ModelNew(Base):\n    pass"
    assert module(f"```\n{source}\n```\n```\nclass ModelNew:\n    pass\n```") == source


def test_a_module_in_several_blocks_is_put_together() -> None:
    text = (
        "First the kernel:\n```python\nfrom __future__ import annotations\nimport math\n\n"
        "def scale(x):\n    return x\n```\n"
        "Unrelated:\n```python\nother = 1\n```\n"
        "And the module:\n```python\nclass ModelNew:\n    def forward(self, x):\n        return scale(x)\n```\n"
    )
    found = extract(text, answer="module", task=TASK)
    assert found.part == "blocks 1 and 3 of 3" and found.place is None
    assert found.source == (
        "from __future__ import annotations\n\n\nimport math\n\ndef scale(x):\n    return x\n\n\n"
        "class ModelNew:\n    def forward(self, x):\n        return scale(x)"
    )


def test_files_of_an_answer_are_joined_where_one_imports_the_other() -> None:
    text = (
        "`kernels.py`:\n```python\ndef scale(x):\n    return x\n```\n`model.py`:\n"
        "```python\nfrom kernels import scale\n\n"
        "class ModelNew:\n    def forward(self, x):\n        return scale(x)\n```\n"
    )
    source = module(text)
    assert source is not None and "import" not in source
    namespace: dict[str, object] = {}
    exec(source, namespace)
    assert namespace["ModelNew"]().forward(3) == 3  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"```\nx = 1\n```\n```\n{MODULE}\n```", "block 2 of 2"),
        (MODULE, "the whole text"),
        (f"So:\n\n{MODULE}\n\nThat's it.", "lines 3 to 5"),
        ("So:\n\nclass ModelNew(Module):\n    def forward(", "the text, which is no Python"),
    ],
)
def test_the_record_says_which_part_was_taken(text: str, part: str) -> None:
    found = extract(text, answer="module", task=TASK)
    assert (found.part, found.missing) == (part, None)
    if found.place is not None:
        assert text[slice(*found.place)] == found.source


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("I cannot.", "defines no ModelNew"),
        ("```python\ndef ModelNew(x):\n    return x\n```", "defines a function ModelNew"),
    ],
)
def test_an_answer_without_a_source_says_why(text: str, reason: str) -> None:
    assert extract(text, answer="module", task=TASK).missing == reason


@pytest.mark.parametrize(
    "text",
    [
        "``` ModelNew " * 3000,
        "```python\nclass ModelNew(\n```\n" * 400,
        f"```python\n{MODULE}\n# {'-' * 9000}\n```\n" * 40,
    ],
    ids=["marks", "cut off", "drafts"],
)
@pytest.mark.parametrize("blocks", [blocks_in, plain_blocks])
def test_an_answer_of_many_fences_is_not_read_in_every_way(
    text: str, blocks: Callable[[str, Callable[[str], bool]], list[Block]]
) -> None:
    tried = []

    def wanted(code: str) -> bool:
        tried.append(len(code))
        return False

    blocks(text, wanted)
    assert sum(tried) <= MOST_TRIED + 3 * len(text)
