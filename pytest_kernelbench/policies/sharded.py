"""``hf:`` with ``shards = N`` in its policy file: one model over N processes of this host, each on a GPU of its own.

The processes run under torchrun (``adaptation/fsdp_worker.py``). The first of them listens to this one: JSON lines over
a Unix socket, one request at a time. This process reads from processes that it started itself; no candidate
runs in them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kernelbench import errors
from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.host.gpus import visible_gpus
from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec
    from pytest_kernelbench.strategy import Sampling

WORKER = "pytest_kernelbench.adaptation.fsdp_worker"
# Seconds between two checks that the processes are alive while they load, which takes minutes for hundreds of GB.
LOOK_EVERY_S = 1.0


class ShardedPolicy:
    """A policy whose weights are spread over GPUs. It samples and scores as ``HFPolicy`` does.

    ``version``: the same as for the model in one process. ``processes``: the ids of the processes with its weights.
    """

    label = None
    gives_logprobs = True
    gives_self_certainty = True
    trained_by = "fsdp"

    def __init__(self, spec: PolicySpec, *, device: str) -> None:
        """Load. Raises PolicyError where the model cannot be loaded, HarnessError where a process dies."""
        self.name = spec.name
        if spec.adapter is not None or "+" in spec.argument:
            raise PolicyError(f"{spec.name}: shards and an adapter are not read together; leave one of them out")
        self._group = Group(spec, device=device)
        told = self._group.ask({"do": "hello"})
        self.version: str = told["version"]
        self.processes: list[int] = told["processes"]

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The answer of the processes to ``request``. Raises the error that they report; HarnessError if one died."""
        return self._group.ask(request)

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """See ``Policy.sample``."""
        drawn = {"seed": seed, "indices": list(indices), "advice": advice}
        request = {"do": "sample", "sampling": asdict(sampling), **drawn}
        for answer in self._group.stream({**request, **_task(task)}):
            yield Completion.from_json(answer)

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        """Token ids of the prompt that asks for ``answer``; see ``CausalLMPolicy.prompt_ids``."""
        found: list[int] = self.ask({"do": "prompt_ids", "answer": answer, "advice": advice, **_task(task)})
        return found

    def score(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[tuple[float, ...]]:
        """See ``CausalLMPolicy.score``."""
        asked = {"answer": answer, "token_ids": list(map(list, token_ids)), "temperature": temperature}
        return list(map(tuple, self.ask({"do": "score", "advice": advice, **asked, **_task(task)})))

    def close(self) -> None:
        """End the processes."""
        self._group.close()


def _task(task: Task) -> dict[str, Any]:
    return {"task": {"id": task.id, "source": task.source}}


class Group:
    """The processes of one model, and the connection to the first process."""

    def __init__(self, spec: PolicySpec, *, device: str) -> None:
        self.name = spec.name
        folder = Path(tempfile.mkdtemp(prefix="kernelbench-shards-"))
        self._log = folder / "log"
        settings = {
            "model": spec.argument,
            "name": spec.name,
            "device": "cuda" if device.startswith("cuda") else "cpu",
            "dtype": spec.dtype,
            "chat_template": spec.chat_template,
            "settings": {key: value for key, value in spec.settings.items() if key != "shards"},
            "socket": str(folder / "socket"),
        }
        with socket.socket(socket.AF_UNIX) as listening, self._log.open("wb") as log:
            listening.bind(settings["socket"])
            listening.listen(1)
            listening.settimeout(LOOK_EVERY_S)
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                    *("--nproc-per-node", str(spec.settings["shards"]), "-m", WORKER, json.dumps(settings)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_gpus(spec, device), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            self._connection = self._accepted(listening)
        self._stream = self._connection.makefile("rw", encoding="utf-8")
        self._finalizer = weakref.finalize(self, _end, self._connection, self._stream, self._process, folder)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The answer to ``request``; lines of the stream before it are dropped."""
        answers = self._answers(request)
        while True:
            try:
                next(answers)
            except StopIteration as end:
                return end.value

    def stream(self, request: Mapping[str, Any]) -> Iterator[Any]:
        """The lines before the answer. A caller may stop iterating early: unread lines are discarded."""
        answers = self._answers(request)
        try:
            for answer in answers:  # noqa: UP028 - "yield from" would close it before the rest is read
                yield answer
        finally:
            for _ in answers:
                pass

    def close(self) -> None:
        self._finalizer()

    def _answers(self, request: Mapping[str, Any]) -> Iterator[Any]:
        try:
            self._stream.write(json.dumps(request) + "\n")
            self._stream.flush()
            while line := self._stream.readline():
                kind, value = next(iter(json.loads(line).items()))
                if kind == "done":
                    return value
                if kind == "error":
                    raise getattr(errors, value["kind"])(value["said"])
                yield value
        except OSError:
            pass  # the same as an end without an answer
        raise self._died()

    def _accepted(self, listening: socket.socket) -> socket.socket:
        while self._process.poll() is None:
            try:
                return listening.accept()[0]
            except TimeoutError:
                continue
        raise self._died()

    def _died(self) -> KernelBenchError:
        lines = self._log.read_text(errors="replace").splitlines()
        # torchrun prints its own table after the error.
        said = next((line for line in reversed(lines) if "Error: " in line and "ChildFailed" not in line), "no reason")
        return HarnessError(f"--policy={self.name}: a process of its shards ended ({said.strip()}); see {self._log}")


def _gpus(spec: PolicySpec, device: str) -> dict[str, str]:
    """``CUDA_VISIBLE_DEVICES`` of the processes: ``device`` counts the GPUs that this process sees."""
    if not device.startswith("cuda"):
        return {}
    visible = visible_gpus(os.environ)
    _, _, places = device.partition(":")
    gpus = [visible[int(place)] for place in places.split(",")] if places else visible
    n = spec.settings["shards"]
    if len(gpus) < n:
        raise PolicyError(
            f"{spec.name}: shards = {n} needs as many GPUs, and there are {len(gpus)} for it; "
            f"name {n} with --kernelbench-policy-gpus"
        )
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[:n])}


def _end(connection: socket.socket, stream: Any, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Close the connection, which ends the processes. A process that does not end in time is killed.

    If a process failed, its log is kept, and the error names it.
    """
    for each in (stream, connection):
        with suppress(OSError):  # closing may fail because buffered bytes cannot be sent any more
            each.close()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
    if process.returncode == 0:
        shutil.rmtree(folder, ignore_errors=True)
