"""``base = "..."``: a strategy inherits another's settings and lists only the differences."""

from pathlib import Path

import pytest
from loading import PACKAGED, packaged

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.prompting.question import question_of
from pytest_kernelbench.strategy import Strategy, load_strategies


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategies").mkdir()
    return tmp_path / "strategies"


def loaded(folder: Path, **texts: str) -> Strategy:
    """The first of ``texts``, each of which is the text of a file."""
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    (strategy,) = load_strategies([next(iter(texts))], folders=[Path("strategies"), PACKAGED])
    return strategy


def refusal(folder: Path, **texts: str) -> str:
    with pytest.raises(StrategyError) as caught:
        loaded(folder, **texts)
    return str(caught.value)


def test_it_is_the_base_but_for_what_it_says(folder):
    strategy = loaded(folder, mine='base = "batch-ttt"\n[adaptation]\nsteps = 2\n[adaptation.lora]\nrank = 4\n')
    (base,) = packaged("batch-ttt")
    assert strategy.name == "mine" and strategy.sampling == base.sampling
    assert (strategy.adaptation.steps, strategy.adaptation.lora.rank) == (2, 4)
    assert strategy.adaptation.learning_rate == base.adaptation.learning_rate


def test_equal_settings_have_equal_hashes_with_and_without_a_base(folder):
    by_base = loaded(folder, mine='base = "ttt-per-task"\n[adaptation]\nlearning_rate = 1e-4\n')
    text = '[sampling]\nk = 32\n[adaptation]\nscope = "task"\nlearning_rate = 1e-4\n'
    whole = loaded(folder, whole=text)
    for name in ("sha256", "sampling_sha256", "evaluation_sha256", "adaptation_sha256"):
        assert getattr(by_base, name) == getattr(whole, name)


def test_a_base_may_be_a_path_as_seen_from_the_file_and_have_a_base_itself(folder):
    (folder / "more").mkdir()
    (folder / "more" / "low.toml").write_text('base = "../middle.toml"\n[sampling]\ntemperature = 0.5\n')
    strategy = loaded(
        folder,
        top='base = "more/low.toml"\n[sampling]\nk = 3\n',
        middle='base = "random"\ndescription = "m"\n[sampling]\nk = 5\nmax_tokens = 9\n',
    )
    sampling = strategy.sampling
    assert (sampling.k, sampling.temperature, sampling.max_tokens) == (3, 0.5, 9)
    assert (strategy.selection.by, strategy.description) == ("random", "m")


def test_a_file_of_one_s_own_may_be_built_on_the_packaged_one_of_its_name(folder):
    assert loaded(folder, random='base = "random"\n[sampling]\nk = 3\n').selection.by == "random"


def test_a_packaged_strategy_is_built_on_packaged_ones_whatever_the_user_calls_his(folder):
    (folder / "batch-ttt.toml").write_text("[adaptation]\nsteps = 1\n")
    (strategy,) = load_strategies(["ttt-lr-1e-4"], folders=[Path("strategies"), PACKAGED])
    assert strategy.adaptation.steps == 5


def test_a_prompt_s_file_is_the_one_that_the_base_names(folder):
    (folder / "low").mkdir()
    (folder / "low" / "words.txt").write_text("Speed up {{source}}")
    (folder / "low" / "base.toml").write_text('[prompt]\nfile = "words.txt"\n')
    strategy = loaded(folder, mine='base = "low/base.toml"\n')
    assert question_of(strategy.sampling.asked).text == "Speed up {{source}}"
    assert strategy.prompt.file == "low/words.txt"


def test_overrides_apply_to_what_came_from_the_base(folder):
    (folder / "mine.toml").write_text('base = "batch-ttt"\n')
    (strategy,) = load_strategies(["mine"], folders=[folder, PACKAGED], overrides=["adaptation.lora.rank=4"])
    assert strategy.adaptation.lora.rank == 4


def test_bases_in_a_circle_are_refused(folder):
    assert refusal(folder, a='base = "b"\n', b='base = "c.toml"\n', c='base = "a"\n') == (
        "strategies/c.toml: base goes in a circle (strategies/a.toml -> strategies/b.toml -> strategies/c.toml -> "
        "strategies/a.toml); take one of these bases out"
    )
    assert refusal(folder, d='base = "d.toml"\n') == (
        "strategies/d.toml: base goes in a circle (strategies/d.toml -> strategies/d.toml); take one of these bases out"
    )


def test_a_base_that_is_not_there_is_named_with_the_nearest(folder):
    assert refusal(folder, a='base = "batch-tt"\n').startswith(
        'strategies/a.toml: base = "batch-tt": no such strategy; did you mean "batch-ttt"? there are a, '
    )
    assert refusal(folder, a='base = "b.toml"\n') == (
        'strategies/a.toml: base = "b.toml": no such file; name it as seen from this one'
    )
    assert refusal(folder, a="base = 3\n") == "strategies/a.toml: base must be a string, not 3"


def test_what_is_wrong_with_a_base_is_said_of_the_base(folder):
    assert refusal(folder, a='base = "b"\n', b="[sampling]\nk = 0\n") == (
        "strategies/b.toml: [sampling] k must be at least 1, not 0"
    )
