"""The limits of a candidate's process, and the attacks that they do not stop.

Covered where the kernel grants namespaces (``Isolation``; run.json has the walls that held):

- network: none, not even loopback
- files: the system, Python and the compilers, read-only, and a private folder and a /tmp of its own, in memory, of
  bounded size, gone with the candidate; the owner's home, the machine's /tmp, the folders of runs and the machine's
  disks are not there (``filesystem``)
- other GPUs than its own: hidden; a builder sees no GPU
- other processes: invisible (visible on a GPU, because CUDA does not start otherwise), and cannot be signalled or
  traced (on a GPU from Linux 6.12 on); all processes of the candidate end with it, daemons included
- fork bombs and memory: ended by a watchdog over the candidate's process tree, and by limits for each process
- secrets: the environment holds a short list of harmless names
- cores: a candidate for a GPU runs on those that the judge gives it (``seccomp``)
- core dumps, and CPU time beyond the deadline

Covered everywhere: time limits, by the judge; output is discarded; one process for one candidate.

Not covered: reading files beside a toolchain or a package that is outside the system; hardware side channels;
exploits of the kernel or of a driver; a kernel left running on a GPU that reads inputs before the timed call.
Without a root of its own (``hidden``) also: reading the user's files, and quoting them in a message.
Without namespaces also: writing to the user's files, killing the user's processes, talking to the network.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.sandbox import cgroup, filesystem, landlock, seccomp
from pytest_kernelbench.evaluation.sandbox.filesystem import Visible
from pytest_kernelbench.evaluation.sandbox.trying import child_succeeds

_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 15, 24, 36
_CAPABILITY_VERSION_3 = 0x20080522
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8

NOTHING = Visible()
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# A process that was signalled ends at once, unless a driver holds it; after so long it is killed.
SECONDS_TO_END = 1.0
KEPT_ENVIRONMENT = frozenset(
    "PATH HOME LANG LC_ALL TERM USER LOGNAME PYTHONPATH VIRTUAL_ENV LD_LIBRARY_PATH CUDA_HOME CUDA_PATH "
    "CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES OMP_NUM_THREADS OMP_WAIT_POLICY".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """The walls around a candidate that this machine grants.

    ``network``: it has none. ``files``: it can write to its private folder only. ``hidden``: it cannot read files that
    it does not need. ``processes``: it has a process namespace of its own. ``signals``: it can signal its own processes
    only. ``cores``: it cannot choose its cores. ``group``: a control group holds all its processes, which the kernel
    stops and counts together.
    """

    network: bool
    files: bool
    hidden: bool
    processes: bool
    signals: bool
    cores: bool
    group: bool = False

    def describe(self) -> dict[str, bool]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All limits of a candidate, except on time, which the judge keeps. ``enter`` has the kernel enforce the limits on
    single processes; ``watchdog`` ends a candidate whose processes together exceed ``resident_bytes`` or ``processes``.

    ``address_space_bytes`` is None on a GPU: CUDA reserves far more address space than it uses.
    """

    folder_bytes: int
    address_space_bytes: int | None
    resident_bytes: int
    cpu_seconds: int = 3600
    processes: int = 256


def limits_for(device: str) -> Limits:
    """Limits for a candidate on this machine as it is now: at most 60 % of the memory that is free."""
    free_bytes = int(cgroup.machine_memory_bytes().free * 0.6)
    return Limits(
        folder_bytes=min(1 << 30, free_bytes),
        address_space_bytes=None if is_gpu(device) else free_bytes,
        resident_bytes=free_bytes,
    )


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
            # On a busy machine the parent may have ended before this call: then the kernel sends no signal.
            os._exit(1)
        os.close(writing)
        return 0
    os.close(writing)
    os.read(reading, 5)
    os.close(reading)
    return child


def name_process(name: str) -> None:
    """Set the name that ``ps`` and ``top`` show for this process instead of python; at most 15 characters."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def holds_of(child: int) -> list[int]:
    """A descriptor (pidfd) of this process's ``child``, never of a later process; none if the kernel has no pidfd."""
    try:
        return [os.pidfd_open(child)]
    except OSError:
        return []


def give_up_privileges(listable: Sequence[Path] = (), private: Path | None = None) -> None:
    """Drop every capability for good: in its own namespace, a candidate could otherwise undo ``enter``.

    With ``listable``, no other folder can be listed from now on; a file elsewhere can be opened only by its name.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp.forbid_new_privileges()
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    landlock.restrict(listable, private)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def descendants(process: int) -> list[int]:
    """Numbers of all running processes that ``process`` started, directly or not; parents before children."""
    found: list[int] = []
    for child in _children(process):
        found += [child, *descendants(child)]
    return found


def _children(process: int) -> list[int]:
    # Any of its threads may have started one. Not with pathlib, which takes three times as long: this is done 50 times
    # a trial, for 40 threads.
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
        # The clock of clock_getcpuclockid(3); /proc/PID/stat counts in steps of 10 ms.
        return time.clock_gettime(~process << 3 | 2)
    except OSError:
        return 0.0


def spent_seconds_of(process: int) -> float:
    """CPU time so far of a process and of its ended children, in steps of 10 ms; 0 when it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    # After the last bracket, because the process's name, the second field, may contain anything.
    return cpu_seconds_of(process) + sum(map(int, stat.rpartition(")")[2].split()[13:15])) / TICKS_PER_SECOND


def probe_isolation(*, device: str, visible: Visible = NOTHING) -> Isolation:
    """The walls that this machine grants for ``device``, each tried in a child of its own."""

    def read_only(folder: Path) -> None:
        _close_files(folder, 1 << 20, device)

    def hide(folder: Path) -> None:
        _close_files(folder, 1 << 20, device, visible=visible)
        if is_gpu(device) and ctypes.CDLL("libcuda.so.1").cuInit(0) != 0:
            raise OSError("CUDA does not start among these files")

    hidden = _succeeds_behind(_CLONE_NEWNS, hide)
    return Isolation(
        network=_succeeds_behind(_CLONE_NEWNET),
        files=hidden or _succeeds_behind(_CLONE_NEWNS, read_only),
        hidden=hidden,
        # CUDA does not start in a process namespace of its own ("operation not supported on this OS").
        processes=not is_gpu(device) and _succeeds_behind(_CLONE_NEWPID),
        signals=landlock.version() >= landlock.WITH_SCOPES,
        cores=seccomp.keeps_cores_here(),
    )


def _succeeds_behind(flag: int, then: Callable[[Path], None] = lambda folder: None) -> bool:
    with tempfile.TemporaryDirectory(prefix="kernelbench-") as folder:

        def enter_and_go_on() -> None:
            _unshare(flag)
            then(Path(folder))

        return child_succeeds(enter_and_go_on)


def _close_files(
    folder: Path, folder_bytes: int, device: str, gpu: str | None = None, *, visible: Visible | None = None
) -> None:
    """Let this process write to ``folder`` only, and read only ``visible`` files (None: all) and the system's."""
    if visible is None:
        of_others = filesystem.files_to_hide(filesystem.gpu_files(), device, gpu)
        filesystem.make_read_only(folder, folder_bytes, of_others, cuda=is_gpu(device))
    else:
        devices = filesystem.devices_for(device, gpu)
        filesystem.enter_root(folder, folder_bytes, visible, devices, cuda=is_gpu(device))


def enter(
    isolation: Isolation,
    folder: Path,
    limits: Limits,
    *,
    device: str,
    gpu: str | None = None,
    visible: Visible = NOTHING,
) -> None:
    """Apply the limits of the module's docstring to this process and all that it forks from now on.

    ``gpu`` is the device file of the GPU to compute on; None if that is not known, or if there is none. ``visible``:
    the files that a candidate sees besides the system. To be called between two forks: the process namespace applies
    from the next fork on.
    """
    flags = (
        (_CLONE_NEWNET if isolation.network else 0)
        | (_CLONE_NEWNS if isolation.files else 0)
        | (_CLONE_NEWPID | _CLONE_NEWIPC if isolation.processes else 0)
    )
    with suppress(OSError):
        # If memory runs out, the kernel is to end a candidate before any other process.
        Path("/proc/self/oom_score_adj").write_text("1000")
    if flags:
        _unshare(flags)
    if isolation.files:
        _close_files(folder, limits.folder_bytes, device, gpu, visible=visible if isolation.hidden else None)
        if gpu is not None and os.environ.get("CUDA_VISIBLE_DEVICES", "").isdigit():
            # A process that sees one GPU counts it as the first.
            os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.folder_bytes, limits.folder_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds))
    if limits.address_space_bytes is not None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        allowed = used + limits.address_space_bytes
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def own_process_table(isolation: Isolation) -> bool:
    """In the first process of a namespace: whether /proc now shows the namespace's processes, as ``watch`` needs."""
    if not isolation.processes:
        return True
    # Only a freshly mounted /proc shows the namespace's own processes. Read-only: for root, /proc/sys is the machine's.
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    return ctypes.CDLL(None, use_errno=True).mount(b"proc", b"/proc", b"proc", flags, None) == 0


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill every process below this one; it must have adopted their orphans."""
    while below := descendants(os.getpid()):
        for process in below:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def end_on_request() -> None:
    """In the first process of a namespace: at SIGTERM, kill all other processes, wait for them, and exit.

    If the first process is killed instead, the kernel kills the others and forgets their CPU time, which then seems to
    be other programs' (``spent_seconds_of``).
    """

    def end(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)


def end_namespace(first: int) -> None:
    """In its parent: ask a namespace's ``first`` process, stopped or not, to end it; after a second, kill that."""
    deadline = time.monotonic() + SECONDS_TO_END
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(first, signal.SIGTERM)
        os.kill(first, signal.SIGCONT)
        while os.waitpid(first, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(first, signal.SIGKILL)
            time.sleep(0.0005)


def _unshare(flags: int) -> None:
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags | _CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
