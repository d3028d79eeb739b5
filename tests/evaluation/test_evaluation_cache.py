"""The cap of the build cache."""

import os
import threading
import time

from pytest_kernelbench.evaluation.building import cache


def put(folder, name, n_bytes, hours_ago):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(n_bytes))
    used = time.time() - 3600 * hours_ago
    os.utime(path, (used, used))
    if path.parent != folder:
        os.utime(path.parent, (used, used))
    return path


def test_what_was_used_longest_ago_is_forgotten_first(tmp_path):
    for hours, name in enumerate(("newest", "new", "old", "oldest"), 2):
        put(tmp_path, name, 300, hours)
    cache.touch(tmp_path / "oldest")
    assert cache.forget(tmp_path, max_bytes=1000) == 600
    assert {path.name for path in tmp_path.iterdir()} == {"oldest", "newest"}
    assert cache.forget(tmp_path, max_bytes=1000) == 0


def test_what_was_just_used_stays_even_beyond_the_cap(tmp_path):
    put(tmp_path, "a", 900, 0)
    put(tmp_path, "b", 900, 0)
    assert cache.forget(tmp_path, max_bytes=1000) == 0


def test_folders_go_as_a_whole_and_locks_stay(tmp_path):
    put(tmp_path, "locks/held", 900, 9)
    put(tmp_path, "kernels/one", 900, 8)
    put(tmp_path, "library.so", 500, 7)
    assert cache.forget(tmp_path, max_bytes=1000) == 900
    assert {path.name for path in tmp_path.iterdir()} == {"locks", "library.so"}


def test_several_may_forget_at_once(tmp_path):
    for number in range(200):
        put(tmp_path, f"{number}", 100, 5)
    forgetting = [threading.Thread(target=cache.forget, args=(tmp_path,), kwargs={"max_bytes": 1000}) for _ in range(4)]
    for each in forgetting:
        each.start()
    for each in forgetting:
        each.join()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_a_cache_that_is_not_there_holds_nothing(tmp_path):
    assert cache.forget(tmp_path / "none") == 0
