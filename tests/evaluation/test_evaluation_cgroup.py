"""The cores and the memory that a control group allows, in versions 1 and 2."""

import pytest

from pytest_kernelbench.evaluation.sandbox import cgroup


def group(tmp_path, own, files):
    """A tree of files by path, and the file that names the process's groups."""
    for path, text in files.items():
        place = tmp_path / "cgroup" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tmp_path / "own").write_text(own)
    return {"root": tmp_path / "cgroup", "own": tmp_path / "own"}


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, None),
        ("0::/not/mounted/here\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"}, 0.5),
        ("4:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
    ],
)
def test_cores_are_those_of_the_tightest_quota(tmp_path, own, files, cores):
    assert cgroup.cores(**group(tmp_path, own, files)) == cores


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a\n", {"a/memory.max": "1000\n", "a/memory.current": "400\n"}, (1000, 600)),
        (
            "0::/a\n",
            {"a/memory.max": "1000", "a/memory.current": "900", "a/memory.stat": "anon 5\ninactive_file 300\n"},
            (1000, 400),
        ),
        ("0::/a\n", {"a/memory.max": "max\n", "a/memory.current": "400\n"}, None),
        (
            "0::/a/b\n",
            {
                **{"a/b/memory.max": "9000", "a/b/memory.current": "10"},
                **{"a/memory.max": "1000", "a/memory.current": "990"},
            },
            (1000, 10),
        ),
        ("2:memory:/a\n", {"memory/a/memory.limit_in_bytes": "70", "memory/a/memory.usage_in_bytes": "90"}, (70, 0)),
        (
            "2:memory:/a\n",
            {"memory/a/memory.limit_in_bytes": str((1 << 63) - 4096), "memory/a/memory.usage_in_bytes": "90"},
            None,
        ),
    ],
)
def test_memory_is_that_of_the_tightest_limit(tmp_path, own, files, expected):
    assert cgroup.memory_bytes(**group(tmp_path, own, files)) == expected


def test_a_machine_has_no_more_memory_free_than_it_has():
    whole, free = cgroup.machine_memory_bytes()
    assert 0 < free <= whole


@pytest.mark.parametrize(
    ("own", "files", "killed"),
    [
        ("0::/a/b\n", {"a/b/memory.events": "low 0\noom 3\noom_kill 2\n", "a/memory.events": "oom_kill 5\n"}, 2),
        ("0::/not/mounted/here\n", {"memory.events": "oom_kill 4\n"}, 4),
        ("4:memory:/a\n0::/\n", {"memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 8\n"}, 8),
        # A kernel before 4.13 does not count them.
        ("4:memory:/a\n", {"memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, None),
        ("0::/a\n", {"a/memory.events": "nonsense\n"}, None),
        ("", {}, None),
    ],
)
def test_processes_that_were_ended_for_lack_of_memory_are_counted_in_the_own_group(tmp_path, own, files, killed):
    assert cgroup.memory_kills(**group(tmp_path, own, files)) == killed
