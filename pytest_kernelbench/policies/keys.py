"""API keys of services, kept out of output and files. Servers may quote a key in errors and headers."""

from __future__ import annotations

import logging
import os
import re

from pytest_kernelbench.errors import PolicyError

VARIABLES = ("OPENAI_API_KEY", "TINKER_API_KEY")
# Prefixes of a Tinker key, which may be stored outside the environment, and of the token that is made of it.
TINKER_KEY = re.compile(r"\b(?:tml-|eyJ)[\w.-]+")
LONGEST_LINE = 200
TRANSPORTS = ("httpcore", "httpcore2", "h2", "hpack")
# Local servers take "none", "EMPTY" or "1234" for a key, and an answer may hold such a word by chance.
SHORTEST_SECRET = 8


def key_in(variable: str) -> str | None:
    """The key in the environment, or None. Raises PolicyError for a key that cannot be sent in a header."""
    key = os.environ.get(variable)
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise PolicyError(f"{variable}: holds a space, a line end or another character that no key has; set it again")
    return key or None


def holds_key(*texts: str | None) -> bool:
    """Whether one of ``texts`` contains a key."""
    keys = [key for variable in VARIABLES if len(key := os.environ.get(variable, "").strip()) >= SHORTEST_SECRET]
    return any(key in text for key in keys for text in texts if text)


def without_keys(text: str) -> str:
    """``text`` with *** for every key."""
    for variable in VARIABLES:
        if key := os.environ.get(variable, "").strip():
            text = text.replace(key, "***")
    return TINKER_KEY.sub("***", text)


def first_line(text: str) -> str:
    """The first line of ``text``, without keys, at most ``LONGEST_LINE`` characters of it."""
    return next(iter(without_keys(text).strip().splitlines()), "")[:LONGEST_LINE]


def keep_keys_from_logs(*packages: str) -> None:
    """Remove keys, and tracebacks, which may hold keys, from all records of the loggers of ``packages``.

    Loggers of transports may not exist yet. At DEBUG they write the headers of every answer, so their level is raised.
    """
    for transport in TRANSPORTS:
        logging.getLogger(transport).setLevel(logging.INFO)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in packages:
            logger = logging.getLogger(name)
            logger.removeFilter(_hide_keys)
            logger.addFilter(_hide_keys)


def _hide_keys(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_keys(record.getMessage()), ()
    record.exc_info = record.exc_text = None
    return True
