"""The weights of the corpus give the wanted shares when sampling at temperature 0.25 has sharpened them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.tiny_policy.tempering import tempered

texts_and_shares = st.dictionaries(
    st.lists(st.integers(2, 4), max_size=4).map(lambda ids: (*ids, 1)), st.floats(0.01, 1), min_size=1, max_size=8
)


def sampled(texts, weights, temperature):
    """What sampling token by token at ``temperature`` draws, computed by walking every text."""
    probability = {}
    for text in texts:
        probability[text] = 1.0
        for depth in range(len(text)):
            mass = Counter()
            for other, weight in zip(texts, weights, strict=True):
                if other[:depth] == text[:depth]:
                    mass[other[depth]] += weight
            sharpened = {token: value ** (1 / temperature) for token, value in mass.items()}
            probability[text] *= sharpened[text[depth]] / sum(sharpened.values())
    return probability


@given(texts_and_shares, st.sampled_from([0.25, 0.5, 1.0]))
def test_sampling_at_the_temperature_draws_the_shares(shares, temperature):
    texts, total = list(shares), sum(shares.values())
    weights = tempered(texts, [shares[text] for text in texts], temperature)
    assert sum(weights) == pytest.approx(1)
    for text, probability in sampled(texts, weights, temperature).items():
        assert probability == pytest.approx(shares[text] / total)


def test_equal_texts_divide_what_they_have():
    assert tempered([(5, 1), (5, 1), (6, 1)], [0.3, 0.1, 0.6], 1.0) == pytest.approx([0.3, 0.1, 0.6])


def test_a_rare_branch_is_weighted_up():
    rare, common = tempered([(5, 1), (6, 1)], [0.05, 0.95], 0.25)
    assert rare / common == pytest.approx((0.05 / 0.95) ** 0.25)
