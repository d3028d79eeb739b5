"""From durations to a verdict: the worker's pairs, the judge's own measurement of a claim, and the decision."""
