"""The owner's side of the service and of the judge that it forks: see ``service``. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import JudgeEnded
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.judges.endings import how_it_ended
from pytest_kernelbench.evaluation.sandbox import kept_environment
from pytest_kernelbench.evaluation.sandbox.cgroup import memory_kills

# Threads are bound to cores, because Linux wakes several sleeping threads on one core, and a call then takes twice as
# long; the first thread moves out of their way (``device.host.to_first_core``). Not for a GPU: nothing is gained there,
# and the processes that torch.compile starts would share a core.
# The heap is in huge pages where the kernel has them, torch's tensors at their boundaries: with small pages, by where
# these lie, the same kernel took 10 to 15 % longer in some processes for as long as they lived, and identical kernels
# were faster than their control (level1/61).
# Torch's threads look ten thousand times for their next operator (0.2 to 0.5 ms) before they sleep: to wake one takes
# 40 us, many times what a small operator takes, and not in all processes alike, so that identical kernels came out 2.7
# times slower. After a tenth of the looks a thread sleeps before another one is awake. All three: docs/measurements.md.
SETTINGS_OF_A_CPU = {
    "OMP_PROC_BIND": "true",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "THP_MEM_ALLOC_ENABLE": "1",
    "GOMP_SPINCOUNT": "10000",
}
# OpenMP binds the thread that loads it, and so all processes forked from it, to one core: the affinity is set back.
RUN_SERVICE = (
    "import os, sys; cores = os.sched_getaffinity(0); from pytest_kernelbench.evaluation.judges.service import main; "
    "import torch; os.sched_setaffinity(0, cores); "
    "main(int(sys.argv[1]), *sys.argv[2:])"
)
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 20.0


class JudgeProcess:
    """The service and its judge on one device, started when first needed.

    The service, which has torch imported, replaces a judge that has ended in a fiftieth of the time that a new service
    takes to start. Every method that finds the judge ended raises JudgeEnded. A foreman that has ended is replaced at
    the next ``wish``.
    """

    def __init__(self, *, device: str, cache: Path, gpu: str) -> None:
        self._device = device
        self._cache = cache
        self._gpu = gpu
        self._service: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._connection: socket.socket | None = None
        self._wishes: socket.socket | None = None
        # One thread may ask for a judge while another asks for a foreman: each question has one answer.
        self._asking = threading.Lock()
        self._log_before = 0
        self._memory_kills_before: int | None = None

    @property
    def service(self) -> int | None:
        """Number of the service's process; None where it does not run."""
        return None if self._service is None else self._service.pid

    @property
    def started(self) -> bool:
        """Whether a judge was started and not found to have ended."""
        return self._connection is not None

    def start(self) -> dict[str, Any] | None:
        """Start a judge, and return its first message (hardware, isolation, target); None where one runs already."""
        # Neither sends anything unasked, so a readable socket means that the process has ended. The service is looked
        # at first: when it has ended, the kernel ends its judge a moment later.
        if self._service_ended():
            self.close()
        elif self._connection is not None and messages.is_readable(self._connection):
            self.end_judge()
        if self._connection is not None:
            return None
        if self._service is None:
            self._start_service()
        self._log_before = os.fstat(self._log.fileno()).st_size
        self._memory_kills_before = memory_kills()
        try:
            if self._wishes is None:
                self._wishes = self._socket_to("foreman")
            self._connection = self._socket_to("judge")
        except (messages.ConnectionEnded, messages.DeadlinePassed) as error:
            raise self._how_it_ended(error) from None
        return self.receive(START_TIMEOUT_S)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send to the judge."""
        self._memory_kills_before = memory_kills()
        try:
            messages.send(self._judge, message)
        except messages.ConnectionEnded as error:
            raise self._how_it_ended(error) from None

    def receive(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The judge's next message. JudgeEnded also where none comes within ``timeout_s``."""
        try:
            return messages.receive(self._judge, timeout_s=timeout_s)[0]
        except (messages.ConnectionEnded, messages.DeadlinePassed) as error:
            raise self._how_it_ended(error) from None

    def is_readable(self, timeout_s: float) -> bool:
        """Whether the judge says something, or ends, within ``timeout_s``."""
        return self._connection is None or messages.is_readable(self._connection, timeout_s=timeout_s)

    def wish(self, message: Mapping[str, Any]) -> None:
        """Send to the foreman, or to another one if it has ended; without a service, nothing is built ahead.

        One thread at a time may call this, also while another one waits for the judge.
        """
        if (wishes := self._wishes) is None:
            return
        try:
            messages.send(wishes, message, timeout_s=messages.SEND_TIMEOUT_S)
        except (messages.ConnectionEnded, messages.DeadlinePassed):
            wishes.close()
            with suppress(messages.ConnectionEnded, messages.DeadlinePassed):
                self._wishes = self._socket_to("foreman")
                messages.send(self._wishes, message, timeout_s=messages.SEND_TIMEOUT_S)

    def end_judge(self) -> int | None:
        """End the judge and its workers; the service stays, for the next judge.

        Returns the judge's exit code, negative for a signal, or None where it is not known. If the service has ended by
        itself, the judge ended with it, and the service's exit code is returned.
        """
        if self._connection is None:
            return None
        self._connection.close()
        self._connection = None
        service = self._service
        try:
            return self._ask_service("judge", timeout_s=END_TIMEOUT_S)
        except messages.DeadlinePassed:
            self.close()
        except messages.ConnectionEnded:
            self.close()
            return None if service is None else service.returncode
        return None

    def close(self) -> None:
        """End the service, and with it everything that it forked."""
        if self._service is None:
            return
        if self._control is not None:
            # Wakes a thread that waits for another foreman.
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
        with self._asking:
            for each in (self._connection, self._control, self._wishes):
                if each is not None:
                    each.close()
            self._connection = self._control = self._wishes = None
        self._end_service(self._service)
        self._log.close()
        self._service = None

    def interrupt(self) -> None:
        """As ``close``, while another thread waits for an answer: that thread gets JudgeEnded."""
        service = self._service
        for each in (self._connection, self._control):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        if service is not None:
            self._end_service(service)

    def _service_ended(self) -> bool:
        with self._asking:
            return self._control is not None and messages.is_readable(self._control)

    @property
    def _judge(self) -> socket.socket:
        assert self._connection is not None, "start() comes first"
        return self._connection

    def _socket_to(self, kind: str) -> socket.socket:
        """Have the service fork a judge or a foreman in place of the one there is; returns a socket to it."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._ask_service(kind, theirs.fileno(), timeout_s=START_TIMEOUT_S)
        except BaseException:
            ours.close()
            raise
        return ours

    def _ask_service(self, kind: str, *descriptors: int, timeout_s: float) -> int | None:
        """Have the service end its judge or foreman (``kind``), and start another one if ``descriptors`` has a socket.

        Returns the exit code of the former process; None if there was none.
        """
        with self._asking:
            if self._control is None:
                raise messages.ConnectionEnded("the service was closed")
            messages.send(self._control, {"kind": kind}, descriptors)
            answer, _ = messages.receive(self._control, timeout_s=timeout_s)
            ended: int | None = answer["ended"]
            return ended

    def _start_service(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        self._control, theirs = socket.socketpair()
        # The device may be one that this session's hooks added: the service reads no conftest.py.
        traits = json.dumps(dataclasses.asdict(traits_of(self._device)))
        with theirs:
            self._service = subprocess.Popen(
                [sys.executable, "-c", RUN_SERVICE, str(theirs.fileno()), self._device, traits, str(self._cache)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env={
                    **kept_environment(os.environ),
                    # A candidate that brings another OpenMP runtime: the two must not spin on each other's cores.
                    "OMP_WAIT_POLICY": "passive",
                    **({} if is_gpu(self._device) else SETTINGS_OF_A_CPU),
                    # A candidate must not find another GPU to work on unseen.
                    "CUDA_VISIBLE_DEVICES": self._gpu,
                },
            )

    def _how_it_ended(self, error: Exception) -> JudgeEnded:
        # Not read(): the service's processes write at the same offset.
        n_bytes = max(0, os.fstat(self._log.fileno()).st_size - self._log_before)
        written = os.pread(self._log.fileno(), n_bytes, self._log_before)
        last = written.decode(errors="replace").strip().splitlines()[-1:]
        service = self._service
        if self._connection is not None:
            code = self.end_judge()
        else:
            self.close()
            code = None if service is None else service.returncode
        if isinstance(error, messages.DeadlinePassed):
            # It still ran: a signal that ended it was sent because of the deadline, and tells nothing.
            code = None
        otherwise = type(error).__name__
        how, remedy = how_it_ended(code, otherwise=otherwise, kills_before=self._memory_kills_before)
        said = f": {last[0]}" if last else ""
        return JudgeEnded(f"the judge on {self._device} ended ({how}{said}); {remedy}")

    @staticmethod
    def _end_service(service: subprocess.Popen[bytes]) -> None:
        try:
            service.wait(timeout=10)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()
