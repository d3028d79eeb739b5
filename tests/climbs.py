"""Calls that go up: from a module to one that imports it, directly or through others, while an item runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

from rooms import ROOT, files_imported

Call = tuple[str, str]


@cache
def modules_below(path: Path) -> frozenset[Path]:
    """Every module that the one at ``path`` imports, directly or through others."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        for each in files_imported(waiting.pop()) - found:
            found.add(each)
            waiting.append(each)
    return frozenset(found - {path})


class Trace:
    """The calls between modules of this package, in the order in which they were first made, with their number."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[Call, Call]] = Counter()

    @property
    def climbs(self) -> list[str]:
        """``adaptation/loop.py:_update -> pipeline.py:judge``, each call that goes up once."""
        return [
            f"{caller[0]}:{caller[1]} -> {called[0]}:{called[1]}"
            for caller, called in self.calls
            if ROOT / caller[0] in modules_below(ROOT / called[0])
        ]

    @property
    def modules(self) -> set[str]:
        return {place[0] for call in self.calls for place in call}

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        """A profiler for ``sys.setprofile``. What a module runs when it is imported is no call."""
        if event != "call" or (called := _place(frame)) is None:
            return
        above, importing = frame.f_back, frame.f_code.co_name == "<module>"
        while above is not None and (caller := _place(above)) is None:
            importing = importing or above.f_code.co_name == "import_module"
            above = above.f_back
        if importing:
            return
        if above is not None and caller is not None and caller[0] != called[0]:
            self.calls[caller, called] += 1


def _place(frame: FrameType) -> Call | None:
    module = _module(frame.f_code.co_filename)
    return None if module is None else (module, frame.f_code.co_name)


@cache
def _module(filename: str) -> str | None:
    """Kept by name: there are a million calls, most of them between modules of torch."""
    path = Path(filename)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else None


@contextmanager
def traced() -> Iterator[Trace]:
    """Note the calls of this thread."""
    trace, before = Trace(), sys.getprofile()
    sys.setprofile(trace.note)
    try:
        yield trace
    finally:
        sys.setprofile(before)
