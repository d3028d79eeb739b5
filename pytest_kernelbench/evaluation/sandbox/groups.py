"""A control group (version 2) for each worker, where the system lets this user make some.

The kernel freezes a group as a whole and counts the CPU time of all that was ever in it: processes that escape from
their parents, and children that nobody waits for, included. A process is in the group of the one that started it, and
can move only where it can write to the groups' files, which a worker's sandbox has read-only or not at all.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

OWN = Path("/proc/self/cgroup")
MOUNTS = Path("/proc/self/mountinfo")
PREFIX = "kernelbench-"
# The longest wait for a freeze: threads are frozen when they enter the kernel, which they are made to do at once.
SECONDS_TO_FREEZE = 0.1
# The kernel lets go of a group a moment after its last process has ended.
SECONDS_TO_REMOVE = 1.0
BETWEEN_LOOKS_S = 0.00005
# More than the kernel says in any file of a group.
MOST_TEXT_BYTES = 1 << 16


class Group:
    """The control group of one worker, by its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[str, int] = {}

    def stop(self) -> None:
        """Begin to stop the group's processes; takes some microseconds, and is followed by ``stop_all``."""
        self._write("1")

    def stop_all(self) -> bool:
        """Stop the group's processes, and wait until they stand; returns whether all do.

        One in a driver's call stops when that returns.
        """
        self.stop()
        deadline = time.perf_counter() + SECONDS_TO_FREEZE
        try:
            while not self.says("frozen 1"):
                if time.perf_counter() > deadline:
                    return False
                time.sleep(BETWEEN_LOOKS_S)
        except OSError:
            pass  # A group that was removed has no process.
        return True

    def go_on(self) -> None:
        """Let the group's processes run."""
        self._write("0")

    def says(self, event: str) -> bool:
        """Whether the kernel says of the group that it is ``frozen 1`` or ``populated 1``. Raises OSError."""
        return event in self._read("cgroup.events")

    def close(self) -> None:
        """Close the files that are held open, until they are needed again; ``remove`` removes the group."""
        while self._opened:
            os.close(self._opened.popitem()[1])

    def spent_seconds(self) -> float:
        """CPU time of all that was ever in the group; 0 when it is gone."""
        with suppress(OSError):
            for line in self._read("cpu.stat").splitlines():
                name, _, microseconds = line.partition(" ")
                if name == "usage_usec":
                    return int(microseconds) * 1e-6
        return 0.0

    def remove(self) -> None:
        """Remove the group, once all processes in it have ended; one that cannot be removed is left."""
        self.close()
        deadline = time.monotonic() + SECONDS_TO_REMOVE
        while self.folder.exists() and time.monotonic() < deadline:
            with suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.001)

    def _write(self, word: str) -> None:
        # A group that was removed has no process to be stopped.
        with suppress(OSError):
            os.pwrite(self._file("cgroup.freeze", os.O_WRONLY), word.encode(), 0)

    def _read(self, name: str) -> str:
        return os.pread(self._file(name, os.O_RDONLY), MOST_TEXT_BYTES, 0).decode()

    def _file(self, name: str, flags: int) -> int:
        """A descriptor of one of the group's files. Raises OSError.

        It stays open: a turn by the judge's clock needs six, and to open them took 2 ms (eight judges on an H200).
        """
        if name not in self._opened:
            self._opened[name] = os.open(self.folder / name, flags | os.O_CLOEXEC)
        return self._opened[name]


class Groups:
    """Makes groups below that of this process, all in one folder, with this process's number in its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    @classmethod
    def here(cls) -> Groups | None:
        """Groups below this process's own; None where this user cannot make and freeze groups of version 2."""
        parent = own_folder()
        if parent is None:
            return None
        _remove_abandoned(parent)
        groups = cls(parent / f"{PREFIX}{os.getpid()}")
        try:
            groups._folder.mkdir()
            groups._try()
        except OSError:
            groups.close()
            return None
        return groups

    def new(self) -> Group:
        """A new group. Raises OSError."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return Group(folder)

    def close(self) -> None:
        """End all processes in the groups, and remove them."""
        with suppress(OSError):
            _tell(self._folder / "cgroup.kill", "1")
        deadline = time.monotonic() + SECONDS_TO_REMOVE
        while not _remove(self._folder) and time.monotonic() < deadline:
            time.sleep(0.001)

    def _try(self) -> None:
        """Try a group with a child. Raises OSError if the child cannot enter it, be frozen in it or be counted."""
        group = self.new()
        entrance = entrance_of(group)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            with suppress(OSError):
                enter(entrance)
                os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        try:
            deadline = time.monotonic() + SECONDS_TO_REMOVE
            while not group.says("populated 1"):
                if time.monotonic() > deadline:
                    raise OSError("no process enters a control group")
                time.sleep(BETWEEN_LOOKS_S)
            group.stop_all()
            if not group.says("frozen 1"):
                raise OSError("a control group is not frozen")
            if "usage_usec" not in (group.folder / "cpu.stat").read_text():
                raise OSError("a control group does not count CPU time")
        finally:
            group.go_on()
            os.close(writing)
            os.close(entrance)
            os.waitpid(child, 0)
            group.remove()


def entrance_of(group: Group) -> int:
    """A descriptor by which a process can ``enter`` the group from within a sandbox, which hides the group's files."""
    return os.open(group.folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def enter(entrance: int) -> None:
    """Move this process into the group. Raises OSError."""
    os.write(entrance, b"0")


def own_folder(own: Path = OWN, mounts: Path = MOUNTS) -> Path | None:
    """The folder of this process's group of version 2; None where there is none, or it is not visible from here."""
    try:
        path = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
        points = [line.split(" - ")[0].split()[4] for line in mounts.read_text().splitlines() if " - cgroup2 " in line]
    except (OSError, StopIteration):
        return None
    folder = Path(points[0], path.lstrip("/")) if points and ".." not in Path(path).parts else None
    return folder if folder is not None and folder.is_dir() else None


def _tell(file: Path, word: str) -> None:
    """Write to a file of the kernel, which is not made where it is missing. Raises OSError."""
    with file.open("r+") as opened:
        opened.write(word)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders that processes left behind when they were killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        number = folder.name.removeprefix(PREFIX)
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            _remove(folder)


def _remove(folder: Path) -> bool:
    """Remove the groups in a folder in which no process is left, and the folder if it is empty then."""
    try:
        for each in folder.iterdir():
            if each.is_dir():
                each.rmdir()
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True
