"""The templates and how often they are drawn."""

import ast
from collections import Counter, defaultdict

import pytest

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.tasks import load_tasks
from pytest_kernelbench.tiny_policy.corpus import all_templates, base, mixture
from pytest_kernelbench.tiny_policy.prompt import prompt_for

EVALUATION_SPLIT = (4, 5, 12, 14, 15, 18, 28, 29, 30, 32, 36, 55, 65, 70, 76, 82, 87, 89, 95, 98)


@pytest.fixture(scope="module")
def templates():
    return all_templates()


@pytest.fixture(scope="module")
def tiny():
    return mixture.mixture("tiny")


def test_every_source_parses_and_defines_the_model(templates):
    for template in templates:
        for source in template.sources:
            names = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
            assert names == ["ModelNew"], template.id


def test_ids_are_unique_and_variants_differ(templates):
    assert [name for name, count in Counter(template.id for template in templates).items() if count > 1] == []
    assert [template.id for template in templates if len(set(template.sources)) < len(template.sources)] == []


def test_no_marker_is_left_unexpanded(templates):
    for template in templates:
        assert not any("$" in source for source in template.sources), template.id


def test_every_task_and_target_has_eight_correct_strategies_and_some_wrong_ones(templates):
    correct, wrong = Counter(), Counter()
    for template in templates:
        (correct if template.correct else wrong)[template.task, template.target] += 1
    assert {key: count for key, count in correct.items() if count < 8} == {}
    assert {key for key in correct if wrong[key] == 0} == set()


def test_strategies_of_a_task_differ_in_text(templates):
    seen = defaultdict(list)
    for template in templates:
        seen[template.task, template.target, template.sources[0]].append(template.id)
    assert [ids for ids in seen.values() if len(ids) > 1] == []


def test_each_target_is_written_in_its_languages(templates):
    languages = defaultdict(set)
    for template in templates:
        languages[template.task, template.target].add(template.language)
    for (task, target), found in languages.items():
        assert found == ({"torch", "c"} if target == "cpu" else {"torch", "triton", "cuda"}), (task, target)


def test_the_evaluation_split_is_covered_and_at_least_forty_tasks(templates):
    tasks = {template.task for template in templates}
    assert tasks.issuperset(EVALUATION_SPLIT)
    assert len(tasks) >= 40


def test_held_out_tasks_are_never_in_the_corpus(templates, tiny):
    assert {template.task for template in templates}.isdisjoint(base.HELD_OUT)
    sources = {int(task.short_id.rpartition("/")[2]): task.source for task in load_tasks("level1")}
    held_out = {prompt_for(sources[task], target) for task in base.HELD_OUT for target in ("cpu", "cuda")}
    assert held_out.isdisjoint(item.row.prompt for item in tiny)


def test_prompts_are_those_that_sampling_makes_of_the_packaged_tasks(tiny):
    sources = {int(task.short_id.rpartition("/")[2]): task.source for task in load_tasks("level1")}
    for item in tiny:
        assert item.row.prompt == prompt_for(sources[item.template.task], item.template.target)


def test_shares_of_tiny_make_fast_templates_rare(tiny):
    shares, tasks = _shares(tiny), {(item.template.task, item.template.target) for item in tiny}
    assert sum(item.weight for item in tiny) == pytest.approx(1)
    for key in tasks:
        found = shares[key]
        assert found["broken"] == pytest.approx(0.01)
        assert found["wrong"] == pytest.approx(0.12)
        assert found["fast"] in (0, pytest.approx(0.08))
        assert found["common"] == pytest.approx(0.87 - found["fast"])


def test_the_control_swaps_fast_and_common_over_the_same_templates(tiny):
    control = mixture.mixture("tiny-common-fast")
    rows = {(item.row.prompt, item.row.completion) for item in control}
    assert rows == {(item.row.prompt, item.row.completion) for item in tiny}
    for key, found in _shares(control).items():
        if found["fast"] and found["common"]:
            assert found["fast"] == pytest.approx(_shares(tiny)[key]["common"])
            assert found["common"] == pytest.approx(_shares(tiny)[key]["fast"])


def test_generated_rows_follow_the_seed_and_the_shares():
    first = list(mixture.generate("tiny", 3000, seed=1))
    assert first == list(mixture.generate("tiny", 3000, seed=1))
    assert first != list(mixture.generate("tiny", 3000, seed=2))
    broken = sum(not _parses(row.completion) for row in first)
    assert 10 <= broken <= 60
    assert all(row.completion.startswith("```python\n") and row.completion.endswith("\n```") for row in first)


def test_an_unknown_mixture_is_named():
    with pytest.raises(PolicyError, match='tiny policy: no mixture "tinny"; there are tiny, tiny-common-fast'):
        mixture.mixture("tinny")


def test_variants_expand_every_combination_and_miss_no_name():
    assert base.variants("$a $b", a=(1, 2), b="x") == ("1 x", "2 x")
    assert base.variants("plain") == ("plain",)
    with pytest.raises(KeyError):
        base.variants("$missing")


def _shares(rows):
    shares = defaultdict(Counter)
    for item in rows:
        template = item.template
        name = "fast" if template.pace == "fast" else "common"
        kind = "broken" if item.broken else name if template.correct else "wrong"
        shares[template.task, template.target][kind] += item.weight
    for found in shares.values():
        total = sum(found.values())
        for kind in ("broken", "wrong", "fast", "common"):
            found[kind] /= total
    return shares


def _parses(completion):
    try:
        ast.parse(completion.removeprefix("```python\n").removesuffix("\n```"))
    except SyntaxError:
        return False
    return True
