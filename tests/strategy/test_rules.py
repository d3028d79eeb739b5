"""A key without effect beside the other settings is refused in one line, which names the setting that it needs."""

import pytest
from loading import error_of, packaged

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.strategy.rules import READ_ONLY_WITH

REFUSALS = [
    (
        '[evaluation]\nprotocol = "paper"\nparameters = "followed"',
        '[evaluation] parameters is not read with protocol = "paper", which moves no parameters',
    ),
    (
        '[selection]\nby = "random"\nlogprob = "sum"',
        '[selection] logprob is read with by = "surprisal", "confidence", "cluster" or "forecast" only',
    ),
    (
        '[selection]\nspan = "code"',
        '[selection] span is read with by = "surprisal", "confidence", "cluster" or "forecast" only',
    ),
    ("[selection]\ntop = 3", '[selection] top is not read with by = "fastest", which looks at every timing'),
    ('[search]\nmethod = "evolve"\nhistory = 2', '[search] history is read with method = "refine" only'),
    ("[search]\nexploration = 2.0", '[search] exploration is read with method = "evolve" only'),
    ("[search]\n[stopping]\nevery = 4", "[stopping] every is the width of [search] where there is one"),
    ("[stopping]\nscale = 1", '[stopping] scale is read with gain = "speedup" only'),
    ("[adaptation.sdpo]\nfeedback = false", '[adaptation.sdpo] feedback is read with method = "sdpo" only'),
    ("[adaptation.sdpo]\ndemonstrations = true", '[adaptation.sdpo] demonstrations is read with method = "sdpo" only'),
    (
        "[adaptation.sdpo]\nfeedback_beside_solution = false",
        '[adaptation.sdpo] feedback_beside_solution is read with method = "sdpo" only',
    ),
    ("[adaptation.sdpo]\nmask = true", '[adaptation.sdpo] mask is read with method = "sdpo" only'),
    ('[adaptation.sdpo]\nteacher = "start"', '[adaptation.sdpo] teacher is read with method = "sdpo" only'),
    ("[adaptation.sdpo]\nteacher_rate = 0.1", '[adaptation.sdpo] teacher_rate is read with method = "sdpo" only'),
    (
        '[adaptation.sdpo]\ndistil = "distribution"',
        '[adaptation.sdpo] distil is read with method = "sdpo" only',
    ),
    ("[adaptation.sdpo]\ntop_k = 9", '[adaptation.sdpo] top_k is read with method = "sdpo" only'),
    ("[adaptation.sdpo]\nteacher_share = 0.1", '[adaptation.sdpo] teacher_share is read with method = "sdpo" only'),
    (
        '[adaptation]\nmethod = "sdpo"\nreward = "fast"',
        '[adaptation] reward is about rewards, and method = "sdpo" learns from none',
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.rewards]\nthreshold = 2.0',
        '[adaptation.rewards] threshold is about rewards, and method = "sdpo" learns from none',
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.rewards]\ncorrect_bonus = 0.1',
        '[adaptation.rewards] correct_bonus is about rewards, and method = "sdpo" learns from none',
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.rewards]\ndrop_equal = true',
        '[adaptation.rewards] drop_equal is about rewards, and method = "sdpo" learns from none',
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.rewards]\nshuffle = true',
        '[adaptation.rewards] shuffle is about rewards, and method = "sdpo" learns from none',
    ),
    ("[adaptation.maxk]\nk = 4", '[adaptation.maxk] k is read with method = "maxk" only'),
    ("[adaptation.rewards]\nthreshold = 1.5", '[adaptation.rewards] threshold is read with reward = "fast" only'),
    (
        '[adaptation]\nmethod = "grpo"\n[adaptation.rewards]\ndrop_equal = true',
        '[adaptation.rewards] drop_equal does nothing with reduction = "sum": rewards that are all equal give no '
        "advantage",
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.sdpo]\nteacher_rate = 0.1',
        '[adaptation.sdpo] teacher_rate is read with teacher = "average" only',
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.sdpo]\ntop_k = 9',
        '[adaptation.sdpo] top_k is read with distil = "distribution" only',
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.sdpo]\nteacher_share = 0.1',
        '[adaptation.sdpo] teacher_share is read with distil = "distribution" only',
    ),
    (
        '[adaptation]\nmethod = "sdpo"\n[adaptation.sdpo]\nfeedback_beside_solution = false',
        "[adaptation.sdpo] feedback_beside_solution is read with both feedback and demonstrations only",
    ),
    (
        '[adaptation]\nmethod = "sdpo"\nloss = "clipped"\n[adaptation.sdpo]\ndistil = "distribution"',
        '[adaptation] loss is not read with distil = "distribution", which has a loss of its own',
    ),
    ("[adaptation.clipped]\nlow = 0.1", '[adaptation.clipped] low is read with loss = "clipped" only'),
    ("[adaptation.clipped]\nhigh = 0.1", '[adaptation.clipped] high is read with loss = "clipped" only'),
    (
        '[adaptation]\nscope = "task"\ntrain_on = "level1:eval"',
        '[adaptation] train_on is read with scope = "batch" only: with "task" each task learns from itself alone',
    ),
    (
        '[adaptation]\nscope = "task"\ntasks_per_step = 2',
        '[adaptation] tasks_per_step is read with scope = "batch" only: with "task" each task learns from itself alone',
    ),
]


@pytest.mark.parametrize(("text", "refusal"), REFUSALS)
def test_a_key_that_nothing_reads_is_refused(load, text, refusal):
    assert error_of(load, text) == f"strategies/x.toml: {refusal}; leave it out"


def test_every_key_of_the_table_has_its_refusal_above():
    refused = {tuple(refusal.removeprefix("[").split("] ", 1)) for _, refusal in REFUSALS}
    for rule in READ_ONLY_WITH:
        for key in rule.keys:
            section, _, name = key.rpartition(".")
            assert (section, f"{name} {rule.words}") in refused


@pytest.mark.parametrize(
    "text",
    [
        "[selection]\ntop = 1\n[adaptation.sdpo]\nmask = false\n[adaptation.clipped]\nlow = 0.2",
        '[search]\nmethod = "evolve"\nhistory = 1',
        '[adaptation]\nmethod = "grpo"\nreduction = "constant"\n[adaptation.rewards]\ndrop_equal = true',
        "[adaptation.rewards]\ndrop_equal = true",
    ],
)
def test_a_default_and_a_key_that_is_read_are_not_refused(load, text):
    load(text)


def test_an_override_of_a_ranking_s_key_is_for_the_rankings_that_read_it():
    surprisal, oracle = packaged("surprisal", "oracle", overrides=("selection.logprob=sum",))
    assert surprisal.selection.logprob == "sum" and oracle.selection.by == "fastest"


@pytest.mark.parametrize(
    ("names", "overrides", "said"),
    [
        (
            ("oracle",),
            ("selection.logprob=sum",),
            'selection.logprob=sum: [selection] logprob is read with by = "surprisal", "confidence", "cluster" or '
            '"forecast" only; leave it out',
        ),
        (
            ("random", "oracle"),
            ("sampling.k=8", "selection.span=code"),
            'selection.span=code: [selection] span is read with by = "surprisal", "confidence", "cluster" or '
            '"forecast" only; leave it out',
        ),
        (
            ("oracle",),
            ("selection.top=3",),
            'selection.top=3: [selection] top is not read with by = "fastest", which looks at every timing; '
            "leave it out",
        ),
    ],
)
def test_an_override_that_no_ranking_of_the_run_reads_is_refused(names, overrides, said):
    with pytest.raises(StrategyError) as caught:
        packaged(*names, overrides=overrides)
    assert str(caught.value) == f"--kernelbench-set {said}"


def test_overrides_that_different_rankings_read_and_defaults_that_none_reads_go_together():
    packaged("random", "surprisal", overrides=("selection.top=3", "selection.logprob=sum"))
    packaged("oracle", overrides=("selection.logprob=mean",))
    packaged("oracle", overrides=("selection.by=surprisal", "selection.logprob=sum"))


def test_two_sections_that_say_what_is_drawn_next_are_refused(load):
    assert error_of(load, "[search]\n[adaptation]\n") == (
        "strategies/x.toml: [search] and [adaptation] both say what is drawn next; leave one of them out"
    )


def test_a_width_that_leaves_a_part_of_a_turn_is_refused(load):
    assert error_of(load, "[sampling]\nk = 10\n[search]\nwidth = 4\n") == (
        "strategies/x.toml: [search] width = 4 does not divide sampling.k = 10; set sampling.k to a multiple of it"
    )
