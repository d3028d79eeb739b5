"""The answers of a worker or a builder: one dataclass for each request, with bounds on every field.

The candidate shares the worker's process and can write to its socket, so an answer may contain anything. The judge
reads answers only with ``receive``: it returns the dataclass that ``ANSWERS`` names for the request, or raises
MalformedFrame. To add one, write its dataclass (each field annotated with one of ``kinds``) and its line in the table.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.boundary.kinds import (
    Exactly,
    Kind,
    Many,
    Name,
    Number,
    Optional,
    Request,
    Text,
    Whole,
    Wholes,
    YesOrNo,
)
from pytest_kernelbench.evaluation.boundary.messages import MalformedFrame
from pytest_kernelbench.inline.complaints import MAX_LOG

# The longest answer of the harness's own code, the names of kernels in a profile, has about 100 KB.
MAX_ANSWER_BYTES = 1 << 20
MAX_BYTES = 1 << 50
MAX_CALLS = 100_000
MAX_NAMES = 2_000
MAX_FILES = 64
MAX_FILE_BYTES = 256 << 20
LEAST_MS = 5e-324

Done = Annotated[bool, Exactly(True)]
Count = Annotated[int, Whole(0, MAX_CALLS)]
Bytes = Annotated[int, Whole(0, MAX_BYTES)]
# An exception's text, which may include a compiler's log, and the line where it was raised.
Said = Annotated[str, Text(MAX_LOG + 1000)]
Durations = Annotated[tuple[float, ...], Many(Number(LEAST_MS, messages.MAX_DURATION_MS), MAX_CALLS)]
# C++ spells a kernel's template arguments out.
Names = Annotated[tuple[str, ...], Many(Name(4000), MAX_NAMES)]
Complaint = Annotated[str | None, Optional(Text(MAX_LOG))]
Mismatch = Annotated[str | None, Optional(Text(2000))]


@dataclass(frozen=True, slots=True)
class Answer:
    """The base of all answers.

    ``max_files``: how many file descriptors may come with one; ``files_only``: they must be of regular files.
    """

    max_files: ClassVar[int] = 0
    files_only: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised(Answer):
    """To any request: the text of the exception that ended it, and the name of the exception's class."""

    raised: Said
    kind: Annotated[str, Name(200)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Answer):
    """To any request that runs the candidate: it asks for an extension to be built, and goes on once that is there."""

    wanted: Annotated[dict[str, Any], Request(("load_inline", "load"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Building(Answer):
    """Before the answer to a request that runs the candidate: torch's compiler begins (True) or ends a build."""

    building: Annotated[bool, YesOrNo()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Answer):
    started: Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Answer):
    prepared: Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Answer):
    loaded: Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted(Answer):
    """``adopted``: whether another instance with the reference's weights has taken the candidate's place."""

    adopted: Annotated[bool, YesOrNo()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved(Answer):
    """``moved``: whether the candidate follows the reference to other parameters."""

    moved: Annotated[bool, YesOrNo()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached(Answer):
    """``attached``: the number of slots."""

    attached: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran(Answer):
    """One call. ``mismatch``: how the structure of the result differs from the reference's.

    ``delivered``: whether it has the structure of the reference's, so that it could be copied into the slot.
    ``peak_bytes``: peak device memory of the worker's torch.
    """

    delivered: Annotated[bool, YesOrNo()] = False
    mismatch: Mismatch = None
    peak_bytes: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRoom(Answer):
    left: Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Answer):
    held: Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten(Answer):
    forgotten: Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed(Answer):
    """``peak_bytes``: as in ``Ran``."""

    warm: Done
    peak_bytes: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs(Answer):
    """Milliseconds of each pair by side; both empty for a ``mismatch``."""

    reference_ms: Durations = ()
    candidate_ms: Durations = ()
    mismatch: Mismatch = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series(Answer):
    """Milliseconds of each call."""

    ms: Durations


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Answer):
    """The places of outputs, call by call: addresses, the strides of all, and which of the ``handles`` each has.

    All are empty for a ``mismatch``, and if a call returned memory of an earlier output (``reused``).
    """

    at: Annotated[tuple[int, ...], Wholes(0, 1 << 64, MAX_CALLS)] = ()
    strides: Annotated[tuple[int, ...], Wholes(0, MAX_BYTES, MAX_CALLS)] = ()
    handles: Annotated[tuple[str, ...], Many(Name(128), MAX_CALLS)] = ()
    handle: Annotated[tuple[int, ...], Wholes(0, MAX_CALLS, MAX_CALLS)] = ()
    reused: Annotated[bool, YesOrNo()] = False
    mismatch: Mismatch = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled(Answer):
    """``busy_ms``: milliseconds in which at least one kernel ran; empty where none was recorded."""

    busy_ms: Annotated[tuple[float, ...], Many(Number(LEAST_MS, messages.MAX_DURATION_MS), 1)] = ()
    operators: Names = ()
    kernels: Names = ()
    mismatch: Mismatch = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built(Answer):
    """A library as a file, or the compilers' ``complaint``; ``final``: another try would end with the same one."""

    complaint: Complaint = None
    final: Annotated[bool, YesOrNo()] = False
    max_files: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored(Answer):
    """An archive of kernels, as a file. ``complaint``: the error of a build whose failure ended the candidate."""

    complaint: Complaint = None
    max_files: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed(Answer):
    """An archive of the code that torch's compiler built, as a file."""

    packed: Done
    max_files: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked(Answer):
    """The service's: the process that guards a new worker, and in a descriptor beside it a hold on that process.

    ``group``: the folder of the worker's control group, empty where it has none.
    """

    supervisor: Annotated[int, Whole(2, 1 << 31)]
    group: Annotated[str, Text(4096)] = ""
    max_files: ClassVar[int] = 1
    files_only: ClassVar[bool] = False


ANSWERS: Mapping[str, type[Answer]] = {
    "start": Started,
    "prepare": Prepared,
    "load": Loaded,
    "adopt_weights": Adopted,
    "attach": Attached,
    "move_parameters": Moved,
    "run": Ran,
    "leave_room": LeftRoom,
    "hold": Held,
    "forget": Forgotten,
    "warm": Warmed,
    "pairs": Pairs,
    "series": Series,
    **dict.fromkeys(("calls", "rehearse"), Kept),
    "profile": Profiled,
    **dict.fromkeys(("build", "compile", "precompile"), Built),
    "explore": Explored,
    "pack_compiled": Packed,
    "fork": Forked,
}

RUNS_THE_CANDIDATE = frozenset(
    "load adopt_weights move_parameters run warm pairs series calls rehearse profile explore".split()
)


def receive(
    connection: socket.socket, ask: str, *, timeout_s: float, watch: socket.socket | None = None
) -> tuple[Any, list[int]]:
    """The answer to the question ``ask``, or Raised, and the descriptors that came with it; the caller closes them.

    Raises the exceptions of ``messages.receive``: MalformedFrame also for an answer to another request.
    """
    message, descriptors = messages.receive(
        connection, timeout_s=timeout_s, watch=watch, max_bytes=MAX_ANSWER_BYTES, max_descriptors=MAX_FILES
    )
    try:
        answer = parse(ask, message)
        if len(descriptors) > answer.max_files:
            raise MalformedFrame("unexpected descriptors")
        if answer.files_only and not all(stat.S_ISREG(os.fstat(each).st_mode) for each in descriptors):
            # It may be the worker's own end of the socket: open here, it would hide that the worker has ended.
            raise MalformedFrame("expected a regular file")
    except MalformedFrame:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return answer, descriptors


def parse(ask: str, message: Mapping[str, Any]) -> Any:
    """``message`` as an answer to the question ``ask``. Raises MalformedFrame, and nothing else."""
    cls: type[Answer] = ANSWERS[ask]
    if "raised" in message:
        cls = Raised
    elif "wanted" in message and ask in RUNS_THE_CANDIDATE:
        cls = Wanted
    elif "building" in message and ask in RUNS_THE_CANDIDATE:
        cls = Building
    kinds = _kinds_of(cls)
    unknown = sorted(message.keys() - kinds.keys())
    if unknown:
        raise MalformedFrame(f"{ask}: unexpected {unknown[0][:50]!a}")
    values = {}
    for name, (kind, required) in kinds.items():
        if name in message:
            try:
                values[name] = kind.read(message[name])
            except ValueError as error:
                raise MalformedFrame(f"{ask}: {name}: {error}") from None
        elif required:
            raise MalformedFrame(f"{ask}: {name} is missing")
    return cls(**values)


@cache
def _kinds_of(cls: type[Answer]) -> dict[str, tuple[Kind, bool]]:
    """For each field its kind, and whether it must be there."""
    hints = get_type_hints(cls, include_extras=True)
    return {each.name: (get_args(hints[each.name])[1], each.default is MISSING) for each in fields(cls)}


def exactly(values: tuple[float, ...], count: int, name: str) -> list[float]:
    """``values`` where there are ``count`` of them. Raises MalformedFrame."""
    if len(values) != count:
        raise MalformedFrame(f"{name}: expected {count}")
    return list(values)


def file_content(descriptor: int, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a file that came with an answer; raises MalformedFrame unless it is a regular one within ``limit``.

    Reading a pipe, a device or a file of the kernel's own, which is regular and has no size, could block for ever.
    """
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise MalformedFrame("expected a regular file")
    if not 0 < found.st_size <= limit:
        raise MalformedFrame(f"expected a file of 1 to {limit} bytes, not {found.st_size}")
    content = bytearray()
    while len(content) < found.st_size:
        try:
            # Never beyond the size that was looked at: the other side may write to it while it is read.
            part = os.pread(descriptor, min(1 << 20, found.st_size - len(content)), len(content))
        except OSError as error:
            raise MalformedFrame(f"a file cannot be read ({error.strerror})") from None
        if not part:
            raise MalformedFrame("a file became shorter while it was read")
        content += part
    return bytes(content)
