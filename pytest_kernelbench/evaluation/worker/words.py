"""The words of an exception that a candidate raised, for its verdict."""

from __future__ import annotations

import traceback
from pathlib import Path

# Characters: a compiler's log, and where in the candidate the build was asked for.
MAX_WORDS = 5000


def words_of(error: BaseException) -> str:
    """Type and text of an exception, with the file and the line that raised it; the end of them where they are long."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    # For a text that is no Python, the last frame is in the import itself, and the message has the line.
    named = bool(last) and not last[0].filename.startswith("<frozen")
    where = f" ({Path(last[0].filename).name}:{last[0].lineno})" if named else ""
    try:
        said = str(error)
    except Exception:  # the candidate's own class may not have a text
        said = "its text cannot be made"
    return f"{type(error).__name__}: {said}{where}"[-MAX_WORDS:]
