"""Tasks with several outputs, weights, statistics, masks, sizes or no working reference, in real trials on the CPU."""

import pytest
from made_up_tasks import HONEST_RELU, RELU, candidate, task
from one_candidate import one, verdict

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.records import Outcome, Task


def test_several_outputs_are_all_checked(evaluator):
    extremes = task(
        "6_extremes",
        "def forward(self, x):\n    found = x.max(dim=1)\n    return found.values, found.indices",
        inputs="torch.rand(300, n)",
        n=1000,
    )
    slower = "x.max(dim=1)\nbest, where = x.max(dim=1)\n"
    right, swapped, half = evaluator.evaluate(
        extremes,
        [candidate(f"{slower}return {answer}") for answer in ("[best, where]", "best, where * 0", "best")],
    )
    assert right.outcome is Outcome.CORRECT, right.detail
    assert swapped.outcome is Outcome.INCORRECT
    assert "integers differ" in swapped.detail
    assert half.outcome is Outcome.INCORRECT


LINEAR = task(
    "7_linear",
    "def __init__(self, size):\n    super().__init__()\n    self.linear = nn.Linear(size, size)\n\n"
    "def forward(self, x):\n    return self.linear(x)",
    inputs="torch.rand(n, n)",
    init="n",
    n=256,
)


def test_modules_with_weights_share_them(evaluator):
    # Made in another order, and after other draws, so that the seed alone would not give the same values.
    own = candidate("self.linear(x)\nreturn self.linear(x)").replace(
        "    def forward",
        "    def __init__(self, size):\n        super().__init__()\n        torch.rand(3)\n"
        "        self.linear = torch.nn.Linear(size, size)\n\n    def forward",
    )
    shared, foreign = evaluator.evaluate(LINEAR, [own, own.replace("self.linear =", "self.other = self.linear =")])
    assert shared.outcome is Outcome.CORRECT, shared.detail
    assert foreign.outcome is Outcome.INCORRECT


def test_running_statistics_start_afresh_for_each_answer(evaluator):
    normalised = task(
        "8_batch_norm",
        "def __init__(self, size):\n    super().__init__()\n    self.norm = nn.BatchNorm1d(size)\n\n"
        "def forward(self, x):\n    return self.norm(x)",
        inputs="torch.rand(300, n)",
        init="n",
        n=1000,
    )
    source = candidate("self.norm(x)\nreturn self.norm(x)").replace(
        "    def forward",
        "    def __init__(self, size):\n        super().__init__()\n        self.norm = torch.nn.BatchNorm1d(size)\n\n"
        "    def forward",
    )
    evaluation = one(evaluator, source, normalised)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail


def test_masks_labels_and_plain_values_are_handed_over_as_they_are(evaluator):
    mixed = task(
        "9_mixed",
        "def forward(self, x, mask, index, scale, times, flag, nothing):\n"
        "    assert type(times) is int and flag is True and nothing is None\n"
        "    return torch.where(mask, x * scale, x + times).gather(1, index)",
        inputs="torch.rand(300, n), torch.rand(300, n) > 0.5, torch.randint(0, n, (300, n)), 0.25, 3, True, None",
        n=1000,
    )
    body = "y = torch.where(mask, x * scale, x + times)\ny = y + 0\nreturn y.gather(1, index)"
    names = "x, mask, index, scale, times, flag, nothing"
    right, wrong, writes = evaluator.evaluate(
        mixed,
        [
            candidate(text, arguments=names)
            for text in (body, body.replace("* scale", "* times"), f"mask.logical_not_()\n{body}")
        ],
    )
    assert right.outcome is Outcome.CORRECT, right.detail
    assert wrong.outcome is Outcome.INCORRECT
    assert (writes.outcome, writes.flags) == (Outcome.INCORRECT, ())


def test_a_reference_that_is_not_defined_for_signed_inputs_is_checked_on_its_own_draw(evaluator):
    logarithm = task("10_log", "def forward(self, x):\n    return torch.log(x)", inputs="torch.rand(n) + 0.1")
    right, wrong = evaluator.evaluate(
        logarithm, [candidate("torch.log(x)\nreturn torch.log(x)"), candidate("return x")]
    )
    assert right.outcome is Outcome.CORRECT, right.detail
    assert wrong.outcome is Outcome.INCORRECT
    assert wrong.detail.startswith("task inputs: ")


def test_sizes_of_a_task_replace_its_constants(evaluator):
    small = Task(id=RELU.id, source=RELU.source, sizes={"n": 1234})
    assert verdict(evaluator, candidate("return x[:1]"), small) == (
        Outcome.INCORRECT,
        "returns float32[1] where float32[1234] is due",
    )


def test_a_candidate_cannot_shrink_the_problem_by_a_module_constant(evaluator):
    outcome, detail = verdict(evaluator, candidate("return x[:n]", preamble="n = 8"))
    assert outcome is Outcome.INCORRECT
    assert "where float32[300000] is due" in detail


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        ("def forward(self, x):\n    return x + nothing", "NameError: name 'nothing' is not defined"),
        (
            "def forward(self):\n    return 1",
            "TypeError: Model.forward() takes 1 positional argument but 2 were given",
        ),
    ],
)
def test_a_task_whose_reference_does_not_run_is_no_verdict(evaluator, model, cause):
    broken = task("11_broken", model, inputs="torch.rand(n)")
    with pytest.raises(HarnessError) as caught:
        list(evaluator.evaluate(broken, [HONEST_RELU, None]))
    assert str(caught.value) == (
        f"made_up/11_broken: the reference does not run on cpu ({cause}); check the task file and its sizes"
    )
    assert one(evaluator, None, broken).outcome is Outcome.NO_SOURCE
    assert one(evaluator, HONEST_RELU).outcome is Outcome.CORRECT
