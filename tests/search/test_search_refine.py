"""The search ``refine``: its chains, and the earlier answers that a prompt shows."""

from made_up_search import judged

from pytest_kernelbench.prompting.feedback import history_of, shortened
from pytest_kernelbench.records import Evaluation, Outcome
from pytest_kernelbench.search import search_for, turns
from pytest_kernelbench.strategy import SearchSettings


def test_each_answer_has_read_those_before_it_in_its_chain():
    known = {index: judged(index, 1.0) for index in range(6)}
    refine = search_for(SearchSettings(method="refine", width=3, history=2))
    shown = refine.shown([6, 7, 8], known)
    assert {index: [each.candidate.index for each in earlier] for index, earlier in shown.items()} == {
        6: [0, 3],
        7: [1, 4],
        8: [2, 5],
    }
    assert refine.shown([0, 1, 2], {}) == {0: [], 1: [], 2: []}


def test_an_answer_that_was_not_drawn_is_not_shown():
    refine = search_for(SearchSettings(method="refine", width=2, history=1))
    assert refine.shown([4], {0: judged(0, 1.0)})[4][0].candidate.index == 0


def test_turns_are_of_one_width():
    assert [list(turn) for turn in turns(range(8), 4)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_prompt_shows_the_source_its_verdict_the_floor_and_the_compiler_s_words():
    failed = judged(3, None, evaluation=Evaluation(
        source_sha256="x", outcome=Outcome.BUILD_ERROR, detail="kernel.cu:3: expected ';'", log="a\nb", floor_ms=0.5
    ))  # fmt: skip
    text = history_of([failed], characters=1000)
    assert text.startswith("An earlier answer of yours:\n\n```python\nprogram 3\n```\n\nWhat became of it:\n")
    assert "outcome: build_error\nkernel.cu:3: expected ';'\nleast time that the device needs" in text
    assert "the compiler said:\na\nb" in text
    assert text.endswith("Write a better one, in the form asked for above: right first, then faster.")
    assert history_of([], characters=1000) == ""


def test_a_claim_that_was_not_counted_says_why():
    slow = Evaluation(
        source_sha256="x",
        outcome=Outcome.CORRECT,
        speedup=2.0,
        counted=False,
        uncounted_because="the judge's clock saw 1.00x",
    )
    text = history_of([judged(0, None, evaluation=slow)], characters=1000)
    assert "speed-up: 1x" in text and "not counted as faster: the judge's clock saw 1.00x" in text


def test_of_a_long_source_the_middle_is_left_out():
    assert shortened("abc", 3) == "abc"
    short = shortened("a" * 50 + "b" * 50, 20)
    assert short == "a" * 10 + "\n# ... 80 characters left out ...\n" + "b" * 10
