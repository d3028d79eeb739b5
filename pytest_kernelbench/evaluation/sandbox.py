"""What a candidate's process may do, and what this cannot stop.

Covered where the kernel grants namespaces (``Isolation``; run.json says which held):

- network: none, not even loopback
- files: everything read-only but one private folder in memory, of bounded size, gone with the candidate
- other GPUs than its own: hidden, and from who builds all of them
- other processes: not visible (on a GPU they are: CUDA does not start otherwise), not to be signalled or traced
  (there from Linux 6.12 on); all of the candidate's own end with it, daemons included
- fork bombs and memory: ended by a watchdog over the candidate's process tree, and by limits for each process
- secrets: the environment holds a short list of harmless names
- core dumps, and CPU time beyond the deadline

Covered everywhere: time limits kept by the judge; output goes nowhere; one process for one candidate.

Not covered: reading files that the user can read (nothing can leave: no network, and output is only ever
compared); hardware side channels; exploits of the kernel or of a driver; slowing the reference beside a candidate that
is fast in truth, by less than 1.04 times on a GPU (nobody becomes fast by it: a claim must hold against the judge's own
reference, and on a CPU it is counted against that); forged durations where the judge's clock sees half of what they
claim to save, or where that is less than 0.02 ms, on a CPU less than 5 % as well, or so little that a candidate does
not count as fast; a kernel left running on a GPU that reads inputs before it is asked.
Without namespaces also: writing to the user's files, killing the user's processes, talking to the network.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from glob import glob
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
_MOUNT_SETATTR = 442  # the same number on every architecture
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF, _LANDLOCK_ABI_WITH_SCOPES = 444, 446, 6
_LANDLOCK_SCOPES = 0b11  # abstract sockets and signals
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY, _MS_PRIVATE = 0x1, 1 << 18
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND = 1, 2, 4, 8, 1 << 12

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MAX_PROCESSES = 256
WATCH_INTERVAL_S = 0.1
LEAST_SHARE_OF_MEMORY = 0.03
KEPT_ENVIRONMENT = frozenset(
    "PATH HOME LANG LC_ALL TERM USER LOGNAME PYTHONPATH VIRTUAL_ENV LD_LIBRARY_PATH CUDA_HOME CUDA_PATH "
    "CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES OMP_NUM_THREADS OMP_WAIT_POLICY".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Which namespaces this machine grants to a candidate."""

    network: bool
    files: bool
    processes: bool
    signals: bool

    def describe(self) -> dict[str, bool]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``address_space_bytes`` is None on a GPU: CUDA reserves far more address space than it uses."""

    folder_bytes: int
    address_space_bytes: int | None
    resident_bytes: int
    cpu_seconds: int = 3600


def limits_for(device: str) -> Limits:
    """Limits for a candidate on this machine as it is now: at most 60 % of the memory that is free."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free_kb = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    free_bytes = int(free_kb * 1024 * 0.6)
    return Limits(
        folder_bytes=min(1 << 30, free_bytes),
        address_space_bytes=free_bytes if device == "cpu" else None,
        resident_bytes=free_bytes,
    )


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def kept_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a candidate may see."""
    return {name: value for name, value in environment.items() if name in KEPT_ENVIRONMENT}


def fork_bound() -> int:
    """As ``os.fork``, but the kernel kills the child when this process ends, however that happens."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            os.write(writing, b"bound")
        except BrokenPipeError:
            # On a busy machine the parent may have ended by now, and then nobody sends the signal.
            os._exit(1)
        os.close(writing)
        return 0
    os.close(writing)
    os.read(reading, 5)
    os.close(reading)
    return child


def holds_of(child: int) -> list[int]:
    """A descriptor (pidfd) that means this process's ``child`` and no later one; none where the kernel has no such."""
    try:
        return [os.pidfd_open(child)]
    except OSError:
        return []


def give_up_privileges() -> None:
    """Drop every capability for good: in a namespace of its own, a candidate could else undo what ``enter`` did."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _keep_signals_inside(libc)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _keep_signals_inside(libc: ctypes.CDLL) -> None:
    # Where the kernel knows these scopes (6.12): no signal to, and no tracing of, a process that is not of this one's.
    scopes = (ctypes.c_uint64 * 3)(0, 0, _LANDLOCK_SCOPES)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(scopes), ctypes.sizeof(scopes), 0)
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)


def descendants(process: int) -> list[int]:
    """All that ``process`` started and that still runs, parents before children."""
    found: list[int] = []
    for child in _children(process):
        found += [child, *descendants(child)]
    return found


def _children(process: int) -> list[int]:
    # Any thread may have started some. Asked for 50 times a trial, of 40 threads: pathlib took three times as long.
    threads = f"/proc/{process}/task"
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(threads):
            with suppress(OSError), open(f"{threads}/{thread}/children") as listing:
                found += map(int, listing.read().split())
    return found


def cpu_seconds_of(process: int) -> float:
    """CPU time of all threads of a process, ended ones included; 0 when it is gone."""
    try:
        # What clock_getcpuclockid(3) returns; /proc/PID/stat counts in steps of 10 ms.
        return time.clock_gettime(~process << 3 | 2)
    except OSError:
        return 0.0


def spent_seconds_of(process: int) -> float:
    """CPU time so far of a process, and of all its children that have ended in steps of 10 ms; 0 when it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    # The name of a process, the second field, may hold anything.
    return cpu_seconds_of(process) + sum(map(int, stat.rpartition(")")[2].split()[13:15])) / TICKS_PER_SECOND


def probe_isolation(*, device: str) -> Isolation:
    """Try each namespace in a child of its own, so that a refusal costs nothing."""
    granted = {flag: _child_succeeds(flag, device) for flag in (_CLONE_NEWNET, _CLONE_NEWNS, _CLONE_NEWPID)}
    return Isolation(
        network=granted[_CLONE_NEWNET],
        files=granted[_CLONE_NEWNS],
        # CUDA does not start in a process namespace of its own ("operation not supported on this OS").
        processes=granted[_CLONE_NEWPID] and device == "cpu",
        signals=ctypes.CDLL(None).syscall(_LANDLOCK_CREATE_RULESET, None, 0, 1) >= _LANDLOCK_ABI_WITH_SCOPES,
    )


def _child_succeeds(flag: int, device: str) -> bool:
    child = os.fork()
    if child == 0:
        try:
            _unshare(flag)
            if flag == _CLONE_NEWNS:
                _make_read_only("/tmp", 1 << 20, device=device)
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def enter(isolation: Isolation, folder: Path, limits: Limits, *, device: str, gpu: str | None = None) -> None:
    """Give up, in this process and for all it forks from now on, what the module's docstring lists.

    ``gpu`` is the device file of the GPU to compute on; None if that is not known, or if there is none. To be called
    between two forks: the process namespace holds from the next fork on.
    """
    flags = (
        (_CLONE_NEWNET if isolation.network else 0)
        | (_CLONE_NEWNS if isolation.files else 0)
        | (_CLONE_NEWPID | _CLONE_NEWIPC if isolation.processes else 0)
    )
    if flags:
        _unshare(flags)
    if isolation.files:
        _hide_gpus(device, gpu)
        _make_read_only(str(folder), limits.folder_bytes, device=device)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.folder_bytes, limits.folder_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds))
    if limits.address_space_bytes is not None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        allowed = used + limits.address_space_bytes
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def watch(worker: int, isolation: Isolation, limits: Limits) -> int:
    """Wait for ``worker`` and return its wait status, ending its tree when it grows beyond the limits.

    Runs in the first process of the namespace: when it returns and exits, the kernel kills all that is left. Without
    a namespace of its own, the tree is what its parent, which adopts orphans, has below it.
    """
    guarded = not isolation.processes or _mount_own_process_table()
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == worker:
            return status
        if pid == 0:
            tree = _process_tree(isolation) if guarded else []
            if tree and (_too_large(tree, limits) or _memory_is_short()):
                for process in [-1] if isolation.processes else tree:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
            time.sleep(WATCH_INTERVAL_S)


def _mount_own_process_table() -> bool:
    # Only a freshly mounted /proc shows the namespace's own processes. Read-only: for root, /proc/sys is the machine's.
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    return ctypes.CDLL(None, use_errno=True).mount(b"proc", b"/proc", b"proc", flags, None) == 0


def _process_tree(isolation: Isolation) -> list[int]:
    """The candidate's processes, without this one."""
    if isolation.processes:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    return [process for process in descendants(os.getppid()) if process != os.getpid()]


def _too_large(tree: Sequence[int], limits: Limits) -> bool:
    if len(tree) > MAX_PROCESSES:
        return True
    resident_pages = 0
    for process in tree:
        try:
            # Resident minus shared: pages common with the warm server are not the candidate's.
            fields = Path(f"/proc/{process}/statm").read_text().split()
        except OSError:
            continue
        resident_pages += max(0, int(fields[1]) - int(fields[2]))
    return resident_pages * resource.getpagesize() > limits.resident_bytes


def _memory_is_short() -> bool:
    # Anonymous files count as nobody's resident memory, and can still take all there is.
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines[:3]}
    return kilobytes["MemAvailable"] < LEAST_SHARE_OF_MEMORY * kilobytes["MemTotal"]


def adopt_orphans() -> None:
    """Make this process the parent of every process below it whose own parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill every process below this one; it must have adopted their orphans."""
    while below := descendants(os.getpid()):
        for process in below:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _unshare(flags: int) -> None:
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags | _CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _hide_gpus(device: str, own: str | None) -> None:
    # Who builds while another is timed must not reach the device, and who has one of his own must not reach another's.
    for node in map(Path, files_to_hide(glob("/dev/nvidia*"), device, own)):
        if node.is_char_device() and ctypes.CDLL(None).mount(b"/dev/null", bytes(node), None, _MS_BIND, None) != 0:
            raise OSError(f"cannot hide {node}")
    if own is not None and os.environ.get("CUDA_VISIBLE_DEVICES", "").isdigit():
        # Who sees one GPU counts it as the first.
        os.environ["CUDA_VISIBLE_DEVICES"] = "0"


def files_to_hide(files: Iterable[str], device: str, own: str | None) -> list[str]:
    """Device files of NVIDIA's driver that are not for a worker on ``device``, which computes on the GPU ``own``."""
    if device == "cpu":
        return list(files)
    return [each for each in files if own is not None and each != own and re.fullmatch(r"/dev/nvidia\d+", each)]


def _make_read_only(writable: str, writable_bytes: int, *, device: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def set_attributes(path: bytes, flags: int, attributes: _MountAttributes) -> int:
        size = ctypes.sizeof(attributes)
        return libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path, flags, ctypes.byref(attributes), size)

    failed = (
        set_attributes(b"/", _AT_RECURSIVE, _MountAttributes(propagation=_MS_PRIVATE))
        # A mount of its own, so that it stays read-only where /proc does not: for root, it is the machine's.
        or libc.mount(b"/proc/sys", b"/proc/sys", None, _MS_BIND, None)
        or set_attributes(b"/", _AT_RECURSIVE, _MountAttributes(set=_MOUNT_ATTR_RDONLY))
        # CUDA does not start where it cannot write to /proc ("operation not supported on this OS").
        or (device == "cuda" and set_attributes(b"/proc", 0, _MountAttributes(clear=_MOUNT_ATTR_RDONLY)))
        or libc.mount(b"tmpfs", writable.encode(), b"tmpfs", 0, f"size={writable_bytes},mode=700".encode())
    )
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
