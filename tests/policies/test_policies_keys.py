"""Keys of a server are removed from texts, error messages, logs and tracebacks."""

import logging

import pytest

from pytest_kernelbench.policies.keys import first_line, keep_keys_from_logs, without_keys


def test_keys_are_starred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("TINKER_API_KEY", "two")
    assert without_keys("sk-one, two, tml-three.x and eyJfour") == "***, ***, *** and ***"
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert without_keys("sk-one") == "sk-one"


def test_first_line_is_cut_after_keys_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "x" * 40)
    said = first_line("\n" + "y" * 190 + "sk-" + "x" * 40 + "\nmore")
    assert said == "y" * 190 + "***"
    assert first_line("") == ""


def test_logs_lose_keys_and_tracebacks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    logger = logging.getLogger("some_client.deep")
    keep_keys_from_logs("some_client")
    keep_keys_from_logs("some_client")
    try:
        raise ValueError("sk-one")
    except ValueError:
        logger.warning("sent %s as %d", "sk-one", 1, exc_info=True)
    assert "sent *** as 1" in caplog.text and "sk-one" not in caplog.text
    assert len(logger.filters) == 1
