"""Commands of ``python -m pytest_kernelbench``: check the machine, list tasks, replay a candidate, probe a policy."""
