"""The folder of builds that are kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pytest_kernelbench.errors import UsageError


def builds_folder() -> Path:
    """``pytest-kernelbench/builds`` in the user's cache; created if missing.

    Raises UsageError if it cannot be written, as often in a container.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(named) if os.path.isabs(named) else Path(os.path.expanduser("~"), ".cache")
    folder = cache / "pytest-kernelbench" / "builds"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        raise UsageError(
            f"{folder}: builds cannot be kept there ({error.strerror}); set XDG_CACHE_HOME to a folder that can be "
            "written"
        ) from error
    return folder
