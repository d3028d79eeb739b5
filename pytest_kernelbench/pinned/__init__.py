"""Kernels that a repository keeps: a run's choices become files, and each later run says which has fallen behind."""
