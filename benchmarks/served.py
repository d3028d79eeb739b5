"""The command ``serve``, for ``serving.py``: its processes, by their roles, and the memory that they take."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request

import psutil

START_PATIENCE_S = 300
ANSWER_PATIENCE_S = 1800
MIB = 1 << 20


class Server:
    """The command ``serve`` and its processes."""

    def __init__(self, judges: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.token = secrets.token_hex(8)
        command = [sys.executable, "-m", "pytest_kernelbench", "serve", f"--port={port}"]
        command += [f"--judges={','.join(['cpu'] * judges)}", "--requests-a-minute=100000"]
        self._process = psutil.Popen(command, env={**os.environ, "KERNELBENCH_TOKEN": self.token})
        until = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                if json.loads(self.answer("/health")[1])["ready"] == judges:
                    return
            except (OSError, ValueError):
                pass
            if self._process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server does not start")
            time.sleep(1)

    def answer(self, path: str, body: bytes | None = None, token: str | None = None) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_PATIENCE_S) as told:
                return told.status, told.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def processes(self) -> list[psutil.Process]:
        """The command and all that it started, directly or not."""
        return [self._process, *self._process.children(recursive=True)]

    def judges(self) -> dict[str, list[psutil.Process]]:
        """The actors, the services, which the actors started, and the judges' own processes, which those forked."""
        actors = [each for each in self.processes() if title(each).startswith(("ray::Judge.", "ray::Judge "))]
        services = [child for each in actors for child in children(each)]
        forked = [child for each in services for child in children(each)]
        judges, foremen = ([each for each in forked if name(each) == called] for called in ("kb-judge", "kb-foreman"))
        return {"actor": actors, "service": services, "judge": judges, "foreman": foremen}

    def cpu_seconds(self) -> float:
        """CPU time of all processes that are there, and of those below them that were collected."""
        return sum(cpu_seconds_of(each) for each in self.processes())

    def memory_mib(self) -> dict[str, float]:
        """Memory of the process that holds the queue and answers, of the judges' own processes, and of all together.

        Shared pages are counted once.
        """
        sizes = [(each, proportional_mib(each)) for each in self.processes()]
        answering = [size for each, size in sizes if title(each).startswith("ray::ServeReplica")]
        judging = [size for each, size in sizes if name(each) == "kb-judge"]
        return {"answering": sum(answering), "judging": sum(judging), "all": sum(size for _, size in sizes)}

    def stop(self) -> list[str]:
        """End the command; command lines of processes that are there a minute later."""
        before = self.processes()
        self._process.terminate()
        return [title(each) for each in psutil.wait_procs(before, timeout=60)[1]]


def title(process: psutil.Process) -> str:
    """Its command line, with a blank at the end; empty where it has ended."""
    try:
        return " ".join([*process.cmdline(), ""])
    except psutil.Error:
        return ""


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def cpu_seconds_of(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4])
    except psutil.Error:
        return 0.0


def proportional_mib(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / MIB
    except psutil.Error:
        return 0.0
