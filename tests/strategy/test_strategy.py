"""Strategy files: where they are found, their defaults, overrides and hashes, and the errors for wrong files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loading import PACKAGED, error_of, packaged

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.strategy import Sampling, Strategy, load_strategies


def test_an_empty_file_means_the_paper_s_budget_with_honest_measurement(load):
    strategy = load("")
    assert strategy == Strategy(name="x")
    assert strategy.sampling == Sampling(k=64, temperature=0.25, max_tokens=1024, answer="module")
    assert (strategy.evaluation.protocol, strategy.evaluation.precision) == ("full", "float32")
    assert strategy.evaluation.torch_operators == "allowed"


@pytest.mark.parametrize("path", sorted(PACKAGED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_packaged_strategy_loads_and_says_what_it_is_and_where_it_is_from(path):
    (strategy,) = load_strategies([str(path)], folders=[])
    assert strategy.name == path.stem
    assert strategy.description and strategy.source


def test_surprisal_top3_is_the_fastest_of_the_three_least_expected():
    (strategy,) = packaged("surprisal-top3")
    selection = strategy.selection
    assert (selection.by, selection.logprob, selection.top, selection.then) == (
        "surprisal",
        "mean",
        3,
        "fastest",
    )


def test_names_come_comma_separated_and_repeated_and_each_counts_once():
    strategies = packaged("surprisal, oracle", "random", "oracle")
    assert [strategy.name for strategy in strategies] == ["surprisal", "oracle", "random"]


def test_the_user_s_folder_goes_before_the_packaged_one(tmp_path):
    (tmp_path / "random.toml").write_text("sampling = {k = 3}")
    (strategy,) = load_strategies(["random"], folders=[tmp_path, PACKAGED])
    assert strategy.sampling.k == 3


def test_two_files_of_one_name_are_refused(load, tmp_path):
    load("")
    (tmp_path / "x.toml").write_text("")
    with pytest.raises(StrategyError) as caught:
        load_strategies(["x,x.toml"], folders=[Path("strategies")])
    assert str(caught.value) == '--strategy: strategies/x.toml and x.toml are both named "x"; rename one'


def test_only_what_changes_numbers_changes_the_hash():
    best_of_64, oracle, surprisal = packaged("best-of-64", "oracle", "surprisal")
    assert best_of_64.sha256 == oracle.sha256 != surprisal.sha256
    assert best_of_64.sampling_sha256 == surprisal.sampling_sha256
    assert best_of_64.evaluation_sha256 == surprisal.evaluation_sha256


def test_a_smaller_k_shares_the_samples_of_a_larger_one(load):
    full, few = load(""), load("", "sampling.k=16")
    assert full.sampling_sha256 == few.sampling_sha256
    assert full.sha256 != few.sha256


def test_a_whole_number_for_a_temperature_hashes_as_the_same_temperature(load):
    assert load("sampling.temperature = 1").sha256 == load("sampling.temperature = 1.0").sha256


def test_overrides_are_typed_recorded_and_apply_to_every_strategy():
    overrides = ("sampling.k=16", "sampling.temperature=1", "evaluation.protocol=fast", "gate.fast_1=0.5")
    for strategy in packaged("random,surprisal", overrides=overrides):
        assert strategy.sampling.k == 16
        assert strategy.sampling.temperature == 1.0
        assert strategy.evaluation.protocol == "fast"
        assert strategy.gate == {"fast_1": 0.5}
        assert strategy.overrides == overrides


def test_a_quoted_override_is_the_same_as_a_bare_word(load):
    assert load("", 'evaluation.protocol="fast"').evaluation == load("", "evaluation.protocol=fast").evaluation


def test_strategies_that_rank_by_log_probability_say_that_they_need_them():
    needs = {
        strategy.name for strategy in packaged(*(p.stem for p in PACKAGED.glob("*.toml"))) if strategy.needs_logprobs
    }
    assert needs == {
        *("quick", "refine-then-select", "surprisal", "surprisal-top3", "confidence", "confidence-top3"),
        *("cluster-top3", "forecast"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sampling]\ntemprature = 1", '[sampling] unknown key "temprature"; did you mean "temperature"?'),
        ("[samplng]\nk = 1", "unknown section [samplng]; did you mean [sampling]?"),
        ('descripton = "x"', 'unknown key "descripton"; did you mean "description"?'),
        (
            "[sampling]\nzzz = 1",
            '[sampling] unknown key "zzz"; there are k, temperature, max_tokens, answer, policy',
        ),
        ("k = 3", 'unknown key "k"; write it below [sampling]'),
        ("temperature = 1", 'unknown key "temperature"; write it below [sampling] or [adaptation]'),
        (
            "zzz = 1",
            'unknown key "zzz"; there are description, source, primary, base, sampling, prompt, evaluation, selection, '
            "search, stopping, adaptation, gate",
        ),
        (
            "[zzz]\nk = 1",
            "unknown section [zzz]; there are [sampling], [prompt], [evaluation], [selection], [search], [stopping], "
            "[adaptation], [gate]",
        ),
        ('[sampling]\nk = "many"', '[sampling] k must be a whole number, not "many"'),
        ("[sampling]\nk = 1.5", "[sampling] k must be a whole number, not 1.5"),
        ("[sampling]\nk = true", "[sampling] k must be a whole number, not true"),
        ("[sampling]\nk = 0", "[sampling] k must be at least 1, not 0"),
        ("[sampling]\ntemperature = -1", "[sampling] temperature must be at least 0, not -1.0"),
        ("[sampling]\ntemperature = nan", "[sampling] temperature must be a number, not NaN"),
        ("[selection]\ntop = 0", "[selection] top must be at least 1, not 0"),
        (
            '[evaluation]\nprotocol = "slow"',
            '[evaluation] protocol must be fast or full or paper, not "slow"',
        ),
        ("[gate]\nfast_1 = true", "[gate] fast_1 must be a number, not true"),
        ("description = 3", "description must be a string, not 3"),
        ("sampling = 3", "sampling must be a section; write [sampling] above its keys"),
        ("[sampling]\nk = = 1", "not TOML (Invalid value (at line 2, column 5)); correct the file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(load, text, message):
    assert error_of(load, text) == f"strategies/x.toml: {message}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.temprature=1", '[sampling] unknown key "temprature"; did you mean "temperature"?'),
        ("samplng.k=1", "unknown section [samplng]; did you mean [sampling]?"),
        ("sampling.k", "write SECTION.KEY=VALUE, as in sampling.k=16"),
        ("k=3", "write SECTION.KEY=VALUE, as in sampling.k=16"),
        ("sampling.k=many", '[sampling] k must be a whole number, not "many"'),
        ("sampling.k=-1", "[sampling] k must be at least 1, not -1"),
    ],
)
def test_what_is_wrong_with_an_override_is_said_of_the_override(load, override, message):
    assert error_of(load, "", override) == f"--kernelbench-set {override}: {message}"


def test_an_unknown_strategy_is_told_its_nearest_and_all_there_are():
    with pytest.raises(StrategyError) as caught:
        packaged("surprisl")
    assert str(caught.value) == (
        '--strategy=surprisl: no such strategy; did you mean "surprisal"? there are '
        + ", ".join(sorted(path.stem for path in PACKAGED.glob("*.toml")))
    )


def test_a_toml_path_that_is_not_there_is_said_to_be_missing():
    with pytest.raises(
        StrategyError,
        match=r"^--strategy=nowhere/y\.toml: no such file; name a TOML file, or a strategy without \.toml$",
    ):
        packaged("nowhere/y.toml")


def test_a_file_in_another_encoding_is_refused_with_its_place(load, tmp_path):
    Path("strategies/y.toml").write_bytes(b'description = "\xff"')
    with pytest.raises(StrategyError) as caught:
        load_strategies(["y"], folders=[Path("strategies")])
    assert str(caught.value) == "strategies/y.toml: not UTF-8 at byte 15; save it as UTF-8"


@given(text=st.text(max_size=30))
def test_any_text_after_an_override_s_equals_sign_loads_or_is_a_strategy_error(text):
    try:
        (strategy,) = packaged("random", overrides=(f"sampling.k={text}",))
    except StrategyError:
        return
    assert strategy.sampling.k >= 1
