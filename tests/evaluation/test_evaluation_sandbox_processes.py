"""A candidate cannot harm other processes, and its share of the machine is limited."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attempts import attempt, attempt_all, needs, told

from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.records import Outcome


def processes_with(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def gone(mark: str, *, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while processes_with(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_only_its_own_processes_can_be_killed(evaluator, walls):
    needs(walls, "processes")
    kills = [
        "os.kill(-1, 9)",
        "os.kill(os.getppid(), 9)",
        "os.kill(1, 9)",
        "os.killpg(0, 9)",
        "os.kill(0, 9)",
    ]
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        bodies = [f"try:\n    {kill}\nexcept OSError: pass\nreturn x" for kill in kills]
        outcomes = [tried.outcome for tried in attempt_all(evaluator, bodies)]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    # Nobody to kill, no permission to kill the namespace's first process, and two that end themselves.
    ended = Outcome.RUNTIME_ERROR
    assert outcomes == [Outcome.INCORRECT, Outcome.INCORRECT, Outcome.INCORRECT, ended, ended]


def test_other_processes_are_not_visible(evaluator, walls):
    needs(walls, "processes")
    seen = told(evaluator, "sorted(int(name) for name in os.listdir('/proc') if name.isdigit())")
    assert len(seen.split(",")) <= 3, seen


def test_a_daemon_ends_with_its_candidate(evaluator, walls):
    needs(walls, "processes")
    mark = f"made-up-daemon-{os.getpid()}"
    daemonise = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv({sys.executable!r}, [{sys.executable!r}, "-c", "import time; time.sleep(60)", {mark!r}])
    os._exit(0)
os.wait()
time.sleep(0.2)
return x
"""
    tried = attempt(evaluator, daemonise)
    assert tried.outcome is Outcome.INCORRECT, tried
    assert gone(mark)


def test_a_fork_bomb_is_ended(evaluator, walls):
    needs(walls, "processes")
    before = len(os.listdir("/proc"))
    tried = attempt(evaluator, "while True:\n    try: os.fork()\n    except OSError: pass", seconds=40)
    assert tried.outcome is Outcome.RUNTIME_ERROR
    assert tried.detail == "the process was ended by SIGKILL while running on signed inputs"
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc")) > before + 100:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_memory_hog_is_refused(evaluator):
    tried = attempt(evaluator, "kept = []\nwhile True: kept.append(torch.empty(1 << 30))", seconds=20)
    assert tried.outcome is Outcome.RUNTIME_ERROR
    assert "can't allocate memory" in tried.detail


def test_a_tree_of_processes_that_grows_beyond_the_limit_is_ended(tmp_path):
    """The watchdog itself, with a limit that does not hurt the machine."""
    isolation = sandbox.probe_isolation(device="cpu")
    if not isolation.processes:
        pytest.skip("this machine grants no processes namespace")
    hog = """
import os, sys, time
from pathlib import Path
from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.sandbox import watchdog

limits = sandbox.Limits(folder_bytes=1 << 20, address_space_bytes=None, resident_bytes=200 << 20)
isolation = sandbox.probe_isolation(device="cpu")
sandbox.enter(isolation, Path(sys.argv[1]), limits, device="cpu")
if os.fork() == 0:
    sees_it = sandbox.own_process_table(isolation)
    worker = os.fork()
    if worker == 0:
        for _ in range(4):
            if os.fork() == 0:
                break
        kept = bytearray(os.urandom(1 << 20) * 80)
        time.sleep(30)
        os._exit(0)
    status, by_others = watchdog.watch(worker, isolation, limits, folder=Path(sys.argv[1]), sees_it=sees_it)
    os._exit(9 if (status, by_others) == (9, False) else 1)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", hog, str(tmp_path)], timeout=30)
    assert done.returncode == 9
    assert time.monotonic() - started < 15


def test_a_disk_can_be_filled_no_further_than_the_private_folder(evaluator, walls):
    needs(walls, "files")
    fill = """
for number in range(100):
    with open(f"fill-{number}", "wb") as file:
        for _ in range(4):
            file.write(bytes(16 << 20))
raise RuntimeError("no end in sight")
"""
    tried = attempt(evaluator, fill, seconds=20)
    assert tried.outcome is Outcome.RUNTIME_ERROR
    assert "No space left on device" in tried.detail


def test_a_flood_of_output_goes_nowhere(evaluator, capfd):
    flood = "for _ in range(32):\n    os.write(1 + _ % 2, bytes(1 << 20))\nprint('x' * 10**6)\nreturn x"
    tried = attempt(evaluator, flood)
    assert tried.outcome is Outcome.INCORRECT
    assert capfd.readouterr() == ("", "")


def test_there_is_nothing_to_read_from_the_terminal(evaluator):
    assert told(evaluator, "os.read(0, 10)") == "b''"


def test_a_core_is_not_dumped_and_cpu_time_is_bounded(evaluator):
    limits = "[resource.getrlimit(limit) for limit in (resource.RLIMIT_CORE, resource.RLIMIT_CPU)]"
    assert told(evaluator, limits, preamble="import resource") == "[(0, 0), (3600, 3600)]"


def test_a_crash_costs_its_own_candidate_and_is_named(evaluator):
    crashes = {
        "os.abort()": "was ended by SIGABRT",
        "ctypes.string_at(0)": "was ended by SIGSEGV",
        "os.kill(os.getpid(), 40)": "was ended by signal 40",
        "os._exit(0)": "exited with status 0",
        "raise SystemExit(3)": "exited with status 1",
        "raise KeyboardInterrupt": "exited with status 1",
    }
    tried = attempt_all(evaluator, crashes, preamble="import ctypes")
    assert {evaluation.outcome for evaluation in tried} == {Outcome.RUNTIME_ERROR}
    details = [evaluation.detail for evaluation in tried]
    assert details == [f"the process {end} while running on signed inputs" for end in crashes.values()]


def test_limits_leave_the_machine_some_memory():
    limits = sandbox.limits_for("cpu")
    assert 0 < limits.folder_bytes <= 1 << 30
    assert limits.address_space_bytes == limits.resident_bytes
    assert sandbox.limits_for("cuda").address_space_bytes is None


@pytest.mark.parametrize("own_processes", [False, True])
def test_a_child_that_is_scheduled_after_its_parent_has_ended_does_nothing(own_processes):
    if own_processes and not sandbox.probe_isolation(device="cpu").processes:
        pytest.skip("this machine grants no processes namespace")
    code = f"""
import os, time
from pytest_kernelbench.evaluation import sandbox

def fork_late(fork=os.fork):
    child = fork()
    if child:
        os._exit(0)
    time.sleep(0.5)
    return child

if {own_processes}:
    sandbox._unshare(sandbox._CLONE_NEWPID)
os.fork = fork_late
print("parent", flush=True)
if sandbox.fork_bound() == 0:
    print("child", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "parent\n", done.stderr


def test_orphans_are_adopted_and_ended_where_there_is_no_process_namespace():
    code = """
import subprocess, time
from pytest_kernelbench.evaluation import sandbox

sandbox.adopt_orphans()
subprocess.run(["sh", "-c", "setsid sleep 60 & setsid sh -c 'sleep 60 & sleep 60' &"])
while len(sandbox.descendants(__import__("os").getpid())) < 4:
    time.sleep(0.01)
sandbox.end_descendants()
print(sandbox.descendants(__import__("os").getpid()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr


def test_without_a_process_namespace_too_nobody_else_can_be_signalled_or_traced(walls):
    """On a GPU there is none: CUDA does not start in it."""
    needs(walls, "signals")
    attempts = """
import ctypes, os, sys
from pytest_kernelbench.evaluation import sandbox
sandbox.give_up_privileges()
try:
    os.kill(int(sys.argv[1]), 0)
except PermissionError:
    print("no signal")
if ctypes.CDLL(None, use_errno=True).ptrace(16, int(sys.argv[1]), 0, 0) != 0:
    print("no trace")
child = os.fork()
if child == 0:
    import time
    time.sleep(60)
os.kill(child, 9)
print("its own ended by", os.waitpid(child, 0)[1])
"""
    with subprocess.Popen(["sleep", "60"]) as neighbour:
        command = [sys.executable, "-c", attempts, str(neighbour.pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        neighbour.kill()
    assert done.stdout.splitlines() == ["no signal", "no trace", "its own ended by 9"], done.stderr
