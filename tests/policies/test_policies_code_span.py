from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.policies.code_span import code_tokens

CODE = "import torch\n\n\nclass ModelNew:\n    pass"


def span_of(pieces: list[str], answer: str = "module"):
    ids = range(len(pieces))
    return code_tokens("".join(pieces), ids, lambda some: "".join(pieces[each] for each in some), answer=answer)


def test_the_tokens_inside_the_fence_are_the_code():
    talk, code = ["Here", " it is:\n", "```", "python", "\n"], ["import torch\n\n\n", "class ModelNew:", "\n    pass"]
    pieces = [*talk, *code, "\n```", "\nDone."]
    assert span_of(pieces) == (5, 8)


def test_a_token_that_is_partly_code_counts_as_code():
    assert span_of(["```python\nimport", " torch\n\n\nclass ModelNew:\n", "    pass\n``", "`"]) == (0, 3)


def test_an_answer_that_is_all_code_is_code_from_end_to_end():
    assert span_of(["import torch\n\n\n", "class ModelNew:\n", "    pass"]) == (0, 3)


def test_an_answer_without_code_has_no_span():
    assert span_of(["I ", "cannot."]) is None
    assert span_of([]) is None


def test_code_that_is_not_there_verbatim_has_no_span():
    assert span_of(["  ```python\n  import torch\n  class ModelNew:\n      pass\n  ```"]) is None


def test_the_body_of_forward_is_the_code_where_that_was_asked_for():
    assert span_of(["Sure:\n", "```\n", "return x", "\n```"], answer="forward_body") == (2, 3)


@given(st.data())
def test_however_the_text_is_cut_into_tokens_the_span_holds_the_code_and_starts_and_ends_in_it(data):
    text = f"Before.\n```python\n{CODE}\n```\nAfter."
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=20)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    first, end = span_of(pieces)
    assert CODE in "".join(pieces[first:end])
    assert CODE not in "".join(pieces[first + 1 : end])
    assert CODE not in "".join(pieces[first : end - 1])
