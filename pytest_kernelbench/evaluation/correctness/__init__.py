"""Correctness of outputs: the reference, the inputs that are checked, and the tolerance of an answer."""
