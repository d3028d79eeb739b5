"""A made-up checkout of KernelBench for the tests of tasks."""

import pytest
from task_files import ODDLY_FORMATTED, TASK


@pytest.fixture
def checkout(tmp_path):
    """A KernelBench checkout, with a space in its path and everything else a checkout may hold."""
    root = tmp_path / "kernel bench"
    for level, names in {"level1": ["2_B", "10_C", "1_A"], "level2": ["1_Odd name"]}.items():
        (root / "KernelBench" / level).mkdir(parents=True)
        for name in names:
            source = ODDLY_FORMATTED if level == "level2" else TASK
            (root / "KernelBench" / level / f"{name}.py").write_text(source)
    (root / "KernelBench" / "changelog").mkdir()
    (root / "KernelBench" / "level1" / "__init__.py").write_text("")
    (root / "setup.py").write_text("print('never run')")
    return root
