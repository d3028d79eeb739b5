"""``[adaptation]`` and its sections: the place of each setting, its former place, and its hash."""

import json

import pytest
from loading import error_of, packaged

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.strategy import Adaptation, Ending, Lora, Sdpo


def test_adaptation_is_asked_for_by_its_section(load):
    assert load("").adaptation is None and load("").adaptation_sha256 is None
    adaptation = load("[adaptation]\nsteps = 2\ntasks_per_step = 8\ndrop_truncated = true\n").adaptation
    assert (adaptation.steps, adaptation.tasks_per_step, adaptation.drop_truncated) == (2, 8, True)
    assert (adaptation.ending.max_kl, adaptation.temperature, adaptation.train_on) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[adaptation.sdpo]\nmask = 1", "[adaptation.sdpo] mask must be true or false, not 1"),
        ('[adaptation.ending]\nmax_kl = "much"', '[adaptation.ending] max_kl must be a number, not "much"'),
        ("[adaptation.maxk]\nk = 1", "[adaptation.maxk] k must be at least 2, not 1"),
        ("[adaptation.sdpo]\nteacher_share = 1.5", "[adaptation.sdpo] teacher_share must be at most 1, not 1.5"),
        (
            '[adaptation]\nmethod = "ppo"',
            '[adaptation] method must be batch or grpo or dr-grpo or maxk or entropic or sdpo, not "ppo"',
        ),
        ("[adaptation]\nlearning_rat = 1", '[adaptation] unknown key "learning_rat"; did you mean "learning_rate"?'),
        ("[adaptation.lora]\nrnk = 1", '[adaptation.lora] unknown key "rnk"; did you mean "rank"?'),
        ("[adaptation.lorra]\nrank = 1", '[adaptation] unknown key "lorra"; did you mean "lora"?'),
        ("[adaptation]\nlora = 16", "adaptation.lora must be a section; write [adaptation.lora] above its keys"),
    ],
)
def test_a_wrong_value_for_adaptation_is_named(load, text, message):
    assert error_of(load, text + "\n") == f"strategies/x.toml: {message}"


OLD = """
[adaptation]
method = "sdpo"
lora_rank = 4
lora_experts = true
teacher = "average"
teacher_rate = 0.1
max_kl = 0.5
"""
NEW = """
[adaptation]
method = "sdpo"
[adaptation.lora]
rank = 4
experts = true
[adaptation.sdpo]
teacher = "average"
teacher_rate = 0.1
[adaptation.ending]
max_kl = 0.5
"""


def test_keys_of_earlier_versions_load_as_what_they_are_now_with_the_same_hashes(load):
    old, new = load(OLD), load(NEW)
    assert old == new
    assert old.adaptation == Adaptation(
        method="sdpo",
        lora=Lora(rank=4, experts=True),
        sdpo=Sdpo(teacher="average", teacher_rate=0.1),
        ending=Ending(max_kl=0.5),
    )
    assert (old.sha256, old.adaptation_sha256) == (new.sha256, new.adaptation_sha256)


def test_a_wrong_value_under_an_old_name_is_told_where_the_key_is_now(load):
    assert error_of(load, "[adaptation]\nlora_rank = 0\n") == (
        "strategies/x.toml: [adaptation.lora] rank must be at least 1, not 0"
    )


def test_one_setting_under_two_names_is_refused(load):
    assert error_of(load, "[adaptation]\nlora_rank = 4\n[adaptation.lora]\nrank = 8\n") == (
        "strategies/x.toml: [adaptation] lora_rank and [adaptation.lora] rank are one setting; leave out lora_rank"
    )


def test_records_name_settings_as_earlier_versions_did_and_are_read_back(load):
    adaptation = load(NEW).adaptation
    recorded = json.loads(json.dumps(load(NEW).to_json()["adaptation"]))
    assert (recorded["lora_rank"], recorded["teacher"], recorded["max_kl"]) == (4, "average", 0.5)
    assert Adaptation.from_json(recorded) == adaptation


def test_a_record_of_an_earlier_version_is_read_with_defaults_for_what_it_lacks():
    assert Adaptation.from_json({"steps": 2, "lora_rank": 8, "kernel": "gone"}) == Adaptation(
        steps=2, lora=Lora(rank=8)
    )


@pytest.mark.parametrize("key", ["adaptation.lora.rank", "adaptation.lora_rank"])
def test_an_override_reaches_into_a_section_under_either_name(load, key):
    strategy = load("[adaptation.lora]\nalpha = 8\n", f"{key}=4")
    assert strategy.adaptation.lora == Lora(rank=4, alpha=8)


def test_an_override_of_an_unknown_key_of_a_section_is_told_the_nearest(load):
    assert error_of(load, "[adaptation]\n", "adaptation.sdpo.maks=true") == (
        '--kernelbench-set adaptation.sdpo.maks=true: [adaptation.sdpo] unknown key "maks"; did you mean "mask"?'
    )


def test_adaptation_needs_samples_that_differ(load):
    text = "[adaptation]\n[sampling]\ntemperature = 0\n"
    assert error_of(load, text) == (
        "strategies/x.toml: [adaptation] learns from samples that differ; set sampling.temperature above 0"
    )


@pytest.mark.parametrize("method", ["grpo", "dr-grpo", "maxk", "entropic"])
def test_a_group_of_one_has_nothing_to_compare(load, method):
    assert error_of(load, f'[sampling]\nk = 1\n[adaptation]\nmethod = "{method}"\n') == (
        f'strategies/x.toml: [adaptation] method = "{method}" compares the rollouts of a task; '
        "set sampling.k to 2 or more"
    )


def test_an_override_that_would_do_nothing_is_named(load):
    assert error_of(load, "[adaptation]\n", "adaptation.maxk.k=4") == (
        "strategies/x.toml --kernelbench-set adaptation.maxk.k=4: [adaptation.maxk] k is read "
        'with method = "maxk" only; leave it out'
    )


def test_a_mask_that_leaves_nothing_is_refused(load):
    text = '[adaptation]\nmethod = "sdpo"\n[adaptation.sdpo]\nmask = true\nfeedback = false\n'
    assert error_of(load, text) == (
        "strategies/x.toml: [adaptation.sdpo] mask leaves out every rollout without advice, and there is none; "
        "set feedback = true"
    )


def test_an_override_of_adaptation_is_for_those_that_adapt():
    search, adapting = packaged("best-of-64", "batch-ttt", overrides=("adaptation.steps=2",))
    assert search.adaptation is None and adapting.adaptation.steps == 2
    with pytest.raises(StrategyError) as caught:
        packaged("best-of-64", overrides=("adaptation.steps=2",))
    assert str(caught.value) == "--kernelbench-set adaptation.steps=2: none of these strategies has [adaptation]"


def test_steps_share_their_weights_whatever_is_chosen_of_them():
    fewer, all_of_them, other = packaged("best-of-adaptation", "batch-ttt", "ttt-zero-lr")
    assert fewer.adaptation_sha256 == all_of_them.adaptation_sha256 != other.adaptation_sha256
    assert fewer.sha256 != all_of_them.sha256


def test_step_0_samples_as_search_does_and_later_steps_as_nobody_else():
    search, adapting = packaged("best-of-64", "batch-ttt")
    first, second, other = adapting.at("a", 0), adapting.at("a", 1), adapting.at("b", 1)
    assert first.sampling_sha256 == search.sampling_sha256
    assert len({first.sampling_sha256, second.sampling_sha256, other.sampling_sha256}) == 3
    assert (search.indices, first.indices, second.indices) == (range(64), range(32), range(32, 64))
    assert second.sha256 == adapting.sha256
