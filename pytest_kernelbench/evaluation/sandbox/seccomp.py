"""A filter of system calls, where the kernel takes one: a process stays on the cores that another gives it.

While a claim is measured on a GPU, candidate and control take turns on one core, which the judge chooses
(``clock.turns``). Cores of a virtual machine launch kernels at speeds that differ by a third (docs/measurements.md): a
candidate that chose its own would seem faster than the control.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import NamedTuple

from pytest_kernelbench.evaluation.sandbox.trying import child_succeeds

# Of /usr/include/linux: bpf_common.h, seccomp.h, audit.h.
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ALLOW, _ANSWER = 0x7FFF0000, 0x00050000
_SET_MODE_FILTER, _KEEP_SPECULATION = 1, 4
# System calls from this number on belong to x32, another way into the same kernel.
_X32 = 0x40000000
_NO_SUCH_CALL = 38
_PR_SET_NO_NEW_PRIVS = 38


class _Machine(NamedTuple):
    """A processor's number for the kernel (AUDIT_ARCH), and the numbers of two system calls on it."""

    architecture: int
    seccomp: int
    sched_setaffinity: int


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, 203),
    "aarch64": _Machine(0xC00000B7, 277, 122),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def forbid_new_privileges() -> None:
    """From now on this process, and all that it starts, gain no privileges: without it, no filter is taken."""
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def keep_cores() -> bool:
    """From now on this process, and all that it starts, cannot choose its cores: the call seems to succeed.

    Another process can still choose them. ``forbid_new_privileges`` must have been called before. Returns
    whether the kernel has taken the filter.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    instructions = b"".join(
        struct.pack("=HBBI", *each)
        for each in (
            (_LOAD, 0, 0, _ARCHITECTURE_AT),
            (_JUMP_IF_EQUAL, 0, 4, machine.architecture),
            (_LOAD, 0, 0, _NUMBER_AT),
            (_JUMP_IF_EQUAL, 3, 0, machine.sched_setaffinity),
            (_JUMP_IF_AT_LEAST, 1, 0, _X32),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _ANSWER | _NO_SUCH_CALL),
            (_RETURN, 0, 0, _ANSWER),
        )
    )
    program = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    # By default, older kernels would also make the process slower, against attacks by speculation.
    return libc.syscall(machine.seccomp, _SET_MODE_FILTER, _KEEP_SPECULATION, ctypes.byref(program)) == 0


def keeps_cores_here() -> bool:
    """Whether this machine's kernel keeps a process on its cores, by trying in a child."""

    def choose() -> None:
        forbid_new_privileges()
        before = os.sched_getaffinity(0)
        held = keep_cores()
        os.sched_setaffinity(0, {min(before)})
        if not held or os.sched_getaffinity(0) != before:
            raise OSError("the kernel takes no filter of system calls")

    return child_succeeds(choose)
