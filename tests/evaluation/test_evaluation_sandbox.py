"""What a candidate cannot do: each line of the sandbox's list, by a candidate that tries it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_up_tasks import HONEST_RELU, RELU, candidate

from pytest_kernelbench.evaluation import Evaluator, sandbox
from pytest_kernelbench.evaluation.sandbox import filesystem
from pytest_kernelbench.records import Outcome


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="module")
def evaluator(cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_UP_TOKEN", "a-secret")
        with Evaluator(device="cpu", protocol="fast", cache=cache) as evaluator:
            yield evaluator


@pytest.fixture(scope="module")
def walls(evaluator):
    """Which namespaces this machine grants; a test about one that is missing has nothing to test."""
    return evaluator.describe()["isolation"]


def needs(walls, name):
    if not walls[name]:
        pytest.skip(f"this machine grants no {name} namespace")


def attempt_all(evaluator, bodies, *, preamble="", seconds=10.0):
    """The evaluation of a candidate for each of ``bodies``, and proof that the one after them is unaffected."""
    started = time.monotonic()
    *tried, honest = evaluator.evaluate(RELU, [*(candidate(body, preamble=preamble) for body in bodies), HONEST_RELU])
    # Another run on this machine may hold the device's lock meanwhile: its time is in no stage.
    assert time.monotonic() - started < seconds + 120
    for evaluation in tried:
        assert sum(spent for stage, spent in evaluation.seconds.items() if stage != "total") < seconds
    assert honest.outcome is Outcome.CORRECT, honest.detail
    return tried


def attempt(evaluator, body, **options):
    (tried,) = attempt_all(evaluator, [body], **options)
    return tried


def told(evaluator, expression, **options):
    """What ``expression`` is inside a candidate."""
    evaluation = attempt(evaluator, f"raise RuntimeError('<' + str({expression}) + '>')", **options)
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    return evaluation.detail.partition("<")[2].rpartition(">")[0]


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


def test_there_is_no_network(evaluator, walls):
    needs(walls, "network")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tried = attempt(evaluator, f"socket.create_connection(('127.0.0.1', {port}), 3)", preamble="import socket")
        assert tried.outcome is Outcome.RUNTIME_ERROR
        assert "Network is unreachable" in tried.detail


def test_files_outside_the_private_folder_cannot_be_written(evaluator, walls, tmp_path):
    needs(walls, "files")
    (tmp_path / "precious").write_text("kept")
    attacks = [
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(tmp_path / 'precious')!r}, 'a')",
        f"os.remove({str(tmp_path / 'precious')!r})",
        "open(os.path.expanduser('~/.kernelbench-was-here'), 'w')",
        f"os.chmod({str(tmp_path)!r}, 0)",
        "open('/usr/kernelbench-was-here', 'w')",
    ]
    for tried in attempt_all(evaluator, attacks):
        assert tried.outcome is Outcome.RUNTIME_ERROR
        assert "Read-only file system" in tried.detail or "No such file or directory" in tried.detail
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert (tmp_path / "precious").read_text() == "kept"


def test_nothing_of_the_owner_s_is_there_to_be_quoted(evaluator, walls, tmp_path):
    needs(walls, "hidden")
    (tmp_path / "secret").write_text("sesame")
    fd = os.open(tmp_path / "secret", os.O_RDONLY)
    places = [str(tmp_path / "secret"), f"/proc/{os.getpid()}/root{tmp_path}/secret", f"/proc/{os.getpid()}/fd/{fd}"]
    places += [
        "/etc/shadow",
        "/run/docker.sock",
        "/dev/vda",
        "/dev/mem",
        os.path.expanduser("~/.ssh"),
        f"{Path.cwd()}/pyproject.toml",
    ]
    try:
        for tried in attempt_all(evaluator, [f"open({place!r}).read()" for place in places]):
            assert tried.outcome is Outcome.RUNTIME_ERROR
            assert "No such file or directory" in tried.detail or "Is a directory" in tried.detail, tried.detail
    finally:
        os.close(fd)
    lists = ["/", "/tmp", os.path.expanduser("~"), str(Path.cwd())]
    for tried in attempt_all(evaluator, [f"os.listdir({place!r})" for place in lists]):
        assert "Permission denied" in tried.detail or "No such file or directory" in tried.detail


def test_a_compiler_quotes_no_file_that_the_candidate_does_not_see(evaluator, walls, tmp_path):
    needs(walls, "hidden")
    (tmp_path / "secret.h").write_text("sesame\n")
    includes = f'#include "{tmp_path}/secret.h"\nvoid kernel(void) {{}}'
    preamble = f"from pytest_kernelbench.inline import compile_c\nkernel = compile_c({includes!r})"
    tried = attempt(evaluator, "return x", preamble=preamble)
    assert tried.outcome is Outcome.BUILD_ERROR
    assert "No such file or directory" in tried.log
    assert "sesame" not in tried.log


def test_builds_can_be_opened_by_name_but_not_listed_and_their_locks_are_not_there(evaluator, walls, cache):
    needs(walls, "hidden")
    (cache / "known").write_text("a build")
    assert told(evaluator, f"open({str(cache / 'known')!r}).read()") == "a build"
    (tried,) = attempt_all(evaluator, [f"os.listdir({str(cache)!r})"])
    assert "Permission denied" in tried.detail
    (cache / "locks" / "made-up").touch()
    (tried,) = attempt_all(evaluator, [f"open({str(cache / 'locks' / 'made-up')!r})"])
    assert "No such file or directory" in tried.detail


def test_files_can_be_moved_within_the_private_folder(evaluator):
    move = "os.makedirs('a/b')\nopen('a/b/file', 'w').write('x')\nos.replace('a/b/file', 'moved')\n1 / 0"
    assert "ZeroDivisionError" in attempt(evaluator, move).detail


def test_what_python_and_its_compilers_need_is_visible_wherever_it_is(tmp_path):
    home = tmp_path / "home"
    bin_folder, packages = home / "tools" / "bin", home / "env" / "lib" / "site-packages"
    for folder in (bin_folder, packages):
        folder.mkdir(parents=True)
    linked = home / "linked"
    linked.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    environment = {"PATH": f"{bin_folder}:{home}:/usr/bin::relative", "CUDA_HOME": str(linked), "PYTHONPATH": "/"}
    seen = filesystem.needed(environment, {}, home)
    assert {bin_folder, linked, tmp_path / "elsewhere"} <= set(seen)
    assert Path(sys.prefix) in seen or any(Path(sys.prefix).is_relative_to(each) for each in seen)
    assert not [each for each in seen if home.is_relative_to(each)]


def test_any_object_may_stand_among_the_modules(tmp_path):
    class Nameless:
        def __getattr__(self, name):
            raise AttributeError(name)

    package, module = tmp_path / "package" / "__init__.py", tmp_path / "module.py"
    for each in (package, module):
        each.parent.mkdir(exist_ok=True)
        each.touch()
    modules = {
        "cython": Nameless(),
        "package": SimpleNamespace(__file__=str(package)),
        "module": SimpleNamespace(__file__=str(module)),
        "package.inner": SimpleNamespace(__file__=str(tmp_path / "elsewhere.py")),
    }
    seen = filesystem.needed({}, modules, tmp_path / "home")
    assert {package.parent, module} <= set(seen)
    assert tmp_path / "elsewhere.py" not in seen


def test_the_walls_cannot_be_taken_down_from_inside(evaluator, walls, tmp_path):
    needs(walls, "files")
    remount = """
libc = ctypes.CDLL(None, use_errno=True)
libc.unshare(0x10020000)
libc.mount(None, b"/", None, 0x20 | 0x1000, None)
open("/usr/new", "w")
"""
    tried = attempt(evaluator, remount, preamble="import ctypes")
    assert "Read-only file system" in tried.detail
    assert not list(tmp_path.iterdir())
    capabilities = "{line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')}"
    assert told(evaluator, capabilities) == "{'0000000000000000'}"


def test_the_kernel_s_own_settings_cannot_be_written(evaluator, walls):
    needs(walls, "files")
    tried = attempt(evaluator, "open('/proc/sys/kernel/core_pattern', 'r+')")
    assert tried.outcome is Outcome.RUNTIME_ERROR
    assert "Error" in tried.detail


def test_the_private_folder_can_be_written_and_is_gone_afterwards(evaluator):
    tried = attempt(evaluator, "open('mine', 'w').write('x')\nraise RuntimeError(f'<{os.getcwd()}>')")
    folder = Path(tried.detail.partition("<")[2].rpartition(">")[0])
    assert "kernelbench-" in str(folder)
    assert not (folder / "mine").exists()


def test_what_one_candidate_leaves_the_next_does_not_find(evaluator):
    attempt(
        evaluator,
        "for path in ('left', '/dev/shm/left'):\n"
        "    try: open(path, 'w').write('x')\n"
        "    except OSError: pass\n"
        "return x",
    )
    assert told(evaluator, "[os.path.exists('left'), os.path.exists('/dev/shm/left')]") == "[False, False]"


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


def test_the_environment_holds_no_secret(evaluator):
    names = told(evaluator, "sorted(os.environ)")
    assert "PATH" in names
    assert "MADE_UP_TOKEN" not in names
    # Nor does that of any process whose environment it can read.
    read = """
seen = b""
for name in os.listdir("/proc"):
    try:
        seen += open(f"/proc/{name}/environ", "rb").read()
    except OSError:
        pass
raise RuntimeError("found" if b"a-secret" in seen else "nothing")
"""
    assert attempt(evaluator, read).detail.startswith("RuntimeError: nothing")


def test_kept_names_are_the_only_ones_that_pass():
    assert sandbox.kept_environment({"PATH": "/bin", "HF_TOKEN": "x", "AWS_SECRET_ACCESS_KEY": "x"}) == {"PATH": "/bin"}


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


def test_a_worker_reaches_its_own_gpu_only_and_a_builder_none():
    files = [f"/dev/nvidia{name}" for name in ("0", "1", "10", "ctl", "-uvm")]
    assert filesystem.files_to_hide(files, "cuda", "/dev/nvidia1") == ["/dev/nvidia0", "/dev/nvidia10"]
    assert filesystem.files_to_hide(files, "cuda", None) == []
    assert filesystem.files_to_hide(files, "cpu", None) == files


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
