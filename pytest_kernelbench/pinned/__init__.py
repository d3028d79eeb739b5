"""Kernels that a repository keeps: a run's choices become files, and later runs find kernels that became slower."""
