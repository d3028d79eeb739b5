"""Which program an answer names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.prompting.forecast import MOST_SHOWN, forecast_in, forecast_question


@pytest.mark.parametrize(
    "text",
    [
        *(
            "3",
            " 3.\n",
            "**3**",
            "Program 3",
            "program #3.",
            "Answer: 3",
            "The fastest is program 3.",
            "The answer is 3",
        ),
        *("It reads memory once.\n\n**Program 3**", "3\n\nIt is the only one that fuses both loops.", "`3`"),
    ],
)
def test_a_number_alone_or_with_the_words_around_it_is_read(text):
    assert forecast_in(text, 5) == 2


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "0",
            "6",
            "-",
            "I cannot tell.",
            "3 or 4",
            "y = 3",
            "    return x * 3",
            "```python\nn = 3\n```",
            "3.5 ms",
        ),
        *("between 1 and 3 I would say the second", "12345678"),
    ],
)
def test_anything_else_is_no_forecast(text):
    assert forecast_in(text, 5) is None


@given(place=st.integers(0, MOST_SHOWN - 1), talk=st.text(alphabet=st.characters(categories=["Ll"]), max_size=40))
def test_the_number_of_a_program_comes_back(place, talk):
    assert f"Program {place + 1}:" in forecast_question(["pass"] * MOST_SHOWN)
    assert forecast_in(f"{talk}\n{place + 1}", MOST_SHOWN) == place
