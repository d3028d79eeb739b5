"""One candidate, tried by an evaluator."""

from made_up_tasks import RELU


def one(evaluator, source, on=RELU):
    (evaluation,) = evaluator.evaluate(on, [source])
    return evaluation


def verdict(evaluator, source, on=RELU):
    evaluation = one(evaluator, source, on)
    return evaluation.outcome, evaluation.detail
