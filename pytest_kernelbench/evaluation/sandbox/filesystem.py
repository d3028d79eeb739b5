"""The files that a candidate sees: its own root, which has only the files named here, read-only.

    /usr, /lib, ...      the system, its compilers and libraries
    /etc                 a few files that programs cannot do without; no keys, no shadow
    /dev                 null, zero, random, and the GPU that the candidate computes on
    Python, torch, triton, the CUDA toolkit, and PYTHONPATH, wherever they are; where the session's current folder is
                         below an entry of PYTHONPATH, only the modules and packages in that entry
    the build cache      its files can be opened by name; they cannot be listed (``sandbox.give_up_privileges``)
    /tmp                 empty, in memory, of bounded size: kernels keep sources and builds there
    one private folder   in memory, of bounded size; the worker's home folder. No other place can be written

The owner's home, the folders of runs, the machine's /tmp and its disks are not in it. On a machine that does not allow
another root, all files but the private folder are read-only instead.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from pytest_kernelbench.evaluation.building.cache import LOCKS
from pytest_kernelbench.evaluation.device.names import is_gpu

_MOUNT_SETATTR, _PIVOT_ROOT = 442, {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY, _MS_PRIVATE = 0x1, 1 << 18
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC = 2, 4, 1 << 12, 1 << 14
_MNT_DETACH = 2

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/proc", "/sys")
# Files that the linker, the loader, Python, CUDA and compilers read; other files of /etc may contain keys.
ETC = (
    "alternatives ld.so.cache ld.so.conf ld.so.conf.d passwd group nsswitch.conf localtime timezone hosts os-release "
    "lsb-release debian_version locale.alias mime.types nvidia nvidia-container-runtime OpenCL vulkan glvnd"
).split()
DEVICES = "null zero full random urandom".split()
COMPILERS = "cc gcc g++ c++ clang clang++ ld as ar nvcc ninja".split()
PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The files that a candidate sees besides the system: ``paths``, and the build ``cache``, which it cannot list."""

    paths: tuple[Path, ...] = ()
    cache: Path | None = None

    def listable(self, private: Path) -> list[Path]:
        """Folders whose names may be listed, with all below them."""
        return [*map(Path, SYSTEM), Path("/etc"), Path("/dev"), *self.paths, private]


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def needed(environment: Mapping[str, str], modules: Mapping[str, object], home: Path) -> tuple[Path, ...]:
    """Paths outside the system that Python, the modules it has loaded, and the compilers are in; none above ``home``.

    A symbolic link is listed twice: under its own name and under its target's.
    """
    found = [Path(each) for each in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    found += [Path(each) for each in sys.path if Path(each).name in PACKAGES]
    for each in environment.get("PYTHONPATH", "").split(os.pathsep):
        found += _modules_in(Path(each)) if Path.cwd().is_relative_to(Path(each).resolve()) else [Path(each)]
    for name in ("LD_LIBRARY_PATH", "PATH"):
        found += [Path(each) for each in environment.get(name, "").split(os.pathsep)]
    found += [Path(environment[name]) for name in ("CUDA_HOME", "CUDA_PATH") if name in environment]
    # bin/gcc of a toolchain outside the system needs what is beside bin.
    found += [Path(place).resolve().parent.parent for name in COMPILERS if (place := shutil.which(name)) is not None]
    found += filter(None, (_place_of(module) for name, module in modules.items() if "." not in name))
    return _outermost(
        each
        for given in found
        if given.is_absolute()
        for each in (given, given.resolve())
        if each.exists() and not home.is_relative_to(each)
    )


def _modules_in(folder: Path) -> list[Path]:
    """Modules and packages in a folder that may hold runs too, because the session's current folder is in it."""
    return [
        folder / name
        for name in (os.listdir(folder) if os.access(folder, os.R_OK) else ())
        if name.endswith((".py", ".so")) or (folder / name / "__init__.py").exists()
    ]


def _place_of(module: object) -> Path | None:
    """The folder of a package, or the file of a module, which may be outside any site-packages.

    Any object may stand among the modules: Cython puts in one of a class of its own.
    """
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    return Path(file).parent if Path(file).name.startswith("__init__.") else Path(file)


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    kept: list[Path] = []
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(each) for each in (*kept, *map(Path, SYSTEM))):
            kept.append(path)
    return tuple(kept)


def enter_root(private: Path, private_bytes: int, visible: Visible, devices: Iterable[str], *, cuda: bool) -> None:
    """Change to a root that holds the system, ``visible`` and ``devices``, and ``private`` as a new folder in memory.

    For a process that has a mount namespace of its own, and may mount in it. Raises OSError.
    """
    root = str(private)
    _set_attributes("/", _MountAttributes(propagation=_MS_PRIVATE))
    # A mount of its own, so that it stays read-only where /proc does not: for root, it is the machine's.
    _mount("/proc/sys", "/proc/sys", flags=_MS_BIND)
    _mount("tmpfs", root, kind="tmpfs", flags=_MS_NOSUID | _MS_NODEV, data="size=4m,mode=755")
    # First, because what is to be seen may be below it.
    os.mkdir(f"{root}/tmp")
    _mount_writable(f"{root}/tmp", private_bytes)
    for path in (*map(Path, SYSTEM), *(Path("/etc", name) for name in ETC), *visible.paths, *map(Path, devices)):
        _show(root, path)
    if visible.cache is not None:
        _show(root, visible.cache)
        if (visible.cache / LOCKS).is_dir():
            # A candidate that can open a lock's file can hold the lock and stop every build.
            _mount("tmpfs", f"{root}{visible.cache}/{LOCKS}", kind="tmpfs", flags=_MS_NOSUID, data="size=4k,mode=755")
    for name, leads_to in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(f"/proc/self/{leads_to}", f"{root}/dev/{name}")
    for path in (private, Path("/dev/shm")):
        os.makedirs(root + str(path), exist_ok=True)
    _set_attributes(root, _MountAttributes(set=_MOUNT_ATTR_RDONLY))
    _set_attributes(f"{root}/tmp", _MountAttributes(clear=_MOUNT_ATTR_RDONLY), recursive=False)
    if cuda:
        # CUDA does not start where it cannot write to /proc ("operation not supported on this OS").
        _set_attributes(f"{root}/proc", _MountAttributes(clear=_MOUNT_ATTR_RDONLY), recursive=False)
    if not private.is_relative_to("/tmp"):
        _mount_writable(root + root, private_bytes)
    os.chdir(root)
    # The new root is put over the old one, so that no folder is needed for the old one.
    _check(_libc().syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _check(_libc().umount2(b".", _MNT_DETACH), "the old root")
    os.chdir("/")


def make_read_only(private: Path, private_bytes: int, hidden: Iterable[str], *, cuda: bool) -> None:
    """Without another root: make all files read-only except ``private``, and hide the ``hidden`` devices."""
    for node in hidden:
        _mount("/dev/null", node, flags=_MS_BIND)
    _set_attributes("/", _MountAttributes(propagation=_MS_PRIVATE))
    _mount("/proc/sys", "/proc/sys", flags=_MS_BIND)
    _set_attributes("/", _MountAttributes(set=_MOUNT_ATTR_RDONLY))
    if cuda:
        _set_attributes("/proc", _MountAttributes(clear=_MOUNT_ATTR_RDONLY), recursive=False)
    _mount_writable(str(private), private_bytes)


def gpu_files() -> list[str]:
    """Device files of NVIDIA's driver, and of WSL's."""
    return [each for each in (*glob("/dev/nvidia*"), *glob("/dev/dxg")) if not os.path.isdir(each)] + glob(
        "/dev/nvidia-caps/*"
    )


def files_to_hide(files: Iterable[str], device: str, own: str | None) -> list[str]:
    """The ``files`` to hide from a worker on ``device`` that computes on the GPU ``own``."""
    if not is_gpu(device):
        return list(files)
    return [each for each in files if own is not None and each != own and re.fullmatch(r"/dev/nvidia\d+", each)]


def devices_for(device: str, own: str | None) -> list[str]:
    """Device files that a worker may open."""
    files = gpu_files()
    hidden = set(files_to_hide(files, device, own))
    return [f"/dev/{name}" for name in DEVICES] + [each for each in files if each not in hidden]


def _show(root: str, path: Path) -> None:
    """Make ``path`` available under ``root`` by the same name: a link, a folder with all below it, or a file."""
    place = root + str(path)
    if os.path.lexists(place) or not os.path.lexists(path):
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if path.is_symlink() and len(path.parts) == 2:
        # /bin, which leads to usr/bin.
        os.symlink(os.readlink(path), place)
        return
    if path.is_dir():
        os.mkdir(place)
    else:
        Path(place).touch()
    # With all mounts below it: otherwise the kernel refuses, because files that a mount hides would become visible.
    _mount(str(path), place, flags=_MS_BIND | _MS_REC)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(failed: int, what: str) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(source: str, place: str, *, kind: str = "", flags: int, data: str = "") -> None:
    _check(_libc().mount(source.encode(), place.encode(), kind.encode() or None, flags, data.encode() or None), place)


def _mount_writable(place: str, n_bytes: int) -> None:
    """A folder in memory, of bounded size, that the candidate may write to."""
    _mount("tmpfs", place, kind="tmpfs", flags=_MS_NOSUID | _MS_NODEV, data=f"size={n_bytes},mode=700")


def _set_attributes(path: str, attributes: _MountAttributes, *, recursive: bool = True) -> None:
    size = ctypes.sizeof(attributes)
    flags = _AT_RECURSIVE if recursive else 0
    _check(_libc().syscall(_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, ctypes.byref(attributes), size), path)
