"""A worker's process: loads reference and candidate, and answers the judge's requests until the socket ends."""

from __future__ import annotations

import gc
import os
import random
import re
import socket
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from pytest_kernelbench import inline
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.host import keep_freed_memory
from pytest_kernelbench.evaluation.device.traits import torch_name, traits_of
from pytest_kernelbench.evaluation.modules import (
    CandidateModule,
    ReferenceModule,
    give_weights,
    instantiate,
    move_parameters,
    seed_all,
)
from pytest_kernelbench.evaluation.precision import PRECISIONS
from pytest_kernelbench.evaluation.torch_state import TorchState
from pytest_kernelbench.evaluation.worker import compiling, exploring, kernels
from pytest_kernelbench.evaluation.worker.extensions import Extensions, Request, uses_extensions
from pytest_kernelbench.evaluation.worker.memory import let_memory_be_read
from pytest_kernelbench.evaluation.worker.own_folder import COMPILER_CACHE, TRITON_CACHE, let_no_output_out, move_into
from pytest_kernelbench.evaluation.worker.places import Kept
from pytest_kernelbench.evaluation.worker.slots import Slots
from pytest_kernelbench.evaluation.worker.stopwatch import Stopwatch
from pytest_kernelbench.evaluation.worker.words import words_of

CANDIDATE_FILE = "candidate.py"
BUILDERS_NICE = 5
USES_COMPILER = re.compile(r"torch\s*\.\s*compile\b|\b_?dynamo\b|\binductor\b|import compile\b")


def serve(connection: socket.socket, folder: Path, device: str) -> None:
    """Answer requests on ``connection``; ``folder`` is the one place on disk that can be written to."""
    move_into(folder)
    let_no_output_out()
    random.seed()
    keep_freed_memory()
    let_memory_be_read()
    bench = _Bench(device, folder, connection)
    while True:
        try:
            question, descriptors = messages.receive(connection)
        except messages.ConnectionEnded:
            return
        try:
            answer = getattr(bench, question["ask"])(question, descriptors)
        except Exception as error:  # the candidate's own: whatever it raises is its verdict
            answer = {"raised": words_of(error), "kind": type(error).__name__[:200]}
        files = [os.open(path, os.O_RDONLY) for path in answer.pop("files", ())]
        messages.send(connection, answer, files)


class _Bench:
    """The two sides of a trial, and the judge's requests to them."""

    def __init__(self, device: str, folder: Path, connection: socket.socket) -> None:
        self._device = device
        self._folder = folder
        self._connection = connection
        self._triton_cache = folder / TRITON_CACHE
        self._candidate_source: str | None = None

    def start(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Start torch's threads and the device."""
        torch.set_num_threads(question["threads"])
        self._stopwatch = Stopwatch(self._device)
        self._stopwatch.settle()
        if traits_of(self._device).kept_controls:
            # 2.4 ms in a new process, and only a control that is kept has several tasks.
            self._torch_state = TorchState()
        return {"started": True}

    def prepare(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Load the reference: of the trial's task, before any candidate ran here; later, of the task at other sizes."""
        self._cache = Path(question["cache"])
        self._architecture = question["architecture"]
        inline.use_cache(self._cache)
        torch.set_grad_enabled(False)
        self._precision = PRECISIONS[question["precision"]]
        self._precision.set_flags()
        self._seed = question["seed"]
        self._task_source = question["task_source"]
        self._task = ReferenceModule(self._task_source)
        self._reference = self._instance(self._task.model_class)
        self._precision.set_flags()  # The task's file may have chosen otherwise.
        self._slots = Slots(self._device)
        self._kept = Kept(self._device)
        self._stopwatch.settle()
        return {"prepared": True}

    def build(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Build one extension; no candidate was ever in this process."""
        # torch asks the GPU unless this is set, and a builder sees none.
        os.environ["TORCH_CUDA_ARCH_LIST"] = question["architecture"]
        # The judge and its workers have priority over builds.
        os.nice(BUILDERS_NICE)
        try:
            header = Path(question["header"]) if question["header"] else None
            return {"files": [compiling.build(question["request"], question["name"], self._folder, header=header)]}
        except compiling.BuildFailed as failure:
            return {"complaint": failure.complaint, "final": failure.final}

    def precompile(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Precompile the header of bindings with some flags; no candidate was ever in this process."""
        os.nice(BUILDERS_NICE)
        try:
            return {"files": [compiling.build_header(question["flags"], self._folder)]}
        except compiling.BuildFailed as failure:
            return {"complaint": failure.complaint, "final": failure.final}

    def compile(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Compile one source for ``inline``; no candidate was ever in this process."""
        os.nice(BUILDERS_NICE)
        if question["architecture"]:
            inline.use_architecture(question["architecture"])
        try:
            return {"files": [inline.build(question["source"], question["language"], self._folder)]}
        except subprocess.TimeoutExpired as error:
            return {"complaint": str(error)}
        except RuntimeError as error:
            # Kept beside the libraries where the compiler would say so again.
            name = inline.artifact_name(question["source"], question["language"])
            return {"complaint": str(error), "final": (self._folder / name).with_suffix(".txt").exists()}

    def explore(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Run a candidate to find what it builds. Failures other than builds' are left to its trial."""
        os.nice(BUILDERS_NICE)
        candidate = self._folder / CANDIDATE_FILE
        candidate.write_text(question["candidate_source"])
        self._cache, self._architecture = Path(question["cache"]), question["architecture"]
        extensions = self._install_extensions()
        call = partial(exploring.go_through, question["task_source"], candidate, question["gpu"])
        raised: Exception | None = None
        try:
            if question["triton"]:
                kernels.compile_launched(question["architecture"], call)
            else:
                call()
        except Exception as error:  # the candidate's own: its trial will meet it again
            raised = error
        # A build that failed and that nothing caught will fail in the trial as well.
        answer = {"complaint": str(raised)} if raised is not None and raised is extensions.raised else {}
        if not question["triton"]:
            return answer
        archive = self._folder / "kernels.zip"
        kernels.pack(self._triton_cache, archive)
        return {**answer, "files": [archive]}

    def _install_extensions(self) -> Extensions:
        extensions = Extensions(self._cache, self._folder, self._architecture, self._have_built)
        extensions.install()
        return extensions

    def _have_built(self, request: Request) -> None:
        """Ask for a build, and wait: while exploring, until it is made; in a trial, for the end of this process."""
        messages.send(self._connection, {"wanted": request})
        messages.receive(self._connection)

    def load(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Load the candidate: with the weights that its constructor makes, or with the reference's.

        A source that this process has loaded for another task is not imported again.
        """
        threads = torch.get_num_threads()
        if question["candidate_source"] != self._candidate_source:
            self._candidate_class = self._class_of(question["candidate_source"])
            self._candidate_source = question["candidate_source"]
        self._candidate = self._instance(self._candidate_class)
        if question["weights"] == "reference":
            give_weights(self._candidate, self._reference)
        self._threads = {"reference": threads, "candidate": torch.get_num_threads()}
        return {"loaded": True}

    def adopt_weights(self, _: Mapping[str, Any], __: list[int]) -> dict[str, Any]:
        """Replace the candidate by a new instance with the reference's weights, unless it has these already."""
        fresh = self._instance(self._candidate_class)
        adopted = give_weights(fresh, self._reference)
        if adopted:
            self._candidate = fresh
        return {"adopted": adopted}

    def move_parameters(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Move the candidate's parameters and buffers away from their initial values, or back to them."""
        if any(is_lazy(each) for each in self._reference.parameters()):
            # A lazy reference makes its parameters in its first call: under the seed, as the judge's reference did.
            seed_all(self._seed)
            self._reference(*self._slots[0].inputs)
        if question["away"]:
            self._unmoved = {name: value.clone() for name, value in self._candidate.state_dict().items()}
            return {"moved": move_parameters(self._candidate, self._reference, self._seed)}
        self._candidate.load_state_dict(self._unmoved)
        return {"moved": True}

    def _class_of(self, source: str) -> Callable[..., torch.nn.Module]:
        if uses_extensions(source):
            self._install_extensions()
        if USES_COMPILER.search(source):
            self._say_when_torch_builds()
            built = self._cache / kernels.compiled_archive(source, self._task_source, self._architecture)
            if built.exists():
                kernels.use_compiled(built, self._folder / COMPILER_CACHE)
        if kernels.uses_triton(source):
            archive = self._cache / kernels.kernels_archive(source, self._task_source, self._architecture)
            kernels.unpack(archive, self._triton_cache)
        path = self._folder / CANDIDATE_FILE
        path.write_text(source)
        return CandidateModule(path).model_class

    def _say_when_torch_builds(self) -> None:
        """Have torch's compiler, wherever the candidate calls it, say when it begins and ends."""
        from torch._dynamo.callback import callback_handler

        say = partial(messages.send, self._connection)
        callback_handler.register_start_callback(lambda _: say({"building": True}))
        callback_handler.register_end_callback(lambda _: say({"building": False}))

    def _instance(self, model_class: Callable[..., torch.nn.Module]) -> torch.nn.Module:
        return self._precision.cast_model(instantiate(model_class, self._task, self._seed, torch_name(self._device)))

    def attach(self, question: Mapping[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """Map the memory of input and output slots that the judge made."""
        self._slots.attach(question, descriptors)
        return {"attached": len(question["slots"])}

    def run(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Run the candidate on a slot's inputs; its answer goes into the slot's outputs."""
        slot = self._slots[question["slot"]]
        # Elements that the candidate never writes must not happen to hold an old answer.
        slot.spoil()
        # As before the judge's own call, so that random draws, and weights that are made in the first call, are the
        # same.
        seed_all(self._seed)
        self._stopwatch.stand_ready()
        answer = slot.deliver(self._candidate(*slot.inputs))
        self._stopwatch.settle()
        return {**answer, "peak_bytes": self._stopwatch.peak_bytes()}

    def pack_compiled(self, _: Mapping[str, Any], __: list[int]) -> dict[str, Any]:
        """Pack the code that torch's compiler built here for a baseline, so that it is built once."""
        archive = self._folder / "compiled.zip"
        kernels.pack(self._folder / COMPILER_CACHE, archive)
        return {"packed": True, "files": [archive]}

    def leave_room(self, _: Mapping[str, Any], __: list[int]) -> dict[str, Any]:
        """Give back the device memory that torch keeps for later, and that of kept outputs."""
        self._kept.clear()
        self._stopwatch.leave_room()
        return {"left": True}

    def hold(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Have torch keep memory for the outputs of so many calls, all of which are kept at once."""
        device_named(self._device).hold_for(question["sizes"] * question["calls"])
        return {"held": True}

    def forget(self, _: Mapping[str, Any], __: list[int]) -> dict[str, Any]:
        """Let go of the task and its slots, for another task; no candidate was ever in this process."""
        self._stopwatch.settle()
        for name in ("task", "reference", "candidate_class", "candidate", "unmoved", "slots", "kept"):
            self.__dict__.pop(f"_{name}", None)
        # Modules refer to themselves, and the judge's memory may be unmapped once no tensor in it is left.
        gc.collect()
        self._stopwatch.leave_room()
        device_named(self._device).unmap_memory()
        self._candidate_source = None
        self._torch_state.put_back()
        return {"forgotten": True}

    def warm(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Run both sides ``times`` times, untimed."""
        self._stopwatch.stand_ready()
        for _ in range(question["times"]):
            self._reference(*self._slots[question["reference_slot"]].inputs)
            self._candidate(*self._slots[question["candidate_slot"]].inputs)
        self._stopwatch.settle()
        # Now, untimed: of turns in which Python looked at older objects, 38 % were late by 2 ms, of others 6 % (H200).
        gc.collect()
        return {"warm": True, "peak_bytes": self._stopwatch.peak_bytes()}

    def pairs(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Time pairs; in each, both sides run next to each other, each on inputs of its own."""
        told: dict[str, list[float]] = {"reference_ms": [], "candidate_ms": []}
        for reference_slot, candidate_slot, candidate_first in question["pairs"]:
            for side in ("candidate", "reference") if candidate_first else ("reference", "candidate"):
                module = self._candidate if side == "candidate" else self._reference
                slot = self._slots[candidate_slot if side == "candidate" else reference_slot]
                slot.spoil()
                # A candidate that leaves torch with one thread slows itself, not the reference.
                torch.set_num_threads(self._threads[side])
                lap = self._stopwatch.time(module, slot.inputs)
                told[f"{side}_ms"].append(lap.ms)
                self._threads[side] = torch.get_num_threads()
                # Both sides' answers are copied: if one side's only, its calls of 0.08 ms were 1.2 % faster (H100).
                answer = slot.deliver(lap.output)
                if "mismatch" in answer:
                    return answer
                del lap
        self._stopwatch.settle()
        return told

    def series(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Time one side alone, once on each slot: the sequential protocol."""
        module = self._candidate if question["side"] == "candidate" else self._reference
        return {"ms": [self._stopwatch.time(module, self._slots[number].inputs).ms for number in question["slots"]]}

    def calls(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """Run the candidate once on each slot and return the places of the outputs: the judge times it."""
        self._kept.clear()
        torch.set_num_threads(self._threads["candidate"])
        for number in question["slots"]:
            slot = self._slots[number]
            self._stopwatch.stand_ready()
            self._kept.add(slot, self._candidate(*slot.inputs))
        # Before the device is waited for: on a GPU this runs beside the last call.
        answer = self._kept.answer()
        self._stopwatch.settle()
        self._threads["candidate"] = torch.get_num_threads()
        return answer

    def rehearse(self, question: Mapping[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """As ``calls``, but nobody times it, and the judge may stop it for another trial."""
        return self.calls(question, descriptors)

    def profile(self, question: Mapping[str, Any], _: list[int]) -> dict[str, Any]:
        """The profiler's record of one call of the candidate."""
        slot = self._slots[question["slot"]]
        profile, output = self._stopwatch.profile(self._candidate, slot.inputs)
        answer = slot.deliver(output)
        if "mismatch" in answer:
            return answer
        self._stopwatch.settle()
        busy_ms = [] if profile.busy_ms is None else [profile.busy_ms]
        return {"busy_ms": busy_ms, "operators": profile.operators, "kernels": profile.kernels}
