"""What a candidate cannot reach: the network, files, secrets, and the walls themselves."""

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from attempts import attempt, attempt_all, needs, told

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
        f"open({str(Path.home() / '.kernelbench-was-here')!r}, 'w')",
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


@pytest.mark.parametrize("below", ["", "work"])
def test_of_a_folder_on_pythonpath_with_the_session_in_it_only_modules_are_visible(tmp_path, monkeypatch, below):
    files = ["package/__init__.py", "module.py", "native.so", "runs/one/samples.jsonl", "secret.txt", "work/notes.txt"]
    for each in files:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).touch()
    environment, home = {"PYTHONPATH": f":{tmp_path}:relative"}, Path("/home/of-nobody")
    assert tmp_path in filesystem.needed(environment, {}, home)
    monkeypatch.chdir(tmp_path / below)
    seen = [each for each in filesystem.needed(environment, {}, home) if each.is_relative_to(tmp_path)]
    assert sorted(seen) == [tmp_path / name for name in ("module.py", "native.so", "package")]


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


def test_a_kernel_may_keep_builds_where_libraries_do_in_the_home_folder_and_in_tmp(evaluator, walls):
    needs(walls, "hidden")
    keep = """
from pathlib import Path

def kept(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.cu").write_text("// a kernel")
    os.replace(folder / "kernel.cu", folder / "kept.cu")
    return (folder / "kept.cu").read_text()

for folder in (Path.home() / ".cupy" / "kernel_cache", Path("/tmp") / "cuda_extensions" / "made_up"):
    assert kept(folder) == "// a kernel"
"""
    assert attempt(evaluator, "return torch.relu(x)", preamble=keep).outcome is Outcome.CORRECT
    assert not os.path.exists("/tmp/cuda_extensions/made_up")


def test_what_one_candidate_leaves_the_next_does_not_find(evaluator):
    attempt(
        evaluator,
        "for path in ('left', '/dev/shm/left', '/tmp/left', os.path.expanduser('~/left')):\n"
        "    try: open(path, 'w').write('x')\n"
        "    except OSError: pass\n"
        "return x",
    )
    found = "[os.path.exists(path) for path in ('left', '/dev/shm/left', '/tmp/left', os.path.expanduser('~/left'))]"
    assert told(evaluator, found) == "[False, False, False, False]"


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


def test_a_worker_reaches_its_own_gpu_only_and_a_builder_none():
    files = [f"/dev/nvidia{name}" for name in ("0", "1", "10", "ctl", "-uvm")]
    assert filesystem.files_to_hide(files, "cuda", "/dev/nvidia1") == ["/dev/nvidia0", "/dev/nvidia10"]
    assert filesystem.files_to_hide(files, "cuda", None) == []
    assert filesystem.files_to_hide(files, "cpu", None) == files
