"""The judge's process: answers its owner's requests, one task at a time. It never imports candidate code."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import torch

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.clock.gates import Gate
from pytest_kernelbench.evaluation.company import leave_room_for_long
from pytest_kernelbench.evaluation.correctness.findings import TaskRefused
from pytest_kernelbench.evaluation.correctness.known import Known
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.host import give_back_freed_memory, keep_freed_memory
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.handles.workers import WorkerServer
from pytest_kernelbench.evaluation.judges.faults import fault_of
from pytest_kernelbench.evaluation.recent import Recent
from pytest_kernelbench.evaluation.sandbox import Isolation
from pytest_kernelbench.evaluation.sharing.lock import shared
from pytest_kernelbench.evaluation.torch_state import TorchState
from pytest_kernelbench.evaluation.trials import Trials, target_of

# A judge keeps the findings of so many tasks; its owner keeps findings of more tasks, and sends them with a request.
MOST_KNOWN = 64
# With no request for so long, memory is given back: to free it, and to take it again, takes as long beside others.
MOMENT_S = 0.25


def serve(owner: socket.socket, workers: WorkerServer, *, device: str, isolation: Isolation) -> None:
    """Answer the owner's requests until its socket ends. Changes torch's settings of the whole process."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(device_named(device).threads())
    if not is_gpu(device):
        keep_freed_memory()
    hardware, clocks = device_named(device).describe(), device_named(device).clocks()
    trials_of = partial(Trials, owner=owner, workers=workers, device=device, hardware_id=hardware["id"], clocks=clocks)
    last = LastTask(trials_of, device)

    def answer(request: dict[str, Any], sources: Sequence[str]) -> dict[str, Any] | None:
        """Answer one request; returns a last message, which is sent once the task's memory is free, or None."""
        if "release" in request:
            return {"released": True}
        try:
            trials = last.trials(request["case"], request.get("known"), tried=bool(sources))
            if "gate" in request:
                comparison = trials.comparison(*sources, Gate(**request["gate"]))
                messages.send(owner, {"comparison": comparison.to_json()})
            elif "against" in request:
                messages.send(owner, {"against": trials.against(*sources, request["against"]).to_json()})
            elif "replay" in request:
                messages.send(owner, {"replayed": trials.replayed(*sources, request["replay"]).to_json()})
            elif "look" in request or "make_ready" in request:
                if "make_ready" in request:
                    trials.make_ready()
                messages.send(owner, {"findings": trials.findings.to_json(), "known": trials.known.to_json()})
            else:
                for judged in trials.evaluations(sources):
                    told = {"findings": trials.findings.to_json(), "known": trials.known.to_json()}
                    messages.send(owner, {**judged.to_json(), **told, "clocks": clocks.summary()})
        except messages.ConnectionEnded:
            raise
        except TaskRefused as refused:
            return {"fault": fault_of(refused, request["case"]["task"]), "findings": refused.findings.to_json()}
        except Exception as error:  # of this request alone: the next one may be about a task that works
            return {"fault": fault_of(error, request["case"]["task"])}
        return None

    target = dataclasses.asdict(target_of(device, hardware["id"]))
    try:
        messages.send(owner, {"hardware": hardware, "isolation": isolation.describe(), "target": target})
        _warm_up(device, hardware["id"])
        while True:
            request, sources = next_request(owner, partial(leave_room_for_long, device, hardware["id"]))
            last_word = answer(request, sources)
            if last_word is not None or not request["keep"]:
                last.forget()
            if last_word is not None:
                messages.send(owner, last_word)
            if not device_named(device).works():
                # CUDA does not recover from an error within a process: the next request starts another judge.
                return
    except messages.ConnectionEnded:
        return


def next_request(owner: socket.socket, rest: Callable[[], None]) -> tuple[dict[str, Any], list[str]]:
    """The owner's next request, and its sources. ``rest()`` is called where it does not come within a moment."""
    if not messages.is_readable(owner, timeout_s=MOMENT_S):
        rest()
    request, _ = messages.receive(owner)
    # Each source has a frame of its own: together they may exceed the largest frame.
    return request, [messages.receive(owner)[0]["source"] for _ in range(request.get("n_sources", 0))]


def _warm_up(device: str, hardware_id: str) -> None:
    """Do what only the first work on a device needs, while the owner collects its tasks."""
    if traits_of(device).trials_beside_others:
        # What fails here fails at the first task too, whose request then tells.
        with shared(hardware_id), suppress(RuntimeError):
            device_named(device).warm_up()


class LastTask:
    """The trials of the task that was asked about last."""

    def __init__(self, trials_of: Callable[..., Trials], device: str) -> None:
        self._trials_of = trials_of
        self._device = device
        self._torch_state = TorchState()
        self._trials: Trials | None = None
        # Whether a candidate has seen the task's inputs.
        self._tried = False
        # The answers in float64 that they rest on were a fifth of all work on an H200.
        self._known: Recent[str, Known] = Recent(MOST_KNOWN)

    def trials(self, case: dict[str, Any], known: Mapping[str, Any] | None = None, *, tried: bool = True) -> Trials:
        """The trials of a case, with inputs that no candidate has seen yet.

        ``tried``: whether the request has candidates, which will see these inputs. ``known``: a row of what another
        judge found out about the task.
        """
        seen, self._tried = self._tried, tried
        if self._trials is not None and self._trials.case == case:
            if seen:
                self._trials.renew()
            return self._trials
        self.forget()
        here = self._known[case["source"]] = self._known.get(case["source"]) or Known()
        if known is not None:
            here.learn(known)
        self._trials = self._trials_of(case, known=here)
        return self._trials

    def forget(self) -> None:
        """Free all memory of the task, and undo what its file has changed in torch."""
        with self._trials.among_others() if self._trials is not None else nullcontext():
            if self._trials is not None:
                self._trials.close()
                self._trials = None
            self._torch_state.put_back()
            device_named(self._device).leave_room()
        if not is_gpu(self._device):
            # Not in ``leave_room``, which workers call between turns: their next calls would wait for new, zeroed
            # pages.
            give_back_freed_memory()
