"""Starts the service, which forks the judge: see ``service``. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.sandbox import kept_environment

# Of threads that sleep, Linux wakes several on one core, and a call takes twice as long: each has its own, and the
# first one steps out of their way (``device.host.to_first_core``). Beside a GPU nothing is gained, and processes that
# torch.compile starts would share a core.
THREADS_OF_A_CPU = {"OMP_PROC_BIND": "true"}
# OpenMP binds the thread that loads it, and so all processes below, to one core: that is taken back.
RUN_SERVICE = (
    "import os, sys; cores = os.sched_getaffinity(0); from pytest_kernelbench.evaluation.service import main; "
    "import torch; os.sched_setaffinity(0, cores); "
    "main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])"
)


def start_judge(
    *, device: str, cache: Path, gpu: str, log: IO[bytes]
) -> tuple[subprocess.Popen[bytes], socket.socket, socket.socket]:
    """The service's process, a socket to the judge, and one on which builds are wished for; it writes to ``log``."""
    ours, theirs = socket.socketpair()
    wishes, foremans = socket.socketpair()
    # The device may be one that this session's hooks added: the service reads no conftest.py.
    traits = json.dumps(dataclasses.asdict(traits_of(device)))
    with theirs, foremans:
        descriptors = [theirs.fileno(), foremans.fileno()]
        process = subprocess.Popen(
            [sys.executable, "-c", RUN_SERVICE, *map(str, descriptors), device, traits, str(cache)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=descriptors,
            env={
                **kept_environment(os.environ),
                # Two OpenMP runtimes, torch's and the compiler's, must not spin on each other's cores.
                "OMP_WAIT_POLICY": "passive",
                **({} if is_gpu(device) else THREADS_OF_A_CPU),
                # A candidate must not find another GPU to work on unseen.
                "CUDA_VISIBLE_DEVICES": gpu,
            },
        )
    return process, ours, wishes
