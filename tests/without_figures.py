"""A pytest plugin for sessions that tests start: without matplotlib, as figures take 3 s of the 4 s of a short one."""

import sys

sys.modules["matplotlib"] = None  # type: ignore[assignment]
