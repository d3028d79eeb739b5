"""Shared by the tests of strategy files."""

from pathlib import Path

import pytest

from pytest_kernelbench.strategy import Strategy, load_strategies


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a strategy from the text of ``strategies/x.toml``."""
    monkeypatch.chdir(tmp_path)
    Path("strategies").mkdir()

    def load(text: str, *overrides: str) -> Strategy:
        Path("strategies/x.toml").write_text(text)
        (strategy,) = load_strategies(["x"], folders=[Path("strategies")], overrides=overrides)
        return strategy

    return load
