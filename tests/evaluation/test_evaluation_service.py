"""What a process that the service forks finds there."""

from attempts import told


def test_the_garbage_collector_of_a_worker_passes_over_all_that_was_imported_before_it_was_forked(evaluator):
    assert int(told(evaluator, "__import__('gc').get_freeze_count()")) > 100_000
